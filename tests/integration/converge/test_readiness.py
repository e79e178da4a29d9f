# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps that say when they are up, and tasks that wait for it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

SECONDS = 5
TELLS = (
    "import os, socket; "
    "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])"
)
# By the interpreter of the host: busybox has no sockets of this kind.
SCRIPT = (
    f'sleep {SECONDS}; test -z $NOTIFY_SOCKET || /usr/bin/python3 -c "{TELLS}"; '
    "trap 'exit 0' TERM; while true; do sleep 0.1; done"
)
LIBRARIES = ["/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro"]


def timed(host: Host, **app: Any) -> tuple[dict[str, Any], float]:
    before = time.monotonic()
    done = host.pod(app={"args": ["-c", SCRIPT], "mounts": LIBRARIES, **app}, networks=["none"])
    assert not done.get("failed"), done
    return done, time.monotonic() - before


@pytest.mark.behaviour("C11")
def test_a_task_waits_until_the_app_has_said_that_it_is_up(host: Host) -> None:
    done, seconds = timed(host, sdnotify=True)
    assert seconds > SECONDS
    assert done["pod"]["state"] == "running"
    again, seconds = timed(host, sdnotify=True)
    assert (again["changed"], seconds < SECONDS) == (False, True)
    other, seconds = timed(host)
    assert [change["path"] for change in other["changes"]] == ["apps[0].sdnotify"]
    assert seconds < SECONDS
    (change,) = timed(host, sdnotify=False)[0]["changes"]
    assert (change["path"], change["after"]) == ("apps[0].sdnotify", "False")
