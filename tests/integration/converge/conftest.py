# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The test's own machine, and tasks that run on it as modules run them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import install
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import (
    Machine,
    cgroups_of,
    new_machine,
    task_words,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image

# Prints its level, and ends when it is asked to.
SERVE = "trap 'exit 0' TERM; echo level $LEVEL; while true; do sleep 0.1; done"


class Host:
    """Tasks on a machine."""

    def __init__(self, machine: Machine, image: str) -> None:
        self.machine, self.image = machine, image
        # The command that starts tasks, such as one that drops privileges.
        self.prefix: tuple[str, ...] = ()

    def start(
        self, name: str, mode: str, options: dict[str, Any], flags: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start a task. flags: of the interpreter."""
        process = self._begin(*flags, *task_words(name, mode))
        if process.stdin is None:
            raise AssertionError
        process.stdin.write(json.dumps({**self.machine.directories, **options}))
        process.stdin.close()
        process.stdin = None
        return process

    def serve(self) -> subprocess.Popen[str]:
        """Start a process that runs one task after the other: a line in for each, and a line out with its result."""
        return self._begin(*task_words("-", "-"))

    def _begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.machine.inside(*self.prefix, sys.executable, "-B", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def kill(process: subprocess.Popen[str], *, alone: bool) -> bool:
        """kill -9 a task, alone or with every podctl that it has started and that is in its session.

        Returns whether it was still at work.
        """
        with contextlib.suppress(ProcessLookupError):
            if alone:
                for pid in _children(process.pid):
                    os.kill(pid, signal.SIGKILL)
            else:
                for pid in _session(process.pid):
                    os.kill(pid, signal.SIGKILL)
        process.kill()
        return not process.communicate(timeout=60)[0]

    def task(self, module: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run a task and return its result."""
        out, err = self.start(module, "check" if check else "run", options).communicate(timeout=120)
        self.machine.uuids()  # records the present pods
        assert not err, err
        result: dict[str, Any] = json.loads(out)
        assert "Traceback" not in out
        if not result.get("failed"):
            assert bool(result.get("changes")) == result["changed"], result
        return result

    def pod(self, level: str = "debug", *, check: bool = False, **options: Any) -> dict[str, Any]:
        """pod_run of a pod that serves until it is stopped; its app can be changed by app={...}."""
        app = {"image": self.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
        app.update({"environment": {"LEVEL": level}}, **options.pop("app", {}))
        # Only tests about min_uptime check whether a pod stays up.
        given = {"update": {"min_uptime": 0}, "insecure_options": ["image"], **options}
        given = {"name": "web", "apps": [app], **given}
        return self.task("pod_run", check=check, **given)

    def absent(self) -> dict[str, Any]:
        """Remove the pod."""
        return self.task("pod_run", name="web", state="absent")


def _session(leader: int) -> list[int]:
    """All processes of a session: a program that a task starts has its own process group."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == leader:
                found.append(int(stat.parent.name))
    return found


def _children(pid: int) -> list[int]:
    """The children of a process: of nsenter, the one in the machine."""
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@pytest.fixture(scope="session")
def pods() -> Iterator[set[str]]:
    """The UUIDs of all pods that tests here have made. Checks that nothing of them is left on this machine."""
    made: set[str] = set()
    yield made
    assert cgroups_of(sorted(made)) == []


def remove_groups(uuids: Sequence[str], seconds: float = 10.0) -> None:
    """Remove the groups of pods whose machine was killed, as soon as the kernel has ended their processes."""
    end = time.monotonic() + seconds
    while (left := cgroups_of(uuids)) and time.monotonic() < end:
        for directory in (found for group in left for found, _dirs, _files in os.walk(group, topdown=False)):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        time.sleep(0.02)


@contextlib.contextmanager
def new_host(base: pathlib.Path, pods: set[str], image: pathlib.Path) -> Iterator[Host]:
    """A machine, which is removed afterwards with everything on it. pods: gets the UUIDs of its pods."""
    with new_machine(base / "machine") as machine:
        # Fingerprints of two processes are compared, and no runtime is installed here.
        machine.data.mkdir()
        install.make_key(str(machine.data / "fingerprint.key"))
        uuids: Sequence[str] = ()
        try:
            yield Host(machine, str(image))
        finally:
            uuids = machine.uuids()
            pods.update(uuids)
    remove_groups(uuids)


@pytest.fixture
def host(tmp_path: pathlib.Path, pods: set[str]) -> Iterator[Host]:
    image = write_image(
        tmp_path / "busybox.aci",
        "example.com/busybox",
        {
            "exec": ["/bin/sh"],
            "user": "0",
            "group": "0",
            "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
        },
    )
    with new_host(tmp_path, pods, image) as host:
        yield host
