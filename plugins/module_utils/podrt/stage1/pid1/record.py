# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod's supervisor is told: types alone, since it is a program of its own and reads them with marshal,
from a sealed file that stage1 has made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class AppRecord(TypedDict):
        """An app as stage1 hands it over; a descriptor that there is none of is -1."""

        name: str
        pid: int
        pre_start: bool  # whether a handler goes before it
        out: int
        err: int
        exec: int  # ends when the app has been started, says why not before
        procs: int  # cgroup.procs of its leaf, readable
        kill: int  # cgroup.kill of its leaf
        oom: int  # an eventfd that counts kills for memory, of cgroup v1
        events: int  # memory.events of its leaf, of cgroup v2
        notify: int  # the socket that NOTIFY_SOCKET names
        journal: int
        stop_signal: int  # what its first process is stopped with; 0 is SIGTERM, to all of them
        post_stop: int  # what its post-stop handler reads, see handler.wire
        logs: list[int]  # its newest log, for appending, and the older ones
        status: int  # an empty file for its exit status
        end: int  # and one for words beside it

    class SupervisorPlan(TypedDict):
        """All that the supervisor knows."""

        apps: list[AppRecord]
        sync: int
        go: int
        console: int
        stop_timeout: int
        handler_timeout: int
        hasty_timeout: int
        start_timeout: int  # after which apps that are not up end the pod; 0 for never
        max_bytes: int
        handler: list[str]
