# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images: one of busybox for both, and one of five large layers in this run's own registry."""

from __future__ import annotations

import concurrent.futures
import functools
import gzip
import hashlib
import io
import json
import pathlib
import platform
import random
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence

BUSYBOX = "/bin/busybox"
APP = "localhost/bench"
LAYERS = 5
FILES = 10_000
FILE_BYTES = 15_700  # on average; makes 105 MB compressed
_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{root}"}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_OCI = "application/vnd.oci.image"


def write_root(path: pathlib.Path, prefix: str = "", manifest: dict[str, object] | None = None) -> None:
    """A tar of a root with busybox in it, as podman imports it; with a manifest and a prefix it is an ACI."""
    with tarfile.open(path, "w") as archive:
        if manifest:
            _add(archive, "manifest", json.dumps(manifest).encode())
        for folder in ("", "bin", "etc", "tmp", "data"):
            _add(archive, f"{prefix}{folder}", None)
        _add(archive, f"{prefix}bin/busybox", pathlib.Path(BUSYBOX).read_bytes())
        _add(archive, f"{prefix}etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        for applet in ("true", "sleep", "sh"):
            _add(archive, f"{prefix}bin/{applet}", "busybox")


def write_aci(path: pathlib.Path) -> None:
    """Write the same root as an ACI."""
    manifest: dict[str, object] = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": APP,
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": _arch(arm="aarch64")}],
        "app": {"exec": ["/bin/true"], "user": "0", "group": "0"},
    }
    write_root(path, "rootfs/", manifest)


class Registry:
    """docker-registry on this machine, until it is closed."""

    def __init__(self, work: pathlib.Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{sock.getsockname()[1]}"
        config = work / "registry.yml"
        config.write_text(_CONFIG.format(root=work / "registry", port=self.address.partition(":")[2]))
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._wait()

    def push(
        self, name: str, numbers: Sequence[int] = range(LAYERS), files: int = FILES // LAYERS
    ) -> list[str]:
        """Push an image of layers of so many files, the same ones for a number; returns the URLs of their blobs."""
        with concurrent.futures.ThreadPoolExecutor() as pool:  # zlib lets other threads run
            layers = list(pool.map(lambda number: _layer(number, files), numbers))
        packed = [self._blob(name, data, f"{_OCI}.layer.v1.tar+gzip") for data, _digest in layers]
        config = {
            "architecture": _arch(arm="arm64"),
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest for _data, digest in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": self._blob(name, json.dumps(config).encode(), f"{_OCI}.config.v1+json"),
            "layers": packed,
        }
        url = f"http://{self.address}/v2/{name}/manifests/latest"
        self._ask("PUT", url, json.dumps(manifest).encode(), f"{_OCI}.manifest.v1+json")
        return [f"http://{self.address}/v2/{name}/blobs/{layer['digest']}" for layer in packed]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _blob(self, name: str, data: bytes, kind: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        where = self._ask("POST", f"http://{self.address}/v2/{name}/blobs/uploads/", b"", kind)
        url = urllib.parse.urljoin(f"http://{self.address}/", where)
        self._ask(
            "PUT",
            f"{url}&{urllib.parse.urlencode({'digest': digest})}",
            data,
            "application/octet-stream",
        )
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    @staticmethod
    def _ask(method: str, url: str, data: bytes, kind: str) -> str:
        request = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request) as answer:
            return str(answer.headers.get("Location", ""))

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{self.address}/v2/").close()
                return
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def _arch(arm: str) -> str:
    """This machine's architecture; appc and OCI spell that of ARM differently."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": arm}.get(machine, machine)


@functools.cache
def _layer(number: int, files: int) -> tuple[bytes, str]:
    """A compressed layer, and the digest of its tar. Files are half words, half noise, always the same."""
    chance = random.Random(number)
    words = [chance.randbytes(4).hex()[: chance.randrange(3, 9)].encode() for _other in range(2000)]
    text = b" ".join(chance.choices(words, k=400_000))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for index in range(files):
            if index % 50 == 0:
                _add(archive, f"layer{number}/{index // 50}", None)
            size = int(chance.expovariate(1 / FILE_BYTES))
            begin = chance.randrange(len(text) // 2)
            data = text[begin : begin + size // 2] + chance.randbytes(size - size // 2)
            _add(archive, f"layer{number}/{index // 50}/{index}", data)
    plain = out.getvalue()
    return gzip.compress(plain, 6, mtime=0), f"sha256:{hashlib.sha256(plain).hexdigest()}"


def _add(archive: tarfile.TarFile, name: str, what: bytes | str | None) -> None:
    """Add a file, a symbolic link or a directory."""
    member = tarfile.TarInfo(name or ".")
    member.mode, member.mtime = 0o755, 1_500_000_000
    if what is None:
        member.type = tarfile.DIRTYPE
    elif isinstance(what, str):
        member.type, member.linkname = tarfile.SYMTYPE, what
    else:
        member.size = len(what)
    archive.addfile(member, io.BytesIO(what) if isinstance(what, bytes) else None)
