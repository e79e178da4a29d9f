# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Queries of the metadata service, beside the server of Python's standard library, which only says a fixed text."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

from measure import Row, Sample, in_turn
from rivals import Ours

COUNT = 1000
SOCKET = "/run/pods/metadata-svc.sock"
PORTS = 18112, 18113
TOKEN = "0123456789abcdef" * 2
POD = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": []}
PEER = f"""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Fixed(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "36")
        self.end_headers()
        self.wfile.write(b"x" * 36)
    def log_message(self, *_args):
        pass
ThreadingHTTPServer(("127.0.0.1", {PORTS[1]}), Fixed).serve_forever()
"""


def measured(ours: Ours, rounds: Callable[[int], int]) -> list[Row]:
    """A thousand queries, each by a connection of its own."""
    own = ours.argv("metadata-service", f"--listen-port={PORTS[0]}")
    peer = [sys.executable, "-c", PEER]
    with _serving(own, PORTS[0]) as first, _serving(peer, PORTS[1]) as second:
        _register()
        found, theirs = in_turn(
            rounds(12), lambda: _queries(PORTS[0], first), lambda: _queries(PORTS[1], second)
        )
    return [Row(f"{COUNT} queries of the metadata service", found, "http.server, a fixed text", theirs, 0.6)]


@contextlib.contextmanager
def _serving(argv: Sequence[str], port: int) -> Iterator[int]:
    """A server, once it takes connections. Gives its PID."""
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        for _turn in range(300):
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _register() -> None:
    body = json.dumps(POD).encode()
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(SOCKET)
        head = f"PUT /pods/{uuid.uuid4()}?token={TOKEN} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        made.sendall(head.encode() + body)
        if b" 200 " not in made.recv(100):
            raise RuntimeError("the pod is not registered")


def _queries(port: int, pid: int) -> Sample:
    asked = f"GET /{TOKEN}/acMetadata/v1/pod/uuid HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    cpu, begin = _cpu_ms(pid), time.perf_counter()
    for _number in range(COUNT):
        with socket.create_connection(("127.0.0.1", port)) as made:
            made.sendall(asked)
            answer = b"".join(iter(lambda made=made: made.recv(65536), b""))  # type: ignore[misc]
        if b" 200 " not in answer[:20] or len(answer) < 36:
            raise RuntimeError(f"a query failed: {answer[:80]!r}")
    return Sample((time.perf_counter() - begin) * 1000, _cpu_ms(pid) - cpu)


def _cpu_ms(pid: int) -> float:
    """The CPU time of a server so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 10.0
