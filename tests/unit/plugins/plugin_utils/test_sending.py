# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the controller tells of an image file, and which pieces of it are sent."""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import os
import pathlib
import tarfile
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import staging
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import sent
from ansible_collections.stagecraft.pods.plugins.plugin_utils import sending

Told = dict[str, Any]


def tar_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name.replace("_json", ".json"))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


ACI = tar_of(manifest=b'{"name": "example.com/app"}', rootfs=b"")


def outgoing(path: pathlib.Path, data: bytes | None = None) -> sending.Outgoing:
    if data is not None:
        path.write_bytes(data)
    kept = path.parent / "run"
    kept.mkdir(exist_ok=True)
    return sending.Outgoing(str(path), "files/it", str(kept))


@pytest.fixture(name="path")
def _path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "it"


def test_both_sides_mean_the_same_pieces() -> None:
    assert (sending.PIECE, sending.MISSING) == (staging.PIECE, sent.MISSING)


@pytest.mark.parametrize(
    ("data", "form", "name", "document"),
    [
        (ACI, "aci", "example.com/app", ""),
        (gzip.compress(ACI), "aci", "example.com/app", ""),
        (lzma.compress(ACI), "aci", "example.com/app", ""),
        (b"\x28\xb5\x2f\xfd of zstd", "aci", "", ""),
        (tar_of(rootfs=b"", manifest=b"no JSON"), "aci", "", ""),
        (tar_of(manifest_json=b"[]"), "docker-archive", "", "[]"),
        (tar_of(index_json=b"{}", manifest_json=b"[]"), "docker-archive", "", "[]"),
        (tar_of(index_json=b"{}"), "oci-archive", "", "{}"),
        (tar_of(index_json=b" " * (200 << 10)), "oci-archive", "", ""),
    ],
    ids=["plain", "gzip", "xz", "zstd", "odd", "docker", "docker 25", "oci", "long"],
)
def test_the_form_is_found_in_the_content(
    path: pathlib.Path, data: bytes, form: str, name: str, document: str
) -> None:
    told = outgoing(path, data).described({})
    assert (told["form"], told["name"], told["document"]) == (form, name, document)
    assert (told["size"], "pieces" in told) == (len(data), False)
    assert told["digest"] == staging.digest_of(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "src: files/it is empty"),
        (b"plain text" * 100, "src: files/it is not an image: "),
        (tar_of(other=b""), "src: files/it is not an image: it has no manifest"),
        (
            gzip.compress(tar_of(manifest_json=b"[]")),
            'src: files/it is not an image: it is compressed as a whole, and an ACI has no "manifest.json"',
        ),
    ],
    ids=["empty", "text", "tar", "compressed"],
)
def test_what_is_no_image_is_not_sent(path: pathlib.Path, data: bytes, message: str) -> None:
    with pytest.raises(sending.Unsendable) as caught:
        outgoing(path, data)
    assert str(caught.value).startswith(message)


def test_neither_is_a_directory_or_what_cannot_be_read(path: pathlib.Path) -> None:
    with pytest.raises(sending.Unsendable, match="src: cannot read files/it: No such file or directory"):
        outgoing(path)
    path.mkdir()
    with pytest.raises(sending.Unsendable, match="src: files/it is a directory"):
        outgoing(path)


def test_a_file_is_hashed_once_in_a_run(path: pathlib.Path) -> None:
    first = outgoing(path, ACI)
    info = path.stat()
    with path.open("r+b") as file:  # nothing that is compared shows it
        file.seek(len(ACI) - 1)
        file.write(b"M")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert outgoing(path).pieces == first.pieces
    os.utime(path)
    assert outgoing(path).pieces != first.pieces


def test_a_file_that_changes_while_it_is_sent_is_noticed(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = outgoing(path, ACI)
    path.write_bytes(ACI.replace(b"app", b"bpp"))
    with pytest.raises(sending.Unsendable, match="src: files/it has changed while it was sent"):
        file.write_piece(0, str(tmp_path / "piece"))


def test_a_signature_is_told_as_it_is(path: pathlib.Path) -> None:
    path.write_bytes(b"\x88\xff")
    told = sending.signature_of(str(path), "it.asc", given=True)
    assert base64.b64decode(told["signature"]) == b"\x88\xff"
    path.unlink()
    assert sending.signature_of(str(path), "it.asc", given=False)["signature"] == ""
    with pytest.raises(sending.Unsendable, match=r"signature: cannot read it.asc: No such file or directory"):
        sending.signature_of(str(path), "it.asc", given=True)
    with path.open("wb") as file:
        file.truncate(2 << 20)
    with pytest.raises(sending.Unsendable, match=r"signature: it.asc is larger than"):
        sending.signature_of(str(path), "it.asc", given=False)


class HostOfPieces:
    """A host that has some of the pieces of a file. batches: what it has got, in rounds."""

    def __init__(self, directory: pathlib.Path, *missing: int) -> None:
        self.directory, self.missing = directory, list(missing)
        self.batches: list[list[int]] = []

    def module(self, told: Told) -> Told:
        for piece in told.get("pieces", ()):
            data = (self.directory / piece["name"]).read_bytes()
            assert sending.hashlib.sha256(data).hexdigest() == piece["digest"]
            self.missing.remove(piece["number"])
        if told.get("pieces"):
            self.batches.append([piece["number"] for piece in told["pieces"]])
        return {sending.MISSING: list(self.missing)} if self.missing else {"changed": True}

    def put(self, pairs: Any) -> str:
        for local, name in pairs:
            (self.directory / name).write_bytes(pathlib.Path(local).read_bytes())
        return str(self.directory)


def test_only_missing_pieces_are_sent_a_few_at_a_time(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    head = tar_of(manifest=b'{"name": "example.com/app"}')
    path.write_bytes(head)
    os.truncate(path, 6 * sending.PIECE + 7)
    (tmp_path / "remote").mkdir()
    host = HostOfPieces(tmp_path / "remote", 0, 2, 3, 4, 6)
    file = outgoing(path)
    result = sending.send(file, file.described({}), host.module, host.put)
    assert result == {"changed": True, "sent_bytes": 4 * sending.PIECE + 7}
    assert host.batches == [[0, 2, 3, 4], [6]]
    assert len(list(host.directory.iterdir())) == 4  # their names are used again


def test_a_host_that_keeps_nothing_is_not_sent_to_for_ever(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = outgoing(path, ACI)
    host = HostOfPieces(tmp_path, 0)
    with pytest.raises(sending.Unsendable, match="src: the host has lost what has just been sent"):
        sending.send(file, file.described({}), lambda _told: {sending.MISSING: [0]}, host.put)


def test_a_failure_ends_the_transfer(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = outgoing(path, ACI)
    failed = {"failed": True, "msg": "no"}
    result = sending.send(file, file.described({}), lambda _told: dict(failed), HostOfPieces(tmp_path).put)
    assert result == {**failed, "sent_bytes": 0}
