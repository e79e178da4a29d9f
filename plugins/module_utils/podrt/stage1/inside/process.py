# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every process does that enters the root of an app: descriptors, groups, users, signals, its filter.

Nothing is imported here once the root is the app's, see app. Source: behaviours C12 to C19, C47 to C57.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from ...contexts import suppress
from ...errors import HostFailure, printable
from ...host import syscalls
from ...host.execution import CHDIR_FAILED
from ...host.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
)
from ..pid1 import frames
from .interpreter import read_no_code
from .labels import ask_for_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .labels import Labels

_FIRST_FD = 3
# The C library reserves these two for its threads; the process that started us may still have ignored them.
_RESERVED_SIGNALS = (32, 33)


class NotStarted(Exception):
    """The app itself cannot be started; the pod goes on without it, or ends with this status.

    field: the field of the spec that does not fit the image, "" for another reason.
    """

    def __init__(self, text: str, status: int, field: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.field = field


def keep_only(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Close every descriptor but stdio and these, and mark these close-on-exec. Returns their new numbers.

    An app could name any other open descriptor by /proc/self/fd, also as its working directory or its program
    (CVE-2024-21626). The new numbers are the lowest; -1 stays.
    """
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD + len(fds)) for fd in fds if fd >= 0]
    for number, fd in enumerate(aside, _FIRST_FD):
        os.dup2(fd, number, inheritable=False)
    syscalls.close_range(_FIRST_FD + len(aside))
    numbers = iter(range(_FIRST_FD, _FIRST_FD + len(aside)))
    return tuple(next(numbers) if fd >= 0 else -1 for fd in fds)


def passing_sockets(count: int, environment: dict[str, str]) -> dict[str, str]:
    """Let the next program inherit the first descriptors. Returns its variables. Source: sd_listen_fds(3)."""
    if not count:
        return environment
    for fd in range(_FIRST_FD, _FIRST_FD + count):
        os.set_inheritable(fd, True)
    return {**environment, "LISTEN_FDS": str(count), "LISTEN_PID": str(os.getpid())}


def enter_root(root: str) -> None:
    """Make root the root of a new mount namespace of this process, and detach the rest."""
    read_no_code()
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.mount("", "/", "", MS_REC | MS_SHARED)


def join_place(place: int, pids: int) -> None:
    """Join the mount namespace in which another process builds the root, and namespaces of the pod, but those of
    processes and users. place: it, -1 for a process that has been forked there. pids: the pidfd of PID 1.
    """
    if place >= 0:
        syscalls.setns(pids, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
        syscalls.setns(place, CLONE_NEWNS)
        os.close(place)


def join_users(users: int) -> None:
    """Join the namespace of the pod's own users, in which this process has all rights until it drops them.

    All that takes the rights of the host's root comes before. Source: user_namespaces(7).
    """
    if users >= 0:
        syscalls.setns(users, CLONE_NEWUSER)
        os.close(users)


def fork_in_leaf(leaf: int) -> tuple[int, bool]:
    """Fork a child, as os.fork, and say whether it is in its leaf of cgroup v2, as far as the kernel can do that.

    leaf: the directory of that, or -1. Raises OSError.
    """
    if leaf >= 0:
        with suppress(OSError):  # of an old kernel, or of a filter that does not know the call
            return syscalls.fork_into(leaf), True
    return os.fork(), False


def join_groups(procs: tuple[int, ...]) -> None:
    """Move this process into the cgroups of these descriptors."""
    for fd in procs:
        os.write(fd, b"0")


def set_oom_score(score: int, process: int | str = "self") -> None:
    """Set the OOM score of a process, -1000 to 1000. Raises HostFailure."""
    try:
        # An image could have put a FIFO there, which would block us.
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"/proc/{process}/oom_score_adj", flags)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError as err:
        raise HostFailure.of(f"cannot set the OOM score to {score}", err) from err


def default_signals() -> None:
    """Reset every signal to its default, but ignore SIGPIPE, and unblock all."""
    for number in range(1, _signal.NSIG):
        if number in _RESERVED_SIGNALS:
            syscalls.default_signal(number)
        elif number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def confine(filtered: bytes, labels: Labels, *, passed: int = 0) -> None:
    """Close descriptors at exec and load the filter, after which no call but the exec may be relied upon.

    passed: the number of descriptors after stdio that the program inherits.
    """
    syscalls.close_range(_FIRST_FD + passed, flags=syscalls.CLOSE_RANGE_CLOEXEC)
    ask_for_labels(labels)
    if filtered:
        # Last of all: the filter is made for the app's calls, not for ours.
        syscalls.load_seccomp(filtered)


def go_to(path: str) -> None:
    """Change directory, within the app's root: a link of /proc could lead anywhere, such as to the root of PID 1.

    Raises NotStarted.
    """
    shown = printable(path)
    try:
        os.chdir(path)
        inside = os.getcwd().startswith("/")
    except OSError as err:
        raise NotStarted(
            f'cannot use the working directory "{shown}": {err.strerror}', CHDIR_FAILED, "working_dir"
        ) from err
    if not inside:
        raise NotStarted(
            f'cannot use the working directory "{shown}": it is outside of the app',
            CHDIR_FAILED,
            "working_dir",
        )


def complain(text: str) -> None:
    """Write an error to stderr, ignoring a failure to do so."""
    try:  # noqa: SIM105  # contextlib takes 3 ms of each start
        os.write(2, b"Error: %s\n" % frames.bounded(printable(text)))
    except OSError:
        pass
