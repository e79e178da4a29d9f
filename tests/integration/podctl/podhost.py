# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A host for real pods: the test's own data directory, an image made of busybox, and podctl to call."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
PODCTL = str(CHECKOUT / "bin" / "podctl")
BUSYBOX = "/bin/busybox"
APPLETS = (
    "cat chmod date echo env false grep head hostname id ip kill ls mkdir nc printf sh sleep tail touch true"
)
PREFIX = re.compile(r"^\[[^]]*\] ([a-z0-9-]+)\[[0-9]+\]: (.*)$")
SECONDS = 60


def image_manifest(name: str, app: Mapping[str, object] | None) -> dict[str, object]:
    labels = {"os": "linux", "arch": "amd64", "version": "1.0"}
    found: dict[str, object] = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": name,
        "labels": [{"name": key, "value": value} for key, value in labels.items()],
    }
    return {**found, "app": dict(app)} if app is not None else found


def write_image(
    path: pathlib.Path,
    name: str,
    app: Mapping[str, object] | None,
    more: Mapping[str, tuple[int, bytes]] | None = None,
    **members: object,
) -> pathlib.Path:
    """An ACI with busybox in it. more: other files, their modes and contents. members: of the manifest."""
    files = {
        "manifest": json.dumps({**image_manifest(name, app), **members}).encode(),
        "rootfs/bin/busybox": pathlib.Path(BUSYBOX).read_bytes(),
        "rootfs/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nworker:x:100:200:worker:/:/bin/sh\n",
        "rootfs/etc/group": b"root:x:0:\nworkers:x:200:\n",
        "rootfs/data/shipped": b"from the image\n",
    }
    with tarfile.open(path, "w") as archive:
        for directory in ("rootfs", "rootfs/bin", "rootfs/etc", "rootfs/data", "rootfs/tmp"):
            archive.addfile(_entry(directory, tarfile.DIRTYPE, 0o755))
        for member, data in files.items():
            entry = _entry(member, tarfile.REGTYPE, 0o755)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for member, (mode, data) in (more or {}).items():
            entry = _entry(f"rootfs/{member}", tarfile.REGTYPE, mode)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for applet in APPLETS.split():
            link = _entry(f"rootfs/bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            archive.addfile(link)
    return path


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


class Done:
    """The status and output of podctl. lines: of the apps' output, without rkt's prefix, as (app, text)."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def said(self) -> list[tuple[str, str]]:
        found = (PREFIX.match(line.rstrip("\r")) for line in self.out.splitlines())
        return [(match[1], match[2]) for match in found if match]

    @property
    def texts(self) -> list[str]:
        return [text for _app, text in self.said]


def called(argv: list[str], **more: object) -> Done:
    """Run a program that calls podctl to its end. more: for subprocess.run."""
    options: dict[str, object] = {"timeout": SECONDS, "stdin": subprocess.DEVNULL, **more}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    return Done(done.returncode, done.stdout, done.stderr)


def write_leases_place(config: pathlib.Path, leases: pathlib.Path) -> None:
    """Configure the test's own leases: concurrent tests have networks of the same name."""
    document = {"rktKind": "paths", "rktVersion": "v1", "leases": str(leases)}
    (config / "paths.d").mkdir(parents=True, exist_ok=True)
    (config / "paths.d" / "leases.json").write_text(json.dumps(document))


class PodHost:
    """The host of a test's pods."""

    def __init__(self, base: pathlib.Path, image: str) -> None:
        self.image = image
        self.base = base
        self.data = base / "data"
        self.where = [f"--dir={self.data}", f"--local-config={base}/etc", f"--system-config={base}/lib"]
        self.where.append("--insecure-options=image")
        write_leases_place(base / "etc", base / "leases")
        self._started: list[subprocess.Popen[str]] = []

    def podctl(self, *words: str, **more: object) -> Done:
        """Call podctl and wait for it."""
        return called([PODCTL, *self.where, *words], **more)

    def ok(self, *words: str) -> str:
        """Call podctl, which must succeed; returns its standard output without the last newline."""
        done = self.podctl(*words)
        assert done.status == 0, f"{words}: {done.status}\n{done.out}\n{done.err}"
        return done.out.rstrip("\n")

    def sandbox(self, *flags: str, net: str = "none") -> str:
        """Run a pod without apps; returns its UUID. Not by ok: the first process keeps the output of its starter."""
        file = self.base / "uuid"
        done = self.podctl("app", "sandbox", "--detach", f"--net={net}", f"--uuid-file-save={file}", *flags)
        assert done.status == 0, done.err
        return file.read_text()

    def sh(self, script: str, *flags: str, pod_flags: tuple[str, ...] = ("--net=none",)) -> Done:
        """Run a pod of one app that runs a script."""
        return self.podctl("run", *pod_flags, self.image, "--exec=/bin/sh", *flags, "--", "-c", script)

    def background(self, *words: str) -> subprocess.Popen[str]:
        """Start podctl in the background."""
        process = subprocess.Popen(
            [PODCTL, *self.where, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def detached(self, script: str, *flags: str, net: str = "none") -> str:
        """Run a pod of one app with a script in the background; returns its UUID."""
        uuid = self.ok("prepare", "--quiet", self.image, "--exec=/bin/sh", *flags, "--", "-c", script)
        self.ok("run-prepared", "--detach", f"--net={net}", uuid)
        return uuid

    def state(self, uuid: str) -> str:
        return self.ok("status", uuid).splitlines()[0].partition("=")[2]

    def wait(self, uuid: str) -> list[str]:
        """The lines of the status once the pod has ended."""
        return self.ok("status", "--wait=20s", uuid).splitlines()

    def uuids(self) -> list[str]:
        return [line.split("\t")[0] for line in self.lines()]

    def lines(self) -> list[str]:
        """The first line of every pod: UUID, app, image, state and more, between tabs."""
        lines = self.ok("list", "--full", "--no-legend").splitlines()
        return [line for line in lines if line[:1] != "\t"]

    def close(self) -> None:
        """Remove all pods, and check that nothing is left of them."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        uuids = self._remove_all()
        for process in self._started:
            process.wait(SECONDS)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        if uuids or self._started:
            assert self.uuids() == []
        assert cgroups_of(uuids) == []

    def _remove_all(self) -> list[str]:
        """Remove the pods and return their UUIDs, by few calls: each starts an interpreter."""
        lines = self.lines()
        uuids = [line.split("\t")[0] for line in lines]
        may_run = [uuid for uuid, line in zip(uuids, lines) if "exited" not in line.split("\t")]
        if may_run:
            stopped = self.podctl("stop", "--force", *may_run).out.splitlines()
            for uuid in may_run:
                if f'"{uuid}"' in stopped:
                    self.podctl("status", "--wait=20s", uuid)
        if uuids:
            self.podctl("rm", *uuids)
        return uuids


def cgroups_of(uuids: list[str]) -> list[str]:
    """The remaining cgroups of these pods."""
    if not uuids:
        return []
    names = [name for uuid in uuids for name in (uuid, uuid.replace("-", "\\x2d"))]
    # os.walk ignores directories that disappear meanwhile: other processes use the hierarchies too
    found = (
        f"{place}/{child}" for place, children, *_files in os.walk("/sys/fs/cgroup") for child in children
    )
    return [path for path in found if any(name in os.path.basename(path) for name in names)]


def eventually(check: object, seconds: float = 30.0) -> None:
    """Wait until check() is true."""
    end = time.monotonic() + seconds
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def imported(*words: str) -> tuple[int, set[str]]:
    """The exit status of podctl and the modules that it imports."""
    python = pathlib.Path(sys.executable).resolve()
    launch = CHECKOUT / "plugins" / "module_utils" / "podrt" / "launch.py"
    argv = [str(python), "-I", "-S", "-X", "importtime", str(launch), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip() for line in lines}
