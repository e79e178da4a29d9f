# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The measurements of a run: samples of ours and of a peer, taken in turn, and the table of them.

A sample has two times. Wall time is what a user waits for; CPU time is that of the program and of every process that
it started, also of those that outlive it, and other work on the machine changes it little.
"""

from __future__ import annotations

import mmap
import os
import pathlib
import random
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SECONDS = 300
_HEADS = ("what", "ours", "peer", "measured", "ratio", "at most", "CPU ours", "CPU peer", "")
_TICK = 1000 / os.sysconf("SC_CLK_TCK")
_SETTLE_SECONDS = 2.0
_RESAMPLES = 1000
_CONFIDENCE = 0.9
_TOUCHED = 2 << 30


@dataclass(frozen=True)
class Sample:
    """One measurement, in milliseconds or, of memory, in megabytes. cpu_ms: None where it was not measured."""

    value: float
    cpu_ms: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table.

    ours, theirs: samples in unit; theirs is empty where the peer is missing, and peer says so.
    bound: the limit of the ratio or, where absolute, of ours; None where nothing is promised.
    """

    what: str
    ours: Sequence[Sample]
    peer: str
    theirs: Sequence[Sample] = field(default=())
    bound: float | None = None
    unit: str = "ms"
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        return _ratio(_values(self.ours), _values(self.theirs)) if self.theirs else None

    @property
    def verdict(self) -> str:
        """ok or OVER, with a question mark where samples as scattered as these could support either."""
        if self.bound is None:
            return ""
        if not (self.ours and (self.theirs or self.absolute)):
            return "NO PEER"
        least, most = _interval(_values(self.ours), () if self.absolute else _values(self.theirs))
        measured = statistics.median(_values(self.ours)) if self.absolute else self.ratio
        verdict = "ok" if measured is not None and measured <= self.bound else "OVER"
        return verdict if most <= self.bound or least > self.bound else f"{verdict}?"

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
            _shown_cpu(self.ours),
            _shown_cpu(self.theirs),
            self.verdict,
        )


def table(rows: Sequence[Row]) -> str:
    """The lines of a table, with columns as wide as needed."""
    lines = [_HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


def in_turn(rounds: int, *actions: Callable[[], Sample]) -> list[list[Sample]]:
    """The samples of each action, A B A B, after one warm-up of each."""
    for action in actions:
        action()
    samples: list[list[Sample]] = [[] for _other in actions]
    for _other in range(rounds):
        for found, action in zip(samples, actions):
            found.append(action())
    return samples


def timed(argv: Sequence[str], env: Mapping[str, str] | None = None) -> Sample:
    """The times of a program, which must succeed; its CPU time includes processes that it leaves to end."""
    others, cpu = _processes(), _cpu_ms()
    begin = time.perf_counter()
    said(argv, env)
    value = (time.perf_counter() - begin) * 1000
    _settle(others)
    return Sample(value, _cpu_ms() - cpu)


def said(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """The output of a program, which must succeed."""
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


def touch_memory() -> None:
    """Touch the machine's memory: a virtual machine returns free memory, and the first to need it again waits."""
    free = int(pathlib.Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]) << 10
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, min(_TOUCHED, free // 4), flags=flags).close()


# --- CPU ------------------------------------------------------------------------------------------------------------


def _processes() -> set[str]:
    return set(filter(str.isdigit, os.listdir("/proc")))


def _settle(others: set[str]) -> None:
    """Wait until started processes have ended, or only lasting ones are left."""
    end = time.monotonic() + _SETTLE_SECONDS
    while _processes() - others and time.monotonic() < end:
        time.sleep(0.005)


def _cpu_ms() -> float:
    """The CPU time of ended children: this program's, and orphans that the first process has reaped."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    fields = pathlib.Path("/proc/1/stat").read_text().rpartition(")")[2].split()
    orphans = sum(map(int, fields[13:15]))  # cutime and cstime; see proc(5)
    return (own.ru_utime + own.ru_stime) * 1000 + orphans * _TICK


# --- statistics -----------------------------------------------------------------------------------------------------


def _values(samples: Sequence[Sample]) -> list[float]:
    return [sample.value for sample in samples]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(ours) / statistics.median(theirs)


def _interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """The interval of the ratio of medians, or of our median alone: a bootstrap, the same each time."""
    dice = random.Random(0)

    def again(samples: Sequence[float]) -> float:
        return statistics.median(dice.choices(samples, k=len(samples)))

    found = sorted(again(ours) / (again(theirs) if theirs else 1) for _other in range(_RESAMPLES))
    outside = int(_RESAMPLES * (1 - _CONFIDENCE) / 2)
    return found[outside], found[-1 - outside]


def _shown(samples: Sequence[Sample], unit: str) -> str:
    if not samples:
        return "-"
    values = _values(samples)
    digits = 1 if unit == "MB" or max(values) < 100 else 0
    low, middle, high = (
        f"{number:.{digits}f}" for number in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low}-{high}) {unit}"


def _shown_cpu(samples: Sequence[Sample]) -> str:
    """The mean, since the CPU clock ticks only a hundred times a second."""
    taken = [sample.cpu_ms for sample in samples if sample.cpu_ms is not None]
    return f"{statistics.fmean(taken):.0f} ms" if taken else "-"
