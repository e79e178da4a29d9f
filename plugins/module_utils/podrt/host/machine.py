# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine, for this interpreter's programs and system calls, and the table of those that pods run on."""

from __future__ import annotations

import os
import sys

from ..errors import Unsupported
from ..value import Value

# A 32-bit Python on a 64-bit kernel, such as that of Raspberry Pi OS, makes 32-bit system calls.
_NARROW = {"x86_64": "i686", "aarch64": "armv7l"}
# Names that a 64-bit kernel shows to a 32-bit process, and other names of the same kind of processor. Source:
# personality(2), PER_LINUX32.
_OTHER_NAMES = {"armv8l": "armv7l", "i386": "i686", "i486": "i686", "i586": "i686"}


class Architecture(Value):
    """An architecture that pods run on.

    machine: the name of uname -m. name: the name of appc. docker: architecture and variant of images that run on it,
    the best first. also: the names of other architectures whose programs its kernels run.

    The rest is from the kernel: AUDIT_ARCH, and numbers of system calls that the C library does not wrap or that
    filters check; numbers that are the same everywhere are defined where they are used. socketcall: -1 for none.
    Source: linux/audit.h, asm/unistd.h.
    """

    machine: str
    name: str
    docker: tuple[tuple[str, str], ...]
    audit: int
    bpf: int
    rt_sigaction: int
    keyctl: int
    socket: int
    socketpair: int
    socketcall: int = -1
    also: tuple[str, ...] = ()


_ARM = Architecture(
    "armv7l",
    "armv7l",
    (("arm", "v7"), ("arm", ""), ("arm", "v6"), ("arm", "v5")),
    audit=0x40000028,
    bpf=386,
    rt_sigaction=174,
    keyctl=311,
    socket=281,
    socketpair=288,
)
_AARCH64 = Architecture(
    "aarch64",
    "aarch64",
    (("arm64", "v8"), ("arm64", "")),
    audit=0xC00000B7,
    bpf=280,
    rt_sigaction=134,
    keyctl=219,
    socket=198,
    socketpair=199,
    also=("armv7l",),
)
ARCHITECTURES = (
    Architecture(
        "x86_64",
        "amd64",
        (("amd64", ""), ("amd64", "v1")),
        audit=0xC000003E,
        bpf=321,
        rt_sigaction=13,
        keyctl=250,
        socket=41,
        socketpair=53,
        also=("i386",),
    ),
    Architecture(
        "i686",
        "i386",
        (("386", ""),),
        audit=0x40000003,
        bpf=357,
        rt_sigaction=174,
        keyctl=288,
        socket=359,
        socketpair=360,
        socketcall=102,
    ),
    _AARCH64,
    _ARM,
    _ARM.replace(machine="armv6l", name="armv6l", docker=(("arm", "v6"), ("arm", "v5"))),
    Architecture(
        "ppc64le",
        "ppc64le",
        (("ppc64le", ""),),
        audit=0xC0000015,
        bpf=361,
        rt_sigaction=173,
        keyctl=271,
        socket=326,
        socketpair=333,
        socketcall=102,
    ),
    Architecture(
        "s390x",
        "s390x",
        (("s390x", ""),),
        audit=0x80000016,
        bpf=351,
        rt_sigaction=174,
        keyctl=280,
        socket=359,
        socketpair=360,
        socketcall=102,
    ),
    # It uses the generic numbers of the kernel, as aarch64 does.
    _AARCH64.replace(machine="riscv64", name="riscv64", docker=(("riscv64", ""),), audit=0xC00000F3, also=()),
)


def machine() -> str:
    """The name that uname -m prints, or would print on a kernel with the word size of this interpreter."""
    name = os.uname().machine
    name = name if sys.maxsize > 1 << 32 else _NARROW.get(name, name)
    return _OTHER_NAMES.get(name, name)


def architecture() -> Architecture:
    """The architecture of this machine. Raises Unsupported if pods do not run on it."""
    here = machine()
    for found in ARCHITECTURES:
        if found.machine == here:
            return found
    known = ", ".join(found.machine for found in ARCHITECTURES)
    raise Unsupported(f"pods do not run on this machine: it is a {here}", f"use one of {known}", machine=here)


def named(name: str) -> Architecture | None:
    """The architecture of a name of appc, None if pods do not run on it. Pure."""
    return next((found for found in ARCHITECTURES if found.name == name), None)
