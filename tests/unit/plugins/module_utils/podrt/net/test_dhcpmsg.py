# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of DHCP: what a client sends, and what it takes from an answer, which any host can send."""

from __future__ import annotations

from random import Random

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import dhcpmsg
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.dhcpmsg import (
    ACK,
    NAK,
    OFFER,
    DhcpAnswer,
    DhcpAsker,
    read_answer,
)

MAC = bytes((2, 0, 0, 0, 0, 7))
ASKER = DhcpAsker(MAC, b"uuid/net", 0x01020304)
SERVER, OWN = Address.parse("192.0.2.2"), Address.parse("192.0.2.99")
MAGIC = bytes((99, 130, 83, 99))


def option(number: int, data: bytes) -> bytes:
    return bytes((number, len(data))) + data


def answer(kind: int = ACK, *options: bytes, **changed: bytes) -> bytes:
    fixed = {
        "op": b"\2\1\6\0",
        "xid": bytes((1, 2, 3, 4)),
        "secs": bytes(4),
        "ciaddr": bytes(4),
        "yiaddr": OWN.packed,
        "siaddr": bytes(8),
        "chaddr": MAC + bytes(10),
        "names": bytes(192),
        "magic": MAGIC,
    }
    head = b"".join({**fixed, **changed}.values())
    return head + b"".join((option(53, bytes((kind,))), option(54, SERVER.packed), *options, b"\xff"))


def read(*options: bytes, kind: int = ACK) -> DhcpAnswer:
    found = read_answer(answer(kind, *options), ASKER)
    assert found
    return found


def test_what_a_server_gives_is_read() -> None:
    found = read(
        option(1, bytes((255, 255, 255, 0))),
        option(3, SERVER.packed),
        option(6, SERVER.packed + OWN.packed),
        option(15, b"example.org\0"),
        option(26, (1400).to_bytes(2, "big")),
        option(51, (7200).to_bytes(4, "big")),
        option(119, b"\7example\3org\0\3sub\xc0\0"),
        option(121, bytes((24, 10, 9, 8)) + SERVER.packed + bytes((0,)) + SERVER.packed),
        kind=OFFER,
    )
    assert (found.kind, found.address, found.server, found.prefix, found.router) == (
        OFFER,
        OWN,
        SERVER,
        24,
        SERVER,
    )
    assert found.dns.nameservers == ("192.0.2.2", "192.0.2.99")
    assert (found.dns.domain, found.dns.search) == ("example.org", ("example.org", "sub.example.org"))
    assert [(str(route.dst), route.gateway) for route in found.routes] == [
        ("10.9.8.0/24", SERVER),
        ("0.0.0.0/0", SERVER),
    ]
    assert (found.mtu, found.times) == (1400, (3600, 6300, 7200))


def test_options_that_are_split_are_put_together() -> None:
    assert read(option(15, b"exam"), b"\0\0", option(15, b"ple.org")).dns.domain == "example.org"


@pytest.mark.parametrize(
    ("given", "times"),
    [
        ({}, (1800, 3150, 3600)),
        ({51: 0}, (10, 17, 20)),
        ({51: 0xFFFFFFFF}, (157680000, 275940000, 315360000)),
        ({51: 100, 58: 10, 59: 90}, (25, 90, 100)),
        ({51: 100, 58: 95, 59: 30}, (30, 30, 100)),
        ({51: 100, 58: 9999, 59: 9999}, (100, 100, 100)),
    ],
)
def test_the_times_of_a_lease_are_in_order_and_in_bounds(
    given: dict[int, int], times: tuple[int, ...]
) -> None:
    assert read(*(option(number, value.to_bytes(4, "big")) for number, value in given.items())).times == times


@pytest.mark.parametrize(
    "data",
    [
        b"",
        answer()[:200],
        answer(op=b"\1\1\6\0"),
        answer(xid=bytes(4)),
        answer(chaddr=bytes(16)),
        answer(magic=bytes(4)),
        answer(yiaddr=bytes(4)),
        answer(yiaddr=bytes((127, 0, 0, 1))),
        answer(yiaddr=bytes((169, 254, 169, 254))),
        answer(yiaddr=bytes((224, 0, 0, 1))),
        answer(yiaddr=bytes((255,) * 4)),
        answer(4),
        answer()[:240] + option(53, bytes((ACK,))) + b"\xff",
        answer()[:240] + b"\xff" + option(53, bytes((ACK,))) + option(54, SERVER.packed),
        answer(ACK, option(1, bytes((255, 255, 255, 0))), yiaddr=bytes((192, 0, 2, 255))),
        answer()[:240] + option(53, bytes((ACK,))) + option(54, bytes((255,) * 4)) + b"\xff",
    ],
    ids=[
        *(
            "empty",
            "short",
            "a request",
            "of another transaction",
            "of another client",
            "no magic",
            "no address",
        ),
        *("loopback", "link-local", "multicast", "broadcast", "another kind", "no server", "after the end"),
        *("broadcast of its subnet", "a server that is all"),
    ],
)
def test_what_is_not_an_answer_to_this_client_is_not_heard(data: bytes) -> None:
    assert read_answer(data, ASKER) is None


@pytest.mark.parametrize("text", [b"a\nnameserver 6.6.6.6", b"a b", b"a#b", b"", b"x" * 254])
def test_a_domain_writes_no_other_line_of_resolv_conf(text: bytes) -> None:
    assert read(option(15, text)).dns.domain == ""


def test_a_mask_with_holes_and_addresses_of_nobody_do_not_count() -> None:
    found = read(
        option(1, bytes((255, 0, 255, 0))),
        option(3, bytes((127, 0, 0, 1))),
        option(6, bytes((0, 0, 0, 0)) + bytes((224, 0, 0, 1)) + b"\1\2"),
        option(26, b"\0\1"),
        option(121, bytes((33, 1, 2, 3, 4, 5, 6, 7, 8))),
    )
    assert (found.prefix, found.router, found.dns.nameservers, found.mtu, found.routes) == (
        32,
        None,
        (),
        0,
        (),
    )


def test_pointers_of_names_lead_nowhere_twice() -> None:
    for data in (
        b"\xc0\0",
        b"\3abc\xc0\4",
        b"\xc0",
        b"\3ab",
        b"\1a" * 100 + b"\xc0\0",
        bytes((0xC0, 2, 0xC0, 0)),
    ):
        assert read(option(119, data)).dns.search in ((), ("a",))


def test_no_bytes_break_the_reader() -> None:
    random = Random(7)
    whole = answer(ACK, option(119, b"\7example\0"), option(121, bytes((8, 10)) + SERVER.packed))
    for _try in range(4000):
        data = bytearray(whole)
        for _change in range(random.randrange(1, 6)):
            data[random.randrange(236, len(data))] = random.randrange(256)
        read_answer(bytes(data[: random.randrange(len(data) + 1)]), ASKER)


def test_a_refusal_is_heard() -> None:
    assert read(kind=NAK).kind == NAK


def test_what_is_sent_says_who_asks_and_for_what() -> None:
    asked = dhcpmsg.request(ASKER, read(kind=OFFER))
    assert asked[:8] == b"\1\1\6\0" + bytes((1, 2, 3, 4))
    assert asked[28:34] == MAC
    assert asked[236:240] == MAGIC
    for wanted in (
        option(53, b"\3"),
        option(61, b"\0uuid/net"),
        option(50, OWN.packed),
        option(54, SERVER.packed),
    ):
        assert wanted in asked
    kept, ended = dhcpmsg.renew(ASKER, OWN), dhcpmsg.release(ASKER, read())
    assert kept[12:16] == ended[12:16] == OWN.packed
    assert option(54, SERVER.packed) not in kept
    assert option(53, b"\7") in ended
    assert all(len(message) >= 300 for message in (dhcpmsg.discover(ASKER), asked, kept, ended))
