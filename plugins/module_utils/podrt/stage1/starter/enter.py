# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry enter of stage1: a command in the namespaces of a pod and the root of an app, in the bounds of that app.

The bounds are read from the pod's documents, which every version writes, not from the app's process, which may differ.
Source: behaviours A45, A46 and ruling 8; attack-F2.
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import marshal
import os

from ...appc.capabilities import EVERY, mask_of
from ...errors import Conflict, HostFailure, NotFound
from ...host import syscalls
from ...host.reading import decimal, kernel_text, read_bytes
from ...host.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC
from ...pod import cgroups, documents
from ...pod.subids import range_of
from ..inside.command import EnteredCommand
from ..inside.process import set_oom_score
from ..inside.program import execute_module
from ..inside.rights import permitted_capabilities
from ..plan.sandbox import AppInput, is_traced, launch_of
from .given import count_passed, protect_passed
from .inputs import is_docker, read_filter
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ...appc.pod import PodManifest
    from ...host.host import Host
    from ...pod.lifecycle import Pod
    from ..plan.sandbox import Launch
    from ..request import EnterRequest

_PASSED_FDS, _PASSED_PID = "LISTEN_FDS", "LISTEN_PID"
_ROOT = "0"
# Source: ioctl_ns(2).
_NS_GET_USERNS = 0xB701
# Files whose presence shows that devices are restricted in a leaf cgroup: one of v1, or any of v2.
_DEVICE_FILES = ("devices.list", "cgroup.controllers")


def enter(_host: Host, pod: Pod, entry: EnterRequest) -> NoReturn:
    """Become the program that runs a command in an app of a running pod, on this process's terminal.

    It ends with the status of the command, or by the signal that killed it. Raises PodError.
    """
    pid = documents.await_pid(pod)
    if pid is None or not holds(pid, pod):
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    passed = count_passed(_said_to_be_passed())
    protect_passed(passed)
    try:
        # Even if the PID is used again from now on, the kernel joins no namespace of another process.
        process = os.pidfd_open(pid)
        own = range_of(pod.dir)
        users = users_of(pid, process) if own else -1
        fds = (process, users, *_leaves(pod, entry.app))
        manifest, insecure = documents.read_manifest(pod.dir), documents.read_runspec(pod.dir).insecure
        launch = _launch(pod, entry.app, manifest, insecure)
        command = _command(pod, entry, launch, pid, passed).replace(
            traced=not own and is_traced(manifest, insecure, permitted_capabilities()),
            users=own.count if own else 0,
        )
        # Set here, since no file can be written to later.
        _take_oom_score(launch, pid)
        _look_only()
        plan = marshal.dumps(command.row())  # type: ignore[arg-type]  # plain values
        execute_module("command", plan, fds)
    except OSError as err:
        raise HostFailure.of(f'cannot enter app "{entry.app}" of pod "{pod.uuid}"', err) from err


def _command(pod: Pod, entry: EnterRequest, launch: Launch, pid: int, passed: int) -> EnteredCommand:
    return EnteredCommand(
        app=entry.app,
        root=pod.dir.app_root(entry.app),
        argv=entry.argv,
        environment=_environment(pod, entry, passed),
        working_directory=entry.working_directory,
        user=entry.user or _ROOT,
        group=entry.group or (launch.group if entry.user else _ROOT),
        groups=(launch.groups if entry.user else ()) if entry.groups is None else entry.groups,
        docker=launch.docker,
        bounding=EVERY if entry.privileged else launch.bounding,
        no_new_privs=launch.no_new_privs and not entry.privileged,
        filter=b"" if entry.privileged else launch.filter,
        labels=() if entry.privileged else launch.labels,
        rlimits=launch.rlimits,
        traced=True,  # until the other apps are checked
        pid=pid,
        passed=passed,
    )


def _launch(pod: Pod, name: str, manifest: PodManifest, insecure: tuple[str, ...]) -> Launch:
    """The parameters that the app was started with. Raises PodError, OSError."""
    app = next((app for app in manifest.apps if app.name == name), None)
    if app is None or app.app is None:
        raise NotFound(f'pod "{pod.uuid}" has no app "{name}"')
    docker = is_docker(documents.read_app_manifest(pod.dir, name))
    given = AppInput(name, filter=read_filter(pod.dir, app), docker=docker)
    waived = app.waived(insecure)
    launch = launch_of(app.app, given, waived)
    if "paths" in waived or _are_devices_restricted(pod, name):
        return launch
    return launch.replace(bounding=launch.bounding & ~mask_of(("CAP_MKNOD",)))


def _environment(pod: Pod, entry: EnterRequest, passed: int) -> tuple[tuple[str, str], ...]:
    """The app's variables, from the file that stage1 wrote for it, TERM, and those of the request.

    passed: the number of descriptors that the command inherits.
    """
    try:
        lines = (
            read_bytes(pod.dir.app_env(entry.app), beneath=pod.dir.path)
            .decode(errors="surrogateescape")
            .split("\0")
        )
    except OSError as err:
        raise HostFailure.of(f'cannot read the environment of app "{entry.app}"', err) from err
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    variables["TERM"] = entry.term
    if passed:
        variables[_PASSED_FDS] = str(passed)
        if _PASSED_PID in os.environ:
            variables[_PASSED_PID] = os.environ[_PASSED_PID]
    variables.update(entry.environment)
    return tuple(variables.items())


def _said_to_be_passed() -> int:
    """The number of sockets that the caller passes to the command, as it says. Source: sd_listen_fds(3)."""
    return decimal(os.environ.get(_PASSED_FDS, "")) or 0


def _leaves(pod: Pod, app: str) -> list[int]:
    """Descriptors that move a process into every cgroup of the app, so that its limits hold. Raises OSError.

    A group that does not exist could not be created at the start of the pod.
    """
    fds = []
    for group in cgroups.recorded(pod.dir):
        try:
            fds.append(cgroups.joining_fd(f"{group}/{app}"))
        except OSError as err:
            if err.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
    return fds


def users_of(pid: int, process: int) -> int:
    """The namespace of the pod's own users, to which that of its host name belongs. Raises OSError."""
    names = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _signal.pidfd_send_signal(process, 0)  # it has not ended, so it was this process's namespace
        return fcntl.ioctl(names, _NS_GET_USERNS)
    finally:
        os.close(names)


def _are_devices_restricted(pod: Pod, app: str) -> bool:
    leaves = (f"{group}/{app}" for group in cgroups.recorded(pod.dir))
    return any(os.path.exists(f"{leaf}/{name}") for leaf in leaves for name in _DEVICE_FILES)


def _take_oom_score(launch: Launch, pid: int) -> None:
    """Take the OOM score of the app, or the pod's. Raises HostFailure, OSError."""
    score = launch.oom_score_adj
    wanted = int(kernel_text(f"/proc/{pid}/oom_score_adj")) if score is None else score
    if wanted != int(kernel_text("/proc/self/oom_score_adj")):
        set_oom_score(wanted)


def _look_only() -> None:
    """Make all of the host read-only, above all the interpreter: the app's programs can open it by /proc."""
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.mount_setattr(top, syscalls.AT_RECURSIVE, syscalls.MOUNT_ATTR_RDONLY)
    os.close(top)
