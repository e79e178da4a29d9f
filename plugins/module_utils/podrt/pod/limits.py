# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What isolators mean to the kernel: files of a control group and what is written there. Source: behaviours C44 to C46.

How many processes there may be is limited by default too, since the process table is the host's.

A limit counts once the kernel has said it back: what was written is read again, and a different value is an error.
"""

from __future__ import annotations

import os

from ..appc.isolators import NO_LIMIT, Cpu, CpuShares, Memory, Pids
from ..errors import HostFailure
from ..host.files import write_kernel
from ..host.reading import kernel_text, kernel_text_or
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Isolator
    from ..appc.pod import PodManifest, RuntimeApp
    from .cgroups import Group

_PERIOD_USEC = 100_000
_PERCENT_USEC = _PERIOD_USEC // 100
PIDS_OF_APP, PIDS_OF_POD = 2048, 4096
# What docker and podman give. More than any host has is no use, and a number that no kernel takes.
LEAST_SHM, _MOST_SHM = 64 << 20, 1 << 60


class Setting(Value):
    """A file of a group and what it shall say. optional: some kernels do not have the file."""

    file: str
    value: str
    optional: bool = False


class Limit(Value):
    """What one isolator asks of one controller, for each version of control groups. quiet: it is not missed aloud."""

    isolator: str
    controller: str
    v1: tuple[Setting, ...]
    v2: tuple[Setting, ...]
    quiet: bool = False


def limits_of_app(isolators: tuple[Isolator, ...], manifest: PodManifest) -> tuple[Limit, ...]:
    """The limits of an app of a pod. No app alone fills what the pod has: others and handlers could not start. Pure."""
    asked = any(isinstance(isolator, Pids) for isolator in isolators)
    limits = (pids_of_app(isolators), pids_of_pod(manifest.isolators, manifest.apps))
    pids = min((limit for limit in limits if limit != NO_LIMIT), default=NO_LIMIT)
    return (*limits_of(isolators), _pids(pids, quiet=not asked))


def limits_of_pod(manifest: PodManifest) -> tuple[Limit, ...]:
    """The limits of all apps together; the supervisor and a handler of each app have room beside them. Pure."""
    limit = pids_of_pod(manifest.isolators, manifest.apps)
    room = 1 + len(manifest.apps)
    return (*limits_of(manifest.isolators), _pids(limit if limit == NO_LIMIT else limit + room))


def pids_of_app(isolators: tuple[Isolator, ...]) -> int:
    """How many processes and threads an app may have, NO_LIMIT for any. Pure."""
    return _said(isolators) or PIDS_OF_APP


def pids_of_pod(isolators: tuple[Isolator, ...], apps: tuple[RuntimeApp, ...]) -> int:
    """How many the apps of a pod may have together: by default no fewer than each of them may. Pure."""
    of_apps = [pids_of_app(app.app.isolators) for app in apps if app.app]
    by_default = NO_LIMIT if NO_LIMIT in of_apps else max((PIDS_OF_POD, *of_apps))
    return _said(isolators) or by_default


def shm_bytes(manifest: PodManifest) -> int:
    """How much /dev/shm holds, which the apps of a pod share: half of the memory that they may have together. Pure.

    No less than elsewhere, and as much where no memory is limited: the kernel ends processes for memory, and what is
    in that file system stays.
    """
    of_pod = _memory_of(manifest.isolators)
    of_apps = sum(_memory_of(app.app.isolators) for app in manifest.apps if app.app)
    return min(max(LEAST_SHM, (of_pod or of_apps) // 2), _MOST_SHM)


def _memory_of(isolators: tuple[Isolator, ...]) -> int:
    found = [isolator.limit for isolator in isolators if isinstance(isolator, Memory)]
    return found[-1] if found else 0


def without_default_pids(isolators: tuple[Isolator, ...], default: int) -> tuple[Isolator, ...]:
    """Isolators but for a limit that holds anyway: a document does not tell whether it was asked for. Pure."""
    return tuple(isolator for isolator in isolators if isolator != Pids(default))


def _said(isolators: tuple[Isolator, ...]) -> int:
    found = [isolator.limit for isolator in isolators if isinstance(isolator, Pids)]
    return found[-1] if found else 0


def limits_of(isolators: tuple[Isolator, ...]) -> tuple[Limit, ...]:
    """The limits that isolators ask for, but those on processes; the last one of a kind wins. Pure."""
    found: dict[str, Limit] = {}
    for isolator in isolators:
        if isinstance(isolator, Memory):
            found[isolator.name] = _memory(isolator)
        elif isinstance(isolator, Cpu):
            found[isolator.name] = _cpu(isolator)
        elif isinstance(isolator, CpuShares):
            found[isolator.name] = _shares(isolator)
    return tuple(found.values())


class ChangedLimit(Value):
    """A file of a group that no longer says what it was given. leaf: of an app, or "" for the pod's own group."""

    path: str
    file: str
    found: str
    value: str
    isolator: str
    leaf: str


def changed_limits(groups: tuple[str, ...], manifest: PodManifest) -> tuple[ChangedLimit, ...]:
    """The limits of a running pod that something has changed. groups: its directories, one in each hierarchy.

    A file that is not there belongs to another version of control groups, or to a controller that is not to be had.
    """
    wanted = [("", limits_of_pod(manifest))]
    wanted += [
        (str(app.name), limits_of_app(app.app.isolators, manifest)) for app in manifest.apps if app.app
    ]
    found = []
    for leaf, limits in wanted:
        for limit in limits:
            for setting in dict.fromkeys((*limit.v1, *limit.v2)):
                for group in groups:
                    path = f"{group}/{leaf}/{setting.file}" if leaf else f"{group}/{setting.file}"
                    text = kernel_text_or(path, setting.value).strip()
                    if not _is_same(setting, text):
                        found.append(
                            ChangedLimit(path, setting.file, text, setting.value, limit.isolator, leaf)
                        )
    return tuple(found)


def set_limits(changed: tuple[ChangedLimit, ...]) -> None:
    """Set limits again. Raises HostFailure.

    Which of two that bound each other comes first depends on where they were: what is refused is tried once more.
    """
    refused = []
    for limit in changed:
        try:
            write_kernel(limit.path, limit.value)
        except OSError:
            refused.append(limit)
    for limit in refused:
        try:
            write_kernel(limit.path, limit.value)
        except OSError as err:
            raise HostFailure.of(f"cannot set a limit of {limit.value}", err) from err


def apply_limits(groups: tuple[Group, ...], leaf: str, limits: tuple[Limit, ...]) -> tuple[str, ...]:
    """Set limits on an app's leaf, or with "" on the pod itself; the sentences for those that no controller takes.

    Raises HostFailure when the kernel refuses one or says something else back.
    """
    missed = []
    for limit in limits:
        group = next((group for group in groups if limit.controller in group.controllers), None)
        if group is None and limit.quiet:
            continue
        if group is None:
            missed.append(f"{limit.isolator} isolator set but support disabled in the kernel, skipping")
            continue
        for setting in limit.v1 if group.hierarchy.version == 1 else limit.v2:
            _apply(group.leaf(leaf), setting)
    return tuple(missed)


def _memory(isolator: Memory) -> Limit:
    limit = str(isolator.limit)
    v1 = (
        Setting("memory.limit_in_bytes", limit),
        Setting("memory.memsw.limit_in_bytes", limit, optional=True),
    )
    v2 = (
        Setting("memory.max", limit),
        Setting("memory.swap.max", "0", optional=True),
        Setting("memory.oom.group", "1", optional=True),
    )
    return Limit(isolator.name, "memory", v1, v2)


def _cpu(isolator: Cpu) -> Limit:
    quota = max(1, isolator.limit // 10) * _PERCENT_USEC
    v1 = (Setting("cpu.cfs_period_us", str(_PERIOD_USEC)), Setting("cpu.cfs_quota_us", str(quota)))
    return Limit(isolator.name, "cpu", v1, (Setting("cpu.max", f"{quota} {_PERIOD_USEC}"),))


def _shares(isolator: CpuShares) -> Limit:
    # The same line through the ends of both ranges as runc and systemd draw: 2..262144 to 1..10000.
    weight = 1 + (isolator.shares - 2) * 9999 // 262142
    v1 = (Setting("cpu.shares", str(isolator.shares)),)
    return Limit(isolator.name, "cpu", v1, (Setting("cpu.weight", str(weight)),))


def _pids(limit: int, *, quiet: bool = False) -> Limit:
    settings = (Setting("pids.max", "max" if limit == NO_LIMIT else str(limit)),)
    return Limit(Pids.name, "pids", settings, settings, quiet)


def _apply(directory: str, setting: Setting) -> None:
    path = f"{directory}/{setting.file}"
    try:
        write_kernel(path, setting.value)
        found = kernel_text(path)
    except FileNotFoundError as err:
        if setting.optional:
            return
        raise HostFailure.of("cannot set a limit", err) from err
    except OSError as err:
        raise HostFailure.of(f"cannot set a limit of {setting.value}", err) from err
    if not _is_same(setting, found):
        raise HostFailure(f"cannot set a limit: {path} says {found} instead of {setting.value}", path=path)


def _is_same(setting: Setting, found: str) -> bool:
    """Equal but for the kernel's rounding of memory to whole pages."""
    wanted = setting.value
    if wanted == found:
        return True
    rounded = setting.file.startswith("memory.") and wanted.isdigit() and found.isdigit()
    return rounded and 0 <= int(wanted) - int(found) < os.sysconf("SC_PAGE_SIZE")
