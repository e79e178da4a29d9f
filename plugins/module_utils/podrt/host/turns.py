# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that one process does for all that need it, unless it makes no progress."""

from __future__ import annotations

import os
import time

from .locks import FileLock, holders, try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.05
_PULSE_SECONDS = 0.5


class Turn(FileLock):
    """A lock that waits only as long as its holder makes progress, which it shows by pulse.

    Afterwards check whether the work is done. held: whether the lock is ours; if not, its holder has made no progress
    for patience seconds, and the work is done without it: its result must be put in place in one step. what: the name
    of the work in the lines for tell. Raises OSError.
    """

    def __init__(self, path: str, what: str, *, patience: float, tell: Callable[[str], None]) -> None:
        super().__init__(path)
        self.held = False
        self._what = what
        self._patience = patience
        self._tell = tell
        self._shown = 0.0

    def __enter__(self) -> Turn:
        super().__enter__()
        return self

    def pulse(self) -> None:
        """Show waiting processes that the work goes on. Threads may share it."""
        now = time.monotonic()
        if self.held and now - self._shown >= _PULSE_SECONDS:
            self._shown = now
            os.utime(self.fd)

    def _acquire(self) -> None:
        self.held = try_lock(self.fd)
        if self.held:
            return
        self._tell(f"waiting for {holders(self.path) or 'another process'}: {self._what}")
        seen, since = os.fstat(self.fd).st_mtime_ns, time.monotonic()
        while time.monotonic() - since < self._patience:
            time.sleep(_POLL_SECONDS)
            self.held = try_lock(self.fd)
            if self.held:
                return
            now = os.fstat(self.fd).st_mtime_ns
            if now != seen:
                seen, since = now, time.monotonic()
        who = holders(self.path) or "another process"
        self._tell(f"not waiting any longer for {who}, which makes no progress: {self._what}")

    def _is_in_place(self) -> bool:
        return not self.held or super()._is_in_place()
