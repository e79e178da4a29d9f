# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the leases of 0.1.0, which kept them in each data directory, to those of the host.

A link takes their place, so that pods that run, or start again, with that runtime use the host's as well.
"""

from __future__ import annotations

import errno
import os

from ..contexts import suppress
from ..errors import Corrupt, HostFailure
from ..host.files import OPEN_DIR, PRIVATE_FILE, entries, make_dirs, remove_tree, write_new
from ..host.locks import FileLock
from .reservations import ASIDE, LOCK, holder_of, is_lease, read_lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

_TRIES = 5


def share_leases(paths: Paths) -> tuple[str, ...]:
    """Make this data directory use the host's leases; return the UUIDs of pods whose leases were moved.

    Can be interrupted at any point and repeated. Raises OSError, HostFailure.
    """
    old = paths.old_leases
    uuids: dict[str, None] = {}
    if old == paths.leases:
        return ()
    for _try in range(_TRIES):
        leads_to = _link(old)
        if leads_to == paths.leases:
            return tuple(uuids)
        if leads_to:
            os.unlink(old)  # the configuration names another place than it did
        else:
            uuids.update(dict.fromkeys(_move(old, paths.leases)))
        # A start by 0.1.0 may have been faster and made the directory again.
        with suppress(FileExistsError):
            os.symlink(paths.leases, old)
    raise HostFailure(f"cannot make {old} a link to {paths.leases}: something keeps making it a directory")


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.EINVAL):
            return ""
        raise


def _move(old: str, new: str) -> list[str]:
    """Move every lease; return the UUIDs of their pods."""
    uuids: list[str] = []
    for network in entries(old):
        source, target = f"{old}/{network}", f"{new}/{network}"
        if not os.path.isdir(source):
            os.unlink(source)
            continue
        make_dirs(target, OPEN_DIR)
        with FileLock(f"{source}/{LOCK}"), FileLock(f"{target}/{LOCK}"):
            uuids += [_move_lease(source, target, name) for name in filter(is_lease, entries(source))]
            remove_tree(source)
    with suppress(FileNotFoundError):
        try:
            os.rmdir(old)
        except OSError as err:
            if err.errno != errno.ENOTEMPTY:
                raise
    return list(filter(None, uuids))


def _move_lease(source: str, target: str, name: str) -> str:
    """Move one lease, unless the host has one for the address: which of them is right cannot be known here."""
    try:
        lease, taken = read_lease(f"{source}/{name}"), read_lease(f"{target}/{name}")
    except Corrupt:
        return ""  # not a lease of any release: it goes with its directory, or stays where it is
    if lease and not taken:
        write_new(f"{target}/{ASIDE}", lease, PRIVATE_FILE)
        os.rename(f"{target}/{ASIDE}", f"{target}/{name}")
    return holder_of(lease)
