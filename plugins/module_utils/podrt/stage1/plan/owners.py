# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners of volumes by name, as the image of the first app that mounts the volume has them. Source: behaviours C15."""

from __future__ import annotations

from ...errors import InvalidSpec, NotFound
from ...host.identity import Identity, group_id, user_id
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...host.execution import AppRoot
    from .roots import MountedRoot


class Named(Value):
    """An owner and a group as texts, each a name, a number, or a path with that owner; "" for none.

    where: the place of the volume in the description. count: how many users of its own the pod has, 0 for those of the
    host.
    """

    owner: str = ""
    group: str = ""
    where: str = ""
    count: int = 0

    def found_in(self, root: MountedRoot) -> tuple[int | None, int | None]:
        """Their IDs in the app, None for one that is not given. The image says them, so they may be any number.

        Raises NotFound, InvalidSpec, HostFailure.
        """
        return (
            self._found(root, "owner", self.owner, user_id),
            self._found(root, "group", self.group, group_id),
        )

    def _found(
        self, root: MountedRoot, option: str, text: str, look_up: Callable[[AppRoot, str], int]
    ) -> int | None:
        if not text:
            return None
        try:
            number = look_up(root, text)
            who = Identity(number, 0) if option == "owner" else Identity(0, number)
            if self.count:
                who.check_within(self.count)
        except NotFound as err:
            raise NotFound(err.message, err.hint, where=f"{self.where}.{option}") from err
        except InvalidSpec as err:
            raise InvalidSpec(err.reason, err.hint, where=f"{self.where}.{option}") from err
        return number
