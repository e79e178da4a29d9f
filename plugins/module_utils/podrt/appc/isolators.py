# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolators, one type each. Source: appc schema/types/isolator_*.go, behaviours C43 to C53."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .alphabet import DIGITS, UPPER, is_made_of
from .quantity import format_bytes, format_millis, limit_of, parse_millis, parse_units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Union

    from .confinement import AppArmor, SeccompProfile, SelinuxContext
    from .resources import Resource

    Isolator = Union[
        "Memory",
        "Cpu",
        "CpuShares",
        Resource,
        "OomScoreAdj",
        "Pids",
        "Capabilities",
        "Seccomp",
        "NoNewPrivileges",
        "Sysctl",
        "Rlimits",
        AppArmor,
        SeccompProfile,
        SelinuxContext,
    ]
    _Reader = Callable[[Fields], Isolator]

# The isolators of the file resources.
RESOURCES = (
    *("os/linux/memory-reservation", "os/linux/memory-swap", "os/linux/cpuset-cpus", "os/linux/cpuset-mems"),
    *("os/linux/block-weight", "os/linux/block-read-bps", "os/linux/block-write-bps"),
    *("os/linux/block-read-iops", "os/linux/block-write-iops"),
    *("resource/block-bandwidth", "resource/block-iops", "resource/network-bandwidth"),
)
# Those of the file confinement.
SECCOMP_PROFILE = "os/linux/seccomp-profile"
CONFINEMENT = ("os/linux/apparmor-profile", SECCOMP_PROFILE, "os/linux/selinux-context")
_OF_MEMORY = "os/linux/memory-"
MODES = ("retain", "remove")  # of a set of capabilities or system calls
NO_LIMIT = -1
# In the order of their numbers. Source: getrlimit(2), linux/resource.h.
RLIMITS = (
    *("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks"),
    *("sigpending", "msgqueue", "nice", "rtprio", "rttime"),
)
_MOST_PIDS = 1 << 22  # the most PIDs of a 64-bit kernel
_LARGEST_LIMIT = 2**63 - 1  # the largest that memory.limit_in_bytes and memory.max accept
_MOST_CORES = 1_000_000  # not far from a quota of 2**44 microseconds, the largest that cpu.max accepts


class Memory(Value):
    """resource/memory: the limit in bytes, and what is reserved of it, 0 for nothing."""

    limit: int
    request: int = 0
    name = "resource/memory"

    def check(self) -> None:
        """Raise InvalidSpec for less than a page, which cannot hold a process, and for more than the kernel accepts."""
        if self.limit < 4096:
            low = f"memory limit of {self.limit} bytes too low"
            raise InvalidSpec(
                low,
                "use a reasonable value, such as 16M",
                where="limit",
                on_argv=f"{low}. Try a reasonable value, such as --memory=16M",
            )
        if self.limit > _LARGEST_LIMIT:
            raise InvalidSpec(
                f"memory limit of {self.limit} bytes is more than the kernel takes",
                "leave it out for no limit",
                where="limit",
            )

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"request": format_bytes(self.request or self.limit), "limit": format_bytes(self.limit)}


class Cpu(Value):
    """resource/cpu: the limit in thousandths of a core."""

    limit: int
    name = "resource/cpu"

    def check(self) -> None:
        """Raise InvalidSpec for 0, with which no process would run, and for too many cores."""
        if self.limit < 1:
            raise InvalidSpec("the CPU limit must be above 0", "write cores as 2 or 750m", where="limit")
        if self.limit > 1000 * _MOST_CORES:
            raise InvalidSpec(
                f"the CPU limit must not be above {_MOST_CORES} cores",
                "leave it out for no limit",
                where="limit",
            )

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"request": format_millis(self.limit), "limit": format_millis(self.limit)}


class CpuShares(Value):
    """os/linux/cpu-shares: the weight, 2 to 262144."""

    shares: int
    name = "os/linux/cpu-shares"

    def check(self) -> None:
        """Raise InvalidSpec unless the number is in the kernel's range."""
        if not 2 <= self.shares <= 262144:
            raise InvalidSpec(f"{self.shares} is not between 2 and 262144", where="value")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return self.shares


class OomScoreAdj(Value):
    """os/linux/oom-score-adj: -1000 to 1000."""

    score: int
    name = "os/linux/oom-score-adj"

    def check(self) -> None:
        """Raise InvalidSpec unless the number is in the kernel's range."""
        if not -1000 <= self.score <= 1000:
            raise InvalidSpec(f"{self.score} is not between -1000 and 1000", where="value")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return self.score


class Pids(Value):
    """resource/pids, not in appc: the most processes and threads at a time, NO_LIMIT for any number."""

    limit: int
    name = "resource/pids"

    def check(self) -> None:
        """Raise InvalidSpec unless the limit allows one process, and is in the kernel's range."""
        if self.limit != NO_LIMIT and not 1 <= self.limit <= _MOST_PIDS:
            raise InvalidSpec(
                f"{self.limit} is out of range",
                f"use 1 to {_MOST_PIDS}, or {NO_LIMIT} for no limit",
                where="limit",
            )

    def to_json(self) -> object:
        """The value of the isolator."""
        return {"limit": self.limit}


class Capabilities(Value):
    """os/linux/capabilities-retain-set or -remove-set: names such as CAP_NET_ADMIN, sorted."""

    mode: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the isolator."""
        return f"os/linux/capabilities-{self.mode}-set"

    def check(self) -> None:
        """Raise InvalidSpec unless all names start with CAP_."""
        for name in self.names:
            if not (name.startswith("CAP_") and is_made_of(name[4:], UPPER + "_")):
                raise InvalidSpec(f'"{name}" is not a capability', "write it as CAP_NET_ADMIN", where="set")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"set": list(self.names)}


class Seccomp(Value):
    """os/linux/seccomp-retain-set or -remove-set: system calls and @scope/name wildcards, sorted; errno may be ""."""

    mode: str
    names: tuple[str, ...]
    errno: str = ""

    @property
    def name(self) -> str:
        """The name of the isolator."""
        return f"os/linux/seccomp-{self.mode}-set"

    def check(self) -> None:
        """Raise InvalidSpec for an empty set, and unless errno is spelled as in errno(3)."""
        if not self.names:
            raise InvalidSpec("the set of system calls must not be empty", where="set")
        if self.errno and not (self.errno[0] == "E" and is_made_of(self.errno[1:], UPPER + DIGITS)):
            raise InvalidSpec(f'"{self.errno}" is not an errno', "write it as EPERM", where="errno")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"set": list(self.names), **({"errno": self.errno} if self.errno else {})}


class NoNewPrivileges(Value):
    """os/linux/no-new-privileges."""

    value: bool
    name = "os/linux/no-new-privileges"

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return self.value


class Sysctl(Value):
    """os/unix/sysctl: pairs of a name and a text."""

    pairs: tuple[tuple[str, str], ...]
    name = "os/unix/sysctl"

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return dict(self.pairs)


class Rlimits(Value):
    """os/linux/rlimits, not in appc: one of RLIMITS with its soft and hard limit each, NO_LIMIT for none."""

    limits: tuple[tuple[str, int, int], ...]
    name = "os/linux/rlimits"

    def check(self) -> None:
        """Raise InvalidSpec unless names are known, numbers in range, and no soft limit is above the hard one."""
        for name, soft, hard in self.limits:
            if name not in RLIMITS:
                raise InvalidSpec(f'there is no limit "{name}"', f"use {', '.join(RLIMITS)}", where=name)
            for number in (soft, hard):
                if not NO_LIMIT <= number <= _LARGEST_LIMIT:
                    hint = f"use 0 to {_LARGEST_LIMIT}, or {NO_LIMIT} for no limit"
                    raise InvalidSpec(f"{number} is out of range", hint, where=name)
            if hard != NO_LIMIT and not 0 <= soft <= hard:
                raise InvalidSpec("the soft limit is above the hard one", "raise the hard one", where=name)

    @property
    def numbered(self) -> tuple[tuple[str, int, int, int], ...]:
        """The limits, with the number of each after its name."""
        return tuple((name, RLIMITS.index(name), soft, hard) for name, soft, hard in self.limits)

    def to_json(self) -> object:
        """The value of the isolator."""
        return {name: {"soft": soft, "hard": hard} for name, soft, hard in self.limits}


def check_memory(isolators: Sequence[Isolator]) -> None:
    """Raise InvalidSpec, naming the option, unless memory, its reservation and swap go together."""
    limits = [each.limit for each in isolators if isinstance(each, Memory)]
    for each in isolators:
        if each.name.startswith(_OF_MEMORY):
            from .resources import check_beside  # few apps have any

            check_beside(each, limits[-1] if limits else 0)


def check_sets(isolators: Sequence[Isolator], where: str) -> None:
    """Raise InvalidSpec for a retain set beside a remove set of the same kind."""
    if any(isinstance(each, Seccomp) for each in isolators) and any(
        each.name == SECCOMP_PROFILE for each in isolators
    ):
        raise InvalidSpec(
            "system calls cannot be given both as a set and as a profile",
            "take seccomp or seccomp_profile out",
            where="seccomp_profile",
            on_argv="error: cannot use both --seccomp and --seccomp-profile on the same image",
        )
    for kind, what in ((Capabilities, "capabilities"), (Seccomp, "system calls")):
        if len({isolator.name for isolator in isolators if isinstance(isolator, kind)}) > 1:
            raise InvalidSpec(
                f"{what} cannot be given both as a retain set and as a remove set",
                "name the whole set, or what to take from the default one",
                where=where,
                on_argv="error: cannot use both --caps-retain and --caps-remove on the same image",
            )


def isolator_from_json(value: object, where: str) -> Isolator:
    """Read an appc isolator. Raises InvalidSpec with the place, also when its name is unknown."""
    fields = Fields(value, where)
    name = fields.text("name")
    if name not in _READERS:
        raise InvalidSpec(f'unknown isolator "{name}"', where=fields.where_of("name"))
    return isolator_of(name, fields)


def isolator_of(name: str, fields: Fields) -> Isolator:
    """Read the isolator of a known name from an object with its value. Raises InvalidSpec with the place."""
    return _READERS[name](fields)


def isolator_to_json(isolator: Isolator) -> dict[str, object]:
    """The appc object {name, value}."""
    return {"name": isolator.name, "value": isolator.to_json()}


def _quantity(kind: Callable[[int], Isolator], parse: Callable[[str, str], int]) -> _Reader:
    def read(fields: Fields) -> Isolator:
        members = fields.within("value")
        return members.made(kind, limit_of(members, parse))

    return read


def _memory(fields: Fields) -> Isolator:
    """Read appc's: a request below the limit is a reservation; earlier releases wrote the limit as the request."""
    members = fields.within("value")
    limit, request = limit_of(members, parse_units), members.raw("request")
    asked = parse_units(request, members.where_of("request")) if isinstance(request, str) else limit
    return members.made(Memory, limit, asked if asked < limit else 0)


def _resource(name: str) -> _Reader:
    def read(fields: Fields) -> Isolator:
        from .resources import resource_of  # few apps have any

        return resource_of(name, fields)

    return read


def _confinement(name: str) -> _Reader:
    def read(fields: Fields) -> Isolator:
        from .confinement import confinement_of  # few apps have any

        return confinement_of(name, fields)

    return read


def _whole(kind: Callable[[int], Isolator]) -> _Reader:
    return lambda fields: fields.made(kind, fields.integer("value"))


def _pids(fields: Fields) -> Isolator:
    members = fields.within("value")
    return members.made(Pids, members.integer("limit"))


def _capabilities(mode: str) -> _Reader:
    def read(fields: Fields) -> Isolator:
        members = fields.within("value")
        return members.made(Capabilities, mode, tuple(sorted(set(members.strings("set")))))

    return read


def _seccomp(mode: str) -> _Reader:
    def read(fields: Fields) -> Isolator:
        members = fields.within("value")
        names = tuple(sorted(set(members.strings("set"))))
        return members.made(Seccomp, mode, names, members.text("errno", ""))

    return read


def _rlimits(fields: Fields) -> Isolator:
    members = fields.within("value")
    return members.made(Rlimits, tuple((name, *_soft_and_hard(members, name)) for name in members.names()))


def _soft_and_hard(members: Fields, name: str) -> tuple[int, int]:
    """The soft and the hard limit; a single number is both."""
    if not isinstance(members.raw(name), dict):
        return members.integer(name), members.integer(name)
    limit = members.within(name)
    for member in limit.names():
        if member not in ("soft", "hard"):
            raise InvalidSpec("there is no such limit", "give soft and hard", where=limit.where_of(member))
    return limit.integer("soft"), limit.integer("hard")


_READERS: dict[str, _Reader] = {
    "resource/memory": _memory,
    "resource/pids": _pids,
    "resource/cpu": _quantity(Cpu, parse_millis),
    "os/linux/cpu-shares": _whole(CpuShares),
    "os/linux/oom-score-adj": _whole(OomScoreAdj),
    "os/linux/capabilities-retain-set": _capabilities("retain"),
    "os/linux/capabilities-remove-set": _capabilities("remove"),
    "os/linux/seccomp-retain-set": _seccomp("retain"),
    "os/linux/seccomp-remove-set": _seccomp("remove"),
    "os/linux/no-new-privileges": lambda fields: NoNewPrivileges(fields.boolean("value")),
    "os/unix/sysctl": lambda fields: Sysctl(fields.pairs("value")),
    "os/linux/rlimits": _rlimits,
    **{name: _confinement(name) for name in CONFINEMENT},
    **{name: _resource(name) for name in RESOURCES},
}


def family(isolator: Isolator) -> str:
    """The key under which an isolator replaces others: retain and remove sets of one kind have the same.

    A profile of system calls replaces sets of them.
    """
    if isolator.name == SECCOMP_PROFILE:
        return Seccomp.__name__
    return type(isolator).__name__ if isinstance(isolator, (Capabilities, Seccomp)) else isolator.name
