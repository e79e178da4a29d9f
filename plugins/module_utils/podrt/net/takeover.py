# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of 0.1.0, which kept them in each data directory, taken over into those of the host.

Where they were is a link afterwards: pods that run, or start again, with that runtime then use the host's as well.
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
    """Have this data directory use the leases of the host; the UUIDs of pods whose leases were taken over.

    Can be cut off at any point and done again. Raises OSError, HostFailure.
    """
    old = paths.old_leases
    found: dict[str, None] = {}
    if old == paths.leases:
        return ()
    for _try in range(_TRIES):
        leads_to = _link(old)
        if leads_to == paths.leases:
            return tuple(found)
        if leads_to:
            os.unlink(old)  # the configuration names another place than it did
        else:
            found.update(dict.fromkeys(_move(old, paths.leases)))
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
    """Move every lease; whose they are."""
    found: list[str] = []
    for network in entries(old):
        source, target = f"{old}/{network}", f"{new}/{network}"
        if not os.path.isdir(source):
            os.unlink(source)
            continue
        make_dirs(target, OPEN_DIR)
        with FileLock(f"{source}/{LOCK}"), FileLock(f"{target}/{LOCK}"):
            found += [_move_lease(source, target, name) for name in filter(is_lease, entries(source))]
            remove_tree(source)
    with suppress(FileNotFoundError):
        try:
            os.rmdir(old)
        except OSError as err:
            if err.errno != errno.ENOTEMPTY:
                raise
    return list(filter(None, found))


def _move_lease(source: str, target: str, name: str) -> str:
    """One that another pod has in the host's as well stays that one's: nothing tells here which of them is right."""
    try:
        lease, taken = read_lease(f"{source}/{name}"), read_lease(f"{target}/{name}")
    except Corrupt:
        return ""  # no lease of any release: it goes with its directory, or stays where it is
    if lease and not taken:
        write_new(f"{target}/{ASIDE}", lease, PRIVATE_FILE)
        os.rename(f"{target}/{ASIDE}", f"{target}/{name}")
    return holder_of(lease)
