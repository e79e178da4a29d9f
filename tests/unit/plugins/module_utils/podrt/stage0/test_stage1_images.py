# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which stage1 a pod gets, and what a stage1 image says of itself."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    Dns,
    HostsFile,
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.stage1 import Interface, run_flags
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import stage1_images
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import PodSpec, Stage1Choice
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.stage1_images import ensure_stage1
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan import stdio

RKT = "coreos.com/rkt/stage1/"


class Dirs:
    """A host whose configuration a test writes."""

    def __init__(self, base: pathlib.Path) -> None:
        self.base = base
        paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self.host = Host(paths, "amd64", f"{base}/runtime", "/usr/bin/python3")
        self.images = base / "lib/stage1-images"
        self.images.mkdir(parents=True)

    def configure(self, **members: str) -> None:
        place = self.base / "etc/stage1.d"
        place.mkdir(parents=True)
        document = {"rktKind": "stage1", "rktVersion": "v1", **members}
        (place / "s.json").write_text(json.dumps(document))

    def chosen(self, pull: str = "new", **way: str) -> str:
        """The flavour, or the reference of the image and how it is fetched."""
        asked: list[str] = []

        def ensure(reference, policy):  # type: ignore[no-untyped-def]
            asked.append(f"{reference} {policy.pull} {','.join(policy.insecure)}".rstrip())
            return None
            yield

        plan = ensure_stage1(
            self.host, PodSpec((), policy=FetchPolicy(pull), stage1=Stage1Choice(**way)), ensure
        )
        try:
            next(plan)
        except StopIteration as stop:
            return asked[0] if asked else str(stop.value.recorded)
        raise AssertionError("it made a change")


@pytest.fixture
def dirs(tmp_path: pathlib.Path) -> Dirs:
    return Dirs(tmp_path)


@pytest.mark.behaviour("D21", "D33")
@pytest.mark.parametrize(
    ("way", "found"),
    [
        ({}, "native"),
        ({"name": "native"}, "native"),
        ({"name": "fly"}, "fly"),
        ({"name": "coreos.com/rkt/stage1-fly:1.30.0"}, "fly"),
        ({"name": "coreos.com/rkt/stage1-host"}, "native"),
        ({"name": "coreos.com/rkt/stage1-kvm:1.30.0"}, "coreos.com/rkt/stage1-kvm:1.30.0 new"),
        ({"name": "example.com/s:1"}, "example.com/s:1 new"),
        ({"url": "https://example.com/s.aci"}, "https://example.com/s.aci new"),
        ({"url": "docker://quay.io/a/s:1"}, "docker://quay.io/a/s:1 new"),
        ({"path": "/no/s.aci"}, "/no/s.aci new"),
        ({"hash": "sha512-abcd"}, "sha512-abcd new"),
        ({"from_dir": "stage1-fly.aci"}, "fly"),
    ],
)
def test_a_stage1_is_chosen_in_five_ways(dirs: Dirs, way: dict[str, str], found: str) -> None:
    assert dirs.chosen(**way) == found


@pytest.mark.behaviour("D21")
@pytest.mark.parametrize(
    ("way", "where", "said"),
    [
        ({"name": "a", "path": "/b"}, "stage1_name", "exclude each other"),
        ({"url": "example.com/s"}, "stage1_url", "is not a URL"),
        ({"hash": "example.com/s"}, "stage1_hash", "is not the ID of an image"),
        ({"from_dir": "../x"}, "stage1_from_dir", "is not the name of a file"),
        ({"from_dir": "x.aci"}, "stage1_from_dir", "there is no stage1 image"),
    ],
)
def test_a_wrong_choice_is_an_error_at_its_option(
    dirs: Dirs, way: dict[str, str], where: str, said: str
) -> None:
    with pytest.raises(PodError, match=said) as caught:
        dirs.chosen(**way)
    place = caught.value.where if isinstance(caught.value, InvalidSpec) else caught.value.facts["where"]
    assert place == where


@pytest.mark.behaviour("D23")
def test_only_files_of_root_in_the_directory_need_no_signature(dirs: Dirs) -> None:
    file = dirs.images / "s.aci"
    file.touch(mode=0o644)
    dirs.images.chmod(0o755)
    assert dirs.chosen(from_dir="s.aci") == f"{file} new image"
    assert dirs.chosen(path=str(file)) == f"{file} new image"
    file.chmod(0o666)
    assert dirs.chosen(from_dir="s.aci") == f"{file} new"
    file.chmod(0o644)
    dirs.images.chmod(0o777)
    assert dirs.chosen(from_dir="s.aci") == f"{file} new"
    dirs.images.chmod(0o755)
    (dirs.images / "l.aci").symlink_to(file)
    assert dirs.chosen(from_dir="l.aci") == f"{dirs.images}/l.aci new"


@pytest.mark.behaviour("D22")
@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"location": "/s.aci"}, "/s.aci new"),
        ({"location": "https://example.com/s.aci"}, "https://example.com/s.aci new"),
        ({"name": "example.com/s", "version": "1", "location": "/s.aci"}, "/s.aci new"),
        ({"name": "coreos.com/rkt/stage1-fly", "version": "1.30.0"}, "fly"),
    ],
)
def test_the_configured_default_is_used_where_nothing_is_asked(
    dirs: Dirs, members: dict[str, str], found: str
) -> None:
    dirs.configure(**members)
    assert dirs.chosen() == found
    assert dirs.chosen(name="native") == "native"


@pytest.mark.behaviour("D22")
def test_a_default_that_is_nowhere_is_an_error_and_no_other_stage1(dirs: Dirs) -> None:
    dirs.configure(name="example.com/s", version="1")
    with pytest.raises(PodError, match="neither the location of the default stage1 image nor its filename"):
        dirs.chosen()


@pytest.mark.behaviour("D21")
@pytest.mark.parametrize(("pull", "used"), [("never", "never"), ("new", "new"), ("update", "new")])
def test_the_pull_policy_of_a_stage1(dirs: Dirs, pull: str, used: str) -> None:
    assert dirs.chosen(pull, name="example.com/s") == f"example.com/s {used}"


def manifest(**annotations: str) -> ImageManifest:
    pairs = {f"{RKT}{name.replace('_', '-')}": value for name, value in annotations.items()}
    return ImageManifest(
        ACIdentifier("example.com/s"), Labels(), annotations=Labels(tuple(sorted(pairs.items())))
    )


@pytest.mark.behaviour("D24", "D32")
def test_the_interface_is_in_the_annotations() -> None:
    found = Interface.of(manifest(run="/init", gc="/gc", interface_version="5"))
    assert (found.version, found.path("run"), found.path("gc"), found.path("stop")) == (5, "/init", "/gc", "")
    assert Interface.of(manifest(run="/init")).version == 1
    for wrong in (
        {},
        {"gc": "/gc"},
        {"run": "/init", "interface_version": "x"},
        {"run": "/i", "interface_version": "0"},
    ):
        with pytest.raises(InvalidSpec):
            Interface.of(manifest(**wrong))


@pytest.mark.behaviour("D25", "D32")
def test_the_flags_of_run_are_in_rkts_order() -> None:
    networks = NetworkRequest("default", (("A", "1"), ("B", "2"))), NetworkRequest("blue")
    spec = RunSpec(
        "",
        networks,
        "h",
        Dns("none"),
        HostsFile("host"),
        "private",
        ("capabilities", "paths", "seccomp"),
    )
    every = (
        "--net=default:A=1;B=2,blue",
        "--local-config=/etc/pods",
        "--hostname=h",
        "--dns-conf-mode=resolv=none,hosts=host",
        "--disable-capabilities-restriction",
        "--disable-paths",
        "--disable-seccomp",
        "--ipc=private",
    )
    assert run_flags(Interface(6), spec, "/etc/pods") == every
    assert run_flags(Interface(5), spec, "/etc/pods") == every[:-1]
    assert run_flags(Interface(3), spec, "/etc/pods") == (*every[:3], *every[4:7])
    assert run_flags(Interface(1), spec, "/etc/pods") == every[:2]
    assert Interface(6).lacks(spec) == ()
    assert Interface(1).lacks(spec) == (
        "--hostname",
        "--disable-capabilities-restriction",
        "--disable-paths",
        "--disable-seccomp",
        "--dns-conf-mode",
        "--ipc",
    )
    assert run_flags(Interface(6), RunSpec(), "/c") == ("--net=default", "--local-config=/c", "--ipc=auto")
    assert Interface(1).lacks(RunSpec()) == ()


def test_the_usual_standard_files_are_those_of_the_native_stage1() -> None:
    assert dict(stage1_images._STDIO) == dict(zip(stdio.NAMES, stdio.Stdio().row()))
    assert [f"{stage1_images._OF_STDIO}{name}" for name in stdio.NAMES] == [
        stdio.annotation_of(name) for name in stdio.NAMES
    ]
