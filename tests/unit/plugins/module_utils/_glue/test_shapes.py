# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""No list is made of a text and no text of a list, for any option of any module."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import REDACTED, Module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.shapes import (
    Misshapen,
    check_shapes,
    name_short_forms,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec
from ansible_collections.stagecraft.pods.plugins.modules import (
    pod_gc,
    pod_image,
    pod_info,
    pod_run,
    pod_runtime,
    pod_volume,
)

MODULES = (pod_run, pod_image, pod_volume, pod_info, pod_gc, pod_runtime)
# What a type is not although Ansible converts it; and what it is.
WRONG: dict[str, list[object]] = {
    "list": ["a,b", {"a": "b"}, 7],
    "dict": ["a=b", ["a"], 7],
    "str": [["a", "b"], {"a": "b"}, True],
    "path": [["/a"], {"a": "b"}],
    "int": [[7], {"a": 7}],
    "float": [[0.5], {"a": 0.5}],
    "bool": [["yes"], {"a": True}],
}
RIGHT: dict[str, list[object]] = {
    "list": [[], None],
    "dict": [{}, None],
    "str": ["a,b", "[a]", 7, 1.5, None],
    "path": ["/a,b"],
    "int": [7, "7"],
    "float": [0.5, "0.5", 1],
    "bool": [True, "yes", 1],
}
# raw leaves the option to the runtime: here is what it says, or where else that is tested.
RAW = {
    "pod_image: name",  # tasks/test_images.py
    "pod_run: environment",
    "pod_run: apps[0].environment",
    "pod_run: apps[0].args[0]",
    "pod_run: apps[0].command[0]",
    "pod_run: apps[0].pre_start[0]",
    "pod_run: apps[0].post_stop[0]",
    "pod_run: volumes[0].mode",
    "pod_run: ports[0].host_port",
    "pod_run: apps[0].tmpfs[0].mode",
    "pod_run: apps[0].selinux",
    "pod_volume: mode",
}


class _Called(Exception):
    """The module would run now."""


def specs() -> Iterator[tuple[str, dict[str, Any]]]:
    """The argument specification of every module."""
    for module in MODULES:
        yield module.__name__.rpartition(".")[2], spec_of(module)


def spec_of(module: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def called(*args: Any, **options: Any) -> None:
        found.append(options["argument_spec"] if "argument_spec" in options else args[1])
        raise _Called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Module" if module is pod_runtime else "run_module", called)
        with pytest.raises(_Called):
            module.main()
    return found[0]


def places(spec: dict[str, Any], within: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every option, and every element of a list, as the way to it, with its type."""
    for name, rule in spec.items():
        kind, way = rule.get("type", "str"), (*within, name)
        yield way, kind
        if kind == "list":
            yield (*way, 0), rule["elements"]
        if "options" in rule:
            yield from places(rule["options"], (*way, 0) if kind == "list" else way)


def placed(way: tuple[Any, ...], value: object) -> Any:
    """Options with nothing in them but the value at the end of the way."""
    for step in reversed(way):
        value = [value] if step == 0 else {step: value}
    return value


def path_of(way: tuple[Any, ...]) -> str:
    return "".join("[0]" if step == 0 else f".{step}" for step in way)[1:]


SPECS = dict(specs())
PLACES = [(module, way, kind) for module, spec in SPECS.items() for way, kind in places(spec)]


@pytest.mark.finding("use-N13")
def test_an_option_of_another_shape_is_refused_with_its_path() -> None:
    for module, way, kind in PLACES:
        for value in WRONG.get(kind, []):
            with pytest.raises(Misshapen) as caught:
                check_shapes(placed(way, value), SPECS[module])
            assert caught.value.where == path_of(way), (module, value)
            assert str(caught.value).startswith(f"{path_of(way)}: expected "), (module, value)


def test_an_option_of_its_shape_is_left_to_ansible() -> None:
    for module, way, kind in PLACES:
        for value in RIGHT.get(kind, []):
            check_shapes(placed(way, value), SPECS[module])


def test_every_option_has_a_rule() -> None:
    """One of a type without rules, or raw and not known to this test, fails here."""
    assert {kind for _module, _way, kind in PLACES} <= {*WRONG, "raw"}
    assert {f"{module}: {path_of(way)}" for module, way, kind in PLACES if kind == "raw"} == RAW


@pytest.mark.finding("use-N13")
@pytest.mark.parametrize(
    ("option", "value", "place", "found"),
    [
        ("args", "a,b", "", "expected a list, found 'a,b'"),
        ("args", [["a"]], "[0]", "expected a string, found a list"),
        ("args", [7], "[0]", "expected a string, found 7"),
        ("exec", ["/bin/sh", "-c"], "", "expected a string, found a list"),
        ("exec", 7, "", "expected a string, found 7"),
        ("pre_start", "/bin/a,b", "", "expected a list"),
        ("post_stop", [True], "[0]", "expected a string, found true"),
    ],
)
def test_the_runtime_makes_no_guess_either(option: str, value: object, place: str, found: str) -> None:
    options = {"name": "web", "apps": [{"image": "example.com/web", option: value}]}
    with pytest.raises(InvalidSpec) as caught:
        pod_spec(Fields(options, ""))
    assert caught.value.where == f"apps[0].{option}{place}"
    assert found in str(caught.value)


def refused(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """The result of a pod_run that ends before it runs."""
    with patch_module_args(options), pytest.raises(SystemExit):
        Module(argument_spec=SPECS["pod_run"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("value", ["A=canary", [["A=canary"]], [7], {"A": ["canary"]}, [{"A": "canary"}]])
def test_the_runtime_shows_no_variable_of_another_shape(value: object) -> None:
    for options in (
        {"apps": [{"image": "x", "environment": value}]},
        {"environment": value, "apps": [{"image": "x"}]},
    ):
        with pytest.raises(InvalidSpec) as caught:
            pod_spec(Fields({"name": "web", **options}, ""))
        assert "environment" in caught.value.where
        assert "canary" not in f"{caught.value}{caught.value.hint}{caught.value.facts}"


def test_a_text_where_a_dictionary_is_meant_is_its_short_form() -> None:
    mounts: list[Any] = ["pages:/p", {"volume": "a", "target": "/a"}]
    options = {
        "apps": [{"image": "x", "mounts": list(mounts), "args": ["a"]}],
        "ports": ["8080:80"],
        "mounts": None,
    }
    name_short_forms(options, SPECS["pod_run"])
    assert options == {
        "apps": [{"image": "x", "mounts": [{"short": "pages:/p"}, mounts[1]], "args": ["a"]}],
        "ports": [{"short": "8080:80"}],
        "mounts": None,
    }
    for odd in ({"ports": "8080:80"}, {"volumes": ["a"]}, {"apps": ["a"]}):
        kept = json.loads(json.dumps(odd))
        name_short_forms(odd, SPECS["pod_run"])
        assert odd == kept


def test_a_short_form_that_yaml_takes_for_a_number_is_to_be_quoted() -> None:
    with pytest.raises(Misshapen) as caught:
        check_shapes(placed(("ports", 0), 484853), SPECS["pod_run"])  # 8080:53
    assert caught.value.hint == 'quote a short form: "..."'


@pytest.mark.finding("use-N13")
def test_what_is_refused_is_an_invalid_specification(capsys: pytest.CaptureFixture[str]) -> None:
    app = {"image": "example.com/web", "exec": ["/bin/sh", "-c"]}
    result = refused(capsys, name="web", apps=[app])
    assert result["msg"] == "apps[0].exec: expected a string, found a list"
    assert (result["failed"], result["error"], result["changes"]) == (True, "invalid-spec", [])
    assert result["facts"] == {"where": "apps[0].exec"}


@pytest.mark.parametrize(
    "options",
    [
        {"apps": "image=x environment={'A':'canary'}"},
        {"apps": {"image": "x", "environment": {"A": "canary"}}},
        {"apps": [["A=canary"]]},
        {"apps": [{"image": ["x"], "environment": {"A": "canary"}}]},
    ],
)
def test_a_secret_of_another_shape_is_not_shown(
    options: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    result = refused(capsys, name="web", **options)
    assert result["error"] == "invalid-spec"
    assert "canary" not in json.dumps(result)
    # Newer cores show no invocation unless they are told to.
    assert ("invocation" in result) == (REDACTED in json.dumps(result))
