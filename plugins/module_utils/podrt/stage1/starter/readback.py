# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at what the kernel has really applied to the apps of a pod that has just been started.

Limits of control groups are read back when they are set, and mounts when they are made. An app may give up more by
itself, but get nothing back: so it never has more than was asked for, unless something is wrong.
"""

from __future__ import annotations

from ...appc.capabilities import names_of
from ...errors import HostFailure
from ...pod.rights import rights_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.cgroups import Group
    from ...pod.rights import AppRights
    from ..plan.sandbox import Launch, SandboxPlan


def check_applied(plan: SandboxPlan, groups: tuple[Group, ...], pid_1: int) -> None:
    """Raise HostFailure if an app has rights beyond its plan. One that has ended, or no group, is not looked at."""
    if not groups:
        return
    launches = {app.name: app.launch for app in plan.apps}
    root = plan.users.first if plan.users else 0
    for found in rights_of(pid_1, [(name, groups[0].leaf(name)) for name in launches]):
        wrong = _excess(found, launches[found.app], root)
        if wrong:
            raise HostFailure(
                f'the kernel has not applied what app "{found.app}" is restricted to: {wrong}',
                "the pod was ended; report it with the version of the kernel",
                app=found.app,
            )


def _excess(found: AppRights, launch: Launch, root: int) -> str:
    """What an app has beyond its plan, "" for nothing. Pure."""
    surplus = (found.bounding | found.permitted) & ~launch.bounding
    if surplus:
        return f"it has {', '.join(names_of(surplus)) or 'capabilities without a name'}"
    if launch.filter and not found.filtered:
        return "it has no system call filter"
    if launch.no_new_privs and not found.no_new_privs:
        return "it may gain privileges by set-user-ID programs"
    if found.root != root:
        return f"its root is user {found.root} of the host, not {root}"
    return ""
