# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of addresses, in the on-disk format of CNI's host-local plugin, so that both can serve one network.

The leases are the host's: all data directories use them, and so do other engines that have the same networks.

    LEASES/NETWORK/lock         flock'ed during every change
    LEASES/NETWORK/172.16.28.2  container id, CR LF, interface name

A lease appears with its content or not at all, so an empty file was left by a crash of another engine: free.
Source: behaviours E12 to E15; containernetworking/plugins host-local backend/disk.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, Corrupt
from ..host.files import OPEN_DIR, PRIVATE_FILE, entries, make_dirs, write_new
from ..host.locks import FileLock
from ..host.reading import WORD, read_bytes
from ..value import Value
from .ranges import choose_address, choose_kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..host.paths import Paths
    from .addresses import Address
    from .conf import NetConf
    from .ranges import AddressRange, Assigned, Reservations

LOCK = "lock"
ASIDE = "lock.new"
_LINE_END = "\r\n"


class LeaseRequest(Value):
    """A request for addresses: the pod, its interface, the network, and those that it must get.

    kept: addresses that the pod gets in its place where they are in a range and free.
    """

    uuid: str
    if_name: str
    net_name: str
    wanted: tuple[Address, ...] = ()
    kept: tuple[Address, ...] = ()


class Lease(Value):
    """The addresses that a pod got, and the dead pods whose leases it took over."""

    addresses: tuple[Assigned, ...]
    reclaimed: tuple[str, ...] = ()


class _Leases:
    """The leases in a directory; the caller holds its lock."""

    def __init__(self, directory: str, shown: Callable[[str], str]) -> None:
        self._directory = directory
        self._shown = shown

    def is_taken(self, address: Address) -> bool:
        try:
            return os.lstat(self._path(address)).st_size > 0
        except FileNotFoundError:
            return False

    def holder(self, address: Address) -> str:
        """The container id, "" when the address is free, its path when something else is in its place."""
        try:
            return holder_of(read_lease(self._path(address)))
        except Corrupt:
            return self._path(address)

    def shown_holder(self, address: Address) -> str:
        holder = self.holder(address)
        if holder == self._path(address):
            return f"{holder} is not a lease"
        return holder and f"{self._shown(holder)} has it"

    def take(self, address: Address, request: LeaseRequest) -> None:
        aside = f"{self._directory}/{ASIDE}"
        write_new(aside, f"{request.uuid}{_LINE_END}{request.if_name}".encode(), PRIVATE_FILE)
        os.rename(aside, self._path(address))

    def _path(self, address: Address) -> str:
        return f"{self._directory}/{address}"


class _LiveLeases:
    """The leases without those of dead pods, which may be taken over."""

    def __init__(self, leases: _Leases, is_live: Callable[[str], bool]) -> None:
        self._leases = leases
        self._is_live = is_live

    def is_taken(self, address: Address) -> bool:
        holder = self._leases.holder(address)
        return bool(holder) and self._is_live(holder)

    def shown_holder(self, address: Address) -> str:
        return self._leases.shown_holder(address)


def lease_dir(paths: Paths, conf: NetConf) -> str:
    """The directory of the leases of a network."""
    return f"{conf.main.ipam.data_dir or paths.leases}/{conf.name}"


def reserve(
    directory: str,
    range_sets: Sequence[Sequence[AddressRange]],
    request: LeaseRequest,
    is_live: Callable[[str], bool] | None = None,
    shown: Callable[[str], str] = repr,
) -> Lease:
    """Lease one address of each range set to a pod.

    is_live: whether a pod still needs its leases. Without it, or while an address is free, nothing is taken over.
    shown: who a container id is, in a sentence.
    Raises Conflict, InvalidSpec (ranges.choose_address), OSError. Safe against other processes: takes the lock.
    """
    make_dirs(directory, OPEN_DIR)
    assigned, reclaimed = [], []
    with FileLock(f"{directory}/{LOCK}"):
        leases = _Leases(directory, shown)
        for ranges in range_sets:
            wanted = _wanted(ranges, request.wanted, range_sets)
            chosen = _choose(ranges, leases, request.replace(wanted=wanted), is_live)
            holder = leases.holder(chosen.address)
            if holder:
                reclaimed.append(holder)
            leases.take(chosen.address, request)
            assigned.append(chosen)
    return Lease(tuple(assigned), tuple(dict.fromkeys(reclaimed)))


def foresee(
    directory: str,
    range_sets: Sequence[Sequence[AddressRange]],
    request: LeaseRequest,
    is_live: Callable[[str], bool],
    shown: Callable[[str], str],
) -> None:
    """Raise the errors of reserve. Takes no lock and changes nothing: another process may still be faster."""
    leases = _Leases(directory, shown)
    for ranges in range_sets:
        wanted = _wanted(ranges, request.wanted, range_sets)
        _choose(ranges, leases, request.replace(wanted=wanted), is_live)


def release(directory: str, uuid: str) -> tuple[str, ...]:
    """Release every lease of a pod on a network; return the addresses. Raises OSError."""
    if not os.path.isdir(directory):
        return ()
    with FileLock(f"{directory}/{LOCK}"):
        held = leases_of(directory, uuid)
        for address in held:
            os.unlink(f"{directory}/{address}")
        with suppress(FileNotFoundError):
            os.unlink(f"{directory}/{ASIDE}")  # left by a process that was killed while it wrote a lease
    return held


def leases_of(directory: str, uuid: str) -> tuple[str, ...]:
    """The addresses that a pod holds on a network."""
    addresses = []
    for name in filter(is_lease, entries(directory)):
        with suppress(Corrupt):
            if holder_of(read_lease(f"{directory}/{name}")) == uuid:
                addresses.append(name)
    return tuple(addresses)


def is_lease(name: str) -> bool:
    """Whether a file in the directory of a network is a lease, not a lock or another file of host-local."""
    return name[0].isdigit() or ":" in name


def read_lease(path: str) -> bytes:
    """The content of a lease, empty when the address is free."""
    try:
        return read_bytes(path, WORD)
    except FileNotFoundError:
        return b""


def holder_of(content: bytes) -> str:
    """The container id in a lease; older plugins wrote nothing else."""
    return content.decode(errors="replace").partition("\n")[0].strip()


def _choose(
    ranges: Sequence[AddressRange],
    leases: _Leases,
    request: LeaseRequest,
    is_live: Callable[[str], bool] | None,
) -> Assigned:
    held: Reservations = leases
    wanted = next(iter(request.wanted), None)
    if request.kept and wanted is None:
        free = _LiveLeases(leases, is_live) if is_live else leases
        kept = choose_kept(ranges, free, request.kept)
        if kept:
            return kept
    try:
        return choose_address(ranges, held, wanted, request.net_name)
    except Conflict:
        if is_live is None:
            raise
    return choose_address(ranges, _LiveLeases(leases, is_live), wanted, request.net_name)


def _wanted(
    ranges: Sequence[AddressRange], wanted: tuple[Address, ...], range_sets: Sequence[Sequence[AddressRange]]
) -> tuple[Address, ...]:
    """The address that a range set is asked for, as one or none."""
    if len(range_sets) == 1:
        return wanted[:1]
    return tuple(each for each in wanted if any(span.subnet.holds(each) for span in ranges))[:1]
