# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes, mounts, and tmpfs, which appc lacks. Source: appc schema/types/volume.go, mountpoint.go; rkt --volume."""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .alphabet import is_made_of
from .names import LONGEST_PATH, ACName
from .quantity import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Volume = Union["HostVolume", "EmptyVolume", "NamedVolume"]
    IdMap = tuple[tuple[int, int, int], ...]


MOST_TMPFS = 1 << 60  # beyond any host, and still a number that the kernel accepts
LEAST_TMPFS = 4096  # less leaves no room for a file
_TMPFS_SIZE, _TMPFS_MODE = 64 << 20, 0o1777
_LONGEST_NAME = 255  # source: limits.h, NAME_MAX
_DEFAULT_MODE = "0755"
_IDS = range(2**32 - 1)  # the last number means none to chown(2)
# The kinds in documents, and those that users may write.
KINDS = ("host", "empty")
ALL_KINDS = ("named", *KINDS)
_NO_MAP = "none"
_MOST_ROWS = 340  # source: user_namespaces(7)


class HostVolume(Value):
    """A file, directory, device or socket of the host. None: not set.

    map: for a pod with its own users: ID of the pod, ID in the volume, count; () for none. appc had no such member.
    """

    name: ACName
    source: str
    read_only: bool | None = None
    recursive: bool | None = None
    map: IdMap | None = None

    def check(self) -> None:
        """Check that the source is absolute."""
        if not self.source:
            raise InvalidSpec(
                "source for host volume cannot be empty", "name a path of the host", where="source"
            )
        if not os.path.isabs(self.source):
            raise InvalidSpec(
                "source for host volume must be absolute path", "begin it with /", where="source"
            )

    @classmethod
    def of(cls, fields: Fields) -> HostVolume:
        """Read an appc volume of this kind. Raises InvalidSpec with the place."""
        read_only, recursive = fields.optional_boolean("readOnly"), fields.optional_boolean("recursive")
        return fields.made(
            cls, _name_of(fields), fields.text("source", ""), read_only, recursive, _map_of(fields)
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "kind": "host", "source": self.source}
        return _with_given(found, readOnly=self.read_only, recursive=self.recursive, map=_texts_of(self.map))


class EmptyVolume(Value):
    """A new directory that lives as long as its pod; mode in octal on disk, a number here."""

    name: ACName
    read_only: bool | None = None
    mode: int = int(_DEFAULT_MODE, 8)
    uid: int = 0
    gid: int = 0

    def check(self) -> None:
        """Check that mode, uid and gid are in range."""
        if not 0 <= self.mode <= 0o7777:
            raise InvalidSpec(f"mode {self.mode:o} is out of range", where="mode")
        for field, number in (("uid", self.uid), ("gid", self.gid)):
            if number not in _IDS:
                raise InvalidSpec(f"{field} {number} is out of range", f"use 0 to {_IDS[-1]}", where=field)

    @classmethod
    def of(cls, fields: Fields) -> EmptyVolume:
        """Read an appc volume of this kind. Raises InvalidSpec with the place."""
        mode = parse_mode(fields.text("mode", _DEFAULT_MODE), fields.where_of("mode"))
        uid, gid = fields.integer("uid", 0), fields.integer("gid", 0)
        return fields.made(cls, _name_of(fields), fields.optional_boolean("readOnly"), mode, uid, gid)

    def to_json(self) -> dict[str, object]:
        """The appc object, with every default written out."""
        found: dict[str, object] = {
            "name": str(self.name),
            "kind": "empty",
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
        }
        return _with_given(found, readOnly=self.read_only)


class NamedVolume(Value):
    """A volume of a pod that refers to one made by pod_volume, whose name is volume.

    source: the directory that the host has for it, "" in a description. appc has no such kind: to it this is a volume
    of the host, with a member more.
    """

    name: ACName
    volume: ACName
    read_only: bool | None = None
    source: str = ""
    map: IdMap | None = None

    @property
    def recursive(self) -> bool:
        """What else is mounted beneath it is not of the volume."""
        return False

    @classmethod
    def of(cls, fields: Fields, source: str = "") -> NamedVolume:
        """Read one of a description, or with its source of a document. Raises InvalidSpec with the place."""
        volume = ACName(fields.text("volume", ""), fields.where_of("volume"))
        return cls(_name_of(fields), volume, fields.optional_boolean("readOnly"), source, _map_of(fields))

    def to_json(self) -> dict[str, object]:
        """The appc object of a host volume, and which volume it is."""
        held = HostVolume(self.name, self.source, self.read_only, self.recursive, self.map)
        return {**held.to_json(), "volume": str(self.volume)}


# Members that only volumes of some kinds have.
_BELONGS = {
    "source": ("host",),
    "recursive": ("host",),
    "volume": ("named",),
    "map": ("host", "named"),
    "mode": ("empty",),
    "uid": ("empty",),
    "gid": ("empty",),
}


def volume_of(fields: Fields) -> Volume:
    """Read a volume of a document. Raises InvalidSpec with the place."""
    kind = fields.text("kind", "")
    if kind == "host" and fields.has("volume"):
        return NamedVolume.of(fields, HostVolume.of(fields).source)
    return _of_kind(fields, kind, KINDS)


def any_volume_of(fields: Fields) -> Volume:
    """Read a volume as users write it, perhaps without its kind. Raises InvalidSpec with the place."""
    meant = "named" if fields.has("volume") else "host" if fields.has("source") else "empty"
    kind = fields.text("kind", meant)
    if kind != "named":
        return _of_kind(fields, kind, ALL_KINDS)
    _refuse_aliens(fields, kind)
    return NamedVolume.of(fields)


def _of_kind(fields: Fields, kind: str, known: tuple[str, ...]) -> Volume:
    """Read a volume of this kind. known: the kinds to name in the error, which has the words of rkt's --volume."""
    _name_of(fields)
    if kind not in KINDS:
        shown = ", ".join(f'"{each}"' for each in sorted(known))
        raise InvalidSpec(
            f"unrecognized volume type: should be one of {shown}",
            "name its kind",
            where=fields.where_of("kind"),
        )
    _refuse_aliens(fields, kind)
    return HostVolume.of(fields) if kind == "host" else EmptyVolume.of(fields)


def _name_of(fields: Fields) -> ACName:
    return ACName(fields.text("name"), fields.where_of("name"))


def _map_of(fields: Fields) -> IdMap | None:
    """The map of owners of a volume, None if it is not set. Raises InvalidSpec with the place."""
    if not fields.has("map"):
        return None
    texts, where = fields.strings("map"), fields.where_of("map")
    if texts == (_NO_MAP,):
        return ()
    rows = tuple(_map_row(text, f"{where}[{at}]") for at, text in enumerate(texts))
    if (
        not 0 < len(rows) <= _MOST_ROWS
        or _overlap([row[::2] for row in rows])
        or _overlap([row[1:] for row in rows])
    ):
        raise InvalidSpec("must be up to 340 ranges that do not overlap", where=where)
    return rows


def _map_row(text: str, where: str) -> tuple[int, int, int]:
    parts = text.split(":")
    if len(parts) == 2:
        parts.append("1")
    if len(parts) != 3 or not all(part.isdecimal() and part.isascii() and len(part) < 11 for part in parts):
        raise InvalidSpec(
            f'"{text}" is not in APP:VOLUME[:COUNT] format', 'write 0:1000, or "none" alone', where=where
        )
    inside, outside, count = map(int, parts)
    if not count or outside + count - 1 not in _IDS:
        raise InvalidSpec(f'"{text}" is out of range', f"use IDs from 0 to {_IDS[-1]}", where=where)
    return inside, outside, count


def _overlap(ranges: list[tuple[int, ...]]) -> bool:
    """Whether any of some ranges begins before the one below it ends. ranges: first and count."""
    ordered = sorted(ranges)
    return any(first + count > after for (first, count), (after, _count) in zip(ordered, ordered[1:]))


def _texts_of(rows: IdMap | None) -> list[str] | None:
    """The opposite of _map_of."""
    if rows is None:
        return None
    return [":".join(map(str, row)) for row in rows] or [_NO_MAP]


def _refuse_aliens(fields: Fields, kind: str) -> None:
    for member, owners in _BELONGS.items():
        if kind not in owners and fields.has(member):
            shown = " and ".join(f'"{owner}"' for owner in owners)
            raise InvalidSpec(
                f"{member} for {kind} volume must be empty",
                f"only volumes of kind {shown} have it",
                where=fields.where_of(member),
            )


class MountPoint(Value):
    """A path for which an image asks for a volume."""

    name: ACName
    path: str
    read_only: bool = False

    @classmethod
    def from_json(cls, value: object, where: str) -> MountPoint:
        """Read an appc mount point. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        path = fields.text("path")
        if not path:
            raise InvalidSpec("must not be empty", where=fields.where_of("path"))
        return cls(
            ACName(fields.text("name"), fields.where_of("name")), path, fields.boolean("readOnly", False)
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        return {"name": str(self.name), "path": self.path, "readOnly": self.read_only}


class Mount(Value):
    """A volume at a path of an app. read_only: of this mount, whatever the volume's; appc had no such member."""

    volume: ACName
    path: str
    read_only: bool = False

    def check(self) -> None:
        """Check that there is a path."""
        if not self.path:
            raise InvalidSpec("path must be set", "name a path of the app", where="path")

    @classmethod
    def of(cls, fields: Fields) -> Mount:
        """Read an appc mount. Raises InvalidSpec with the place."""
        where = fields.where_of("volume")
        volume = fields.text("volume", "")
        if not volume:
            raise InvalidSpec("there is no volume", "name a volume of the pod", where=where)
        return fields.made(
            cls, ACName(volume, where), fields.text("path", ""), fields.boolean("readOnly", False)
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        return {
            "volume": str(self.volume),
            "path": self.path,
            **({"readOnly": True} if self.read_only else {}),
        }


class Tmpfs(Value):
    """An empty file system in memory at a path of an app. size: bytes at most. mode: of its root, which is root's."""

    path: str
    size: int = _TMPFS_SIZE
    mode: int = _TMPFS_MODE

    def check(self) -> None:
        """Raise InvalidSpec for a relative path, and for a size that the kernel does not take."""
        if not self.path.startswith("/"):
            raise InvalidSpec(f'"{self.path}" is not an absolute path', "begin it with /", where="path")
        if not LEAST_TMPFS <= self.size <= MOST_TMPFS:
            hint = "write it as 16M"
            raise InvalidSpec(f"a size of {self.size} bytes is out of range", hint, where="size")

    @classmethod
    def of(cls, fields: Fields) -> Tmpfs:
        """Read the form of users and of documents. Raises InvalidSpec with the place."""
        size, mode = fields.optional_text("size"), fields.optional_text("mode")
        return fields.made(
            cls,
            fields.text("path", ""),
            parse_size(size, fields.where_of("size")) if size is not None else _TMPFS_SIZE,
            parse_mode(mode, fields.where_of("mode")) if mode is not None else _TMPFS_MODE,
        )

    def to_json(self) -> dict[str, object]:
        """The element of a document, with every default written out."""
        return {"path": self.path, "size": str(self.size), "mode": f"{self.mode:04o}"}


def app_path(path: str) -> str:
    """A path of an app in its one spelling: absolute, and without "//", "." and "..". Pure."""
    return os.path.normpath("/" + path.lstrip("/"))


def why_unmountable(path: str) -> str:
    """The reason why no volume can be mounted at a path of an app, in its one spelling; "" if one can. Pure.

    Below /proc a mount could undo the masks.
    """
    if path == "/":
        return "it is the app's root"
    if f"{path}/".startswith("/proc/"):
        return "/proc is the kernel's"
    if len(os.fsencode(path)) > LONGEST_PATH:
        return f"a path has at most {LONGEST_PATH} bytes"
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in path.split("/")):
        return f"a name in a path has at most {_LONGEST_NAME} bytes"
    return ""


def parse_mode(text: str, where: str = "") -> int:
    """A mode of three or four octal digits, such as 0755. Raises InvalidSpec."""
    if len(text) not in (3, 4) or not is_made_of(text, "01234567"):
        raise InvalidSpec(f'"{text}" is not an octal mode', 'write it as "0755"', where=where)
    return int(text, 8)


def _with_given(found: dict[str, object], **maybe: bool | list[str] | None) -> dict[str, object]:
    found.update({name: value for name, value in maybe.items() if value is not None})
    return found
