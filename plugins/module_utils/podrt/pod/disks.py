# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices, processors and nodes of memory that a pod's isolators name, on this host.

The kernel limits whole disks only, by their numbers. A path is that of a device, as in docker: that of a partition or
of anything else is refused, since the limit would be one of more than was named.
"""

from __future__ import annotations

import os
import stat

from ..appc.resources import Cpuset, DeviceRates, EveryDevice, format_numbers, numbers_in
from ..errors import InvalidSpec
from ..host.files import entries_if_any
from ..host.reading import kernel_text_or
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.isolators import Isolator
    from ..appc.pod import PodManifest

    # By device, such as 8:0: pairs of a member of io.max and its number, each with its isolator.
    Rates = tuple[tuple[str, tuple[tuple[str, int, str], ...]], ...]

_BLOCK, _OF_NUMBER = "/sys/block", "/sys/dev/block"
_NUMBER_OF, _SIZE_OF = _BLOCK + "/{}/dev", _BLOCK + "/{}/size"
_MEMBERS = {"read-bps": "rbps", "write-bps": "wbps", "read-iops": "riops", "write-iops": "wiops"}
_ORDER = tuple(_MEMBERS.values())
_OF_EVERY = {"bandwidth": ("rbps", "wbps"), "iops": ("riops", "wiops")}
_ONLINE = {"cpus": "/sys/devices/system/cpu/online", "mems": "/sys/devices/system/node/online"}
_WHAT = {"cpus": "processor", "mems": "node of memory"}


class Disks(Value):
    """The numbers of block devices, such as 8:0. by_path: of the named ones. every: of each disk of the host."""

    by_path: tuple[tuple[str, str], ...] = ()
    every: tuple[str, ...] = ()


def find_disks(manifest: PodManifest, *, gone: bool = False) -> Disks:
    """The disks that isolators of a pod name. gone: leave out those that do not exist. Raises InvalidSpec."""
    named: dict[str, str] = {}
    every: tuple[str, ...] = ()
    for where, isolator in _isolators(manifest):
        if isinstance(isolator, EveryDevice):
            every = every or _every_disk()
        if not isinstance(isolator, DeviceRates):
            continue
        for path, _rate in isolator.rates:
            try:
                named[path] = _disk(path)
            except InvalidSpec as err:
                if not gone:
                    option = "device_" + isolator.of.replace("-", "_")
                    raise err.at(f"{where}{option}.{path}") from err
    return Disks(tuple(named.items()), every)


def check_cpusets(manifest: PodManifest) -> None:
    """Raise InvalidSpec for a processor or a node of memory that this host does not have. v2 would ignore it."""
    for where, isolator in _isolators(manifest):
        if isinstance(isolator, Cpuset):
            online = numbers_in(kernel_text_or(_ONLINE[isolator.of], "0"))
            missing = numbers_in(isolator.numbers) - online
            if missing:
                raise InvalidSpec(
                    f"there is no {_WHAT[isolator.of]} {format_numbers(set(missing))} on this host",
                    f"use some of {format_numbers(set(online))}",
                    where=f"{where}cpuset_{isolator.of}",
                )


def rates_of(isolators: tuple[Isolator, ...], disks: Disks) -> Rates:
    """The limits of devices by their numbers; one of a device counts more than one of every device. Pure."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for isolator in isolators:
        if isinstance(isolator, EveryDevice):
            for device in disks.every:
                for member in _OF_EVERY[isolator.of]:
                    found.setdefault(device, {})[member] = (isolator.limit, isolator.name)
    numbers = dict(disks.by_path)
    for isolator in isolators:
        if isinstance(isolator, DeviceRates):
            for path, rate in isolator.rates:
                if path in numbers:
                    found.setdefault(numbers[path], {})[_MEMBERS[isolator.of]] = (rate, isolator.name)
    return _sorted(found)


def lower_rates(rates: Rates, bounds: Rates) -> Rates:
    """Of both limits of a device the lower one. Pure."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for device, members in (*rates, *bounds):
        held = found.setdefault(device, {})
        for member, rate, isolator in members:
            if member not in held or rate < held[member][0]:
                held[member] = (rate, isolator)
    return _sorted(found)


def _sorted(found: dict[str, dict[str, tuple[int, str]]]) -> Rates:
    return tuple(
        (device, tuple((member, *held[member]) for member in _ORDER if member in held))
        for device, held in sorted(found.items())
    )


def _isolators(manifest: PodManifest) -> Iterator[tuple[str, Isolator]]:
    """The isolators of a pod and its apps, each with the place of its option."""
    for isolator in manifest.isolators:
        yield "", isolator
    for at, app in enumerate(manifest.apps):
        for isolator in app.app.isolators if app.app else ():
            yield f"apps[{at}].", isolator


def _disk(path: str) -> str:
    """The numbers of the disk at a path. Raises InvalidSpec."""
    try:
        found = os.stat(path)
    except OSError as err:
        raise InvalidSpec(f"cannot look at {path}: {err.strerror}", "name a disk of this host") from err
    if not stat.S_ISBLK(found.st_mode):
        raise InvalidSpec(f"{path} is no block device", "name a disk, such as /dev/sda; see lsblk")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    place = os.path.realpath(f"{_OF_NUMBER}/{number}")
    if os.path.exists(f"{place}/partition"):
        whole = os.path.basename(os.path.dirname(place))
        reason = f"{path} is a partition, and the kernel limits whole disks"
        raise InvalidSpec(reason, f"name its disk, /dev/{whole}")
    return number


def _every_disk() -> tuple[str, ...]:
    """The numbers of the disks of this host that have a size: unused loop devices have none."""
    return tuple(
        kernel_text_or(_NUMBER_OF.format(name), "")
        for name in entries_if_any(_BLOCK)
        if kernel_text_or(_SIZE_OF.format(name), "0") != "0"
    )
