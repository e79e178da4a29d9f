# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Query the kernel's nftables for single objects, by hand: a query costs microseconds and no program.

Source: linux/netfilter/nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import errno
from struct import Struct

from ..appc.alphabet import ALNUM, is_made_of
from ..value import Value
from .addresses import Address
from .elements import GUARD_SETS, GUARD_TABLE, ISOLATION_SETS, Element
from .rtmsg import NLM_F_DUMP, NetlinkRequest, attribute, attributes
from .rtsocket import NETLINK_NETFILTER, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_GETTABLE, _GETCHAIN, _GETRULE = 10 << 8 | 1, 10 << 8 | 4, 10 << 8 | 7
_GETSETELEM = 10 << 8 | 13
_NFGENMSG = Struct("=BxH")
_OF_ANY_FAMILY = bytes(_NFGENMSG.size)
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NUMBERS = {name: number for number, name in _FAMILIES.items()}
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER = 1
_RULE_CHAIN, _RULE_HANDLE = 2, 3
_FORWARD, _DROP = bytes((0, 0, 0, 2)), bytes(4)
_TABLE, _SET, _ELEMENTS, _ELEMENT, _KEY, _VALUE = 1, 2, 3, 1, 1, 1
_NESTED = 0x8000
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_PART = 4
_LONGEST_LINK = 16
_USERDATA, _COMMENT = 6, 0


class Chain(Value):
    """A chain. drops_forwarded: whether forwarded packets are dropped unless a rule accepts them.

    is_forwarded: whether forwarded packets come through it at all, by its own hook.
    """

    family: str
    table: str
    name: str
    drops_forwarded: bool
    is_forwarded: bool = False

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class NetfilterSocket(RouteSocket):
    """A socket to nf_tables of this network namespace."""

    def __init__(self) -> None:
        """Open it in the network namespace of this process. Raises OSError."""
        super().__init__(NETLINK_NETFILTER)

    def has(self, element: Element) -> bool:
        """Whether the table has an element with the same value and owner. Raises OSError."""
        try:
            answers = self.ask(_question(element))
        except OSError as err:
            if err.errno == errno.ENOENT:
                return False
            raise
        return any(element.owner.encode() in body and _held(element) in body for body in answers)

    def has_guard(self) -> bool:
        """Whether the guard's table is there, which is made last, see guard. Raises OSError."""
        return self.has_table(GUARD_TABLE)

    def has_table(self, table: str) -> bool:
        """Whether a table of ours is there. Raises OSError."""
        try:
            self.ask(NetlinkRequest(_GETTABLE, 0, _in_table(table), f"look for the table {table}"))
        except OSError as err:
            if err.errno == errno.ENOENT:
                return False
            raise
        return True

    def guards(self) -> Iterator[Element]:
        """The elements of the guard's sets, see guard. Raises OSError."""
        for name in GUARD_SETS:
            body = _in_table(GUARD_TABLE) + attribute(_SET, name.encode() + b"\0")
            question = NetlinkRequest(_GETSETELEM, NLM_F_DUMP, body, f"list the set {GUARD_TABLE} {name}")
            try:
                answers = self.ask(question)
            except OSError as err:
                if err.errno != errno.ENOENT:
                    raise
                answers = []
            for answer in answers:
                found = dict(attributes(answer[_NFGENMSG.size :])).get(_ELEMENTS, b"")
                yield from (_guard(name, dict(attributes(held))) for _kind, held in attributes(found))

    def chains(self) -> Iterator[Chain]:
        """The chains of every table. Raises OSError."""
        for body in self.ask(NetlinkRequest(_GETCHAIN, NLM_F_DUMP, _OF_ANY_FAMILY, "list the chains")):
            members = dict(attributes(body[_NFGENMSG.size :]))
            hook = dict(attributes(members.get(_CHAIN_HOOK, b"")))
            is_forwarded = hook.get(_HOOK_NUMBER) == _FORWARD
            yield Chain(
                _FAMILIES.get(body[0], str(body[0])),
                _text(members.get(_CHAIN_TABLE, b"")),
                _text(members.get(_CHAIN_NAME, b"")),
                is_forwarded and members.get(_CHAIN_POLICY) == _DROP,
                is_forwarded,
            )

    def rules_with(self, family: str, table: str, text: str) -> tuple[tuple[str, int], ...]:
        """The rules of a table with a text, such as a comment, each by its chain and its handle. Raises OSError.

        nftables has comments in the rule's user data, iptables in a match; both as they are.
        """
        body, found = _in_table(f"{family} {table}"), []
        for answer in self.ask(
            NetlinkRequest(_GETRULE, NLM_F_DUMP, body, f"list the rules of {family} {table}")
        ):
            members = dict(attributes(answer[_NFGENMSG.size :]))
            # The kernel may not filter by table.
            if text.encode() in answer and _text(members.get(_TABLE, b"")) == table:
                handle = int.from_bytes(members[_RULE_HANDLE], "big")
                found.append((_text(members[_RULE_CHAIN]), handle))
        return tuple(found)


def _question(element: Element) -> NetlinkRequest:
    is_typed = element.container in ISOLATION_SETS
    if is_typed:
        from .isolation import packed_key  # for few pods

        packed = packed_key(element)
    else:
        packed = b"".join(map(_packed, element.key))
    key = attribute(_VALUE, packed)
    elements = attribute(_ELEMENT | _NESTED, attribute(_KEY | _NESTED, key))
    body = (
        _in_table(element.table)
        + attribute(_SET, element.container.encode() + b"\0")
        + attribute(_ELEMENTS | _NESTED, elements)
    )
    return NetlinkRequest(_GETSETELEM, 0, body, f"look for an element of {element.table} {element.container}")


def _in_table(table: str) -> bytes:
    family, name = table.split()
    return _NFGENMSG.pack(_NUMBERS[family], 0) + attribute(_TABLE, name.encode() + b"\0")


def _guard(container: str, held: dict[int, bytes]) -> Element:
    key = dict(attributes(held.get(_KEY, b""))).get(_VALUE, b"")
    link, address = key[:_LONGEST_LINK], key[_LONGEST_LINK:]
    parts = [_text(link)]
    if address:
        parts.append(str(Address.unpacked(address)))
    return Element(container, tuple(parts), "", _comment(held.get(_USERDATA, b"")))


def _comment(userdata: bytes) -> str:
    """The comment of an element, "" without one. Source: libnftnl's udata.h; each part is type, length, bytes."""
    while len(userdata) > 1:
        kind, size = userdata[0], userdata[1]
        if kind == _COMMENT:
            return _text(userdata[2 : 2 + size])
        userdata = userdata[2 + size :]
    return ""


def _held(element: Element) -> bytes:
    """The bytes of an element's value in an answer."""
    if element.value.startswith("jump "):
        return element.value[5:].encode() + b"\0"
    return b"".join(map(_packed, element.value.split(" . "))) if element.value else b""


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


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
