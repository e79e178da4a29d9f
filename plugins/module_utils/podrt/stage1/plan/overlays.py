# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlays whose directories are named by descriptors: short, and without characters that separate options.

Source: Documentation/filesystems/overlayfs.rst; behaviours C29.
"""

from __future__ import annotations

import os

from ...host import syscalls
from ...host.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID

_NO_USE = MS_NOSUID | MS_NODEV | MS_NOEXEC


def mount_overlay(
    target: str, lower: tuple[str, ...], upper: str, work: str, options: str = "", flags: int = 0
) -> None:
    """Mount an overlay of directories of the host. lower: topmost first. Raises OSError."""
    fds: list[int] = []
    try:
        for path in (*lower, upper, work):
            fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        mount_fds(target, fds[:-2], (fds[-2], fds[-1]), options, flags)
    finally:
        for fd in fds:
            os.close(fd)


def mount_fds(
    target: str, lower: list[int], upper: tuple[int, int] | None, options: str = "", flags: int = 0
) -> None:
    """Mount an overlay of descriptors. upper: with the one for its work, None for what is read-only. Raises OSError."""
    dirs = f"lowerdir={':'.join(map(str, lower))}"
    if upper:
        dirs += f",upperdir={upper[0]},workdir={upper[1]}"
    os.chdir("/proc/self/fd")
    try:
        syscalls.mount("overlay", target, "overlay", flags, f"{dirs},{options}" if options else dirs)
    finally:
        os.chdir("/")


def stage(place: str, trees: list[int]) -> None:
    """Attach mounts beneath a directory of the host, for an overlay to be made of them: older kernels refuse others."""
    syscalls.mount("layers", place, "tmpfs", _NO_USE, "mode=700,size=1m")
    top = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, tree in enumerate(trees):
            os.mkdir(str(number), dir_fd=top)
            syscalls.move_mount(tree, top, str(number))
    finally:
        os.close(top)
