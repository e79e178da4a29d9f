# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps of a running pod come and go at random, and fail, and are killed, as is podctl. In the end nothing is left.

The seed is printed; SEED=NUMBER make stress does the same operations again, OPERATIONS=NUMBER as many. What was killed
at which moment is as random as the machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import random
import re
import signal
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    cgroups_of,
    eventually,
    write_image,
)

NAMES = ("a", "b", "c", "d")
GOOD, BRIEF, LACKING, SLOW = "good", "brief", "lacking", "slow"
ABSENT, CREATED, RUNNING, EXITED, UNKNOWN = "absent", "created", "running", "exited", "unknown"
_WAITS = "echo up; (sleep 1000 &); exec sleep 1000"
_SCRIPTS = {
    GOOD: _WAITS,
    BRIEF: "exit 3",
    SLOW: "trap 'sleep 0.3; exit 0' TERM; echo up; while true; do sleep 0.1; done",
}
# Of the first process, beyond what its interpreter takes and gives back.
_GROWTH_KIB = 2048
_LONGEST_KILL = 0.25
_CHECK_EVERY = 100


@dataclasses.dataclass
class KnownApp:
    """An app as it has to be. kind: what becomes of it when it is started."""

    state: str = ABSENT
    kind: str = GOOD


@dataclasses.dataclass(frozen=True)
class Traces:
    """All that a pod without apps has of the host."""

    children: tuple[int, ...]
    processes: tuple[int, ...]
    groups: frozenset[str]
    mounts: tuple[str, ...]
    mounts_of_host: tuple[str, ...]
    descriptors: tuple[str, ...]
    files: frozenset[str]


class Storm:
    """A pod, and what is done to it."""

    def __init__(self, pods: PodHost, seed: int, flags: tuple[str, ...]) -> None:
        self._pods = pods
        self._random = random.Random(seed)
        pods.ok("fetch", pods.image)
        self.uuid = pods.sandbox(*flags)
        self._place = pods.data / "pods" / "run" / self.uuid
        self.pid = int((self._place / "pid").read_text())
        self.apps = {name: KnownApp() for name in NAMES}
        self.done: list[str] = []

    # --- operations -------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do something at random, and check what comes of it."""
        name = self._random.choice(NAMES)
        app = self.apps[name]
        if app.state == UNKNOWN:
            self._find_out(name)
        what = self._random.choices(
            ("add", "start", "stop", "rm", "kill"), weights=(4, 6, 3, 3, 2 if app.state == RUNNING else 0)
        )[0]
        if what == "kill":
            self.done.append(f"kill {name}")
            self._kill(name)
            return
        if what == "add":
            kind = self._random.choices((GOOD, BRIEF, LACKING, SLOW), weights=(8, 2, 1, 1))[0]
            words = self._words_to_add(name, kind)
        else:
            kind, words = app.kind, (what, self.uuid, f"--app={name}")
        self.done.append(f"{what} {name} ({app.kind}, {app.state})")
        if self._random.random() < 0.2:
            self._call_and_kill(words)
            app.state, app.kind = UNKNOWN, kind if what == "add" and app.state == ABSENT else app.kind
            return
        done = self._pods.podctl("app", *words)
        self._check(what, name, kind, done.status, done.err)

    def _words_to_add(self, name: str, kind: str) -> tuple[str, ...]:
        program = "/nowhere" if kind == LACKING else "/bin/sh"
        flags = ["--mnt-volume=name=shared,kind=empty,target=/data"]
        tail = () if kind == LACKING else ("--", "-c", _SCRIPTS[kind])
        return ("add", self.uuid, self._pods.image, f"--name={name}", f"--exec={program}", *flags, *tail)

    def _check(self, what: str, name: str, kind: str, status: int, err: str) -> None:
        app, told = self.apps[name], f"{self.done[-3:]}: {status} {err}"
        there = app.state != ABSENT
        assert "Traceback" not in err, told
        if what == "add":
            assert (status == 0) is not there, told
            if not there:
                app.state, app.kind = CREATED, kind
        elif what == "rm":
            assert (status == 0) is there, told
            app.state = ABSENT
        elif what == "stop":
            assert (status == 0) is there, told
            app.state = EXITED if app.state == RUNNING else app.state
        elif not there or app.state == RUNNING or app.kind == LACKING:
            assert status, told
            app.state = UNKNOWN if there and app.kind == LACKING else app.state
        else:
            assert status == 0, told
            app.state = RUNNING if app.kind in (GOOD, SLOW) else EXITED

    def _call_and_kill(self, words: tuple[str, ...]) -> None:
        process = self._pods.background("app", *words)
        time.sleep(self._random.random() * _LONGEST_KILL)
        process.kill()
        process.communicate()
        self.done[-1] += ", killed"

    def _kill(self, name: str) -> None:
        """Kill an app's processes, of which PID 1 has to notice."""
        for pid in self._processes_of(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: self._states()[name] == EXITED)
        self.apps[name].state = EXITED

    def _find_out(self, name: str) -> None:
        """What an app is after a kill: it is taken away, or is there. At times the next command has to cope with it."""
        if self._random.random() < 0.5 and name in self._states():
            done = self._pods.podctl("app", "rm", self.uuid, f"--app={name}")
            assert done.status == 0, f"{self.done[-3:]}: {done.err}"
            self.apps[name].state = ABSENT
            return
        done = self._pods.podctl("app", "start", self.uuid, f"--app={name}")
        assert "Traceback" not in done.err, f"{self.done[-3:]}: {done.err}"
        if name in self._states():
            self._pods.ok("app", "rm", self.uuid, f"--app={name}")
        self.apps[name].state = ABSENT

    # --- what there is ----------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove all apps; what podctl has begun to add and was killed is removed with the next app of its name."""
        for name, app in self.apps.items():
            if name in self._states():
                self._pods.ok("app", "rm", self.uuid, f"--app={name}")
            self._pods.ok("app", *self._words_to_add(name, GOOD))
            self._pods.ok("app", "start", self.uuid, f"--app={name}")
            self._pods.ok("app", "rm", self.uuid, f"--app={name}")
            app.state = ABSENT

    def traces(self) -> Traces:
        groups = cgroups_of([self.uuid])
        return Traces(
            tuple(map(int, pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())),
            tuple(self._processes()),
            frozenset(child for group in groups for child in _directories(group)),
            tuple(sorted(_mounts(self.pid))),
            tuple(sorted(_mounts(os.getpid()))),
            _descriptors(self.pid),
            frozenset(str(path) for path in self._pods.data.rglob("*") if "/logs/" not in str(path)),
        )

    def memory(self) -> int:
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def _states(self) -> dict[str, str]:
        lines = self._pods.ok("app", "list", "--no-legend", self.uuid).splitlines()
        return {words[0]: words[1] for words in map(str.split, lines)}

    def _processes_of(self, name: str) -> list[int]:
        (group, *_others) = (self._place / "cgroups").read_text().splitlines()
        with contextlib.suppress(FileNotFoundError):
            return [int(word) for word in pathlib.Path(group, name, "cgroup.procs").read_text().split()]
        return []

    def _processes(self) -> Iterator[int]:
        """Those in the pod's groups or of a podctl that works on the pod, but for its first process."""
        scope = self.uuid.replace("-", "\\x2d")
        for place in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if scope in (place / "cgroup").read_text() or self.uuid in (place / "cmdline").read_text():
                    yield int(place.name)


def _directories(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    return []


def _mounts(pid: int) -> list[str]:
    return [line.split()[4] for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]


def _descriptors(pid: int) -> tuple[str, ...]:
    place = pathlib.Path(f"/proc/{pid}/fd")
    return tuple(sorted(re.sub(r"\[\d+\]", "", os.readlink(place / number)) for number in os.listdir(place)))


@pytest.fixture
def pods(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodHost]:
    if os.geteuid():
        pytest.skip("needs root")
    monkeypatch.setenv("RKT_EXPERIMENT_APP", "true")
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
    host = PodHost(tmp_path, str(write_image(tmp_path / "busybox.aci", "example.com/busybox", app)))
    yield host
    host.close()


@pytest.mark.parametrize("users", ["host", "own"])
def test_apps_that_come_and_go_leave_nothing(pods: PodHost, users: str) -> None:
    count = int(os.environ["OPERATIONS"]) // 2
    storm = Storm(pods, int(os.environ["SEED"]), ("--private-users",) if users == "own" else ())
    storm.clear()
    before, memory = storm.traces(), storm.memory()
    for number in range(1, count + 1):
        storm.step()
        if number % _CHECK_EVERY == 0 or number == count:
            storm.clear()
            _settle(storm, before)
    assert storm.memory() - memory < _GROWTH_KIB
    assert pods.state(storm.uuid) == "running"


def _settle(storm: Storm, before: Traces) -> None:
    """What was killed may take a moment to end."""
    end = time.monotonic() + 10
    while (found := _differences(before, storm.traces())) and time.monotonic() < end:
        time.sleep(0.05)
    assert found == [], storm.done[-100:]


def _differences(before: Traces, after: Traces) -> list[str]:
    pairs = (
        (field.name, getattr(before, field.name), getattr(after, field.name))
        for field in dataclasses.fields(before)
    )
    return [
        f"{name}: {sorted(set(new) - set(old))} more, {sorted(set(old) - set(new))} less, {len(new)} for {len(old)}"
        for name, old, new in pairs
        if old != new
    ]
