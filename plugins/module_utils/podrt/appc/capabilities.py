# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which capabilities an app is bounded by. Source: capabilities(7), linux/capability.h, behaviours C47."""

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


# What may be a guard, the most harmless first; see guard_of.
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
    """The mask of an app's bounding set. Raises InvalidSpec for a name that no kernel has."""
    if insecure:
        return EVERY
    given = [isolator for isolator in isolators if isinstance(isolator, Capabilities)]
    if not given:
        return mask_of(DEFAULT)
    named = mask_of(given[-1].names)
    return named if given[-1].mode == "retain" else mask_of(DEFAULT) & ~named


def mask_of(names: tuple[str, ...]) -> int:
    """The mask of some names. Raises InvalidSpec for an unknown one."""
    mask = 0
    for name in names:
        if name not in NAMES:
            raise InvalidSpec(f'unknown capability "{name}"', "capabilities(7) lists them", where="isolators")
        mask |= 1 << NAMES.index(name)
    return mask


def guard_of(boundings: Iterable[int], permitted: int) -> int:
    """A capability that PID 1 keeps for no other reason than that no app has it; 0 where there is none. Pure.

    A process may not look into one that can do something that it cannot; see ptrace(2). boundings: of all apps.
    permitted: what PID 1 can keep, which is little in a guest or in a confined unit.
    """
    free = permitted
    for bounding in boundings:
        free &= ~bounding
    return next((mask for name in _GUARDS if (mask := mask_of((name,))) & free), 0)
