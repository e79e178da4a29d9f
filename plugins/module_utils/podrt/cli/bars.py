# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bar a download, below all other lines of a terminal. Source: behaviours B21; ECMA-48 for CUU and ED."""

from __future__ import annotations

import os
import sys

from ..errors import printable
from ..image.progress import Showing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.progress import Transfer

_EVERY = 0.1


def can_draw() -> bool:
    """Whether standard error is a terminal that can move its cursor."""
    return os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"


def size_of_terminal() -> os.terminal_size:
    """Of that of standard error; a usual one where it does not tell."""
    try:
        size = os.get_terminal_size(2)
    except OSError:
        size = os.terminal_size((0, 0))
    return size if size.columns and size.lines else os.terminal_size((80, 24))


def _to_terminal(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        return


class Bars(Showing):
    """The bars of a fetch. tell: prints a line. draw: writes to the terminal. size: of the terminal.

    A bar stays, with its last state, once its download is complete.
    """

    every = _EVERY

    def __init__(
        self,
        tell: Callable[[str], None],
        draw: Callable[[str], None] = _to_terminal,
        size: Callable[[], os.terminal_size] = size_of_terminal,
    ) -> None:
        self._tell = tell
        self._write = draw
        self._size = size
        self._active: list[Transfer] = []
        self._drawn = 0

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self._erase()
        self._tell(text)
        self._draw()

    def announced(self, _text: str) -> None:
        """Print nothing: the bar says it."""

    def moved(self, transfer: Transfer) -> None:
        """Draw its bar, and the others'."""
        if transfer not in self._active:
            self._active.append(transfer)
        self._erase()
        self._draw()

    def ended(self, transfer: Transfer) -> None:
        """Leave its bar above the others, if all of it has come."""
        self._erase()
        if transfer in self._active:
            self._active.remove(transfer)
        if transfer.done and transfer.done >= (transfer.whole or 0):
            self._write(f"{self._bar(transfer)}\n")
        self._draw()

    def _erase(self) -> None:
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        shown = self._active[: max(self._size().lines - 2, 1)]
        if shown:
            self._write("".join(f"{self._bar(transfer)}\n" for transfer in shown))
            self._drawn = len(shown)

    def _bar(self, transfer: Transfer) -> str:
        """In one line, which the terminal does not wrap."""
        columns, head = self._size().columns - 1, f"Downloading {transfer.label}: "
        return printable(head + transfer.drawn(columns - len(head)))[:columns]
