# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Post-stop handlers as the supervisor starts them. Part of the supervisor; see stage1.inside.handler."""

from __future__ import annotations

import posix

from .apps import attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .apps import RunningApp

_FAILED = 203


def start_post_stop(app: RunningApp, handler: list[str]) -> tuple[int, int]:
    """Start the handler in a process that enters the app's root and is confined as the app was.

    handler: the argv of that process. Returns its PID and the pipe of its output. Raises OSError.
    """
    output_fd = output_end = -1
    try:
        output_fd, output_end = posix.pipe2(posix.O_CLOEXEC)
        pid = posix.fork()
    except OSError:
        attempt(posix.close, output_fd)
        attempt(posix.close, output_end)
        raise
    if pid == 0:
        try:
            for number in (1, 2):
                posix.dup2(output_end, number)
            posix.set_inheritable(app.post_stop, True)
            argv = [*handler, str(app.post_stop)]
            posix.execve(argv[0], argv, {"LC_CTYPE": "C.UTF-8"})
        finally:
            posix._exit(_FAILED)
    posix.close(output_end)
    return pid, output_fd
