# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What isolators become: files of control groups of a running pod, sysctls and file systems seen from inside."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import cgroups
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.documents import read_manifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import (
    applied_limits,
    changed_limits,
    set_limits,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    NO_NET,
    SECONDS,
    LabPod,
    StageLab,
)

MIB = 1 << 20


def isolator(name: str, value: object) -> dict[str, object]:
    return {"name": name, "value": value}


def memory(limit: int) -> dict[str, object]:
    return isolator("resource/memory", {"limit": str(limit)})


def tool(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=SECONDS).stdout.strip()


@pytest.fixture
def disk(tmp_path: pathlib.Path) -> Iterator[str]:
    """A whole disk of this machine, of its own."""
    (tmp_path / "disk").touch()
    os.truncate(tmp_path / "disk", 8 * MIB)
    path = tool("losetup", "--partscan", "--find", "--show", str(tmp_path / "disk"))
    yield path
    tool("losetup", "--detach", path)


def numbers_of(path: str) -> str:
    found = os.stat(path)
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def running(stage: StageLab, isolators: list[Any], of_pod: list[Any] | None = None) -> LabPod:
    pod = stage.sh("sleep 60", NO_NET, isolators=isolators, isolators_of_pod=of_pod or [])
    pod.start(detach=True)
    pod.wait_ready()
    return pod


def texts(pod: LabPod, file: str, leaf: str = "main") -> list[str]:
    """The contents of a file in the pod's groups."""
    found = [pathlib.Path(f"{group}/{leaf}/{file}") for group in cgroups.recorded(pod.dir)]
    return [path.read_text().strip() for path in found if path.exists()]


def told(pod: LabPod, isolator: str, leaf: str = "main") -> list[str]:
    found = applied_limits(cgroups.recorded(pod.dir), read_manifest(pod.dir))
    return [each.value for each in found if (each.isolator, each.leaf) == (isolator, leaf)]


@pytest.mark.behaviour("C43", "C44")
def test_memory_has_a_reservation_and_swap_of_its_own(stage: StageLab) -> None:
    wanted = [
        memory(64 * MIB),
        isolator("os/linux/memory-reservation", "32Mi"),
        isolator("os/linux/memory-swap", "96Mi"),
    ]
    pod = running(stage, wanted)
    assert texts(pod, "memory.limit_in_bytes") + texts(pod, "memory.max") == [str(64 * MIB)]
    assert texts(pod, "memory.soft_limit_in_bytes") + texts(pod, "memory.low") == [str(32 * MIB)]
    # v1 counts memory and swap together, v2 swap alone.
    assert texts(pod, "memory.memsw.limit_in_bytes") in ([], [str(96 * MIB)])
    assert texts(pod, "memory.swap.max") in ([], [str(32 * MIB)])
    assert told(pod, "resource/memory")[0] == str(64 * MIB)
    assert told(pod, "os/linux/memory-reservation") == [str(32 * MIB)]
    assert len(told(pod, "os/linux/memory-swap")) == 1


def test_swap_may_be_without_a_limit(stage: StageLab) -> None:
    pod = running(stage, [memory(64 * MIB), isolator("os/linux/memory-swap", "-1")])
    assert [int(text) > 1 << 62 for text in texts(pod, "memory.memsw.limit_in_bytes")] in ([], [True])
    assert texts(pod, "memory.swap.max") in ([], ["max"])
    assert changed_limits(cgroups.recorded(pod.dir), read_manifest(pod.dir)) == ()


@pytest.mark.behaviour("C45")
def test_an_app_has_no_more_cpu_time_and_processors_than_its_pod(stage: StageLab) -> None:
    of_pod = [isolator("resource/cpu", {"limit": "500m"}), isolator("os/linux/cpuset-cpus", "0")]
    pod = running(
        stage, [isolator("resource/cpu", {"limit": "1"}), isolator("os/linux/cpuset-cpus", "0")], of_pod
    )
    for leaf in ("main", ""):
        assert texts(pod, "cpu.cfs_quota_us", leaf) + texts(pod, "cpu.max", leaf) in (
            ["50000"],
            ["50000 100000"],
        )
        assert texts(pod, "cpuset.cpus", leaf) == ["0"]
    status = pathlib.Path(f"/proc/{pod.pid()}/task/{pod.pid()}/children").read_text().split()
    (allowed,) = (
        line.split(":")[1].strip()
        for line in pathlib.Path(f"/proc/{status[0]}/status").read_text().splitlines()
        if line.startswith("Cpus_allowed_list")
    )
    assert allowed == "0"


def test_processors_that_the_host_lacks_are_refused(stage: StageLab) -> None:
    done = stage.run("true", NO_NET, isolators=[isolator("os/linux/cpuset-cpus", "0,8191")])
    assert "apps[0].cpuset_cpus: there is no processor 8191 on this host" in done.err
    assert done.status == 254


def test_a_disk_is_limited_and_its_limit_mended(stage: StageLab, disk: str) -> None:
    of_pod = [isolator("os/linux/block-read-bps", {disk: MIB})]
    wanted = [
        isolator("os/linux/block-read-bps", {disk: 2 * MIB}),
        isolator("os/linux/block-write-iops", {disk: 7}),
    ]
    pod = running(stage, wanted, of_pod)
    device, groups, manifest = numbers_of(disk), cgroups.recorded(pod.dir), read_manifest(pod.dir)
    on_v1 = texts(pod, "blkio.throttle.read_bps_device")
    if on_v1:
        # v1 bounds no disk for the groups below that of the pod: each app has the lower limit.
        assert on_v1 == texts(pod, "blkio.throttle.read_bps_device", "") == [f"{device} {MIB}"]
        assert texts(pod, "blkio.throttle.write_iops_device") == [f"{device} 7"]
    else:
        assert texts(pod, "io.max") == [f"{device} rbps={MIB} wbps=max riops=max wiops=7"]
    assert changed_limits(groups, manifest) == ()
    assert f"{device} " in told(pod, "os/linux/block-read-bps")[0]
    (group,) = (
        group
        for group in groups
        for file in ("blkio.throttle.write_iops_device", "io.max")
        if os.path.exists(f"{group}/main/{file}")
    )
    file, text = ("blkio.throttle.write_iops_device", "0") if on_v1 else ("io.max", "wiops=max")
    pathlib.Path(f"{group}/main/{file}").write_text(f"{device} {text}")
    changed = changed_limits(groups, manifest)
    assert [(each.leaf, each.setting.file) for each in changed] == [("main", file)]
    set_limits(changed)
    assert changed_limits(groups, manifest) == ()


@pytest.mark.behaviour("C43")
def test_appcs_limits_are_of_every_disk(stage: StageLab, disk: str) -> None:
    wanted = [
        isolator("resource/block-bandwidth", {"default": True, "limit": "3M"}),
        isolator("resource/block-iops", {"default": True, "limit": "50"}),
    ]
    pod = running(stage, wanted)
    found = "\n".join(
        text for file in ("blkio.throttle.write_bps_device", "io.max") for text in texts(pod, file)
    )
    device = numbers_of(disk)
    assert f"{device} 3000000" in found or f"{device} rbps=3000000 wbps=3000000 riops=50 wiops=50" in found


def test_reads_of_a_limited_disk_are_slower(stage: StageLab, disk: str) -> None:
    """A megabyte that no cache has, at half a megabyte a second."""
    script = "{ time dd if=/disk of=/dev/null bs=256k skip=20 count=4; } 2>&1"
    volume = {"name": "disk", "kind": "host", "source": disk, "readOnly": True}
    done = stage.run(
        script,
        NO_NET,
        isolators=[isolator("os/linux/block-read-bps", {disk: MIB // 2})],
        volumes=[volume],
        mounts=[{"volume": "disk", "path": "/disk"}],
    )
    assert done.status == 0
    (took,) = (line for line in done.lines if line.startswith("real"))
    minutes, seconds = took.split()[1:]
    assert int(minutes.rstrip("m")) * 60 + float(seconds.rstrip("s")) > 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/null", "is no block device"),
        ("/", "is no block device"),
        ("/dev/no-such-disk", "cannot look at"),
    ],
)
def test_only_a_disk_can_be_limited(stage: StageLab, path: str, words: str) -> None:
    done = stage.run("true", NO_NET, isolators=[isolator("os/linux/block-write-bps", {path: MIB})])
    assert f"apps[0].device_write_bps.{path}" in done.err
    assert words in done.err


def test_the_disk_of_a_partition_is_named(stage: StageLab, disk: str) -> None:
    name = os.path.basename(disk)
    tool("addpart", disk, "1", "2048", "4096")
    part = pathlib.Path(f"/sys/block/{name}/{name}p1/dev")
    major, minor = part.read_text().split(":")
    node = stage.tree.parent / "partition"
    os.mknod(node, 0o600 | 0o060000, os.makedev(int(major), int(minor)))
    done = stage.run("true", NO_NET, isolators=[isolator("os/linux/block-read-iops", {str(node): 5})])
    assert "is a partition, and the kernel limits whole disks" in done.err


@pytest.mark.behaviour("C46")
def test_the_weight_of_block_devices_is_set_or_its_lack_told(stage: StageLab) -> None:
    """BFQ may be a module that is not loaded."""
    pod = stage.sh("true", NO_NET, isolators=[isolator("os/linux/block-weight", 300)])
    done = pod.call()
    assert done.status == 0
    pod = running(stage, [isolator("os/linux/block-weight", 300)])
    found = [texts(pod, file) for file in ("blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight")]
    values = [value for value in found if value]
    lacks = "os/linux/block-weight isolator set but support disabled in the kernel, skipping"
    assert (lacks in done.err) is (not values)
    assert all(value in (["300"], ["default 300"], ["default 2930"]) for value in values)


def test_sysctls_of_the_pod_are_its_own(stage: StageLab) -> None:
    of_pod = [isolator("os/unix/sysctl", {"net.core.somaxconn": "1234", "kernel.msgmax": "9000"})]
    before = pathlib.Path("/proc/sys/net/core/somaxconn").read_text()
    done = stage.run(
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax", NO_NET, isolators_of_pod=of_pod
    )
    assert done.lines == ["1234", "9000"]
    assert pathlib.Path("/proc/sys/net/core/somaxconn").read_text() == before


def test_the_size_of_shared_memory_can_be_set(stage: StageLab) -> None:
    done = stage.run("df -k /dev/shm | tail -1", NO_NET.replace(shm_size=3 * MIB))
    assert done.text.split()[1] == "3072"


def test_a_file_system_in_memory_has_its_size_and_mode(stage: StageLab) -> None:
    script = (
        "stat -c '%a %u:%g' /cache; grep ' /cache ' /proc/self/mounts; df -k /cache | tail -1;"
        "dd if=/dev/zero of=/cache/x bs=1k count=2048 2>/dev/null || echo full; mknod /cache/n c 1 3 && cat /cache/n"
    )
    done = stage.run(script, NO_NET, tmpfs=[{"path": "/cache", "size": "1m", "mode": "0750"}])
    assert done.lines[0] == "750 0:0"
    mounted = done.lines[1].split()
    assert (
        mounted[2],
        {"rw", "nosuid", "nodev", "size=1024k", "mode=750"} <= set(mounted[3].split(",")),
    ) == (
        "tmpfs",
        True,
    )
    assert done.lines[2].split()[1] == "1024"
    assert done.lines[3] == "full"
    assert not (stage.tree / "cache").exists()


def test_a_link_in_an_image_leads_a_file_system_nowhere_else(stage: StageLab) -> None:
    """The link of the image ends within the root of the app."""
    (stage.tree / "cache").symlink_to("/../../../../../tmp/from-the-image")
    done = stage.run("stat -f -c %T /cache/ /tmp/from-the-image", NO_NET, tmpfs=[{"path": "/cache"}])
    assert done.lines == ["tmpfs", "tmpfs"]
    assert not os.path.exists("/tmp/from-the-image")


def test_volumes_and_file_systems_in_memory_lie_in_each_other(stage: StageLab) -> None:
    script = (
        "stat -f -c %T /data /data/cache /data/cache/deep; ls /data/cache; echo x > /data/cache/deep/file"
    )
    pod = stage.sh(
        script,
        NO_NET,
        volumes=[{"name": "work", "kind": "empty"}, {"name": "deep", "kind": "empty"}],
        mounts=[{"volume": "deep", "path": "/data/cache/deep"}, {"volume": "work", "path": "/data"}],
        tmpfs=[{"path": "/data/cache", "size": "1m"}],
    )
    done = pod.call()
    assert done.lines[1] == "tmpfs"
    assert done.lines[0] == done.lines[2] != "tmpfs"
    assert done.lines[3:] == ["deep"]


@pytest.mark.behaviour("C33")
def test_run_in_memory_keeps_the_socket_of_notifications(stage: StageLab) -> None:
    annotations = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    done = stage.run(
        "test -S $NOTIFY_SOCKET && echo there; ls /run",
        RunSpec(networks=NO_NET.networks),
        tmpfs=[{"path": "/run", "size": "1m"}],
        annotations=annotations,
    )
    assert done.lines[0] == "there"
