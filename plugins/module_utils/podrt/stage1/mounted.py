# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roots of apps at their places in the pod's directory, for a stage1 that is not the native one.

They are mounted in a mount namespace of the pod, which the host does not see, and which ends with the pod.
"""

from __future__ import annotations

import os

from ..host import syscalls
from ..host.files import make_dirs_beneath
from ..host.reading import read_text
from ..host.syscalls import CLONE_NEWNS, MS_REC, MS_SLAVE
from ..pod.documents import read_lower
from .plan.mounts import OverlayStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir
    from ..pod.subids import IdRange


def mount_roots(pod: PodDir, manifest: PodManifest, users: IdRange | None = None) -> None:
    """Mount the root of every app that is not a copy, in a new mount namespace. Raises PodError, OSError.

    users: the pod's own, which the files belong to.
    """
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    if not os.path.exists(pod.overlay_prepared):
        return
    space = _space_of(users)
    for app in manifest.apps:
        overlay_of(pod, str(app.name), users).mount(space)
    if space >= 0:
        os.close(space)


def _space_of(users: IdRange | None) -> int:
    if users is None:
        return -1
    from .starter.users import map_space  # most pods have the host's users

    return map_space(users.map)


def overlay_of(pod: PodDir, app: str, users: IdRange | None = None) -> OverlayStep:
    """The overlay that is the root of an app, its directories made. Raises OSError, Corrupt."""
    lower = read_lower(pod, app)
    tree_id = read_text(pod.app_tree_id(app), beneath=pod.path)
    upper, work = pod.overlay(tree_id, app)
    for directory in (upper, work):
        make_dirs_beneath(directory, pod.path)
    # Mode and owner of the app's "/" are those of the upper directory.
    topmost, first = os.stat(lower[0]), users.first if users else 0
    os.chown(upper, first + topmost.st_uid, first + topmost.st_gid)
    os.chmod(upper, topmost.st_mode & 0o7777)
    layer = pod.shifted_layer(tree_id, app) if users else ""
    return OverlayStep(lower, upper, work, pod.app_root(app), users, layer)
