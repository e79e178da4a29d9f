# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of the stage1 of a pod, by its kind: the only place that chooses.

podctl calls them in its own process, since another interpreter would cost a start 15 ms. docs/devel/stage1-contract.md
describes each.
"""

from __future__ import annotations

from ..errors import Unsupported
from ..pod.documents import IMAGE, kind_of
from ..pod.runspec import FLY, NATIVE

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

    class AppEntries(Protocol):
        """The entries for single apps of a running pod. All raise PodError."""

        def start_app(self, name: str, *, hold: int = 0) -> None:
            """Start an app of the manifest in the running pod, and return once it is up. hold: as in stop_app."""

        def stop_app(self, name: str, *, force: bool, hold: int) -> None:
            """End an app of the running pod. hold: for how many seconds the pod then stays without an app."""

        def remove_app(self, name: str, *, hold: int = 0) -> None:
            """End an app, and remove what is left of it, but for what stage0 has written."""


def apps_of(host: Host, pod: Pod) -> AppEntries:
    """The entries for the apps of a running pod. Raises Unsupported for a stage1 that has none."""
    if kind_of(pod.dir) != NATIVE:
        raise Unsupported(
            f'the apps of pod "{pod.uuid}" cannot be changed while it runs: its stage1 cannot do that',
            "only the native one can",
            uuid=pod.uuid,
        )
    from .starter.native import NativeStage1

    return NativeStage1(host, pod)


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
