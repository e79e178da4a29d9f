# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at what the kernel has really applied to apps that have just been started.

Limits of control groups are read back when they are set, and mounts when they are made. An app may give up more by
itself, but get nothing back: so it never has more than was asked for, unless something is wrong.
"""

from __future__ import annotations

import time

from ...appc.capabilities import mask_of, names_of
from ...errors import HostFailure
from ...pod.rights import id_map, rights_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...pod.cgroups import Group
    from ...pod.rights import AppRights
    from ..plan.sandbox import Launch, SandboxPlan

    Rows = tuple[tuple[int, ...], ...]

_LOOKS, _PAUSE = 5, 0.01
_KINDS = ("user", "group")
# With it a process lowers its own score. Source: proc(5).
_SYS_RESOURCE = mask_of(("CAP_SYS_RESOURCE",))


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
        "it was ended; report it with the version of the kernel",
        app=app,
    )


def _first_excess(plan: SandboxPlan, rights: Iterable[AppRights]) -> tuple[str, str]:
    """The first app that has more than its plan, and what that is. Empty texts for none."""
    launches = {app.name: app.launch for app in plan.apps}
    # A host may itself be a container, whose users are others outside of it.
    own = ((0, plan.users.first, plan.users.count),) if plan.users else None
    maps = (own or id_map("uid"), own or id_map("gid"))
    found = ((each.app, _excess(each, launches[each.app], maps)) for each in rights)
    return next((each for each in found if each[1]), ("", ""))


def _excess(found: AppRights, launch: Launch, maps: tuple[Rows, Rows]) -> str:
    """What an app has beyond its plan, "" for nothing. maps: those of its users and of its groups. Pure."""
    surplus = (found.bounding | found.permitted) & ~launch.bounding
    if surplus:
        return f"it has {', '.join(names_of(surplus)) or 'capabilities without a name'}"
    if launch.filter and not found.filtered:
        return "it has no system call filter"
    if launch.no_new_privs and not found.no_new_privs:
        return "it may gain privileges by set-user-ID programs"
    for kind, rows, wanted in zip(_KINDS, (found.uids, found.gids), maps):
        if rows != wanted:
            return f"its {kind}s are those of the host by {_said(rows)}, not {_said(wanted)}"
    score = launch.oom_score_adj
    if score is not None and found.oom_score_adj < score and not launch.bounding & _SYS_RESOURCE:
        return f"its OOM score adjustment is {found.oom_score_adj}, not {score}"
    if launch.labels and _lacks_profile(found, launch):
        return "it is under no AppArmor profile"
    return ""


def _lacks_profile(found: AppRights, launch: Launch) -> bool:
    from ..inside.labels import APPARMOR, UNCONFINED  # few apps have any

    profile = dict(launch.labels).get(APPARMOR, UNCONFINED)
    return profile != UNCONFINED and found.apparmor == UNCONFINED


def _said(rows: Rows) -> str:
    return ", ".join(" ".join(map(str, row)) for row in rows)
