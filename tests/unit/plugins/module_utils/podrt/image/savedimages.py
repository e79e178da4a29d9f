# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved images made by hand, so that a test decides every byte."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tarfile

OCI = "application/vnd.oci.image"
REF_NAME = "org.opencontainers.image.ref.name"
# (name, what): bytes are a file, None a directory, text a symbolic link, a dictionary fields of a TarInfo.
Member = tuple[str, object]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(*members: Member) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                info.type, info.linkname = tarfile.SYMTYPE, what
            elif isinstance(what, bytes):
                info.size = len(what)
            else:
                for field, value in what.items():  # type: ignore[attr-defined]
                    setattr(info, field, value)
            archive.addfile(info, io.BytesIO(what if isinstance(what, bytes) else b""))
    return out.getvalue()


LAYERS = (tar_of(("a", b"1")), tar_of(("b", b"2")))


def config_of(*layers: bytes, arch: str = "amd64", **others: object) -> bytes:
    """The configuration of an image of these plain layers."""
    rootfs = {"type": "layers", "diff_ids": [digest_of(data) for data in layers]}
    document = {"architecture": arch, "os": "linux", "config": {"Cmd": ["/b"]}, "rootfs": rootfs, **others}
    return json.dumps(document).encode()


def docker_members(
    *images: tuple[list[str] | None, bytes, list[str]], files: tuple[Member, ...] = ()
) -> tuple[Member, ...]:
    """The members of a docker archive: each image is its names, its configuration and the paths of its layers."""
    listed, configs = [], {}
    for names, config, paths in images:
        path = f"{digest_of(config)[7:]}.json"
        configs[path] = config
        listed.append({"Config": path, "RepoTags": names, "Layers": paths})
    return (*files, *configs.items(), ("manifest.json", json.dumps(listed).encode()))


class Blobs:
    """The blobs of an OCI layout, and descriptors of them."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def add(self, data: bytes, kind: str, **others: object) -> dict[str, object]:
        """Add a blob; return its descriptor."""
        self.held[digest_of(data)] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": digest_of(data), "size": len(data), **others}

    def image(
        self, *layers: bytes, name: str = "", sent: tuple[bytes, ...] = (), **config: object
    ) -> dict[str, object]:
        """Add an image; return the descriptor of its manifest. sent: the layers as they are in the archive."""
        document = {
            "schemaVersion": 2,
            "config": self.add(config_of(*layers, **config), "config.v1+json"),  # type: ignore[arg-type]
            "layers": [self.add(data, "layer.v1.tar") for data in sent or layers],
        }
        found = self.add(json.dumps(document).encode(), "manifest.v1+json")
        return {**found, "annotations": {REF_NAME: name}} if name else found

    def index(self, *entries: object) -> dict[str, object]:
        """Add an index; return its descriptor."""
        return self.add(json.dumps({"manifests": entries}).encode(), "index.v1+json")

    def members(self, *entries: object) -> tuple[Member, ...]:
        """The members of an OCI archive with these entries of index.json."""
        return (
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", json.dumps({"schemaVersion": 2, "manifests": entries}).encode()),
            *((f"blobs/sha256/{digest[7:]}", data) for digest, data in self.held.items()),
        )


def write_directory(path: pathlib.Path, members: tuple[Member, ...]) -> None:
    """Write members as files of a directory."""
    for name, what in members:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            target.symlink_to(what)
        elif isinstance(what, bytes):
            target.write_bytes(what)
