# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restarts of an app as the supervisor counts and records them. Part of the supervisor; see inside.waiting.

The supervisor cannot start an app itself. It orders each start from the app's waiting process, which tells the PID.
"""

from __future__ import annotations

import _signal
import posix
import time

from .apps import attempt
from .frames import LONGEST_FRAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import RestartRecord
    from .timers import Timer

_ON_FAILURE = "on-failure"
_MOST_DOUBLINGS = 40
# A run that is shorter than this never counts as one that went well, as in docker.
_STABLE_SECONDS = 10.0
# As pod.restart.RECORD_BYTES; a shorter record is padded, so that none shows the rest of a longer one.
_RECORD_BYTES = 256


class Restarts:
    """The starts of an app with a restart policy."""

    def __init__(self, record: RestartRecord) -> None:
        # The PID of the waiting process, 0 once it has ended.
        self.waiting = record["waiting"]
        # Whether there may be more starts.
        self.wanted = True
        # The number of the current start, from 1 on, by which the waiting process calls it.
        self.number = 1
        # The seconds until the next start, None if there will be none. Decided at each end.
        self.pause: float | None = None
        # The timer of the pause, and how the app has ended last: its status, and whether that is a signal.
        self.timer: Timer | None = None
        self.last = (0, False)
        self._policy, self._most = record["policy"], record["max_retries"]
        self._backoff, self._longest = record["backoff"], record["max_backoff"]
        self._order, self._counts = record["order"], record["counts"]
        # Those since the last run that was long enough.
        self._retries = 0
        self._since = time.monotonic()
        self._known: dict[str, float] = {}

    @property
    def files(self) -> list[int]:
        """Its descriptors."""
        return [self._order, self._counts]

    @property
    def count(self) -> int:
        """How many times the app was started again."""
        return self.number - 1

    def note_start(self) -> None:
        """Note that the app's process is there."""
        self._since = time.monotonic()
        self._known.pop("next", None)
        self._write(restarts=self.count, started=time.time())

    def note_end(self, status: int, *, killed: bool, oom: bool) -> None:
        """Note how the app has ended. killed: whether status is the number of a signal."""
        self.last = (status, killed)
        self._write(status=status, signal=killed, oom=oom, finished=time.time())

    def decide(self, status: int, *, may: bool) -> None:
        """Decide on the next start. may: whether there may be one, whatever the policy.

        The end of a waiting process that was dismissed may be heard of only after that of the app.
        """
        if time.monotonic() - self._since >= max(self._longest, _STABLE_SECONDS):
            self._retries = 0
        self.pause = None
        again = may and self.wanted and self.waiting and (status or self._policy != _ON_FAILURE)
        if not again or (self._most and self._retries >= self._most):
            self.dismiss()
            return
        self.pause = min(self._longest, self._backoff * 2 ** min(self._retries, _MOST_DOUBLINGS))
        self._retries += 1

    def note_rest(self) -> None:
        """Note that the pause has begun."""
        self._write(next=time.time() + (self.pause or 0))

    def order(self) -> None:
        """Order the next start."""
        self.number += 1
        attempt(posix.write, self._order, b"s")

    def dismiss(self) -> None:
        """End the waiting process: there will be no more starts."""
        self.pause, self.wanted = None, False
        if self.waiting:
            attempt(posix.kill, self.waiting, _signal.SIGKILL)
        if self._known.pop("next", None):
            self._write()

    def lose(self) -> None:
        """Note that the waiting process has ended by itself, although it was wanted."""
        self._write(lost=1)

    def _write(self, **numbers: float) -> None:
        self._known.update(numbers)
        words = (
            f"{name}={float(number):.6f}".rstrip("0").rstrip(".") for name, number in self._known.items()
        )
        record = " ".join(words).encode()[: _RECORD_BYTES - 1]
        attempt(posix.pwrite, self._counts, record.ljust(_RECORD_BYTES - 1) + b"\n", 0)


def hear(fd: int) -> bytes | None:
    """The next frame of the waiting process, b"" at the end of file, None while it has sent none."""
    try:
        return posix.read(fd, LONGEST_FRAME + 1)
    except BlockingIOError:
        return None
    except OSError:
        return b""
