# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal of an interactive pod, or of a command in one: a pseudo-terminal, relayed to the caller's.
Source: behaviours C19, A45.

The app never gets the caller's terminal itself, into which it could type: each of the caller's standard files that is a
terminal is replaced, the others are passed on. Keys go through unchanged, so that ^C reaches the app; the caller's
terminal is in raw mode meanwhile.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import select
import termios

from ...contexts import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Attributes = list[Union[int, list[Union[bytes, int]]]]

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHUNK = 1 << 14
_WINDOW_BYTES = 8
_INPUT_OFF = termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON
_LOCAL_OFF = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG


def standard_terminals() -> tuple[int, ...]:
    """The standard files of this process that are terminals."""
    return tuple(filter(os.isatty, (_STDIN, _STDOUT, _STDERR)))


class Terminal:
    """A pseudo-terminal: master here, slave for the app.

    replaced: the standard files that are terminals, at least one. Output goes to stdout if that is one of them, else to
    the last; keys come from stdin if that is one.
    """

    def __init__(self, replaced: tuple[int, ...]) -> None:
        self.master, self.slave = os.openpty()
        self.path = os.ttyname(self.slave)
        self.replaced = replaced
        self._screen = _STDOUT if _STDOUT in replaced else replaced[-1]
        self._fit()

    def relay(self, pid: int) -> None:
        """Relay keys and output until a process ends."""
        before = make_raw()
        resized = _signal.signal(_signal.SIGWINCH, lambda _number, _frame: self._fit())
        ended = os.pidfd_open(pid)
        try:
            self._relay(ended)
        finally:
            os.close(ended)
            _signal.signal(_signal.SIGWINCH, resized)
            restore(before)

    def _relay(self, ended: int) -> None:
        poll = select.poll()
        for fd in (ended, self.master, *((_STDIN,) if _STDIN in self.replaced else ())):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _event in poll.poll()]
            if self.master in ready and not _carry(self.master, self._screen):
                poll.unregister(self.master)
            elif ended in ready:
                return
            if _STDIN in ready and not _carry(_STDIN, self.master):
                poll.unregister(_STDIN)

    def _fit(self) -> None:
        """Give the app's terminal the size of the caller's."""
        with suppress(OSError):
            size = fcntl.ioctl(self._screen, termios.TIOCGWINSZ, bytes(_WINDOW_BYTES))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)


def _carry(source: int, target: int) -> bool:
    """Read once and write all of it. Returns whether there can be more."""
    try:
        data = os.read(source, _CHUNK)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
    except OSError:
        return False
    return bool(data)


def make_raw() -> Attributes | None:
    """Put the caller's terminal into raw mode. Returns its attributes before, or None if it is not a terminal."""
    try:
        before: Attributes = termios.tcgetattr(_STDIN)
    except termios.error:
        return None
    raw: Attributes = termios.tcgetattr(_STDIN)
    for index, off in ((0, _INPUT_OFF), (1, termios.OPOST), (3, _LOCAL_OFF)):
        flags = raw[index]
        if isinstance(flags, int):
            raw[index] = flags & ~off
    termios.tcsetattr(_STDIN, termios.TCSADRAIN, raw)
    return before


def restore(before: Attributes | None) -> None:
    """Give the caller's terminal its attributes back, if it is there still. before: see make_raw."""
    if before is not None:
        with suppress(termios.error):  # it has hung up
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)
