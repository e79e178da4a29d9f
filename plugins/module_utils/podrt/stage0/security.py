# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host has what apps are to be confined by: profiles of AppArmor, labels of SELinux, system calls."""

from __future__ import annotations

from ..appc.confinement import AppArmor, SelinuxContext
from ..appc.isolators import Seccomp
from ..errors import InvalidSpec, Unsupported, first_of
from ..host.security import why_no_label, why_no_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Isolator
    from ..appc.pod import PodManifest, RuntimeApp
    from ..host.host import Host

_UNCONFINED = "unconfined"
_MOST_NAMES = 10


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


def check_calls(app: RuntimeApp, own: tuple[Isolator, ...], where: str, insecure: tuple[str, ...]) -> None:
    """Raise InvalidSpec for a filter that retains only what does not exist: its first call would kill the app.

    Beside a known name an unknown one only has no effect. own: isolators that the app has of its description. where:
    the place of the app. insecure: the restrictions that the pod lifts. Source: behaviours C49.
    """
    from ..seccomp.filters import unknown_items  # with the sets of system calls

    isolators = app.app.isolators if app.app else ()
    found = next((each for each in isolators if isinstance(each, Seccomp) and each.mode == "retain"), None)
    if app.app is None or found is None or "seccomp" in app.waived(insecure):
        return
    unknown = unknown_items(app.app)
    if len(unknown) < len(found.names):
        return
    names = first_of(unknown, _MOST_NAMES)
    reason = f'none of the system calls and sets that app "{app.name}" retains are known here: {names}'
    if found in own:
        hint = "name those that it needs, or a set such as @docker/default-whitelist"
        raise InvalidSpec(reason, hint, where=f"{where}.seccomp.syscalls")
    hint = (
        "give the app a seccomp of its own, --seccomp on the command line, which replaces that of its image"
    )
    raise InvalidSpec(reason, hint, where=f"{where}.image")
