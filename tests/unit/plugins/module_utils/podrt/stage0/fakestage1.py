# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A data directory whose pods nothing runs: in place of stage1's entries stands what does to directories what they do.

A pod that "runs" is one whose lock is held here. Needs neither root nor the kernel's help.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import (
    documents,
    failure,
    lifecycle,
    lookup,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    Built,
    Preparation,
    SourceImage,
)

ID = ImageID("sha512-" + "ab" * 32)
IMAGE = RuntimeImage(ID, ACIdentifier("example.com/a"))
TREE = "deps-sha512-lab"


class FakeStage1:
    """What host.programs is in these tests.

    calls: verbs and UUIDs, in order. failing: verbs that fail, with what they say. leaving: verbs that fail once, with
    the error and its stage that they leave in the pod's directory. ending: how the app of the next pod that is run ends
    at once: its status, and words beside it.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, str] = {}
        self.leaving: dict[str, tuple[PodError, str]] = {}
        self.ending: tuple[int, str] | None = None
        self._held: dict[str, Pod] = {}

    def __call__(self, argv: Sequence[str], **_limits: object) -> Completed:
        words = [word for word in argv if not word.startswith("-")]
        verb, uuid = words[-2], words[-1]
        self.calls.append((verb, uuid))
        if verb in self.failing:
            return Completed(1, b"", f"stage1: {self.failing[verb]}\n".encode())
        if verb in self.leaving:
            with lifecycle.open_pod(self.paths, uuid) as pod:
                failure.leave(pod.dir, *self.leaving.pop(verb))
            return Completed(254, b"", b"stage1: for people\n")
        {"run-prepared": self.run, "stop": self.end}.get(verb, _nothing)(uuid)
        return Completed(0, b"", b"")

    def run(self, uuid: str) -> None:
        """The pod runs from now on."""
        pod = lifecycle.open_pod(self.paths, uuid)
        assert pod.lock()
        pod.move("run")
        self._held[uuid] = pod
        if self.ending:
            (status, words), self.ending = self.ending, None
            pathlib.Path(pod.dir.app_end("web")).write_text(words)
            pathlib.Path(pod.dir.app_status("web")).write_text(str(status))
            self.end(uuid)

    def end(self, uuid: str) -> None:
        """Its PID 1 has died."""
        self._held.pop(uuid).close()

    def close(self) -> None:
        for uuid in list(self._held):
            self.end(uuid)


def _nothing(_uuid: str) -> None:
    return None


class Stage0Lab:
    """The pods of a test."""

    def __init__(self, base: pathlib.Path) -> None:
        self.paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self.stage1 = FakeStage1(self.paths)
        self.host = Host(self.paths, "amd64", f"{base}/runtime", "/usr/bin/python3", self.stage1)
        self.lower = base / "lower"
        self.lower.mkdir()

    def make(self, name: str, state_dir: str = "prepared", *, means: bool = True, args: str = "/x") -> str:
        """A pod in one of the directories of the life cycle; what is in run does not run unless it is started."""
        with lifecycle.create(self.paths) as pod:
            documents.write_manifest(pod.dir, manifest(args))
            documents.write_runspec(pod.dir, RunSpec(name=name))
            _write_app(pod, self.lower)
            pod.move(state_dir)
        if means:
            lookup.set_name(self.paths, name, pod.uuid)
        return pod.uuid

    def running(self, name: str, *, means: bool = True, args: str = "/x") -> str:
        """A pod that runs."""
        uuid = self.make(name, means=means, args=args)
        self.stage1.run(uuid)
        return uuid

    def state(self, uuid: str) -> str:
        with lifecycle.open_pod(self.paths, uuid) as pod:
            return pod.state().value

    def meant(self, name: str) -> str | None:
        return lookup.uuid_of_name(self.paths, name)

    def uuids(self) -> set[str]:
        return {pod.uuid for pod in lifecycle.walk(self.paths)}


def manifest(args: str = "/x") -> PodManifest:
    return PodManifest((RuntimeApp(ACName("web"), IMAGE, App((args,), "0", "0")),))


def preparation(name: str, args: str = "/x") -> Preparation:
    source = SourceImage(ID, ImageManifest(ACIdentifier("example.com/a")))
    return Preparation(Built(manifest(args)), RunSpec(name=name), (source,))


def _write_app(pod: Pod, lower: pathlib.Path) -> None:
    info = pathlib.Path(pod.dir.app_info("web"))
    info.mkdir(parents=True)
    (info / "manifest").write_text('{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}')
    (info / "treeStoreID").write_text(TREE)
    (info / "lower").write_text(str(lower))
    os.makedirs(pod.dir.statuses)
