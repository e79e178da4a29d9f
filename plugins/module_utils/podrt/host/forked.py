# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl of this very runtime, in a fork of this process instead of another interpreter.

A task has loaded most of what podctl needs, and to start an interpreter and load that again would take longer than most
of the entries that a task calls. Whatever lives longer than such a process has executed an interpreter of its own.
"""

from __future__ import annotations

import _locale
import _signal
import gc
import os
import sys
from _thread import _count as other_threads

from ..contexts import suppress
from . import syscalls
from .paths import podctl_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

# By its name: it is no part of what this layer knows.
_MAIN = f"{__name__.rpartition('.host.')[0]}.cli.main"
_RUNTIME = os.path.abspath(f"{__file__}/../../..")
_ERRORS, _FIRST_FD = 2, 3
_FAILED = 1
_OF_PARENT: list[TextIO | None] = []


def is_podctl(argv: Sequence[str]) -> bool:
    """Whether argv is the podctl of the code and the interpreter of this process.

    It is not where this process has other threads, since whatever these hold a lock of would stay locked in a fork, and
    where it writes paths in another encoding than podctl.
    """
    own = podctl_of(os.path.realpath(sys.executable), _RUNTIME)
    return tuple(argv[: len(own)]) == own and not other_threads() and sys.getfilesystemencoding() == "utf-8"


def start(argv: Sequence[str], env: Mapping[str, str], files: tuple[int, int, int]) -> int:
    """Start it, as the leader of a process group, as posix_spawn would; returns its PID. Raises OSError.

    argv: see is_podctl. files: its standard files.
    """
    words = list(argv[len(podctl_of("", "")) :])
    __import__(_MAIN)
    podctl = sys.modules[_MAIN]
    podctl.load(words)  # here, since this process may call it again
    # An interrupt that came to the child before it is itself would lead it through the parent's own code.
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                _become(env, files)
                _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
                podctl.main(words)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(_FAILED)
        with suppress(OSError):  # it does so as well, or has ended
            os.setpgid(pid, pid)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
    return pid


def _become(env: Mapping[str, str], files: tuple[int, int, int]) -> None:
    """Be a process of its own. What the parent has made stays untouched, and all that it has opened is closed here."""
    os.setpgid(0, 0)
    for number in (_signal.SIGHUP, _signal.SIGTERM, _signal.SIGALRM, _signal.SIGCHLD):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    gc.freeze()
    sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
    for number, fd in enumerate(files):
        os.dup2(fd, number)
    syscalls.close_range(_FIRST_FD)
    # Those of the parent may hold what it has yet to print, so they are kept. podctl opens them by the descriptors.
    _OF_PARENT.extend((sys.stdin, sys.stdout, sys.stderr))
    sys.stdin = sys.stdout = None
    sys.stderr = os.fdopen(_ERRORS, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(env)
    _locale.setlocale(_locale.LC_ALL, "C")  # reasons of the kernel in the language of the others
