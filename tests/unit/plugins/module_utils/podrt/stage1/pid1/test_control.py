# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Orders of the host to a running pod: a real socket, and a pod that notes what it is asked."""

from __future__ import annotations

import os
import pathlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import frames
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.control import Control
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.watch import Watch

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.record import AppRecord

NAMES = ("exec", "status", "end", "log")


class FakeApp:
    """An app of the fake pod."""

    def __init__(self, name: str, fds: tuple[int, ...] = ()) -> None:
        self.name, self.fds, self.ended = name, fds, False


class FakePod:
    """The pod as control sees it. told: what was asked of it."""

    def __init__(self) -> None:
        self.apps: list[FakeApp] = []
        self.told: list[tuple[str, ...]] = []

    def admit(self, record: AppRecord) -> FakeApp:
        if any(app.name == record["name"] for app in self.apps):
            raise frames.Refused("the pod has an app of this name")
        app = FakeApp(record["name"], (record["exec"], record["status"], record["end"], *record["logs"]))
        self.apps.append(app)
        return app

    def end_app(self, app: FakeApp, seconds: int) -> None:
        self.told.append(("end", app.name, str(seconds)))

    def is_gone(self, app: FakeApp) -> bool:
        return app.ended

    def forget(self, app: FakeApp) -> None:
        self.told.append(("forget", app.name))
        self.apps.remove(app)
        for fd in app.fds:
            os.close(fd)


class Side:
    """A control with its pod, and commands that are connected to it."""

    def __init__(self, path: str) -> None:
        self.path, self.pod, self.watch = path, FakePod(), Watch()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(50)
        self.control = Control(self._listener.fileno(), self.watch, self.pod)  # type: ignore[arg-type]
        self._peers: list[socket.socket] = []

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.settimeout(10)
        peer.connect(self.path)
        self._peers.append(peer)
        self.turn()
        return peer

    def turn(self) -> None:
        """Do all that there is to do."""
        for _round in range(3):
            self.watch.wait(0)
            self.control.settle()

    def ask(self, peer: socket.socket, kind: str, *facts: str | int) -> tuple[str | int, ...]:
        return self.send(peer, frames.frame_of(kind, *facts))

    def send(self, peer: socket.socket, frame: bytes, fds: tuple[int, ...] = ()) -> tuple[str | int, ...]:
        socket.send_fds(peer, [frame], fds)
        self.turn()
        return self.hear(peer)

    def hear(self, peer: socket.socket) -> tuple[str | int, ...]:
        peer.setblocking(False)
        try:
            frame = peer.recv(frames.LONGEST_FRAME)
        except BlockingIOError:
            return ()
        return frames.message_of(frame) if frame else ("closed",)

    def add(self, peer: socket.socket, name: str = "web") -> tuple[str | int, ...]:
        null = os.open("/dev/null", os.O_RDWR)
        try:
            return self.send(peer, add_frame(name), (null,) * len(NAMES))
        finally:
            os.close(null)

    def leave(self, peer: socket.socket) -> None:
        peer.close()
        self.turn()

    def close(self) -> None:
        for peer in self._peers:
            self.leave(peer)
        for app in [*self.pod.apps]:
            self.pod.forget(app)
        self._listener.close()


def add_frame(name: str = "web", *, pid: int = 7, signal: int = 0, names: str = "", text: str = "") -> bytes:
    return frames.frame_of(frames.ADD, name, pid, 0, signal, names or " ".join(NAMES), text)


@pytest.fixture
def side(tmp_path: pathlib.Path) -> Iterator[Side]:
    found = Side(str(tmp_path / "orders"))
    yield found
    found.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


DONE = (frames.DONE,)


def refused(reason: str) -> tuple[str | int, ...]:
    return (frames.REFUSED, reason)


def test_an_app_that_is_kept_stays_when_its_command_ends(side: Side) -> None:
    peer = side.connect()
    assert side.add(peer) == DONE
    assert side.ask(peer, frames.KEEP, "web") == DONE
    side.leave(peer)
    assert side.pod.told == []


def test_an_app_that_is_not_kept_goes_with_its_command(side: Side) -> None:
    peer = side.connect()
    side.add(peer)
    (app,) = side.pod.apps
    side.leave(peer)
    assert (side.pod.told, side.control.holds) == ([("end", "web", "0")], True)
    app.ended = True
    side.turn()
    assert (side.pod.told[1:], side.pod.apps, side.control.holds) == ([("forget", "web")], [], False)


def test_an_app_that_another_command_forgets_is_forgotten_once(side: Side) -> None:
    first, second = side.connect(), side.connect()
    side.add(first)
    side.pod.apps[0].ended = True
    assert side.ask(second, frames.FORGET, "web") == DONE
    side.leave(first)
    side.turn()
    assert side.pod.told == [("forget", "web")]


def test_the_end_of_an_app_is_told_once_it_is_gone(side: Side) -> None:
    peer = side.connect()
    side.add(peer)
    assert side.ask(peer, frames.STOP, "web", 5) == ()
    assert side.pod.told == [("end", "web", "5")]
    assert side.ask(side.connect(), frames.FORGET, "web") == refused(frames.HAS_NOT_ENDED)
    side.pod.apps[0].ended = True
    side.turn()
    assert side.hear(peer) == DONE


def test_one_command_at_a_time_is_at_work_on_an_app(side: Side) -> None:
    first, second = side.connect(), side.connect()
    assert side.ask(first, frames.FORGET, "web") == refused(frames.UNKNOWN_APP)
    assert side.ask(first, frames.FORGET, "web") == refused(frames.UNKNOWN_APP)
    assert side.ask(second, frames.FORGET, "web") == refused(frames.BUSY)
    assert side.ask(second, frames.FORGET, "other") == refused(frames.UNKNOWN_APP)
    side.leave(first)
    assert side.ask(second, frames.FORGET, "web") == refused(frames.UNKNOWN_APP)


def test_only_the_command_that_has_added_an_app_hears_of_it(side: Side) -> None:
    first, second = side.connect(), side.connect()
    side.add(first)
    side.control.tell(side.pod.apps[0], frames.STARTED)  # type: ignore[arg-type]
    assert (side.hear(first), side.hear(second)) == ((frames.STARTED,), ())


def test_a_pod_is_held_until_it_is_told_otherwise(side: Side) -> None:
    peer = side.connect()
    assert side.ask(peer, frames.HOLD, 600) == DONE
    side.leave(peer)
    assert side.control.holds
    side.ask(side.connect(), frames.HOLD, 0)
    assert not side.control.holds


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (b"x", "its kind is unknown"),
        (b"\xff\0s", "its kind is unknown"),
        (b"stop\0sweb", "its fields are not those of its kind"),
        (b"stop\0sweb\0i" + b"9" * 40, "a number is not valid"),
        (b"stop\0sweb\0i1\0i1", "its fields are not those of its kind"),
        (b"forget\0s" + b"w" * 5000, "a text is too long"),
        (b"keep" + b"\0s" * 40, "it has too many fields"),
        (b"go", "it is not an order"),
        (b"\0" * (frames.LONGEST_FRAME + 1), "it is too long"),
        (b"\0" * (2 * frames.LONGEST_FRAME), "it is too long"),
        (b"stop\0snone\0i1", frames.UNKNOWN_APP),
        (b"keep\0snone", frames.UNKNOWN_APP),
    ],
    ids=lambda given: str(given)[:30],
)
def test_what_is_not_an_order_is_refused_and_changes_nothing(side: Side, frame: bytes, says: str) -> None:
    peer = side.connect()
    before = open_files()
    assert side.send(peer, frame) == refused(says)
    assert (side.pod.apps, side.pod.told, open_files()) == ([], [], before)


@pytest.mark.parametrize(
    ("frame", "count", "says"),
    [
        (add_frame(), 3, "it does not name its descriptors"),
        (add_frame(), 0, "it does not name its descriptors"),
        (add_frame(names="exec status end"), 3, "its descriptors are not those of an app"),
        (add_frame(names="exec status end log log exec"), 6, "its descriptors are not those of an app"),
        (add_frame(names="exec status end log else"), 5, "its descriptors are not those of an app"),
        (add_frame(names="exec status end log order counts"), 6, "its descriptors are not those of an app"),
        (add_frame(text="always 1 1 1"), 4, "it cannot be started again"),
        (add_frame(text="always x 1 1"), 4, "its restart policy is not one"),
        (add_frame(name=""), 4, "its name, PID or signal is not valid"),
        (add_frame(name="w" * 513), 4, "its name, PID or signal is not valid"),
        (add_frame(pid=1), 4, "its name, PID or signal is not valid"),
        (add_frame(pid=-1), 4, "its name, PID or signal is not valid"),
        (add_frame(signal=65), 4, "its name, PID or signal is not valid"),
        (frames.frame_of(frames.KEEP, "web"), 4, "it has descriptors that it needs not"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_an_app_that_is_not_whole_is_refused_and_its_descriptors_are_closed(
    side: Side, frame: bytes, count: int, says: str
) -> None:
    peer = side.connect()
    before = open_files()
    with open("/dev/null") as null:
        assert side.send(peer, frame, (null.fileno(),) * count) == refused(says)
    assert (side.pod.apps, open_files()) == ([], before)


def test_more_descriptors_than_a_message_takes_end_the_connection(side: Side) -> None:
    peer = side.connect()
    before = open_files()
    with open("/dev/null") as null:
        assert side.send(peer, add_frame(), (null.fileno(),) * 100) == ("closed",)
    assert open_files() < before


def test_an_app_of_a_name_that_is_taken_is_refused(side: Side) -> None:
    peer = side.connect()
    assert side.add(peer) == DONE
    before = open_files()
    assert side.add(side.connect()) == refused("the pod has an app of this name")
    assert open_files() == before + 2


def test_connections_are_bounded(side: Side) -> None:
    peers = [side.connect() for _number in range(17)]
    assert [side.hear(peer) for peer in peers] == [()] * 16 + [("closed",)]
    side.leave(peers[0])
    assert side.ask(side.connect(), frames.HOLD, 0) == DONE
