# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of the stage1 of a pod, by its kind: the only place that chooses.

podctl calls them in its own process, since another interpreter would cost a start 15 ms. docs/devel/stage1-contract.md
describes each.
"""

from __future__ import annotations

from ..pod.documents import IMAGE, kind_of
from ..pod.runspec import FLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .request import EnterRequest

    class Entries(Protocol):
        """The entries of one pod. All raise PodError."""

        def run(self, *, detach: bool, interactive: bool) -> int:
            """Run the pod in state run whose lock this process holds; returns its status, or 0 once it is started."""

        def rehearse(self) -> None:
            """Find out what would keep the prepared pod, whose lock this process holds, from starting."""

        def enter(self, request: EnterRequest) -> int:
            """Run a command in an app of the running pod; returns its status."""

        def stop(self, *, force: bool) -> None:
            """Ask the running pod to end, or kill it, without waiting for it."""

        def mend(self) -> None:
            """Restore what the running pod has lost."""

        def release(self) -> None:
            """Take down what an ended pod still holds of the host; its files stay."""

        def gc(self) -> None:
            """Take down all that an ended pod holds of the host, before its files are removed."""


def entries_of(host: Host, pod: Pod, *, debug: bool = False) -> Entries:
    """The entries of the stage1 that a pod was prepared with. debug: whether the user wants to see more."""
    kind = kind_of(pod.dir)
    if kind == IMAGE:
        from .foreign.entries import ImageStage1

        return ImageStage1(host, pod, debug=debug)
    if kind == FLY:
        from .fly.entries import FlyStage1

        return FlyStage1(host, pod)
    from .starter.native import NativeStage1

    return NativeStage1(host, pod)
