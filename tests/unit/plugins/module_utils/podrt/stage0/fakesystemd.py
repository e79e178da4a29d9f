# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A service manager with as much of systemd as the units of pods need.

Source: systemctl(1), systemd.service(5).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Sequence

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import start
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakestage1 import (
    FakeStage1,
)

_DONE = Completed(0, b"", b"")


class FakeSystemd:
    """PID 1 of a host.

    calls: the words of each systemctl. failing: verbs that fail, with their output. loaded: units as they were last
    read. active: units whose pod runs, with the pod.
    """

    def __init__(self, host: Host, stage1: FakeStage1) -> None:
        self.host, self.stage1 = host, stage1
        self.calls: list[str] = []
        self.failing: dict[str, str] = {}
        self.loaded: dict[str, str] = {}
        self.active: dict[str, str] = {}
        self._units = pathlib.Path(host.paths.units)
        self._wanted = self._units / "multi-user.target.wants"
        self._wanted.mkdir(parents=True)
        pathlib.Path(host.paths.systemd).mkdir()
        stage1.tell_end = self._ended

    def __call__(self, argv: Sequence[str]) -> Completed:
        verb, *rest = [word for word in argv[1:] if not word.startswith("-")]
        self.calls.append(" ".join([verb, *rest]))
        if verb in self.failing:
            return Completed(1, b"", f"{self.failing[verb]}\n".encode())
        if verb == "daemon-reload":
            self.reload()
        elif verb in ("enable", "disable"):
            self._set_enabled(rest[0], enabled=verb == "enable")
            if "--now" in argv:
                self.stop(rest[0])
        elif verb == "stop":
            self.stop(rest[0])
        elif verb == "start":
            return self.start(rest[0])
        return _DONE

    def seen(self) -> dict[str, tuple[bool, bool, bool]]:
        """Each unit: whether it is active, enabled, and loaded as it is on disk."""
        return {
            path.name: (
                path.name in self.active,
                self.is_enabled(path.name),
                self.loaded.get(path.name) == path.read_text(),
            )
            for path in self._units.glob("*.service")
        }

    def save(self) -> Callable[[], None]:
        """The function that restores its present state."""
        loaded, active = dict(self.loaded), dict(self.active)

        def restore() -> None:
            self.loaded, self.active = dict(loaded), dict(active)

        return restore

    def is_enabled(self, unit: str) -> bool:
        return (self._wanted / unit).is_symlink()

    def reload(self) -> None:
        """Read every unit again."""
        self.loaded = {path.name: path.read_text() for path in self._units.glob("*.service")}

    def start(self, unit: str) -> Completed:
        """Run ExecStart= as it was when the unit was last read."""
        if unit in self.active:
            return _DONE
        if unit not in self.loaded and (self._units / unit).exists():
            self.loaded[unit] = (self._units / unit).read_text()
        if unit not in self.loaded:
            return Completed(5, b"", f"Failed to start {unit}: Unit {unit} not found.\n".encode())
        line = next(line for line in self.loaded[unit].splitlines() if line.startswith("ExecStart="))
        *_podctl, verb, name = line.split()
        if verb != "start" or unit != f"pod-{name}.service":
            raise AssertionError(line)
        if self._run(unit, name):
            return _DONE
        return Completed(1, b"", f"Job for {unit} failed. See journalctl.\n".encode())

    def _run(self, unit: str, name: str) -> bool:
        """Have the effects of podctl start; returns whether a process of the pod is left."""
        try:
            with start.start_again(self.host, name) as pod:
                uuid = pod.uuid
        except PodError:
            return False
        if self.stage1.call("run-prepared", uuid).status or uuid not in self.stage1.running:
            self._reap(uuid)
            return False
        self.active[unit] = uuid
        start.write_pid_file(self.host, name, self.stage1.pid_of(uuid))
        return True

    def stop(self, unit: str) -> None:
        """Ask it to end, and kill it after its stop timeout."""
        uuid = self.active.get(unit)
        if uuid:
            if uuid in self.stage1.deaf:
                self.stage1.end(uuid)
            else:
                self.stage1.finish(uuid)

    def boot(self) -> None:
        """Cut the power of the host, and boot it again."""
        self.active.clear()
        self.stage1.close()
        self.stage1.holding.clear()
        for path in pathlib.Path(self.host.paths.pid_files).glob("*"):
            path.unlink()
        self.reload()
        for link in sorted(self._wanted.iterdir()):
            self.start(link.name)

    def _set_enabled(self, unit: str, *, enabled: bool) -> None:
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            if enabled:
                os.symlink(self._units / unit, self._wanted / unit)
            else:
                (self._wanted / unit).unlink()
        self.reload()

    def _ended(self, uuid: str) -> None:
        """Run ExecStopPost= after the first process of a pod has died."""
        for unit, active in list(self.active.items()):
            if active == uuid:
                del self.active[unit]
                self._reap(uuid)

    def _reap(self, uuid: str) -> None:
        self.stage1.holding.discard(uuid)
