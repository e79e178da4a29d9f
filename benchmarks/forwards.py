# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Connections to a published port, beside few and beside many others: each looks the port up once."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import time
from collections.abc import Callable

from measure import Row, Sample, in_turn, said
from rivals import SLEEP, Ours

MANY = 1000
CONNECTIONS = 2000
PORT, OTHERS = 7000, 7001


def measured(ours: Ours, work: pathlib.Path, rounds: Callable[[int], int]) -> list[Row]:
    """Connections that the pod refuses, with its port alone in the table, before and after, and with a thousand."""

    def connect() -> list[Sample]:
        return in_turn(rounds(12), _connections)[0]

    published = [_start(ours, work, PORT, 1)]
    first = connect()
    others = [_start(ours, work, OTHERS, MANY - 1)]
    last = connect()
    ours.remove(others)
    first += connect()
    ours.remove(published)
    what = f"{CONNECTIONS} connections to a port, of {MANY}"
    return [Row(what, last, "the only port", first, 1.1)]


def _start(ours: Ours, work: pathlib.Path, port: int, count: int) -> str:
    """A pod that sleeps and publishes so many ports."""
    app = {"exec": list(SLEEP), "user": "0", "group": "0"}
    exposed = {"name": "p", "port": port, "protocol": "tcp", "hostPort": port, "count": count}
    manifest = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "app", "image": {"id": ours.image}, "app": app}],
        "ports": [exposed],
    }
    path = work / f"ports-{port}.json"
    path.write_text(json.dumps(manifest))
    uuid = said(ours.argv("prepare", "--quiet", f"--pod-manifest={path}"))
    said(ours.argv("run-prepared", "--detach", uuid))
    return uuid


def _connections() -> Sample:
    begin = time.perf_counter()
    for _number in range(CONNECTIONS):
        with socket.socket() as made, contextlib.suppress(ConnectionRefusedError):
            made.connect(("127.0.0.1", PORT))
    return Sample((time.perf_counter() - begin) * 1000)
