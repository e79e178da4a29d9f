# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of an app, as a table. Part of the supervisor.

    starting    its process is there, and has not executed it yet, or has not said READY=1 where it does
    running     it is up
    stopping    it was asked to end
    exited      its process has ended, which is on record
    handling    its post-stop handler runs
    ended       nothing of it is left

An event that a state has no entry for changes nothing: an app may come up while it is being stopped.
"""

from __future__ import annotations

STARTING, RUNNING, STOPPING, EXITED, HANDLING, ENDED = (
    *("starting", "running", "stopping"),
    *("exited", "handling", "ended"),
)
UP, STOP, EXIT, HANDLE, DONE = "up", "stop", "exit", "handle", "done"

TABLE: dict[str, dict[str, str]] = {
    STARTING: {UP: RUNNING, STOP: STOPPING, EXIT: EXITED},
    RUNNING: {STOP: STOPPING, EXIT: EXITED},
    STOPPING: {EXIT: EXITED},
    EXITED: {HANDLE: HANDLING, DONE: ENDED},
    HANDLING: {DONE: ENDED},
    ENDED: {},
}
# Its process is there.
ALIVE = (STARTING, RUNNING, STOPPING)


def after(state: str, event: str) -> str:
    """The state that an event leads to."""
    return TABLE[state].get(event, state)
