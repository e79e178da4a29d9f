# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounding set of an app. Source: capabilities(7), linux/capability.h, behaviours C47."""

from __future__ import annotations

from ..errors import InvalidSpec
from .isolators import Capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .isolators import Isolator

# Bit n of a mask is the n-th name.
NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
EVERY = (1 << 64) - 1
DEFAULT = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)


# The candidates for a guard, the most harmless first; see guard_of.
_GUARDS = (
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_LEASE",
    "CAP_NET_BROADCAST",
    "CAP_IPC_OWNER",
    "CAP_IPC_LOCK",
    "CAP_NET_BIND_SERVICE",
    "CAP_AUDIT_WRITE",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYS_NICE",
    "CAP_SYSLOG",
    "CAP_SYS_PACCT",
)


def bounding_set(isolators: tuple[Isolator, ...], *, insecure: bool) -> int:
    """The mask of an app's bounding set. Raises InvalidSpec for an unknown name."""
    if insecure:
        return EVERY
    sets = [isolator for isolator in isolators if isinstance(isolator, Capabilities)]
    if not sets:
        return mask_of(DEFAULT)
    named = mask_of(sets[-1].names)
    return named if sets[-1].mode == "retain" else mask_of(DEFAULT) & ~named


def mask_of(names: tuple[str, ...]) -> int:
    """The mask of some names. Raises InvalidSpec for an unknown one."""
    mask = 0
    for name in names:
        if name not in NAMES:
            raise InvalidSpec(f'unknown capability "{name}"', "capabilities(7) lists them", where="isolators")
        mask |= 1 << NAMES.index(name)
    return mask


def names_of(mask: int) -> list[str]:
    """The names of the capabilities in a mask, in the order of their numbers. Pure."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def guard_of(boundings: Iterable[int], permitted: int) -> int:
    """The mask of a capability that PID 1 keeps only because no app has it; 0 if all are taken. Pure.

    A process may not trace one with a capability that it lacks; see ptrace(2). boundings: of all apps. permitted: the
    capabilities that PID 1 can keep, few in a guest or in a confined unit.
    """
    free = permitted
    for bounding in boundings:
        free &= ~bounding
    return next((mask for name in _GUARDS if (mask := mask_of((name,))) & free), 0)
