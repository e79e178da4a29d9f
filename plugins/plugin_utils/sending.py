# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files of the controller: what they are, and how a host gets the pieces that it lacks.

A file is hashed once per run of Ansible, whatever the number of hosts.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import posixpath
import stat
import tarfile
import tempfile
import zlib

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.archives import opened
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import (
    SAVED_FORMS,
    SavedImage,
)
from ansible_collections.stagecraft.pods.plugins.plugin_utils import layouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Options = dict[str, Any]

# Also in podrt/store/staging.py and podrt/tasks/sent.py.
PIECE = 16 << 20
MISSING = "src_missing"
# What is sent before the host takes it over, in pieces and in bytes: what is in Ansible's temporary directory there.
BATCH, _MOST_AT_ONCE = 32, 4 * PIECE
# A layer of this size is in pieces of its own, so that a host that has it gets none of them.
WORTH = 1 << 20
_CHUNK = 1 << 20
_KEPT = "stagecraft.pods.src"
_LARGEST_SIGNATURE = 1 << 20
_LARGEST_DOCUMENT = 4 << 20
# A longer list of images is left to the host, which reads it once the file has come.
_LARGEST_SHOWN = 128 << 10
# An ACI has its manifest at its beginning; only to find it a compressed one is not read to its end.
_FIRST = 16
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class Unsendable(Exception):
    """A file that cannot be sent, with a sentence for people."""


class Outgoing:
    """A file of the controller, or an OCI layout. path: where it is. shown: as the task calls it."""

    def __init__(self, path: str, shown: str, kept: str) -> None:
        """Read and hash it, unless another task of the run has. kept: the temporary directory of the run.

        Raises Unsendable.
        """
        self._path, self._shown = path, shown
        try:
            info = os.stat(path)
            if stat.S_ISDIR(info.st_mode) and layouts.is_layout(path):
                self._path = path = layouts.packed(path, shown, kept)
                info = os.stat(path)
            if not stat.S_ISREG(info.st_mode):
                kind = "a directory, and no OCI layout" if stat.S_ISDIR(info.st_mode) else "no regular file"
                raise Unsendable(f"src: {shown} is {kind} (name an ACI, or an archive of a saved image)")
            if not info.st_size:
                raise Unsendable(f"src: {shown} is empty (name an ACI, or an archive of a saved image)")
            self._told = _kept_description(path, shown, info, kept)
        except PodError as err:
            raise Unsendable(f"src: {err.message}") from err
        except OSError as err:
            raise Unsendable(f"src: cannot read {shown}: {err.strerror or err}") from err

    def described(self, signature: Options) -> Options:
        """The option src_file: what a host is told before anything is sent. signature: see signature_of."""
        return {name: value for name, value in self._told.items() if name != "pieces"} | signature

    @property
    def pieces(self) -> list[str]:
        """The digests of the pieces."""
        found: list[str] = self._told["pieces"]
        return found

    def batch(self, missing: Sequence[int]) -> list[int]:
        """The first of some pieces, as many as are sent at once."""
        found: list[int] = []
        cuts, size = self._told["cuts"], 0
        for number in missing[:BATCH]:
            size += cuts[number + 1] - cuts[number]
            if found and size > _MOST_AT_ONCE:
                break
            found.append(number)
        return found

    def write_piece(self, number: int, path: str) -> int:
        """Write a piece to a file of its own; return its size. Raises Unsendable if the file has changed."""
        try:
            with open(self._path, "rb") as file:
                begin, end = self._told["cuts"][number : number + 2]
                file.seek(begin)
                data = file.read(end - begin)
        except OSError as err:
            raise Unsendable(f"src: cannot read {self._shown}: {err.strerror or err}") from err
        if hashlib.sha256(data).hexdigest() != self.pieces[number]:
            raise Unsendable(
                f"src: {self._shown} has changed while it was sent (run the task again once it is complete)"
            )
        with open(path, "wb") as piece:
            piece.write(data)
        return len(data)


def signature_of(path: str, shown: str, *, given: bool) -> Options:
    """The members of src_file about a detached signature. given: the task names it, so it must be there.

    Raises Unsendable.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_SIGNATURE + 1)
    except OSError as err:
        if given or not isinstance(err, FileNotFoundError):
            raise Unsendable(f"signature: cannot read {shown}: {err.strerror or err}") from err
        data = b""
    if len(data) > _LARGEST_SIGNATURE:
        raise Unsendable(f"signature: {shown} is larger than {_LARGEST_SIGNATURE} bytes, and no signature")
    return {"signature": base64.b64encode(data).decode(), "signature_path": shown}


def send(
    file: Outgoing,
    told: Options,
    module: Callable[[Options], Options],
    put: Callable[[Sequence[tuple[str, str]]], str],
) -> Options:
    """Run the module, and send what it asks for, until it asks for nothing more. Returns its last result.

    told: see Outgoing.described. module: called with src_file. put: called with pairs of a local path and a name, it
    sends the files to a directory of the host and returns that; names are used again, each for one file at a time.
    """
    sent = 0
    result = module(told)
    missing = _asked(result)
    while missing:
        batch = file.batch(missing)
        with tempfile.TemporaryDirectory() as directory:
            pieces = [
                {"name": f"piece{slot}", "number": number, "digest": file.pieces[number]}
                for slot, number in enumerate(batch)
            ]
            pairs = [(os.path.join(directory, str(piece["name"])), str(piece["name"])) for piece in pieces]
            sent += sum(file.write_piece(number, path) for number, (path, _name) in zip(batch, pairs))
            place = put(pairs)
        result = module({**told, "directory": place, "pieces": pieces})
        missing = _asked(result)
        if set(batch) & set(missing):
            raise Unsendable("src: the host has lost what has just been sent (is another task removing it?)")
    return {**result, "sent_bytes": sent}


def _asked(result: Options) -> list[int]:
    found: list[int] = result.pop(MISSING, None) or []
    return found


def _kept_description(path: str, shown: str, info: os.stat_result, kept: str) -> Options:
    """What _description says, computed by one of the processes of a run."""
    identity = json.dumps([os.path.realpath(path), info.st_ino, info.st_size, info.st_mtime_ns])
    place = os.path.join(kept, f"{_KEPT}-{hashlib.sha256(identity.encode()).hexdigest()}")
    with open(f"{place}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError), open(place, encoding="utf-8") as known:
            found: Options = json.load(known)
            return found
        made = _description(path, shown, info.st_size)
        with open(f"{place}.new", "w", encoding="utf-8") as aside:
            json.dump(made, aside)
        os.replace(f"{place}.new", place)
        return made


def _description(path: str, shown: str, size: int) -> Options:
    form, name, document = _examined(path, shown)
    layers = _layers(path, form)
    cuts = _cuts(size, [(begin, end) for _layer, begin, end in layers])
    whole, pieces = hashlib.sha256(), []
    with open(path, "rb") as file:
        for begin, end in zip(cuts, cuts[1:]):
            own = hashlib.sha256()
            for chunk in _chunks(file, end - begin):
                whole.update(chunk)
                own.update(chunk)
            pieces.append(own.hexdigest())
        if file.tell() != size or file.read(1):
            raise Unsendable(
                f"src: {shown} has changed while it was read (run the task again once it is complete)"
            )
    return {
        "digest": whole.hexdigest(),
        "size": size,
        "pieces": pieces,
        "cuts": cuts,
        "layers": [{"id": layer, "begin": begin, "end": end} for layer, begin, end in layers],
        "form": form,
        "name": name,
        "document": document,
    }


def _layers(path: str, form: str) -> list[tuple[str, int, int]]:
    """Where the layers of a saved image are in its file: those that are worth the question whether a host has them."""
    if form not in SAVED_FORMS:
        return []
    try:
        with opened(SavedImage(form, path)) as archive:
            return [place for place in archive.places() if place[2] - place[1] >= WORTH]
    except PodError:
        return []  # which the host tells


def _cuts(size: int, layers: Sequence[tuple[int, int]]) -> list[int]:
    """Where the pieces of a file begin, and its end: none is larger than PIECE, and layers share none with others."""
    edges = sorted({0, size, *(edge for layer in layers for edge in layer)})
    return [*(at for begin, end in zip(edges, edges[1:]) for at in range(begin, end, PIECE)), size]


def _chunks(file: Any, left: int) -> Iterator[bytes]:
    while left and (chunk := file.read(min(left, _CHUNK))):
        left -= len(chunk)
        yield chunk


def _examined(path: str, shown: str) -> tuple[str, str, str]:
    """The form of an image, the name of an ACI, the list of images of another. Raises Unsendable, OSError."""
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(_COMPRESSED):
        return "aci", _name_in_compressed(path, shown), ""
    try:
        with tarfile.open(path, "r:") as archive:
            # As in TarFiles of podrt/image/archive_files.py, where the last of a name counts.
            found = {posixpath.normpath(member.name): member for member in archive if not member.isdir()}
            if "manifest.json" in found:
                return "docker-archive", "", _text(archive, found["manifest.json"])
            if "index.json" in found:
                return "oci-archive", "", _text(archive, found["index.json"])
            if "manifest" in found:
                return "aci", _name_in(_text(archive, found["manifest"], _LARGEST_DOCUMENT)), ""
    except _UNREADABLE as err:
        raise Unsendable(_no_image(shown, str(err))) from err
    raise Unsendable(_no_image(shown, "it has no manifest"))


def _name_in_compressed(path: str, shown: str) -> str:
    """The name in the manifest of a compressed ACI, "" where it is not found soon, or this Python cannot read it."""
    with contextlib.suppress(*_UNREADABLE), tarfile.open(path, "r|*") as archive:
        for _number, member in zip(range(_FIRST), archive):
            name = posixpath.normpath(member.name)
            if name == "manifest":
                return _name_in(_text(archive, member, _LARGEST_DOCUMENT))
            if name.partition("/")[0] not in ("rootfs", "."):
                raise Unsendable(_no_image(shown, f'it is compressed as a whole, and an ACI has no "{name}"'))
    return ""


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int = _LARGEST_SHOWN) -> str:
    """The text of a file in an archive, "" for one that is too long or no text."""
    file = archive.extractfile(member) if member.size <= limit else None
    with contextlib.suppress(UnicodeDecodeError, KeyError):
        return file.read().decode() if file else ""
    return ""


def _name_in(manifest: str) -> str:
    with contextlib.suppress(ValueError):
        document = json.loads(manifest)
        name = document.get("name") if isinstance(document, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def _no_image(shown: str, reason: str) -> str:
    return (
        f"src: {shown} is not an image: {reason} (name an ACI, or an archive as docker save, podman save and skopeo "
        "copy write it, not compressed by another program)"
    )
