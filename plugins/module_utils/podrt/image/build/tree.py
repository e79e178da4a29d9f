# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image that is built, of all its parts: merged, complete and sorted."""

from __future__ import annotations

import os

from ...errors import InvalidSpec, NotFound
from ...store import tar
from .members import Member
from .walked import found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .recipe import Part, Recipe

    _Same = tuple[tuple[int, ...], int, int, int, int, tuple[tuple[str, bytes], ...]]

_DIRECTORY = 0o755


def members_of(recipe: Recipe) -> tuple[Member, ...]:
    """All files of an image, its root first, sorted by path. Of two with one path that of the later part is taken.

    Raises InvalidSpec for parts that do not fit together or name what no image has, NotFound, HostFailure.
    """
    merged = _Merged(recipe.mtime)
    sent: dict[int, list[Member]] = {}
    if any(part.packed for part in recipe.parts):
        from .packed import packed  # tarfile

        sent = packed(recipe)
    for number, part in enumerate(recipe.parts):
        members = sent.get(number, []) if part.packed else list(found(recipe, part, number))
        if not members:
            raise NotFound(f"{part.where}: {part.source} is not there", "check the path")
        merged.add(part, members)
    return merged.sorted()


class _Merged:
    """The files so far, by path. described: directories of which a task or a source says what they are."""

    def __init__(self, mtime: int) -> None:
        self._mtime = mtime
        self._held = {"": self._directory("")}

    def add(self, part: Part, members: Sequence[Member]) -> None:
        """Put the members of a part below its target. Raises InvalidSpec."""
        target = _target(part, members[0])
        for member in sorted(members, key=_order):
            path = "/".join(filter(None, (target, member.path)))
            self._make_parents(part, path)
            self._put(part, member.replace(path=path), is_top=not member.path)

    def sorted(self) -> tuple[Member, ...]:
        """All of them, names of one file as links to the first."""
        first: dict[_Same, str] = {}
        linked = []
        for member in sorted(self._held.values(), key=_order):
            if not member.same:
                linked.append(member)
                continue
            same = (member.same, member.mode, member.uid, member.gid, member.mtime, member.xattrs)
            if same in first:
                linked.append(member.replace(kind=tar.LINK, link=first[same], size=0, content=b"", xattrs=()))
            else:
                first[same] = member.path
                linked.append(member)
        return tuple(linked)

    def _put(self, part: Part, member: Member, *, is_top: bool) -> None:
        before = self._held.get(member.path)
        if before and (before.kind == tar.DIRECTORY) != (member.kind == tar.DIRECTORY):
            raise _does_not_fit(part, member.path)
        # A directory that is there is filled, and keeps its mode: that of a checkout may be 0700.
        if before and member.kind == tar.DIRECTORY and part.source and is_top:
            return
        self._held[member.path] = member

    def _make_parents(self, part: Part, path: str) -> None:
        if not path:
            return
        parent = path.rpartition("/")[0]
        held = self._held.get(parent)
        if held is None:
            self._make_parents(part, parent)
            self._held[parent] = self._directory(parent)
        elif held.kind != tar.DIRECTORY:
            raise _does_not_fit(part, parent)

    def _directory(self, path: str) -> Member:
        return Member(path, tar.DIRECTORY, _DIRECTORY, mtime=self._mtime)


def _target(part: Part, first: Member) -> str:
    """The path of a part in the image: a file is put into a directory under its own name."""
    if first.kind == tar.DIRECTORY or part.names_file or not part.source:
        if not part.target and first.kind != tar.DIRECTORY:
            raise InvalidSpec(
                "the root of an image is a directory", "write a path below it", where=part.where
            )
        return part.target
    name = os.path.basename(os.path.normpath(part.source))
    return "/".join(filter(None, (part.target, name)))


def _order(member: Member) -> bytes:
    return os.fsencode(member.path)


def _does_not_fit(part: Part, path: str) -> InvalidSpec:
    return InvalidSpec(
        f"/{path} is a directory in one part of the image, and none in another",
        "give them different paths, or leave one out with exclude",
        where=part.where,
    )
