# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the first process of a pod asks for its leases again, and of which servers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import dhcpmsg
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.dhcpmsg import DhcpAsker
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import leases, timers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.leases import KeptLease
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.timers import Timers

OWN = Address.parse("192.0.2.66")
ASKER = DhcpAsker(bytes((2, 0, 0, 0, 0, 7)), b"u/n", 7)
KEEPS = dhcpmsg.renew(ASKER, OWN)
ENDS = b"release"
ACK, NAK = 5, 6


class Clock:
    """A clock that the test moves, and the descriptors that are listened to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: dict[int, Callable[[int], object]] = {}

    def monotonic(self) -> float:
        return self.now

    def add(self, fd: int, call: Callable[[int], object]) -> None:
        self.calls[fd] = call


class Kept:
    """A lease for 100 seconds, of which 50 are the server's and 87 any server's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        for module in (leases, timers):
            monkeypatch.setattr(module, "time", self.clock)
        self.timers = Timers()
        self.server, to_server = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.all, to_all = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.any, hears = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.own = [to_server, to_all, hears]
        for each in (self.server, self.all):
            each.setblocking(False)
        record = {
            **{"name": "eth0", "keeps": KEEPS, "ends": ENDS, "times": [50, 87, 100]},
            **{"hears": hears.fileno(), "to_server": to_server.fileno(), "to_all": to_all.fileno()},
        }
        self.lease = KeptLease(record, self.timers, self.clock)  # type: ignore[arg-type]

    def asked(self, until: float) -> list[tuple[float, str]]:
        """What is sent until a time: when, and where to."""
        sent = []
        while self.clock.now < until:
            self.clock.now += 1
            self.timers.run_due()
            for name, peer in (("server", self.server), ("all", self.all)):
                try:
                    assert peer.recv(2048) == KEEPS
                except BlockingIOError:
                    continue
                sent.append((self.clock.now - 1000, name))
        return sent

    def answer(self, data: bytes, by: socket.socket | None = None) -> None:
        peer = by or self.server
        peer.send(data)
        fd = self.own[(self.server, self.all, self.any).index(peer)].fileno()
        self.clock.calls[fd](fd)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    made = Kept(monkeypatch)
    yield made
    for each in (made.server, made.all, made.any, *made.own):
        each.close()


def said(kind: int, *, address: Address = OWN, seconds: int = 100, mac: bytes = ASKER.mac) -> bytes:
    head = b"\2\1\6\0" + KEEPS[4:8] + bytes(8) + address.packed + bytes(8) + mac + bytes(10) + bytes(192)
    options = bytes((53, 1, kind, 0, 51, 4)) + seconds.to_bytes(4, "big") + b"\xff"
    return head + KEEPS[236:240] + options


def test_its_server_is_asked_then_any_and_after_the_end_once_a_minute(kept: Kept) -> None:
    assert kept.asked(1240) == [
        *((50, "server"), (69, "server"), (78, "server"), (83, "server")),
        *((88, "all"), (94, "all"), (99, "all"), (104, "all"), (164, "all"), (224, "all")),
    ]


def test_an_answer_begins_the_lease_again(kept: Kept) -> None:
    assert kept.asked(1051) == [(50, "server")]
    kept.answer(said(ACK, seconds=200))
    assert kept.asked(1152) == [(151, "server")]
    kept.asked(1240)
    kept.answer(said(ACK), kept.any)
    assert kept.asked(1291) == [(290, "server")]


def test_a_refusal_has_it_ask_any_server_once_a_minute(kept: Kept) -> None:
    kept.asked(1051)
    kept.answer(said(NAK))
    assert kept.asked(1180) == [(111, "all"), (171, "all")]


@pytest.mark.parametrize(
    "data",
    [
        os.urandom(300),
        b"",
        said(ACK)[:200],
        said(ACK, address=Address.parse("192.0.2.67")),
        said(ACK, mac=bytes(6)),
        said(2),
        said(ACK)[:240] + b"\x35",
        said(ACK)[:240] + b"\x35\x09\5",
    ],
    ids=["noise", "empty", "short", "another address", "another client", "an offer", "cut", "cut option"],
)
def test_anything_else_changes_nothing(kept: Kept, data: bytes) -> None:
    kept.asked(1051)
    kept.answer(data or b"\0")
    assert kept.asked(1070) == [(69, "server")]


@pytest.mark.finding("attack7-F6")
def test_what_it_has_not_asked_for_changes_nothing(kept: Kept) -> None:
    kept.asked(1040)
    kept.answer(said(NAK), kept.any)
    kept.answer(said(ACK, seconds=100_000), kept.any)
    assert kept.asked(1051) == [(50, "server")]
    kept.answer(said(NAK), kept.any)
    asked = []
    for until in range(1052, 1252, 30):  # and no flood of refusals puts off what is asked next
        asked += kept.asked(until)
        kept.answer(said(NAK), kept.any)
    assert [at for at, _whom in asked] == [111, 172, 232]


def test_it_is_given_back_at_the_end(kept: Kept) -> None:
    kept.lease.end()
    assert kept.server.recv(99) == ENDS
