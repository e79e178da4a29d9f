# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other pods of a host are to one that joins networks. Networks know no pods, so stage1 tells."""

from __future__ import annotations

from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .rules import PodRules


def _always(_uuid: str) -> bool:
    return True


def _nothing() -> tuple[PodRules, ...]:
    return ()


class Neighbours(Value):
    """Other pods; by default all live, so that nothing is taken from any.

    is_live: whether a pod still needs what it holds, as one that is known nowhere may: it is another engine's.
    rules: those of every pod that runs.
    """

    is_live: Callable[[str], bool] = _always
    rules: Callable[[], Iterable[PodRules]] = _nothing


# For a pod that has none to mind.
ALONE = Neighbours()
