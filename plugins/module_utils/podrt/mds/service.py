# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service: two kinds of sockets, one thread, and bounds for all that a client can do.

asyncio, because one thread with an event loop has room for slow clients by the hundred; the threads of http.server are
as many as there are connections, and it sets no bounds. Source: behaviours F1, F6.
"""

from __future__ import annotations

import asyncio
import signal
import socket

from ..value import Value
from . import answers
from .answers import Reply, complaint, shown
from .pods import Registry
from .requests import LONGEST_HEAD, Refusal, request_of
from .visits import Visit, VisitBounds, Visits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .answers import Judged
    from .registration import ServiceFacts
    from .requests import Request

# Seconds for a request to come, and for its answer to be taken.
_SECONDS = 10.0
# Seconds for what is under way at the end.
_LAST_SECONDS = 1.0
_QUERIES, _REGISTRATIONS = VisitBounds(128, 1024), VisitBounds(64, 64)
_BACKLOG = 1024
_CHUNK = 64 << 10
_HEAD_TOO_LARGE = 431
_END = b"\r\n\r\n"
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class Door(Value):
    """The sockets of one kind. public: for queries of pods, else for registrations."""

    sockets: tuple[socket.socket, ...]
    public: bool


class MetadataService:
    """The service. say: writes a line of the log. facts: which root of the host is told."""

    def __init__(self, say: Callable[[str], None], registry: Registry, facts: ServiceFacts) -> None:
        self._say = say
        self._registry = registry
        self._facts = facts
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, doors: Iterable[Door]) -> None:
        """Answer until this process is asked to end."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(self._report)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        servers = []
        for door in doors:
            visits = Visits(_QUERIES if door.public else _REGISTRATIONS)
            welcome = self._welcome(door, visits)
            for each in door.sockets:
                servers.append(
                    await asyncio.start_server(welcome, sock=each, limit=LONGEST_HEAD, backlog=_BACKLOG)
                )
        self._say("metadata service running...")
        await ended.wait()
        self._say("metadata service exiting...")
        for server in servers:
            server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=_LAST_SECONDS)

    def _report(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log what has gone wrong beside any request, such as that no file can be opened any more."""
        err = context.get("exception")
        self._say(f"{context.get('message')}: {err!r}" if err else f"{context.get('message')}")

    def _welcome(
        self, door: Door, visits: Visits
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        """The function that is called with each new connection of a door."""

        def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            source = peer[0] if isinstance(peer, tuple) else ""
            visit = Visit(source, writer.transport, asyncio.get_running_loop().time())
            if not visits.admit(visit):
                self._say(f"too many connections from {source or 'this host'}")
                writer.write(_written(complaint(answers.BUSY, "too many connections"), keeps=False))
                writer.close()
                return
            task = asyncio.ensure_future(self._converse(reader, writer, door, visit))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            task.add_done_callback(lambda _task: visits.leave(visit))

        return welcome

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door, visit: Visit
    ) -> None:
        """Answer the requests of a connection, one after the other."""
        loop = asyncio.get_running_loop()
        try:
            keeps = True
            while keeps:
                visit.since = loop.time()
                limit = loop.call_later(_SECONDS, writer.transport.abort)
                try:
                    keeps = await self._one(reader, writer, door, visit.source)
                finally:
                    limit.cancel()
        except (OSError, asyncio.IncompleteReadError):
            return  # the client has gone, or was too slow
        finally:
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Door, source: str
    ) -> bool:
        """Answer one request. Returns whether another one may follow."""
        said, keeps = "-", False
        try:
            head = await reader.readuntil(_END)
            request = request_of(head)
            said = f"{request.method} {shown(request.target, public=door.public)}"
            reply = await self._answered(reader, writer, request, self._judged(door, request, source))
            keeps = request.keeps
        except asyncio.LimitOverrunError:
            reply = complaint(_HEAD_TOO_LARGE, f"a head has at most {LONGEST_HEAD} bytes")
        except Refusal as err:
            reply = _refused(err)
        self._say(f"{said} - {reply.status}")
        await _send(writer, _written(reply, keeps=keeps))
        if not keeps:
            await _part(reader, writer)
        return keeps

    def _judged(self, door: Door, request: Request, source: str) -> Judged:
        if door.public:
            return answers.query(self._registry, request, source)
        return answers.registration(self._registry, request, self._facts)

    async def _answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, judged: Judged
    ) -> Reply:
        """Receive the body, and make the answer. Raises Refusal before the body is received if it is too large."""
        if request.length > judged.most:
            raise answers.too_large(judged.most)
        if request.length == 0:
            return judged.answer(b"")
        if request.waits:
            writer.write(_GO_ON)
        pod = judged.pod
        if pod:
            pod.receiving += request.length
        try:
            return judged.answer(await reader.readexactly(request.length))
        finally:
            if pod:
                pod.receiving -= request.length


def _refused(err: Refusal) -> Reply:
    if err.status == answers.NOT_ALLOWED:
        return complaint(err.status, f"use {err.text}").replace(allowed=err.text)
    return complaint(err.status, err.text)


def _written(reply: Reply, *, keeps: bool) -> bytes:
    """An answer as it is sent."""
    lines = [
        f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}",
        f"Content-Type: {reply.media}",
        f"Content-Length: {len(reply.body)}",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if keeps else 'close'}",
        *([f"Allow: {reply.allowed}"] if reply.allowed else []),
    ]
    return "\r\n".join(lines).encode() + _END + reply.body


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for the client to close: while it has sent what is not read, a close would take the answer from it."""
    if writer.can_write_eof():
        writer.write_eof()
    left = answers.LONGEST_FORM
    while left > 0:
        chunk = await reader.read(_CHUNK)
        if not chunk:
            return
        left -= len(chunk)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send an answer, of a large one never more than a piece at a time. Raises OSError."""
    for begin in range(0, len(data), _CHUNK):
        writer.write(data[begin : begin + _CHUNK])
        await writer.drain()
