# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's nftables for single objects, by hand: a query costs microseconds and no program, and so do elements.

Source: linux/netfilter/nf_tables.h, nfnetlink.h; the tests prove that nft makes the same elements.
"""

from __future__ import annotations

import errno
from struct import Struct

from ..appc.alphabet import ALNUM, is_made_of
from ..value import Value
from .addresses import Address
from .elements import GUARD_SETS, GUARD_TABLE, ISOLATION_SETS, Element
from .rtmsg import NLM_F_CREATE, NLM_F_DUMP, NetlinkRequest, attribute, attributes
from .rtsocket import NETLINK_NETFILTER, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NFGENMSG = Struct("=BxH")
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TABLE_NAME = 1
_NUMBERS = {name: number for number, name in _FAMILIES.items()}
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

_GETTABLE, _GETCHAIN, _GETRULE = 10 << 8 | 1, 10 << 8 | 4, 10 << 8 | 7
_OF_ANY_FAMILY = bytes(_NFGENMSG.size)
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 3, 4, 5
_HOOK_NUMBER = 1
_RULE_CHAIN, _RULE_HANDLE = 2, 3
_FORWARD, _DROP = bytes((0, 0, 0, 2)), bytes(4)


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
        return any(_is_answer(body, element) for body in answers)

    def add(self, elements: Sequence[Element]) -> None:
        """Add elements, all or none; what is there already with the same value stays as it is. Raises OSError."""
        self.commit(_transaction(elements))

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
            try:
                answers = self.ask(_listing(name))
            except OSError as err:
                if err.errno != errno.ENOENT:
                    raise
                answers = []
            for answer in answers:
                yield from _guards(name, answer)

    def chains(self) -> Iterator[Chain]:
        """The chains of every table. Raises OSError."""
        for body in self.ask(NetlinkRequest(_GETCHAIN, NLM_F_DUMP, _OF_ANY_FAMILY, "list the chains")):
            members = dict(attributes(body[_NFGENMSG.size :]))
            hook = dict(attributes(members.get(_CHAIN_HOOK, b"")))
            is_forwarded = hook.get(_HOOK_NUMBER) == _FORWARD
            yield Chain(
                _FAMILIES.get(body[0], str(body[0])),
                _text_of(members.get(_TABLE_NAME, b"")),
                _text_of(members.get(_CHAIN_NAME, b"")),
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
            if text.encode() in answer and _text_of(members.get(_TABLE_NAME, b"")) == table:
                handle = int.from_bytes(members[_RULE_HANDLE], "big")
                found.append((_text_of(members[_RULE_CHAIN]), handle))
        return tuple(found)


def _question(element: Element) -> NetlinkRequest:
    """Ask for an element with the same key."""
    body = _in_set(element.table, element.container) + _one(_key(element))
    return NetlinkRequest(_GETSETELEM, 0, body, f"look for an element of {element.table} {element.container}")


def _listing(container: str) -> NetlinkRequest:
    """Ask for the elements of a set of the guard's table."""
    attempt = f"list the set {GUARD_TABLE} {container}"
    return NetlinkRequest(_GETSETELEM, NLM_F_DUMP, _in_set(GUARD_TABLE, container), attempt)


def _transaction(elements: Sequence[Element]) -> tuple[NetlinkRequest, ...]:
    """Add elements, all or none. What is there already with the same value stays as it is."""
    begin, end = (
        NetlinkRequest(kind, 0, _NFGENMSG.pack(0, _SUBSYSTEM << 8), "change the nftables tables")
        for kind in (_BEGIN, _END)
    )
    return (begin, *map(_addition, elements), end)


def _is_answer(body: bytes, element: Element) -> bool:
    """Whether the answer to a question is an element with the same value and owner."""
    return element.owner.encode() in body and _held(element) in body


def _guards(container: str, body: bytes) -> Iterator[Element]:
    """The elements of an answer to a listing."""
    found = dict(attributes(body[_NFGENMSG.size :])).get(_ELEMENTS, b"")
    return (_guard(container, dict(attributes(held))) for _kind, held in attributes(found))


def _in_table(table: str) -> bytes:
    """The beginning of a message about a table, by family and name."""
    family, name = table.split()
    return _NFGENMSG.pack(_NUMBERS[family], 0) + attribute(_TABLE_NAME, name.encode() + b"\0")


def _text_of(data: bytes) -> str:
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
    return _in_table(table) + attribute(_SET, container.encode() + b"\0")


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
    parts = [_text_of(link)]
    if address:
        parts.append(str(Address.unpacked(address)))
    return Element(container, tuple(parts), "", _comment(held.get(_USERDATA, b"")))


def _comment(userdata: bytes) -> str:
    """The comment of an element, "" without one. Source: libnftnl's udata.h; each part is type, length, bytes."""
    while len(userdata) > 1:
        kind, size = userdata[0], userdata[1]
        if kind == _COMMENT:
            return _text_of(userdata[2 : 2 + size])
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
