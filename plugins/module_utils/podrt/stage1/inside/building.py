# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roots of apps, built by a process with all rights of the host's root, and what is looked up in them."""

from __future__ import annotations

import os

from ...errors import HostFailure, NotFound, printable
from ...host import syscalls
from ...host.execution import CHDIR_FAILED, program_path
from ...host.identity import identity_of
from ..plan.roots import MountedRoot, open_dir
from ..plan.volumes import id_map
from .app import Resolved
from .rehearsal import misdescribed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ...host.identity import Identity
    from ..plan.mounts import Step
    from ..plan.sandbox import AppPlan, Launch, SandboxPlan

    T = TypeVar("T")
    # See pod.idmaps, which knows of pods on disk.
    IdMap = tuple[tuple[int, int, int], ...]


def own_what_is_made(plan: SandboxPlan) -> None:
    """Let the root of the pod's users own what this process makes from now on; it keeps its capabilities."""
    if plan.users:
        syscalls.prctl(syscalls.PR_SET_SECUREBITS, syscalls.SECBIT_NO_SETUID_FIXUP)
        syscalls.set_fs_ids(plan.users.first, plan.users.first)


def own_as_before(plan: SandboxPlan) -> None:
    """End that. The kernel forgets with the IDs which signal the end of the parent brings."""
    if plan.users:
        syscalls.set_fs_ids(0, 0)
        syscalls.prctl(syscalls.PR_SET_SECUREBITS, 0)


def build(app: AppPlan, users: int, maps: dict[IdMap, int]) -> None:
    """Build the root of an app. users: the namespace of the pod's own users; maps: those of mounts with their maps."""
    try:
        app.root.mount(users)
    except OSError as err:
        raise HostFailure.of(f'cannot set up app "{app.name}": {app.root}', err) from err
    root = _open_root(app)
    try:
        for step in app.steps:
            rows = id_map(step)
            _apply(app, step.replace(users=maps[rows]) if rows else step, root)
    finally:
        os.close(root)


def finish(plan: SandboxPlan, app: AppPlan, number: int) -> Resolved:
    """Apply the last steps, and look up programs and user in the finished root.

    number: of the app in its pod, to name the place in the spec of what the image lacks.
    """
    root = _open_root(app)
    try:
        if app.launch.docker:
            _make_working_directory(app, number, root)
        for step in app.last_steps:
            _apply(app, step, root)
        launch = app.launch
        return Resolved(
            argv=_placed(app, number, "exec", lambda: _argv(root, launch, launch.argv)),
            pre_start=_placed(app, number, "pre_start", lambda: _argv(root, launch, launch.pre_start)),
            post_stop=_placed(app, number, "post_stop", lambda: _argv(root, launch, launch.post_stop)),
            identity=_placed(
                app,
                number,
                "user",
                lambda: _identity(plan, root, launch),
            ),
        )
    finally:
        os.close(root)


def _make_working_directory(app: AppPlan, number: int, root: int) -> None:
    """Make the working directory of a docker image if it is missing, as docker does: before the root may be read-only,
    and in what is mounted there. Raises InvalidSpec.
    """
    path = app.launch.working_directory
    try:
        os.close(open_dir(root, path))
    except OSError as err:
        failed = misdescribed(
            app.name,
            number,
            "working_dir",
            f'app "{app.name}" could not be started: cannot make the working directory "{printable(path)}": '
            f"{err.strerror}",
            "name one that the image has, or a path where it can be made",
        )
        failed.exit_code = CHDIR_FAILED
        raise failed from err


def _identity(plan: SandboxPlan, root: int, launch: Launch) -> Identity:
    """The user of an app, in the IDs of the pod's users."""
    first = plan.users.first if plan.users else 0
    seen = MountedRoot(root, first)
    found = identity_of(seen, launch.user, launch.group, launch.groups, docker=launch.docker)
    if plan.users:
        found.check_within(plan.users.count)
    return found


def _apply(app: AppPlan, step: Step, root: int) -> None:
    try:
        step.apply(root)
    except OSError as err:
        raise HostFailure.of(f'cannot set up app "{app.name}": {step}', err) from err


def _open_root(app: AppPlan) -> int:
    return os.open(app.root.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _argv(root: int, launch: Launch, argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv:
        return ()
    return (program_path(MountedRoot(root), argv[0], launch.search, launch.working_directory), *argv[1:])


def _placed(app: AppPlan, number: int, field: str, look_up: Callable[[], T]) -> T:
    """Look something up. What the image lacks is an error of the spec, and the error names its place there."""
    try:
        return look_up()
    except NotFound as err:
        wrong = str(err.facts.get("field", field))
        raise misdescribed(app.name, number, wrong, err.message, err.hint) from err
