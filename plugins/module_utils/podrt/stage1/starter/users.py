# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user namespaces of a pod: its own, to which its other namespaces belong, and those that only carry the map of a
volume.

A namespace gets its map from a process outside of it that may give those IDs. So this process forks a child that
unshares, writes the maps of the child, and keeps descriptors of its namespaces, which outlive it.
Source: user_namespaces(7).
"""

from __future__ import annotations

import _socket
import os
import sys

from ...errors import HostFailure, PodError
from ...host import syscalls
from ...host.files import write_kernel
from ...host.syscalls import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWUTS
from ..inside import sync
from ..inside.namespaces import set_sysctl
from ..inside.wires import Spaces
from ..pid1 import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ..plan.sandbox import SandboxPlan

    IdMap = tuple[tuple[int, int, int], ...]

_FILES = ((CLONE_NEWNET, "net"), (CLONE_NEWIPC, "ipc"), (CLONE_NEWUTS, "uts"))
_HINT = "user namespaces may be switched off, see the sysctl user.max_user_namespaces"


def make_spaces(plan: SandboxPlan) -> Spaces:
    """The namespaces of a pod with its own users, without the mount namespace. Raises PodError."""
    if plan.users is None:
        return Spaces()
    others = plan.namespaces & ~CLONE_NEWNS
    kinds = tuple((kind, file) for kind, file in _FILES if others & kind)

    def settle() -> None:
        # The kernel lets only the root of the namespace set those of IPC.
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        _socket.sethostname(plan.hostname)
        for name, value in plan.ipc_sysctls:
            set_sysctl(name, value)

    user, *rest = _make(plan.users.map, others, ("user", *(file for _kind, file in kinds)), settle)
    return Spaces(user, tuple((fd, kind) for fd, (kind, _file) in zip(rest, kinds)))


def map_space(rows: IdMap) -> int:
    """A user namespace with a map, for a mount. rows: ID in the file system, ID of the host, count. Raises PodError."""
    (fd,) = _make(rows, 0, ("user",), lambda: None)
    return fd


def _make(rows: IdMap, others: int, files: tuple[str, ...], settle: Callable[[], None]) -> list[int]:
    ours, theirs = sync.channel()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _become_owner(theirs, others, settle)
    os.close(theirs)
    fds: list[int] = []
    try:
        _expect(ours)
        text = "\n".join(" ".join(map(str, row)) for row in rows) + "\n"
        for file in ("uid_map", "gid_map"):
            write_kernel(f"/proc/{pid}/{file}", text)
        fds += (os.open(f"/proc/{pid}/ns/{file}", os.O_RDONLY | os.O_CLOEXEC) for file in files)
        sync.send(ours, frames.GO)
        _expect(ours)
    except OSError as err:
        _close(fds)
        raise HostFailure.of("cannot make a user namespace", err, _HINT) from err
    except BaseException:
        _close(fds)
        raise
    finally:
        os.close(ours)
        os.waitpid(pid, 0)
    return fds


def _become_owner(channel: int, others: int, settle: Callable[[], None]) -> NoReturn:
    try:
        syscalls.unshare(CLONE_NEWUSER | others)
        sync.send(channel, frames.NAMESPACES)
        if sync.receive(channel):
            settle()
            sync.send(channel, frames.NAMESPACES)
    except PodError as err:
        sync.send_failure(channel, err)
    except OSError as err:
        sync.send_failure(channel, HostFailure.of("cannot make a user namespace", err, _HINT))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _expect(channel: int) -> None:
    """Wait until the child has made its namespaces, and again until it has settled them."""
    message = sync.receive(channel)
    if message and message[0] == frames.NAMESPACES:
        return
    if message and message[0] == frames.FAILED:
        raise sync.error_of(message)
    raise HostFailure(
        "cannot make a user namespace: its first process has died", "look for the reason in dmesg"
    )


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
