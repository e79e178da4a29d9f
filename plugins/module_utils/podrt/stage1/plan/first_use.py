# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first mount of a named volume, which fills it with the image's content at its path if it is empty. Once, as in
podman; docker fills a volume again that was emptied.

A mark beside the directory that apps mount says that it was mounted. The content is copied aside, and moved in once it
is complete: whatever a crash leaves, the next mount goes on with it. Other pods may have the volume mounted meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from ...contexts import suppress
from ...errors import printable
from ...fields import Fields, parse_json
from ...host import syscalls
from ...host.files import remove_tree
from ...host.reading import read_bytes
from ...value import Value
from ..telling import warn
from .disk_owners import DiskOwners
from .owners import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.volumes import NamedVolume
    from ...pod.idmaps import IdMap
    from .filling import Filling

# Beside the directory of the data.
_MOUNTED, _COPYING, _COPIED, _DOCUMENT = "mounted", "copying", "copied", "volume.json"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE, _MARK = 0o700, 0o600
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR)


class FirstUse(Value):
    """The first mount of a named volume in a pod's app.

    path: the app's path whose content fills it, "" to leave it empty. map: of the mount, see idmaps. named: the owner
    that the pod asks for, looked up in the app's root.
    """

    volume: NamedVolume
    path: str = ""
    map: IdMap = ()
    named: Named = Named()

    def __str__(self) -> str:
        return f"first use of {self.volume.source} {self.path}".rstrip()

    def make(self, filling: Filling) -> None:
        """Fill it, unless it was mounted before. Raises OSError, Corrupt, NotFound."""
        place = os.path.dirname(self.volume.source)
        if os.path.exists(f"{place}/{_MOUNTED}"):
            return
        if os.path.islink(self.volume.source):
            warn(_not_filled(self.volume, filling, "a link is in place of its directory"))
            return
        fd = os.open(place, _DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not os.path.exists(f"{place}/{_MOUNTED}"):
                self._begin(place, fd, filling)
        finally:
            os.close(fd)

    def _begin(self, place: str, lock: int, filling: Filling) -> None:
        data = os.open(self.volume.source, _DIRECTORY)
        try:
            owners = DiskOwners(self.map, filling.first)
            self._fill(place, lock, data, owners, filling)
            self._own(data, owners, filling)
            syscalls.syncfs(data)
        finally:
            os.close(data)
        mark = os.open(f"{place}/{_MOUNTED}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MARK)
        try:
            os.fchown(mark, 0, 0)
            os.fsync(mark)
        finally:
            os.close(mark)
        os.fsync(lock)

    def _fill(self, place: str, lock: int, data: int, owners: DiskOwners, filling: Filling) -> None:
        copying, copied = f"{place}/{_COPYING}", f"{place}/{_COPIED}"
        if not os.path.isdir(copied):
            remove_tree(copying)
            if not self.path or os.listdir(data):
                return
            os.mkdir(copying, _PRIVATE)
            if not filling.fill(self.path, copying, owners):
                os.rmdir(copying)
                return
            syscalls.syncfs(lock)
            os.rename(copying, copied)
        try:
            _move_in(copied, data)
            _take_attributes(place, os.stat(copied), data)
        except OSError as err:
            if err.errno != errno.EXDEV:
                raise
            warn(_not_filled(self.volume, filling, "it is on a file system of its own"))
        remove_tree(copied)

    def _own(self, data: int, owners: DiskOwners, filling: Filling) -> None:
        """Give the directory the owner that the pod asks for."""
        uid, gid = (
            None if number is None else owners.on_disk(filling.first + number)
            for number in self.named.found_in(filling.seen)
        )
        os.fchown(data, -1 if uid is None else uid, -1 if gid is None else gid)


def _not_filled(volume: NamedVolume, filling: Filling, why: str) -> str:
    return f"the volume {printable(volume.volume)} is not filled from the image of app {filling.app}: {why}"


def _move_in(copied: str, data: int) -> None:
    """Move the entries of a directory into another one, which may have got some of these names meanwhile."""
    source = os.open(copied, _DIRECTORY)
    try:
        for name in os.listdir(source):
            try:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=data)
            except OSError as err:
                if err.errno not in _TAKEN:
                    raise
    finally:
        os.close(source)


def _take_attributes(place: str, found: os.stat_result, data: int) -> None:
    """Give the data's directory the mode and owner of the image's, except what was asked for of the volume."""
    uid, gid, mode = _asked(place)
    os.fchown(data, found.st_uid if uid is None else -1, found.st_gid if gid is None else -1)
    if mode is None:
        os.fchmod(data, stat.S_IMODE(found.st_mode))


def _asked(place: str) -> tuple[int | None, int | None, int | None]:
    """The uid, gid and mode in the document of a volume."""
    path = f"{place}/{_DOCUMENT}"
    with suppress(FileNotFoundError):
        fields = Fields(parse_json(read_bytes(path, beneath=place), path), _DOCUMENT)
        return tuple(fields.optional_integer(name) for name in ("uid", "gid", "mode"))  # type: ignore[return-value]
    return None, None, None
