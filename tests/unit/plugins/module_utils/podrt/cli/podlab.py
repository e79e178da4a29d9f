# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A data directory with pods that no process runs, and podctl called in this process."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
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
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.main import invoke
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod, create
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec

ID = "sha512-" + "ab" * 32


class Answer:
    """The status and output of podctl."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


class PodLab:
    """Pods in the test's own directory."""

    def __init__(self, base: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self._capfd = capfd
        self._pods: list[Pod] = []

    def podctl(self, *words: str) -> Answer:
        """Call podctl on this directory."""
        self._capfd.readouterr()
        paths = self.paths
        where = (
            f"--dir={paths.data}",
            f"--local-config={paths.local_config}",
            f"--system-config={paths.system_config}",
        )
        status = invoke((*where, *words))
        found = self._capfd.readouterr()
        return Answer(status, found.out, found.err)

    def make(self, state_dir: str, *apps: str, name: str = "", locked: bool = False) -> Pod:
        """Make a pod in one of the directories of the life cycle; a running one has a PID."""
        pod = create(self.paths)
        image = RuntimeImage(ImageID(ID), ACIdentifier("example.com/a"))
        runtime_apps = tuple(
            RuntimeApp(ACName(app), image, App(("/x",), "0", "0")) for app in apps or ("web",)
        )
        documents.write_manifest(pod.dir, PodManifest(runtime_apps))
        documents.write_runspec(pod.dir, RunSpec(name=name))
        if name:
            lookup.set_name(self.paths, name, pod.uuid)
        if state_dir != "prepare":
            pod.move(state_dir)
        self._pods.append(pod)
        if locked and state_dir == "run":
            write(pod.dir.pid, f"{os.getpid()}\n")
        if not locked:
            pod.close()
        return pod

    def dir(self, pod: Pod) -> PodDir:
        """The directory of a pod."""
        return pod.dir

    def close(self) -> None:
        """Release every lock."""
        for pod in self._pods:
            pod.close()


def write(path: str, text: str) -> None:
    """Write a file and the directories above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pathlib.Path(path).write_text(text)
