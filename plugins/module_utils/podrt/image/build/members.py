# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image that is built: what each is, and where its content comes from."""

from __future__ import annotations

import os

from ...errors import Conflict, HostFailure
from ...host import reading
from ...store import tar
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Union

    from .recipe import Part, Recipe

    Content = Union["HostFile", "PackedFile", bytes]

CAPABILITY = "security.capability"
_USERS = "user."
_CHUNK = 256 * 1024


class HostFile(Value):
    """The content of a file of this host. top: what was named, beneath which no link is followed.

    stamp: see stamp_of. Another one is another content.
    """

    top: str
    path: str
    stamp: tuple[int, ...]


class PackedFile(Value):
    """The content of a file in the archive of the controller's files."""

    archive: str
    begin: int


class Member(Value):
    """One file of an image. path: from its root on, "" for that. kind: one of store.tar. mtime: in seconds.

    link: of a symbolic link where it leads, of a hard link the path of the first name. same: equal for names of one
    file, () for a file with one name.
    """

    path: str
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    content: Content = b""
    same: tuple[int, ...] = ()


def owned(recipe: Recipe, part: Part, member: Member, *, described: bool = False) -> Member:
    """A file as it is found, with the owner, the mode and the time that it is to have.

    described: whether the task describes it, so that there are no others to keep.
    """
    wanted = part.mode if member.kind == tar.FILE or described else part.directory_mode
    if member.kind == tar.SYMLINK:
        wanted = None
    keeps = () if described else recipe.keeps
    kept_uid, kept_gid = (member.uid, member.gid) if "owner" in keeps else (0, 0)
    return member.replace(
        mode=member.mode if wanted is None else wanted,
        uid=kept_uid if part.uid is None else part.uid,
        gid=kept_gid if part.gid is None else part.gid,
        mtime=max(0, member.mtime) if "mtime" in keeps else recipe.mtime,
        xattrs=tuple(pair for pair in member.xattrs if is_kept(recipe, pair[0])),
    )


def is_kept(recipe: Recipe, attribute: str) -> bool:
    """Whether a file keeps an extended attribute: its capabilities, which are a part of what a program is."""
    return attribute == CAPABILITY or ("xattrs" in recipe.keeps and attribute.startswith(_USERS))


def stamp_of(info: os.stat_result) -> tuple[int, ...]:
    """Device, inode, size and times of change."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def content_of(member: Member) -> Iterator[bytes]:
    """The content of a file. Raises Conflict if it is not the one that was found, HostFailure."""
    content = member.content
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, PackedFile):
        yield from _pieces(content.archive, content.begin, member.size, lambda _fd: True)
    else:
        stamp, beneath = content.stamp, "" if content.top == content.path else content.top
        yield from _pieces(
            content.path, 0, member.size, lambda fd: stamp_of(os.fstat(fd)) == stamp, beneath=beneath
        )


def _pieces(
    path: str, begin: int, size: int, is_same: Callable[[int], bool], *, beneath: str = ""
) -> Iterator[bytes]:
    try:
        fd = reading.open_regular(path, beneath=beneath)
        try:
            at, end = begin, begin + size
            while at < end and is_same(fd):
                chunk = os.pread(fd, min(_CHUNK, end - at), at)
                if not chunk:
                    break
                at += len(chunk)
                yield chunk
            if at == end and is_same(fd):
                return
        finally:
            os.close(fd)
    except FileNotFoundError:
        pass
    except OSError as err:
        raise HostFailure.of(f"cannot read {path}", err) from err
    raise has_changed(path)


def has_changed(what: str) -> Conflict:
    """The error for files that do not hold still."""
    return Conflict(
        f"{what} has changed while the image was built", "wait until it is complete, and try again"
    )
