# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a saved image, in a tar archive or a directory, by name: nothing is unpacked, and no link leads out.

Of a tar archive the headers are read, by seeking; threads may read contents at the same time.
Source: measured on archives of docker, podman and skopeo; pread(2).
"""

from __future__ import annotations

import contextlib
import os
import posixpath

from ..errors import Corrupt, HostFailure, NotFound, Unsupported
from ..host import reading
from ..store import stream, tar
from ..store.extract import clean
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class ArchiveFiles(Protocol):
        """The files of a saved image. what: the image, for errors."""

        what: str

        def has(self, name: str) -> bool:
            """Whether there is a file, or a link, of this name."""

        def opened(self, name: str) -> contextlib.AbstractContextManager[Extent]:
            """The place of the content of a file. Raises NotFound, Corrupt, HostFailure."""

        def close(self) -> None:
            """Give back what is open."""


# What an entry of an archive may have before its content: its header and extended ones.
_MOST_HEADER_BLOCKS = tar.MAX_HEADER_DATA // tar.BLOCK + 16
_MOST_MEMBERS = 100_000
_MOST_LINKS = 8


class Extent(Value):
    """A part of an open file."""

    fd: int
    begin: int
    size: int


def read(files: ArchiveFiles, name: str, limit: int) -> bytes:
    """The content of a file of at most limit bytes. Raises NotFound, Corrupt, HostFailure."""
    with files.opened(name) as extent:
        if extent.size > limit:
            raise Corrupt(f"{name} of {files.what} has {extent.size} bytes, more than the {limit} allowed")
        return b"".join(_chunks(files, extent))


def chunks(files: ArchiveFiles, name: str, pulse: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The content of a file, piece by piece. pulse: called for each. Raises NotFound, Corrupt, HostFailure."""
    with files.opened(name) as extent:
        for chunk in _chunks(files, extent):
            pulse()
            yield chunk


def size_of(files: ArchiveFiles, name: str) -> int:
    """The size of a file. Raises NotFound, Corrupt, HostFailure."""
    with files.opened(name) as extent:
        return extent.size


def head_of(files: ArchiveFiles, name: str) -> bytes:
    """The first block of a file. Raises NotFound, Corrupt, HostFailure."""
    with files.opened(name) as extent:
        return b"".join(_chunks(files, extent.replace(size=min(extent.size, tar.BLOCK))))


def _chunks(files: ArchiveFiles, extent: Extent) -> Iterator[bytes]:
    at, end = extent.begin, extent.begin + extent.size
    while at < end:
        with _reading(files.what):
            chunk = os.pread(extent.fd, min(stream.BLOCK, end - at), at)
        if not chunk:
            raise Corrupt(f"{files.what} is truncated", "save the image again")
        at += len(chunk)
        yield chunk


class DirectoryFiles:
    """The files of a directory. A link at the path of the directory counts, but not one beneath."""

    def __init__(self, path: str, what: str) -> None:
        """Raise NotFound unless it is there."""
        self.what = what
        self._path = os.path.realpath(path)
        if not os.path.isdir(self._path):
            raise NotFound(f"cannot open {what}: there is no such directory", "check the path")

    def has(self, name: str) -> bool:
        """Whether there is a file, or a link, of this name."""
        return os.path.lexists(f"{self._path}/{name}")

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """The place of the content of a file. Raises NotFound, Corrupt, HostFailure."""
        try:
            with _reading(self.what):
                fd = reading.open_regular(f"{self._path}/{name}", beneath=self._path)
        except FileNotFoundError as err:
            raise _lacks(self.what, name) from err
        try:
            yield Extent(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Do nothing: each file is open only while it is read."""


class TarFiles:
    """The files of a tar archive. Of a link the content counts that it leads to, if that is in the archive."""

    def __init__(self, path: str, what: str) -> None:
        """Read all headers. Raises NotFound, Corrupt, Unsupported, HostFailure."""
        self.what = what
        self._path = path
        try:
            with _reading(what):
                self._fd = reading.open_regular(os.path.realpath(path))
        except FileNotFoundError as err:
            raise NotFound(f"cannot open {what}: no such file", "check the path") from err
        self._members: dict[str, tuple[tar.TarEntry, int]] = {}
        self._twice: set[str] = set()
        try:
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the archive."""
        os.close(self._fd)

    def has(self, name: str) -> bool:
        """Whether there is a file, or a link, of this name."""
        return name in self._members

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """The place of the content of a file. Raises NotFound, Corrupt."""
        entry, begin = self._followed(name)
        yield Extent(self._fd, begin, entry.size)

    def _followed(self, name: str) -> tuple[tar.TarEntry, int]:
        """The file of a name, and the place of its content."""
        at = clean(name)
        for _link in range(_MOST_LINKS):
            if at in self._twice:
                raise Corrupt(f'{self.what} has several files named "{at}"', "save the image again")
            if at not in self._members:
                raise _lacks(self.what, name if at == name else f"{name} (a link to {at})")
            entry, begin = self._members[at]
            if entry.kind == tar.FILE:
                return entry, begin
            if entry.kind not in (tar.SYMLINK, tar.LINK):
                raise Corrupt(f'"{at}" of {self.what} is not a file')
            at = _target(at, entry, self.what)
        raise Corrupt(f'the link "{name}" of {self.what} leads to too many others')

    def _read_headers(self) -> None:
        size = os.fstat(self._fd).st_size
        self._check_kind()
        at = 0
        while True:
            blocks = _Blocks(self._fd, at)
            reader = tar.TarReader(blocks)
            try:
                with _reading(self.what):
                    entry = next(iter(reader), None)
            except Corrupt as err:
                raise Corrupt(f"cannot read {self.what}: {err.message}", err.hint) from err
            if entry is None:
                break
            begin = blocks.at
            self._add(entry, begin)
            at = begin + entry.size + -entry.size % tar.BLOCK
            if begin + entry.size > size:
                raise Corrupt(f"{self.what} is truncated", "save the image again")
        if not reader.marked:
            raise Corrupt(f"{self.what} is truncated", "save the image again")

    def _check_kind(self) -> None:
        """Raise Unsupported for a compressed archive, in which one cannot seek, Corrupt for something else."""
        with _reading(self.what):
            head = os.pread(self._fd, tar.BLOCK, 0)
        kind = stream.compression(head)
        if kind:
            raise Unsupported(
                f"cannot read {self.what}: the archive as a whole is compressed ({kind})",
                "decompress it first, or save the image without another program",
            )
        if len(head) < tar.BLOCK or (any(head) and not tar.is_header(head)):
            raise Corrupt(f"cannot read {self.what}: it is not a tar archive", "check the path")

    def _add(self, entry: tar.TarEntry, begin: int) -> None:
        name = clean(entry.name)
        if name in self._members and entry.kind != tar.DIRECTORY:
            self._twice.add(name)
        self._members[name] = (entry, begin)
        if len(self._members) > _MOST_MEMBERS:
            raise Corrupt(f"{self.what} has more than {_MOST_MEMBERS} files")


class _Blocks:
    """The blocks of a file from a place on, one by one, up to the bound of a header. at: the next place."""

    def __init__(self, fd: int, at: int) -> None:
        self._fd = fd
        self._end = at + _MOST_HEADER_BLOCKS * tar.BLOCK
        self.at = at

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> bytes:
        block = os.pread(self._fd, tar.BLOCK, self.at) if self.at < self._end else b""
        if not block:
            raise StopIteration
        self.at += len(block)
        return block


def _target(name: str, entry: tar.TarEntry, what: str) -> str:
    """The name that a link leads to. Raises Corrupt for one that is outside."""
    if entry.kind == tar.LINK:
        return clean(entry.link)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link))
    if target.startswith(("/", "../")) or target == "..":
        raise Corrupt(
            f'the link "{name}" of {what} leads out of it, to "{entry.link}"', "save the image again"
        )
    return target


def _lacks(what: str, name: str) -> NotFound:
    return NotFound(f"{what} lacks the file {name}", "save the image again")


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raise HostFailure for an error of the kernel, except that there is no such file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as err:
        raise HostFailure.of(f"cannot read {what}", err) from err
