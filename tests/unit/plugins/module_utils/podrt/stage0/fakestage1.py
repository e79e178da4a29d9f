# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A fake of the entries of stage1, which has their effects on directories without starting processes.

A pod "runs" while its lock is held here. Needs neither root nor features of the kernel.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import (
    documents,
    failure,
    lifecycle,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod

# No process has these PIDs.
_FIRST_PID = 1 << 22
_STAGES = {
    "run-prepared": "start",
    "rehearse": "rehearse",
    "stop": "stop",
    "stage1-gc": "gc",
    "mend": "run",
    "start-app": "start",
    "stop-app": "stop",
    "remove-app": "stop",
}


class FakeStage1:
    """host.programs in these tests.

    calls: verbs and UUIDs, in order. failing: verbs that fail, with their output. leaving: verbs that fail once,
    with the error and stage that they leave in the pod's directory. late: verbs that fail once after all their
    work, since they took too long. ending: the immediate end of the app of the next pod that is run: its status,
    and words beside it. deaf: pods that end only by force. immortal: pods that do not end even by force. holding:
    pods that hold links, groups and rules of the host. up: the running apps of each running pod. kept: pods that
    do not end for lack of apps. wrong: events that must not happen. tell_end: called with each pod whose PID 1 died.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, str] = {}
        self.leaving: dict[str, tuple[PodError, str]] = {}
        self.late: set[str] = set()
        self.ending: tuple[int, str] | None = None
        self.deaf: set[str] = set()
        self.immortal: set[str] = set()
        self.holding: set[str] = set()
        self.wrong: list[str] = []
        self.tell_end: Callable[[str], None] = lambda _uuid: None
        self._held: dict[str, Pod] = {}
        self._apps: dict[str, list[str]] = {}
        self._pids: dict[str, int] = {}
        # The apps of each pod that run.
        self.up: dict[str, set[str]] = {}
        self.kept: set[str] = set()

    def __call__(self, argv: Sequence[str]) -> Completed:
        verb, uuid = [word for word in argv if not word.startswith("-")][-2:]
        app = "".join(word.partition("=")[2] for word in argv if word.startswith("--app="))
        held = any(word.startswith("--hold=") for word in argv)
        return self.call(verb, uuid, force="--force" in argv, app=app, held=held)

    def call(
        self, verb: str, uuid: str, *, force: bool = False, app: str = "", held: bool = False
    ) -> Completed:
        """Have the effects of an entry. held: the pod does not end for lack of apps until the next call."""
        self.calls.append((verb, uuid))
        try:
            if app:
                self._change_app(verb, uuid, app)
                self._hold(uuid, held=held or verb in self.failing or verb in self.leaving)
            else:
                self._enter(verb, uuid, force=force)
        except PodError as err:
            with lifecycle.open_pod(self.paths, uuid) as pod:
                failure.record_failure(pod.dir, err, _STAGES[verb])
            return Completed(254, b"", b"stage1: for people\n")
        if verb in self.failing:
            return Completed(1, b"", f"stage1: {self.failing[verb]}\n".encode())
        if verb in self.leaving:
            with lifecycle.open_pod(self.paths, uuid) as pod:
                failure.record_failure(pod.dir, *self.leaving.pop(verb))
            return Completed(254, b"", b"stage1: for people\n")
        if verb in self.late:
            self.late.discard(verb)
            raise HostFailure(f"podctl {verb} was killed: it has not ended in time")
        return Completed(0, b"", b"")

    @property
    def running(self) -> set[str]:
        """The running pods."""
        return set(self._held)

    @property
    def descriptors(self) -> set[int]:
        """The open descriptors of the running pods."""
        return {pod.fd for pod in self._held.values()}

    def pid_of(self, uuid: str) -> int:
        """The PID of a pod that runs or has run."""
        return self._pids.setdefault(uuid, _FIRST_PID + len(self._pids))

    def _enter(self, verb: str, uuid: str, *, force: bool) -> None:
        """Have the effects of a verb; a failing one has none, except a start, which fails halfway."""
        fails = verb in self.failing or verb in self.leaving
        if verb == "run-prepared":
            self.run(uuid, fails=fails)
        elif verb == "stop" and not fails and uuid not in self.immortal and (force or uuid not in self.deaf):
            self.finish(uuid)
        elif verb == "stage1-gc" and not fails:
            self._take_down(uuid)

    def _change_app(self, verb: str, uuid: str, app: str) -> None:
        """Start, stop or remove an app; a start that fails does so when its traces are there."""
        pod = self._held.get(uuid)
        if verb in self.failing and verb != "start-app":
            return
        if verb == "remove-app":
            self.up.get(uuid, set()).discard(app)
            with lifecycle.open_pod(self.paths, uuid) as found:
                for path in (found.dir.app_status(app), found.dir.app_end(app)):
                    pathlib.Path(path).unlink(missing_ok=True)
            return
        if pod is None:
            raise Conflict(f'pod "{uuid}" isn\'t currently running')
        pod.state()
        if verb == "stop-app":
            if app in self.up[uuid] and os.path.exists(pod.dir.app_status(app)):
                pathlib.Path(pod.dir.app_status(app)).write_text("143")
            self.up[uuid].discard(app)
            return
        if app in self.up[uuid]:
            raise Conflict(f'app "{app}" is running')
        self._check_app(pod, app)
        self._trace(pod, app)
        if verb not in self.failing and verb not in self.leaving:
            pathlib.Path(pod.dir.app_status(app)).write_text("")
            self.up[uuid].add(app)

    def _hold(self, uuid: str, *, held: bool) -> None:
        """Hold a pod for its next app; one that is not held ends without any."""
        if uuid in self._held and held:
            self.kept.add(uuid)
        else:
            self.kept.discard(uuid)
            if not self.up.get(uuid, True):
                self.end(uuid)

    def run(self, uuid: str, *, fails: bool = False) -> None:
        """Run the pod, or fail after it has acquired the resources of the host."""
        pod = lifecycle.open_pod(self.paths, uuid)
        if not pod.lock():
            pod.close()
            if not fails:
                raise Conflict(f'pod "{uuid}" is not prepared')
            return
        pod.move("run")
        self.holding.add(uuid)
        self._apps[uuid] = [str(app.name) for app in documents.read_manifest(pod.dir).apps]
        self._check_complete(pod)
        if fails:
            pod.close()
            return
        self._check_alone(pod)
        self._held[uuid] = pod
        self.up[uuid] = set(self._apps[uuid])
        self._leave_traces(pod)
        if self.ending:
            (status, words), self.ending = self.ending, None
            self.fail_app(uuid, status, words)
            self.end(uuid)

    def adopt(self, uuid: str) -> None:
        """Run the pod, as it did when this copy of its directory was made."""
        pod = lifecycle.open_pod(self.paths, uuid)
        if not pod.lock():
            raise AssertionError(uuid)
        self._held[uuid] = pod
        apps = [str(app.name) for app in documents.read_manifest(pod.dir).apps]
        self.up[uuid] = {app for app in apps if documents.read_status(pod.dir, app) is None}

    def finish(self, uuid: str, status: int = 0) -> None:
        """End its apps, all with one status."""
        if uuid in self._held:
            pod = self._held[uuid]
            for app in self._apps[pod.uuid]:
                pathlib.Path(pod.dir.app_status(app)).write_text(str(status))
            self.end(uuid)

    def fail_app(self, uuid: str, status: int, words: str = "") -> None:
        """End its first app with this status; the others are about to end."""
        pod = self._held[uuid]
        app = self._apps[uuid][0]
        pathlib.Path(pod.dir.app_end(app)).write_text(words)
        pathlib.Path(pod.dir.app_status(app)).write_text(str(status))

    def end(self, uuid: str) -> None:
        """Kill its PID 1, which then records nothing, if it has not ended yet."""
        if uuid in self._held:
            self.kept.discard(uuid)
            self.up.pop(uuid, None)
            self._held.pop(uuid).close()
            self.tell_end(uuid)

    def close(self) -> None:
        """End all pods."""
        for uuid in list(self._held):
            self.end(uuid)

    def _take_down(self, uuid: str) -> None:
        if uuid in self._held:
            self.wrong.append(f"taken down while it runs: {uuid}")
        self.holding.discard(uuid)

    def _check_complete(self, pod: Pod) -> None:
        """Raise NotFound unless everything that a start needs is there."""
        for app in self._apps[pod.uuid]:
            try:
                self._check_app(pod, app)
            except NotFound:
                pod.close()
                raise

    @staticmethod
    def _check_app(pod: Pod, app: str) -> None:
        for path in (pod.dir.app_lower(app), pod.dir.app_stage2_manifest(app), pod.dir.app_root(app)):
            if not os.path.exists(path):
                raise NotFound(f"there is no {path}")

    def _check_alone(self, pod: Pod) -> None:
        name = documents.read_outline(pod.dir).name
        for other in self._held.values():
            if name and documents.read_outline(other.dir).name == name:
                self.wrong.append(f"two pods of one name run: {other.uuid} and {pod.uuid}")

    def _leave_traces(self, pod: Pod) -> None:
        """Record the start of all apps, each with a file in its root and a line in its log."""
        os.makedirs(pod.dir.statuses, exist_ok=True)
        os.makedirs(pod.dir.logs, exist_ok=True)
        os.symlink("ready", pod.dir.supervisor_status)
        pathlib.Path(pod.dir.pid).write_text(f"{self.pid_of(pod.uuid)}\n")
        pathlib.Path(pod.dir.control).write_text("")
        for app in self._apps[pod.uuid]:
            pathlib.Path(pod.dir.app_status(app)).write_text("")
            self._trace(pod, app)

    @staticmethod
    def _trace(pod: Pod, app: str) -> None:
        upper = pathlib.Path(pod.dir.overlay("tree", app)[0])
        upper.mkdir(parents=True, exist_ok=True)
        with (upper / "runs").open("a") as file:
            file.write("one\n")
