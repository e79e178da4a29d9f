# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits and the device rules of an app's leaf cgroups."""

from __future__ import annotations

from ...appc.capabilities import NAMES
from ...pod.limits import apply_limits
from ..plan.devices import apply_devices
from ..telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.cgroups import Group
    from ..plan.sandbox import AppPlan

_MKNOD = 1 << NAMES.index("CAP_MKNOD")


def confine_app(app: AppPlan, groups: tuple[Group, ...]) -> AppPlan:
    """Set the limits of an app's leaf cgroups. Returns the app, without CAP_MKNOD if devices cannot be restricted."""
    for sentence in apply_limits(groups, app.name, app.limits):
        warn(sentence)
    if not app.device_rules or apply_devices(groups, app.name, app.device_rules):
        return app
    warn(f"app {app.name} cannot create device nodes: there are no control groups to restrict them")
    return app.replace(launch=app.launch.replace(bounding=app.launch.bounding & ~_MKNOD))
