# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of an installation, from the options of a front door, in the same way for podctl and for tasks.

Every path is resolved once: the same directory by another path is still the same installation, the same owner of a
unit, and the same source of a volume.
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
    """The directories of an installation; "" for that of the configuration, or the default.

    Raises InvalidSpec naming the file of the configuration, HostFailure. Source: behaviours A.2, B58.
    """
    default = Paths()
    paths = Paths(
        local_config=os.path.realpath(local_config or default.local_config),
        system_config=os.path.realpath(system_config or default.system_config),
        user_config=os.path.realpath(user_config) if user_config else "",
    )
    config = _configured(paths)
    return paths.replace(
        data=os.path.realpath(data or (config and config.data_dir) or default.data),
        leases=os.path.realpath((config and config.leases) or default.leases),
    )


def _configured(paths: Paths) -> Config | None:
    """The paths of the configuration, None if it has none: then its readers are not even imported."""
    if not any(os.path.isdir(f"{place}/{PATHS_D}") for place in paths.config_dirs):
        return None
    from .config import configured_paths

    return configured_paths(paths)
