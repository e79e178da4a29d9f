# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process sets of itself before it becomes an app, a handler or a command; some in the root of an app, where
nothing can be imported: by functions made before.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from ...errors import HostFailure
from ...host import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STDIO = (0, 1, 2)
# The C library reserves these two for its threads; the process that started us may still have ignored them.
_RESERVED_SIGNALS = (32, 33)


def set_oom_score(score: int) -> None:
    """Set the OOM score of this process, -1000 to 1000. Raises HostFailure."""
    try:
        # An image could have put a FIFO there, which would block us.
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError as err:
        raise HostFailure.of(f"cannot set the OOM score to {score}", err) from err


def limits_setter(rlimits: tuple[tuple[str, int, int, int], ...]) -> Callable[[], None]:
    """A function that sets resource limits of this process; it needs no import, for which there is no library later."""
    if not rlimits:
        return lambda: None
    import resource

    def set_all() -> None:
        for name, number, soft, hard in rlimits:
            try:
                resource.setrlimit(number, (soft, hard))
            except (ValueError, OSError) as err:
                raise HostFailure(
                    f"cannot set the resource limit {name} to {soft}, and at most {hard}: {err}",
                    "lower it in ulimits; the kernel has its own limits, such as fs.nr_open for nofile",
                ) from err

    return set_all


def terminal_taker(tty: int) -> Callable[[], None]:
    """What makes the terminal among the standard files that of this session; tty: -1 without. Imported here as well."""
    if tty < 0:
        return lambda: None
    import termios

    def take() -> None:
        fcntl.ioctl(next(filter(os.isatty, _STDIO)), termios.TIOCSCTTY, 0)

    return take


def default_signals() -> None:
    """Reset every signal to its default, but ignore SIGPIPE, and unblock all."""
    for number in range(1, _signal.NSIG):
        if number in _RESERVED_SIGNALS:
            syscalls.default_signal(number)
        elif number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
