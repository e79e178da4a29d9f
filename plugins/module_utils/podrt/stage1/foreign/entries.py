# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of a stage1 image: programs in its root, which is a copy of the image in the pod's directory.

Whatever they do, a forced stop kills all processes in the pod's groups, and gc leaves nothing of the pod.
Source: behaviours D24 to D28, D32.
"""

from __future__ import annotations

import os

from ...contexts import contextmanager
from ...errors import Conflict, Corrupt, HostFailure, NotFound, PodError, Unsupported
from ...host import programs, syscalls
from ...host.execution import why_not
from ...host.mountinfo import read_mounts
from ...pod import cgroups, documents, failure
from ...pod.runspec import START_SECONDS
from ...pod.stage1 import CONFIG, read_interface, run_flags
from ...pod.subids import range_of
from ..mounted import mount_roots
from ..plan import roots
from ..processes import await_started, become, join_groups, keep_lock, kill
from ..starter.registering import register_by_stage1, unregister_pod
from ..telling import warn
from .given import write_given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from ...host.host import Host
    from ...pod.lifecycle import Pod
    from ..request import EnterRequest

_LOCK_FD = "RKT_LOCK_FD"
_SECONDS = {"stop": 45.0, "gc": 120.0, "mend": 45.0, "rehearse": float(START_SECONDS)}
_MNT_DETACH = 2


class ImageStage1:
    """See stage1.entries."""

    def __init__(self, host: Host, pod: Pod, *, debug: bool, seconds: float = START_SECONDS) -> None:
        self._host = host
        self._pod = pod
        self._debug = debug
        self._seconds = seconds

    def run(self, *, detach: bool, interactive: bool) -> int:
        """Become the entry run, or, detached, have a child become it and wait until it has recorded its PID."""
        program = self._program("run")
        if not detach:
            self._become(program, interactive=interactive)
        log = self._pod.dir.stage1_log
        pid = become(lambda: self._become(program, interactive=False), self._pod, log)
        status = await_started(self._pod, pid, self._seconds)
        if status:
            raise failure.read(self._pod.dir) or HostFailure(
                f"its stage1 has ended with status {programs.exit_status(status)} before the pod was up",
                f"its output is in {log}",
                uuid=self._pod.uuid,
            )
        return 0

    def rehearse(self) -> None:
        """Call the entry if there is one: a pod whose stage1 cannot rehearse is found out when it starts."""
        if read_interface(self._pod.dir).path("rehearse"):
            self._call("rehearse")

    def enter(self, request: EnterRequest) -> NoReturn:
        """Become the entry enter. Raises Unsupported for what rkt's contract cannot express."""
        for flag, given in (
            ("user", request.user),
            ("group", request.group),
            ("supplementary-gids", request.groups is not None),
            ("workdir", request.working_directory != "/"),
            ("env", request.environment),
        ):
            if given:
                raise Unsupported(
                    f"--{flag} is not supported by the stage1 of the pod", f"leave out --{flag}"
                )
        program, pid = self._program("enter"), documents.await_pid(self._pod)
        if pid is None:
            raise Conflict(f'pod "{self._pod.uuid}" isn\'t currently running', uuid=self._pod.uuid)
        flags = (f"--pid={pid}", f"--appname={request.app}", "--", *request.argv)
        os.chdir(self._pod.dir.path)
        self._execute(program, flags, {**os.environ, "TERM": request.term})

    def stop(self, *, force: bool) -> None:
        """Call the entry; a forced stop then kills all that is left of the pod, even if the entry fails."""
        if not force:
            self._call("stop")
            return
        try:
            if read_interface(self._pod.dir).path("stop"):
                self._call("stop", "--force")
        except (PodError, OSError) as err:
            warn(err.message if isinstance(err, PodError) else str(err))
        kill(self._pod)

    def mend(self) -> None:
        """Call the entry."""
        self._call("mend")

    def release(self) -> None:
        """Remove its registration, and the control groups with the processes in them."""
        unregister_pod(self._pod.paths, self._pod.uuid, self._pod.dir)
        cgroups.remove_groups(cgroups.recorded(self._pod.dir))

    def gc(self) -> None:
        """Call the entry, and remove what it may leave. If it fails, that is only a warning: the pod shall go."""
        try:
            interface = read_interface(self._pod.dir)
            if interface.path("gc"):
                config = f"--local-config={self._host.paths.local_config}"
                self._call("gc", *((config,) if interface.version >= CONFIG else ()))
            else:
                warn(f"the stage1 of pod {self._pod.uuid} has no entry gc")
        except (PodError, OSError) as err:
            warn(err.message if isinstance(err, PodError) else str(err))
        self.release()
        self._unmount()

    def _become(self, program: str, *, interactive: bool) -> NoReturn:
        pod = self._pod.dir
        runspec, manifest = documents.read_runspec(pod), documents.read_manifest(pod)
        interface = read_interface(pod)
        for flag in interface.lacks(runspec):
            warn(f"{flag} option is not supported by stage1")
        token = ""
        if runspec.mds_register:
            token = register_by_stage1(self._pod.paths, self._pod.uuid, pod, manifest)
        nets, *others = run_flags(interface, runspec, self._host.paths.local_config)
        users = range_of(pod) if runspec.private_users else None
        of_users = (
            *((f"--private-users={users}",) if users else ()),
            *((f"--mds-token={token}",) if token else ()),
        )
        flags = (*self._debugging(), nets, *(("--interactive",) if interactive else ()), *of_users, *others)
        join_groups(self._pod.uuid, pod)
        try:
            write_given(pod, runspec, self._pod.uuid)
            mount_roots(pod, manifest, users)
            os.chdir(pod.path)
        except OSError as err:
            raise HostFailure.of("cannot build the roots of the pod", err) from err
        environment = {**os.environ, _LOCK_FD: str(keep_lock(self._pod))}
        self._execute(program, (*flags, self._pod.uuid), environment)

    def _debugging(self) -> tuple[str, ...]:
        return ("--debug",) if self._debug else ()

    def _execute(self, program: str, flags: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
        try:
            os.execve(program, (program, *flags), environment)  # pylint: disable=ansible-bad-function
        except OSError as err:
            raise HostFailure(f"cannot run the stage1 of the pod: {why_not(program, err)}") from err

    def _call(self, entry: str, *flags: str) -> None:
        """Run an entry to its end, in the pod's directory. Raises the error that it left, HostFailure."""
        program = self._program(entry)
        argv = (program, *(self._debugging() if entry == "gc" else ()), *flags, self._pod.uuid)
        failure.forget(self._pod.dir)
        with _within(self._pod.dir.path):
            try:
                done = programs.run(
                    argv, seconds=_SECONDS[entry], called=f"the entry {entry} of the pod's stage1"
                )
            except OSError as err:
                raise HostFailure(f"cannot run the stage1 of the pod: {why_not(program, err)}") from err
        if done.status:
            raise failure.read(self._pod.dir) or HostFailure(
                f"the entry {entry} of the pod's stage1 failed: {done.complaint}", exit_status=done.status
            )

    def _program(self, entry: str) -> str:
        """The path of an entry on the host; links are resolved in its root. Raises Unsupported, NotFound."""
        path = read_interface(self._pod.dir).path(entry)
        if not path:
            raise Unsupported(
                f"podctl {entry} not implemented for pod's stage1",
                "podctl stop --force kills the pod" if entry == "stop" else "",
            )
        root = os.open(self._pod.dir.stage1_root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = roots.open_path(root, path)
            try:
                return os.readlink(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
        except OSError as err:
            raise NotFound(
                f"the entry {entry} of the pod's stage1 is missing: {path}: {err.strerror}",
                "the image is not complete",
            ) from err
        finally:
            os.close(root)

    def _unmount(self) -> None:
        """Unmount what is left beneath the pod's directory: the removal of its files must reach no others."""
        below = f"{self._pod.dir.path}/"
        for mount in reversed([found.target for found in read_mounts() if found.target.startswith(below)]):
            try:
                syscalls.umount(mount, _MNT_DETACH)
            except OSError as err:
                raise HostFailure.of(f"cannot unmount {mount}", err) from err


@contextmanager
def _within(directory: str) -> Iterator[None]:
    """Work in a directory for a while. Raises Corrupt if it is gone."""
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        try:
            os.chdir(directory)
        except OSError as err:
            raise Corrupt(f"cannot enter {directory}: {err.strerror}", path=directory) from err
        yield
    finally:
        os.fchdir(before)
        os.close(before)
