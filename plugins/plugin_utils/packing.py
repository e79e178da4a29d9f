# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller that go into an image, as one tar archive that is sent to the host.

The names in it begin with the number of the element of the option `files`; podrt/image/build/packed.py reads them.
What is encrypted with Ansible Vault is decrypted, as by ansible.builtin.copy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import hint_for_errno, reason_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.patterns import exclusion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    # number, path, patterns of what is left out
    Source = tuple[int, str, Sequence[str]]
    Decrypted = Callable[[str], AbstractContextManager[str]]

_XATTR = "SCHILY.xattr."
_CAPABILITY = "security.capability"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LED_AWAY = (errno.ENOTDIR, errno.ELOOP)


class CannotPack(Exception):
    """A file of the controller that cannot be put into an image. number: of its element."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def pack(sources: Sequence[Source], target: str, decrypted: Decrypted) -> None:
    """Write the archive. decrypted: a context with the path of a file in clear text. Raises CannotPack, OSError."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for number, path, patterns in sources:
            _Packing(archive, number, os.path.realpath(path), decrypted).add_all(exclusion(patterns))


def why_unpacked(err: OSError, directory: str) -> str:
    """The message for an error of pack. directory: of the archive; the kernel tells a failed write without a path."""
    if err.filename:
        return f"files: cannot read {err.filename}: {reason_of(err)}"
    hint = hint_for_errno(err)
    return f"files: cannot pack them in {directory} of the controller: {reason_of(err)}" + (
        hint and f" ({hint})"
    )


class _Packing:
    """One source on its way into the archive."""

    def __init__(self, archive: tarfile.TarFile, number: int, top: str, decrypted: Decrypted) -> None:
        self._archive = archive
        self._number = number
        self._top = top
        self._decrypted = decrypted
        self._names: dict[tuple[int, int], str] = {}

    def add_all(self, is_excluded: Callable[[str], bool]) -> None:
        """Add what is there, directories before what is in them, in the order of their names."""
        try:
            self._add_each(is_excluded)
        except OSError as err:
            if err.errno in _LED_AWAY:
                raise self._changed(self._top) from err
            raise

    def _add_each(self, is_excluded: Callable[[str], bool]) -> None:
        waiting = [""]
        while waiting:
            path = waiting.pop()
            with self._parent_of(path) as (parent, name):
                info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                self._add(path, info, parent, name)
                if stat.S_ISDIR(info.st_mode):
                    below = [f"{path}/{each}" if path else each for each in _names_in(parent, name)]
                    waiting += sorted((each for each in below if not is_excluded(each)), reverse=True)

    @contextlib.contextmanager
    def _parent_of(self, path: str) -> Iterator[tuple[int | None, str]]:
        """The directory of a path, and the name in it. No link below the source is followed, also of those put there
        while it is read. Raises CannotPack, OSError.
        """
        if not path:
            yield None, self._top
            return
        *parts, name = path.split("/")
        with contextlib.ExitStack() as stack:
            fd: int | None = None
            for part in (self._top, *parts):
                fd = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=fd)
                stack.callback(os.close, fd)
            yield fd, name

    def _add(self, path: str, info: os.stat_result, parent: int | None, name: str) -> None:
        place = f"{self._top}/{path}" if path else self._top
        entry = tarfile.TarInfo(f"{self._number}/{path}" if path else str(self._number))
        entry.mode, entry.uid, entry.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
        entry.mtime = int(info.st_mtime)
        if stat.S_ISREG(info.st_mode):
            self._add_file(entry, place, info, parent, name)
        elif stat.S_ISDIR(info.st_mode):
            entry.type = tarfile.DIRTYPE
            entry.pax_headers = _attributes(place)
            self._archive.addfile(entry)
        elif stat.S_ISLNK(info.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
            self._archive.addfile(entry)
        else:
            raise CannotPack(
                self._number, f"{place} is no file, directory or link (leave it out with exclude)"
            )

    def _add_file(
        self, entry: tarfile.TarInfo, place: str, info: os.stat_result, parent: int | None, name: str
    ) -> None:
        known = (info.st_dev, info.st_ino)
        if known in self._names:
            entry.type, entry.linkname = tarfile.LNKTYPE, self._names[known]
            self._archive.addfile(entry)
            return
        if info.st_nlink > 1:
            self._names[known] = entry.name
        entry.pax_headers = _attributes(place)
        with self._decrypted(place) as clear:
            fd = os.open(name, _OPEN, dir_fd=parent) if clear == place else os.open(clear, _OPEN)
            with open(fd, "rb") as file:
                read = os.fstat(fd)
                entry.size = read.st_size
                self._archive.addfile(entry, file)
                if clear == place and not _stamp(read) == _stamp(os.fstat(fd)) == _stamp(info):
                    raise self._changed(place)

    def _changed(self, place: str) -> CannotPack:
        return CannotPack(self._number, f"{place} has changed while it was read (try again)")


def _names_in(parent: int | None, name: str) -> list[str]:
    fd = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=parent)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _stamp(info: os.stat_result) -> tuple[int, ...]:
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _attributes(place: str) -> dict[str, str]:
    """The extended attributes that an image may keep."""
    found = {}
    with contextlib.suppress(OSError):
        for name in sorted(os.listxattr(place, follow_symlinks=False)):
            if name == _CAPABILITY or name.startswith("user."):
                value = os.getxattr(place, name, follow_symlinks=False)
                found[_XATTR + name] = value.decode("utf-8", "surrogateescape")
    return found
