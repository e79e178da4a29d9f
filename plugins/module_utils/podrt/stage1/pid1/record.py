# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a pod's supervisor: types only, since it is a separate program and reads the plan with marshal, from a
sealed file of stage1.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class RestartRecord(TypedDict):
        """The restart policy of an app, see pod.restart, and its waiting process."""

        policy: str
        max_retries: int
        backoff: float
        max_backoff: float
        waiting: int  # the PID of the waiting process
        order: int  # a byte to it orders a start
        counts: int  # the file that records the restarts

    class AppRecord(TypedDict):
        """An app as stage1 hands it over; -1 in place of a descriptor that does not exist."""

        name: str
        pid: int  # 0 for that of an app with a restart policy: its waiting process tells each
        pre_start: bool  # whether it has a pre-start handler
        out: int
        err: int
        # Carries a failure of the start, and is closed by the exec. With a restart policy it stays open: the waiting
        # process says what becomes of each start.
        exec: int
        procs: int  # cgroup.procs of its leaf, readable
        kill: int  # cgroup.kill of its leaf
        oom: int  # an eventfd that counts kills for memory, of cgroup v1
        events: int  # memory.events of its leaf, of cgroup v2
        notify: int  # the socket that NOTIFY_SOCKET names
        journal: int
        stop_signal: int  # the signal that stops its first process; 0 is SIGTERM, to all of them
        post_stop: int  # the socket that its post-stop handler reads, see handler.wire
        logs: list[int]  # its newest log, for appending, and the older ones
        status: int  # an empty file for its exit status
        end: int  # and one for words beside it
        restart: RestartRecord | None
        stdin: int  # keeps the pipe of its input open
        tty: int  # the master of its terminal
        taps: list[int]  # where its stdout, its stderr and what its terminal shows are repeated

    class SupervisorPlan(TypedDict):
        """The whole plan of the supervisor."""

        apps: list[AppRecord]
        sync: int
        go: int
        console: int
        stop_timeout: int
        handler_timeout: int
        hasty_timeout: int
        start_timeout: int  # after which apps that are not up end the pod; 0 for never
        max_bytes: int
        end_pod: bool  # whether an app that fails ends the pod
        handler: list[str]
