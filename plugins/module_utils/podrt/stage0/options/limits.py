# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the table of options that are isolators, and among them the limits, which apps and pods have."""

from __future__ import annotations

from ...appc.quantity import parse_bytes, parse_size
from . import parsers
from .option import INTEGER, RATES, TEXT, WORDS, AsFlag, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .option import Kind
    from .parsers import Check

_BEFORE = "; before the first image, of all apps together"


def isolator(
    name: str, kind: Kind, of: str, flag: AsFlag | str, *, within: str = "app", check: Check | None = None
) -> Option:
    """An option that is an isolator. of: its name, and after a dot the member of its value that the option is.

    flag: or why it has none.
    """
    of, _dot, member = of.partition(".")
    return Option(
        name,
        kind,
        "isolators[]",
        f"{within}.isolators[{of}]" + (f".{member}" if member else ""),
        parsers.isolator(of, member, check),
        "as_set" if kind is WORDS else "",
        overrides=within == "app",
        flag=flag if isinstance(flag, AsFlag) else None,
        no_flag="" if isinstance(flag, AsFlag) else flag,
    )


def _flag(name: str, value: str, text: str) -> AsFlag:
    return AsFlag(name, value, text + _BEFORE)


# Name, kind, isolator, flag, check.
_LIMITS = (
    (
        "memory",
        TEXT,
        "resource/memory.limit",
        _flag("memory", "QUANTITY", "the memory limit: 128M, 64Mi"),
        parse_bytes,
    ),
    (
        "memory_reservation",
        TEXT,
        "os/linux/memory-reservation",
        _flag("memory-reservation", "QUANTITY", "the memory that is left when it is scarce"),
        parse_bytes,
    ),
    (
        "memory_swap",
        TEXT,
        "os/linux/memory-swap",
        _flag("memory-swap", "QUANTITY", "the limit of memory and swap together, -1 for any amount of swap"),
        parsers.check_swap,
    ),
    (
        "cpu",
        TEXT,
        "resource/cpu.limit",
        _flag("cpu", "QUANTITY", "the CPU limit: 500m, 2"),
        None,
    ),
    (
        "cpu_shares",
        INTEGER,
        "os/linux/cpu-shares",
        _flag("cpu-shares", "N", "the weight of its share of CPU: 2 to 262144"),
        None,
    ),
    (
        "cpuset_cpus",
        TEXT,
        "os/linux/cpuset-cpus",
        _flag("cpuset-cpus", "LIST", "the processors to run on: 0-2,4"),
        None,
    ),
    (
        "cpuset_mems",
        TEXT,
        "os/linux/cpuset-mems",
        _flag("cpuset-mems", "LIST", "the nodes of memory to use: 0,1"),
        None,
    ),
    (
        "blkio_weight",
        INTEGER,
        "os/linux/block-weight",
        _flag("blkio-weight", "N", "the weight of its share of block devices: 10 to 1000"),
        None,
    ),
    (
        "pids_limit",
        INTEGER,
        "resource/pids.limit",
        _flag("pids-limit", "N", "the limit of processes and threads, -1 for none"),
        None,
    ),
)
_RATES = (
    ("device_read_bps", "read-bps", "bytes read from a disk", parse_size),
    ("device_write_bps", "write-bps", "bytes written to a disk", parse_size),
    ("device_read_iops", "read-iops", "reads of a disk", parsers.whole),
    ("device_write_iops", "write-iops", "writes to a disk", parsers.whole),
)


def limits(within: str) -> tuple[Option, ...]:
    """The options of an app, or of a pod, that are limits."""
    plain = (
        isolator(name, kind, of, flag, within=within, check=check) for name, kind, of, flag, check in _LIMITS
    )
    rates = (
        Option(
            name,
            RATES,
            "isolators[]",
            f"{within}.isolators[os/linux/block-{of}]",
            parsers.device_rates(of, parse),
            overrides=within == "app",
            flag=_flag(name.replace("_", "-"), "DEVICE:N", f"the limit of {text} a second"),
        )
        for name, of, text, parse in _RATES
    )
    return (*plain, *rates)
