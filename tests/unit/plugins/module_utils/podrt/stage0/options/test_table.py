# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Each option is defined once: what is generated from the table agrees with what is written by hand."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import options as generated
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.podflags import (
    PREPARE,
    RUN,
    RUN_PREPARED,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import GLOBAL
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options import documents, texts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.option import (
    Option,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.pod import (
    FETCH,
    HOST,
    POD,
    impact_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.stdio import NAMES as STDIO
from ansible_collections.stagecraft.pods.tests.pipeline.argument_specs import argspec
from ansible_collections.stagecraft.pods.tests.unit.test_docs import CHECKOUT, MODULES, options_of

PODCTL = (CHECKOUT / "docs" / "docsite" / "rst" / "podctl.rst").read_text()
ROW = re.compile(r"^   \* - (``\S.*)\n     - (.*)$", re.MULTILINE)
SPECS = {"HOST": HOST, "FETCH": FETCH, "POD": POD}


def walk(rows: tuple[Option, ...], within: str = "") -> Iterator[tuple[str, Option]]:
    """Every option with its path; elements of lists as []."""
    for row in rows:
        path = f"{within}{row.name}"
        yield path, row
        yield from walk(row.options, f"{path}{'[]' if row.kind.type == 'list' else ''}.")


ALL = dict(walk((*POD, *FETCH, *HOST)))


@pytest.mark.parametrize("name", SPECS)
def test_the_argument_specifications_are_those_of_the_table(name: str) -> None:
    """If they differ: make options."""
    assert argspec(SPECS[name]) == getattr(generated, name)


def rule_of(documented: dict[str, Any]) -> dict[str, Any]:
    """The documentation of an option, as an argument specification."""
    rule = {key: documented[key] for key in ("type", "elements", "choices", "default") if key in documented}
    if documented.get("required"):
        rule["required"] = True
    if "suboptions" in documented:
        rule["options"] = {name: rule_of(one) for name, one in documented["suboptions"].items()}
    return rule


def without_secrets(spec: dict[str, Any]) -> dict[str, Any]:
    """An argument specification, as far as documentation can express it."""
    found = {}
    for name, rule in spec.items():
        told = {key: value for key, value in rule.items() if key != "no_log"}
        found[name] = {**told, "options": without_secrets(rule["options"])} if "options" in rule else told
    return found


@pytest.mark.parametrize("module", [path.stem for path in MODULES])
def test_the_documentation_says_what_the_table_says(module: str) -> None:
    documented = {name: rule_of(option) for name, option in options_of(module).items()}
    wanted = without_secrets(argspec((*POD, *FETCH, *HOST) if module == "pod_run" else (*FETCH, *HOST)))
    assert {name: documented.get(name) for name in wanted} == wanted
    if module == "pod_run":
        assert documented.keys() == wanted.keys()


def test_every_option_has_a_flag_or_a_reason_for_none() -> None:
    assert [path for path, row in ALL.items() if bool(row.flag) is bool(row.no_flag)] == []


def test_reading_options_compiles_no_regular_expression_at_each_start() -> None:
    files = sorted(pathlib.Path(texts.__file__).parent.glob("*.py"))
    assert len(files) > 5
    assert [path.name for path in files if "re.compile(" in path.read_text()] == []


def test_what_a_row_names_exists() -> None:
    said = {row.flag.text for row in ALL.values() if row.flag} | {row.kind.text for row in ALL.values()}
    assert {name for name in said - {""} if not callable(getattr(texts, name, None))} == set()
    assert {row.back for row in ALL.values()} - {""} == documents._BACK.keys()
    assert {row.impact for row in ALL.values()} == {"none", "recreate"}


@pytest.mark.parametrize(
    ("path", "impact"),
    [
        ("apps[0].environment.LEVEL", "recreate"),
        ("apps.web", "recreate"),
        ("apps[0].image_isolators", "none"),
        ("log.max_size", "recreate"),
        ("update.min_uptime", "none"),
        ("wait", "none"),
        ("insecure_options", "recreate"),
    ],
)
def test_a_path_leads_to_the_impact_of_its_option(path: str, impact: str) -> None:
    assert impact_of(path) == impact


TOPS = {path: row for path, row in ALL.items() if re.fullmatch(r"(apps\[\]\.)?\w+", path)}


def test_the_flags_of_options_are_those_of_podctl() -> None:
    known = {flag.name for flag in (*GLOBAL, *PREPARE, *RUN)}
    assert {name for row in TOPS.values() if row.flag for name in (row.flag.name, *row.flag.also)} <= known


def test_the_page_on_podctl_has_every_option_and_its_flag() -> None:
    told = dict(
        ROW.findall(PODCTL[PODCTL.index("Options of a task") : PODCTL.index("Flags without an option")])
    )
    assert told == {
        f"``{path}``": f"``--{row.flag.name}``" if row.flag else row.no_flag for path, row in TOPS.items()
    }


def test_the_page_on_podctl_says_why_each_other_flag_is_for_the_command_line_alone() -> None:
    told = dict(ROW.findall(PODCTL[PODCTL.index("Flags without an option") :]))
    of_options = {name for row in ALL.values() if row.flag for name in (row.flag.name, *row.flag.also)}
    # Those of standard files are there with a variable only.
    flags = {flag.name for flag in (*GLOBAL, *PREPARE, *RUN, *RUN_PREPARED)} | {*STDIO}
    assert told.keys() == {f"``--{name}``" for name in flags - of_options}
    assert [flag for flag, reason in told.items() if len(reason) < 15] == []
