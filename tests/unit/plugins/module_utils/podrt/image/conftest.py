# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server on this machine that answers as a test wants."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import keystore, transport
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import read_keys
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.sitelab import (
    Site,
    make_authority,
)

_PIECE = 256 << 10
# status, headers, body, and how many bytes of it are sent before the connection breaks
Reply = tuple[int, dict[str, str], bytes]


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection. tls: what it speaks, if anything."""

    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, object]:
        connection, peer = super().get_request()
        if self.tls:
            # The thread of the connection shakes hands: a client that does not must hold up no other.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def handle_error(self, *_request: object) -> None:
        """A client may break off."""


class Web:
    """A server. answer: (method, path, headers) to a Reply. asked: every request. bodies: what came with each.

    breaks_after: of the next body, so many bytes are sent before the connection breaks. stalls_after: of every longer
    body no more is sent than that, with a pause after each piece, and the connection stays open until the server ends.
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[str, str, dict[str, str]], Reply] = lambda *_other: (404, {}, b"")
        self.breaks_after = 0
        self.stalls_after = 0
        self.pause = 0.0
        self.ends = threading.Event()
        self.challenge = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append((self.command, self.path, headers))
                outer.bodies.append(self.rfile.read(int(headers.get("content-length", "0"))))
                status, given, body = outer.answer(self.command, self.path, headers)
                self.send_response(status)
                for name, value in given.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status != 304:
                    if 0 < outer.stalls_after < len(body):
                        for start in range(0, outer.stalls_after, _PIECE):
                            self.wfile.write(body[start : min(start + _PIECE, outer.stalls_after)])
                            time.sleep(outer.pause)
                        outer.ends.wait()
                        self.close_connection = True
                        return
                    cut, outer.breaks_after = outer.breaks_after, 0
                    self.wfile.write(body[: cut or None])
                    self.close_connection = self.close_connection or bool(cut)

            do_HEAD = do_POST = do_PUT = do_GET

            def log_message(self, *_other: object) -> None:
                pass

        self.server = Server((address, port), Handler)
        self.url = f"http://{address}:{self.server.server_port}"
        self.authority = f"{address}:{self.server.server_port}"


@contextlib.contextmanager
def serving(address: str = "127.0.0.1", port: int = 0) -> Iterator[Web]:
    """A server while the context lasts. port: 0 for any."""
    web = Web(address, port)
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        web.ends.set()
        web.server.shutdown()
        web.server.server_close()
        thread.join()


@pytest.fixture(name="web")
def _web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture(name="tls")
def _tls(web: Web, tmp_path: pathlib.Path) -> str:
    """Make the server speak TLS; return its certificate."""
    return speak_tls(web, tmp_path)


def speak_tls(web: Web, tmp_path: pathlib.Path) -> str:
    """Give a server a key, and a certificate that it has signed itself; return its path."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    key, certificate = f"{tmp_path}/key.pem", f"{tmp_path}/certificate.pem"
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        ["openssl", *words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.server.tls = context
    web.url = web.url.replace("http://127.0.0.1", "https://localhost")
    return certificate


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    # A separate, empty configuration: that of this machine must not matter.
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host.here(paths)


def log_in(host: Host, registry: str, user: str = "me", password: str = "pw") -> None:
    """Configure credentials for a registry."""
    configure(host, "dockerAuth", registries=[registry], credentials={"user": user, "password": password})


def configure(host: Host, kind: str, **members: object) -> None:
    """Add a document of credentials to a host's configuration."""
    place = pathlib.Path(host.paths.local_config, "auth.d")
    place.mkdir(parents=True, exist_ok=True)
    document = place / f"{len(list(place.iterdir()))}.json"
    document.touch(0o600)
    document.write_text(json.dumps({"rktKind": kind, "rktVersion": "v1", **members}))


def make_aci(name: str = "example.com/app", content: bytes = b"x", **manifest: object) -> bytes:
    """An ACI with one file."""
    full = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, **manifest}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in (
            ("manifest", json.dumps(full).encode()),
            ("rootfs", None),
            ("rootfs/f", content),
        ):
            info = tarfile.TarInfo(path)
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            archive.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


@pytest.fixture(name="aci")
def _aci() -> Callable[..., bytes]:
    return make_aci


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="good", scope="module")
def _good(gpg: Gpg) -> str:
    return gpg.make("Team <team@example.com>")


@pytest.fixture(name="servers")
def _servers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Web, Web]]:
    """The address of a host, its servers of http and of https, and an authority that is trusted."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    address = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(2, 255)}"
    (tmp_path / "authority").mkdir()
    ca, certificate, key = make_authority(tmp_path / "authority", address)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transport, "_ROOTS", (ca,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    try:
        with serving(address, 80) as plain, serving(address, 443) as secure:
            secure.server.tls = context
            yield address, plain, secure
    except PermissionError:
        pytest.skip("needs the right to listen at port 443")


@pytest.fixture(name="site")
def _site(servers: tuple[str, Web, Web], gpg: Gpg, good: str) -> Site:
    return Site(*servers, gpg, good)


@pytest.fixture(name="trusting")
def _trusting(host: Host, site: Site, gpg: Gpg, good: str) -> Host:
    keystore.store(host.paths, site.address, read_keys(gpg.export(good), "a test")[0])
    return host
