# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI layouts in directories of the controller, as the archives that hosts get: what the index leads to, and no more.

Source: OCI image specification, image-layout.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import archive_files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import tarball
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import INDEX
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import tar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.archive_files import (
        DirectoryFiles,
    )

LAYOUT = "oci-layout"
_KEPT = "stagecraft.pods.layout"
_LARGEST_DOCUMENT = 4 << 20
_MOST_BLOBS = 10_000
_DIGITS = 64


def is_layout(path: str) -> bool:
    """Whether a directory is an OCI layout."""
    return all(os.path.isfile(os.path.join(path, name)) for name in (INDEX, LAYOUT))


def packed(path: str, shown: str, kept: str) -> str:
    """The path of an archive with what a layout has, the same bytes for the same content.

    It is made once in a run. kept: the temporary directory of the run. Raises PodError, OSError.
    """
    files = archive_files.DirectoryFiles(path, shown)
    index = archive_files.read(files, INDEX, _LARGEST_DOCUMENT)
    identity = f"{os.path.realpath(path)}\0".encode() + index
    place = os.path.join(kept, f"{_KEPT}-{hashlib.sha256(identity).hexdigest()}.tar")
    with open(f"{place}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(place):
            with open(f"{place}.new", "wb") as aside:
                for chunk in _archive(files, index):
                    aside.write(chunk)
            os.replace(f"{place}.new", place)
    return place


def _archive(files: DirectoryFiles, index: bytes) -> Iterator[bytes]:
    yield tarball.file_of(LAYOUT, archive_files.read(files, LAYOUT, _LARGEST_DOCUMENT))
    yield tarball.file_of(INDEX, index)
    for name in sorted(_blobs(files, index)):
        with files.opened(name) as extent:
            size = extent.size
        yield tarball.headers_of(tar.TarEntry(name, tar.FILE, tarball.OPEN_FILE, size))
        yield from archive_files.chunks(files, name)
        yield bytes(-size % tar.BLOCK)
    yield tarball.END


def _blobs(files: DirectoryFiles, index: bytes) -> set[str]:
    """The files that the index leads to. Those that are not there are what the host complains of, if it needs them."""
    found: set[str] = set()
    waiting = [index]
    while waiting and len(found) < _MOST_BLOBS:
        document = _document(waiting.pop())
        manifests = _names(document.get("manifests"))
        blobs = [*manifests, *_names([document.get("config")]), *_names(document.get("layers"))]
        new = [name for name in dict.fromkeys(blobs) if name not in found and files.has(name)]
        found.update(new)
        waiting += [archive_files.read(files, name, _LARGEST_DOCUMENT) for name in new if name in manifests]
    return found


def _document(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _names(descriptors: object) -> list[str]:
    """The files of the blobs that descriptors name."""
    listed = descriptors if isinstance(descriptors, list) else []
    digests = [each.get("digest") for each in listed if isinstance(each, dict)]
    digits = [digest[len("sha256:") :] for digest in digests if isinstance(digest, str)]
    return [f"blobs/sha256/{each}" for each in digits if len(each) == _DIGITS and each.isalnum()]
