# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/PID/mountinfo as values. Source: proc(5)."""

from __future__ import annotations

from ..value import Value
from .reading import kernel_lines, kernel_text, read_kernel

_MOUNT = "mnt_id:"
# The types of file systems whose files the kernel makes as they are read.
MADE_BY_KERNEL = (
    *("proc", "sysfs", "cgroup", "cgroup2", "mqueue", "debugfs", "tracefs", "securityfs", "configfs", "bpf"),
    *("pstore", "efivarfs", "binfmt_misc", "fusectl", "autofs"),
)


class MountEntry(Value):
    """One mount: its target, its type, the options of its file system. device: of its files, as MAJOR:MINOR."""

    device: str
    target: str
    root: str
    options: tuple[str, ...]
    fs_type: str
    source: str
    super_options: tuple[str, ...]


def read_mounts(pid: str = "self") -> tuple[MountEntry, ...]:
    """The mounts that a process sees. Raises OSError."""
    text = read_kernel(f"/proc/{pid}/mountinfo").decode(errors="surrogateescape")
    return tuple(_parse(line) for line in kernel_lines(text))


def mount_of(fd: int) -> str:
    """The line with the ID of the mount that a descriptor is in. Source: proc_pid_fdinfo(5)."""
    lines = kernel_lines(kernel_text(f"/proc/self/fdinfo/{fd}"))
    return next(line for line in lines if line.startswith(_MOUNT))


def _parse(line: str) -> MountEntry:
    left, _sep, right = line.partition(" - ")
    fields, (fs_type, source, super_options) = left.split(" "), right.split(" ", 2)
    return MountEntry(
        device=fields[2],
        target=_unescape(fields[4]),
        root=_unescape(fields[3]),
        options=tuple(fields[5].split(",")),
        fs_type=fs_type,
        source=_unescape(source),
        super_options=tuple(super_options.split(",")),
    )


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
