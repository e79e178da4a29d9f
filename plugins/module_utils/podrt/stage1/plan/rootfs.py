# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of every app's root beside its image: /proc, /sys, /dev, names. Pure. Source: behaviours C31 to C35."""

from __future__ import annotations

from ...host.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_STRICTATIME
from ...value import Value
from .mounts import (
    BindStep,
    BindWithinStep,
    DeviceStep,
    DirStep,
    FileStep,
    FsStep,
    HostDevicesStep,
    LinkStep,
    MaskStep,
    ReadOnlyStep,
    SealStep,
    SharedFs,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .mounts import Step

_STICKY, _OPEN = 0o1777, 0o755
_DIRS = ("/dev", "/etc", "/proc", "/sys", "/run", "/run/systemd", "/run/systemd/journal")
# name, major, minor. Source: behaviours C32, Documentation/admin-guide/devices.txt.
DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
SHARED = ("shm", "pts", "mqueue")
TUN = ("net/tun", 10, 200)
_LINKS = (
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/log", "/run/systemd/journal/dev-log"),
    ("/etc/mtab", "../proc/self/mounts"),
)
# Source: behaviours C34. /sys is read-only as a whole, and /sys/fs shows the app's own cgroups alone.
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger")
_SYSCTLS, _NET_SYSCTLS = "/proc/sys", "/proc/sys/net"
# It contains one of the host, nf_hooks_lwtunnel, that any network namespace can switch on, but not off again.
_NETFILTER_SYSCTLS = "/proc/sys/net/netfilter"
_HIDDEN_DIRS = (
    "/sys/firmware",
    "/sys/hypervisor",
    "/sys/module",
    "/sys/power",
    "/sys/devices/virtual/powercap",
)
_HIDDEN_PROC_DIRS = ("/proc/acpi", "/proc/asound", "/proc/scsi")
# Beside rkt's: files that reveal the kernel's memory, and the host's keys, timers and activity.
_HIDDEN_FILES = (
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmem",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/mem",
    "/proc/pagetypeinfo",
    "/proc/sched_debug",
    "/proc/slabinfo",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
)
_DEV_BYTES, _PAGE = 64 << 20, 4096
_SYSTEM = MS_NOSUID | MS_NODEV | MS_NOEXEC
JOURNAL = "/run/systemd/journal"


class RootContext(Value):
    """The context of an app's root.

    shared: the directories of the host under those of SHARED in /dev of all apps, see shared_file_systems. cgroups:
    pairs of a directory of the host and its path in the app. hidden: an empty directory and an empty file, which no
    user may enter or read. thermal: directories of /sys in which processors count throttling. journal: sockets of the
    host's journal. own_network: whether /proc/sys/net belongs to the pod. privileged: whether the app may change its
    cgroups. devices: whether it has all devices of the host.
    """

    shared: tuple[str, ...]
    cgroups: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, str] = ("", "")
    thermal: tuple[str, ...] = ()
    hosts: str = ""
    tun: bool = False
    journal: tuple[str, ...] = ()
    insecure_paths: bool = False
    sys: bool = True
    own_network: bool = False
    privileged: bool = False
    devices: bool = False


def shared_file_systems(places: tuple[str, ...], shm: int, first: int = 0) -> tuple[SharedFs, ...]:
    """The file systems mounted once for all apps of a pod. places: for /dev/shm, of shm bytes, /dev/pts, /dev/mqueue.

    The last is missing where the kernel has none. first: the ID of the host that is root in the pod.
    """
    for_shm, for_pts, *for_mqueue = places
    return (
        SharedFs("tmpfs", for_shm, MS_NOSUID | MS_NODEV, bounded(_STICKY, shm)),
        SharedFs(
            "devpts", for_pts, MS_NOSUID | MS_NOEXEC, f"newinstance,ptmxmode=0666,mode=0620,gid={first + 5}"
        ),
        *(SharedFs("mqueue", place) for place in for_mqueue),
    )


def surroundings(around: RootContext) -> tuple[Step, ...]:
    """The steps for all built-in content; volumes come after it, and so cover it."""
    steps: list[Step] = [DirStep(path) for path in _DIRS]
    steps.append(DirStep("/tmp", _STICKY))
    if around.hosts:
        steps.append(FileStep("/etc/hosts", around.hosts))
    steps.append(FsStep("proc", "/proc"))
    steps += _dev(around)
    steps += [LinkStep(path, target) for path, target in _LINKS]
    steps += [BindStep(path, path) for path in around.journal]
    steps.append(BindWithinStep("/proc/sys/kernel/hostname", "/etc/hostname"))
    if around.sys:
        steps += _sys(around)
    if not around.insecure_paths:
        steps += [ReadOnlyStep(path) for path in _READ_ONLY]
        steps.append(ReadOnlyStep(_SYSCTLS, _NET_SYSCTLS if around.own_network else ""))
        if around.own_network:
            steps.append(ReadOnlyStep(_NETFILTER_SYSCTLS))
        steps += [MaskStep(path, around.hidden[0]) for path in _HIDDEN_PROC_DIRS]
        steps += [MaskStep(path, around.hidden[1]) for path in _HIDDEN_FILES]
    return tuple(steps)


def _dev(around: RootContext) -> list[Step]:
    steps: list[Step] = [FsStep("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, bounded(_OPEN, _DEV_BYTES))]
    nodes = (*DEVICES, TUN) if around.tun else DEVICES
    steps += [DeviceStep(f"/dev/{name}", major, minor) for name, major, minor in nodes]
    steps += [HostDevicesStep()] if around.devices else []
    steps += [BindStep(place, f"/dev/{name}") for place, name in zip(around.shared, SHARED)]
    return steps


def bounded(mode: int, size: int) -> str:
    """The options of a tmpfs of so many bytes, with an inode a page: inodes take memory too."""
    return f"mode={mode:o},size={size},nr_inodes={size // _PAGE}"


def _sys(around: RootContext) -> list[Step]:
    secure = not around.insecure_paths
    steps: list[Step] = [FsStep("sysfs", "/sys", _SYSTEM | (MS_RDONLY if secure else 0))]
    if around.cgroups:
        steps.append(FsStep("tmpfs", "/sys/fs", _SYSTEM, "mode=755,size=64k"))
        read_only = not around.privileged
        steps += [BindStep(source, target, read_only=read_only) for source, target in around.cgroups]
        steps.append(SealStep("/sys/fs"))
    elif secure:
        steps.append(MaskStep("/sys/fs", around.hidden[0]))
    if secure:
        steps += [MaskStep(path, around.hidden[0]) for path in (*_HIDDEN_DIRS, *around.thermal)]
    return steps
