# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A test's own host: its directories, a store with images, and pods that only a fake runs."""

from __future__ import annotations

import io
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
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
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import entries
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import filters
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    Preparation,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import PodSpec
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakekernel import (
    FakeClock,
    FakeKernel,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakestage1 import (
    FakeStage1,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakesystemd import (
    FakeSystemd,
)

ID = ImageID("sha512-" + "ab" * 32)
IMAGE = RuntimeImage(ID, ACIdentifier("example.com/a"))
TREE = "deps-sha512-lab"
_ARCHES = {"x86_64": "amd64", "aarch64": "aarch64"}
_POLICY = FetchPolicy(insecure=("image",))


class Stage0Lab:
    """The host and the pods of a test. store: a directory as make_store makes it, for tests whose pods have images."""

    def __init__(self, base: pathlib.Path, store: pathlib.Path | None = None) -> None:
        self.base, self.store = base, store
        base.mkdir(exist_ok=True)
        self.paths = _paths(base)
        if store:
            shutil.copytree(store / "data", base / "data", symlinks=True)
        self.stage1, self.kernel, self.clock = FakeStage1(self.paths), FakeKernel(), FakeClock()
        runtime = f"{base}/runtime"
        self.host = Host(
            self.paths, "amd64", runtime, "/usr/bin/python3", self.programs, self.kernel, self.clock
        )
        self.systemd: FakeSystemd | None = None
        for program in ("launch.py", "stage1/starter/mend.py", "stage1/starter/addition.py"):
            _write(pathlib.Path(f"{runtime}/podrt/{program}"), "")
        self.lower = base / "lower"
        self.lower.mkdir()

    def programs(self, argv: Sequence[str], **_limits: object) -> Completed:
        """host.programs: podctl of some runtime, or systemctl."""
        if argv[0] != "systemctl":
            return self.stage1(argv)
        if self.systemd is None:
            raise AssertionError(argv)
        return self.systemd(argv)

    def boot(self) -> FakeSystemd:
        """Make systemd PID 1."""
        self.systemd = FakeSystemd(self.host, self.stage1)
        return self.systemd

    def spec(self, **options: Any) -> PodSpec:
        """The spec that pod_run makes of these options and the required ones; app: of its one app."""
        image = str(self.store / "web.aci") if self.store else "sha512-ab"
        app = {"name": "web", "image": image, **options.pop("app", {})}
        least = {"name": "web", "apps": [app], "networks": ["none"], "insecure_options": ["image"]}
        return pod_spec(Fields({**least, **options}, ""))

    def make(self, name: str, state_dir: str = "prepared", *, means: bool = True, args: str = "/x") -> str:
        """Make a pod in one of the directories of the life cycle; one in run does not run unless it is started."""
        with lifecycle.create(self.paths) as pod:
            documents.write_manifest(pod.dir, manifest(args))
            documents.write_runspec(pod.dir, RunSpec(name=name))
            _write_app(pod, self.lower)
            pod.move(state_dir)
        if means:
            lookup.set_name(self.paths, name, pod.uuid)
        return pod.uuid

    def running(self, name: str, *, means: bool = True, args: str = "/x") -> str:
        """Make a running pod."""
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

    def names(self) -> dict[str, str]:
        """Every name, with its pod."""
        found = {name: self.meant(name) for name in entries(self.paths.names)}
        return {name: uuid for name, uuid in found.items() if uuid}

    def documents(self, uuid: str) -> tuple[str, ...]:
        """The documents of a pod, and whether it was asked to stop."""
        with lifecycle.open_pod(self.paths, uuid) as pod:
            texts = [pathlib.Path(path).read_text() for path in (pod.dir.manifest, pod.dir.runspec)]
            return (*texts, "stopped" if os.path.exists(pod.dir.stopped) else "")

    def files(self, *, store: bool = False) -> list[pathlib.Path]:
        """Every file, except units and the locks of the store. store: also the files of the store."""
        return [
            pathlib.Path(directory, leaf)
            for part in self._parts(store=store)
            for directory, _names, leaves in os.walk(self.base / part)
            for leaf in leaves
            if not directory.endswith(("imagelocks", "treestorelocks"))
            and not (part == "units" and leaf.endswith(".tmp"))
        ]

    def settle(self) -> None:
        """Let due events happen, and end all faults of the fakes."""
        self.clock.sleep(60)
        self.stage1.failing.clear()
        self.stage1.leaving.clear()
        self.stage1.late.clear()
        self.stage1.ending = None

    def save(self, *, store: bool = False) -> Callable[[], None]:
        """The function that restores the present state. store: also that of the store."""
        saved = pathlib.Path(tempfile.mkdtemp(dir=self.base))
        parts = self._parts(store=store)
        for part in parts:
            _replace(self.base / part, saved / part)
        running, holding = self.stage1.running, set(self.stage1.holding)
        units = self.systemd.save() if self.systemd else lambda: None

        def restore() -> None:
            self.stage1.close()
            self.settle()
            for part in parts:
                _replace(saved / part, self.base / part)
            for uuid in running:
                self.stage1.adopt(uuid)
            self.stage1.holding = set(holding)
            units()

        return restore

    @staticmethod
    def _parts(*, store: bool) -> tuple[str, ...]:
        """The directories of files that tasks write."""
        parts = ("data/pods", "data/names", "data/locks", "data/filters", "run", "units")
        return (*parts, "data/cas", "data/tree") if store else parts


def make_store(base: pathlib.Path) -> pathlib.Path:
    """Make a directory with the image files web.aci and other.aci, and below data/ a store with both."""
    host = Host(_paths(base), "amd64", f"{base}/runtime", "/usr/bin/python3")
    for name in ("web", "other"):
        file = base / f"{name}.aci"
        file.write_bytes(archive(name))
        fetch.fetch(host, parse_reference(str(file)), _POLICY, lambda _line: None)
    (base / "data" / "fingerprint.key").write_bytes(b"k" * 32)
    filters.compile_filter(host.paths, App(("/bin/web",), "0", "0"), insecure=False, arch="amd64")
    return base


def archive(name: str, **app: Any) -> bytes:
    """An image of one program, owned by the user of the test: only root can set owners. app: what it runs."""
    labels = {"os": "linux", "arch": _ARCHES.get(os.uname().machine, os.uname().machine)}
    document = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": f"example.com/{name}",
        "labels": [{"name": label, "value": value} for label, value in labels.items()],
        "app": {"exec": [f"/bin/{name}"], "user": "0", "group": "0", **app},
    }
    program = {f"rootfs/bin/{name}": f"#!/bin/{name}\n"}
    content = {"manifest": json.dumps(document), "rootfs": "", "rootfs/bin": "", **program}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, text in content.items():
            member = tarfile.TarInfo(path)
            member.mode, member.uid, member.gid, member.size = 0o755, os.getuid(), os.getgid(), len(text)
            member.type = tarfile.REGTYPE if text else tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def manifest(args: str = "/x") -> PodManifest:
    return PodManifest((RuntimeApp(ACName("web"), IMAGE, App((args,), "0", "0")),))


def preparation(name: str, args: str = "/x") -> Preparation:
    source = Image(ID, ImageManifest(ACIdentifier("example.com/a")))
    return Preparation(manifest(args), RunSpec(name=name), (source,))


def _paths(base: pathlib.Path) -> Paths:
    return Paths(
        data=f"{base}/data",
        local_config=f"{base}/etc",
        system_config=f"{base}/lib",
        run=f"{base}/run",
        leases=f"{base}/leases",
        units=f"{base}/units",
        systemd=f"{base}/systemd",
    )


def _replace(source: pathlib.Path, target: pathlib.Path) -> None:
    """Make a directory equal to another one, by hard links: files here are replaced, never written in place."""
    if target.exists():
        shutil.rmtree(target)
    if source.exists():
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_app(pod: Pod, lower: pathlib.Path) -> None:
    info = pathlib.Path(pod.dir.app_info("web"))
    info.mkdir(parents=True)
    (info / "manifest").write_text('{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}')
    (info / "treeStoreID").write_text(TREE)
    (info / "lower").write_text(str(lower))
    os.makedirs(pod.dir.statuses)
    os.makedirs(pod.dir.app_root("web"))
    os.link(pod.dir.app_manifest("web"), pod.dir.app_stage2_manifest("web"))
