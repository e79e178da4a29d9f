# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a pod: lets its apps start, reaps, records exit statuses, stops them, keeps what they say.

A program of its own, made of this module and the others here, and alone in memory for the pod's life: it imports
built-in modules only, and nothing else of this package. The apps are its children already, forked by what this process
was before; each waits for its byte on the go pipe. The host's tree is read-only here: whatever is written goes
through files that were opened before. Source: behaviours A27, A28, C18, C19, C56, C57, D14.
"""

from __future__ import annotations

import _signal
import marshal
import posix
import select
import time

from .apps import STARTED_NOT, STARTED_WELL, App, attempt
from .logs import Log, Sink, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..record import AppRecord, Plan

# As stage1.sync has them.
STARTED, FAILED, APP_FAILED, GO = "started", "failed", "app-failed", "go"
_CHUNK = 1 << 16
_EINVAL = 22
_LAST_READS = 16
_PARTING_SECONDS = 1.0


class Supervisor:
    """The pod. run() returns its exit status once every app and every handler has ended."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._apps = [App(record, Log(record["logs"], plan["max_bytes"])) for record in plan["apps"]]
        self._streams: dict[int, Stream] = {}
        self._ooms: dict[int, App] = {}
        self._poll = select.poll()
        self._asked: dict[int, int] = {}
        self._console = Sink(plan["console"])
        sinks = (self._console, *(app.journal for app in self._apps))
        self._sinks = {sink.fd: sink for sink in sinks if sink.fd >= 0}
        self._sync = plan["sync"]
        self._is_ready = False
        self._stop_asked = False
        self._in_haste = False
        self._stopping = False
        self._deadline = 0.0
        self._status = 0
        self._wake = self._catch_signals()
        for fd in (self._wake, self._sync):
            self._ask(fd, select.POLLIN)
        for app, record in zip(self._apps, plan["apps"]):
            self._watch(app, record)

    def run(self) -> int:
        """Supervise until the end."""
        while any(app.running or app.handling for app in self._apps):
            self._turn()
            self._reap()
            if self._stop_asked:
                self._obey()
            self._look_at_clock()
        self._drain()
        self._part()
        return self._status

    def _obey(self) -> None:
        """Stop since that was asked for: apps have their time, and handlers that run already what is left of theirs."""
        self._stop_asked = False
        self._in_haste = True
        if self._plan["go"] >= 0:
            posix._exit(0)  # no app has started
        if not self._stopping:
            self._stop()
        for app in self._apps:
            app.hasten(time.monotonic() + self._plan["hasty_timeout"])

    def _look_at_clock(self) -> None:
        """End what has had its time."""
        now = time.monotonic()
        if self._deadline and now >= self._deadline:
            self._deadline = 0.0
            self._kill()
        for app in self._apps:
            if app.deadline and now >= app.deadline:
                told = "the post-stop handler was ended, since it took too long\n"
                Stream(app, b"stderr", self._console).feed(told.encode())
                app.end_handler()

    def _turn(self) -> None:
        """Wait for news and attend to it: of what can be written, and of what there is room for."""
        for fd, sink in self._sinks.items():
            self._ask(fd, select.POLLOUT if sink.waiting else 0)
        for fd, stream in self._streams.items():
            self._ask(fd, select.POLLIN if stream.has_room() else 0)
        for fd in self._await():
            self._attend(fd)

    def _await(self) -> list[int]:
        """What there is news of. poll(2) refuses more than may be open, which an app that is root can lower."""
        patience = self._patience()
        try:
            return [fd for fd, _event in self._poll.poll(patience)]
        except OSError as err:
            if err.errno != _EINVAL:
                raise
        asked = self._asked
        reading = [fd for fd, events in asked.items() if events & select.POLLIN]
        writing = [fd for fd, events in asked.items() if events & select.POLLOUT]
        ready = select.select(reading, writing, (), None if patience is None else patience / 1000)
        return [*ready[0], *ready[1]]

    def _ask(self, fd: int, events: int) -> None:
        """Have poll(2) tell of these. One asked for nothing is taken out: it would still tell of an end."""
        self._poll.register(fd, events)
        self._asked[fd] = events
        if not events:
            self._poll.unregister(fd)
            del self._asked[fd]

    def _watch(self, app: App, record: AppRecord) -> None:
        for fd, name in ((record["out"], b"stdout"), (record["err"], b"stderr")):
            if fd >= 0:
                self._listen(fd, Stream(app, name, self._console))
        if record["oom"] >= 0:
            self._ooms[record["oom"]] = app
        for fd in (record["exec"], record["notify"], record["oom"]):
            if fd >= 0:
                self._ask(fd, select.POLLIN)

    def _listen(self, fd: int, stream: Stream) -> None:
        posix.set_blocking(fd, False)
        self._streams[fd] = stream

    def _catch_signals(self) -> int:
        """Handle signals from now on; stage1 has kept them blocked, so that none is lost."""
        wake, woken = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        _signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT):
            _signal.signal(number, self._ask_stop)
        # The wakeup descriptor tells; a handler there must be.
        _signal.signal(_signal.SIGCHLD, lambda _number, _frame: None)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        return wake

    def _ask_stop(self, _number: int, _frame: object) -> None:
        self._stop_asked = True

    def _patience(self) -> int | None:
        """How long to wait for news, in milliseconds."""
        times = [when for when in (self._deadline, *(app.deadline for app in self._apps)) if when]
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def _attend(self, fd: int) -> None:
        if fd in self._streams:
            if self._streams[fd].has_room():
                self._pump(fd)
        elif fd in self._sinks:
            if not self._sinks[fd].flush():
                del self._sinks[fd]
                self._forget(fd)
        elif fd == self._wake:
            posix.read(fd, _CHUNK)
        elif fd == self._sync:
            self._hear_starter()
        elif fd in self._ooms:
            posix.read(fd, 8)
            self._ooms[fd].oom = True
            self._ooms[fd].kill_all()
        else:
            self._hear_app(fd)

    def _hear_starter(self) -> None:
        """GO, GO again once the start is on record, or the starter's end, which before that ends the pod as well."""
        frame = _read(self._sync)
        if frame and self._plan["go"] >= 0 and marshal.loads(frame)[0] == GO:
            attempt(posix.write, self._plan["go"], b"g" * len(self._apps))
            posix.close(self._plan["go"])
            self._plan["go"] = -1
        elif self._plan["go"] >= 0:
            posix._exit(1)
        else:
            self._stop_asked = self._stop_asked or not frame
            self._hang_up()

    def _hear_app(self, fd: int) -> None:
        for app in self._apps:
            if fd == app.notify:
                if b"READY=1" in _read(fd).split(b"\n"):
                    self._forget(fd)
                    app.notify = -1
            elif fd == app.exec:
                self._hear_start(app, _read(fd))
        self._tell_started()

    def _hear_start(self, app: App, frame: bytes) -> None:
        """Nothing: the app runs. FAILED: the pod cannot be. APP_FAILED: the app ends with a status of its own."""
        if frame:
            message = marshal.loads(frame)
            if message[0] == FAILED:
                self._tell(frame)
                posix._exit(1)
            app.complaint, app.wrong = message[1:]
            return
        self._forget(app.exec)
        app.exec = STARTED_NOT if app.complaint else STARTED_WELL

    def _tell_started(self) -> None:
        if self._is_ready or not all(app.is_started() for app in self._apps):
            return
        self._is_ready = True
        self._tell(marshal.dumps((STARTED,)))

    def _tell(self, frame: bytes) -> None:
        if self._sync >= 0:
            attempt(posix.write, self._sync, frame)

    def _hang_up(self) -> None:
        if self._sync >= 0:
            self._forget(self._sync)
            self._sync = -1

    def _forget(self, fd: int) -> None:
        self._ask(fd, 0)
        posix.close(fd)

    def _pump(self, fd: int) -> bool:
        """Read once from a stream; whether there may be more."""
        try:
            data = posix.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        self._streams[fd].feed(data)
        if not data:
            del self._streams[fd]
            self._forget(fd)
        return bool(data)

    def _drain(self) -> None:
        """End whatever is left in the pod, so that nobody writes any more, and take in what has been written."""
        if posix.getpid() == 1:
            attempt(posix.kill, -1, _signal.SIGKILL)
        for fd in tuple(self._streams):
            for _read_once in range(_LAST_READS):
                if not self._pump(fd):
                    break
        for fd in tuple(self._streams):
            self._streams.pop(fd).feed(b"")
            self._forget(fd)

    def _part(self) -> None:
        """Leave once everything has been taken that waits to be written; asked to stop, after a moment."""
        self._deadline = 0.0
        while any(sink.waiting for sink in self._sinks.values()):
            if (self._stop_asked or self._in_haste) and not self._deadline:
                self._deadline = time.monotonic() + _PARTING_SECONDS
            if self._deadline and time.monotonic() >= self._deadline:
                return
            self._turn()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for app in self._apps:
                if pid == app.pid and app.running:
                    self._app_ended(app, status)
                elif pid == app.handling:
                    app.handling, app.deadline = 0, 0.0
                    app.kill_all()

    def _app_ended(self, app: App, ended: int) -> None:
        """Record it; an app that was stopped with its pod counts as 0. The first that fails takes the pod along."""
        app.running, status = False, _status_of(ended)
        while app.exec >= 0:
            self._hear_start(app, _read(app.exec))
        self._tell_started()
        if not app.is_started() and not self._stopping:
            reason = app.complaint or f"it ended with status {status} before it was ready"
            self._tell(marshal.dumps((APP_FAILED, app.name, reason, status, app.wrong)))
        words = [b"oom"] * app.was_oom() + [b"signal"] * posix.WIFSIGNALED(ended)
        app.record(0 if self._stopping else status, [] if self._stopping else words)
        app.kill_all()
        if app.post_stop >= 0:
            self._run_post_stop(app)
        if status and not self._stopping:
            self._status = status
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._deadline = time.monotonic() + self._plan["stop_timeout"]
        for app in self._apps:
            if app.running:
                if app.stop_signal:  # as docker does it: the first process alone
                    attempt(posix.kill, app.pid, app.stop_signal)
                else:
                    app.signal(_signal.SIGTERM)
                app.signal(_signal.SIGCONT)

    def _kill(self) -> None:
        for app in self._apps:
            if app.running:
                app.kill_all()

    def _run_post_stop(self, app: App) -> None:
        """Start the handler in a process of its own, which goes into the app's root and is confined as the app was."""
        heard = said = -1
        try:
            heard, said = posix.pipe2(posix.O_CLOEXEC)
            pid = posix.fork()
        except OSError as err:
            attempt(posix.close, heard)
            attempt(posix.close, said)
            complaint = f"the post-stop handler could not be started: {err.strerror}\n"
            Stream(app, b"stderr", self._console).feed(complaint.encode())
            return
        if pid == 0:
            try:
                for number in (1, 2):
                    posix.dup2(said, number)
                posix.set_inheritable(app.post_stop, True)
                argv = [*self._plan["handler"], str(app.post_stop)]
                posix.execve(argv[0], argv, {"LC_CTYPE": "C.UTF-8"})
            finally:
                posix._exit(203)
        posix.close(said)
        app.handling = pid
        app.deadline = time.monotonic() + self._plan["handler_timeout"]
        if self._in_haste:
            app.hasten(time.monotonic() + self._plan["hasty_timeout"])
        self._listen(heard, Stream(app, b"stdout", self._console))


def _read(fd: int) -> bytes:
    try:
        return posix.read(fd, _CHUNK)
    except OSError:
        return b""


def _status_of(status: int) -> int:
    """The exit code, or the number of the signal. Source: behaviours A28."""
    return posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)


def main(plan: Plan) -> None:
    """Supervise the pod that plan describes, and end with its status."""
    posix._exit(Supervisor(plan).run() & 0xFF)
