# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl attach to apps that come, go and are started again, and the end of it."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.attachlab import (
    ECHOES,
    ENABLED,
    Attach,
    attach,
    line_of,
    prepared,
    say,
    screen,
    shown,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, eventually

__all__ = ["attach", "screen"]

STREAMS = ("--stdin=stream", "--stdout=stream", "--stderr=stream")
TERMINAL = ("--stdin=tty", "--stdout=tty", "--stderr=tty")
USERS = pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])


@pytest.fixture(autouse=True)
def experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKT_EXPERIMENT_APP", "true")
    for name, value in ENABLED.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sandbox(pods: PodHost, users: tuple[str, ...]) -> Iterator[str]:
    """The UUID of a pod without apps, that runs."""
    uuid = pods.sandbox(*users)
    yield uuid
    pods.podctl("stop", "--force", uuid)


def added(pods: PodHost, sandbox: str, script: str, *flags: str) -> None:
    """Add an app of a script to the pod, and start it."""
    pods.ok("fetch", pods.image)
    words = ("--name=web", "--exec=/bin/sh", *flags, "--", "-c", script)
    pods.ok("app", "add", sandbox, pods.image, *words)
    pods.ok("app", "start", sandbox, "--app=web")


def ticks_of(pid: int) -> int:
    """The processor time of a process, in ticks."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.behaviour("A8")
@USERS
def test_an_app_that_was_added_is_attached_to_until_it_is_removed(
    pods: PodHost, sandbox: str, attach: Attach
) -> None:
    added(pods, sandbox, ECHOES, *STREAMS)
    process = attach(sandbox)
    for word in (b"one", b"two"):
        say(process, word + b"\n")
        assert line_of(process) == b"got " + word + b"\n"
    pods.ok("app", "rm", sandbox, "--app=web")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"", b"err one\nerr two\n")
    assert pods.state(sandbox) == "running"


@pytest.mark.behaviour("A8")
@USERS
def test_the_terminal_of_an_app_that_was_added_is_attached_to_until_it_is_removed(
    pods: PodHost, sandbox: str, attach: Attach, screen: tuple[int, int]
) -> None:
    master, slave = screen
    added(pods, sandbox, 'while read -r line; do echo "<$line>"; stty size; done', *TERMINAL)
    process = attach(sandbox, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    eventually(lambda: process.poll() is not None or not termios.tcgetattr(slave)[3] & termios.ICANON)
    os.write(master, b"hello\r")
    shown(master, b"<hello>\r\n31 97")
    pods.ok("app", "rm", sandbox, "--app=web")
    assert process.wait(timeout=30) == 0
    assert termios.tcgetattr(slave)[3] & termios.ICANON


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize("users", [()])
@pytest.mark.parametrize("mode", ["stdin", "stdin,stdout", "tty-in", "tty-in,tty-out"])
def test_to_be_attached_ends_with_the_app_although_its_pod_runs_on(
    pods: PodHost, sandbox: str, attach: Attach, screen: tuple[int, int], mode: str
) -> None:
    added(pods, sandbox, "read -r line; exit 0", *(TERMINAL if "tty" in mode else STREAMS))
    master, slave = screen
    ends = {"stdin": slave, "start_new_session": True} if "tty" in mode else {}
    process = attach(f"--mode={mode}", sandbox, **ends)
    if "tty" in mode:
        eventually(lambda: process.poll() is not None or not termios.tcgetattr(slave)[3] & termios.ICANON)
        os.write(master, b"go\r")
    else:
        say(process, b"go\n")
    assert process.wait(timeout=30) == 0
    assert pods.state(sandbox) == "running"


@pytest.mark.behaviour("A8")
@USERS
@pytest.mark.parametrize("end", ["exit 3", "kill -9 $$"])
def test_an_attachment_outlives_the_restarts_of_an_app_that_was_added(
    pods: PodHost, sandbox: str, attach: Attach, end: str
) -> None:
    script = f'read -r line; echo "got $line"; {end}'
    added(pods, sandbox, script, "--restart=always,backoff=10ms", "--stdin=stream", "--stdout=stream")
    process = attach(sandbox)
    for number in range(4):
        say(process, b"%d\n" % number)
        assert line_of(process) == b"got %d\n" % number
    pods.ok("app", "stop", sandbox, "--app=web")
    assert process.wait(timeout=30) == 0


@pytest.mark.behaviour("A8")
def test_a_terminal_outlives_the_restarts_of_its_app(
    pods: PodHost, attach: Attach, screen: tuple[int, int]
) -> None:
    master, slave = screen
    flags = ("--restart=always,backoff=10ms", *TERMINAL)
    uuid = prepared(pods, 'read -r line; echo "<$line>"; stty size; exit 1', *flags)
    process = attach(uuid, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    eventually(lambda: process.poll() is not None or not termios.tcgetattr(slave)[3] & termios.ICANON)
    for word in (b"one", b"two", b"three"):
        os.write(master, word + b"\r")
        shown(master, b"<" + word + b">\r\n31 97")
    pods.ok("stop", uuid)
    assert process.wait(timeout=30) == 0
    assert termios.tcgetattr(slave)[3] & termios.ICANON


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize(
    ("script", "shows"),
    [
        ('exec >&-; while read -r line; do echo "err $line" >&2; done', b"err two\n"),
        (f"exec <&-; {ECHOES} >&2; sleep 100", b"end\n"),
    ],
    ids=["one-output-ends", "no-input"],
)
def test_one_end_less_costs_no_processor_time(
    pods: PodHost, attach: Attach, script: str, shows: bytes
) -> None:
    uuid = prepared(pods, f"read -r line; {script}", *STREAMS)
    process = attach(uuid)
    say(process, b"go\ntwo\n")
    assert process.stderr
    assert process.stderr.readline() == shows
    spent = ticks_of(process.pid)
    for _turn in range(20):
        pods.state(uuid)
    assert process.poll() is None
    assert ticks_of(process.pid) - spent < 5
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


@pytest.mark.behaviour("A8")
def test_what_only_gives_input_ends_with_it(pods: PodHost) -> None:
    uuid = prepared(pods, 'read -r line; echo "got $line"; sleep 100', *STREAMS)
    done = pods.podctl("attach", "--mode=stdin", uuid, stdin=None, input="hello\n")
    assert done.status == 0, done.err
    eventually(lambda: "got hello" in pods.ok("logs", uuid))
    assert pods.state(uuid) == "running"


@pytest.mark.behaviour("A8")
def test_a_caller_without_input_sees_the_output_to_its_end(pods: PodHost, attach: Attach) -> None:
    uuid = prepared(pods, "sleep 0.5; echo first; sleep 0.5; echo last", "--stdin=stream", "--stdout=stream")
    process = attach(uuid, stdin=subprocess.DEVNULL)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out.splitlines()[-1:], err) == (0, [b"last"], b"")
