# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The playbook site accepts all options of the modules, and passes all of them on."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

from ansible_collections.stagecraft.pods.plugins.doc_fragments import _fetch, _pod
from ansible_collections.stagecraft.pods.plugins.modules import (
    pod_image,
    pod_network,
    pod_run,
    pod_volume,
)

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
LISTS = {"pod_images": pod_image, "pod_volumes": pod_volume, "pod_networks": pod_network, "pods": pod_run}
FRAGMENTS = {"_fetch": _fetch, "_pod": _pod}  # data_dir, config_dir and runtime are not an entry's to choose


@pytest.fixture(scope="module")
def play() -> dict[str, Any]:
    [found] = yaml.safe_load((CHECKOUT / "playbooks" / "site.yml").read_text())
    result: dict[str, Any] = found
    return result


def options_of(module: Any) -> set[str]:
    """The documented options of a module, without those that every module has."""
    document = yaml.safe_load(module.DOCUMENTATION)
    names = set(document.get("options", {}))
    for fragment in document["extends_documentation_fragment"]:
        found = FRAGMENTS.get(fragment.rpartition(".")[2])
        names |= set(yaml.safe_load(found.ModuleDocFragment.DOCUMENTATION)["options"]) if found else set()
    return names


@pytest.mark.parametrize("name", LISTS)
def test_an_entry_may_have_what_its_module_takes(play: dict[str, Any], name: str) -> None:
    assert set(play["vars"]["site_keys"][name]) == options_of(LISTS[name])


@pytest.mark.parametrize("name", LISTS)
def test_every_key_of_an_entry_reaches_its_module(play: dict[str, Any], name: str) -> None:
    module = "stagecraft.pods." + LISTS[name].__name__.rpartition(".")[2]
    handed_on = {key for task in play["tasks"] for key in task.get(module, {})}
    assert handed_on == options_of(LISTS[name])


def test_loops_go_over_names(play: dict[str, Any]) -> None:
    assert [
        task["name"] for task in play["tasks"] if not re.search(r"map\(attribute='name'\)", task["loop"])
    ] == []


@pytest.mark.parametrize("name", LISTS)
def test_a_key_named_as_a_method_of_mappings_is_got_as_a_key(play: dict[str, Any], name: str) -> None:
    # If an entry lacks the key, both entry.update and entry['update'] are the method in Jinja.
    module = "stagecraft.pods." + LISTS[name].__name__.rpartition(".")[2]
    [task, *_more] = [task for task in play["tasks"] if module in task]
    [entry] = task["vars"]
    for key, template in task[module].items():
        if hasattr(dict, key):
            assert template == f"{{{{ {entry}.get('{key}', omit) }}}}"
