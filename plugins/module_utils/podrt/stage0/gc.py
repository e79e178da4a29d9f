# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection of pods. Source: rkt gc; behaviours D16 to D20."""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, HostFailure, NotFound, PodError, hint_for_errno, known
from ..host.files import disk_usage_if_any, remove_tree
from ..host.reading import read_text_or
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, locate, open_pod, walk
from ..value import Value
from . import units
from .change import Applied, Change, Difference, at_stage
from .entry import call
from .volumes import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .change import Plan

GRACE_PERIOD = 30 * 60.0
EXPIRE_PREPARED = 24 * 3600.0
# Where a pod goes before it is deleted.
_MOVES = {"mark": "exited-garbage", "abort": "garbage", "expire": "garbage"}
_NEVER_RUN = (PodState.PREPARED, PodState.ABORTED_PREPARE, PodState.GARBAGE)
# Between making a directory or file and finishing it are microseconds.
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
    named = bool(current_name(host, pod))
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


class CollectPod(Change):
    """Do to a pod what was judged. bytes: what its directory holds, if that was asked for and it is to go."""

    verdict: Verdict
    policy: GcPolicy
    bytes: int = 0

    def apply(self, host: Host) -> Applied:
        """A failure is told with the others. A pod that is gone, or that another process works on, is no difference."""
        uuid = self.verdict.uuid
        try:
            with open_pod(host.paths, uuid) as pod:
                done = self._carry_out(host, pod)
        except Exception as err:
            if isinstance(err, NotFound) and locate(host.paths, uuid) is None:
                return Applied(())
            return Applied((), failures=(known(f'cannot collect pod "{uuid}"', err),))
        return Applied() if done else Applied(())

    def _carry_out(self, host: Host, pod: Pod) -> bool:
        if not pod.lock() or locate(host.paths, pod.uuid) != pod.state_dir:
            return False
        action = self.verdict.action
        if action == "keep":
            self.report(action)
            return False
        if action == "delete" and self.verdict.state is PodState.EXITED:
            action = "mark"
        if action in _MOVES:
            self.report(action)
            pod.move(_MOVES[action])
        if self.verdict.action == "mark" or (action in _MOVES and self.policy.mark_only):
            return True
        self.report("delete")
        delete(host, pod)
        return True

    def report(self, step: str) -> None:
        """Called with the action of each step before it is done. A task has one result, and reports no steps."""


class SweepLeftovers(Change):
    """Remove what no pod is needed for to tell that it is garbage: files of names, ranges of users, volumes."""

    policy: GcPolicy

    def apply(self, host: Host) -> Applied:
        """Failures are told with the others."""
        lookup.sweep(host.paths, host.clock.time() - _settled(self.policy))
        if os.path.lexists(host.paths.subordinate_ids):
            from ..pod import subids  # most hosts have no pods with their own users

            with suppress(OSError, PodError):
                subids.sweep(host.paths)
        return Applied((), failures=() if self.policy.mark_only else (*sweep(host), *_forgotten(host)))


def _forgotten(host: Host) -> list[PodError]:
    """Have programs of networks forget what is not attached any more. Returns what has gone wrong."""
    if not any(os.path.isdir(host.paths.networks(place)) for place in host.paths.config_dirs):
        return []
    from .attachments import collect_attachments  # most hosts have the networks that are built in

    return collect_attachments(host.paths)


def ensure_collected(host: Host, policy: GcPolicy, *, measure: bool = False) -> Plan[None]:
    """Plan: pods that have ended are marked, and those whose time is over are gone, each whatever becomes of others.

    measure: whether changes know what their pods hold.
    """
    for verdict in judge(host, policy):
        kept = verdict.action == "keep"
        differences = () if kept else (_difference(verdict, policy),)
        size = _size(host, verdict) if measure and not kept else 0
        yield CollectPod(f'pod "{verdict.uuid}"', differences, verdict, policy, size)
    yield SweepLeftovers("leftovers of pods", (), policy)


def _difference(verdict: Verdict, policy: GcPolicy) -> Difference:
    left = (
        PodState.EXITED_GARBAGE
        if verdict.action == "mark"
        else PodState.GARBAGE
        if policy.mark_only
        else None
    )
    return Difference(f"pods.{verdict.uuid}", verdict.state.value, left.value if left else None, "drift")


def _size(host: Host, verdict: Verdict) -> int:
    place = locate(host.paths, verdict.uuid)
    removes = place and verdict.action != "mark"
    return disk_usage_if_any(host.paths.pod(place, verdict.uuid).path) if place and removes else 0


def delete(host: Host, pod: Pod) -> None:
    """Delete a pod whose lock is held and whose state allows it: its network, cgroups and mounts, then its files."""
    with at_stage("gc", f'cannot remove pod "{pod.uuid}"'):
        _delete(host, pod)


def _delete(host: Host, pod: Pod) -> None:
    # An interrupted rehearsal leaves the groups of a pod that was never run.
    if pod.state_dir in ("run", "exited-garbage") or os.path.lexists(pod.dir.subcgroup):
        call(host, pod, "gc")
    remove_staged(host, pod)
    try:
        if pod.state_dir in ("run", "prepare", "prepared", "embryo"):
            pod.move("exited-garbage" if pod.state_dir == "run" else "garbage")
        remove_tree(pod.dir.path)
    except OSError as err:
        hint = hint_for_errno(err) or "podctl gc tries again"
        raise HostFailure.of(f'cannot remove pod "{pod.uuid}"', err, hint) from err
    pod.close()
    # A range is on record before the pod has its file, and until it has no files at all.
    if os.path.lexists(host.paths.subordinate_ids):
        from ..pod.subids import free  # most hosts have no pods with their own users

        free(host.paths, pod.uuid)


def remove_staged(host: Host, pod: Pod) -> None:
    """Remove the pod in which apps of another one were prepared, if there is one. A failure is left to the next gc."""
    try:
        uuid = read_text_or(pod.dir.staged, "", beneath=pod.dir.path)
        # A damaged file names no other pod: of those only one that was never run can be removed here.
        with open_pod(host.paths, os.path.basename(uuid) or pod.uuid) as staged:
            if staged.uuid != pod.uuid and staged.state() in _NEVER_RUN:
                remove(host, staged)
    except (PodError, OSError):
        return


def remove(host: Host, pod: Pod) -> None:
    """Delete one pod whatever the grace period. Raises Conflict when it is in use. Source: behaviours A43, D20."""
    check_idle(pod)
    if not pod.lock():
        raise _in_use(pod, "in use by another process")
    name = name_of(pod)
    if name and host.runs_systemd and lookup.uuid_of_name(host.paths, name) == pod.uuid:
        units.remove(host, name)
    delete(host, pod)
    # Last, so that a pod that could not be deleted is still found by its name.
    if name:
        lookup.drop_name(host.paths, name, pod.uuid)


def check_idle(pod: Pod) -> None:
    """Raise Conflict when a pod runs, or is being prepared or deleted."""
    busy = {
        PodState.RUNNING: "currently running",
        PodState.PREPARING: "currently being prepared",
        PodState.DELETING: "currently being deleted",
        PodState.EXITED_DELETING: "currently being deleted",
    }
    state = pod.state()
    if state in busy:
        raise _in_use(pod, busy[state])


def _in_use(pod: Pod, how: str) -> Conflict:
    return Conflict(
        f'pod "{pod.uuid}" is {how}',
        "stop it first, and wait for its end: podctl status --wait UUID; podctl stop --force UUID kills it",
        uuid=pod.uuid,
    )


def name_of(pod: Pod) -> str:
    """The name that a pod was made with, also of a damaged one; "" if unknown. It may mean another pod by now."""
    try:
        return documents.read_runspec(pod.dir).name
    except (OSError, PodError):
        return documents.read_outline(pod.dir).name or lookup.name_of(pod.paths, pod.uuid)


def current_name(host: Host, pod: Pod) -> str:
    """The name that means a pod, "" for none. Such a pod is part of the desired state, and a boot starts it again."""
    name = name_of(pod)
    return name if name and lookup.uuid_of_name(host.paths, name) == pod.uuid else ""


def named_leftovers(host: Host, name: str) -> Iterator[str]:
    """The UUIDs of the pods that were made under a name, except running ones."""
    for pod in walk(host.paths):
        try:
            if name_of(pod) == name and pod.state() is not PodState.RUNNING:
                yield pod.uuid
        except PodError:
            continue
