# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipes and terminals by which others attach to an app: the files of an app's standard streams beside its logs.

    attach/APP/stdin            what is written into it is the app's input; the supervisor keeps it open
    attach/APP/{stdout,stderr}  the supervisor repeats there what the app says
    attach/APP/tty-out          the same for what is shown on the app's terminal
    attach/APP/tty              the number of the terminal

The supervisor never waits for a reader: without one, or with a slow one, it drops what it would repeat. Keys and the
size of a terminal go to its master, of which the one who attaches gets a copy. Source: fifo(7), pty(7).
"""

from __future__ import annotations

import fcntl
import os
import sys

from ...contexts import suppress
from ...host.detached import open_detached
from ...host.files import make_dirs_beneath, open_beneath, path_beneath, write_atomically
from ..inside.wires import AttachEnds
from ..plan.stdio import TTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ..plan.sandbox import AppPlan

_MODE = 0o600
_TIOCGPTN = 0x80045430
_OPEN = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_attached(pod: PodDir, app: AppPlan) -> AttachEnds:
    """Make and open what the modes of an app's standard files need, if any does. Raises OSError."""
    endpoints = app.stdio.endpoints
    place = pod.attachment(app.name)
    make_dirs_beneath(place, pod.path)
    above = open_beneath(place, pod.path)
    directory = open_detached(above)
    try:
        stdin, keeper = _input(directory) if "stdin" in endpoints else (-1, -1)
        master, slave = _terminal(f"{place}/{TTY}", pod) if app.stdio.has_tty else (-1, -1)
        taps = (name if name in endpoints else "" for name in ("stdout", "stderr", "tty-out"))
        out, err, terminal = (_tap(directory, name) if name else -1 for name in taps)
        return AttachEnds(app.stdio, stdin, keeper, master, slave, (out, err, terminal))
    finally:
        os.close(directory)
        os.close(above)


def _input(directory: int) -> tuple[int, int]:
    """The end of the app, and one that keeps it from its end of file while no process is attached."""
    _make("stdin", directory)
    reader = os.open("stdin", os.O_RDONLY | _OPEN, dir_fd=directory)
    keeper = os.open("stdin", os.O_WRONLY | _OPEN, dir_fd=directory)
    os.set_blocking(reader, True)
    return reader, keeper


def _tap(directory: int, name: str) -> int:
    """An end that can be written to, and fails while there is no reader."""
    _make(name, directory)
    reader = os.open(name, os.O_RDONLY | _OPEN, dir_fd=directory)
    try:
        return os.open(name, os.O_WRONLY | _OPEN, dir_fd=directory)
    finally:
        os.close(reader)


def _terminal(path: str, pod: PodDir) -> tuple[int, int]:
    """A terminal, with its number on record: a process that attaches finds the master by it."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    with path_beneath(path, pod.path) as safe:
        write_atomically(safe, f"{terminal_number(master)}\n".encode())
    return master, slave


def terminal_number(master: int) -> int:
    """The number of a terminal, by its master. Raises OSError. Source: ioctl_tty(2)."""
    return int.from_bytes(fcntl.ioctl(master, _TIOCGPTN, bytes(4)), sys.byteorder)


def _make(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):  # of a rehearsal
        os.unlink(name, dir_fd=directory)
    os.mkfifo(name, _MODE, dir_fd=directory)
