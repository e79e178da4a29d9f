# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners of volumes by name, as the image of the first app that mounts the volume has them. Source: behaviours C15."""

from __future__ import annotations

from ...errors import NotFound
from ...host.identity import group_id, user_id
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .roots import MountedRoot


class Named(Value):
    """An owner and a group as texts, each a name, a number, or a path with that owner; "" for none.

    where: the place of the volume in the description.
    """

    owner: str = ""
    group: str = ""
    where: str = ""

    def found_in(self, root: MountedRoot) -> tuple[int | None, int | None]:
        """Their IDs in the app, None for one that is not given. Raises NotFound, HostFailure."""
        return (
            self._found("owner", self.owner, lambda text: user_id(root, text)),
            self._found("group", self.group, lambda text: group_id(root, text)),
        )

    def _found(self, option: str, text: str, look_up: Callable[[str], int]) -> int | None:
        if not text:
            return None
        try:
            return look_up(text)
        except NotFound as err:
            raise NotFound(err.message, err.hint, where=f"{self.where}.{option}") from err
