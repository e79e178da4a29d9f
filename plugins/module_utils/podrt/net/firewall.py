# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make our nftables tables, add and remove the elements of a pod, and find the holders of ports.

Adding takes the lock shared, except for ports; removing takes it exclusively, because the tables are removed with
their last element.
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import Conflict, HostFailure, Unsupported
from ..fields import parse_json
from ..host import programs
from .elements import FORWARDS, FORWARDS_AT, ISOLATION_TABLE, TABLE, TABLE6
from .hostlock import outliving_lock
from .isolation import isolation_removal
from .localnet import close_loopback
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
    from collections.abc import Sequence

    from ..host.paths import Paths
    from .elements import Element
    from .neighbours import Neighbours
    from .rules import PortForward

_MISSING = "No such file or directory"
_EXISTS = "File exists"
_TRIES = 3
_LOCK = "net-firewall"


def begin_tables(paths: Paths, rules: PodRules, neighbours: Neighbours) -> programs.Running | None:
    """Begin to make the tables, if they are missing, with these rules and those of all running pods.

    A program does that, so it is begun before there is a pod whose elements could be added. Until it has ended, it
    holds the lock. Whether it has failed, or could not be begun, add_rules finds out. Raises Conflict.
    """
    if not rules.chains or _has_tables():
        return None
    with suppress(OSError, Unsupported), outliving_lock(paths, _LOCK, shared=True):
        return _begin_nft(rules.beside(neighbours.rules()).everything)
    return None


def add_rules(
    paths: Paths,
    uuid: str,
    rules: PodRules,
    forwards: Sequence[PortForward],
    neighbours: Neighbours,
    begun: programs.Running | None = None,
) -> bool:
    """Add the rules of a pod, in one transaction; return whether more than elements had to be made.

    begun: of begin_tables, which is awaited. Dead pods that hold one of its ports lose their elements. Where a table
    has gone, or an earlier release did not make it, the rules of all running pods are made again. Raises Conflict when
    another pod has a port or address, HostFailure when nft refuses, Unsupported without nft.
    """
    made = begun is not None and begun.wait().status == 0
    if not rules.elements:
        return made
    # Ports on every address and ports on one address are in two maps, so the kernel sees no clash: the check is made
    # here, under the exclusive lock.
    with outliving_lock(paths, _LOCK, shared=not forwards):
        outdated = _claim(uuid, forwards, neighbours) if forwards else ""
        if _has_tables():
            if not outdated and _added(rules.elements):
                return made
            done = _nft(outdated + rules.additions)
            if _MISSING not in done.complaint_text:  # such as the chain of its subnet
                _require(done)
                return made
        _require(_nft(outdated + rules.beside(neighbours.rules()).everything))
        return True


def remove_rules(paths: Paths, uuid: str) -> None:
    """Remove the rules of a pod, if any, and with the last element the tables.

    The rule that guards 127.0.0.1 of the host goes with the table, so by then no link may need it.
    Raises HostFailure when nft refuses, Unsupported without nft, OSError.
    """
    with outliving_lock(paths, _LOCK):
        for attempt in range(_TRIES):
            state, isolated = _read_tables(), _read_isolated()
            close_loopback(paths, uuid, forward_targets(state or TableState(), uuid))
            commands = removal_of(state, uuid) if state else ""
            if isolated:
                commands += isolation_removal(isolated.elements, isolated.chains, uuid)
            done = _nft(commands) if commands else None
            if done is None or done.status == 0:
                return
            # Something else, such as nft flush ruleset, came in between: read again.
            if _MISSING not in done.complaint_text or attempt == _TRIES - 1:
                _require(done)


def read_table() -> TableState | None:
    """The content of the kernel's tables for both families, None without any.

    Raises HostFailure, Unsupported, OSError.
    """
    state = _read_one(TABLE)
    with NetfilterSocket() as netfilter:
        if not netfilter.has_table(TABLE6):
            return state
    six = _read_one(TABLE6)
    return state.beside(six) if state and six else state or six


def published_ports() -> tuple[tuple[str, int], ...]:
    """Protocol and number of each port of the host that is in the tables; none where they cannot be read."""
    try:
        state = read_table() or TableState()
    except (OSError, HostFailure, Unsupported):
        return ()
    return tuple(
        (element.key[-2], int(element.key[-1]))
        for element in state.elements
        if element.container in (FORWARDS, FORWARDS_AT)
    )


def _read_one(table: str) -> TableState | None:
    done = _Done(programs.run([programs.find("nft"), "-j", "list", "table", *table.split()]))
    if done.status and _MISSING in done.complaint_text:
        return None
    _require(done)
    return parse_table(parse_json(done.stdout, "the output of nft"))


def _read_tables() -> TableState | None:
    """The content of the table and of the guard's, None when there is neither.

    Raises HostFailure, Unsupported, OSError.
    """
    state = read_table()
    with NetfilterSocket() as netfilter:
        if state is None and not netfilter.has_guard():
            return None
        content = state or TableState()
        return content.replace(elements=(*content.elements, *netfilter.guards()))


def _read_isolated() -> TableState | None:
    """The content of the table of isolated networks, None without it. Raises HostFailure, Unsupported, OSError."""
    with NetfilterSocket() as netfilter:
        return _read_one(ISOLATION_TABLE) if netfilter.has_table(ISOLATION_TABLE) else None


def _has_tables() -> bool:
    """Whether our tables are there; True when that cannot be read, since nft then says why."""
    try:
        with NetfilterSocket() as netfilter:
            return netfilter.has_guard()
    except OSError:
        return True


def _added(elements: Sequence[Element]) -> bool:
    """Add elements without a program; False when that fails, since nft then says why."""
    try:
        with NetfilterSocket() as netfilter:
            netfilter.add(elements)
    except OSError:
        return False
    return True


def _claim(uuid: str, forwards: Sequence[PortForward], neighbours: Neighbours) -> str:
    """The commands that remove the elements of dead pods that hold these ports. Raises Conflict for a live one."""
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
    """The result of a run of nft."""

    def __init__(self, completed: programs.Completed) -> None:
        self.status = completed.status
        self.stdout = completed.stdout
        self.complaint_text = completed.stderr.decode(errors="replace").strip() if completed.status else ""


def _nft(commands: str) -> _Done:
    return _Done(_begin_nft(commands).wait())


def _begin_nft(commands: str) -> programs.Running:
    return programs.begin([programs.find("nft"), "-f", "-"], stdin=commands.encode())


def _require(done: _Done) -> None:
    if done.status == 0:
        return
    if _EXISTS in done.complaint_text:
        raise Conflict(f"cannot change the nftables table {TABLE}: another pod has the same port or address")
    lines = done.complaint_text.splitlines() or [f"exit status {done.status}"]
    raise HostFailure(f"cannot change the nftables table {TABLE}: {lines[0]}", "is nf_tables in this kernel?")
