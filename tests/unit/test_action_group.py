# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Every module of the action group accepts all options that can be defaults of the group."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml

from ansible_collections.stagecraft.pods.tests.unit.test_docs import options_of

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
GROUP = yaml.safe_load((CHECKOUT / "meta" / "runtime.yml").read_text())["action_groups"]["pods"]
DEFAULTS = {"data_dir", "config_dir", "pull", "insecure_options"}


def test_every_module_is_in_the_group() -> None:
    assert sorted(GROUP) == sorted(path.stem for path in (CHECKOUT / "plugins" / "modules").glob("pod_*.py"))


@pytest.mark.finding("use-N14")
@pytest.mark.parametrize("module", GROUP)
def test_a_module_takes_what_is_a_default_of_the_group(module: str) -> None:
    found: dict[str, Any] = options_of(module)
    assert found.keys() >= DEFAULTS
    first = options_of("pod_run")
    assert {name: (found[name]["type"], found[name]["default"]) for name in DEFAULTS} == {
        name: (first[name]["type"], first[name]["default"]) for name in DEFAULTS
    }
