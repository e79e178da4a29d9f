# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who an app is: user and group texts to numbers, looked up inside the app's root. Source: behaviours C15, C16."""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..value import Value
from . import roots

_PASSWD_FIELDS = 7
_GROUP_FIELDS = 4
# The one above it means "no change" to the kernel. Source: setresuid(2).
_LARGEST = (1 << 32) - 2


class Identity(Value):
    """The numbers that an app runs as, and exactly its supplementary groups. Raises InvalidSpec."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def check(self) -> None:
        """Each is the number of somebody."""
        for what, number in (
            ("user", self.uid),
            ("group", self.gid),
            *(("group", gid) for gid in self.groups),
        ):
            if not 0 <= number <= _LARGEST:
                raise InvalidSpec(f"{what} {number} is out of range", f"use 0 to {_LARGEST}", where=what)


def identity_of(root: int, user: str, group: str, groups: tuple[int, ...], *, docker: bool) -> Identity:
    """Who user and group are in the app's root. docker: the image was converted from a docker one. Raises PodError."""
    uid = user_id(root, user)
    try:
        gid = group_id(root, group)
    except PodError:
        # What docker calls a user without a group: behaviours C15.
        if not (docker and user == group):
            raise
        gid = uid
    return Identity(uid, gid, groups)


def user_id(root: int, text: str) -> int:
    """The uid that a text means: root, a number, a path whose owner it is, or a name. Raises NotFound, HostFailure."""
    if text.startswith("/"):
        return _owner(root, text)[0]
    return _number(root, text, "/etc/passwd", _PASSWD_FIELDS, "user")


def group_id(root: int, text: str) -> int:
    """The gid that a text means. Raises NotFound, HostFailure."""
    if text.startswith("/"):
        return _owner(root, text)[1]
    return _number(root, text, "/etc/group", _GROUP_FIELDS, "group")


def _owner(root: int, path: str) -> tuple[int, int]:
    try:
        found = roots.owner(root, path)
    except OSError as err:
        raise HostFailure.of(f"cannot find the owner of {path} in the image", err) from err
    return found.st_uid, found.st_gid


def _number(root: int, text: str, table: str, fields: int, what: str) -> int:
    if text == "root":
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        lines = roots.read(root, table).decode(errors="surrogateescape").splitlines()
    except OSError as err:
        raise HostFailure.of(f'cannot look up {what} "{text}" in {table} of the image', err) from err
    for line in lines:
        entry = line.split(":")
        if len(entry) == fields and entry[0] == text and entry[2].isascii() and entry[2].isdigit():
            return int(entry[2])
    raise NotFound(
        f'"{text}" {what} not found', f"the image's {table} does not have it; give a number instead"
    )
