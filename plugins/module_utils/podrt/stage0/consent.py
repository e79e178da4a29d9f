# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolators of an image beyond the defaults, which apply only with the operator's consent. Pure.

An isolator of an image may narrow the rights of its app; the part beyond the defaults is split off. Consent is the
operator's own isolator of the same family, which replaces the image's before anything is judged; the policy accept;
or an insecure option that lifts the whole family. Source: behaviours C2, C47, ruling 8.
"""

from __future__ import annotations

from ..appc.capabilities import DEFAULT
from ..appc.isolators import (
    NO_LIMIT,
    SECCOMP_PROFILE,
    Capabilities,
    CpuShares,
    OomScoreAdj,
    Pids,
    Seccomp,
    Sysctl,
)
from ..errors import first_of
from ..host.policy import ACCEPT, REFUSE
from ..pod.limits import PIDS_OF_APP
from ..seccomp.filters import CHECKED, DEFAULT_SET, EVERYTHING, NOTHING, default_calls, expanded
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Union

    from ..appc.isolators import Isolator

    # The part of an isolator within the defaults, None for nothing, and the names of the rest.
    Judged = tuple[Union[Isolator, None], tuple[str, ...]]

DEFAULT_SHARES = 1024
_DEFAULT_REFUSAL = "EPERM"
_SHOWN = 12
_LONGEST = 200
_ANY_ARCH = "arm"  # its whitelist is a superset of all others
# The calls that a message shows of those that a remove set leaves open.
_TELLING = (
    *("bpf", "clone3", "fsopen", "init_module", "io_uring_setup", "keyctl", "mount", "mount_setattr"),
    *("open_by_handle_at", "open_tree", "perf_event_open", "ptrace", "setns", "unshare", "userfaultfd"),
)
# These never go beyond the defaults: a limit, or a flag that only takes rights away.
_NARROWING = (
    "resource/memory",
    "resource/cpu",
    "resource/block-bandwidth",
    "resource/block-iops",
    "resource/network-bandwidth",
    "os/linux/no-new-privileges",
    "os/linux/capabilities-remove-set",
)


class Beyond(Value):
    """The names of what an isolator asks for beyond the defaults."""

    isolator: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.isolator}: {first_of(self.names, _SHOWN)}"


class ConsentRequest(Value):
    """The requests of an app's image beyond the defaults."""

    app: str
    image: str
    beyond: tuple[Beyond, ...]

    def __str__(self) -> str:
        return f'app "{self.app}": {self.image} asks for ' + "; ".join(map(str, self.beyond))


def judge(isolators: Sequence[Isolator]) -> tuple[tuple[Isolator, ...], tuple[Beyond, ...]]:
    """The parts of an image's isolators within the defaults, and what they ask for beyond."""
    within: list[Isolator] = []
    beyond: list[Beyond] = []
    for isolator in isolators:
        kept, names = _judged(isolator)
        if kept is not None:
            within.append(kept)
        if names:
            beyond.append(Beyond(isolator.name, names))
    if any(isinstance(isolator, Seccomp) and isolator.mode == "retain" for isolator in within):
        # A remove set has become a retain set of the other calls; one that removes nothing adds nothing to it.
        within = [isolator for isolator in within if not _removes_nothing(isolator)]
    return tuple(within), tuple(beyond)


def _removes_nothing(isolator: Isolator) -> bool:
    return isinstance(isolator, Seccomp) and isolator.mode == "remove" and isolator.names == (NOTHING,)


def apply_policy(
    asked: Sequence[Isolator], wanted: str, configured: Callable[[], str], insecure: Sequence[str]
) -> tuple[tuple[Isolator, ...], tuple[Beyond, ...], str]:
    """The isolators that an app gets of its image's, what they ask for beyond that, and the policy that decided.

    asked: those that the operator has not replaced. wanted: the operator's policy, "" for the configured one, which
    is looked up only where something lies beyond. What an insecure option lifts is not a request; it is narrowed all
    the same, since the pod may be run later without the option.
    """
    within, beyond = judge(asked)
    if not beyond:
        return tuple(asked), (), REFUSE
    chosen = wanted or configured()
    if chosen == ACCEPT:
        return tuple(asked), (), ACCEPT
    lifted = {isolator.name for isolator in asked if _is_lifted(isolator, insecure)}
    return within, tuple(each for each in beyond if each.isolator not in lifted), chosen


def _is_lifted(isolator: Isolator, insecure: Sequence[str]) -> bool:
    return (isinstance(isolator, Capabilities) and "capabilities" in insecure) or (
        (isinstance(isolator, Seccomp) or isolator.name == SECCOMP_PROFILE) and "seccomp" in insecure
    )


def _judged(isolator: Isolator) -> Judged:
    if isolator.name in _NARROWING:
        return isolator, ()
    if isinstance(isolator, Capabilities):
        return _capabilities(isolator)
    if isinstance(isolator, Seccomp):
        return _retained(isolator) if isolator.mode == "retain" else _removed(isolator)
    if isinstance(isolator, CpuShares):
        return _bounded(isolator, str(isolator.shares), beyond=isolator.shares > DEFAULT_SHARES)
    if isinstance(isolator, OomScoreAdj):
        return _bounded(isolator, str(isolator.score), beyond=isolator.score < 0)
    if isinstance(isolator, Pids):
        beyond = isolator.limit == NO_LIMIT or isolator.limit > PIDS_OF_APP
        return _bounded(isolator, str(isolator.limit), beyond=beyond)
    if isinstance(isolator, Sysctl):
        return None, tuple(name for name, _value in isolator.pairs)
    shown = str(isolator.to_json())
    return None, (shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}...",)


def _bounded(isolator: Isolator, name: str, *, beyond: bool) -> Judged:
    return (None, (name,)) if beyond else (isolator, ())


def _capabilities(isolator: Capabilities) -> Judged:
    beyond = tuple(name for name in isolator.names if name not in DEFAULT)
    if not beyond:
        return isolator, ()
    return isolator.replace(names=tuple(name for name in isolator.names if name in DEFAULT)), beyond


def _retained(isolator: Seccomp) -> Judged:
    """Judge a retain set. A call by its own name is allowed with any arguments; the default checks those of some."""
    if EVERYTHING in isolator.names:
        return None, (EVERYTHING,)
    allowed = default_calls(_ANY_ARCH)
    within: list[str] = []
    beyond: list[str] = []
    for item in isolator.names:
        calls = expanded(item, _ANY_ARCH)
        if item in CHECKED:
            within.append(f"@pods/{item}")
            beyond.append(f"{item} with any arguments")
        elif item.startswith("@") and allowed.issuperset(calls):
            within.append(item)
        else:
            within += [f"@pods/{call}" if call in CHECKED else call for call in calls if call in allowed]
            beyond += [call for call in calls if call not in allowed]
    if not beyond:
        return isolator, ()
    # A filter cannot be empty; the call that starts the program is always allowed.
    names = tuple(sorted(set(within))) or ("execve",)
    return isolator.replace(names=names), tuple(sorted(set(beyond)))


def _removed(isolator: Seccomp) -> Judged:
    """Judge a remove set, which leaves all other calls open, also those that the default refuses."""
    if _removes_nothing(isolator):
        return isolator, ()
    removed = {call for item in isolator.names for call in expanded(item, _ANY_ARCH)}
    allowed = default_calls(_ANY_ARCH)
    left = [f"@pods/{call}" if call in CHECKED else call for call in sorted(allowed - removed)]
    names = (DEFAULT_SET,) if allowed.isdisjoint(removed) else tuple(sorted(left)) or ("execve",)
    open_calls = tuple(call for call in _TELLING if call not in removed)
    within = Seccomp("retain", names, isolator.errno or _DEFAULT_REFUSAL)
    return within, ("all calls that it does not name", *open_calls)
