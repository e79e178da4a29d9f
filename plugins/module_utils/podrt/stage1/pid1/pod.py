# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a pod: starts and stops its apps, reaps, records exit statuses, logs their output.

A program of its own, made of the modules of this folder, where inside.unexecuted does not go on as this one: it imports
built-in modules only, and nothing else of this package. The apps are its children already; each waits for its byte on
the go pipe. The root is read-only here: the supervisor writes only to files that were opened before. It is one loop
over events: descriptors (watch), times (timers) and children that have ended; the table of states has their effects.
Source: behaviours A27, A28, C18, C19, C56, C57, D14.
"""

from __future__ import annotations

import _signal
import posix

from .apps import RunningApp, attempt, exists, status_of
from .frames import APP_FAILED, EXECUTED, FAILED, FORKED, NOT_EXECUTED, STARTED, BadFrame, Refused, message_of
from .handlers import start_post_stop
from .logs import Log
from .outputs import Outputs
from .rarely import give_back, keep_leases, take_orders
from .restarts import Restarts, hear
from .starter import NoOrders, Starter, read
from .states import DONE, EXIT, HANDLE, REST, RESTING, STOPPING, UP
from .timers import Timers
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from .control import Control
    from .record import AppRecord, SupervisorPlan

_NOT_FORKED = 254 << 8  # the status of an app whose process could not be forked, as of wait(2)
# How many processes of unknown parents are remembered while a waiting process has yet to tell the PID of an app.
_MOST_UNKNOWN = 64
_REST, _LOOK = 0.1, 1.0  # seconds after the start, see idle; between looks whether the pod is held


class Supervisor:
    """The pod's supervisor. run() returns the exit status once every app and every handler has ended."""

    def __init__(self, plan: SupervisorPlan, late: Callable[[str], ModuleType]) -> None:
        self._plan = plan
        self._late = late
        self._timers = Timers()
        self._watch = Watch()
        self._outputs = Outputs(self._watch, plan["console"])
        self.apps: list[RunningApp] = []
        self._restarts: dict[str, Restarts] = {}
        self._unknown: dict[int, int] = {}
        self._is_ready = False
        self._stop_asked = False
        self._in_haste = False
        self._stopping = False
        # The apps that have failed, in this order, with their statuses.
        self._failed: list[tuple[RunningApp, int]] = []
        self._catch_signals()
        fds, calls = (plan["sync"], plan["go"]), (self._note_ready, self._lose_starter)
        self._starter = Starter(fds, len(plan["apps"]), self._watch, calls)
        self._control: Control | NoOrders = NoOrders()
        self._watch.add(plan["control"], self._take_orders)
        self._leases = keep_leases(plan["leases"], self._timers, self._watch)
        for record in plan["apps"]:
            self._attend(record)
        if plan["start_timeout"]:
            self._timers.after(plan["start_timeout"], self._give_up)

    def run(self) -> int:
        """Supervise until the end."""
        while self._goes_on():
            self._turn(self._timers)
            self._reap()
            if self._stop_asked:
                self._obey()
            self._timers.run_due()
            self._control.settle()
        for lease in self._leases:
            lease.end()
        self._drain()
        self._outputs.part(self._turn, lambda: self._stop_asked or self._in_haste)
        return self._failed[0][1] if self._failed else 0

    def _goes_on(self) -> bool:
        """Whether the pod has an app, or may get one."""
        if self._stopping or any(not app.has_ended for app in self.apps):
            return any(not app.has_ended for app in self.apps)
        return self._plan["stays"] or self._starter.waits or self._control.holds

    # --- events -----------------------------------------------------------------------------------------------------

    def _turn(self, timers: Timers) -> None:
        """Wait for events and handle them."""
        self._outputs.ask()
        self._watch.wait(timers.patience())

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

    def _attend(self, record: AppRecord) -> RunningApp:
        """Supervise an app: watch its output, and the descriptors that report on it."""
        app = RunningApp(record, Log(record["logs"], self._plan["max_bytes"]))
        self.apps.append(app)
        self._outputs.add_sink(app.journal)
        taps = (record["tap_out"], record["tap_err"], record["tap_tty"])
        for fd, name, tap in zip(app.outputs, (b"stdout", b"stderr", b"stdout"), taps):
            if fd >= 0:
                self._outputs.listen(fd, app, name, tap)
        self._watch.add(record["oom"], app.out_of_memory)
        if record["restart"]:
            self._restarts[app.name] = Restarts(record["restart"])
            posix.set_blocking(record["exec"], False)
            self._watch.add(record["exec"], lambda _fd: self._hear_waiting(app))
        else:
            self._watch.add(record["exec"], lambda fd: self._hear_start(app, read(fd)))
        self._watch.add(record["notify"], lambda fd: self._hear_ready(app, read(fd)))
        return app

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
        return any(app.alive and app.pid == pid for app in self.apps)

    def _hear_failure(self, app: RunningApp, frame: bytes) -> None:
        try:
            kind, *facts = message_of(frame)
        except BadFrame as err:
            kind, facts = NOT_EXECUTED, [f"what its process said cannot be understood: {err}", ""]
        restarts = self._restarts.get(app.name)
        again = restarts is not None and restarts.count > 0
        if kind == FAILED and (again or app.added):
            self._control.tell(app, FAILED, *facts)
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
            self._control.tell(app, STARTED)
        self._note_ready()

    def _note_ready(self) -> None:
        """Tell the starter once every app was up."""
        if not self._is_ready and all(app.was_up for app in self.apps):
            self._is_ready = True
            self._starter.tell(STARTED)
            self._timers.after(_REST, lambda: give_back(self._late, self._plan["mapped"]))

    def _give_up(self) -> None:
        """Stop a pod of which an app is not up in time, since something waits for it."""
        late = next((app for app in self.apps if not app.was_up), None)
        if late is None or self._is_ready or self._stopping or self._starter.waits:
            return
        reason = f"{late.waits_for} within {self._plan['start_timeout']} seconds"
        self._say(late, f"the pod is stopped: {reason}")
        self._starter.tell(APP_FAILED, late.name, reason, -1, "")
        self._note_late()
        self._obey()

    def _note_late(self) -> None:
        """Mark the apps that are not up, before the pod is stopped for it."""
        if not self._stopping:
            for app in self.apps:
                app.late = (app.alive or self._returns(app)) and not app.was_up

    # --- the end ----------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Stop on request: apps have their stop timeout, and handlers at most the hasty timeout."""
        self._stop_asked = False
        self._in_haste = True
        if self._starter.waits:
            posix._exit(0)  # no app has started
        if not self._stopping:
            self._stop()
        for app in self.apps:
            self._hasten(app)

    def _stop(self) -> None:
        self._stopping = True
        self._timers.after(self._plan["stop_timeout"], self._kill)
        for app in self.apps:
            if app.alive:
                app.stop()
            self._end_restarts(app)

    def _kill(self) -> None:
        for app in self.apps:
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
        for app in self.apps:
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
        again = self._returns(app)
        failed_start = not (again or app.late or self._stopping or app.was_up)
        if failed_start:
            reason = app.complaint or f"it ended with status {status} before it was ready"
            told = (APP_FAILED, app.name, reason, status, app.wrong)
            self._starter.tell(*told)
            self._control.tell(app, *told)
        if not again:
            app.record_end(status, killed=killed, stopping=self._stopping or app.asked)
        app.kill_all()
        if restarts:
            self._outputs.end_lines(app)
        self._begin_handling(app)
        if not again:
            self._judge(app, status, at_once=failed_start)

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

    def _judge(self, app: RunningApp, status: int, *, at_once: bool = False) -> None:
        """Stop the pod for an app that has failed, if the exit policy says so. at_once: whatever it says.

        An app that was added and never up is the failure of the command that has added it, and one that the host has
        stopped has not failed. As long as the pod is held for one that was added, that may be taken back.
        """
        has_failed = status and not (self._stopping or app.asked) and app in self.apps
        if not has_failed or (app.added and not app.was_up):
            return
        if app.added and self._control.held_for:
            self._timers.after(min(self._control.held_for, _LOOK), lambda: self._judge(app, status))
            return
        self._failed.append((app, status))
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
        if self._in_haste or app.asked:
            self._hasten(app)
        self._outputs.listen(output_fd, app, b"stdout")

    def _hasten(self, app: RunningApp) -> None:
        """Shorten the time of a running handler, since a caller waits for the end."""
        if app.handler_end:
            self._timers.hasten(app.handler_end, self._plan["hasty_timeout"])

    def _end_handler(self, app: RunningApp) -> None:
        self._say(app, "the post-stop handler was ended, since it took too long")
        app.end_handler()

    def _handler_ended(self, app: RunningApp) -> None:
        self._timers.cancel(app.handler_end)
        app.handler, app.handler_end = 0, None
        app.kill_all()
        self._settle(app)

    # --- restarts ---------------------------------------------------------------------------------------------------

    def _returns(self, app: RunningApp) -> bool:
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
            app.record_end(status, killed=killed, stopping=self._stopping or app.asked)
        if app.state == RESTING:
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
            self._judge(app, restarts.last[0])

    # --- orders of the host, see control ----------------------------------------------------------------------------

    def _take_orders(self, fd: int) -> None:
        """Load what carries out orders, for which the first one waits."""
        self._control = take_orders(self._late, fd, self._watch, self)

    def admit(self, record: AppRecord) -> RunningApp:
        """Supervise one more app. Raises Refused."""
        pid = record["restart"]["waiting"] if record["restart"] else record["pid"]
        if self._stopping or not self._is_ready:
            raise Refused("the pod is being stopped" if self._stopping else "the pod is still being started")
        if any(app.name == record["name"] for app in self.apps):
            raise Refused("the pod has an app of this name")
        waiting = [each.waiting for each in self._restarts.values()]
        if self._is_app(pid) or pid in waiting or not exists(pid):
            raise Refused("its process was killed")
        app = self._attend(record)
        app.added = True
        return app

    def end_app(self, app: RunningApp, seconds: int) -> None:
        """Stop an app alone, and kill it after so many seconds; below 0: after those of the pod."""
        app.asked = True
        if app.alive and seconds:
            app.stop()
        self._end_restarts(app)
        self._hasten(app)
        if app.alive:
            patience = self._plan["stop_timeout"] if seconds < 0 else seconds
            self._timers.after(patience, lambda: app.kill_all() if app.alive else None)

    def is_gone(self, app: RunningApp) -> bool:
        """Whether an app has ended, and its waiting process too."""
        restarts = self._restarts.get(app.name)
        return app.has_ended and not (restarts and restarts.waiting)

    def forget(self, app: RunningApp) -> None:
        """Close all of an app that is gone."""
        self.apps.remove(app)
        self._outputs.drop(app)
        self._failed = [failed for failed in self._failed if failed[0] is not app]
        restarts = self._restarts.pop(app.name, None)
        for fd in (app.exec, app.notify, app.oom):
            self._watch.close(fd)
        for fd in (*app.files, *(restarts.files if restarts else ())):
            posix.close(fd)

    # --- the last output --------------------------------------------------------------------------------------------

    def _say(self, app: RunningApp, text: str) -> None:
        self._outputs.say(app, text)

    def _drain(self) -> None:
        """Kill all processes left in the pod, so that none writes any more, and log what they have written."""
        if posix.getpid() == 1:
            attempt(posix.kill, -1, _signal.SIGKILL)
        self._outputs.drain()


def main(plan: SupervisorPlan, late: Callable[[str], ModuleType]) -> None:
    """Supervise the pod of the plan, and end with its status. late: loads a module that is not needed before."""
    posix._exit(Supervisor(plan, late).run() & 0xFF)
