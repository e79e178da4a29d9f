# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the kernel's nftables for single elements, by hand: a question costs microseconds and no program.

Source: linux/netfilter/nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import errno

from .addresses import Address
from .rtmsg import Message, attribute
from .rtsocket import NETLINK_NETFILTER, RouteSocket
from .rules import FAMILY, NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rules import Element

_GETSETELEM = 10 << 8 | 13
_NFPROTO_IPV4 = 2
_NFGENMSG = bytes((_NFPROTO_IPV4, 0, 0, 0))
_TABLE, _SET, _ELEMENTS, _ELEMENT, _KEY, _VALUE = 1, 2, 3, 1, 1, 1
_NESTED = 0x8000
_PROTOCOLS = {"tcp": 6, "udp": 17}
_PART = 4


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


def _question(element: Element) -> Message:
    key = attribute(_VALUE, b"".join(map(_packed, element.key)))
    elements = attribute(_ELEMENT | _NESTED, attribute(_KEY | _NESTED, key))
    body = (
        _NFGENMSG
        + attribute(_TABLE, NAME.encode() + b"\0")
        + attribute(_SET, element.container.encode() + b"\0")
        + attribute(_ELEMENTS | _NESTED, elements)
    )
    return Message(_GETSETELEM, 0, body, f"look for an element of {FAMILY} {NAME} {element.container}")


def _held(element: Element) -> bytes:
    """The bytes of an element's value in an answer."""
    if element.value.startswith("jump "):
        return element.value[5:].encode() + b"\0"
    return b"".join(map(_packed, element.value.split(" . "))) if element.value else b""


def _packed(part: str) -> bytes:
    """A part of a key or of a value: each has four bytes."""
    if part in _PROTOCOLS:
        found = bytes((_PROTOCOLS[part],))
    elif part.isdigit():
        found = int(part).to_bytes(2, "big")
    else:
        found = Address.parse(part).packed
    return found.ljust(_PART, b"\0")
