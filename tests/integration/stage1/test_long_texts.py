# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What an image says of its app can have any length."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.supervisor.frames import (
    LONGEST_TEXT,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import HOST_NET, StageLab, finish


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize("size", [100_000, 3_000_000])
@pytest.mark.parametrize(
    ("app", "begins", "ends"),
    [
        (
            {"workingDirectory": "/{}"},
            'cannot use the working directory "/aaa',
            'aaa": File name too long',
        ),
        ({"exec": ["/{}"]}, 'Unable to open "/aaa', 'aaa": File name too long'),
        ({"exec": ["{}"]}, 'error looking up "aaa', 'aaa"'),
        ({"user": "{}"}, 'invalid-spec: "aaa', 'aaa" user not found'),
        ({"group": "{}"}, 'invalid-spec: "aaa', 'aaa" group not found'),
    ],
    ids=["working directory", "path of a program", "name of a program", "user", "group"],
)
@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_a_long_text_has_one_clear_message(
    stage: StageLab, app: dict[str, object], begins: str, ends: str, size: int, detach: bool
) -> None:
    long = "a" * size
    filled = {
        name: [word.format(long) for word in value] if isinstance(value, list) else str(value).format(long)
        for name, value in app.items()
    }
    pod = stage.pod({"main": {"exec": ["/bin/true"], **filled}}, HOST_NET)
    done = finish(pod.start(detach=detach))
    lines = (done.err or done.out).splitlines()
    said = [line for line in lines if begins in line]
    print(done.status, [line[:100] + "..." + line[-300:] for line in lines])
    assert done.status != 0
    assert len(lines) == 1
    assert said
    assert ends in said[0]
    assert len(said[0]) < 2 * LONGEST_TEXT
