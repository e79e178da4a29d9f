# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The names of pods; only the command line guesses between names and UUIDs."""

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import LONGEST_NAME
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName

CHECKOUT = pathlib.Path(__file__).parents[6]
UUID = "db0a2f3c-0000-4000-8000-000000000001"


@pytest.mark.finding("use-N18")
@pytest.mark.parametrize(
    "text", ["web", "a-b", "My_App.v2", "0", "a..b", "a--b", "a" * LONGEST_NAME, UUID[:-1]]
)
def test_a_pod_is_called_what_services_are_called(text: str) -> None:
    assert PodName(text) == text


@pytest.mark.finding("use-N18")
@pytest.mark.parametrize(
    "text",
    ["", ".", "..", ".web", "-web", "_web", "a/b", "../a", "a b", "a\n", "é", "a@b", "a\0", "x.tmp",
     "a" * (LONGEST_NAME + 1), UUID, UUID.upper()],
)  # fmt: skip
def test_a_name_is_no_path_no_flag_and_no_uuid(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        PodName(text, "name")
    assert caught.value.where == "name"


@pytest.mark.finding("review-B1")
def test_only_words_of_a_command_line_are_guessed_at() -> None:
    podrt = CHECKOUT / "plugins" / "module_utils" / "podrt"
    assert (podrt / "pod" / "lookup.py").is_file()
    guessing = re.compile(r"\blookup\.resolve\(|import[^\n]*\bresolve\b")
    found = {
        str(file.relative_to(podrt))
        for file in podrt.rglob("*.py")
        if guessing.search(file.read_text()) and "cli" not in file.parts
    }
    assert found == set()
