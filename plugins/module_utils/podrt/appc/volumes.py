# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes, mounts, and tmpfs, which appc lacks. Source: appc schema/types/volume.go, mountpoint.go; rkt --volume."""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .alphabet import is_made_of
from .names import LONGEST_PATH, ACName, ImageHash
from .quantity import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Volume = Union["HostVolume", "EmptyVolume", "NamedVolume", "ImageVolume"]
    IdMap = tuple[tuple[int, int, int], ...]


MOST_TMPFS = 1 << 60  # beyond any host, and still a number that the kernel accepts
LEAST_TMPFS = 4096  # less leaves no room for a file
_TMPFS_SIZE, _TMPFS_MODE = 64 << 20, 0o1777
_LONGEST_NAME = 255  # source: limits.h, NAME_MAX
_DEFAULT_MODE = "0755"
_IDS = range(2**32 - 1)  # the last number means none to chown(2)
# The kinds of appc, and all.
KINDS = ("host", "empty")
ALL_KINDS = ("named", "image", *KINDS)
# Whether what the host mounts later below the source of a volume appears in it.
RSLAVE = "rslave"
PROPAGATIONS = ("private", RSLAVE)
_NO_MAP = "none"
_MOST_ROWS = 340  # source: user_namespaces(7)


class HostVolume(Value):
    """A file, directory, device or socket of the host. None: not set.

    map: for a pod with its own users: ID of the pod, ID in the volume, count; () for none. propagation: one of
    PROPAGATIONS, "" for what the volume allows. appc had no such members.
    """

    name: ACName
    source: str
    read_only: bool | None = None
    recursive: bool | None = None
    map: IdMap | None = None
    propagation: str = ""

    def check(self) -> None:
        """Check that the source is absolute, and that later mounts of the host can appear if they are to."""
        if self.propagation not in ("", *PROPAGATIONS):
            raise InvalidSpec(
                f'"{self.propagation}" is not a propagation of volumes: what an app mounts never appears on the host',
                "use private or rslave",
                where="propagation",
            )
        if self.propagation == RSLAVE and (self.read_only or self.recursive is False):
            raise InvalidSpec(
                "rslave needs a writable, recursive volume: what the host mounts later would be writable in it",
                "take propagation out, or read_only and recursive",
                where="propagation",
            )
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
        source, propagation = fields.text("source", ""), fields.text("propagation", "")
        return fields.made(cls, _name_of(fields), source, read_only, recursive, _map_of(fields), propagation)

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "kind": "host", "source": self.source}
        return _with_given(
            found,
            readOnly=self.read_only,
            recursive=self.recursive,
            map=_texts_of(self.map),
            propagation=self.propagation or None,
        )


class EmptyVolume(Value):
    """A new directory that lives as long as its pod; mode in octal on disk, a number here.

    owner, group: in place of uid and gid, names of the image of the first app that mounts it. appc had no such members.
    """

    name: ACName
    read_only: bool | None = None
    mode: int = int(_DEFAULT_MODE, 8)
    uid: int = 0
    gid: int = 0
    owner: str = ""
    group: str = ""

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
        owner, group = fields.text("owner", ""), fields.text("group", "")
        for name, number, two in ((owner, uid, ("owner", "uid")), (group, gid, ("group", "gid"))):
            if name and number:
                said = f"{two[0]} and {two[1]} exclude each other"
                raise InvalidSpec(said, "take one of them out", where=fields.where_of(two[0]))
        read_only = fields.optional_boolean("readOnly")
        return fields.made(cls, _name_of(fields), read_only, mode, uid, gid, owner, group)

    def to_json(self) -> dict[str, object]:
        """The appc object, with every default written out."""
        found: dict[str, object] = {
            "name": str(self.name),
            "kind": "empty",
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
        }
        return _with_given(found, readOnly=self.read_only, owner=self.owner or None, group=self.group or None)


class NamedVolume(Value):
    """A volume of a pod that refers to one made by pod_volume, whose name is volume.

    source: the directory that the host has for it, "" in a description. copy: whether its first mount fills it with the
    image's files. owner, group: of its directory from then on, names of the image. appc has no such kind: to it this is
    a volume of the host, with more members.
    """

    name: ACName
    volume: ACName
    read_only: bool | None = None
    source: str = ""
    map: IdMap | None = None
    copy: bool = True
    owner: str = ""
    group: str = ""

    @property
    def recursive(self) -> bool:
        """What else is mounted beneath it is not of the volume."""
        return False

    @classmethod
    def of(cls, fields: Fields, source: str = "") -> NamedVolume:
        """Read one of a description, or with its source of a document. Raises InvalidSpec with the place."""
        volume = ACName(fields.text("volume", ""), fields.where_of("volume"))
        return cls(
            _name_of(fields),
            volume,
            fields.optional_boolean("readOnly"),
            source,
            _map_of(fields),
            fields.boolean("copy", True),
            fields.text("owner", ""),
            fields.text("group", ""),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object of a host volume, and which volume it is."""
        held = HostVolume(self.name, self.source, self.read_only, self.recursive, self.map)
        found = {**held.to_json(), "volume": str(self.volume)}
        return _with_given(
            found,
            copy=None if self.copy else False,
            owner=self.owner or None,
            group=self.group or None,
        )


class ImageVolume(Value):
    """The root of an image, read-only and without devices and set-user-ID programs. appc has no such kind.

    image: what it was asked for by. id: of the image, "" in a description.
    """

    name: ACName
    image: str
    id: str = ""

    @property
    def read_only(self) -> bool:
        """It always is."""
        return True

    def check(self) -> None:
        """Check that there is an image."""
        if not self.image:
            raise InvalidSpec("there is no image", "name one, such as docker://...", where="image")

    @classmethod
    def of(cls, fields: Fields) -> ImageVolume:
        """Read one of a description or a document. Raises InvalidSpec with the place."""
        image, found = fields.text("image", ""), fields.text("id", "")
        if found:
            ImageHash(found, fields.where_of("id"))
        if fields.optional_boolean("readOnly") is False:
            raise InvalidSpec(
                "a volume of an image is read-only", "take it out", where=fields.where_of("readOnly")
            )
        return fields.made(cls, _name_of(fields), image, found)

    def to_json(self) -> dict[str, object]:
        """The object of a document."""
        return {"name": str(self.name), "kind": "image", "image": self.image, "id": self.id}


# Members that only volumes of some kinds have.
_BELONGS = {
    "source": ("host",),
    "recursive": ("host",),
    "volume": ("named",),
    "map": ("host", "named"),
    "mode": ("empty",),
    "uid": ("empty",),
    "gid": ("empty",),
    "owner": ("named", "empty"),
    "group": ("named", "empty"),
    "copy": ("named",),
    "propagation": ("host",),
    "image": ("image",),
}


def volume_of(fields: Fields) -> Volume:
    """Read a volume of a document. Raises InvalidSpec with the place."""
    kind = fields.text("kind", "")
    if kind == "host" and fields.has("volume"):
        return NamedVolume.of(fields, HostVolume.of(fields).source)
    if kind == "image":
        return ImageVolume.of(fields)
    return _of_kind(fields, kind, KINDS)


def any_volume_of(fields: Fields) -> Volume:
    """Read a volume as users write it, perhaps without its kind. Raises InvalidSpec with the place."""
    kind = fields.text("kind", _meant(fields))
    if kind not in ("named", "image"):
        return _of_kind(fields, kind, ALL_KINDS)
    _refuse_aliens(fields, kind)
    return NamedVolume.of(fields) if kind == "named" else ImageVolume.of(fields)


def _meant(fields: Fields) -> str:
    """The kind of a volume that does not say it."""
    telling = (("volume", "named"), ("source", "host"), ("image", "image"))
    return next((kind for member, kind in telling if fields.has(member)), "empty")


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
    """A path for which an image asks for a volume. recursive: where the volume does not say it; rkt's documentation has
    this member.
    """

    name: ACName
    path: str
    read_only: bool = False
    recursive: bool | None = None

    @classmethod
    def from_json(cls, value: object, where: str) -> MountPoint:
        """Read an appc mount point. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        path = fields.text("path")
        if not path:
            raise InvalidSpec("must not be empty", where=fields.where_of("path"))
        return cls(
            ACName(fields.text("name"), fields.where_of("name")),
            path,
            fields.boolean("readOnly", False),
            fields.optional_boolean("recursive"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "path": self.path, "readOnly": self.read_only}
        return _with_given(found, recursive=self.recursive)


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


def _with_given(found: dict[str, object], **maybe: bool | str | list[str] | None) -> dict[str, object]:
    found.update({name: value for name, value in maybe.items() if value is not None})
    return found
