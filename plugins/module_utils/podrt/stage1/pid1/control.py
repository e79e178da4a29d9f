# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orders that a running pod takes from the host: an app more, an app less. Part of the supervisor.

A socket in the pod's directory, which only root of the host reaches, was bound before this process began. Each
connection is one command of the host. An order is one message, with the descriptors of an app that is added:

    ADD     take an app; its process is there already, and waits    DONE, then STARTED or APP_FAILED; or REFUSED
    KEEP    keep it when the connection ends                        DONE or REFUSED
    STOP    end an app, within so many seconds                      DONE once no process of it is left, or REFUSED
    FORGET  close all of an app that has ended, and let no other
            connection forget one of this name while this one lasts DONE or REFUSED
    HOLD    for so many seconds, do not end for lack of apps, nor
            for one that was added and fails                        DONE

An app that was added and not kept goes with its connection: a command that dies halfway leaves none behind.
"""

from __future__ import annotations

import _socket
import posix
import time

from .apps import attempt
from .frames import (
    ADD,
    BUSY,
    DONE,
    FORGET,
    HAS_NOT_ENDED,
    HOLD,
    KEEP,
    LONGEST_FRAME,
    REFUSED,
    STOP,
    UNKNOWN_APP,
    BadFrame,
    Refused,
    frame_of,
    message_of,
)
from .record import app_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .apps import RunningApp
    from .record import AppRecord
    from .watch import Watch

    class Supervised(Protocol):
        """The pod as this module sees it."""

        apps: list[RunningApp]

        def admit(self, record: AppRecord) -> RunningApp:
            """Supervise one more app. Raises Refused."""

        def end_app(self, app: RunningApp, seconds: int) -> None:
            """Stop an app, and kill it after so many seconds; below 0: after those of the pod."""

        def is_gone(self, app: RunningApp) -> bool:
            """Whether an app has ended, and no process of it is left."""

        def forget(self, app: RunningApp) -> None:
            """Close all of an app that is gone."""


# Of one host at a time; more are told to come back.
_MOST_CONNECTIONS = 16
_MOST_FDS = 64
_FD_BYTES = 4
_CLOSED = b""
# Source: sys/socket.h. Not every build of the interpreter names it.
_MSG_CMSG_CLOEXEC = 0x40000000


class Caller:
    """A command of the host. apps: those that it has added and not kept. awaited: the one whose end it waits for.

    names: those of the apps that it alone starts or removes.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.apps: list[RunningApp] = []
        self.awaited: RunningApp | None = None
        self.names: set[str] = set()

    def tell(self, kind: str, *facts: str | int) -> None:
        """Send a message; one that does not read them loses them."""
        attempt(posix.write, self.fd, frame_of(kind, *facts))


class Control:
    """The socket and its connections. fd: listens; -1 for none."""

    def __init__(self, fd: int, watch: Watch, pod: Supervised) -> None:
        self._watch = watch
        self._pod = pod
        self._connections: list[Caller] = []
        # Those that their command has left behind, until they have ended.
        self._orphans: list[RunningApp] = []
        self._held = 0.0
        watch.add(fd, self._accept)

    @property
    def holds(self) -> bool:
        """Whether the pod waits for an app, although it may have none."""
        return self.held_for > 0 or bool(self._orphans)

    @property
    def held_for(self) -> float:
        """For how many seconds a command still holds the pod."""
        return max(0.0, self._held - time.monotonic())

    def tell(self, app: RunningApp, kind: str, *facts: str | int) -> None:
        """Tell the command that has added an app, if it has not kept it yet."""
        for connection in self._connections:
            if app in connection.apps:
                connection.tell(kind, *facts)

    def settle(self) -> None:
        """Answer those that wait for the end of an app, and forget what was left behind, once it has ended."""
        for connection in self._connections:
            if connection.awaited and self._pod.is_gone(connection.awaited):
                connection.awaited = None
                connection.tell(DONE)
        for app in [app for app in self._orphans if self._pod.is_gone(app)]:
            self._forget(app)

    def _accept(self, fd: int) -> None:
        listener = _socket.socket(fileno=fd)
        try:
            taken = listener._accept()[0]  # type: ignore[attr-defined]  # of every release
        except OSError:
            return
        finally:
            listener.detach()
        if len(self._connections) >= _MOST_CONNECTIONS:
            posix.close(taken)
            return
        posix.set_blocking(taken, False)
        self._connections.append(Caller(taken))
        self._watch.add(taken, self._hear)

    def _hear(self, fd: int) -> None:
        connection = next(each for each in self._connections if each.fd == fd)
        frame, fds = _receive(fd)
        if frame == _CLOSED:
            self._leave(connection)
            return
        try:
            answered = self._obey(connection, frame, fds)
        except (BadFrame, Refused) as err:
            for given in fds:
                attempt(posix.close, given)
            connection.tell(REFUSED, str(err))
        else:
            if answered:
                connection.tell(DONE)

    def _obey(self, connection: Caller, frame: bytes, fds: list[int]) -> bool:
        """Carry out an order; returns whether that is done. Raises BadFrame, Refused."""
        kind, *words = message_of(frame)
        if kind == ADD:
            connection.apps.append(self._pod.admit(app_record(words, fds)))
            return True
        if fds:
            raise BadFrame("it has descriptors that it needs not")
        if kind == HOLD:
            self._held = time.monotonic() + int(words[0])
            return True
        if kind not in (KEEP, STOP, FORGET):
            raise BadFrame("it is not an order")
        if kind == FORGET:
            self._claim(connection, str(words[0]))
        app = self._find(str(words[0]))
        if kind == STOP:
            connection.awaited = app
            self._pod.end_app(app, int(words[1]))
            return False
        if kind == FORGET:
            if not self._pod.is_gone(app):
                raise Refused(HAS_NOT_ENDED)
            self._forget(app)
        elif app in connection.apps:
            connection.apps.remove(app)
        return True

    def _claim(self, connection: Caller, name: str) -> None:
        """Leave the apps of a name to one connection: another one would remove what it makes. Raises Refused."""
        if any(name in other.names for other in self._connections if other is not connection):
            raise Refused(BUSY)
        connection.names.add(name)

    def _forget(self, app: RunningApp) -> None:
        """Forget an app that is gone, whichever connection it is of."""
        for apps in (self._orphans, *(connection.apps for connection in self._connections)):
            if app in apps:
                apps.remove(app)
        self._pod.forget(app)

    def _find(self, name: str) -> RunningApp:
        """The app of this name. Raises Refused."""
        for app in self._pod.apps:
            if app.name == name:
                return app
        raise Refused(UNKNOWN_APP)

    def _leave(self, connection: Caller) -> None:
        """End a connection, with the apps that were added by it and not kept."""
        self._connections.remove(connection)
        self._watch.close(connection.fd)
        for app in connection.apps:
            self._orphans.append(app)
            self._pod.end_app(app, 0)


def _receive(fd: int) -> tuple[bytes, list[int]]:
    """The next message with its descriptors; b"" at the end of the connection, and on failure."""
    peer = _socket.socket(fileno=fd)
    try:
        frame, ancillary, flags, _address = peer.recvmsg(
            LONGEST_FRAME + 1, _socket.CMSG_SPACE(_MOST_FDS * _FD_BYTES), _MSG_CMSG_CLOEXEC
        )
    except OSError:
        return _CLOSED, []
    finally:
        peer.detach()
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            whole = len(data) - len(data) % _FD_BYTES
            fds += memoryview(data)[:whole].cast("i")
    if flags & _socket.MSG_CTRUNC:
        for given in fds:
            attempt(posix.close, given)
        return _CLOSED, []
    return frame, fds
