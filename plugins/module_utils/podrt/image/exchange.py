# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request and its answer on the wire: each step has a limit in time, headers and framing have one in size.

A socket's own timeout starts again with every byte, so a server that sends one now and then would never reach it.
"""

from __future__ import annotations

import io
import socket
import time

from ..errors import Unreachable
from .http_policy import (
    MAX_FRAMING,
    MAX_HEADERS,
    UploadMeter,
    may_lead,
    outermost,
    place_of,
    refuse_lead,
    zone_of,
)
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from .http_policy import BlobMeter, DocumentMeter

CONNECT_SECONDS = 15.0


class Exchange:
    """The shared state of the steps of one request and its redirects. pulse: called whenever bytes arrive."""

    def __init__(
        self, url: str, meter: BlobMeter | DocumentMeter | UploadMeter, pulse: Callable[[], None]
    ) -> None:
        self.url = url
        self._meter = meter
        self._pulse = pulse
        self._in_headers = True
        self._framing = 0

    def limit(self, sock: socket.socket, longest: float | None = None) -> None:
        """Set the timeout of the next step of a socket. Raises Unreachable when no time is left."""
        allowed = self._meter.allowed(time.monotonic())
        if allowed <= 0:
            raise self.too_slow()
        sock.settimeout(allowed if longest is None else min(allowed, longest))

    def received(self, count: int, waited: float) -> None:
        """Count bytes from the server. Raises Unreachable when headers or framing are too large."""
        self._meter.received(count, waited)
        self._framing += count
        if self._in_headers and self._framing > MAX_HEADERS:
            raise self._too_large("the headers are too large")
        if self._framing > MAX_FRAMING:
            raise self._too_large("the framing of the content is too large")
        self._pulse()

    def waited(self, since: float) -> None:
        """Count the time of a step that brought no bytes. since: when it began."""
        self._meter.received(0, time.monotonic() - since)

    def begin_headers(self) -> None:
        """Expect the headers of an answer: the first, or one after a redirect."""
        self._in_headers, self._framing = True, 0

    def begin_content(self) -> None:
        """Count framing from here: the headers are complete, or content has been passed on."""
        self._in_headers, self._framing = False, 0

    def _too_large(self, what: str) -> Unreachable:
        return Unreachable(f"cannot fetch {shown(self.url)}: {what}", url=shown(self.url))

    @property
    def is_over(self) -> bool:
        """Whether it has taken too long."""
        return self._meter.allowed(time.monotonic()) <= 0

    @property
    def is_upload(self) -> bool:
        """Whether content is sent: then the timeout of the socket, which is not renewed, may end it a moment early."""
        return isinstance(self._meter, UploadMeter)

    def too_slow(self) -> Unreachable:
        """The error for a server that is too slow."""
        return Unreachable(
            f"cannot fetch {shown(self.url)}: the server is too slow: {self._meter.rule}",
            f"try again later; how slow a server may be is set by {self._meter.setting}",
            url=shown(self.url),
        )


class Gate:
    """The limits on where connections lead: the first is to the host that the user named, and decides for all others.

    A name is resolved once and the connection made to the checked address, so its meaning cannot change in between.
    """

    def __init__(self) -> None:
        self._zone = ""
        self._place: tuple[str, int] | None = None
        self._own: frozenset[str] = frozenset()
        self._seen: frozenset[str] = frozenset()

    def check(self, url: str, addresses: Sequence[str]) -> None:
        """Raise Untrusted when the first host must not lead to one of these addresses of another.

        A first host with addresses both here and elsewhere counts as elsewhere: its nearer addresses are used only for
        the host itself, at its own port.
        """
        place = place_of(url)
        if not self._zone:
            self._zone, self._place = outermost(addresses), place
            self._own = self._seen = frozenset(addresses)
            return
        own = self._own if place and place == self._place else ()
        for address in addresses:
            zone = zone_of(address)
            if address not in own and not may_lead(self._zone, zone):
                raise refuse_lead(url, address, zone)
        if place and place == self._place and addresses:
            # A name that meant this machine for a moment, without a connection, is not trusted a second time.
            self._zone = outermost((*self._seen, *addresses))
            self._seen |= frozenset(addresses)

    def connect(self, exchange: Exchange, host: str, port: int) -> socket.socket:
        """Connect to one of the addresses of a host, in the time that is left. Raises Untrusted, OSError."""
        candidates = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.check(exchange.url, [str(address[0]) for *_other, address in candidates])
        failure: OSError | None = None
        for family, kind, protocol, _name, address in candidates:
            sock, began = socket.socket(family, kind, protocol), time.monotonic()
            try:
                exchange.limit(sock, CONNECT_SECONDS)
                sock.connect(address)
                exchange.waited(began)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                exchange.limit(sock)
            except OSError as err:
                sock.close()
                exchange.waited(began)
                failure = err
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError(f"{host} has no address")


class Metered(io.RawIOBase):
    """The input of a socket, under the limits of an exchange."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._exchange = exchange

    def readable(self) -> bool:
        """Always True, as io.BufferedReader requires."""
        return True

    def readinto(self, buffer: Buffer) -> int | None:
        """Receive the bytes that are available. Raises Unreachable, OSError."""
        self._exchange.limit(self._sock)
        before = time.monotonic()
        try:
            count: int | None = self._raw.readinto(buffer)
        except OSError:
            self._exchange.waited(before)
            raise
        self._exchange.received(count or 0, time.monotonic() - before)
        return count

    def close(self) -> None:
        """Close the stream of the socket as well."""
        try:
            self._raw.close()
        finally:
            super().close()
