# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of a filter: the families of sockets that may be created. Pure.

libseccomp cannot express this: on x86 it also takes a rule about socket(2) for one about socketcall(2), whose arguments
are in memory that filters cannot read. So there socketcall(2) may create no sockets at all (socket(2) is as old as
Linux 4.3), unless it is native, as on i386, ppc64le and s390x: a C library may know nothing else.

AF_VSOCK leads to the hypervisor and other guests whatever the network namespace is, AF_ALG to the ciphers of the
kernel; the others have been removed from the kernel, with their bugs. With a netlink socket of the audit subsystem an
app could write forged logins into the host's audit log; it gets the error by which libaudit recognizes a kernel without
audit. Source: seccomp(2), socketcall(2), netlink(7), linux/socket.h, asm/unistd.h, docker's default profile.
"""

from __future__ import annotations

import errno
import struct
import sys

from ..host.machine import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..host.machine import Architecture

    # An instruction: code, operand, the labels to jump to for yes and for no. A text is the label of the next one.
    Line = Union[str, tuple[int, int, str, str]]

SOCKETS = ("socket", "socketcall", "socketpair")
# DECnet, Econet, ATM SVC, IrDA, WANPIPE, ISDN, CAIF; AF_ALG, AF_VSOCK.
REFUSED_FAMILIES = (12, 19, 20, 23, 25, 34, 37, 38, 40)
_FIRST_UNKNOWN_FAMILY = 46
_AF_NETLINK, _NETLINK_AUDIT = 16, 9
_NO_AUDIT = 0x00050000 | errno.EPROTONOSUPPORT  # SECCOMP_RET_ERRNO
_LOAD, _AND, _EQUAL, _AT_LEAST, _GO, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x05, 0x06
_NR, _ARCH, _ARGUMENT = 0, 4, 16 if sys.byteorder == "little" else 20
_PROTOCOL = _ARGUMENT + 16
_NOT_X32 = 0xFFFFFFFF & ~0x40000000
_MAKING = {"socket": 1, "socketpair": 8}  # as socketcall(2) counts
_NEXT = ""


def guard(checked: tuple[str, ...], arch: str, refusal: int) -> bytes:
    """Instructions before a filter that refuse certain sockets, and otherwise go on to the filter.

    checked: the names of the calls to check, others are ignored. refusal: the SECCOMP_RET_ value of refused calls.
    """
    calls = tuple(name for name in SOCKETS if name in checked)
    own = named(arch)
    if not own or not calls:
        return b""
    lines = _calls_of(own.replace(socketcall=-1), calls)
    for other in filter(None, map(named, own.also)):
        lines += _calls_of(other, calls)
    lines += [
        (_GO, 0, "end", ""),
        "multiplexed",
        (_LOAD, _ARGUMENT, _NEXT, _NEXT),
        *((_EQUAL, number, "refuse", _NEXT) for name, number in _MAKING.items() if name in calls),
        (_GO, 0, "end", ""),
        "family",
        (_LOAD, _ARGUMENT, _NEXT, _NEXT),  # the kernel takes an int, whatever the upper bits are
        (_AT_LEAST, _FIRST_UNKNOWN_FAMILY, "refuse", _NEXT),
        *((_EQUAL, family, "refuse", _NEXT) for family in REFUSED_FAMILIES),
        (_EQUAL, _AF_NETLINK, _NEXT, "passed"),
        (_LOAD, _PROTOCOL, _NEXT, _NEXT),
        (_EQUAL, _NETLINK_AUDIT, "no audit", _NEXT),
        "passed",
        (_GO, 0, "end", ""),
        "no audit",
        (_RETURN, _NO_AUDIT, _NEXT, _NEXT),
        "refuse",
        (_RETURN, refusal, _NEXT, _NEXT),
        "end",
    ]
    return _assembled(lines)


def _calls_of(machine: Architecture, calls: tuple[str, ...]) -> list[Line]:
    """The jumps for the calls of one architecture; those of another skip them."""
    other = f"not {machine.audit}"
    lines: list[Line] = [
        (_LOAD, _ARCH, _NEXT, _NEXT),
        (_EQUAL, machine.audit, _NEXT, other),
        (_LOAD, _NR, _NEXT, _NEXT),
    ]
    if machine.name == "amd64":
        lines.append((_AND, _NOT_X32, _NEXT, _NEXT))
    for name, number in (("socket", machine.socket), ("socketpair", machine.socketpair)):
        if name in calls:
            lines.append((_EQUAL, number, "family", _NEXT))
    if "socketcall" in calls and machine.socketcall >= 0:
        lines.append((_EQUAL, machine.socketcall, "multiplexed", _NEXT))
    return [*lines, (_GO, 0, "end", ""), other]


def _assembled(lines: list[Line]) -> bytes:
    """The bytes of struct sock_filter; jumps lead forward, by the number of instructions that they skip."""
    places: dict[str, int] = {}
    instructions: list[tuple[int, int, str, str]] = []
    for line in lines:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    program = b""
    for at, (code, operand, yes, no) in enumerate(instructions):
        to_yes, to_no = (places.get(label, at + 1) - at - 1 for label in (yes, no))
        if code == _GO:
            program += struct.pack("HBBI", code, 0, 0, to_yes)
        else:
            program += struct.pack("HBBI", code, to_yes, to_no, operand)
    return program
