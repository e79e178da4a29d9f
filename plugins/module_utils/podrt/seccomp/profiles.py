# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of system calls in the JSON of docker, which podman and OCI runtimes read too. Pure.

A profile is a default action, and rules in their order; a rule may apply to some capabilities, architectures or kernels
only, which is decided when the filter is compiled. Source: moby profiles/seccomp, runtime-spec config-linux.md,
seccomp(2).
"""

from __future__ import annotations

import errno

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    # The index of an argument, the operator, and two values.
    Argument = tuple[int, str, int, int]
    # The action, the call, and the arguments that it is about.
    Rule = tuple[str, str, tuple[Argument, ...]]

# By their names without SCMP_ACT_: ours, to which those with a number add ":" and it.
ACTIONS = {
    "ALLOW": "allow",
    "ERRNO": "errno",
    "KILL": "kill-thread",
    "KILL_THREAD": "kill-thread",
    "KILL_PROCESS": "kill",
    "LOG": "log",
    "TRACE": "trace",
    "TRAP": "trap",
}
_NUMBERED = ("errno", "trace")
# Those of libseccomp.
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
# The architectures of libseccomp by the names of docker's conditions.
ARCHES = {
    "amd64": "X86_64",
    "x86": "X86",
    "x32": "X32",
    "arm": "ARM",
    "arm64": "AARCH64",
    "ppc64le": "PPC64LE",
    "s390": "S390",
    "s390x": "S390X",
    "riscv64": "RISCV64",
    "mips64le": "MIPSEL64",
    "mipsle": "MIPSEL",
}
# Those of images that docker calls otherwise.
_OURS = {"aarch64": "arm64", "i386": "x86", "armv7l": "arm", "armv6l": "arm"}
_LARGEST, _MOST_ARGUMENTS, _MOST_CALLS, _LARGEST_ERRNO = 2**64 - 1, 6, 20_000, 4095
_PREFIX_ACTION, _PREFIX_ARCH, _PREFIX_OPERATOR = "SCMP_ACT_", "SCMP_ARCH_", "SCMP_CMP_"


class Circumstances(Value):
    """Where a filter is to be used: an app's capabilities, the architecture as images name it, the kernel."""

    capabilities: frozenset[str]
    arch: str
    kernel: tuple[int, ...]


class RuleSet(Value):
    """A filter before it is compiled. arches: those of libseccomp that it is for beside the machine's own."""

    default: str
    arches: tuple[str, ...]
    rules: tuple[Rule, ...]


def rules_of(profile: object, around: Circumstances, where: str = "") -> RuleSet:
    """The rules of a profile that apply. Raises InvalidSpec with the place."""
    fields = Fields(profile, where)
    for member in ("flags", "listenerPath", "listenerMetadata"):
        if fields.has(member):
            raise InvalidSpec(
                f"{member} of a profile is not supported", "take it out", where=fields.where_of(member)
            )
    default = _action(fields, "defaultAction", "defaultErrnoRet", "defaultErrno")
    rules: list[Rule] = []
    for each in fields.each("syscalls"):
        action = _action(each, "action", "errnoRet", "errno")
        arguments = tuple(_argument(arg) for arg in each.each("args"))
        names = each.strings("names") if each.has("names") else (each.text("name"),)
        if _applies(each, around):
            rules += [(action, name, one) for name in names for one in _alternatives(arguments)]
    if len(rules) > _MOST_CALLS:
        raise InvalidSpec(f"a profile of {len(rules)} rules is too long", where=fields.where)
    return RuleSet(default, _arches(fields, around), tuple(rules))


def _action(fields: Fields, member: str, number: str, name: str) -> str:
    text = fields.text(member)
    action = ACTIONS.get(text[len(_PREFIX_ACTION) :]) if text.startswith(_PREFIX_ACTION) else None
    if action is None:
        reason = f'the action "{text}" is not supported'
        if text == "SCMP_ACT_NOTIFY":
            reason += ": there is no process that would answer"
        hint = f"use {', '.join(_PREFIX_ACTION + each for each in ACTIONS)}"
        raise InvalidSpec(reason, hint, where=fields.where_of(member))
    if action not in _NUMBERED:
        return action
    found = fields.optional_integer(number)
    said = fields.optional_text(name)
    meant = getattr(errno, said, None) if said else errno.EPERM
    if not isinstance(meant, int):
        raise InvalidSpec(f'"{said}" is not an errno of this machine', where=fields.where_of(name))
    if found is None:
        found = meant
    if not 0 <= found <= _LARGEST_ERRNO:
        raise InvalidSpec(
            f"{found} is out of range", f"use 0 to {_LARGEST_ERRNO}", where=fields.where_of(number)
        )
    return f"{action}:{found}"


def _argument(fields: Fields) -> Argument:
    text = fields.text("op")
    operator = text[len(_PREFIX_OPERATOR) :] if text.startswith(_PREFIX_OPERATOR) else ""
    if operator not in OPERATORS:
        hint = f"use {', '.join(_PREFIX_OPERATOR + each for each in OPERATORS)}"
        raise InvalidSpec(f'"{text}" is not an operator', hint, where=fields.where_of("op"))
    index, first, second = fields.integer("index"), fields.integer("value"), fields.integer("valueTwo", 0)
    for number, most, member in (
        (index, _MOST_ARGUMENTS - 1, "index"),
        (first, _LARGEST, "value"),
        (second, _LARGEST, "valueTwo"),
    ):
        if not 0 <= number <= most:
            raise InvalidSpec(f"{number} is out of range", where=fields.where_of(member))
    return index, operator, first, second


def _alternatives(arguments: tuple[Argument, ...]) -> tuple[tuple[Argument, ...], ...]:
    """All conditions together, or one by one where two are about one argument, as runc takes them."""
    indices = [argument[0] for argument in arguments]
    if len(set(indices)) < len(indices):
        return tuple((argument,) for argument in arguments)
    return (arguments,)


def _applies(fields: Fields, around: Circumstances) -> bool:
    """Whether a rule has all that it includes and nothing that it excludes."""
    includes, excludes = (
        fields.within(name) if fields.has(name) else Fields({}, name) for name in ("includes", "excludes")
    )
    arch = _OURS.get(around.arch, around.arch)
    if not set(includes.strings("caps")) <= around.capabilities:
        return False
    if includes.strings("arches") and arch not in includes.strings("arches"):
        return False
    if around.kernel < _kernel(includes, (0, 0)):
        return False
    if around.capabilities.intersection(excludes.strings("caps")) or arch in excludes.strings("arches"):
        return False
    return not excludes.has("minKernel") or around.kernel < _kernel(excludes, (0, 0))


def _kernel(fields: Fields, default: tuple[int, ...]) -> tuple[int, ...]:
    text = fields.optional_text("minKernel")
    if text is None:
        return default
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts[:2]):
        raise InvalidSpec(
            f'"{text}" is not a version of the kernel', "write 4.8", where=fields.where_of("minKernel")
        )
    return tuple(map(int, parts[:2]))


def _arches(fields: Fields, around: Circumstances) -> tuple[str, ...]:
    """The architectures beside the machine's own: those that the map has for it, or a list of all."""
    own = ARCHES.get(_OURS.get(around.arch, around.arch), "")
    found: list[str] = []
    for each in fields.each("archMap"):
        if _arch(each.text("architecture"), each) == own:
            found += [_arch(name, each) for name in each.strings("subArchitectures")]
    listed = [_arch(name, fields) for name in fields.strings("architectures")]
    if listed and own not in listed:
        raise InvalidSpec(
            f"the profile is not for this machine, {_PREFIX_ARCH}{own}",
            where=fields.where_of("architectures"),
        )
    return tuple(name for name in dict.fromkeys((*found, *listed)) if name != own)


def _arch(text: str, fields: Fields) -> str:
    if not text.startswith(_PREFIX_ARCH):
        raise InvalidSpec(f'"{text}" is not an architecture', "write SCMP_ARCH_X86_64", where=fields.where)
    return text[len(_PREFIX_ARCH) :]
