# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A metadata service of a test's own, as a process, and pods that it can be told of."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.register import Registrant
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle

RUNTIME = pathlib.Path(__file__).resolve().parents[6] / "plugins" / "module_utils"
SECONDS = 30
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.mds.process import serve
serve(Host.here(Paths(data=sys.argv[2], run=sys.argv[3])), 0, lambda line: print(line, flush=True))
"""
POD = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [{"name": "web", "image": {"id": "sha512-aabb"}}],
    "annotations": [{"name": "large", "value": "x" * 300_000}],
}
IMAGE = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/web"}


class Service:
    """The process, and the port of its queries once a pod was registered."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(RUNTIME), paths.data, paths.run],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.read_until("metadata service running...")

    def read_until(self, text: str) -> None:
        """Read its lines up to one."""
        while text not in self.lines:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            assert line, f"it has ended: {self.lines}"
            self.lines.append(line.rstrip("\n"))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask for its end; returns its status."""
        self.process.send_signal(number)
        rest, _none = self.process.communicate(timeout=SECONDS)
        self.lines += rest.splitlines()
        return self.process.returncode


def running_pod(paths: Paths) -> lifecycle.Pod:
    """A pod that runs as long as it is open."""
    pod = lifecycle.create(paths)
    pathlib.Path(pod.dir.manifest).write_text(json.dumps(POD))
    os.makedirs(pod.dir.app_info("web"))
    pathlib.Path(pod.dir.app_manifest("web")).write_text(json.dumps(IMAGE))
    pod.move("run")
    return pod


def registrant(pod: lifecycle.Pod, *sources: str) -> Registrant:
    """A pod as it is registered, with the addresses that its requests come from."""
    manifest: PodManifest = documents.read_manifest(pod.dir)
    return Registrant(pod.uuid, pod.dir, manifest, "127.0.0.1", sources or ("127.0.0.1",))


def place(url: str) -> tuple[str, int, str]:
    """The address, the port and the path of a URL."""
    host, _slash, path = url.removeprefix("http://").partition("/")
    address, _colon, port = host.partition(":")
    return address, int(port), f"/{path}"


def connected(url: str) -> socket.socket:
    """A connection to the service."""
    return socket.create_connection(place(url)[:2], SECONDS)


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    chunks = []
    while True:
        chunk = connection.recv(1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def asked(url: str, data: bytes) -> bytes:
    """The answer to what is sent, up to the close of the connection."""
    with connected(url) as connection:
        connection.sendall(data)
        return received(connection)


def got(url: str, path: str) -> tuple[int, bytes]:
    """The status and the body of a query."""
    target = f"{place(url)[2]}/acMetadata/v1/{path}"
    answer = asked(url, f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    head, _empty, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def resident(service: Service) -> int:
    """The memory of the service, in KiB."""
    lines = pathlib.Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def eventually(check: object) -> None:
    """Wait until check() is true."""
    end = time.monotonic() + SECONDS
    while not check():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
