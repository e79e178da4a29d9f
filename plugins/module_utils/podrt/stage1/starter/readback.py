# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at what the kernel has really applied to the apps of a pod that has just been started.

Limits of control groups are read back when they are set, and mounts when they are made. An app may give up more by
itself, but get nothing back: so it never has more than was asked for, unless something is wrong.
"""

from __future__ import annotations

import time

from ...appc.capabilities import names_of
from ...errors import HostFailure
from ...pod.rights import rights_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...pod.cgroups import Group
    from ...pod.rights import AppRights
    from ..plan.sandbox import Launch, SandboxPlan


_LOOKS, _PAUSE = 5, 0.01


def check_applied(plan: SandboxPlan, groups: tuple[Group, ...], pid_1: int) -> None:
    """Raise HostFailure if an app has rights beyond its plan. One that has ended, or no group, is not looked at."""
    if not groups:
        return
    leaves = [(app.name, groups[0].leaf(app.name)) for app in plan.apps]
    for _look in range(_LOOKS):
        wrong = _first_excess(plan, rights_of(pid_1, leaves))
        if not wrong[1]:
            return
        # A process that is just ending has lost its filter already.
        time.sleep(_PAUSE)
    app, excess = wrong
    raise HostFailure(
        f'the kernel has not applied what app "{app}" is restricted to: {excess}',
        "the pod was ended; report it with the version of the kernel",
        app=app,
    )


def _first_excess(plan: SandboxPlan, rights: Iterable[AppRights]) -> tuple[str, str]:
    """The first app that has more than its plan, and what that is. Empty texts for none."""
    launches = {app.name: app.launch for app in plan.apps}
    root = plan.users.first if plan.users else 0
    found = ((each.app, _excess(each, launches[each.app], root)) for each in rights)
    return next((each for each in found if each[1]), ("", ""))


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
