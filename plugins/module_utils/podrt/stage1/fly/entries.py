# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of fly: the one app of a pod in its root, and all else the host's. Source: behaviours D29 to D31."""

from __future__ import annotations

import _signal
import os

from ...errors import Conflict, HostFailure, NotFound, Unsupported
from ...host import syscalls
from ...host.syscalls import CLONE_NEWNS
from ...pod import cgroups, documents
from ..starter.stop import holds
from .app import FlyApp, become_app, end, prepared_app, raise_it, run_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ...host.host import Host
    from ...pod.lifecycle import Pod
    from ..request import EnterRequest


class FlyStage1:
    """See stage1.entries."""

    def __init__(self, _host: Host, pod: Pod) -> None:
        self._pod = pod

    def run(self, *, detach: bool, interactive: bool) -> int:
        """Become the app, or, detached, have a child become it."""
        from ..processes import become

        if not detach:
            become_app(self._pod, prepared_app(self._pod.dir), end)
        app = prepared_app(self._pod.dir)
        become(lambda: become_app(self._pod, app, raise_it), self._pod, self._pod.dir.app_log(app.name))
        return 0

    def rehearse(self) -> None:
        """Check its documents: what is missing in its root is found out when it starts."""
        prepared_app(self._pod.dir)

    def enter(self, request: EnterRequest) -> NoReturn:
        """Run a command in the root of the app, as root unless the request names a user."""
        from ..starter.registering import variables_of

        pid = documents.await_pid(self._pod)
        if pid is None or not holds(pid, self._pod):
            raise Conflict(f'pod "{self._pod.uuid}" isn\'t currently running', uuid=self._pod.uuid)
        app = prepared_app(self._pod.dir)
        if request.app != app.name:
            raise NotFound(f'pod "{self._pod.uuid}" has no app "{request.app}"')
        try:
            mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            syscalls.setns(mounts, CLONE_NEWNS)
        except OSError as err:
            raise HostFailure.of(f'cannot enter pod "{self._pod.uuid}"', err) from err
        variables = dict(variables_of(self._pod.dir))
        environment = {
            **dict(app.environment),
            **variables,
            "TERM": request.term,
            **dict(request.environment),
        }
        run_in(
            self._pod.dir.app_root(app.name),
            FlyApp(
                app.name,
                request.argv,
                tuple(environment.items()),
                request.working_directory,
                request.user or "0",
                request.group or (app.group if request.user else "0"),
                request.groups or (),
                app.docker,
            ),
            end,
        )

    def stop(self, *, force: bool) -> None:
        """Signal the app; a forced stop kills all processes of the pod."""
        from ..processes import kill

        if force:
            kill(self._pod)
            return
        pid = documents.await_pid(self._pod)
        if pid is None:
            return
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if holds(pid, self._pod):
                _signal.pidfd_send_signal(process, _signal.SIGTERM)
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def mend(self) -> None:
        """Raise Unsupported: it has nothing that could be lost."""
        raise Unsupported("a pod of fly has no networks and limits to mend")

    def release(self) -> None:
        """Remove its registration, the control groups, and processes that the app has left."""
        from ..starter.registering import unregister_pod

        unregister_pod(self._pod.paths, self._pod.uuid, self._pod.dir)
        cgroups.remove_groups(cgroups.recorded(self._pod.dir))

    gc = release
