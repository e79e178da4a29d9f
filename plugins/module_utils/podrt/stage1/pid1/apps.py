# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app as the supervisor sees it, and its output. Part of the supervisor: imports built-in modules only."""

from __future__ import annotations

import _signal
import posix
import time

from .logs import Sink, for_terminal, timestamp
from .states import ALIVE, ENDED, START, STARTING, STOP, after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .logs import Log
    from .record import AppRecord
    from .timers import Timer

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 14
_KILL_ROUNDS = 10
# The status of an app that ended with 0, but only because it was stopped before it was up.
NEVER_UP = 254


class RunningApp:
    """An app: its process, its descriptors and its state."""

    def __init__(self, record: AppRecord, log: Log) -> None:
        self.name = record["name"]
        # 0 while its waiting process has yet to tell it.
        self.pid = record["pid"]
        self.exec, self.oom = record["exec"], record["oom"]
        self.notify = record["notify"]
        self._pre_start = record["pre_start"]
        self.stop_signal = record["stop_signal"]
        self.post_stop = record["post_stop"]
        self.journal = Sink(record["journal"])
        self.log = log
        self.state = STARTING
        # Whether its process was executed, whether one of an earlier start was, and whether it was up once.
        self.executed = self.was_executed = self.was_up = False
        # Why it could not be executed, and the field of the spec to blame.
        self.complaint = self.wrong = ""
        # The process of its post-stop handler, and the timer that ends it.
        self.handler = 0
        self.handler_end: Timer | None = None
        # Its output, to be read to its end before another start.
        self.outputs = (record["out"], record["err"], record["tty"])
        # Whether its pod was stopped before it was up.
        self.late = False
        # Whether the host has added it to the running pod, and whether the host has stopped it alone.
        self.added = self.asked = False
        self._oom, self._kills = False, 0
        self._procs, self._kill, self._events = record["procs"], record["kill"], record["events"]
        self._status, self._end = record["status"], record["end"]
        self._attached = {record["stdin"], record["tap_out"], record["tap_err"], record["tap_tty"]}

    @property
    def files(self) -> list[int]:
        """Its descriptors that nothing watches, to be closed with it."""
        files = [
            self._procs,
            self._kill,
            self._events,
            self._status,
            self._end,
            self.post_stop,
            *self._attached,
            *self.log.files,
        ]
        return [fd for fd in files if fd >= 0]

    @property
    def alive(self) -> bool:
        """Whether its process exists."""
        return self.state in ALIVE

    @property
    def has_ended(self) -> bool:
        """Whether no process of it is left, and none will be started."""
        return self.state == ENDED

    @property
    def up(self) -> bool:
        """Whether it has been executed, and has sent READY=1 if it should."""
        return self.executed and not self.complaint and self.notify < 0

    @property
    def waits_for(self) -> str:
        """The event that an app which is not up lacks."""
        if self.executed or self.was_executed:
            return "it has not said READY=1"
        return "its pre-start handler has not ended" if self._pre_start else "it has not been executed"

    def move(self, event: str) -> None:
        """Change its state after an event."""
        self.state = after(self.state, event)

    def begin(self) -> None:
        """Forget the start before the next one."""
        self.move(START)
        self.was_executed = self.was_executed or self.executed
        self.pid, self.executed, self.complaint, self.wrong = 0, False, "", ""
        self._oom, self._kills = False, self._oom_kills()

    def signal(self, number: int) -> None:
        """Send a signal to every process of the app."""
        for pid in self._pids():
            attempt(posix.kill, pid, number)

    def stop(self) -> None:
        """Ask it to end."""
        self.move(STOP)
        if self.stop_signal and self.pid:  # as in docker: the first process alone
            attempt(posix.kill, self.pid, self.stop_signal)
        else:
            self.signal(_signal.SIGTERM)
        self.signal(_signal.SIGCONT)

    def kill_all(self) -> None:
        """Kill every process of the app, also those that are being forked."""
        if self._kill >= 0:
            attempt(posix.write, self._kill, b"1")
        for _round in range(_KILL_ROUNDS):
            if not self._pids():
                return
            self.signal(_signal.SIGKILL)

    def end_handler(self) -> None:
        """Kill its post-stop handler and all processes that this has started."""
        attempt(posix.kill, self.handler, _signal.SIGKILL)
        self.kill_all()

    def out_of_memory(self, fd: int) -> None:
        """Kill all of the app after an OOM kill in it. fd: the eventfd that reports it."""
        posix.read(fd, 8)
        self._oom = True
        self.kill_all()

    def record(self, status: int, *, killed: bool) -> None:
        """Record how it ended, in files that are empty until then and have their disk space already.

        The status comes last, so that its reader finds the words beside it. killed: whether it is a signal's number.
        """
        words = [b"oom"] * self.was_oom() + [b"signal"] * killed + [b"late"] * self.late
        if words:
            attempt(posix.pwrite, self._end, b" ".join(words), 0)
        attempt(posix.pwrite, self._status, b"%d" % status, 0)

    def record_end(self, status: int, *, killed: bool, stopping: bool) -> None:
        """Record its end, as 0 if it was stopped with its pod: never so if that was because it was not up in time."""
        if self.late:
            self.record(status or NEVER_UP, killed=killed)
        elif stopping:
            attempt(posix.pwrite, self._status, b"0", 0)
        else:
            self.record(status, killed=killed)

    def untap(self, tap: int) -> None:
        """Close a pipe where its output was repeated: a process that is attached sees that it has ended."""
        if tap in self._attached:
            self._attached.remove(tap)
            posix.close(tap)

    def was_oom(self) -> bool:
        """Whether the kernel has killed in it for memory, since this start."""
        return self._oom or self._oom_kills() > self._kills

    def _oom_kills(self) -> int:
        """How often the kernel has, as far as its group counts that."""
        if self._events < 0:
            return 0
        number = posix.pread(self._events, _CHUNK, 0).partition(b"oom_kill ")[2].partition(b"\n")[0]
        return int(number) if number.isdigit() else 1

    def _pids(self) -> list[int]:
        own = [self.pid] if self.alive and self.pid else []
        if self._procs < 0:
            return own
        try:
            listed = posix.pread(self._procs, _CHUNK, 0).split()
        except OSError:
            return own
        # 0 is a process of another PID namespace, and kill(0) would hit our own process group.
        return [int(pid) for pid in listed if int(pid) > 1] or own


def status_of(status: int) -> int:
    """The exit code, or the number of the signal, of a wait status. Source: behaviours A28."""
    return posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)


def exists(pid: int) -> bool:
    """Whether there is a process of this PID."""
    try:
        posix.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def attempt(call: Callable[..., object], *words: object, **names: object) -> None:
    """Make a call and ignore its failure, such as on a process that has ended meanwhile."""
    try:
        call(*words, **names)
    except OSError:
        pass


class Stream:
    """The stdout or stderr of an app, or what its terminal shows, line by line.

    tap: a pipe where it is repeated as it comes, while a process is attached that reads it, or -1.
    """

    def __init__(self, app: RunningApp, name: bytes, console: Sink, tap: int = -1) -> None:
        self.app = app
        self._name = name
        self._console = console
        self._tap = tap
        self._rest = b""

    def has_room(self) -> bool:
        """Whether all its sinks can take more."""
        return not (self._console.is_full() or self.app.journal.is_full())

    def end_line(self) -> None:
        """Pass on a line without its end, if there is one."""
        if self._rest:
            self._pass_on(b"\n")

    def feed(self, data: bytes) -> None:
        """Pass on the data that was read, b"" at the end."""
        if self._tap >= 0 and data:
            # It never waits, and what its reader has no room for is lost.
            attempt(posix.write, self._tap, data)
        elif self._tap >= 0:
            self.app.untap(self._tap)
            self._tap = -1
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        """Write the lines that are complete. The console gets them in the form of the journal."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if self._rest and (not data or len(self._rest) > _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        seconds, nanos = divmod(time.monotonic_ns(), 1_000_000_000)
        prefix = f"[{seconds:5d}.{nanos // 1000:06d}] {self.app.name}[{self.app.pid}]: ".encode()
        for line in lines:
            self.app.log.write(b"%s %s %s\n" % (timestamp(), self._name, line))
            self.app.journal.put(line + b"\n")
            self._console.put(prefix + (for_terminal(line) if self._console.is_terminal else line) + b"\n")
