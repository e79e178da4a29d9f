# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod's PID 1 as the starter sees it: its messages, also those on its apps, its end, and the time for both."""

from __future__ import annotations

import _signal
import os
import select
import time

from ...contexts import suppress
from ...errors import HostFailure
from ..inside import sync
from ..inside.rehearsal import not_started
from ..pid1 import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.pod import PodManifest
    from ...errors import PodError

STOPS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)
_CHUNK = 4096


class Pid1:
    """The pod's PID 1, a child of this process. status: that of wait(2), None while it lives.

    seconds: the time for all waits, from now on; None for no limit. A wait that takes longer raises HostFailure.
    """

    def __init__(self, pid: int, channel: int, bound: int, seconds: int | None = None) -> None:
        self.pid = pid
        self.status: int | None = None
        self._channel = channel
        self._bound = bound
        self._wake = -1
        self._seconds = seconds
        self._end = time.monotonic() + (seconds or 0)

    def relay_stops(self) -> None:
        """Pass on to the pod the signals that ask this process to stop. They were blocked, so that none is lost.

        One that the caller has it ignore, as nohup and a shell for commands in the background do, stays ignored.
        """
        self._wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for number in STOPS:
            if number == _signal.SIGTERM or _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._stop)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, STOPS)

    def receive(self) -> frames.Message:
        """Receive its next message, () at the end of file."""
        self._await(self._channel)
        return sync.receive(self._channel)

    def send(self, kind: str, *facts: str | int) -> None:
        """Send it a message. If it has ended, raises the error that it has sent, or HostFailure."""
        try:
            sync.send(self._channel, kind, *facts)
        except OSError:
            raise_failure(self.receive())

    def await_bound(self) -> None:
        """Wait until each process of the pod has dropped its privileges, or has ended."""
        self._await(self._bound)
        os.read(self._bound, 1)
        os.close(self._bound)

    def wait(self) -> int:
        """Wait until it ends. Returns its status as of wait(2)."""
        if self.status is None:
            process = os.pidfd_open(self.pid)
            self._await(process)
            os.close(process)
            self.status = os.waitpid(self.pid, 0)[1]
        return self.status

    def kill(self) -> None:
        """Kill it, and with it every process of the pod."""
        self._seconds = None
        if self.status is None:
            os.kill(self.pid, _signal.SIGKILL)
            self.wait()

    def _await(self, fd: int) -> None:
        """Wait for a descriptor, and for the wakeup descriptor: else a signal between two calls would be seen late."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if self._wake >= 0:
            poll.register(self._wake, select.POLLIN)
        while True:
            ready = [ready for ready, _event in poll.poll(self._patience())]
            if fd in ready:
                return
            if not ready:
                raise HostFailure(f"the pod has not started within {self._seconds} seconds")
            os.read(self._wake, _CHUNK)

    def _patience(self) -> float | None:
        """The milliseconds left of its time, None for no limit."""
        return None if self._seconds is None else max(0.0, self._end - time.monotonic()) * 1000

    def _stop(self, _number: int, _frame: object) -> None:
        if self.status is None:
            os.kill(self.pid, _signal.SIGTERM)


def expect(child: Pid1, kind: str) -> None:
    """Receive a message of this kind. Raises PodError for another one."""
    message = child.receive()
    if not message or message[0] != kind:
        raise_failure(message)


def raise_failure(message: frames.Message) -> None:
    """Raise the error of a message, () for PID 1 that has died without a word."""
    if message and message[0] == frames.FAILED:
        raise sync.error_of(message)
    if message:
        raise sync.not_understood("it is out of turn")
    raise HostFailure("the pod's PID 1 has died", "look for the reason in dmesg")


def last_words(child: Pid1) -> PodError | None:
    """The error of a PID 1 that has ended, which is the cause of failures on this side."""
    with suppress(HostFailure):  # a frame that is not a message has no cause
        while message := child.receive():
            if message[0] == frames.FAILED:
                return sync.error_of(message)
    return None


def app_not_started(manifest: PodManifest, message: frames.Message) -> PodError:
    """The error of an app that is not up; a negative status: it has not ended. Raises HostFailure for nonsense."""
    if message[0] != frames.APP_FAILED:
        raise sync.not_understood("it is out of turn")
    name, reason, status, field = message[1:]
    number = next((number for number, app in enumerate(manifest.apps) if app.name == name), -1)
    if number < 0:
        raise sync.not_understood("the pod has no such app")
    err = not_started(str(name), number, str(reason), str(field))
    err.hint = err.hint or "see its output with podctl logs"
    if 0 <= int(status) <= sync.HIGHEST_STATUS:
        err.facts["exit_code"] = int(status)
        err.exit_code = int(status) or err.exit_code
    return err
