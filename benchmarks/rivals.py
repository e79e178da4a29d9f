# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The two rivals: podctl as a module installs it, and podman, each with its own store."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Sequence

from images import APP
from isolation import group_of
from measure import said

SLEEP = ("/bin/sleep", "3600")
# Raising these needs CAP_SYS_RESOURCE, which root does not have on every machine.
ULIMITS = ("nproc=1024:1024", "nofile=1024:1024")


# Without it podctl has no commands for apps of a pod that runs.
EXPERIMENT = {**os.environ, "RKT_EXPERIMENT_APP": "true"}


class Ours:
    """podctl, with a data directory. image: the key of an image of busybox once it is stored."""

    def __init__(self, program: pathlib.Path, data: pathlib.Path) -> None:
        self.data = data
        self.flags = [f"--dir={data}", f"--local-config={data}/none", f"--system-config={data}/none"]
        self.flags.append("--insecure-options=image,http")
        self._program = str(program)
        self.image = ""

    def argv(self, *words: str) -> list[str]:
        return [self._program, *self.flags, *words]

    def run_true(self, *flags: str) -> list[str]:
        return self.argv("run", *flags, self.image, "--exec=/bin/true")

    def run_apps(self, count: int) -> list[str]:
        """A pod of so many apps that end at once."""
        words = ["run", "--net=host"]
        for number in range(count):
            words += [self.image, "--exec=/bin/true", f"--name=app{number}"]
        return self.argv(*words)

    def start(self) -> str:
        """Start a pod that sleeps, on the default network; returns its UUID."""
        program, *args = SLEEP
        uuid = said(self.argv("prepare", "--quiet", self.image, f"--exec={program}", "--", *args))
        said(self.argv("run-prepared", "--detach", uuid))
        return uuid

    def sandbox(self) -> str:
        """Start a pod without apps, which stays; returns its UUID."""
        file = self.data.parent / "sandbox"
        words = ("app", "sandbox", "--detach", "--net=host", f"--uuid-file-save={file}")
        said(self.argv(*words), EXPERIMENT)
        return file.read_text()

    def add_app(self, uuid: str) -> None:
        """Prepare an app that sleeps, late, in a running pod."""
        program, *args = SLEEP
        words = ("app", "add", uuid, self.image, "--name=late", f"--exec={program}", "--", *args)
        said(self.argv(*words), EXPERIMENT)

    def remove_app(self, uuid: str) -> None:
        """Remove it."""
        said(self.argv("app", "rm", uuid, "--app=late"), EXPERIMENT)

    def remove(self, uuids: Sequence[str]) -> None:
        """End pods and remove them."""
        if uuids:
            said(self.argv("stop", "--force", *uuids))
            for uuid in uuids:
                said(self.argv("status", "--wait=20s", uuid))
            said(self.argv("rm", *uuids))

    def collect(self) -> None:
        """Remove all pods that have ended."""
        said(self.argv("gc", "--grace-period=0s"))


class Podman:
    """podman, with its own store. executable: a script that adds the flags, for callers of podman."""

    def __init__(self, work: pathlib.Path, home: pathlib.Path | None = None) -> None:
        home = home or work
        program = shutil.which("podman") or "podman"
        self._program = [program, "--root", f"{home}/podman", "--runroot", f"{home}/podman-run"]
        self._program += ["--tmpdir", f"{home}/podman-tmp", "--storage-driver", "overlay"]
        self._program += ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        if shutil.which("runc"):
            self._program += ["--runtime", "runc"]
        self.group = group_of(work)
        self.executable = home / "podman.sh"
        self.executable.write_text(f'#!/bin/sh\nexec {" ".join(self._program)} "$@"\n')
        self.executable.chmod(0o755)

    def argv(self, *words: str) -> list[str]:
        return [*self._program, *words]

    def run(self, *flags: str) -> list[str]:
        limits = [f"--ulimit={limit}" for limit in ULIMITS]
        return self.argv("run", f"--cgroup-parent={self.group}", *limits, *flags)

    def run_true(self, *flags: str) -> list[str]:
        return self.run("--rm", *flags, APP, "/bin/true")

    def start(self) -> str:
        return said(self.run("--detach", APP, *SLEEP))

    def prepare_store(self) -> None:
        """Let it make the files of a new store before its first image."""
        said(self.argv("images", "--quiet"))

    def remove_all(self) -> None:
        said(self.argv("rm", "--all", "--force", "--time", "0"))


def missing() -> str:
    """Why podman cannot be measured; "" if it can."""
    return "" if shutil.which("podman") else "podman (missing: not installed here)"


def overhead(apps: str = "busybox") -> dict[str, float]:
    """The PSS in MB of every process of these namespaces that is not an app, by its PID."""
    found: dict[str, float] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) != apps:
                found[pid] = _pss(pid)
        except OSError:  # it has ended, or is a zombie
            continue
    return found


def _pss(pid: str) -> float:
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))
