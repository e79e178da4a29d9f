# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data directory: any user may start the runtime in it, the rest is accessible to root only.

Images are full of set-user-ID files, with owners and modes that are meant for the inside of a pod. A local user that
could reach them on the host would get the rights of their owners there.
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
    """Create the data directory if it is missing, and close its private parts to others. Raises OSError.

    Older versions left some of them open.
    """
    make_dirs(paths.data, OPEN_DIR)
    for path in paths.private:
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            if mode & ~PRIVATE_DIR:
                os.chmod(path, mode & PRIVATE_DIR)
