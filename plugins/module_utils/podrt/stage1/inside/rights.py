# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The privileges of a process of a pod, and how it drops the others. Source: behaviours C47 to C57; capabilities(7)."""

from __future__ import annotations

import errno
import os

from ...errors import HostFailure
from ...host import syscalls

_CAP_SYS_ADMIN = 1 << 21


def bound_capabilities(mask: int, permitted: int) -> None:
    """Drop all but mask from the bounding set, which an exec as root gets. No others are inherited."""
    number = 0
    while _is_capability(number):
        if not mask >> number & 1:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        number += 1
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    syscalls.capset(permitted, permitted, 0)


def permitted_capabilities() -> int:
    """The capabilities that this process may use."""
    return syscalls.capget()[1]


def leave_keyring() -> None:
    """Leave the session keyring of the caller, and the keys in it, for an empty one. Raises OSError.

    To be called as root: a user may have few keyrings, root many. Source: keyrings(7), attack-F11.
    """
    try:
        syscalls.join_session_keyring()
    except OSError as err:
        # The kernel has no keys, or a filter on ourselves forbids them: then an app has no access to keys either.
        if err.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def give_up(
    bounding: int,
    identity: tuple[int, int, tuple[int, ...]],
    *,
    no_new_privs: bool,
    filtered: bool,
    traced: bool,
) -> None:
    """Become a user with only the privileges of its program, irrevocably.

    Lookups from now on reach what the user could reach: not the root of PID 1 by way of /proc.
    filtered: whether a filter will be loaded, which takes either CAP_SYS_ADMIN until then, or no-new-privileges for
    good. traced: whether an app that may trace could see that capability, and get hold of it.
    """
    # A process that may not trace a more privileged one could still trace its equal, whose filter is not loaded yet.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    may_be_seen = not traced or bool(bounding & _CAP_SYS_ADMIN)
    loads = filtered and identity[0] == 0 and may_be_seen and not no_new_privs
    _take_identity(bounding | (_CAP_SYS_ADMIN if loads else 0), bounding, identity)
    if no_new_privs or (filtered and not loads):
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _take_identity(kept: int, bounding: int, identity: tuple[int, int, tuple[int, ...]]) -> None:
    """Become a user that can regain only the capabilities of bounding. kept: those of root until the exec."""
    uid, gid, groups = identity
    permitted = permitted_capabilities()
    bound_capabilities(bounding, permitted)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise HostFailure(f"cannot become user {uid} and group {gid}: the kernel did not apply them")
    # The kernel takes them away only from what was root: in the pod's own users, this process was no user before.
    kept = permitted & kept if uid == 0 else 0
    syscalls.capset(kept, kept, 0)


def _is_capability(number: int) -> bool:
    try:
        syscalls.prctl(syscalls.PR_CAPBSET_READ, number)
    except OSError:
        return False
    return True
