# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app as the supervisor knows it. Part of the supervisor, and so of built-in modules alone."""

from __future__ import annotations

import _signal
import posix

from .logs import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..record import AppRecord
    from .logs import Log

# What becomes of App.exec once the descriptor has ended.
STARTED_WELL, STARTED_NOT = -1, -2
_CHUNK = 1 << 16
_KILL_ROUNDS = 10


class App:
    """An app: its process, and what has become of it."""

    def __init__(self, record: AppRecord, log: Log) -> None:
        self.name = record["name"]
        self.pid = record["pid"]
        self.exec = record["exec"]
        self.procs = record["procs"]
        self.kill = record["kill"]
        self.notify = record["notify"]
        self.stop_signal = record["stop_signal"]
        self.events = record["events"]
        self.journal = Sink(record["journal"])
        self.post_stop = record["post_stop"]
        self.log = log
        self.status, self.end = record["status"], record["end"]
        self.running = True
        self.handling = 0
        self.deadline = 0.0
        self.oom = False
        self.complaint = self.wrong = ""

    def is_started(self) -> bool:
        """Whether it has been started, and said so if it is one that does."""
        return self.exec == STARTED_WELL and self.notify < 0

    def signal(self, number: int) -> None:
        """Send a signal to every process of the app."""
        for pid in self._pids():
            attempt(posix.kill, pid, number)

    def kill_all(self) -> None:
        """End every process of the app, also those that are being born."""
        if self.kill >= 0:
            attempt(posix.write, self.kill, b"1")
        for _round in range(_KILL_ROUNDS):
            if not self._pids():
                return
            self.signal(_signal.SIGKILL)

    def was_oom(self) -> bool:
        """Whether the kernel has killed in it for memory."""
        return self.oom or (self.events >= 0 and b"oom_kill 0\n" not in posix.pread(self.events, _CHUNK, 0))

    def record(self, status: int, words: list[bytes]) -> None:
        """Write down how it ended, into files that are empty until then and have room on the disk already.

        The status comes last, so that a reader of it finds what is beside it.
        """
        if words:
            attempt(posix.pwrite, self.end, b" ".join(words), 0)
        attempt(posix.pwrite, self.status, b"%d" % status, 0)

    def hasten(self, until: float) -> None:
        """Have what is left of its post-stop handler end by then, or earlier as it had to."""
        if self.handling:
            self.deadline = min(self.deadline, until)

    def end_handler(self) -> None:
        """Kill its post-stop handler, and whatever that has started."""
        self.deadline = 0.0
        attempt(posix.kill, self.handling, _signal.SIGKILL)
        self.kill_all()

    def _pids(self) -> list[int]:
        own = [self.pid] if self.running else []
        if self.procs < 0:
            return own
        try:
            listed = posix.pread(self.procs, _CHUNK, 0).split()
        except OSError:
            return own
        # 0 is a process of another PID namespace, and a kill of it one of ours.
        return [int(pid) for pid in listed if int(pid) > 1] or own


def attempt(call: Callable[..., object], *words: object, **names: object) -> None:
    """Call what may be refused, such as for what has gone meanwhile."""
    try:
        call(*words, **names)
    except OSError:
        pass
