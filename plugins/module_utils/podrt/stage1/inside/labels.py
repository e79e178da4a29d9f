# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of AppArmor and labels of SELinux, which a process asks for and gets at its exec.

Any process may ask for itself. What the policy does not allow fails here or at the exec. Source:
Documentation/admin-guide/LSM/, libapparmor's aa_change_onexec(2), libselinux's setexeccon(3).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Pairs of a module of the kernel and a text.
    Labels = tuple[tuple[str, str], ...]

APPARMOR, SELINUX = "AppArmor", "SELinux"
# The newer one is AppArmor's own; the other belongs to the first module that the kernel has.
_FILES = {
    APPARMOR: ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"),
    SELINUX: ("/proc/self/attr/exec",),
}
# Of AppArmor, which a host without it applies too.
UNCONFINED = "unconfined"


def ask_for_labels(labels: Labels) -> None:
    """Have the next program of this process run under these. Raises OSError."""
    for module, text in labels:
        try:
            _ask(module, text)
        except OSError as err:
            if text != UNCONFINED:
                reason = f'the host does not apply {module} "{text}": {err.strerror}'
                raise OSError(err.errno, reason) from err


def _ask(module: str, text: str) -> None:
    path = next((path for path in _FILES[module] if os.path.exists(path)), _FILES[module][0])
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(fd, (f"exec {text}" if module == APPARMOR else f"{text}\0").encode())
    finally:
        os.close(fd)
