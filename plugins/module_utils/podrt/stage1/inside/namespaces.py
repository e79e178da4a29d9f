# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The child that becomes PID 1 of a pod: it creates the namespaces, forks the apps' children, builds the apps' roots,
leaves the host's root, and becomes the supervisor.

Meanwhile the apps' children prepare themselves; then they read their plans and wait until the supervisor starts them.
Until then the pod ends with the starter: the supervisor reads the end of its socket.
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys

from ...errors import HostFailure, PodError
from ...host import syscalls
from ...host.files import write_kernel
from ...host.syscalls import CLONE_NEWNS, CLONE_NEWUTS, MS_REC, MS_SLAVE
from ...value import Value
from ..pid1 import frames
from ..plan.roots import own_null
from . import sync
from .building import build, finish, own_as_before, own_what_is_made
from .children import fork_children, tell_child
from .enclosure import leave_host, lose_privileges, protect_interpreter
from .process import join_groups
from .program import EXTENSIONS, SUPERVISOR_ENVIRONMENT, sealed, supervisor_plan
from .rehearsal import rehearse
from .rights import leave_keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..pid1.record import AppRecord, LeaseRecord, SupervisorPlan
    from ..plan.mounts import SharedFs
    from ..plan.sandbox import SandboxPlan
    from .wires import PodWires

# The numbers of a record that are not descriptors.
_NO_FDS = ("pid", "pre_start", "stop_signal")
_FIRST_FD = 3
_STOPS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)


class Supervision(Value):
    """How the supervisor is started, and its settings beside the wires.

    executes: whether it is a program of its own. It is where the pod outlives the starter, of whose memory it would
    otherwise keep the larger part for itself, and where an app may look into it. Else it spares the start an
    interpreter.
    """

    argv: tuple[str, ...]
    programs: tuple[tuple[str, bytes], ...]
    handler: tuple[str, ...]
    stop_timeout: int
    max_bytes: int
    dies_with_starter: bool
    executes: bool
    waits_for_networks: bool
    rehearsal: bool = False
    # systemd's default time to stop a unit, which rkt's handlers had.
    handler_timeout: int = 90
    # The time of a handler once the pod is asked to stop, since the caller waits for it.
    hasty_timeout: int = 10
    # The time in which the apps have to be up, 0 where nothing waits for them.
    start_timeout: int = 0
    # Whether an app that fails ends the pod, and whether the pod stays without an app.
    end_pod: bool = True
    stays: bool = False


def become_pid_1(plan: SandboxPlan, wires: PodWires, how: Supervision) -> NoReturn:
    """Turn this child, PID 1 of its namespace, into the pod's supervisor. Reports a failure to the starter."""
    try:
        _become(plan, wires, how)
    except PodError as err:
        sync.send_failure(wires.sync, err)
    except OSError as err:
        sync.send_failure(wires.sync, HostFailure.of("cannot set up the pod", err))
    except BaseException:
        sys.excepthook(*sys.exc_info())  # a bug keeps its traceback, also in a child that must not unwind
    finally:
        os._exit(1)


def _become(plan: SandboxPlan, wires: PodWires, how: Supervision) -> None:
    os.close(wires.starter)
    leave_keyring()
    # Blocked until the supervisor handles them: PID 1 would lose them, while blocked ones stay pending.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _STOPS)
    _die_with_starter(how)
    join_groups(wires.groups)
    # A new session: the programs of an image find neither a terminal nor a process group of the caller, and a detached
    # pod outlives the starter's terminal. The starter passes on the signals of its terminal.
    os.setsid()
    null = _take_stdio(wires)
    os.umask(0o022)
    _take_namespaces(plan, wires)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    sync.send(wires.sync, frames.NAMESPACES)
    protect_interpreter()
    go, gone = os.pipe2(os.O_CLOEXEC)
    children = fork_children(wires, go, rehearsal=how.rehearsal)
    if not how.executes:  # the children, for which the others wait, are on their way
        from .unexecuted import take_name  # most pods outlive their starter

        take_name()
    _settle(plan)
    own_what_is_made(plan)
    for shared in plan.shared:
        _mount_shared(shared)
    maps = dict(zip(plan.maps, wires.maps))
    for app in plan.apps:
        build(app, wires.spaces.user, maps)
    leases: list[LeaseRecord] = []
    if how.waits_for_networks:
        variables, leases = _await_networks(wires)
        plan = plan.with_variables(variables)
    resolved = [finish(plan, app, number) for number, app in enumerate(plan.apps)]
    own_as_before(plan)
    # The kernel has forgotten it with the IDs. Should the starter have ended meanwhile, its channel tells.
    _die_with_starter(how)
    # pivot_root(2) changes the root of processes that there are, and would miss one that is being forked.
    forked = children.settled()
    leave_host(tuple(app.root.target for app in plan.apps), tuple(shared.target for shared in plan.shared))
    records = [
        tell_child(child, app, programs, given, wires, plan.users.first if plan.users else 0)
        for child, app, programs, given in zip(forked, plan.apps, resolved, wires.apps)
    ]
    if how.rehearsal:
        rehearse(records, wires.sync, gone)
    lose_privileges(tuple(app.launch for app in plan.apps), own_users=plan.users is not None)
    # A pod that outlives its starter must not keep a pipe open that another process reads to its end.
    for number in (0,) if how.dies_with_starter else range(3):
        os.dup2(null, number)
    proc = next(shared.target for shared in plan.shared if shared.fs_type == "proc")
    _supervise(records, leases, wires, how, gone, proc)


def _take_stdio(wires: PodWires) -> int:
    """Take /dev/null as standard input, or the terminal of an interactive app. Returns a descriptor of /dev/null."""
    null = own_null()
    if wires.captured:
        os.dup2(null, 0)
    for number in filter(os.isatty, range(3) if wires.tty >= 0 else ()):
        os.dup2(wires.tty, number)
    return null


def _take_namespaces(plan: SandboxPlan, wires: PodWires) -> None:
    """Leave the host's namespaces: for new ones, or where the pod has its own users for those that belong to these.

    This process keeps the host's users, by whose rights it builds the roots of apps. Only apps join the pod's.
    """
    if not plan.users:
        syscalls.unshare(plan.namespaces)
        return
    for fd, kind in wires.spaces.others:
        syscalls.setns(fd, kind)
    syscalls.unshare(CLONE_NEWNS)


def _await_networks(wires: PodWires) -> tuple[tuple[tuple[str, str], ...], list[LeaseRecord]]:
    """Wait until the starter has joined the pod to its networks. Returns the variables and leases that come of it."""
    leases = []
    message = sync.receive(wires.sync)
    while message and message[0] == frames.LEASE:
        from .leasing import record_of_lease  # few pods have leases

        leases.append(record_of_lease(message))
        message = sync.receive(wires.sync)
    if not message:
        os._exit(1)
    words = [str(word) for word in message[1:]]
    return tuple(zip(words[::2], words[1::2])), leases


def _settle(plan: SandboxPlan) -> None:
    """Set the host name and the sysctls, as far as the starter has not."""
    if not plan.users and plan.namespaces & CLONE_NEWUTS:
        _socket.sethostname(plan.hostname)
    for name, value in plan.other_sysctls if plan.users else plan.sysctls:
        set_sysctl(name, value)


def _die_with_starter(how: Supervision) -> None:
    if how.dies_with_starter:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)


def set_sysctl(name: str, value: str) -> None:
    """Set a sysctl of a namespace of this process. Raises HostFailure."""
    try:
        write_kernel("/proc/sys/" + name.replace(".", "/"), value)
    except OSError as err:
        raise HostFailure.of(f"cannot set the sysctl {name} to {value}", err) from err


def _mount_shared(shared: SharedFs) -> None:
    try:
        shared.mount()
    except OSError as err:
        raise HostFailure.of(f"cannot set up the pod: {shared}", err) from err


def _supervise(
    records: list[AppRecord], leases: list[LeaseRecord], wires: PodWires, how: Supervision, go: int, proc: str
) -> None:
    plan: SupervisorPlan = {
        "apps": records,
        "leases": leases,
        "sync": wires.sync,
        "go": go,
        "console": wires.console,
        "stop_timeout": how.stop_timeout,
        "handler_timeout": how.handler_timeout,
        "hasty_timeout": how.hasty_timeout,
        "start_timeout": how.start_timeout,
        "max_bytes": how.max_bytes,
        "end_pod": how.end_pod,
        "handler": list(how.handler),
        "control": wires.control,
        "stays": how.stays,
        "extensions": {name: getattr(sys.modules[name], "__file__", "") for name in EXTENSIONS},
        "mapped": f"{proc}/self/smaps",
    }
    kept = [wires.sync, wires.lock, go, wires.console, wires.control]
    for record in records:
        kept += [value for key, value in record.items() if isinstance(value, int) and key not in _NO_FDS]
        kept += record["logs"]
        if record["restart"]:
            kept += [record["restart"]["order"], record["restart"]["counts"]]
    for lease in leases:
        kept += [lease["hears"], lease["to_server"], lease["to_all"]]
    if not how.executes:
        from .unexecuted import supervise

        supervise(plan, kept)
    plan_fd = sealed("plan", supervisor_plan(how.programs, plan))
    syscalls.close_range(_FIRST_FD, flags=syscalls.CLOSE_RANGE_CLOEXEC)
    for fd in (plan_fd, *kept):
        if fd >= 0:
            os.set_inheritable(fd, True)
    os.execve(how.argv[0], (*how.argv, str(plan_fd)), SUPERVISOR_ENVIRONMENT)
