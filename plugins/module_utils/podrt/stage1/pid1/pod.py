# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a pod: starts and stops its apps, reaps, records exit statuses, logs their output.

A separate program, made of the modules of this folder, and alone in memory for the pod's life: it imports built-in
modules only, and nothing else of this package. The apps are its children already, forked before this process executed
the supervisor; each waits for its byte on the go pipe. The root is read-only here: the supervisor writes only to files
that were opened before. Source: behaviours A27, A28, C18, C19, C56, C57, D14.

It is one loop over events: descriptors (watch), times (timers) and children that have ended. The effect of an event on
an app is in the table of states.
"""

from __future__ import annotations

import _signal
import posix

from .apps import RunningApp, Stream, attempt, exists, status_of
from .frames import APP_FAILED, EXECUTED, FAILED, FORKED, NOT_EXECUTED, STARTED, BadFrame, message_of
from .handlers import start_post_stop
from .logs import Log, Sink
from .restarts import Restarts, hear
from .starter import Starter, read
from .states import DONE, ENDED, EXIT, HANDLE, REST, RESTING, STOPPING, UP
from .timers import Timers
from .watch import IDLE, READ, WRITE, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import AppRecord, SupervisorPlan

_CHUNK = 1 << 16
_LAST_READS = 16
# How long the last output is kept for readers: after a request to stop, and otherwise for a journal. The user that runs
# a pod in the foreground reads its output or not, as with any program.
_PARTING_SECONDS = 1.0
_JOURNAL_SECONDS = 10.0
# The status of an app whose process could not be forked, as of wait(2).
_NOT_FORKED = 254 << 8
# How many processes of unknown parents are remembered while a waiting process has yet to tell the PID of an app.
_MOST_UNKNOWN = 64


class Supervisor:
    """The pod's supervisor. run() returns the exit status once every app and every handler has ended."""

    def __init__(self, plan: SupervisorPlan) -> None:
        self._plan = plan
        self._timers = Timers()
        self._watch = Watch()
        self._streams: dict[int, Stream] = {}
        self._apps = [RunningApp(record, Log(record["logs"], plan["max_bytes"])) for record in plan["apps"]]
        self._restarts = {
            app.name: Restarts(record["restart"])
            for app, record in zip(self._apps, plan["apps"])
            if record["restart"]
        }
        self._unknown: dict[int, int] = {}
        self._console = Sink(plan["console"])
        self._sinks = [sink for sink in (self._console, *(app.journal for app in self._apps)) if sink.fd >= 0]
        self._is_ready = False
        self._stop_asked = False
        self._in_haste = False
        self._stopping = False
        self._status = 0
        self._catch_signals()
        self._starter = Starter(plan["sync"], plan["go"], len(self._apps), self._watch, self._lose_starter)
        for sink in self._sinks:
            self._watch.add(sink.fd, self._flush, IDLE)
        for app, record in zip(self._apps, plan["apps"]):
            self._attend(app, record)
        if plan["start_timeout"]:
            self._timers.after(plan["start_timeout"], self._give_up)

    def run(self) -> int:
        """Supervise until the end."""
        while any(app.state != ENDED for app in self._apps):
            self._turn()
            self._reap()
            if self._stop_asked:
                self._obey()
            self._timers.run_due()
        self._drain()
        self._part()
        return self._status

    # --- events -----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for events and handle them: of sinks with waiting data, and of streams whose sinks have room."""
        for sink in self._sinks:
            self._watch.ask(sink.fd, WRITE if sink.waiting else IDLE)
        for fd, stream in self._streams.items():
            self._watch.ask(fd, READ if stream.has_room() else IDLE)
        self._watch.wait(self._timers.patience())

    def _catch_signals(self) -> None:
        """Handle signals from now on; stage1 has blocked them, so that none is lost."""
        wake, woken = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._watch.add(wake, read)
        _signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT):
            _signal.signal(number, lambda _number, _frame: self._ask_stop())
        # The wakeup descriptor reports it, but only if there is a handler.
        _signal.signal(_signal.SIGCHLD, lambda _number, _frame: None)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())

    def _ask_stop(self) -> None:
        self._stop_asked = True

    def _lose_starter(self) -> None:
        """Stop a pod whose starter has ended before the start was on record: no program would know of the pod."""
        self._note_late()
        self._ask_stop()

    def _attend(self, app: RunningApp, record: AppRecord) -> None:
        """Watch the output of an app, and the descriptors that report on it."""
        names = (b"stdout", b"stderr", b"stdout")
        for fd, name, tap in zip(app.outputs, names, record["taps"]):
            if fd >= 0:
                self._listen(fd, Stream(app, name, self._console, tap))
        self._watch.add(record["oom"], app.out_of_memory)
        if record["restart"]:
            posix.set_blocking(record["exec"], False)
            self._watch.add(record["exec"], lambda _fd: self._hear_waiting(app))
        else:
            self._watch.add(record["exec"], lambda fd: self._hear_start(app, read(fd)))
        self._watch.add(record["notify"], lambda fd: self._hear_ready(app, read(fd)))

    def _listen(self, fd: int, stream: Stream) -> None:
        posix.set_blocking(fd, False)
        self._streams[fd] = stream
        self._watch.add(fd, self._pump)

    def _pump(self, fd: int) -> None:
        """Read once from a stream that has room."""
        if self._streams[fd].has_room():
            self._read_stream(fd)

    def _read_stream(self, fd: int) -> bool:
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
        sink = next(sink for sink in self._sinks if sink.fd == fd)
        if not sink.flush():
            self._sinks.remove(sink)
            self._watch.close(fd)

    # --- the start --------------------------------------------------------------------------------------------------

    def _hear_start(self, app: RunningApp, frame: bytes) -> None:
        """Handle a frame. End of file: the app runs. FAILED: the pod cannot start. NOT_EXECUTED: the app will exit."""
        if frame:
            self._hear_failure(app, frame)
            return
        self._watch.close(app.exec)
        app.exec, app.executed = -1, True
        self._note_up(app)

    def _is_app(self, pid: int) -> bool:
        return any(app.alive and app.pid == pid for app in self._apps)

    def _hear_failure(self, app: RunningApp, frame: bytes) -> None:
        try:
            kind, *facts = message_of(frame)
        except BadFrame as err:
            kind, facts = NOT_EXECUTED, [f"what its process said cannot be understood: {err}", ""]
        restarts = self._restarts.get(app.name)
        again = restarts is not None and restarts.count > 0
        if kind == FAILED and again:
            kind, facts = NOT_EXECUTED, [facts[1], ""]  # of another start, which fails alone
        if kind == FAILED:
            self._starter.tell(FAILED, *facts)
            posix._exit(1)
        if kind == NOT_EXECUTED:
            app.complaint, app.wrong = map(str, facts)
            if again:
                self._say(app, f"it could not be started: {app.complaint}")
        elif kind in (FORKED, EXECUTED) and restarts:
            self._hear_progress(app, str(kind), *map(int, facts))

    def _hear_ready(self, app: RunningApp, message: bytes) -> None:
        if b"READY=1" in message.split(b"\n"):
            self._watch.close(app.notify)
            app.notify = -1
            self._note_up(app)

    def _note_up(self, app: RunningApp) -> None:
        """Note that an app may be up, and tell the starter once all are."""
        if app.up:
            app.move(UP)
            app.was_up = True
        if not self._is_ready and all(other.was_up for other in self._apps):
            self._is_ready = True
            self._starter.tell(STARTED)

    def _give_up(self) -> None:
        """Stop a pod of which an app is not up in time, since something waits for it."""
        late = next((app for app in self._apps if not app.was_up), None)
        if late is None or self._stopping or self._starter.waits:
            return
        reason = f"{late.waits_for} within {self._plan['start_timeout']} seconds"
        self._say(late, f"the pod is stopped: {reason}")
        self._starter.tell(APP_FAILED, late.name, reason, -1, "")
        self._note_late()
        self._obey()

    def _note_late(self) -> None:
        """Mark the apps that are not up, before the pod is stopped for it."""
        if not self._stopping:
            for app in self._apps:
                app.late = (app.alive or self._goes_on(app)) and not app.was_up

    # --- the end ----------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Stop on request: apps have their stop timeout, and handlers at most the hasty timeout."""
        self._stop_asked = False
        self._in_haste = True
        if self._starter.waits:
            posix._exit(0)  # no app has started
        if not self._stopping:
            self._stop()
        for app in self._apps:
            self._hasten(app)

    def _stop(self) -> None:
        self._stopping = True
        self._timers.after(self._plan["stop_timeout"], self._kill)
        for app in self._apps:
            if app.alive:
                app.stop()
            self._end_restarts(app)

    def _kill(self) -> None:
        for app in self._apps:
            if app.alive:
                app.kill_all()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = posix.waitpid(-1, posix.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._bury(pid, status)

    def _bury(self, pid: int, status: int) -> None:
        """Handle the end of a process."""
        for app in self._apps:
            restarts = self._restarts.get(app.name)
            if pid == app.pid and app.alive:
                self._app_ended(app, status)
            elif pid == app.handler:
                self._handler_ended(app)
            elif restarts and pid == restarts.waiting:
                self._lose_waiting(app, restarts)
            elif restarts and app.alive and not app.pid and len(self._unknown) < _MOST_UNKNOWN:
                self._unknown[pid] = status

    def _app_ended(self, app: RunningApp, ended: int) -> None:
        """Record the end of an app, as 0 if it was stopped with its pod, unless it will be started again.

        The first that fails stops the pod, or only has it fail, as the exit policy says.
        """
        status, killed = status_of(ended), posix.WIFSIGNALED(ended)
        self._hear_last(app)
        app.move(EXIT)
        restarts = self._restarts.get(app.name)
        if restarts:
            self._note_end(app, restarts, status, killed=killed)
        again = self._goes_on(app)
        failed_start = not (again or app.late or self._stopping or app.was_up)
        if failed_start:
            reason = app.complaint or f"it ended with status {status} before it was ready"
            self._starter.tell(APP_FAILED, app.name, reason, status, app.wrong)
        if not again:
            app.record_end(status, killed=killed, stopping=self._stopping)
        app.kill_all()
        if restarts:
            self._end_output(app)
        self._begin_handling(app)
        if not again:
            self._judge(status, at_once=failed_start)

    def _hear_last(self, app: RunningApp) -> None:
        """Hear what was said about a start whose process has ended."""
        if app.name not in self._restarts:
            while app.exec >= 0:
                self._hear_start(app, read(app.exec))
        elif app.exec >= 0:
            # The app's process says itself that it is not executed; its waiting process may be too late for its end.
            self._hear_waiting(app)
        if app.pid and not app.executed:
            app.executed = True
            self._note_up(app)

    def _judge(self, status: int, *, at_once: bool = False) -> None:
        """Stop the pod for an app that has failed, if the exit policy says so. at_once: whatever it says."""
        if status and not self._stopping:
            self._status = self._status or status
            if self._plan["end_pod"] or at_once:
                self._stop()

    def _begin_handling(self, app: RunningApp) -> None:
        """Start its post-stop handler, if there is one."""
        if app.post_stop < 0:
            self._settle(app)
            return
        try:
            app.handler, output_fd = start_post_stop(app, self._plan["handler"])
        except OSError as err:
            self._say(app, f"the post-stop handler could not be started: {err.strerror}")
            self._settle(app)
            return
        app.move(HANDLE)
        app.handler_end = self._timers.after(self._plan["handler_timeout"], lambda: self._end_handler(app))
        if self._in_haste:
            self._hasten(app)
        self._listen(output_fd, Stream(app, b"stdout", self._console))

    def _hasten(self, app: RunningApp) -> None:
        """Shorten the time of a running handler, since a caller waits for the end."""
        if app.handler_end:
            self._timers.hasten(app.handler_end, self._plan["hasty_timeout"])

    def _end_handler(self, app: RunningApp) -> None:
        self._say(app, "the post-stop handler was ended, since it took too long")
        app.end_handler()

    def _handler_ended(self, app: RunningApp) -> None:
        if app.handler_end:
            self._timers.cancel(app.handler_end)
        app.handler, app.handler_end = 0, None
        app.kill_all()
        self._settle(app)

    # --- restarts ---------------------------------------------------------------------------------------------------

    def _goes_on(self, app: RunningApp) -> bool:
        """Whether an app that has ended will be started again, as far as it is known."""
        restarts = self._restarts.get(app.name)
        return restarts is not None and restarts.pause is not None

    def _hear_waiting(self, app: RunningApp) -> None:
        """Handle what the waiting process of an app, and the app's process before its exec, have said."""
        while app.exec >= 0:
            frame = hear(app.exec)
            if frame is None:
                return
            if frame:
                self._hear_failure(app, frame)
            else:
                self._watch.close(app.exec)
                app.exec = -1

    def _hear_progress(self, app: RunningApp, kind: str, number: int, pid: int = 0) -> None:
        """The app's process is there, or was executed, for the start of this number."""
        restarts = self._restarts[app.name]
        if number != restarts.number or not app.alive:
            return
        if kind == EXECUTED:
            if app.pid and not app.complaint:
                app.executed = True
                self._note_up(app)
        elif not app.pid and pid > 1 and not self._is_app(pid):
            app.pid = pid
            restarts.note_start()
            ended = self._unknown.pop(pid, None if exists(pid) else _signal.SIGKILL)
            self._unknown.clear()
            if ended is not None:
                self._app_ended(app, ended)
            elif app.state == STOPPING:
                attempt(posix.kill, pid, _signal.SIGTERM)
        elif not app.pid:
            self._app_ended(app, _NOT_FORKED)

    def _note_end(self, app: RunningApp, restarts: Restarts, status: int, *, killed: bool) -> None:
        """Note an end, and decide whether there will be another start: not of an image that cannot be started."""
        restarts.note_end(status, killed=killed, oom=app.was_oom())
        lacks = bool(app.wrong) and not app.was_up
        restarts.decide(status, may=not (self._stopping or app.late or lacks))
        if restarts.pause is not None:
            how = f"was ended by signal {status}" if killed else f"has ended with status {status}"
            self._say(app, f"it {how}, and is started again in {restarts.pause:g} seconds")

    def _settle(self, app: RunningApp) -> None:
        """Pause before the next start of an app whose end is handled; without another start it has ended."""
        restarts = self._restarts.get(app.name)
        if not restarts or restarts.pause is None:
            app.move(DONE)
            return
        app.move(REST)
        restarts.note_rest()
        restarts.timer = self._timers.after(restarts.pause, lambda: self._start_again(app, restarts))

    @staticmethod
    def _start_again(app: RunningApp, restarts: Restarts) -> None:
        app.begin()
        restarts.order()

    def _end_restarts(self, app: RunningApp) -> None:
        """Have no more starts of an app. The last end of one that would have another is its end."""
        restarts = self._restarts.get(app.name)
        if not restarts:
            return
        goes_on = restarts.pause is not None and not app.alive
        restarts.dismiss()
        if goes_on:
            status, killed = restarts.last
            app.record_end(status, killed=killed, stopping=self._stopping)
        if app.state == RESTING:
            if restarts.timer:
                self._timers.cancel(restarts.timer)
            app.move(DONE)

    def _lose_waiting(self, app: RunningApp, restarts: Restarts) -> None:
        """Handle the end of a waiting process. Ended by others, it costs the app its further starts."""
        missed, restarts.waiting = restarts.wanted, 0
        self._hear_waiting(app)
        goes_on = restarts.pause is not None and not app.alive
        self._end_restarts(app)
        if missed:
            restarts.lose()
            self._say(app, "it is not started again: the process that would do so has ended")
        if app.alive and not app.pid:
            app.complaint = app.complaint or "the process that starts it has ended"
            self._app_ended(app, _NOT_FORKED)
        elif goes_on:
            self._judge(restarts.last[0])

    def _end_output(self, app: RunningApp) -> None:
        """Log what an app has written before its end: its waiting process keeps the pipes open."""
        for fd in app.outputs:
            for _read_once in range(_LAST_READS):
                if fd not in self._streams or not self._read_stream(fd):
                    break
            if fd in self._streams:
                self._streams[fd].end_line()

    def _say(self, app: RunningApp, text: str) -> None:
        """Write a line of the supervisor to the log of an app."""
        Stream(app, b"stderr", self._console).feed(f"{text}\n".encode())

    def _drain(self) -> None:
        """Kill all processes left in the pod, so that none writes any more, and log what they have written."""
        if posix.getpid() == 1:
            attempt(posix.kill, -1, _signal.SIGKILL)
        for fd in tuple(self._streams):
            for _read_once in range(_LAST_READS):
                if not self._read_stream(fd):
                    break
        for fd in tuple(self._streams):
            self._streams.pop(fd).feed(b"")
            self._watch.close(fd)

    def _part(self) -> None:
        """Wait until readers have taken the last output, or the time is over."""
        self._wait_for(self._sinks, _JOURNAL_SECONDS)
        self._wait_for([self._console], None)

    def _wait_for(self, sinks: list[Sink], seconds: float | None) -> None:
        """Wait until readers have taken everything, for so many seconds at most, fewer in haste."""
        timers = self._timers = Timers()
        over: list[bool] = []
        if seconds is not None:
            timers.after(seconds, lambda: over.append(True))
        in_haste = False
        while not over and any(sink.waiting for sink in sinks):
            if not in_haste and (self._stop_asked or self._in_haste):
                in_haste = True
                timers.after(_PARTING_SECONDS, lambda: over.append(True))
            self._turn()
            timers.run_due()


def main(plan: SupervisorPlan) -> None:
    """Supervise the pod of the plan, and end with its status."""
    posix._exit(Supervisor(plan).run() & 0xFF)
