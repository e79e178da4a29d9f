# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A Debian root file system with a real redis, as an OCI image with known layers.

Three layers, like an image that has grown: Debian; redis and its dependencies; one that removes the documentation of
both. The first build takes half a minute; the layout is kept in .cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import pathlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable

from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
SUITE = "bookworm"
ADDED = ("./usr/bin/redis", "./etc/redis", "./usr/lib/x86_64-linux-gnu/liblua", "./usr/share/doc/redis")
WHITEOUT = layer(("usr/share/doc/redis-server/.wh.copyright", b""), ("usr/share/.wh.man", b""))
CONFIG = {
    "User": "redis",
    "Entrypoint": ["/usr/bin/redis-server"],
    "Cmd": ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/var/lib/redis", "--appendonly", "yes"],
    "WorkingDir": "/var/lib/redis",
    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "ExposedPorts": {"6379/tcp": {}},
    "Volumes": {"/var/lib/redis": {}},
}


class RedisImage:
    """The layout and the part of it that is pushed. uid, gid: those of redis."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.uid, self.gid = map(int, (path / "user").read_text().split())

    def push(self, run: Callable[..., object], target: str) -> None:
        """Push it to HOST:PORT/NAME:TAG. run: runs a command next to the registry."""
        argv = ["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false"]
        run(*argv, f"oci:{self.path}:it", f"docker://{target}")


def redis_image() -> RedisImage:
    """The image, built if it does not exist yet."""
    key = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:12]
    path = CHECKOUT / ".cache" / "redis" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _build(path)
    return RedisImage(path)


def _build(path: pathlib.Path) -> None:
    aside = path.with_name(path.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    layout = Layout(aside)
    whole = aside / "whole.tar"
    tool = ["mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--include=redis-server"]
    subprocess.run([*tool, SUITE, str(whole)], check=True)
    with tarfile.open(whole) as archive:
        lines = archive.extractfile("./etc/passwd").read().decode().splitlines()  # type: ignore[union-attr]
        layers = [_part(archive, aside / "part.tar", added=added) for added in (False, True)]
    [user] = [line.split(":") for line in lines if line.startswith("redis:")]
    top = layout.image(*layers, WHITEOUT, **CONFIG)
    named = {"mediaType": top["mediaType"], "digest": top["digest"], "size": top["size"]}
    named["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (aside / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (aside / "user").write_text(" ".join(user[2:4]))
    for leftover in (whole, aside / "part.tar"):
        leftover.unlink()
    aside.rename(path)


def _part(archive: tarfile.TarFile, path: pathlib.Path, *, added: bool) -> bytes:
    """The tar of the files of redis, or of all others; device nodes come from the runtime."""
    with tarfile.open(path, "w") as part:
        for member in archive:
            is_added = member.name.startswith(ADDED)
            if is_added == added and not member.isdev():
                part.addfile(member, archive.extractfile(member) if member.isreg() else None)
    return path.read_bytes()
