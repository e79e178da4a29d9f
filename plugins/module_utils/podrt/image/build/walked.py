# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a part as they are on this host. Below what is named no link is followed.

Symbolic links stay what they are. Files with several names within one part are hard links in the image, too. Devices,
sockets and named pipes are refused, since they mean something on one machine only.
"""

from __future__ import annotations

import errno
import os
import stat

from ...errors import Corrupt, HostFailure, InvalidSpec
from ...host.reading import looked_at
from ...store import tar
from .members import HostFile, Member, has_changed, is_kept, owned, stamp_of
from .patterns import exclusion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recipe import Part, Recipe

_FILE, _DIRECTORY, _LINK = 0o644, 0o755, 0o777
_KINDS = {
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
}
_NO_ATTRIBUTES = (errno.ENODATA, errno.ENOTSUP, errno.EPERM)


def found(recipe: Recipe, part: Part, number: int) -> Iterator[Member]:
    """The members of a part, with paths from its target on, "" for the target itself; nothing for what is not there.

    number: that of the part. Raises InvalidSpec for what no image has, Conflict, HostFailure.
    """
    if part.source:
        try:
            top = os.path.realpath(part.source)  # a link that is named itself is followed
            if os.path.lexists(top):
                yield from _walked(recipe, part, number, top)
        except (FileNotFoundError, NotADirectoryError, Corrupt) as err:
            raise has_changed(part.source) from err
        except OSError as err:
            raise HostFailure.of(f"{part.where}: cannot read {part.source}", err) from err
        return
    if part.text is not None:
        member = Member("", tar.FILE, _FILE, size=len(part.text), content=part.text)
    elif part.link:
        member = Member("", tar.SYMLINK, _LINK, link=part.link)
    else:
        member = Member("", tar.DIRECTORY, _DIRECTORY if part.directory_mode is None else part.directory_mode)
    yield owned(recipe, part, member, described=True)


def _walked(recipe: Recipe, part: Part, number: int, top: str) -> Iterator[Member]:
    is_excluded = exclusion(part.exclude)
    waiting = [""]
    while waiting:
        path = waiting.pop()
        place = f"{top}/{path}" if path else top
        with looked_at(place, beneath=top if path else "") as fd:
            member = _member(recipe, part, number, top, path, fd)
            names = os.listdir(f"/proc/self/fd/{fd}") if member.kind == tar.DIRECTORY else []
        yield owned(recipe, part, member)
        below = (f"{path}/{name}" if path else name for name in names)
        waiting += [each for each in below if not is_excluded(each)]


def _member(recipe: Recipe, part: Part, number: int, top: str, path: str, fd: int) -> Member:
    """A file as it is. fd: of it, see looked_at."""
    place, info = f"{top}/{path}" if path else top, os.fstat(fd)
    kind = stat.S_IFMT(info.st_mode)
    member = Member(path, tar.FILE, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, int(info.st_mtime))
    if kind == stat.S_IFLNK:
        return member.replace(kind=tar.SYMLINK, mode=_LINK, link=os.readlink("", dir_fd=fd))
    if kind == stat.S_IFDIR:
        return member.replace(kind=tar.DIRECTORY, xattrs=_attributes(recipe, fd))
    if kind != stat.S_IFREG:
        raise refused(part, place, _KINDS.get(kind, "no file"))
    return member.replace(
        size=info.st_size,
        xattrs=_attributes(recipe, fd),
        content=HostFile(top, place, stamp_of(info)),
        same=(number, info.st_dev, info.st_ino) if info.st_nlink > 1 else (),
    )


def refused(part: Part, path: str, kind: str) -> InvalidSpec:
    """The error for a file that means something on one machine only."""
    return InvalidSpec(
        f"{path} is {kind}, which is not put into an image",
        "leave it out with exclude; every pod gets devices of its own",
        where=part.where,
    )


def _attributes(recipe: Recipe, fd: int) -> tuple[tuple[str, bytes], ...]:
    place = f"/proc/self/fd/{fd}"  # by which a descriptor that opens nothing has them
    try:
        names = sorted(os.listxattr(place))
        return tuple((name, os.getxattr(place, name)) for name in names if is_kept(recipe, name))
    except OSError as err:
        if err.errno in _NO_ATTRIBUTES:
            return ()
        raise
