# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leases that DHCP servers have given to interfaces of the pod. Part of the supervisor, of pods that have some.

Each is asked for again in time: of its server, then of any, and after its end once a minute. PID 1 may not change the
interface: an address whose lease is over stays until the pod ends, which gives leases back. Answers that it has not
asked for come from somewhere else, such as another pod, and do not count. Source: RFC 2131, 4.4.5 and figure 5.
"""

from __future__ import annotations

import posix
import time

from .apps import attempt
from .starter import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .record import LeaseRecord
    from .timers import Timer, Timers
    from .watch import Watch

_LEAST, _SHORTEST, _MINUTE = 20, 5, 60
_FIRST_OPTION = 240
_ANSWER = 2
_TRANSACTION, _ADDRESS, _OWN_ADDRESS, _MAC = slice(4, 8), slice(16, 20), slice(12, 16), slice(28, 34)
_ACK, _NAK = b"\5", b"\6"
_PAD, _END, _TYPE = 0, 255, 53
# The options with the three times of a lease, and the parts of it that the first two are without one: 4/8 and 7/8.
_RENEW, _REBIND, _OVER = 58, 59, 51
_MOST = 10 * 365 * 86400


class KeptLease:
    """One lease. Its times are of the monotonic clock."""

    def __init__(self, record: LeaseRecord, timers: Timers, watch: Watch) -> None:
        self._record = record
        self._timers = timers
        self._timer: Timer | None = None
        self._asks = False
        for fd in (record["hears"], record["to_server"], record["to_all"]):
            watch.add(fd, self._hear)
        self._begin(record["times"])

    def end(self) -> None:
        """Give it back."""
        attempt(posix.write, self._record["to_server"], self._record["ends"])

    def _begin(self, times: Sequence[int]) -> None:
        """The server has given the address for so long."""
        now = time.monotonic()
        self._renew, self._rebind, self._over = (now + seconds for seconds in times)
        self._plan(self._renew)

    def _plan(self, when: float) -> None:
        if self._timer:
            self._timers.cancel(self._timer)
        self._timer = self._timers.after(max(0.0, when - time.monotonic()), self._ask)

    def _ask(self) -> None:
        """Ask for longer, and again after half of the time that is left; after its end once a minute."""
        now = time.monotonic()
        self._asks = True
        of_server = now < self._rebind
        attempt(posix.write, self._record["to_server" if of_server else "to_all"], self._record["keeps"])
        until = self._rebind if of_server else self._over
        self._plan(now + (max(_SHORTEST, (until - now) / 2) if now < self._over else _MINUTE))

    def _hear(self, fd: int) -> None:
        data = read(fd)
        kind, times = self._understood(data)
        if not self._asks or kind not in (_ACK, _NAK):
            return
        self._asks = False
        if kind == _ACK:
            self._begin(times)
        else:
            self._rebind = self._over = time.monotonic()  # any server may give it again
            self._plan(self._over + _MINUTE)

    def _understood(self, data: bytes) -> tuple[bytes, tuple[int, int, int]]:
        """The kind of an answer about this lease and its times; b"" for anything else."""
        keeps = self._record["keeps"]
        ours = keeps[_TRANSACTION], keeps[_MAC]
        if len(data) < _FIRST_OPTION or data[0] != _ANSWER or (data[_TRANSACTION], data[_MAC]) != ours:
            return b"", (0, 0, 0)
        options = _options(data[_FIRST_OPTION:])
        kind = options.get(_TYPE, b"")
        if kind == _ACK and data[_ADDRESS] != keeps[_OWN_ADDRESS]:
            return b"", (0, 0, 0)
        over = max(_LEAST, min(_seconds(options.get(_OVER, b""), self._record["times"][2]), _MOST))
        renew, rebind = (
            max(over // 4, min(_seconds(options.get(option, b""), default), over))
            for option, default in ((_RENEW, over // 2), (_REBIND, over * 7 // 8))
        )
        return kind, (min(renew, rebind), rebind, over)


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        length = 0 if data[at] == _PAD else (data[at + 1] if at + 1 < len(data) else len(data))
        if data[at] != _PAD and at + 2 + length <= len(data):
            found[data[at]] = data[at + 2 : at + 2 + length]
        at += 1 if data[at] == _PAD else 2 + length
    return found


def _seconds(data: bytes, default: int) -> int:
    return int.from_bytes(data, "big") if len(data) == 4 else default
