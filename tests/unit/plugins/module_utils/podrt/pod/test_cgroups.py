# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The directories of control groups, under any names of a host; and the settings of limits."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Cpu,
    CpuShares,
    Memory,
    Pids,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName, ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.mountinfo import MountEntry
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import cgroups, limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.cgroups import Group, Hierarchy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import (
    ChangedLimit,
    Limit,
    Setting,
    apply_limits,
    limits_of,
    limits_of_app,
    limits_of_pod,
    set_limits,
    shm_bytes,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.starter.inputs import cgroup_view

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Isolator

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
IO = Setting("io.max", "wbps=1048576 riops=7", key="8:0")
THROTTLE = Setting("blkio.throttle.read_bps_device", "1048576", key="8:0")


def mounted(target: str, kind: str = "cgroup", root: str = "/", *options: str) -> MountEntry:
    return MountEntry("0:30", target, root, ("rw",), kind, "cgroup", ("rw", *options))


def test_v1_with_joined_controllers() -> None:
    mounts = (
        mounted("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "/", "cpu", "cpuacct"),
        mounted("/cg/mem", "cgroup", "/", "memory"),
        mounted("/sys/fs/cgroup/systemd", "cgroup", "/", "xattr", "name=systemd"),
    )
    text = "5:cpu,cpuacct:/user.slice\n4:memory:/\n3:pids:/nowhere\n1:name=systemd:/a/b\n"
    assert cgroups.parse_hierarchies(text, mounts) == (
        Hierarchy(
            1, ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/user.slice"
        ),
        Hierarchy(1, ("memory",), "/cg/mem", "/cg/mem"),
        Hierarchy(1, ("name=systemd",), "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd/a/b"),
    )


def test_v2_alone_and_beside_v1() -> None:
    unified = mounted("/sys/fs/cgroup/unified", "cgroup2", "/", "nsdelegate")
    (found,) = cgroups.parse_hierarchies("0::/system.slice/x.service\n", (unified,))
    assert found == Hierarchy(
        2, (), "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/system.slice/x.service"
    )
    assert [
        h.version
        for h in cgroups.parse_hierarchies(
            "4:memory:/\n0::/\n", (unified, mounted("/m", "cgroup", "/", "memory"))
        )
    ] == [1, 2]


@pytest.mark.finding("attack7-F9")
@pytest.mark.parametrize("end", ["\r", "\x1c", "\u2028"], ids=ascii)
def test_a_group_that_an_app_names_is_on_one_line(end: str) -> None:
    unified = mounted("/sys/fs/cgroup", "cgroup2", "/", "rw")
    (found,) = cgroups.parse_hierarchies(f"0::/a{end}b\n", (unified,))
    assert found.path == f"/sys/fs/cgroup/a{end}b"


def test_a_mount_of_a_part_of_a_hierarchy_shows_what_is_in_it() -> None:
    part = mounted("/sys/fs/cgroup/memory", "cgroup", "/docker/abc", "memory")
    (found,) = cgroups.parse_hierarchies("4:memory:/docker/abc/inner\n", (part,))
    assert found.path == "/sys/fs/cgroup/memory/inner"
    assert cgroups.parse_hierarchies("4:memory:/docker/abcdef\n", (part,)) == ()


@pytest.mark.behaviour("D35")
def test_the_group_is_named_as_systemd_would() -> None:
    name = cgroups.group_name(UUID)
    assert name == r"machine-rkt\x2d6ba7b810\x2d9dad\x2d11d1\x2d80b4\x2d00c04fd430c8.scope"


@pytest.mark.behaviour("D35")
def test_what_was_recorded_is_found_again_and_a_line_that_was_cut_is_not_taken_for_a_group(
    tmp_path: pathlib.Path,
) -> None:
    pod = PodDir(str(tmp_path / UUID))
    (tmp_path / UUID).mkdir()
    v1 = Hierarchy(1, ("memory",), "/m", "/m/here")
    v2 = Hierarchy(2, (), "/u", "/u/x.service")
    name = cgroups.group_name(UUID)
    cgroups.record(pod, (Group(v1, f"/m/here/{name}"), Group(v2, f"/u/x.service/{name}")))
    assert pathlib.Path(pod.subcgroup).read_text() == f"here/{name}"
    assert cgroups.recorded(pod) == (f"/m/here/{name}", f"/u/x.service/{name}")
    record = tmp_path / UUID / "cgroups"
    record.write_text(f"/m/here/{name}\n/u/x.service")
    assert cgroups.recorded(pod) == (f"/m/here/{name}",)
    assert cgroups.recorded(PodDir(str(tmp_path / "none"))) == ()


def test_a_group_that_stays_does_not_keep_the_others(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_KILL_SECONDS", 0.0)
    stays, goes = tmp_path / "stays", tmp_path / "goes"
    for path in (stays, goes):
        path.mkdir()
    (stays / "file").touch()  # which no control group has, so that rmdir fails as it does when processes stay
    with pytest.raises(HostFailure, match="stays"):
        cgroups.remove_groups((str(stays), str(goes)))
    assert os.listdir(tmp_path) == ["stays"]


def test_removing_what_is_gone_is_fine(tmp_path: pathlib.Path) -> None:
    (tmp_path / "group" / "leaf").mkdir(parents=True)
    cgroups.remove_groups((str(tmp_path / "group"), str(tmp_path / "missing")))
    assert os.listdir(tmp_path) == []


def test_groups_are_removed_whatever_apps_have_made_in_some_of_them(tmp_path: pathlib.Path) -> None:
    groups = [tmp_path / name for name in ("one", "two", "three", "four")]
    for path, made in zip(groups, ("app", "app/own/deep", "other", "")):
        (path / made).mkdir(parents=True)
    cgroups.remove_groups(tuple(map(str, groups)))
    assert os.listdir(tmp_path) == []


def test_an_app_sees_one_tree_on_v2_and_one_directory_a_hierarchy_on_v1() -> None:
    v2 = Group(Hierarchy(2, (), "/sys/fs/cgroup", "/"), "/sys/fs/cgroup/pods/x")
    v1 = Group(Hierarchy(1, ("memory",), "/sys/fs/cgroup/memory", "/"), "/sys/fs/cgroup/memory/x")
    assert cgroup_view((v2,), "app") == (("/sys/fs/cgroup/pods/x/app", "/sys/fs/cgroup"),)
    assert cgroup_view((v1,), "app") == (("/sys/fs/cgroup/memory/x/app", "/sys/fs/cgroup/memory"),)


@pytest.mark.behaviour("C44", "C45")
@pytest.mark.parametrize(
    ("isolator", "v1", "v2"),
    [
        (Memory(26214400), {"memory.limit_in_bytes": "26214400"}, {"memory.max": "26214400"}),
        (Cpu(800), {"cpu.cfs_quota_us": "80000"}, {"cpu.max": "80000 100000"}),
        (Cpu(755), {"cpu.cfs_quota_us": "75000"}, {"cpu.max": "75000 100000"}),
        (Cpu(1), {"cpu.cfs_quota_us": "1000"}, {"cpu.max": "1000 100000"}),
        (CpuShares(2), {"cpu.shares": "2"}, {"cpu.weight": "1"}),
        (CpuShares(262144), {"cpu.shares": "262144"}, {"cpu.weight": "10000"}),
    ],
    ids=str,
)
def test_limits_are_what_the_kernel_wants(
    isolator: Memory | Cpu | CpuShares, v1: dict[str, str], v2: dict[str, str]
) -> None:
    (limit,) = limits_of((isolator,))
    assert v1.items() <= {setting.file: setting.value for setting in limit.v1}.items()
    assert v2.items() <= {setting.file: setting.value for setting in limit.v2}.items()


@pytest.mark.behaviour("C44")
def test_the_last_limit_of_a_kind_wins() -> None:
    (limit,) = limits_of((Memory(8192), Memory(4096)))
    assert limit.v2[0].value == "4096"


def manifest(*apps: Isolator, pod: tuple[Isolator, ...] = ()) -> PodManifest:
    """A pod with an app for each isolator."""
    found = tuple(
        RuntimeApp(
            ACName(f"app{number}"),
            RuntimeImage(ImageID("sha512-" + "ab" * 32)),
            App(("/run",), "0", "0", isolators=(isolator,)),
        )
        for number, isolator in enumerate(apps)
    )
    return PodManifest(apps=found, isolators=pod)


def pids_of(limits: tuple[Limit, ...]) -> str:
    (limit,) = (limit for limit in limits if limit.controller == "pids")
    assert limit.v1 == limit.v2 and [setting.file for setting in limit.v1] == ["pids.max"]
    return limit.v1[0].value


@pytest.mark.finding("attack-F7")
@pytest.mark.parametrize(
    ("of_apps", "of_pod", "apps", "pod"),
    [
        ([Memory(8192)], (), ["2048"], "4098"),
        ([Memory(8192), Pids(50)], (), ["2048", "50"], "4099"),
        ([Pids(5000), Memory(8192)], (), ["5000", "2048"], "5003"),
        ([Pids(-1)], (), ["max"], "max"),
        ([Pids(-1), Pids(30)], (Pids(100),), ["100", "30"], "103"),
        ([Memory(8192)], (Pids(-1),), ["2048"], "max"),
        ([Memory(8192)], (Pids(10),), ["10"], "12"),
    ],
)
def test_processes_are_limited_whoever_says_what(
    of_apps: list[Isolator], of_pod: tuple[Isolator, ...], apps: list[str], pod: str
) -> None:
    described = manifest(*of_apps, pod=of_pod)
    assert [pids_of(limits_of_app((each,), described)) for each in of_apps] == apps
    assert pids_of(limits_of_pod(described)) == pod


@pytest.mark.finding("attack-F7")
@pytest.mark.behaviour("C46")
def test_a_kernel_that_cannot_limit_processes_is_told_once_a_pod() -> None:
    described = manifest(Memory(8192))
    (sentence,) = apply_limits((), "", limits_of_pod(described))
    assert sentence == "resource/pids isolator set but support disabled in the kernel, skipping"
    assert apply_limits((), "app", limits_of_app((), described)) == ()
    assert apply_limits((), "app", limits_of_app((Pids(5),), described)) == (sentence,)


@pytest.mark.behaviour("C46")
def test_a_missing_controller_is_told(tmp_path: pathlib.Path) -> None:
    missed = apply_limits((), "app", limits_of((Memory(8192),)))
    assert missed == ("resource/memory isolator set but support disabled in the kernel, skipping",)


@pytest.mark.finding("review-B6")
@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_the_kernel_rounds_a_memory_limit_to_its_own_pages(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(limits.os, "sysconf", lambda name: {"SC_PAGE_SIZE": page}[name])
    for wanted in (1_000_000, 10 * page, 10 * page + 1, 11 * page - 1):
        setting = Setting("memory.max", str(wanted))
        assert setting.holds(str(wanted // page * page))
        assert not setting.holds(str((wanted // page - 1) * page))
        assert not setting.holds(str((wanted // page + 1) * page))


@pytest.mark.parametrize(("said", "fine"), [("8192", True), ("8191", True), ("4095", False), ("max", False)])
def test_what_the_kernel_says_back_counts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str, fine: bool
) -> None:
    group = Group(Hierarchy(2, ("memory",), str(tmp_path), "/"), str(tmp_path))
    (tmp_path / "app").mkdir()
    for name in ("memory.max", "memory.swap.max", "memory.oom.group"):
        (tmp_path / "app" / name).touch()
    wanted = limits_of((Memory(8192),))
    wrong = wanted[0].replace(v2=(wanted[0].v2[0].replace(value=said),))
    if fine:
        assert apply_limits((group,), "app", wanted) == ()
        return
    (tmp_path / "app" / "memory.max").write_text("9" * 12)
    with pytest.raises(HostFailure, match="cannot set a limit"):
        apply_limits((group,), "app", (wrong,))


@pytest.mark.parametrize(
    ("setting", "text", "holds"),
    [
        (Setting("pids.max", "50"), "50\n", True),
        (Setting("pids.max", "50"), "49\n", False),  # only memory is rounded (attack-F7)
        (Setting("pids.max", "max"), "max", True),
        (Setting("cpu.max", "50000 100000"), "50000 100000", True),
        (Setting("cpu.max", "50000 100000"), "100000 50000", False),
        (IO, "8:0 rbps=max wbps=max riops=max wiops=max\n", False),
        (IO, "8:0 rbps=max wbps=1048576 riops=7 wiops=max\n", True),
        (IO, "8:16 rbps=9 wbps=max riops=max wiops=max\n8:0 rbps=1 wbps=1048576 riops=7 wiops=2\n", True),
        (IO, "18:0 rbps=max wbps=1048576 riops=7 wiops=max\n", False),
        (IO, "8:0 rbps=max wbps=10485760 riops=7 wiops=max\n", False),
        (IO, "", False),
        (THROTTLE, "8:16 5\n8:0 1048576\n", True),
        (THROTTLE, "8:0 10485760\n", False),
        (THROTTLE, "", False),
        (Setting("io.weight", "200", key="default"), "default 200\n8:0 100\n", True),
        (Setting("io.weight", "200", key="default"), "default 100\n8:0 200\n", False),
    ],
    ids=str,
)
def test_a_setting_says_itself_whether_the_kernel_holds_it(setting: Setting, text: str, holds: bool) -> None:
    assert setting.holds(text) is holds


def test_a_line_of_one_key_is_written_and_set_again(tmp_path: pathlib.Path) -> None:
    """A keyed file takes one line a write(2), and shows all of them."""
    group = Group(Hierarchy(2, ("io",), str(tmp_path), "/"), str(tmp_path))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "io.max").touch()
    limit = Limit("resource/block-iops", "io", (), (IO,))
    assert apply_limits((group,), "app", (limit,)) == ()
    assert (tmp_path / "app" / "io.max").read_text() == "8:0 wbps=1048576 riops=7"
    (tmp_path / "app" / "io.max").write_text("")
    changed = ChangedLimit(f"{tmp_path}/app/io.max", IO, "", limit.isolator, "app")
    set_limits((changed,))
    assert (tmp_path / "app" / "io.max").read_text() == "8:0 wbps=1048576 riops=7"


@pytest.mark.behaviour("C46")
def test_a_limit_none_of_whose_files_exists_is_told(tmp_path: pathlib.Path) -> None:
    group = Group(Hierarchy(2, ("io",), str(tmp_path), "/"), str(tmp_path))
    (tmp_path / "app").mkdir()
    limit = Limit("x/weight", "io", (), (Setting("io.bfq.weight", "1", optional=True),))
    assert apply_limits((group,), "app", (limit,)) == (
        "x/weight isolator set but support disabled in the kernel, skipping",
    )


MIB = 1 << 20


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize(
    ("of_pod", "of_apps", "wanted"),
    [
        (None, [None], 64 * MIB),
        (None, [1024 * MIB], 512 * MIB),
        (None, [16 * MIB], 64 * MIB),
        (None, [1024 * MIB, 1024 * MIB], 1024 * MIB),
        (None, [1024 * MIB, None], 512 * MIB),
        (256 * MIB, [None, 1024 * MIB], 128 * MIB),
        (2**63 - 1, [None], 1 << 60),
    ],
)
def test_shared_memory_is_half_of_what_the_apps_have_and_no_less_than_elsewhere(
    of_pod: int | None, of_apps: list[int | None], wanted: int
) -> None:
    def limited(limit: int | None) -> tuple[Isolator, ...]:
        return (Memory(limit),) if limit else ()

    apps = tuple(
        RuntimeApp(
            ACName(f"app{number}"),
            RuntimeImage(ImageID("sha512-" + "0" * 64)),
            App(("/x",), "0", "0", isolators=limited(limit)),
        )
        for number, limit in enumerate(of_apps)
    )
    assert shm_bytes(PodManifest(apps, isolators=limited(of_pod))) == wanted
