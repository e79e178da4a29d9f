# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a controller sends in pieces, kept until all of one is there and its image is in the store.

    cas/staging/DIGEST/content    the file, as far as it has come
    cas/staging/DIGEST/NUMBER     empty: this piece of it has come, is verified and synced

A transfer takes as long as it takes, over many processes that hold no lock, so it counts as abandoned by its age.
"""

from __future__ import annotations

import os
import time

from ..contexts import suppress
from ..errors import Corrupt, HostFailure
from ..host import files, reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

# What is lost of a transfer that breaks, at most a few times: also in plugin_utils/sending.py.
PIECE = 16 << 20
ABANDONED_SECONDS = 24 * 3600
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


def missing(paths: Paths, digest: str, cuts: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of the pieces that have not come yet. cuts: where each begins, and the end of the last one."""
    here = set(files.entries_if_any(paths.staging(digest)))
    return tuple(number for number, begin in enumerate(cuts[:-1]) if str(begin) not in here)


def take(paths: Paths, digest: str, number: int, begin: int, piece_digest: str, path: str) -> None:
    """Take over a piece from a file, which any user may have written. Raises Corrupt, HostFailure.

    begin: where it is in the whole file. digest: of that, piece_digest: of the piece, SHA-256 both.
    """
    import hashlib

    from .extract import hint_of

    try:
        data = reading.read_bytes(path, PIECE)
        if hashlib.sha256(data).hexdigest() != piece_digest:
            raise Corrupt(f"piece {number} of the file has arrived damaged", "run the task again", path=path)
        _put(paths, digest, begin, data)
    except OSError as err:
        raise HostFailure.of("cannot keep a piece of the file", err, hint_of(err)) from err


def _put(paths: Paths, digest: str, begin: int, data: bytes) -> None:
    if not os.path.lexists(paths.staging(digest)):
        sweep(paths)
        files.make_dirs(paths.staging(digest))
    fd = os.open(paths.staged_content(digest), os.O_WRONLY | os.O_CREAT | _FLAGS, files.PRIVATE_FILE)
    try:
        os.lseek(fd, begin, os.SEEK_SET)
        files.write_all(fd, data)
        files.sync(fd)
    finally:
        os.close(fd)
    # Another process may have put the image into the store, and removed all this.
    with suppress(FileNotFoundError):
        files.write_new(paths.staged_piece(digest, begin), b"")


def fill(paths: Paths, digest: str, size: int) -> None:
    """Have a file of which some pieces are not needed in its whole size; there it reads as zeros. Raises OSError."""
    if os.path.lexists(paths.staged_content(digest)):
        os.truncate(paths.staged_content(digest), size)


def keep(paths: Paths, digest: str) -> None:
    """Note that a file is used now, so that it does not count as abandoned."""
    with suppress(FileNotFoundError):
        os.utime(paths.staging(digest))


def digest_of(path: str) -> str:
    """The SHA-256 of a file. Raises OSError."""
    import hashlib

    from . import stream

    digest = hashlib.sha256()
    for chunk in stream.file_chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def remove(paths: Paths, digest: str) -> None:
    """Remove what has come of a file."""
    files.remove_tree(paths.staging(digest))


def abandoned(paths: Paths) -> list[str]:
    """The directories in which nothing has come for a day."""
    then = time.time() - ABANDONED_SECONDS
    places = (f"{paths.stagings}/{name}" for name in files.entries_if_any(paths.stagings))
    return [path for path in places if _changed(path) < then]


def sweep(paths: Paths) -> None:
    """Remove what is abandoned."""
    for path in abandoned(paths):
        files.remove_tree(path)


def _changed(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return time.time()  # removed meanwhile
