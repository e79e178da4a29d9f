# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The texts of an image are bounded where they are read, and can still be long in messages of stage1."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, printable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.frames import LONGEST_TEXT
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import HOST_NET, StageLab, finish

APPS = [
    ({"workingDirectory": "/{}"}, 'cannot use the working directory "/{}', '{}": File name too long'),
    ({"exec": ["/{}"]}, 'Unable to open "/{}', '{}": File name too long'),
    ({"exec": ["{}"]}, 'error looking up "{}', '{}"'),
    ({"user": "{}"}, 'invalid-spec: "{}', '{}" user not found'),
    ({"group": "{}"}, 'invalid-spec: "{}', '{}" group not found'),
]
IDS = ["working directory", "path of a program", "name of a program", "user", "group"]


def filled(app: dict[str, object], text: str) -> dict[str, object]:
    """An app with a text in each of its fields."""
    return {
        "exec": ["/bin/true"],
        **{
            name: [word.format(text) for word in value]
            if isinstance(value, list)
            else str(value).format(text)
            for name, value in app.items()
        },
    }


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize("letter", ["a", "\x01"], ids=["plain", "escaped, and so four times as long"])
@pytest.mark.parametrize(("app", "begins", "ends"), APPS, ids=IDS)
@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_a_long_text_has_one_clear_message(
    stage: StageLab, app: dict[str, object], begins: str, ends: str, letter: str, detach: bool
) -> None:
    pod = stage.pod({"main": filled(app, letter * 4094)}, HOST_NET)
    done = finish(pod.start(detach=detach))
    assert done.status != 0
    (line,) = (done.err or done.out).splitlines()
    assert begins.format(letter) in line or begins.format(printable(letter)) in line
    assert ends.format(letter) in line or ends.format(printable(letter)) in line
    assert len(line) < 2 * LONGEST_TEXT


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize("size", [100_000, 3_000_000])
@pytest.mark.parametrize("app", [app for app, _begins, _ends in APPS], ids=IDS)
def test_one_that_is_too_long_is_refused_before(stage: StageLab, app: dict[str, object], size: int) -> None:
    with pytest.raises(
        InvalidSpec, match=r"it has [0-9]+ bytes, more than the 4095 that it may have"
    ) as caught:
        stage.pod({"main": filled(app, "a" * size)}, HOST_NET)
    assert len(str(caught.value)) < 200
