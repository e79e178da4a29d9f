# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sysctls belong to a namespace of a pod, and so can be set for it alone. Source: namespaces(7)."""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..host.reading import kernel_text_or

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Sysctl
    from .runspec import RunSpec

IPC = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_UTS = ("kernel.domainname",)
# What a single number says as well. Source: linux/kernel/sysctl.c, proc_do_large_bitmap; net/core/sysctl_net_core.c.
_OF_LISTS = (
    "net.ipv4.ip_local_reserved_ports",
    "net.core.flow_limit_cpu_bitmap",
    "net.core.rps_default_mask",
)
_DIGITS, _DIGITS_OF_HEX = frozenset("0123456789"), frozenset("0123456789abcdef")
_NUMBERS = ("a number", "numbers")
# A switch of the whole host, although every network namespace has it: see rootfs.
_OF_THE_HOST = ("net.netfilter.nf_hooks_lwtunnel",)


def check_sysctl(name: str, run: RunSpec, where: str) -> None:
    """Raise InvalidSpec unless a sysctl belongs to a namespace that the pod has for itself."""
    if name.startswith("net.") and run.host_network:
        raise _shared(name, "network", "networks: [host]", where)
    if name.startswith(IPC) and run.ipc == "parent":
        raise _shared(name, "IPC", "ipc: parent", where)
    if name in _UTS and run.uts == "host":
        raise _shared(name, "UTS", "uts: host", where)
    known = name.startswith(("net.", *IPC)) or name in _UTS
    if not known or name in _OF_THE_HOST or ".." in name or "/" in name or name.endswith("."):
        hint = "only those of the network, IPC and UTS namespaces of the pod can be set"
        raise InvalidSpec(f'the sysctl "{name}" belongs to the host, not to the pod', hint, where=where)


def check_known(isolator: Sysctl) -> None:
    """Raise InvalidSpec for a sysctl that this kernel does not have, or a text for one that holds numbers.

    Those of an interface come with that.
    """
    for name, value in isolator.pairs:
        of_interface = name.split(".")[2:3] in (["conf"], ["neigh"])
        path = "/proc/sys/" + name.replace(".", "/")
        if not of_interface and not os.path.exists(path):
            hint = f"see sysctl -a for its name; a module of the kernel may have to be loaded for {name}"
            raise InvalidSpec(f'this host has no sysctl "{name}"', hint, where=f"sysctls.{name}")
        held = kernel_text_or(path, "").split()  # some can only be written
        if name not in _OF_LISTS and _are_numbers(held) and not _are_numbers(value.split()):
            raise InvalidSpec(
                f'"{value}" is no value of the sysctl "{name}", which holds {_NUMBERS[len(held) > 1]}',
                f"on this host it is {' '.join(held)}",
                where=f"sysctls.{name}",
            )


def _are_numbers(words: list[str]) -> bool:
    """Whether the kernel takes these words as numbers. Source: linux/kernel/sysctl.c."""
    return bool(words) and all(map(_is_number, words))


def _is_number(word: str) -> bool:
    digits = word.lower()[word[:1] in ("+", "-") :]
    if digits.startswith("0x"):
        return len(digits) > 2 and _DIGITS_OF_HEX.issuperset(digits[2:])
    return bool(digits) and _DIGITS.issuperset(digits)


def _shared(name: str, kind: str, option: str, where: str) -> InvalidSpec:
    return InvalidSpec(
        f'the sysctl "{name}" would be set for the host, whose {kind} namespace the pod shares',
        f"take {option} out, or set the sysctl on the host",
        where=where,
    )
