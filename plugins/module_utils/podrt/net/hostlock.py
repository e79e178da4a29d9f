# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks on the resources that all installations on a host share: the nftables table, and bridges."""

from __future__ import annotations

import fcntl
import os

from ..contexts import contextmanager, suppress
from ..host.files import OPEN_DIR, make_dirs
from ..host.locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ..host.paths import Paths


def bridge_lock(paths: Paths, name: str) -> AbstractContextManager[tuple[int, ...]]:
    """The lock that is held while ports join or leave a bridge, and while its switches change."""
    return host_lock(paths, _of_bridge(name))


def forget_bridge_lock(paths: Paths, name: str) -> None:
    """Remove the lock of a bridge that has gone. Raises OSError.

    The caller holds it, and does nothing under it any more: others make it again, also those that wait for it now.
    """
    for place in (paths.host_locks, paths.locks):
        with suppress(FileNotFoundError):
            os.unlink(f"{place}/{_of_bridge(name)}")


def _of_bridge(name: str) -> str:
    return f"net-bridge-{name}"


def openings_lock(paths: Paths) -> AbstractContextManager[tuple[int, ...]]:
    """The lock that is held while pods are let through firewalls of others, and shut out again."""
    return outliving_lock(paths, "net-openings")


@contextmanager
def outliving_lock(paths: Paths, name: str, *, shared: bool = False) -> Iterator[tuple[int, ...]]:
    """Hold a lock of the host also in programs that outlive this process: who cleans up after a kill must see what
    they change. Yields its descriptors, see host_lock. Raises Conflict naming the holder, OSError.
    """
    with host_lock(paths, name, shared=shared) as fds:
        for fd in fds:
            os.set_inheritable(fd, True)
        yield fds


@contextmanager
def programs_lock(paths: Paths, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of programs that collect, or share it while they attach pods, see outliving_lock.

    Once they have ended, what they have left running, such as a server of names, holds nothing. Raises Conflict,
    OSError.
    """
    with outliving_lock(paths, "net-programs", shared=shared) as fds:
        try:
            yield
        finally:
            for fd in fds:
                fcntl.flock(fd, fcntl.LOCK_UN)


@contextmanager
def host_lock(paths: Paths, name: str, *, shared: bool = False) -> Iterator[tuple[int, ...]]:
    """Hold a lock of the host, and that in the data directory, which pods of 0.1.0 use; yields their descriptors.

    Raises Conflict naming the holder, OSError.
    """
    make_dirs(paths.run, OPEN_DIR)
    with (
        FileLock(f"{paths.host_locks}/{name}", shared=shared) as ours,
        FileLock(f"{paths.locks}/{name}", shared=shared) as older,
    ):
        yield ours.fd, older.fd
