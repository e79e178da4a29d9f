# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host has what apps are to be confined by beside the runtime: profiles of AppArmor, labels of SELinux."""

from __future__ import annotations

from ..appc.confinement import AppArmor, SelinuxContext
from ..errors import Unsupported
from ..host.security import why_no_label, why_no_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host

_UNCONFINED = "unconfined"


def check_confinement(host: Host, manifest: PodManifest) -> None:
    """Raise Unsupported unless the host can apply the profiles and labels of all apps."""
    for at, app in enumerate(manifest.apps):
        for each in app.app.isolators if app.app else ():
            where = f"apps[{at}]"
            if isinstance(each, AppArmor) and each.profile != _UNCONFINED:
                why = host.ask(why_no_profile, each.profile)
                _refuse(why, f'the AppArmor profile "{each.profile}"', f"{where}.apparmor", "apparmor")
            elif isinstance(each, SelinuxContext):
                why = host.ask(why_no_label, str(each))
                _refuse(why, f'the SELinux label "{each}"', f"{where}.selinux", "selinux")


def _refuse(why: str, what: str, where: str, option: str) -> None:
    if why:
        raise Unsupported(
            f"{what} cannot be applied: {why}",
            f"take {option} out for this host, or with image_isolators: narrow what the image asks for",
            where=where,
        )
