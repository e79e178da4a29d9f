# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI layouts made by hand, so that a test decides every byte of a layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

OCI = "application/vnd.oci.image"


def layer(*members: tuple[str, object]) -> bytes:
    """A tar of (name, what): bytes are a file, None a directory, text a symbolic link, a dictionary fields."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = 1_500_000_000, 0o755
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


class Layout:
    """An OCI layout in a directory, with one image or an index of several."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        """Add a blob; return its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def image(
        self, *layers: bytes, arch: str = "amd64", variant: str = "", pack: str = "gzip", **config: object
    ) -> dict[str, object]:
        """Add an image; return the descriptor of its manifest."""
        packed = [self._pack(data, pack) for data in layers]
        diff_ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers]
        document: dict[str, object] = {
            "architecture": arch,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        platform = {"architecture": arch, "os": "linux"}
        if variant:
            document["variant"] = platform["variant"] = variant
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.blob(json.dumps(document).encode(), f"{OCI}.config.v1+json"),
            "layers": packed,
        }
        found = self.blob(json.dumps(manifest).encode(), f"{OCI}.manifest.v1+json")
        return {**found, "platform": platform}

    def index(self, *images: dict[str, object]) -> dict[str, object]:
        """Add an index of images; return its descriptor."""
        data = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(images)}
        return self.blob(json.dumps(data).encode(), f"{OCI}.index.v1+json")

    def write_index(self, top: dict[str, object]) -> None:
        """Make an image or an index the only one of the layout, named "it"."""
        named = {**top, "annotations": {"org.opencontainers.image.ref.name": "it"}}
        named.pop("platform", None)
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))

    def push(self, top: dict[str, object], target: str) -> None:
        """Push an image or an index to HOST:PORT/NAME:TAG, byte for byte."""
        self.write_index(top)
        subprocess.run(
            [
                *("skopeo", "copy", "-q", "--all", "--preserve-digests", "--dest-tls-verify=false"),
                *(f"oci:{self.path}:it", f"docker://{target}"),
            ],
            check=True,
        )

    def _pack(self, data: bytes, pack: str) -> dict[str, object]:
        if pack == "zstd":
            packed = subprocess.run(["zstd", "-cq"], input=data, stdout=subprocess.PIPE, check=True).stdout
        else:
            packed = gzip.compress(data, mtime=0) if pack == "gzip" else data
        suffix = f"+{pack}" if pack else ""
        return self.blob(packed, f"{OCI}.layer.v1.tar{suffix}")
