# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of all apps of a pod: pipes that are read, and readers that may be slow. Part of the supervisor."""

from __future__ import annotations

import posix

from .apps import Stream
from .logs import Sink
from .timers import Timers
from .watch import IDLE, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .apps import RunningApp
    from .watch import Watch

_CHUNK = 1 << 16
_LAST_READS = 16
# How long the last output is kept for readers: after a request to stop, and otherwise for a journal. The user that runs
# a pod in the foreground reads its output or not, as with any program.
_PARTING_SECONDS = 1.0
_JOURNAL_SECONDS = 10.0


class Outputs:
    """The streams of the apps, and the sinks that take their lines beside the logs. console: of the pod, or -1."""

    def __init__(self, watch: Watch, console: int) -> None:
        self.console = Sink(console)
        self.sinks: list[Sink] = []
        self._watch = watch
        self._streams: dict[int, Stream] = {}
        self.add_sink(self.console)

    def add_sink(self, sink: Sink) -> None:
        """Have a sink written to whenever it can take more; ignore one without a descriptor."""
        if sink.fd >= 0:
            self.sinks.append(sink)
            self._watch.add(sink.fd, self._flush, IDLE)

    def listen(self, fd: int, app: RunningApp, name: bytes, tap: int = -1) -> None:
        """Read a stream of an app whenever there is something. tap: see Stream."""
        posix.set_blocking(fd, False)
        self._streams[fd] = Stream(app, name, self.console, tap)
        self._watch.add(fd, self._pump)

    def ask(self) -> None:
        """Wait for sinks with waiting data, and for streams whose sinks have room."""
        for sink in self.sinks:
            self._watch.ask(sink.fd, WRITE if sink.waiting else IDLE)
        for fd, stream in self._streams.items():
            self._watch.ask(fd, READ if stream.has_room() else IDLE)

    def end_lines(self, app: RunningApp) -> None:
        """Log what an app has written before its end, where its pipes stay open."""
        for fd in app.outputs:
            self._read_to_end(fd)
            if fd in self._streams:
                self._streams[fd].end_line()

    def drop(self, app: RunningApp) -> None:
        """Log the last output of an app that is forgotten, and close its pipes and its sink."""
        for fd in [fd for fd, stream in self._streams.items() if stream.app is app]:
            self._read_to_end(fd)
            self._close(fd)
        if app.journal in self.sinks:
            self.sinks.remove(app.journal)
            self._watch.close(app.journal.fd)

    def say(self, app: RunningApp, text: str) -> None:
        """Write a line of the supervisor to the log of an app."""
        Stream(app, b"stderr", self.console).feed(f"{text}\n".encode())

    def drain(self) -> None:
        """Log what is left in all streams, and close them."""
        for fd in tuple(self._streams):
            self._read_to_end(fd)
        for fd in tuple(self._streams):
            self._close(fd)

    def part(self, turn: Callable[[Timers], None], in_haste: Callable[[], bool]) -> None:
        """Wait until readers have taken the last output, or the time is over.

        turn: waits for events and handles them. in_haste: whether something waits for the end of the pod.
        """
        self._wait_for(self.sinks, _JOURNAL_SECONDS, turn, in_haste)
        self._wait_for([self.console], None, turn, in_haste)

    @staticmethod
    def _wait_for(
        sinks: list[Sink], seconds: float | None, turn: Callable[[Timers], None], in_haste: Callable[[], bool]
    ) -> None:
        """Wait until readers have taken everything, for so many seconds at most, fewer in haste."""
        timers = Timers()
        over: list[bool] = []
        if seconds is not None:
            timers.after(seconds, lambda: over.append(True))
        hastened = False
        while not over and any(sink.waiting for sink in sinks):
            if not hastened and in_haste():
                hastened = True
                timers.after(_PARTING_SECONDS, lambda: over.append(True))
            turn(timers)
            timers.run_due()

    def _read_to_end(self, fd: int) -> None:
        for _read_once in range(_LAST_READS):
            if fd not in self._streams or not self._read(fd):
                return

    def _close(self, fd: int) -> None:
        stream = self._streams.pop(fd, None)
        if stream:
            stream.feed(b"")
            self._watch.close(fd)

    def _pump(self, fd: int) -> None:
        """Read once from a stream that has room."""
        if self._streams[fd].has_room():
            self._read(fd)

    def _read(self, fd: int) -> bool:
        """Read once from a stream. Returns whether there may be more."""
        try:
            data = posix.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a terminal that no process of the app has any more
        self._streams[fd].feed(data)
        if not data:
            del self._streams[fd]
            self._watch.close(fd)
        return bool(data)

    def _flush(self, fd: int) -> None:
        """Write what waits; close a sink that is broken."""
        sink = next(sink for sink in self.sinks if sink.fd == fd)
        if not sink.flush():
            self.sinks.remove(sink)
            self._watch.close(fd)
