# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection of pods. Source: rkt gc; behaviours D16 to D20."""

from __future__ import annotations

import os

from ..errors import Conflict, HostFailure, NotFound, PodError, known
from ..host.files import remove_tree
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, locate, open_pod, walk
from ..value import Value
from . import units
from .change import at_stage
from .entry import call
from .volumes import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..host.host import Host
    from ..pod.lifecycle import Pod

GRACE_PERIOD = 30 * 60.0
EXPIRE_PREPARED = 24 * 3600.0
# It takes microseconds from making a directory or file to finishing it.
_HALF_MADE = 60.0


class GcPolicy(Value):
    """The times that pods are kept: seconds since an exited pod was marked, and since a pod was prepared."""

    grace_period: float = GRACE_PERIOD
    expire_prepared: float = EXPIRE_PREPARED
    mark_only: bool = False


class Verdict(Value):
    """The action of gc for a pod: mark, expire, abort (failed prepare), delete, or keep (within grace)."""

    uuid: str
    action: str
    state: PodState


def judge(host: Host, policy: GcPolicy, now: float | None = None) -> tuple[Verdict, ...]:
    """The verdicts of a collection, in its order. Changes nothing. Pods that other processes work on are left out."""
    clock = host.clock.time() if now is None else now
    found = []
    for pod in walk(host.paths):
        try:
            verdict = _judge(host, pod, policy, clock)
        except (PodError, OSError):
            continue
        if verdict:
            found.append(verdict)
    return tuple(found)


def _judge(host: Host, pod: Pod, policy: GcPolicy, now: float) -> Verdict | None:
    state = pod.state()
    age = now - os.stat(pod.dir.path).st_ctime
    named = _is_named(host, pod)
    if state is PodState.EXITED:
        if named:
            return None
        return Verdict(
            pod.uuid, "delete" if policy.grace_period <= 0 and not policy.mark_only else "mark", state
        )
    if state is PodState.ABORTED_PREPARE or (state is PodState.EMBRYO and age >= _settled(policy)):
        return Verdict(pod.uuid, "abort", state)
    if state is PodState.PREPARED and not policy.mark_only and age >= policy.expire_prepared and not named:
        return Verdict(pod.uuid, "expire", state)
    if state is PodState.EXITED_GARBAGE:
        kept = policy.mark_only or age < policy.grace_period
        return Verdict(pod.uuid, "keep" if kept else "delete", state)
    if state is PodState.GARBAGE and not policy.mark_only:
        return Verdict(pod.uuid, "delete", state)
    return None


def _settled(policy: GcPolicy) -> float:
    """The age in seconds at which a half-made pod or name is abandoned."""
    return min(_HALF_MADE, policy.grace_period)


def _is_named(host: Host, pod: Pod) -> bool:
    """Whether a name means the pod: it is part of the desired state, and a boot starts it again."""
    name = name_of(pod)
    return bool(name) and lookup.uuid_of_name(host.paths, name) == pod.uuid


def collect(
    host: Host, policy: GcPolicy, say: Callable[[str], None], tell: Callable[[str], None]
) -> list[PodError]:
    """Carry out the verdicts of judge; a failure does not stop the rest. say: for progress. tell: for results."""
    failures: list[PodError] = []
    for verdict in judge(host, policy):
        try:
            with open_pod(host.paths, verdict.uuid) as pod:
                _carry_out(host, pod, verdict, policy, say, tell)
        except Exception as err:
            if isinstance(err, NotFound) and locate(host.paths, verdict.uuid) is None:
                continue  # it is gone
            failures.append(known(f'cannot collect pod "{verdict.uuid}"', err))
    lookup.sweep(host.paths, host.clock.time() - _settled(policy))
    if not policy.mark_only:
        failures += sweep(host)
    return failures


def _carry_out(
    host: Host,
    pod: Pod,
    verdict: Verdict,
    policy: GcPolicy,
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:
    if not pod.lock() or locate(host.paths, pod.uuid) != pod.state_dir:
        return  # another process works on it, or has moved it
    words = {"mark": "pod", "abort": "failed prepare", "expire": "expired prepared pod"}
    if verdict.action == "keep":
        say(
            f'pod "{pod.uuid}" not removed: still within grace period ({format_duration(policy.grace_period)})'
        )
        return
    if verdict.action in words:
        say(f'moving {words[verdict.action]} "{pod.uuid}" to garbage')
        pod.move("exited-garbage" if verdict.action == "mark" else "garbage")
        if verdict.action == "mark" or policy.mark_only:
            return
    elif verdict.state is PodState.EXITED:
        say(f'moving pod "{pod.uuid}" to garbage')
        pod.move("exited-garbage")
    tell(f'Garbage collecting pod "{pod.uuid}"')
    delete(host, pod)


def delete(host: Host, pod: Pod) -> None:
    """Delete a pod whose lock is held and whose state allows it: its network, cgroups and mounts, then its files."""
    with at_stage("gc", f'cannot remove pod "{pod.uuid}"'):
        _delete(host, pod)


def _delete(host: Host, pod: Pod) -> None:
    # An interrupted rehearsal leaves the groups of a pod that was never run.
    if pod.state_dir in ("run", "exited-garbage") or os.path.lexists(pod.dir.subcgroup):
        call(host, pod, "stage1-gc", pod.uuid)
    try:
        if pod.state_dir in ("run", "prepare", "prepared", "embryo"):
            pod.move("exited-garbage" if pod.state_dir == "run" else "garbage")
        remove_tree(pod.dir.path)
    except OSError as err:
        raise HostFailure.of(f'cannot remove pod "{pod.uuid}"', err, "podctl gc tries again") from err
    pod.close()


def remove(host: Host, pod: Pod) -> None:
    """Delete one pod whatever the grace period. Raises Conflict when it is in use. Source: behaviours A43, D20."""
    state = pod.state()
    busy = {
        PodState.RUNNING: "currently running",
        PodState.PREPARING: "currently being prepared",
        PodState.DELETING: "currently being deleted",
        PodState.EXITED_DELETING: "currently being deleted",
    }
    if state in busy or not pod.lock():
        raise Conflict(
            f'pod "{pod.uuid}" is {busy.get(state, "in use by another process")}',
            "stop it first",
            uuid=pod.uuid,
        )
    name = name_of(pod)
    if name and host.runs_systemd and lookup.uuid_of_name(host.paths, name) == pod.uuid:
        units.remove(host, name)
    delete(host, pod)
    # Last, so that a pod that could not be deleted is still found by its name.
    if name:
        lookup.drop_name(host.paths, name, pod.uuid)


def name_of(pod: Pod) -> str:
    """The name that a pod was made with, also of a damaged one; "" if unknown. It may mean another pod by now."""
    try:
        return documents.read_runspec(pod.dir).name
    except (OSError, PodError):
        return documents.read_outline(pod.dir).name or lookup.name_of(pod.paths, pod.uuid)


def named_leftovers(host: Host, name: str) -> Iterator[str]:
    """The UUIDs of the pods that were made under a name, except running ones."""
    for pod in walk(host.paths):
        try:
            if name_of(pod) == name and pod.state() is not PodState.RUNNING:
                yield pod.uuid
        except PodError:
            continue


def format_duration(seconds: float) -> str:
    """A duration as rkt prints it: 30m0s. Source: Go time.Duration."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
