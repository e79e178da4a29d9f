# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a pod: lets its apps start, reaps, records exit statuses, stops them, keeps what they say.

A program of its own, started as `python -I -S supervisor.pyc PLAN_FD` and alone in memory for the pod's life: it
imports built-in modules only, and nothing of this package. The apps are its children already, forked by what this
process was before; each waits for its byte on the go pipe. The host's tree is read-only here: whatever is written goes
through descriptors that were opened before. Source: behaviours A27, A28, C18, C19, C56, C57, D14.
"""

from __future__ import annotations

import _signal
import marshal
import posix
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .record import AppRecord, Plan

# As stage1.sync has them.
STARTED, FAILED, APP_FAILED, GO = "started", "failed", "app-failed", "go"
# What becomes of App.exec once the descriptor has ended.
STARTED_WELL, STARTED_NOT = -1, -2
_LOG_MODE, _STATUS_MODE = 0o640, 0o644
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 14
_KILL_ROUNDS = 10
# A pipe that poll(2) calls writable takes this much at once. Source: pipe(7), PIPE_BUF.
_PIECE = 4096
_MOST_WAITING = 1 << 16
_LAST_READS = 16
_PARTING_SECONDS = 1.0
_CREATE = posix.O_WRONLY | posix.O_CREAT | posix.O_CLOEXEC


class Log:
    """The log of an app: a file of at most max_bytes, and older ones NAME.1 and on, max_files in all."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._directory = plan["logs"]
        self._name = name
        self._max_bytes, self._max_files = plan["max_bytes"], plan["max_files"]
        self._fd, self._size = -1, 0
        self.write(b"")

    def write(self, line: bytes) -> None:
        """Append a line. A full disk costs lines, not the pod."""
        try:
            if self._fd < 0:
                self._fd = self._open(self._name, posix.O_APPEND)
                self._size = posix.fstat(self._fd).st_size
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            self._size += posix.write(self._fd, line)
        except OSError:
            pass

    def _open(self, name: str, flags: int) -> int:
        return posix.open(name, _CREATE | flags, _LOG_MODE, dir_fd=self._directory)

    def _rotate(self) -> None:
        """Begin a new file, which must be there before any older one gives way."""
        new = self._open(f".{self._name}", posix.O_TRUNC)
        posix.close(self._fd)
        self._fd, self._size = new, 0
        for number in range(self._max_files - 1, 0, -1):
            older = f"{self._name}.{number - 1}" if number > 1 else self._name
            _try(self._rename, older, f"{self._name}.{number}")
        self._rename(f".{self._name}", self._name)

    def _rename(self, old: str, new: str) -> None:
        posix.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)


class Sink:
    """Where lines go that somebody else reads: the console, a journal. Writing never waits; -1 takes nothing."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.waiting = bytearray()

    def put(self, data: bytes) -> None:
        """Take in what is to be written."""
        if self.fd >= 0:
            self.waiting += data

    def is_full(self) -> bool:
        """Whether no more should be put: the apps then wait for whoever reads, as they would without us."""
        return len(self.waiting) > _MOST_WAITING

    def flush(self) -> bool:
        """Write what a writable descriptor takes; whether it is still good."""
        try:
            del self.waiting[: posix.write(self.fd, bytes(self.waiting[:_PIECE]))]
        except BlockingIOError:
            pass
        except OSError:
            self.fd = -1
            self.waiting.clear()
        return self.fd >= 0


class App:
    """An app: its process, and what has become of it."""

    def __init__(self, record: AppRecord, log: Log) -> None:
        self.name, self.pid = record["name"], record["pid"]
        self.exec, self.notify = record["exec"], record["notify"]
        self.procs, self.kill = record["procs"], record["kill"]
        self.events, self.stop_signal = record["events"], record["stop_signal"]
        self.journal = Sink(record["journal"])
        self.post_stop, self.log = record["post_stop"], log
        self.running, self.oom, self.handling = True, False, 0
        self.complaint = self.wrong = ""

    def is_started(self) -> bool:
        """Whether it has been started, and said so if it is one that does."""
        return self.exec == STARTED_WELL and self.notify < 0

    def was_oom(self) -> bool:
        """Whether the kernel has killed in it for memory."""
        return self.oom or (self.events >= 0 and b"oom_kill 0\n" not in posix.pread(self.events, _CHUNK, 0))

    def signal(self, number: int) -> None:
        """Send a signal to every process of the app."""
        for pid in self._pids():
            _try(posix.kill, pid, number)

    def kill_all(self) -> None:
        """End every process of the app, also those that are being born."""
        if self.kill >= 0:
            _try(posix.write, self.kill, b"1")
        for _round in range(_KILL_ROUNDS):
            if not self._pids():
                return
            self.signal(_signal.SIGKILL)

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


class Stream:
    """What an app writes to stdout or stderr, line by line."""

    def __init__(self, app: App, name: bytes, console: Sink) -> None:
        self.app = app
        self._name = name
        self._console = console
        self._rest = b""

    def has_room(self) -> bool:
        """Whether all that takes its lines can take more."""
        return not (self._console.is_full() or self.app.journal.is_full())

    def feed(self, data: bytes) -> None:
        """Take in what was read, b"" at the end. The console gets lines as the journal shows them."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if self._rest and (not data or len(self._rest) > _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        seconds, nanos = divmod(time.monotonic_ns(), 1_000_000_000)
        prefix = f"[{seconds:5d}.{nanos // 1000:06d}] {self.app.name}[{self.app.pid}]: ".encode()
        for line in lines:
            self.app.log.write(b"%s %s %s\n" % (_timestamp(), self._name, line))
            self.app.journal.put(line + b"\n")
            self._console.put(prefix + line + b"\n")


class Supervisor:
    """The pod. run() returns its exit status once every app and every handler has ended."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._apps = [App(record, Log(plan, f"{record['name']}.log")) for record in plan["apps"]]
        self._streams: dict[int, Stream] = {}
        self._ooms: dict[int, App] = {}
        self._poll = select.poll()
        self._console = Sink(plan["console"])
        sinks = (self._console, *(app.journal for app in self._apps))
        self._sinks = {sink.fd: sink for sink in sinks if sink.fd >= 0}
        self._sync = plan["sync"]
        self._is_ready = self._stop_asked = self._stopping = False
        self._deadline, self._status = 0.0, 0
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
            if self._stop_asked and not self._stopping:
                if self._plan["go"] >= 0:
                    posix._exit(0)  # no app has started
                self._stop()
            if self._deadline and time.monotonic() >= self._deadline:
                self._deadline = 0.0
                self._kill()
        self._drain()
        self._part()
        return self._status

    def _turn(self) -> None:
        """Wait for news and attend to it: of what can be written, and of what there is room for."""
        for fd, sink in self._sinks.items():
            self._ask(fd, select.POLLOUT if sink.waiting else 0)
        for fd, stream in self._streams.items():
            self._ask(fd, select.POLLIN if stream.has_room() else 0)
        for fd, _event in self._poll.poll(self._patience()):
            self._attend(fd)

    def _ask(self, fd: int, events: int) -> None:
        """Have poll(2) tell of these. One asked for nothing is taken out: it would still tell of an end."""
        self._poll.register(fd, events)
        if not events:
            self._poll.unregister(fd)

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
        if not self._deadline:
            return None
        return max(0, int((self._deadline - time.monotonic()) * 1000) + 1)

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
        """GO, or the end of whoever starts the pod; before GO that is the end of the pod as well."""
        frame = _read(self._sync)
        if frame and marshal.loads(frame)[0] == GO:
            _try(posix.write, self._plan["go"], b"g" * len(self._apps))
            posix.close(self._plan["go"])
            self._plan["go"] = -1
        elif self._plan["go"] >= 0:
            posix._exit(1)
        else:
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
        _try(posix.symlink, "ready", "../supervisor-status", dir_fd=self._plan["statuses"])
        self._tell(marshal.dumps((STARTED,)))
        self._hang_up()

    def _tell(self, frame: bytes) -> None:
        if self._sync >= 0:
            _try(posix.write, self._sync, frame)

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
            _try(posix.kill, -1, _signal.SIGKILL)
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
            if self._stop_asked and not self._deadline:
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
                    app.handling = 0
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
        # The status last: whoever reads it reads what is beside it.
        words = [b"oom"] * app.was_oom() + [b"signal"] * posix.WIFSIGNALED(ended)
        if words and not self._stopping:
            self._record(f"{app.name}.end", b" ".join(words))
        self._record(app.name, b"%d" % (0 if self._stopping else status))
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
                    _try(posix.kill, app.pid, app.stop_signal)
                else:
                    app.signal(_signal.SIGTERM)
                app.signal(_signal.SIGCONT)

    def _kill(self) -> None:
        for app in self._apps:
            if app.running:
                app.kill_all()

    def _record(self, name: str, text: bytes) -> None:
        directory = self._plan["statuses"]
        try:
            fd = posix.open(f".{name}", _CREATE | posix.O_TRUNC, _STATUS_MODE, dir_fd=directory)
            posix.write(fd, text)
            posix.close(fd)
            posix.rename(f".{name}", name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            pass

    def _run_post_stop(self, app: App) -> None:
        """Start the handler in a process of its own, which goes into the app's root and is confined as the app was."""
        heard = said = -1
        try:
            heard, said = posix.pipe2(posix.O_CLOEXEC)
            pid = posix.fork()
        except OSError as err:
            _try(posix.close, heard)
            _try(posix.close, said)
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
        self._listen(heard, Stream(app, b"stdout", self._console))


def _try(call: Callable[..., object], *words: object, **names: object) -> None:
    """Call what may be refused, such as for what has gone meanwhile."""
    try:
        call(*words, **names)
    except OSError:
        pass


def _read(fd: int) -> bytes:
    try:
        return posix.read(fd, _CHUNK)
    except OSError:
        return b""


def _status_of(status: int) -> int:
    """The exit code, or the number of the signal. Source: behaviours A28."""
    return posix.WTERMSIG(status) if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)


def _timestamp() -> bytes:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{nanos // 1000:06d}Z".encode()


def _main() -> None:
    plan_fd = int(sys.argv[1])
    plan = marshal.loads(posix.pread(plan_fd, posix.fstat(plan_fd).st_size, 0))
    posix.close(plan_fd)
    posix._exit(Supervisor(plan).run() & 0xFF)


if __name__ == "__main__":
    _main()
