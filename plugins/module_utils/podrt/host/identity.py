# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of an app: user and group texts to numbers, looked up in the app's root. Source: behaviours C15, C16."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..value import Value
from .reading import decimal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .execution import AppRoot

_PASSWD_FIELDS = 7
_GROUP_FIELDS = 4
MOST_GROUPS = 65536  # NGROUPS_MAX; see getgroups(2)
# The number above it means "no change" to the kernel. Source: setresuid(2).
_LARGEST = (1 << 32) - 2


class Identity(Value):
    """The uid and gid of an app, and exactly its supplementary groups. Raises InvalidSpec."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def check(self) -> None:
        """Raise InvalidSpec unless each number is in range, and the kernel accepts that many groups."""
        if len(self.groups) > MOST_GROUPS:
            raise InvalidSpec(
                f"{len(self.groups)} supplementary groups are too many",
                f"use at most {MOST_GROUPS}",
                where="group",
            )
        self._check_numbers(_LARGEST, f"use 0 to {_LARGEST}")

    def check_within(self, count: int) -> None:
        """Raise InvalidSpec unless each number is one of a pod with so many users of its own."""
        self._check_numbers(count - 1, f"a pod with private users has those from 0 to {count - 1}")

    def _check_numbers(self, largest: int, hint: str) -> None:
        numbers = (("user", self.uid), ("group", self.gid), *(("group", gid) for gid in self.groups))
        for what, number in numbers:
            if not 0 <= number <= largest:
                raise InvalidSpec(f"{what} {number} is out of range", hint, where=what)


def identity_of(root: AppRoot, user: str, group: str, gids: tuple[int, ...], *, docker: bool) -> Identity:
    """The identity of a user and a group. docker: if both are the same text, the user's number can be the group's.

    Raises InvalidSpec, NotFound, HostFailure; facts["what"] is user or group.
    """
    with _tagged("user"):
        uid = user_id(root, user)
    try:
        with _tagged("group"):
            gid = group_id(root, group)
    except PodError:
        # Source: behaviours C15.
        if not (docker and user == group):
            raise
        gid = uid
    return Identity(uid, gid, gids)


def user_id(root: AppRoot, text: str) -> int:
    """The uid of a text: root, a number, a path with that owner, or a name. Raises NotFound, HostFailure."""
    if text.startswith("/"):
        return _owner(root, text)[0]
    return _number(root, text, "/etc/passwd", _PASSWD_FIELDS, "user")


def group_id(root: AppRoot, text: str) -> int:
    """The gid of a text, see user_id. Raises NotFound, HostFailure."""
    if text.startswith("/"):
        return _owner(root, text)[1]
    return _number(root, text, "/etc/group", _GROUP_FIELDS, "group")


@contextmanager
def _tagged(what: str) -> Iterator[None]:
    try:
        yield
    except PodError as err:
        err.facts["what"] = what
        raise


def _owner(root: AppRoot, path: str) -> tuple[int, int]:
    try:
        return root.owner(path)
    except OSError as err:
        raise HostFailure.of(f"cannot find the owner of {path} in the image", err) from err


def _number(root: AppRoot, text: str, table: str, fields: int, what: str) -> int:
    if text == "root":
        return 0
    number = decimal(text)
    if number is not None:
        return number
    try:
        lines = root.read(table).decode(errors="surrogateescape").splitlines()
    except OSError as err:
        raise HostFailure.of(f'cannot look up {what} "{text}" in {table} of the image', err) from err
    for line in lines:
        entry = line.split(":")
        if len(entry) == fields and entry[0] == text:
            number = decimal(entry[2])
            if number is not None:
                return number
    raise NotFound(
        f'"{text}" {what} not found',
        f"the image's {table} does not have it; give a number instead",
        field=what,
    )
