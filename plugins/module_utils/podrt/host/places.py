# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a front door is told to the directories of an installation, one way for podctl and for tasks.

Every path is followed to where it leads, once: that a directory is reached by another way makes no other installation
of it, no other owner of a unit, and no other source of a volume.
"""

from __future__ import annotations

import os

from .paths import PATHS_D, Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config


def find_paths(
    data: str = "", local_config: str = "", system_config: str = "", user_config: str = ""
) -> Paths:
    """The directories of an installation; "" is: not told, so that the configuration or the default says.

    Raises InvalidSpec naming the file of the configuration, HostFailure. Source: behaviours A.2, B58.
    """
    default = Paths()
    paths = Paths(
        local_config=os.path.realpath(local_config or default.local_config),
        system_config=os.path.realpath(system_config or default.system_config),
        user_config=os.path.realpath(user_config) if user_config else "",
    )
    said = _configured(paths)
    return paths.replace(
        data=os.path.realpath(data or (said and said.data_dir) or default.data),
        leases=os.path.realpath((said and said.leases) or default.leases),
    )


def _configured(paths: Paths) -> Config | None:
    """What the configuration says of paths, None where it says nothing: then its readers are not even imported."""
    if not any(os.path.isdir(f"{place}/{PATHS_D}") for place in paths.config_dirs):
        return None
    from .config import configured_paths

    return configured_paths(paths)
