# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The child that becomes an app: goes into its root, gives up what the app may not have, executes it.

It is forked by what becomes PID 1 and imports nothing any more: after the pivot the interpreter's library is gone.
Order matters throughout; each place says why. Source: behaviours C12 to C19, C47 to C57.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import sys
import termios

from ..errors import HostFailure, PodError
from ..host import syscalls
from ..host.syscalls import CLONE_NEWCGROUP, CLONE_NEWNS, MS_REC, MS_SHARED, MS_SLAVE
from ..value import Value
from . import sync
from .cgroups import attach
from .execution import CHDIR_FAILED, EXEC_FAILED, complaint, why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .identity import Identity
    from .sandbox import Launch

_UMASK = 0o022
_SETUP_FAILED = 254
_LAST_FD = (1 << 32) - 1
# The C library keeps these two for its threads; whoever started us may still have had them ignored.
_RESERVED_SIGNALS = (32, 33)


class Wires(Value):
    """The descriptors of an app's child.

    out and err: -1 leaves what this process has. exec: tells how the start went and ends with it. go: a byte from it is
    the leave to start. procs: cgroup.procs of the app's leaves. tty: the app's terminal, -1 without.
    """

    out: int
    err: int
    exec: int
    go: int
    procs: tuple[int, ...] = ()
    tty: int = -1


class Resolved(Value):
    """What was looked up in the app's root: programs with their arguments, and who runs them."""

    argv: tuple[str, ...]
    pre_start: tuple[str, ...]
    post_stop: tuple[str, ...]
    identity: Identity


class NotStarted(Exception):
    """The app itself cannot be started; the pod goes on without it, or ends with this status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def become_app(launch: Launch, resolved: Resolved, root: str, wires: Wires) -> NoReturn:
    """Turn this child into the app. Ends the process when that fails, and says why through wires.exec."""
    status = _SETUP_FAILED
    try:
        _become(launch, resolved, root, wires)
    except NotStarted as err:
        status = err.status
        os.write(2, f"Error: {err.text}\n".encode(errors="replace"))
        sync.send(wires.exec, sync.APP_FAILED, err.text)
    except PodError as err:
        sync.send_failure(wires.exec, err)
    except OSError as err:
        sync.send_failure(wires.exec, HostFailure.of("cannot set up an app", err))
    except BaseException:
        sys.excepthook(*sys.exc_info())  # a bug keeps its traceback, also in a child that must not unwind
    finally:
        os._exit(status)


def enter_root(root: str) -> None:
    """Make root the root of a mount namespace of this process's own, and forget the rest."""
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.mount("", "/", "", MS_REC | MS_SHARED)


def bound_capabilities(mask: int, permitted: int) -> None:
    """Drop all but mask from the bounding set; what an exec as root gets is that. Nothing is inherited otherwise."""
    number = 0
    while _is_capability(number):
        if not mask >> number & 1:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        number += 1
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    syscalls.capset(permitted, permitted, 0)


def permitted_capabilities() -> int:
    """The capabilities that this process may use. Reads /proc of the host: before the pivot."""
    with open("/proc/self/status", "rb") as file:
        line = next(line for line in file if line.startswith(b"CapPrm:"))
    return int(line.split()[1], 16)


def default_signals() -> None:
    """Every signal as a new program expects it, but SIGPIPE ignored, and none blocked."""
    for number in range(1, _signal.NSIG):
        if number in _RESERVED_SIGNALS:
            syscalls.default_signal(number)
        elif number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _become(launch: Launch, resolved: Resolved, root: str, wires: Wires) -> None:
    permitted = permitted_capabilities()
    default_signals()
    # The attach waits for the kernel, all others meanwhile do something else; the namespace shows what comes after.
    attach(wires.procs, 0)
    if wires.procs:
        syscalls.unshare(CLONE_NEWCGROUP)
    enter_root(root)
    _stdio(wires)
    os.umask(_UMASK)
    if not os.read(wires.go, 1):
        os._exit(1)
    environment = dict(launch.environment)
    if resolved.pre_start:
        _pre_start(launch, resolved, permitted)
    os.setsid()
    if wires.tty >= 0:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if launch.oom_score_adj is not None:
        _set_oom_score(launch.oom_score_adj)
    _chdir(launch.working_directory)
    bound_capabilities(launch.bounding, permitted)
    _take_identity(resolved.identity)
    wrong = complaint(resolved.argv[0])
    if wrong:
        raise NotStarted(wrong, EXEC_FAILED)
    if launch.no_new_privs or (launch.filter and resolved.identity.uid):
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.close_range(3, _LAST_FD, syscalls.CLOSE_RANGE_CLOEXEC)
    if launch.filter:
        # Last of all: the filter knows what the app may call, not what we do.
        syscalls.load_seccomp(launch.filter)
    _execute(resolved.argv, environment)


def _stdio(wires: Wires) -> None:
    if wires.tty >= 0:
        for number in range(3):
            os.dup2(wires.tty, number)
        return
    if wires.out < 0:
        return
    try:
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        null = -1  # a volume at /dev without it: what this process has is the host's
    for fd, number in ((null, 0), (wires.out, 1), (wires.err, 2)):
        if fd >= 0:
            os.dup2(fd, number)


def _pre_start(launch: Launch, resolved: Resolved, permitted: int) -> None:
    """Run the handler as root in the app's root, however long it takes. Source: behaviours C18."""
    pid = os.fork()
    if pid == 0:
        try:
            run_handler(resolved.pre_start, launch.environment, launch.bounding, permitted)
        finally:
            os._exit(EXEC_FAILED)
    _pid, status = os.waitpid(pid, 0)
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if code:
        raise NotStarted(f"the pre-start handler ended with status {code}", code)


def run_handler(
    argv: tuple[str, ...], environment: tuple[tuple[str, str], ...], bounding: int, permitted: int
) -> None:
    """Become an event handler: root, within the app's bounds, in the root that this process is in."""
    bound_capabilities(bounding, permitted)
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    try:
        syscalls.close_range(3, _LAST_FD, syscalls.CLOSE_RANGE_CLOEXEC)
        os.execve(argv[0], argv, dict(environment))
    except OSError as err:
        os.write(2, f"Error: {complaint(argv[0]) or why_not(argv[0], err)}\n".encode(errors="replace"))


def _set_oom_score(score: int) -> None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError as err:
        raise HostFailure.of(f"cannot set the OOM score to {score}", err) from err


def _chdir(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as err:
        raise NotStarted(f'cannot use the working directory "{path}": {err.strerror}', CHDIR_FAILED) from err


def _take_identity(identity: Identity) -> None:
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)


def _execute(argv: tuple[str, ...], environment: dict[str, str]) -> None:
    try:
        os.execve(argv[0], argv, environment)
    except OSError as err:
        raise NotStarted(why_not(argv[0], err), EXEC_FAILED) from err


def _is_capability(number: int) -> bool:
    try:
        syscalls.prctl(syscalls.PR_CAPBSET_READ, number)
    except OSError:
        return False
    return True
