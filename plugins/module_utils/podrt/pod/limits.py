# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolators as settings of the kernel: files of a control group and their values. Source: behaviours C44 to C46.

The number of processes is limited by default too, since the process table is the host's.

Every limit is read back after it is written, and a different value is an error: a setting says itself whether the
kernel's text holds it.
"""

from __future__ import annotations

import os

from ..appc.isolators import NO_LIMIT, RESOURCES, Cpu, CpuShares, Memory, Pids
from ..errors import HostFailure
from ..host.files import write_kernel
from ..host.reading import kernel_text, kernel_text_or
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.isolators import Isolator
    from ..appc.pod import PodManifest, RuntimeApp
    from ..appc.resources import BlkioWeight, MemorySwap
    from .cgroups import Group
    from .disks import Disks, Rates

_PERIOD_USEC = 100_000
_PERCENT_USEC = _PERIOD_USEC // 100
PIDS_OF_APP, PIDS_OF_POD = 2048, 4096
# The least is that of docker and podman. The most is beyond any host, and still a number that the kernel accepts.
LEAST_SHM, _MOST_SHM = 64 << 20, 1 << 60


class Setting(Value):
    """A value in a file of a group.

    optional: whether some kernels lack the file. key: of the line with the value, in a file of one line a key, such as
    the device 8:0 in io.max; "" where the file is the value. Words of a value, such as rbps=1048576, have others beside
    them in the line.
    """

    file: str
    value: str
    optional: bool = False
    key: str = ""

    @property
    def written(self) -> str:
        """The text to write: one line, which leaves those of other keys as they are."""
        return f"{self.key} {self.value}" if self.key else self.value

    def found_in(self, text: str) -> str:
        """The part of the kernel's text that is the value of this setting; "" for a key without a line."""
        if not self.key:
            return text.strip()
        lines = (line.partition(" ") for line in text.splitlines())
        return next((value.strip() for key, _space, value in lines if key == self.key), "")

    def holds(self, text: str) -> bool:
        """Whether the kernel's text says what was asked for. The kernel rounds memory down to whole pages."""
        found = self.found_in(text)
        if found == self.value:
            return True
        if self.key:
            return set(self.value.split()) <= set(found.split())
        rounded = self.file.startswith("memory.") and self.value.isdigit() and found.isdigit()
        return rounded and 0 <= int(self.value) - int(found) < os.sysconf("SC_PAGE_SIZE")


_OOM_GROUP = Setting("memory.oom.group", "1", optional=True)
_MISSING = "\0"
_UNLIMITED = 2**63 - 1
_V1_RATE = {"rbps": "read_bps", "wbps": "write_bps", "riops": "read_iops", "wiops": "write_iops"}
_SWAP = "os/linux/memory-swap"
_OF_DEVICES = ("os/linux/block-", "resource/block-")


class Limit(Value):
    """The settings of an isolator for one controller and each version of cgroups.

    quiet: no warning if unsupported. v2_controller: the name of the controller on v2, where it is another one.
    """

    isolator: str
    controller: str
    v1: tuple[Setting, ...]
    v2: tuple[Setting, ...]
    quiet: bool = False
    v2_controller: str = ""

    def acts_in(self, group: Group) -> bool:
        """Whether the hierarchy of a group has the controller."""
        of_v2 = self.v2_controller or self.controller
        return (of_v2 if group.hierarchy.version == 2 else self.controller) in group.controllers


def limits_of_app(
    isolators: tuple[Isolator, ...], manifest: PodManifest, disks: Disks | None = None
) -> tuple[Limit, ...]:
    """The limits of an app of a pod. No app can use up the pod's processes, which others and handlers need. Pure.

    A limit of the pod bounds that of each app: a group of v1 refuses more CPU time than that above it has, and bounds
    no block device for those below it.
    """
    asked = any(isinstance(isolator, Pids) for isolator in isolators)
    limits = (pids_of_app(isolators), pids_of_pod(manifest.isolators, manifest.apps))
    pids = min((limit for limit in limits if limit != NO_LIMIT), default=NO_LIMIT)
    of_pod = manifest.isolators
    bounded = tuple(_bounded_cpu(each, of_pod) if isinstance(each, Cpu) else each for each in isolators)
    return (
        *limits_of(bounded),
        *_killed_together(isolators, of_pod),
        *_of_devices(isolators, of_pod, disks),
        _pids(pids, quiet=not asked),
    )


def limits_of_pod(manifest: PodManifest, disks: Disks | None = None) -> tuple[Limit, ...]:
    """The limits of all apps together; the supervisor and a handler of each app have room beside them. Pure."""
    limit = pids_of_pod(manifest.isolators, manifest.apps)
    room = 1 + len(manifest.apps)
    return (
        # The kernel would end the supervisor with them: apps end by themselves, see _killed_together.
        *(_without_oom_group(each) for each in limits_of(manifest.isolators)),
        *_of_devices(manifest.isolators, (), disks),
        _pids(limit if limit == NO_LIMIT else limit + room),
    )


def _bounded_cpu(isolator: Cpu, of_pod: tuple[Isolator, ...]) -> Cpu:
    return Cpu(min((isolator.limit, *(each.limit for each in of_pod if isinstance(each, Cpu)))))


def _killed_together(isolators: tuple[Isolator, ...], of_pod: tuple[Isolator, ...]) -> tuple[Limit, ...]:
    """The setting by which a limit of the pod's memory ends an app as a whole, where the app has no such limit."""
    if _memory_of(isolators) or not _memory_of(of_pod):
        return ()
    return (Limit(Memory.name, "memory", (), (_OOM_GROUP,), quiet=True),)


def _without_oom_group(limit: Limit) -> Limit:
    return limit.replace(v2=tuple(setting for setting in limit.v2 if setting != _OOM_GROUP))


def pids_of_app(isolators: tuple[Isolator, ...]) -> int:
    """The most processes and threads of an app, NO_LIMIT for any number. Pure."""
    return _pids_limit(isolators) or PIDS_OF_APP


def pids_of_pod(isolators: tuple[Isolator, ...], apps: tuple[RuntimeApp, ...]) -> int:
    """The most processes of all apps together: by default no fewer than each of them may have. Pure."""
    of_apps = [pids_of_app(app.app.isolators) for app in apps if app.app]
    by_default = NO_LIMIT if NO_LIMIT in of_apps else max((PIDS_OF_POD, *of_apps))
    return _pids_limit(isolators) or by_default


def shm_bytes(manifest: PodManifest) -> int:
    """The size of the /dev/shm that a pod's apps share, in bytes: half of the memory that they may have together. Pure.

    LEAST_SHM at least, and if no memory is limited: an OOM kill ends processes, but does not free that file system.
    """
    of_pod = _memory_of(manifest.isolators)
    of_apps = sum(_memory_of(app.app.isolators) for app in manifest.apps if app.app)
    return min(max(LEAST_SHM, (of_pod or of_apps) // 2), _MOST_SHM)


def names_disks(manifest: PodManifest) -> bool:
    """Whether a pod has limits of block devices, which need their numbers. Pure."""
    every = (manifest.isolators, *(app.app.isolators for app in manifest.apps if app.app))
    return any(each.name.startswith(_OF_DEVICES) for isolators in every for each in isolators)


def _memory_of(isolators: tuple[Isolator, ...]) -> int:
    found = [isolator.limit for isolator in isolators if isinstance(isolator, Memory)]
    return found[-1] if found else 0


def without_default_pids(isolators: tuple[Isolator, ...], default: int) -> tuple[Isolator, ...]:
    """The isolators without the default limit on processes: a document does not say whether it was requested. Pure."""
    return tuple(isolator for isolator in isolators if isolator != Pids(default))


def _pids_limit(isolators: tuple[Isolator, ...]) -> int:
    found = [isolator.limit for isolator in isolators if isinstance(isolator, Pids)]
    return found[-1] if found else 0


def limits_of(isolators: tuple[Isolator, ...]) -> tuple[Limit, ...]:
    """The limits of isolators, except those on processes and devices; the last one of a kind wins. Pure."""
    last = {isolator.name: isolator for isolator in isolators}
    found: list[Limit] = []
    for isolator in last.values():
        if isinstance(isolator, Memory):
            found.append(_memory(isolator, own_swap=_SWAP in last))
        elif isinstance(isolator, Cpu):
            found.append(_cpu(isolator))
        elif isinstance(isolator, CpuShares):
            found.append(_shares(isolator))
    memory = last.get(Memory.name)
    reserved = memory.request if isinstance(memory, Memory) else 0
    if reserved or not last.keys().isdisjoint(RESOURCES):
        limit = memory.limit if isinstance(memory, Memory) else 0
        found += _resource_limits(last, limit, reserved)
    return tuple(found)


def _resource_limits(last: dict[str, Isolator], memory: int, reserved: int) -> list[Limit]:
    """The limits of isolators by name that few pods have. memory, reserved: of the limit of memory, 0 for none."""
    from ..appc.resources import BlkioWeight, Cpuset, MemoryReservation, MemorySwap

    found: list[Limit] = []
    if reserved and MemoryReservation.name not in last:
        found.append(_reservation(Memory.name, reserved))
    for name, isolator in last.items():
        if isinstance(isolator, MemoryReservation):
            found.append(_reservation(name, isolator.size))
        elif isinstance(isolator, Cpuset):
            setting = Setting(f"cpuset.{isolator.of}", isolator.numbers)
            found.append(Limit(name, "cpuset", (setting,), (setting,)))
        elif isinstance(isolator, BlkioWeight):
            found.append(_weight(isolator))
        elif isinstance(isolator, MemorySwap) and memory:
            found.append(_swap(isolator, memory))
    return found


def _of_devices(
    isolators: tuple[Isolator, ...], bounds: tuple[Isolator, ...], disks: Disks | None
) -> tuple[Limit, ...]:
    """The limits of block devices, the lower one where both have one. disks: None for no such limits."""
    if disks is None:
        return ()
    from .disks import lower_rates, rates_of

    return _rates(lower_rates(rates_of(isolators, disks), rates_of(bounds, disks)))


class ChangedLimit(Value):
    """A setting of a group that was changed. leaf: of an app, or "" for the pod's own group."""

    path: str
    setting: Setting
    found: str
    isolator: str
    leaf: str


def changed_limits(groups: tuple[str, ...], manifest: PodManifest) -> tuple[ChangedLimit, ...]:
    """The limits of a running pod that another process has changed. groups: its directories, one in each hierarchy."""
    return tuple(
        ChangedLimit(path, setting, setting.found_in(text), isolator, leaf)
        for path, setting, text, isolator, leaf in _settings(groups, manifest)
        if not setting.holds(text)
    )


class AppliedLimit(Value):
    """A limit of a running pod as the kernel has it. leaf: of an app, or "" for the pod's own group."""

    isolator: str
    leaf: str
    file: str
    value: str


def applied_limits(groups: tuple[str, ...], manifest: PodManifest) -> tuple[AppliedLimit, ...]:
    """What the kernel has for the limits of a running pod. groups: its directories, one in each hierarchy."""
    return tuple(
        AppliedLimit(isolator, leaf, setting.file, f"{setting.key} {setting.found_in(text)}".strip())
        for _path, setting, text, isolator, leaf in _settings(groups, manifest)
    )


def _settings(groups: tuple[str, ...], manifest: PodManifest) -> Iterator[tuple[str, Setting, str, str, str]]:
    """The settings of a running pod whose files exist: path, setting, text of the kernel, isolator and leaf.

    A missing file belongs to the other version of control groups, or to a controller that is not available. A device
    that is gone has no limit any more.
    """
    disks = None
    if names_disks(manifest):
        from .disks import find_disks

        disks = find_disks(manifest, gone=True)
    wanted = [("", limits_of_pod(manifest, disks))]
    wanted += [
        (str(app.name), limits_of_app(app.app.isolators, manifest, disks)) for app in manifest.apps if app.app
    ]
    for leaf, limits in wanted:
        for limit in limits:
            for setting in dict.fromkeys((*limit.v1, *limit.v2)):
                for group in groups:
                    path = f"{group}/{leaf}/{setting.file}" if leaf else f"{group}/{setting.file}"
                    text = kernel_text_or(path, _MISSING)
                    if text != _MISSING:
                        yield path, setting, text, limit.isolator, leaf


def set_limits(changed: tuple[ChangedLimit, ...]) -> None:
    """Set limits again. Raises HostFailure.

    The order of two limits that bound each other depends on their values: refused ones are tried once more.
    """
    refused = []
    for limit in changed:
        try:
            write_kernel(limit.path, limit.setting.written)
        except OSError:
            refused.append(limit)
    for limit in refused:
        try:
            write_kernel(limit.path, limit.setting.written)
        except OSError as err:
            raise HostFailure.of(f"cannot set a limit of {limit.setting.written}", err) from err


def apply_limits(groups: tuple[Group, ...], leaf: str, limits: tuple[Limit, ...]) -> tuple[str, ...]:
    """Set limits on an app's leaf, or with "" on the pod itself. Returns warnings for those without a controller.

    Raises HostFailure when the kernel refuses one or reads back another value.
    """
    missed = []
    for limit in limits:
        group = next((group for group in groups if limit.acts_in(group)), None)
        if group is None and limit.quiet:
            continue
        if group is None:
            missed.append(_unsupported(limit))
            continue
        settings = limit.v1 if group.hierarchy.version == 1 else limit.v2
        applied = [_apply(group.leaf(leaf), setting) for setting in settings]
        if settings and not any(applied) and not limit.quiet:
            missed.append(_unsupported(limit))
    return tuple(missed)


def _unsupported(limit: Limit) -> str:
    return f"{limit.isolator} isolator set but support disabled in the kernel, skipping"


def _memory(isolator: Memory, *, own_swap: bool) -> Limit:
    """The limit of memory, without any swap unless that has a limit of its own."""
    limit = str(isolator.limit)
    v1: tuple[Setting, ...] = (Setting("memory.limit_in_bytes", limit),)
    v2: tuple[Setting, ...] = (Setting("memory.max", limit), _OOM_GROUP)
    if not own_swap:
        v1 += (Setting("memory.memsw.limit_in_bytes", limit, optional=True),)
        v2 += (Setting("memory.swap.max", "0", optional=True),)
    return Limit(isolator.name, "memory", v1, v2)


def _swap(isolator: MemorySwap, memory: int) -> Limit:
    """The limit of swap: v1 counts memory and swap together, v2 swap alone."""
    unlimited = isolator.total == NO_LIMIT
    swap = "max" if unlimited else str(isolator.total - memory)
    # What v1 has for no limit is the largest number of whole pages.
    total = str(_UNLIMITED if unlimited else isolator.total)
    v1 = (Setting("memory.memsw.limit_in_bytes", total, optional=True),)
    return Limit(isolator.name, "memory", v1, (Setting("memory.swap.max", swap, optional=True),))


def _reservation(name: str, size: int) -> Limit:
    v1 = (Setting("memory.soft_limit_in_bytes", str(size), optional=True),)
    return Limit(name, "memory", v1, (Setting("memory.low", str(size), optional=True),))


def _weight(isolator: BlkioWeight) -> Limit:
    """The weight for the scheduler BFQ, and on v2 that of the controller as well, mapped as in runc."""
    of_bfq, whole = str(isolator.weight), 1 + (isolator.weight - 10) * 9999 // 990
    v1 = (
        Setting("blkio.bfq.weight", of_bfq, optional=True),
        Setting("blkio.weight", of_bfq, optional=True),
    )
    v2 = (
        Setting("io.bfq.weight", of_bfq, optional=True, key="default"),
        Setting("io.weight", str(whole), optional=True, key="default"),
    )
    return Limit(isolator.name, "blkio", v1, v2, v2_controller="io")


def _rates(rates: Rates) -> tuple[Limit, ...]:
    """The limits of block devices: a line each in the one file of v2, and in four files of v1."""
    found = []
    for device, members in rates:
        v1 = tuple(
            Setting(f"blkio.throttle.{_V1_RATE[name]}_device", str(rate), optional=True, key=device)
            for name, rate, _isolator in members
        )
        words = " ".join(f"{name}={rate}" for name, rate, _isolator in members)
        v2 = (Setting("io.max", words, optional=True, key=device),)
        found.append(Limit(members[0][2], "blkio", v1, v2, v2_controller="io"))
    return tuple(found)


def _cpu(isolator: Cpu) -> Limit:
    quota = max(1, isolator.limit // 10) * _PERCENT_USEC
    v1 = (Setting("cpu.cfs_period_us", str(_PERIOD_USEC)), Setting("cpu.cfs_quota_us", str(quota)))
    return Limit(isolator.name, "cpu", v1, (Setting("cpu.max", f"{quota} {_PERIOD_USEC}"),))


def _shares(isolator: CpuShares) -> Limit:
    # The same linear mapping as in runc and systemd: 2..262144 to 1..10000.
    weight = 1 + (isolator.shares - 2) * 9999 // 262142
    v1 = (Setting("cpu.shares", str(isolator.shares)),)
    return Limit(isolator.name, "cpu", v1, (Setting("cpu.weight", str(weight)),))


def _pids(limit: int, *, quiet: bool = False) -> Limit:
    settings = (Setting("pids.max", "max" if limit == NO_LIMIT else str(limit)),)
    return Limit(Pids.name, "pids", settings, settings, quiet)


def _apply(directory: str, setting: Setting) -> bool:
    """Write a setting and read it back. Returns whether its file exists. Raises HostFailure."""
    path = f"{directory}/{setting.file}"
    try:
        write_kernel(path, setting.written)
        actual = kernel_text(path)
    except FileNotFoundError as err:
        if setting.optional:
            return False
        raise HostFailure.of("cannot set a limit", err) from err
    except OSError as err:
        raise HostFailure.of(f"cannot set a limit of {setting.written}", err) from err
    if not setting.holds(actual):
        found = setting.found_in(actual) or "nothing"
        raise HostFailure(f"cannot set a limit: {path} says {found} instead of {setting.written}", path=path)
    return True
