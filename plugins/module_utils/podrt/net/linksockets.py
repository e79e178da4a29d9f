# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink sockets of a pod that joins networks: one on the host, one in the pod."""

from __future__ import annotations

from ..contexts import contextmanager
from ..value import Value
from .rtsocket import RouteSocket, open_in
from .steps import HOST_SIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class LinkSockets(Value):
    """Sockets in the host's and in a pod's network namespace, and the latter itself."""

    host: RouteSocket
    pod: RouteSocket
    netns_fd: int

    def on(self, side: str) -> RouteSocket:
        """The socket of HOST_SIDE or POD_SIDE."""
        return self.host if side == HOST_SIDE else self.pod


@contextmanager
def open_link_sockets(netns_fd: int) -> Iterator[LinkSockets]:
    """Open both sockets. The process must be single-threaded. Raises OSError."""
    with RouteSocket() as host, open_in(netns_fd) as pod:
        yield LinkSockets(host, pod, netns_fd)
