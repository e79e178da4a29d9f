# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of the native stage1. Each imports its own modules: a call of podctl needs one of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.host import Host
    from ...pod.lifecycle import Pod
    from ..request import EnterRequest


class NativeStage1:
    """See stage1.entries."""

    def __init__(self, host: Host, pod: Pod) -> None:
        self._host = host
        self._pod = pod

    def run(self, *, detach: bool, interactive: bool) -> int:
        """Start the supervisor, and in the foreground wait for its end."""
        from .run import run

        return run(self._host, self._pod.uuid, self._pod.fd, detach=detach, interactive=interactive)

    def rehearse(self) -> None:
        """Start it up to where its apps would begin."""
        from .run import rehearse

        rehearse(self._host, self._pod.uuid, self._pod.fd)

    def enter(self, request: EnterRequest) -> int:
        """Become the program that runs the command."""
        from .enter import enter

        return enter(self._host, self._pod, request)

    def stop(self, *, force: bool) -> None:
        """Signal PID 1, and give back the addresses and ports once it has ended, in the background."""
        from .farewell import release_at_end
        from .stop import stop

        stop(self._pod, force=force)
        release_at_end(self._host, self._pod)

    def start_app(self, name: str, *, hold: int = 0) -> None:
        """Build its root beside the others, and hand its process over to PID 1."""
        from ..inside.ahead import begin

        ahead = begin()  # it takes as long as these imports and all the decisions
        try:
            from .addition import start_app

            start_app(self._pod, name, ahead, hold=hold)
        finally:
            ahead.end()

    def stop_app(self, name: str, *, force: bool, hold: int) -> None:
        """Have PID 1 end it."""
        from .addition import stop_app

        stop_app(self._pod, name, force=force, hold=hold)

    def remove_app(self, name: str, *, hold: int = 0) -> None:
        """The same, and have PID 1 forget it; of a pod that has ended, the files of it alone."""
        from .addition import remove_app

        remove_app(self._pod, name, hold=hold)

    def mend(self) -> None:
        """Restore links, addresses, routes, rules, limits and memberships of groups."""
        from .mend import mend

        mend(self._host, self._pod)

    def release(self) -> None:
        """Take down the networks and the control groups."""
        from .teardown import teardown

        teardown(self._host, self._pod)

    gc = release
