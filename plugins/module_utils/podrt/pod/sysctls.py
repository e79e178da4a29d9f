# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sysctls belong to a namespace of a pod, and so can be set for it alone. Source: namespaces(7)."""

from __future__ import annotations

import os

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Sysctl
    from .runspec import RunSpec

IPC = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_UTS = ("kernel.domainname",)
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
    """Raise InvalidSpec for a sysctl that this kernel does not have. Those of an interface come with that."""
    for name, _value in isolator.pairs:
        of_interface = name.split(".")[2:3] in (["conf"], ["neigh"])
        if not of_interface and not os.path.exists("/proc/sys/" + name.replace(".", "/")):
            hint = f"see sysctl -a for its name; a module of the kernel may have to be loaded for {name}"
            raise InvalidSpec(f'this host has no sysctl "{name}"', hint, where=f"sysctls.{name}")


def _shared(name: str, kind: str, option: str, where: str) -> InvalidSpec:
    return InvalidSpec(
        f'the sysctl "{name}" would be set for the host, whose {kind} namespace the pod shares',
        f"take {option} out, or set the sysctl on the host",
        where=where,
    )
