# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have written the configuration: root, or who asks; what it says decides over the host."""

from __future__ import annotations

import os
import stat

from ..errors import InvalidSpec

_OTHERS = 0o002
_GROUP = 0o020


def check_kept(path: str) -> None:
    """Raise InvalidSpec, with the cure, when others than root and the caller can change a file or a directory.

    A group that is root's, or the caller's own, is no other. Raises OSError.
    """
    info = os.stat(path)
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid not in (0, os.geteuid()):
        raise InvalidSpec(
            f"{path} is not used as configuration: it belongs to another user (uid {info.st_uid})",
            f"look at what it says, then chown root {path}",
            path=path,
        )
    writable = _OTHERS if info.st_gid in (0, os.getegid()) else _OTHERS | _GROUP
    if mode & writable:
        raise InvalidSpec(
            f"{path} is not used as configuration: others can change it (mode {mode:04o})",
            f"look at what it says, then chmod {'go' if mode & writable & _GROUP else 'o'}-w {path}",
            path=path,
        )
