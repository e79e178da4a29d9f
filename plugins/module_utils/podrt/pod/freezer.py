# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The apps of a running pod held still, and let go on: by the freezer of the control groups that they are in.

The supervisor is in no frozen group, so it goes on to log, to obey and to end. A stage1 without groups of apps is held
still as a whole. Of cgroup v2 the kernel still ends a frozen process that is killed, of v1 not before it is let go on.
Source: Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze"; cgroup-v1/freezer-subsystem.rst.
"""

from __future__ import annotations

import os
import time

from ..contexts import suppress
from ..errors import HostFailure, Unsupported
from ..host.files import write_kernel
from ..host.reading import kernel_text_or
from . import cgroups
from .documents import kind_of
from .runspec import NATIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir
    from .lifecycle import Pod

_V2, _V1 = "cgroup.freeze", cgroups.FREEZER
_EVENTS, _IS_FROZEN = "cgroup.events", "frozen 1"
_WORDS = {_V2: ("1", "0"), _V1: ("FROZEN", "THAWED")}
_HELD = ("1", "FROZEN", "FREEZING")
_SECONDS = 10.0
_POLL_SECONDS = 0.01


def is_paused(pod: PodDir) -> bool:
    """Whether apps of a pod are held still, or are about to be. Raises nothing for a pod without groups."""
    return any(_read(group, file) in _HELD for group, file in _groups(pod))


def is_settled(pod: PodDir, *, paused: bool) -> bool:
    """Whether each app of a pod is held still, or none is. An app may have been started since others were paused."""
    if not paused:
        return not is_paused(pod)
    groups = _first(_groups(pod))
    return bool(groups) and all(_read(group, file) in _HELD for group, file in groups)


def pause(pod: Pod) -> None:
    """Hold the apps of a running pod still; it is done when this returns.

    Raises Unsupported without a freezer, HostFailure when a process cannot be stopped, and then all go on.
    """
    groups = _first(_groups(pod.dir))
    if not groups:
        raise Unsupported(
            f'pod "{pod.uuid}" cannot be paused: its control groups have no freezer',
            "mount cgroup v2, or the v1 controller freezer, before the pod is started",
        )
    try:
        for group, file in groups:
            write_kernel(f"{group}/{file}", _WORDS[file][0])
        _await(pod, groups)
    except OSError as err:
        unpause(pod)
        raise HostFailure.of(f'cannot pause pod "{pod.uuid}"', err) from err
    except BaseException:
        unpause(pod)
        raise


def unpause(pod: Pod, app: str = "") -> None:
    """Let the apps of a pod go on, or one of them alone. Raises HostFailure."""
    try:
        for group, file in _groups(pod.dir):
            with suppress(FileNotFoundError):  # it has ended meanwhile
                if app in ("", os.path.basename(group)):
                    write_kernel(f"{group}/{file}", _WORDS[file][1])
    except OSError as err:
        raise HostFailure.of(f'cannot let pod "{pod.uuid}" go on', err) from err


def _groups(pod: PodDir) -> tuple[tuple[str, str], ...]:
    """The groups that can be frozen, and the files that do it: those of v2 first."""
    recorded, by_app = cgroups.recorded(pod), kind_of(pod) == NATIVE
    return tuple(
        (group, file)
        for file in (_V2, _V1)
        for top in recorded
        if os.path.exists(f"{top}/{file}")
        for group in (_leaves(top) if by_app else (top,))
    )


def _first(groups: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Of groups of both versions those by which a pod is paused."""
    return tuple((group, file) for group, file in groups if file == groups[0][1])


def _leaves(top: str) -> list[str]:
    with suppress(OSError):
        return cgroups.app_leaves(top)
    return []


def _await(pod: Pod, groups: tuple[tuple[str, str], ...]) -> None:
    """Wait until all are still: a process in the middle of a system call may take a moment."""
    end = time.monotonic() + _SECONDS
    while not all(_is_still(group, file) for group, file in groups):
        if time.monotonic() > end:
            raise HostFailure(
                f'a process of pod "{pod.uuid}" could not be paused within {_SECONDS:g} seconds',
                "it may wait for a disk or a network file system; try again",
            )
        time.sleep(_POLL_SECONDS)


def _is_still(group: str, file: str) -> bool:
    if file == _V2:
        return _IS_FROZEN in _read(group, _EVENTS).splitlines()
    return _read(group, file) == _WORDS[_V1][0]


def _read(group: str, file: str) -> str:
    try:
        return kernel_text_or(f"{group}/{file}", "")
    except OSError:
        return ""  # it was removed meanwhile
