# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of an app, as a table. Part of the supervisor.

    starting    its process exists, but has not executed it yet, or has not sent READY=1 where it should
    running     it is up
    stopping    it was asked to end
    exited      its process has ended, which is on record
    handling    its post-stop handler runs
    resting     no process of it is left, and it will be started again
    ended       no process of it is left

An event without an entry in a state changes nothing: an app may come up while it is being stopped.
"""

from __future__ import annotations

STARTING, RUNNING, STOPPING, EXITED, HANDLING, RESTING, ENDED = (
    *("starting", "running", "stopping"),
    *("exited", "handling", "resting", "ended"),
)
UP, STOP, EXIT, HANDLE, DONE = "up", "stop", "exit", "handle", "done"
# Of an app with a restart policy: there will be another start; it is there.
REST, START = "rest", "start"

TABLE: dict[str, dict[str, str]] = {
    STARTING: {UP: RUNNING, STOP: STOPPING, EXIT: EXITED},
    RUNNING: {STOP: STOPPING, EXIT: EXITED},
    STOPPING: {EXIT: EXITED},
    EXITED: {HANDLE: HANDLING, REST: RESTING, DONE: ENDED},
    HANDLING: {REST: RESTING, DONE: ENDED},
    RESTING: {START: STARTING, DONE: ENDED},
    ENDED: {},
}
# The states in which its process exists.
ALIVE = (STARTING, RUNNING, STOPPING)


def after(state: str, event: str) -> str:
    """The state after an event."""
    return TABLE[state].get(event, state)
