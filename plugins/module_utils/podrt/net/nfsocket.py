# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's nftables for single objects, by hand: a query costs microseconds and no program.

Source: linux/netfilter/nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import errno

from ..value import Value
from .elements import GUARD_SETS, GUARD_TABLE
from .nfmsg import (
    FAMILIES,
    NFGENMSG,
    TABLE_NAME,
    guards,
    in_table,
    is_answer,
    listing,
    question,
    text_of,
    transaction,
)
from .rtmsg import NLM_F_DUMP, NetlinkRequest, attributes
from .rtsocket import NETLINK_NETFILTER, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .elements import Element

_GETTABLE, _GETCHAIN, _GETRULE = 10 << 8 | 1, 10 << 8 | 4, 10 << 8 | 7
_OF_ANY_FAMILY = bytes(NFGENMSG.size)
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
            answers = self.ask(question(element))
        except OSError as err:
            if err.errno == errno.ENOENT:
                return False
            raise
        return any(is_answer(body, element) for body in answers)

    def add(self, elements: Sequence[Element]) -> None:
        """Add elements, all or none; what is there already with the same value stays as it is. Raises OSError."""
        self.commit(transaction(elements))

    def has_guard(self) -> bool:
        """Whether the guard's table is there, which is made last, see guard. Raises OSError."""
        return self.has_table(GUARD_TABLE)

    def has_table(self, table: str) -> bool:
        """Whether a table of ours is there. Raises OSError."""
        try:
            self.ask(NetlinkRequest(_GETTABLE, 0, in_table(table), f"look for the table {table}"))
        except OSError as err:
            if err.errno == errno.ENOENT:
                return False
            raise
        return True

    def guards(self) -> Iterator[Element]:
        """The elements of the guard's sets, see guard. Raises OSError."""
        for name in GUARD_SETS:
            try:
                answers = self.ask(listing(name))
            except OSError as err:
                if err.errno != errno.ENOENT:
                    raise
                answers = []
            for answer in answers:
                yield from guards(name, answer)

    def chains(self) -> Iterator[Chain]:
        """The chains of every table. Raises OSError."""
        for body in self.ask(NetlinkRequest(_GETCHAIN, NLM_F_DUMP, _OF_ANY_FAMILY, "list the chains")):
            members = dict(attributes(body[NFGENMSG.size :]))
            hook = dict(attributes(members.get(_CHAIN_HOOK, b"")))
            is_forwarded = hook.get(_HOOK_NUMBER) == _FORWARD
            yield Chain(
                FAMILIES.get(body[0], str(body[0])),
                text_of(members.get(TABLE_NAME, b"")),
                text_of(members.get(_CHAIN_NAME, b"")),
                is_forwarded and members.get(_CHAIN_POLICY) == _DROP,
                is_forwarded,
            )

    def rules_with(self, family: str, table: str, text: str) -> tuple[tuple[str, int], ...]:
        """The rules of a table with a text, such as a comment, each by its chain and its handle. Raises OSError.

        nftables has comments in the rule's user data, iptables in a match; both as they are.
        """
        body, found = in_table(f"{family} {table}"), []
        for answer in self.ask(
            NetlinkRequest(_GETRULE, NLM_F_DUMP, body, f"list the rules of {family} {table}")
        ):
            members = dict(attributes(answer[NFGENMSG.size :]))
            # The kernel may not filter by table.
            if text.encode() in answer and text_of(members.get(TABLE_NAME, b"")) == table:
                handle = int.from_bytes(members[_RULE_HANDLE], "big")
                found.append((text_of(members[_RULE_CHAIN]), handle))
        return tuple(found)
