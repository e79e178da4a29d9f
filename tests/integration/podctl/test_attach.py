# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl attach: the input and output of apps that run detached. Source: behaviours A8, A.3."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios

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


@pytest.mark.behaviour("A8")
def test_without_the_variable_there_is_neither_the_command_nor_the_flags(pods: PodHost) -> None:
    without = {name: value for name, value in os.environ.items() if name != "RKT_EXPERIMENT_ATTACH"}
    done = pods.podctl("attach", "x", env=without)
    assert (done.status, done.err.splitlines()[0]) == (254, 'Error: unknown command "attach" for "podctl"')
    done = pods.podctl("run", pods.image, "--stdin=tty", env=without)
    assert (done.status, "unknown flag: --stdin" in done.err) == (254, True)
    assert "attach" not in pods.podctl("help", env=without).out
    assert "attach" in pods.podctl("help", env=ENABLED).out
    assert "--stdin" not in pods.podctl("help", "run", env=ENABLED).out


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize(
    ("flag", "message"),
    [("--stdin=log", 'invalid stdin mode "log"'), ("--stdout=x", 'invalid stdout mode "x"')],
)
def test_a_mode_that_does_not_exist_is_refused(pods: PodHost, flag: str, message: str) -> None:
    done = pods.podctl("run", pods.image, flag, env=ENABLED)
    assert (done.status, message in done.err) == (254, True)


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])
def test_streams_are_attached_to_and_logged(pods: PodHost, attach: Attach, users: tuple[str, ...]) -> None:
    modes = ("--stdin=stream", "--stdout=stream", "--stderr=stream")
    uuid = prepared(pods, ECHOES, *users, *modes)
    assert pods.podctl("attach", "--mode=list", uuid, env=ENABLED).out.split() == [
        "stdin",
        "stdout",
        "stderr",
    ]
    first = attach(uuid)
    say(first, b"one\n")
    assert line_of(first) == b"got one\n"
    refused = pods.podctl("attach", uuid, env=ENABLED)
    assert (refused.status, "another process is attached" in refused.err) == (254, True)
    first.kill()
    first.wait()
    second = attach("--app=busybox", "--mode=stdin,stdout", uuid)
    say(second, b"two\n")
    assert line_of(second) == b"got two\n"
    assert pods.state(uuid) == "running"
    pods.ok("stop", uuid)
    out, err = second.communicate(timeout=30)
    assert (second.returncode, out, err) == (0, b"", b"")
    log = pods.podctl("logs", uuid)
    assert (log.out.splitlines(), log.err.splitlines()) == (["got one", "got two"], ["err one", "err two"])


@pytest.mark.behaviour("A8")
def test_a_slow_or_missing_reader_does_not_hold_an_app(pods: PodHost, attach: Attach) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; sleep 60"
    uuid = prepared(pods, f"read go; {script}", "--stdin=stream", "--stdout=stream")
    slow = attach(uuid)
    say(slow, b"go\n")
    assert line_of(slow)
    eventually(lambda: pods.ok("logs", uuid).count("0123") == 4 * 20000)
    slow.send_signal(signal.SIGSTOP)
    assert pods.state(uuid) == "running"
    slow.kill()
    slow.wait()
    pods.ok("stop", uuid)
    pods.wait(uuid)


@pytest.mark.behaviour("A8")
def test_null_hides_an_output(pods: PodHost) -> None:
    uuid = prepared(pods, "echo hidden; echo shown >&2; stat -Lc %F /dev/stdout >&2", "--stdout=null")
    pods.wait(uuid)
    log = pods.podctl("logs", uuid)
    assert (log.out, log.err.splitlines()[0]) == ("", "shown")
    done = pods.podctl("attach", uuid, env=ENABLED)
    assert done.status == 254


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize(
    ("users", "mode"),
    [((), ()), (("--private-users",), ("--mode=tty",)), ((), ("--mode=",))],
    ids=["host-users", "own-users", "empty-mode"],
)
def test_a_terminal_is_attached_to_with_its_size_and_left(
    pods: PodHost, attach: Attach, screen: tuple[int, int], users: tuple[str, ...], mode: tuple[str, ...]
) -> None:
    master, slave = screen
    reads = 'while true; do read -r line && { echo "<$line>"; stty size; }; done'
    script = f"trap 'stty size' WINCH; test -t 0 && test -t 1 && echo terminal; {reads}"
    uuid = prepared(pods, script, *users, "--stdin=tty", "--stdout=tty", "--stderr=tty")
    assert pods.podctl("attach", "--mode=list", uuid, env=ENABLED).out.split() == ["tty-in", "tty-out"]
    process = attach(*mode, uuid, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    eventually(lambda: process.poll() is not None or not termios.tcgetattr(slave)[3] & termios.ICANON)
    assert process.poll() is None, shown(master, b"")
    os.write(master, b"hello\r")
    shown(master, b"<hello>\r\n31 97")
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.kill(process.pid, signal.SIGWINCH)
    os.write(master, b"again\r")
    shown(master, b"40 120")
    os.write(master, b"\x10\x11")
    assert process.wait(timeout=20) == 0
    assert termios.tcgetattr(slave)[3] & termios.ICANON
    assert pods.state(uuid) == "running"
    pods.ok("stop", "--force", uuid)
    pods.wait(uuid)
    assert "terminal" in pods.podctl("logs", uuid).out


@pytest.mark.behaviour("A8")
def test_an_app_that_is_started_again_keeps_its_streams(pods: PodHost, attach: Attach) -> None:
    flags = ("--restart=always,backoff=10ms", "--stdin=stream", "--stdout=stream")
    uuid = prepared(pods, 'read -r line; echo "got $line"', *flags)
    process = attach(uuid)
    for word in (b"one", b"two"):
        say(process, word + b"\n")
        assert line_of(process) == b"got " + word + b"\n"
    process.kill()
    process.wait()


@pytest.mark.behaviour("A8")
def test_what_can_not_be_attached_to_is_refused(pods: PodHost) -> None:
    uuid = prepared(pods, "sleep 100")
    done = pods.podctl("attach", uuid, env=ENABLED)
    assert (done.status, done.err.splitlines()[0]) == (254, 'attach: app "busybox" has nothing to attach to')
    other = prepared(pods, "sleep 100", "--stdout=stream")
    done = pods.podctl("attach", "--mode=stdin", other, env=ENABLED)
    assert 'app "busybox" has no endpoint "stdin"' in done.err
    done = pods.podctl("attach", "--mode=tty", other, env=ENABLED)
    assert 'app "busybox" has no endpoint "tty-in"' in done.err
    done = pods.podctl("run", "--interactive", pods.image, "--stdin=tty", env=ENABLED)
    assert "interactive option does not work with --stdin" in done.err
