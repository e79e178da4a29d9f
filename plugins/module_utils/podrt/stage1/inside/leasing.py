# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets by which PID 1 of a pod keeps the leases of its interfaces, opened before it has no more rights.

An interface has three: one that hears any server, one to its own, and one to all. PID 1 alone needs not even the module
of sockets for them.
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..pid1.frames import Message
    from ..pid1.record import LeaseRecord

# Source: RFC 2131, 4.1.
_SERVER_PORT, _CLIENT_PORT = 67, 68
_ANY, _TO_ALL = "0.0.0.0", "255.255.255.255"


def record_of_lease(message: Message) -> LeaseRecord:
    """Open the sockets of a LEASE message. Raises OSError."""
    _kind, name, address, server, keeps, ends, *times = message
    hears, to_server, to_all = (
        _open(str(name), own, peer)
        for own, peer in ((_ANY, ""), (str(address), str(server)), (str(address), _TO_ALL))
    )
    return {
        "name": str(name),
        "hears": hears,
        "to_server": to_server,
        "to_all": to_all,
        "keeps": bytes.fromhex(str(keeps)),
        "ends": bytes.fromhex(str(ends)),
        "times": [int(number) for number in times],
    }


def _open(if_name: str, own: str, peer: str) -> int:
    """A socket of an interface, on the port of clients; with a peer it hears and says what is from and to that."""
    opened = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    opened.setblocking(False)
    for option in (_socket.SO_REUSEADDR, _socket.SO_BROADCAST):
        opened.setsockopt(_socket.SOL_SOCKET, option, 1)
    opened.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, if_name.encode())
    opened.bind((own, _CLIENT_PORT))
    if peer:
        opened.connect((peer, _SERVER_PORT))
    return opened.detach()
