# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes and mounts. Source: appc schema/types/volume.go and mountpoint.go, rkt --volume and --mount."""

from __future__ import annotations

import os
import re

from ..errors import InvalidSpec
from ..value import Value
from .fields import Fields
from .names import ACName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Volume = Union["HostVolume", "EmptyVolume"]


_MODE = r"[0-7]{3,4}"
# Source: limits.h, NAME_MAX and PATH_MAX, of which one is the NUL at the end.
_LONGEST_NAME, _LONGEST_PATH = 255, 4095


class HostVolume(Value):
    """A file, directory, device or socket of the host. None means: not said."""

    name: ACName
    source: str
    read_only: bool | None = None
    recursive: bool | None = None

    def check(self) -> None:
        """The source must be absolute."""
        if not os.path.isabs(self.source):
            raise InvalidSpec(
                f'the source "{self.source}" of volume "{self.name}" is not an absolute path',
                where=f"volumes[{self.name}].source",
            )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "kind": "host", "source": self.source}
        return _with_said(found, readOnly=self.read_only, recursive=self.recursive)


class EmptyVolume(Value):
    """A new directory that lives as long as its pod; mode in octal on disk, a number here."""

    name: ACName
    read_only: bool | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0

    def check(self) -> None:
        """Mode, uid and gid must be in range."""
        if not 0 <= self.mode <= 0o7777:
            raise InvalidSpec(f"mode {self.mode:o} is out of range", where=f"volumes[{self.name}].mode")
        for field in ("uid", "gid"):
            if not 0 <= getattr(self, field) < 2**32 - 1:
                raise InvalidSpec(
                    f"{field} {getattr(self, field)} is out of range", where=f"volumes[{self.name}].{field}"
                )

    def to_json(self) -> dict[str, object]:
        """The appc object, with every default written out."""
        found: dict[str, object] = {
            "name": str(self.name),
            "kind": "empty",
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
        }
        return _with_said(found, readOnly=self.read_only)


class MountPoint(Value):
    """Where an app expects a volume."""

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
    """A volume at a path of an app."""

    volume: ACName
    path: str

    @classmethod
    def from_json(cls, value: object, where: str) -> Mount:
        """Read an appc mount. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        path = fields.text("path")
        if not path:
            raise InvalidSpec("must not be empty", where=fields.where_of("path"))
        return cls(ACName(fields.text("volume"), fields.where_of("volume")), path)

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        return {"volume": str(self.volume), "path": self.path}


def app_path(path: str) -> str:
    """A path of an app in its one spelling: absolute, and without "//", "." and "..". Pure."""
    return os.path.normpath("/" + path.lstrip("/"))


def why_unmountable(path: str) -> str:
    """Why no volume can be at a path of an app, given in its one spelling; "" when one can. Pure.

    At /proc a mount could undo what is masked.
    """
    if path == "/":
        return "it is the app's root"
    if f"{path}/".startswith("/proc/"):
        return "/proc is the kernel's"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"a path has at most {_LONGEST_PATH} bytes"
    if any(len(os.fsencode(name)) > _LONGEST_NAME for name in path.split("/")):
        return f"a name in a path has at most {_LONGEST_NAME} bytes"
    return ""


def volume_from_json(value: object, where: str) -> Volume:
    """Read an appc volume. Raises InvalidSpec with the place."""
    fields = Fields(value, where)
    name, kind = ACName(fields.text("name"), fields.where_of("name")), fields.text("kind")
    if kind == "host":
        for alien in ("mode", "uid", "gid"):
            if fields.has(alien):
                raise InvalidSpec('only volumes of kind "empty" have it', where=fields.where_of(alien))
        source = fields.text("source")
        if not os.path.isabs(source):
            raise InvalidSpec(f'"{source}" is not an absolute path', where=fields.where_of("source"))
        return HostVolume(
            name, source, fields.optional_boolean("readOnly"), fields.optional_boolean("recursive")
        )
    if kind == "empty":
        if fields.has("source"):
            raise InvalidSpec('only volumes of kind "host" have it', where=fields.where_of("source"))
        mode = parse_mode(fields.text("mode", "0755"), fields.where_of("mode"))
        return EmptyVolume(
            name,
            fields.optional_boolean("readOnly"),
            mode,
            fields.integer("uid", 0),
            fields.integer("gid", 0),
        )
    raise InvalidSpec(f'unknown kind "{kind}"', "use host or empty", where=fields.where_of("kind"))


def parse_mode(text: str, where: str = "") -> int:
    """A mode of three or four octal digits, such as 0755. Raises InvalidSpec."""
    if not re.fullmatch(_MODE, text):
        raise InvalidSpec(f'"{text}" is not an octal mode', 'write it as "0755"', where=where)
    return int(text, 8)


def _with_said(found: dict[str, object], **maybe: bool | None) -> dict[str, object]:
    found.update({name: value for name, value in maybe.items() if value is not None})
    return found
