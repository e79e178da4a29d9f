# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory: anybody may start the runtime that is in it, all else is root's.

Images are full of files with set-user-ID, with owners and modes that mean something only inside of a pod. Whoever
could walk to them on the host would be their user there.
"""

from __future__ import annotations

import os
import stat

from ..contexts import suppress
from .files import OPEN_DIR, PRIVATE_DIR, make_dirs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .paths import Paths


def ensure(paths: Paths) -> None:
    """Make the data directory where it is missing, and close what is in it to others. Raises OSError.

    Older versions left some of it open.
    """
    make_dirs(paths.data, OPEN_DIR)
    for path in paths.private:
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            if mode & ~PRIVATE_DIR:
                os.chmod(path, mode & PRIVATE_DIR)
