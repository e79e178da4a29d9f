# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process sets of itself in the root of an app, where nothing can be imported: functions made before."""

from __future__ import annotations

import fcntl
import os

from ...errors import HostFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STDIO = (0, 1, 2)


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
