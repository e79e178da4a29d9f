# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl as a fork of a process that has the same code; each case is a process of its own, since pytest has threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from ansible_collections.stagecraft.pods.tests.unit.test_layout import RUNTIME

BEGIN = f"""
import json, os, signal, sys, threading, time
sys.path.insert(0, {str(RUNTIME.parent)!r})
from podrt.errors import HostFailure
from podrt.host import programs
from podrt.host.paths import podctl_of
import podrt.cli.main as cli
PODCTL = podctl_of(os.path.realpath(sys.executable), {str(RUNTIME.parent)!r})
"""


def outcome(program: str, **env: str) -> dict[str, object]:
    """What a program prints as JSON."""
    argv = [sys.executable, "-I", "-c", BEGIN + textwrap.dedent(program)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, env=env)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_it_is_a_fork_with_nothing_of_its_parent_but_the_code() -> None:
    found = outcome(
        """
        def main(words):
            print(json.dumps({
                "words": words,
                "env": dict(os.environ),
                "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
                "stdin": sys.stdin.read(),
                "leads": os.getpgid(0) == os.getpid(),
                "term": int(signal.getsignal(signal.SIGTERM)),
            }))
            print("to stderr", file=sys.stderr, flush=True)
            sys.stdout.flush()
            os._exit(7)
        cli.main = lambda words: (cli._open_standard_streams(), main(words))
        secret = os.open("/etc/passwd", os.O_RDONLY)
        os.environ["SECRET"] = "of the task"
        signal.signal(signal.SIGTERM, lambda *_: None)
        sys.stdout.write("")
        done = programs.run((*PODCTL, "version", "--help"), forked=True, stdin=b"given")
        told = json.loads(done.stdout)
        told.update(status=done.status, stderr=done.stderr.decode(), kept=os.fstat(secret).st_size > 0)
        print(json.dumps(told))
        """,
        OTHER="of the caller",
    )
    assert found == {
        "words": ["version", "--help"],
        "env": {"PATH": found["env"]["PATH"], "LC_ALL": "C"},  # type: ignore[index]
        "fds": [0, 1, 2],
        "stdin": "given",
        "leads": True,
        "term": 0,
        "status": 7,
        "stderr": "to stderr\n",
        "kept": True,
    }


def test_what_the_parent_has_yet_to_print_is_printed_once() -> None:
    found = outcome(
        """
        sys.stdout.write("{")
        assert programs.run((*PODCTL, "version"), forked=True).status == 0
        print(json.dumps("once") + ": true}")
        """
    )
    assert found == {"once": True}


def test_it_speaks_the_language_of_podctl_and_is_not_interrupted_as_its_parent() -> None:
    found = outcome(
        """
        import _locale
        def main(words):
            print(json.dumps({
                "locale": _locale.setlocale(_locale.LC_ALL),
                "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
            }), flush=True)
            os._exit(0)
        cli.main = lambda words: (cli._open_standard_streams(), main(words))
        _locale.setlocale(_locale.LC_ALL, "C.UTF-8")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        told = json.loads(programs.run((*PODCTL, "version"), forked=True).stdout)
        own = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        print(json.dumps({**told, "own": own}))
        """
    )
    assert found == {"locale": "C", "blocked": [signal.SIGUSR1], "own": [signal.SIGUSR1]}


def test_what_writes_paths_in_another_encoding_executes_it() -> None:
    argv = [
        *(sys.executable, "-X", "utf8=0", "-c"),
        BEGIN
        + "from podrt.host.forked import is_podctl; print(sys.getfilesystemencoding(), is_podctl(PODCTL))",
    ]
    env = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, env=env)
    assert done.stdout.split() == ["ascii", "False"]


@pytest.mark.parametrize(
    ("before", "argv", "forked"),
    [
        ("threading.Thread(target=time.sleep, args=(5,), daemon=True).start()", "PODCTL", True),
        ("", "(PODCTL[0], '-I', '-S', '/nowhere/podrt/launch.py')", True),
        ("", "('/bin/echo', *PODCTL[1:])", True),
        ("", "PODCTL", False),
    ],
    ids=["threads", "another runtime", "another program", "one that stays behind"],
)
def test_what_is_not_this_very_podctl_is_executed(before: str, argv: str, forked: bool) -> None:
    found = outcome(
        f"""
        cli.main = lambda words: os._exit(77)
        {before}
        print(json.dumps({{"status": programs.run((*{argv}, "version"), forked={forked}).status}}))
        """
    )
    assert found["status"] in (0, 2)


def test_it_ends_with_its_group_and_by_a_signal() -> None:
    found = outcome(
        """
        def main(words):
            if words == ["killed"]:
                os.kill(os.getpid(), signal.SIGKILL)
            if words == ["raises"]:
                raise ValueError("a bug")
            if os.fork():
                time.sleep(60)
            time.sleep(60)
        cli.main = main
        try:
            programs.run((*PODCTL, "late"), forked=True, seconds=0.3, called="podctl late")
            message = ""
        except HostFailure as err:
            message = err.message
        raised = programs.run((*PODCTL, "raises"), forked=True)
        print(json.dumps({
            "message": message,
            "killed": programs.run((*PODCTL, "killed"), forked=True).status,
            "raised": [raised.status, raised.complaint],
        }))
        """
    )
    assert found == {
        "message": "podctl late was killed: it has not ended within 0.3 seconds",
        "killed": 128 + 9,
        "raised": [1, "ValueError: a bug"],
    }


def test_the_commands_work_as_they_do_by_themselves() -> None:
    forked = outcome(
        """
        done = programs.run((*PODCTL, "version"), forked=True)
        wrong = programs.run((*PODCTL, "nosuch"), forked=True)
        print(json.dumps({"out": done.stdout.decode(), "wrong": [wrong.status, wrong.stderr.decode()]}))
        """
    )
    launch = str(RUNTIME / "launch.py")
    argv = [os.path.realpath(sys.executable), "-I", "-S", launch]
    for word, (status, text) in (
        ("version", (0, forked["out"])),
        ("nosuch", forked["wrong"]),  # type: ignore[misc]
    ):
        done = subprocess.run([*argv, word], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout or done.stderr) == (status, text)
