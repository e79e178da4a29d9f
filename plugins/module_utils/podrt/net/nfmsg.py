# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nf_tables messages about elements, by hand: a program for them costs a start ten times as much.

Pure; nfsocket sends them. Source: linux/netfilter/nf_tables.h, nfnetlink.h; the tests prove that nft makes the same
elements.
"""

from __future__ import annotations

from struct import Struct

from ..appc.alphabet import ALNUM, is_made_of
from .addresses import Address
from .elements import GUARD_TABLE, ISOLATION_SETS, Element
from .rtmsg import NLM_F_CREATE, NLM_F_DUMP, NetlinkRequest, attribute, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NFGENMSG = Struct("=BxH")
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
TABLE_NAME = 1
_NUMBERS = {name: number for number, name in FAMILIES.items()}
_NEWSETELEM, _GETSETELEM = 10 << 8 | 12, 10 << 8 | 13
_BEGIN, _END, _SUBSYSTEM = 16, 17, 10
_SET, _ELEMENTS, _ELEMENT, _KEY, _DATA, _VALUE = 2, 3, 1, 1, 2, 1
_VERDICT, _CODE, _CHAIN = 2, 1, 2
_JUMP, _JUMPS = (-3).to_bytes(4, "big", signed=True), "jump "
_NESTED = 0x8000
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_PART = 4
_LONGEST_LINK = 16
_USERDATA, _COMMENT = 6, 0


def question(element: Element) -> NetlinkRequest:
    """Ask for an element with the same key."""
    body = _in_set(element.table, element.container) + _one(_key(element))
    return NetlinkRequest(_GETSETELEM, 0, body, f"look for an element of {element.table} {element.container}")


def listing(container: str) -> NetlinkRequest:
    """Ask for the elements of a set of the guard's table."""
    attempt = f"list the set {GUARD_TABLE} {container}"
    return NetlinkRequest(_GETSETELEM, NLM_F_DUMP, _in_set(GUARD_TABLE, container), attempt)


def transaction(elements: Sequence[Element]) -> tuple[NetlinkRequest, ...]:
    """Add elements, all or none. What is there already with the same value stays as it is."""
    begin, end = (
        NetlinkRequest(kind, 0, NFGENMSG.pack(0, _SUBSYSTEM << 8), "change the nftables tables")
        for kind in (_BEGIN, _END)
    )
    return (begin, *map(_addition, elements), end)


def is_answer(body: bytes, element: Element) -> bool:
    """Whether the answer to a question is an element with the same value and owner."""
    return element.owner.encode() in body and _held(element) in body


def guards(container: str, body: bytes) -> Iterator[Element]:
    """The elements of an answer to a listing."""
    found = dict(attributes(body[NFGENMSG.size :])).get(_ELEMENTS, b"")
    return (_guard(container, dict(attributes(held))) for _kind, held in attributes(found))


def in_table(table: str) -> bytes:
    """The beginning of a message about a table, by family and name."""
    family, name = table.split()
    return NFGENMSG.pack(_NUMBERS[family], 0) + attribute(TABLE_NAME, name.encode() + b"\0")


def text_of(data: bytes) -> str:
    """The text of an attribute."""
    return data.rstrip(b"\0").decode(errors="replace")


def _addition(element: Element) -> NetlinkRequest:
    owner = element.owner.encode() + b"\0"
    comment = attribute(_USERDATA, bytes((_COMMENT, len(owner))) + owner)
    data = attribute(_DATA | _NESTED, _data(element)) if element.value else b""
    body = _in_set(element.table, element.container) + _one(_key(element) + data + comment)
    attempt = f"add an element to {element.table} {element.container}"
    return NetlinkRequest(_NEWSETELEM, NLM_F_CREATE, body, attempt)


def _in_set(table: str, container: str) -> bytes:
    return in_table(table) + attribute(_SET, container.encode() + b"\0")


def _one(element: bytes) -> bytes:
    return attribute(_ELEMENTS | _NESTED, attribute(_ELEMENT | _NESTED, element))


def _key(element: Element) -> bytes:
    if element.container in ISOLATION_SETS:
        from .isolation import packed_key  # for few pods

        packed = packed_key(element)
    else:
        packed = b"".join(map(_packed, element.key))
    return attribute(_KEY | _NESTED, attribute(_VALUE, packed))


def _data(element: Element) -> bytes:
    held = _held(element)
    if not element.value.startswith(_JUMPS):
        return attribute(_VALUE, held)
    return attribute(_VERDICT | _NESTED, attribute(_CODE, _JUMP) + attribute(_CHAIN, held))


def _held(element: Element) -> bytes:
    """The bytes of an element's value: the chain that it leads to, or parts."""
    if element.value.startswith(_JUMPS):
        return element.value[len(_JUMPS) :].encode() + b"\0"
    return b"".join(map(_packed, element.value.split(" . "))) if element.value else b""


def _guard(container: str, held: dict[int, bytes]) -> Element:
    key = dict(attributes(held.get(_KEY, b""))).get(_VALUE, b"")
    link, address = key[:_LONGEST_LINK], key[_LONGEST_LINK:]
    parts = [text_of(link)]
    if address:
        parts.append(str(Address.unpacked(address)))
    return Element(container, tuple(parts), "", _comment(held.get(_USERDATA, b"")))


def _comment(userdata: bytes) -> str:
    """The comment of an element, "" without one. Source: libnftnl's udata.h; each part is type, length, bytes."""
    while len(userdata) > 1:
        kind, size = userdata[0], userdata[1]
        if kind == _COMMENT:
            return text_of(userdata[2 : 2 + size])
        userdata = userdata[2 + size :]
    return ""


def _packed(part: str) -> bytes:
    """A part of a key or value, padded to a multiple of four bytes."""
    if part in _PROTOCOLS:
        packed = bytes((_PROTOCOLS[part],))
    elif part.isdigit():
        packed = int(part).to_bytes(2, "big")
    elif is_made_of(part, ALNUM):
        packed = part.encode().ljust(_LONGEST_LINK, b"\0")
    else:
        packed = Address.parse(part).packed
    return packed.ljust(_PART, b"\0")
