# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables tables: makes them, adds and removes what belongs to a pod, asks who holds a port.

Adding takes the lock shared, but for ports; removing takes it alone, because whoever removes the last element removes
the tables.
"""

from __future__ import annotations

import os

from ..contexts import contextmanager
from ..errors import Conflict, HostFailure
from ..fields import parse_json
from ..host import programs
from .elements import TABLE
from .hostlock import host_lock
from .localnet import shut_out
from .nfsocket import NetfilterSocket
from .rules import (
    PodRules,
    TableState,
    forward_targets,
    holders_of,
    parse_table,
    removal_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.paths import Paths
    from .neighbours import Neighbours
    from .rules import PortForward

_MISSING = "No such file or directory"
_EXISTS = "File exists"
_TRIES = 3


def add_rules(
    paths: Paths, uuid: str, rules: PodRules, forwards: Sequence[PortForward], neighbours: Neighbours
) -> bool:
    """Add what belongs to a pod, in one transaction; whether something but elements had to be made.

    What dead pods hold of its ports goes. Where a table has gone or was not made by an earlier release, what every
    other pod that runs has is made again. Raises Conflict when a port or address is another's, HostFailure when nft
    refuses, Unsupported without nft.
    """
    if not rules.elements:
        return False
    # A port of every address and one of a single address are in two maps, so that the kernel sees no clash: whoever
    # asks for ports looks, and is alone meanwhile.
    with _locked(paths, shared=not forwards):
        outdated = _claim(uuid, forwards, neighbours) if forwards else ""
        if _has_tables():
            done = _nft(outdated + rules.additions)
            if _MISSING not in done.complaint_text:  # as where the chain of its subnet is still to be made
                _require(done)
                return False
        _require(_nft(outdated + rules.beside(neighbours.rules()).everything))
        return True


def remove_rules(paths: Paths, uuid: str) -> None:
    """Remove what belongs to a pod; with the last element of all go the tables. Nothing there is fine.

    The rule that guards 127.0.0.1 of the host goes with the table, so no link needs it any more by then.
    Raises HostFailure when nft refuses, Unsupported without nft, OSError.
    """
    with _locked(paths):
        for attempt in range(_TRIES):
            state = _read_tables()
            shut_out(paths, uuid, forward_targets(state or TableState(), uuid))
            if state is None:
                return
            commands = removal_of(state, uuid)
            done = _nft(commands) if commands else None
            if done is None or done.status == 0:
                return
            # Something else, such as nft flush ruleset, came in between: look again.
            if _MISSING not in done.complaint_text or attempt == _TRIES - 1:
                _require(done)


def read_table() -> TableState | None:
    """What the kernel's table holds, None when there is none. Raises HostFailure, Unsupported."""
    done = _Done(programs.run([programs.find("nft"), "-j", "list", "table", *TABLE.split()]))
    if done.status and _MISSING in done.complaint_text:
        return None
    _require(done)
    return parse_table(parse_json(done.stdout, "the output of nft"))


def _read_tables() -> TableState | None:
    """The same with what the guard's table holds, None when there is neither.

    Raises HostFailure, Unsupported, OSError.
    """
    state = read_table()
    with NetfilterSocket() as netfilter:
        if state is None and not netfilter.has_guard():
            return None
        found = state or TableState()
        return found.replace(elements=(*found.elements, *netfilter.guards()))


def foreign_drops() -> tuple[str, ...]:
    """A sentence for each chain of others that drops what is forwarded, so that pods may not get out.

    Raises HostFailure.
    """
    try:
        with NetfilterSocket() as netfilter:
            chains = tuple(netfilter.chains())
    except OSError as err:
        raise HostFailure.of("cannot list the chains of nftables", err) from err
    return tuple(
        f"the nftables chain {chain} drops forwarded packets unless its rules accept them: pods may be cut off"
        for chain in chains
        if chain.drops_forwarded and f"{chain.family} {chain.table}" != TABLE
    )


def _has_tables() -> bool:
    """Whether our tables are likely there, also where that cannot be told: nft then says why."""
    try:
        with NetfilterSocket() as netfilter:
            return netfilter.has_guard()
    except OSError:
        return True


def _claim(uuid: str, forwards: Sequence[PortForward], neighbours: Neighbours) -> str:
    """The commands that remove what dead pods have that hold one of these ports. Raises Conflict for a living one."""
    state = read_table() or TableState()
    dead: dict[str, None] = {}
    for forward in forwards:
        for holder in holders_of(state, forward, uuid):
            if neighbours.is_live(holder):
                raise Conflict(
                    f"port {forward} of the host is in use by pod {holder}",
                    "stop that pod or publish another port",
                    port=forward.host_port,
                    holder=holder,
                )
            dead[holder] = None
    return "".join(element.removal for holder in dead for element in state.owned_by(holder))


class _Done:
    """What nft left."""

    def __init__(self, completed: programs.Completed) -> None:
        self.status = completed.status
        self.stdout = completed.stdout
        self.complaint_text = completed.stderr.decode(errors="replace").strip() if completed.status else ""


def _nft(commands: str) -> _Done:
    return _Done(programs.run([programs.find("nft"), "-f", "-"], stdin=commands.encode()))


def _require(done: _Done) -> None:
    if done.status == 0:
        return
    if _EXISTS in done.complaint_text:
        raise Conflict(f"cannot change the nftables table {TABLE}: another pod has the same port or address")
    lines = done.complaint_text.splitlines() or [f"exit status {done.status}"]
    raise HostFailure(f"cannot change the nftables table {TABLE}: {lines[0]}", "is nf_tables in this kernel?")


@contextmanager
def _locked(paths: Paths, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock, also by an nft that outlives this process: whoever cleans up after a kill must see what it did."""
    with host_lock(paths, "net-firewall", shared=shared) as fds:
        for fd in fds:
            os.set_inheritable(fd, True)
        yield
