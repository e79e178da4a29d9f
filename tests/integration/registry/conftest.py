# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real registry on this machine, whose access log shows the requests."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout

_REQUEST = re.compile(r'"(GET|HEAD) (/v2/\S+) HTTP')
_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: "{root}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """A running registry. address: HOST:PORT. root: the directory of its blobs."""

    def __init__(self, address: str, root: pathlib.Path, log: pathlib.Path) -> None:
        self.address = address
        self.port = int(address.rpartition(":")[2])
        self.root = root
        self._log = log

    def requests(self) -> list[str]:
        """The requests so far, such as "GET manifests/latest"; the log is complete once it has a marker."""
        marker = f"/v2/marker{time.monotonic_ns()}/"
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock,
        ):
            sock.sendall(f"GET {marker} HTTP/1.0\r\n\r\n".encode())
            sock.recv(1)
        end = time.monotonic() + 10
        while marker not in (text := self._log.read_text()) and time.monotonic() < end:
            time.sleep(0.02)
        found = _REQUEST.findall(text)
        return [
            f"{method} {'/'.join(path.split('/')[-2:])}" for method, path in found if "marker" not in path
        ]

    def during(self, action: Callable[[], object]) -> list[str]:
        """The requests while an action ran."""
        before = len(self.requests())
        action()
        return self.requests()[before:]

    def blob_path(self, digest: str) -> pathlib.Path:
        """The file of a blob."""
        digits = digest.partition(":")[2]
        return self.root / "docker/registry/v2/blobs/sha256" / digits[:2] / digits / "data"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="session", name="registry")
def _registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if not shutil.which("docker-registry") or not shutil.which("skopeo"):
        pytest.skip("needs docker-registry and skopeo")
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    (folder / "config.yml").write_text(_CONFIG.format(root=folder / "data", port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait_for(port)
        yield Registry(f"127.0.0.1:{port}", folder / "data", folder / "log")
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the registry does not start")


@pytest.fixture(name="layout")
def _layout(tmp_path: pathlib.Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    return Host.here(Paths(data=str(tmp_path / "data")))
