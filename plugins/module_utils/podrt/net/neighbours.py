# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other pods of a host as a pod that joins networks sees them; stage1 provides them, since net knows no pods."""

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
    """Other pods; by default all are live, so that nothing is taken from them.

    is_live: whether a pod still needs its leases and ports; an unknown one may, since it is another engine's.
    shown: who a container id is, in a sentence.
    rules: those of every running pod.
    """

    is_live: Callable[[str], bool] = _always
    shown: Callable[[str], str] = repr
    rules: Callable[[], Iterable[PodRules]] = _nothing


# For a pod without neighbours to respect.
ALONE = Neighbours()
