# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.entry import complaint


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("", "exit status 9", ""),
        ("stage1: no such user\n", "stage1: no such user", ""),
        ("stage1: no such user\nstage1: hint: give a number\n", "stage1: no such user", "give a number"),
        (
            "stage1: warning: no devices\nnetworking: x\nstage1: broken\nstage1: hint: mend: it\n",
            "stage1: broken",
            "mend: it",
        ),
        ("stage1: one\nstage1: hint: h\nstage1: two\n", "stage1: two", ""),
    ],
)
def test_what_podctl_has_said_is_an_error_again(said: str, message: str, hint: str) -> None:
    err = complaint(said, "exit status 9", uuid="u")
    assert (err.message, err.hint, err.facts["uuid"]) == (message, hint, "u")
