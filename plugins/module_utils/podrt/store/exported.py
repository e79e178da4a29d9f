# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in files outside the store: which image a file holds, and files that hold one.

An exported file has a record in an extended attribute: the image, the file's size and its time of change. As long as
these are right nothing is read. Without a right record the content decides.
"""

from __future__ import annotations

import os
import stat

from ..contexts import contextmanager, suppress
from ..errors import Corrupt, HostFailure, InvalidSpec
from ..host import files, reading
from . import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths
    from .index import StoredImage

FILE_MODE = 0o600
_RECORD = "user.stagecraft.pods.image"
_BLOCK, _CHUNK = 512, 1 << 20


def check_place(path: str) -> None:
    """Raise InvalidSpec for a path that no file of an image may take: only a file or a link is replaced."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as err:
        raise HostFailure.of(f"cannot look at {path}", err) from err
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise InvalidSpec(f"{path} is {kind}", "name a file", where="dest")


def held(path: str) -> str | None:
    """What a file is said to hold: the ID of an image by its record, "" without one, None for no file."""
    if not os.path.lexists(path):
        return None
    with _opened(path) as fd:
        return "" if fd is None else _recorded(fd)


def holds(paths: Paths, image: StoredImage, path: str) -> bool:
    """Whether a file holds an image as write would write it. Raises Corrupt, NotFound, HostFailure."""
    with _opened(path) as fd:
        if fd is None:
            return False
        said = _recorded(fd)
        return said == image.id if said else _has_content(paths, image, fd)


def write(paths: Paths, image: StoredImage, path: str) -> None:
    """Put an image into a file, in one step. One that is replaced hands on its owner and mode.

    Raises Corrupt, NotFound, HostFailure, InvalidSpec.
    """
    check_place(path)
    try:
        with _opened(path) as old:
            status = None if old is None else os.fstat(old)
        with files.replacing(path, stat.S_IMODE(status.st_mode) if status else FILE_MODE) as fd:
            export.write_archive(paths, image, fd)
            if status:
                os.fchown(fd, status.st_uid, status.st_gid)
            _record(fd, image)
    except OSError as err:
        raise HostFailure.of(f"cannot write image {image.id} to {path}", err) from err


def _record(fd: int, image: StoredImage) -> None:
    found = os.fstat(fd)
    with suppress(OSError):  # of a file system without user attributes the content is read
        os.setxattr(fd, _RECORD, f"{image.id} {found.st_size} {found.st_mtime_ns}".encode())


def _recorded(fd: int) -> str:
    """The image of a record that is right, else ""."""
    found = os.fstat(fd)
    try:
        image_id, _space, rest = os.getxattr(fd, _RECORD).decode("ascii", "replace").partition(" ")
    except OSError:
        return ""
    return image_id if rest == f"{found.st_size} {found.st_mtime_ns}" else ""


@contextmanager
def _opened(path: str) -> Iterator[int | None]:
    """A file, None for anything else in its place: a link is not followed, since it is what would be replaced."""
    fd = None
    with suppress(FileNotFoundError, NotADirectoryError, Corrupt):
        fd = reading.open_regular(path)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _has_content(paths: Paths, image: StoredImage, fd: int) -> bool:
    if image.layers == (image.id,):
        return _id_of(fd) == image.id
    document = export.manifest_of(image)
    if os.pread(fd, len(document), _BLOCK) != document:
        return False
    return _is_as_exported(paths, image, fd)


def _id_of(fd: int) -> str:
    from ..appc.names import ImageID
    from ..host.digests import sha512

    digest, at = sha512(), 0
    while True:
        chunk = os.pread(fd, _CHUNK, at)
        if not chunk:
            return ImageID.of_digest(digest.hexdigest())
        digest.update(chunk)
        at += len(chunk)


def _is_as_exported(paths: Paths, image: StoredImage, fd: int) -> bool:
    """Compare a file with what an export writes."""
    from .workspace import Workspace  # only for a file without a record

    try:
        with Workspace(paths) as workspace:
            made = os.open(workspace.blob, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                export.write_archive(paths, image, made)
            finally:
                os.close(made)
            with _opened(workspace.blob) as again:
                return again is not None and _are_same(again, fd)
    except OSError as err:
        raise HostFailure.of(f"cannot compare a file with image {image.id}", err) from err


def _are_same(one: int, other: int) -> bool:
    if os.fstat(one).st_size != os.fstat(other).st_size:
        return False
    at = 0
    while True:
        chunk = os.pread(one, _CHUNK, at)
        if os.pread(other, _CHUNK, at) != chunk:
            return False
        if not chunk:
            return True
        at += len(chunk)
