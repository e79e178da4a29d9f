# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our nftables table: makes it, adds and removes what belongs to a pod, asks who holds a port.

Adding takes the lock shared, removing takes it alone, because whoever removes the last element removes the table.
"""

from __future__ import annotations

import contextlib
import os

from ..appc.fields import parse_json
from ..errors import Conflict, HostFailure
from ..host import programs
from ..host.locks import FileLock
from .rules import TABLE, PodRules, TableState, conflicting, dropping_chains, parse_table, removal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..host.paths import Paths
    from .rules import PortForward

_MISSING = "No such file or directory"
_EXISTS = "File exists"
_TRIES = 3


def add_rules(paths: Paths, rules: PodRules) -> bool:
    """Add what belongs to a pod, in one transaction; whether something but elements had to be made.

    Raises Conflict when a port or address is another's, HostFailure when nft refuses, Unsupported without nft.
    """
    if not rules.elements:
        return False
    with _locked(paths, shared=True):
        done = _nft(rules.additions)
        if _MISSING not in done.complaint_text:
            _require(done)
            return False
        _require(_nft(rules.everything))
        return True


def remove_rules(paths: Paths, uuid: str) -> None:
    """Remove what belongs to a pod; with the last element of all goes the table. Nothing there is fine.

    Raises HostFailure when nft refuses, Unsupported without nft.
    """
    with _locked(paths):
        for attempt in range(_TRIES):
            state = read_table()
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


def foreign_drops() -> tuple[str, ...]:
    """A sentence for each chain of others that drops what is forwarded, so that pods may not get out."""
    done = _Done(programs.run([programs.find("nft"), "-j", "list", "chains"]))
    _require(done)
    return tuple(
        f"the nftables chain {chain} drops forwarded packets unless its rules accept them: pods may be cut off"
        for chain in dropping_chains(parse_json(done.stdout, "the output of nft"))
    )


def holders_of(forwards: Sequence[PortForward], uuid: str = "") -> tuple[tuple[PortForward, str], ...]:
    """The ports that other pods than uuid have, each with the pod's UUID."""
    state = read_table()
    if state is None:
        return ()
    found = ((forward, conflicting(state, forward, uuid)) for forward in forwards)
    return tuple((forward, holder) for forward, holder in found if holder)


def drop_dead_holders(paths: Paths, forwards: Sequence[PortForward], is_live: Callable[[str], bool]) -> bool:
    """Remove what dead pods have that hold one of these ports; whether there was one."""
    dead = {holder for forward, holder in holders_of(forwards) if not is_live(holder)}
    for uuid in sorted(dead):
        remove_rules(paths, uuid)
    return bool(dead)


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


@contextlib.contextmanager
def _locked(paths: Paths, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock, also by an nft that outlives this process: whoever cleans up after a kill must see what it did."""
    with FileLock(f"{paths.locks}/net-firewall", shared=shared) as lock:
        os.set_inheritable(lock.fd, True)
        yield
