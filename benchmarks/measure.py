# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What one run measures: samples of ours and of a peer, taken in turn, and the table that they make."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SECONDS = 300
_HEADS = ("what", "ours", "peer", "measured", "ratio", "at most", "")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    ours, theirs: samples in unit; theirs is empty where there is no such peer here, and peer says so.
    bound: what the ratio may be at most or, where absolute, what ours may be; None where nothing is promised.
    """

    what: str
    ours: Sequence[float]
    peer: str
    theirs: Sequence[float] = ()
    bound: float | None = None
    unit: str = "ms"
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ours) / statistics.median(self.theirs) if self.theirs else None

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        measured = statistics.median(self.ours) if self.absolute else self.ratio
        if measured is None:
            return "NO PEER"
        return "ok" if measured <= self.bound else "OVER"

    def cells(self) -> tuple[str, ...]:
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}x"
        limit = "-"
        if self.bound is not None:
            limit = f"{self.bound:g} {self.unit}" if self.absolute else f"{self.bound:g}x"
        return (
            self.what,
            _shown(self.ours, self.unit),
            self.peer,
            _shown(self.theirs, self.unit),
            ratio,
            limit,
            self.verdict,
        )


def table(rows: Sequence[Row]) -> str:
    """The lines of a table; columns are as wide as they need to be."""
    lines = [_HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


def in_turn(rounds: int, *actions: Callable[[], float]) -> list[list[float]]:
    """The samples of each action, A B A B; what happens once, and only once, has happened before."""
    for action in actions:
        action()
    samples: list[list[float]] = [[] for _other in actions]
    for _other in range(rounds):
        for found, action in zip(samples, actions):
            found.append(action())
    return samples


def timed(argv: Sequence[str]) -> float:
    """How many milliseconds a program took that succeeded."""
    begin = time.perf_counter()
    said(argv)
    return (time.perf_counter() - begin) * 1000


def said(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a program printed that succeeded."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=env,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.strip()


def _shown(samples: Sequence[float], unit: str) -> str:
    if not samples:
        return "-"
    digits = 1 if unit == "MB" or max(samples) < 100 else 0
    low, middle, high = (
        f"{number:.{digits}f}" for number in (min(samples), statistics.median(samples), max(samples))
    )
    return f"{middle} ({low}-{high}) {unit}"
