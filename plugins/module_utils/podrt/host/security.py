# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's security modules of this machine know. Source: apparmor(7), selinux(8)."""

from __future__ import annotations

import os

from .reading import kernel_text_or, read_kernel

_ENABLED = "/sys/module/apparmor/parameters/enabled"
_PROFILES = "/sys/kernel/security/apparmor/profiles"
_CONTEXT = "/sys/fs/selinux/context"
# Of other namespaces of profiles, and of several profiles together.
_SPECIAL = (":", "//&")


def labels_of(pid: int) -> tuple[str, str]:
    """The AppArmor profile of a process with its mode, and its SELinux label; "" each where the kernel has none."""
    if os.path.exists(_CONTEXT):
        return "", _attribute(pid, "current")
    if not _has_apparmor():
        return "", ""
    return _attribute(pid, "apparmor/current") or _attribute(pid, "current"), ""


def _has_apparmor() -> bool:
    return kernel_text_or(_ENABLED, "N").strip() == "Y"


def _attribute(pid: int, name: str) -> str:
    """What a security module says of a process, "" where it says nothing. Older kernels have it in current alone."""
    try:
        return read_kernel(f"/proc/{pid}/attr/{name}").decode(errors="replace").strip("\0\n")
    except OSError:
        return ""


def why_no_profile(profile: str) -> str:
    """The reason why no program can run under an AppArmor profile, "" if one can, or nothing is known of that."""
    if not _has_apparmor():
        return "this host has no AppArmor"
    if profile == "unconfined" or profile.startswith(_SPECIAL[0]) or _SPECIAL[1] in profile:
        return ""
    try:
        lines = read_kernel(_PROFILES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    loaded = {line.rpartition(" (")[0] for line in lines}
    return "" if profile in loaded else "the profile is not loaded on this host"


def why_no_label(label: str) -> str:
    """The reason why no program can have an SELinux label, "" if one can."""
    if not os.path.exists(_CONTEXT):
        return "this host has no SELinux"
    try:
        fd = os.open(_CONTEXT, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(fd, label.encode() + b"\0")
        finally:
            os.close(fd)
    except OSError as err:
        return f"the policy of this host does not know it: {err.strerror}"
    return ""
