# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a pod: the starter decides everything, forks the future PID 1, and meanwhile joins it to networks.

    starter                                   PID 1 of the pod
    read, make control groups, plan, fork -->  unshare, build the apps' roots
    join the networks  <-- "namespaces" ---   fork the apps' children, which attach themselves
                                              execute the supervisor
    "go" ---------------------------------->  a byte for each app
                       <-- "started" -------  every app has been executed

Nothing is mounted outside of the pod. When the starter dies before "go", so does everything that it has started.
"""

from __future__ import annotations

import fcntl
import os

from ...contexts import contextmanager, suppress
from ...errors import HostFailure, InvalidSpec, NotFound, PodError
from ...host import syscalls
from ...host.files import path_beneath, write_new
from ...host.syscalls import CLONE_NEWNET, CLONE_NEWPID
from ...pod import cgroups
from ...pod.documents import is_mutable, read_manifest, read_runspec
from ...pod.limits import apply_limits
from ...pod.runspec import END_POD, START_SECONDS
from ...value import Value
from ..inside import sync
from ..inside.handler import argv_of
from ..inside.namespaces import Supervision, become_pid_1
from ..inside.program import supervisor_argv, supervisor_programs
from ..inside.wires import PodWires, Spaces
from ..pid1 import frames
from ..plan.devices import apply_devices, device_rules, pod_device_rules
from ..plan.sandbox import sandbox_plan
from ..telling import say, warn
from .confining import confine_app
from .first_process import Pid1, app_not_started, expect, last_words
from .inputs import read_inputs, seen_host, write_environment, write_files, write_resolv
from .readback import check_applied
from .teardown import take_down
from .wiring import open_apps, open_console, open_control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...appc.pod import PodManifest
    from ...host.dirs import PodDir
    from ...host.host import Host
    from ...host.programs import Running
    from ...net.dhcp import DhcpLease
    from ...net.info import NetInfo
    from ...net.network_plan import NetworkPlan
    from ...pod.cgroups import Group
    from ...pod.runspec import RunSpec
    from ...pod.subids import IdRange
    from ..inside.terminal import Terminal
    from ..plan.sandbox import SandboxPlan
    from .activation import PassedSocket

_PID_MODE = 0o644
# The share of a start's time in which its apps have to be up, in percent; stopping them takes the rest.
_APPS_PERCENT = 90


class StartRequest(Value):
    """A request to start a pod. terminal: that of an interactive app. captured: whether the apps' output is.

    rehearsal: the pod is in state prepared, and the start ends before its apps begin. seconds: the time for the start
    of a detached pod; in the foreground there is no limit. sockets: those for apps with socket-activated ports.
    """

    host: Host
    uuid: str
    lock_fd: int
    detach: bool = False
    captured: bool = True
    terminal: Terminal | None = None
    rehearsal: bool = False
    seconds: int = START_SECONDS
    sockets: tuple[PassedSocket, ...] = ()

    @property
    def pod(self) -> PodDir:
        """The pod's directory."""
        return self.host.paths.pod("prepared" if self.rehearsal else "run", self.uuid)


class _Known(Value):
    """The inputs of a start."""

    request: StartRequest
    manifest: PodManifest
    runspec: RunSpec
    networks: NetworkPlan | None
    tables: Running | None
    groups: tuple[Group, ...]
    waits_for_networks: bool


def start(request: StartRequest) -> Pid1:
    """Start the pod. Returns once every app has been started, or has failed in a pod that is not detached; in a
    rehearsal, once no obstacle was found.

    The signals that ask to stop are blocked in a process that stays with the pod, and passed on once there is a PID 1:
    if that ends with 0 before the apps start, it was asked to. Raises PodError when the pod cannot be started; then
    only its files are left.
    """
    pod = request.pod
    manifest, runspec = read_manifest(pod), read_runspec(pod)
    networks, waits = _plan_networks(request.host, manifest, runspec)
    child: Pid1 | None = None
    tables: Running | None = None
    try:
        planned = cgroups.plan_groups(request.uuid, in_service=in_service())
        cgroups.record(pod, planned)
        groups = cgroups.make_groups(planned)
        # Not earlier: with a program in it, the group of a unit would not be podctl's alone.
        tables = _prepare_networks(request, networks)
        known = _Known(request, manifest, runspec, networks, tables, groups, waits)
        plan = _decide(known)
        child, left = _fork(known, plan)
        if not request.detach:
            child.relay_stops()
        _join(known, plan, child, left)
        if not request.rehearsal:
            _await_apps(known, plan, child)
        return child
    except (OSError, PodError) as err:
        _abandon(request, child, tables)
        if child and child.status == 0 and not request.detach:
            return child
        cause = child and last_words(child)
        if cause:
            raise cause from err
        if isinstance(err, PodError):
            raise
        raise HostFailure.of(f'cannot start pod "{request.uuid}"', err) from err
    except BaseException:
        _abandon(request, child, tables)
        raise


def in_service() -> bool:
    """Whether systemd has started this process as part of a service. Source: systemd.exec(5)."""
    return bool(os.environ.get("INVOCATION_ID"))


def _report_networks(text: str) -> None:
    """Report on networks under the prefix of rkt's networking. Source: behaviours A6, E2, E6."""
    say("networking", text)


@contextmanager
def _setting_up_network() -> Iterator[None]:
    """Prefix the errors of the network setup. Source: behaviours E4."""
    try:
        yield
    except PodError as err:
        err.message = f"failed to setup network: {err.message}"
        if isinstance(err, (InvalidSpec, NotFound)) and not err.facts.get("where"):
            err.facts["where"] = "networks"
        raise


def _decide(known: _Known) -> SandboxPlan:
    """Make the plan, write its files and set up its groups."""
    request, groups = known.request, known.groups
    users = _range(known)
    inputs = read_inputs(request.pod, known.manifest, groups, users)
    machine = seen_host(request.pod, known.manifest, request.terminal.path if request.terminal else "")
    plan = sandbox_plan(request.pod, known.manifest, known.runspec, inputs, machine, users)
    if known.runspec.host_network and not request.rehearsal:
        plan = plan.with_variables(_registered(known, None))
    if not request.captured and any(app.restart for app in plan.apps):
        raise InvalidSpec(
            "an interactive app cannot have a restart policy: its terminal ends with it",
            "take restart out, or run it without --interactive",
            where="apps[0].restart",
        )
    if plan.unguarded:
        warn(
            "podctl has no capability that the apps do not have: one that is root can look into the first process of "
            "the pod, and do what it can"
        )
    write_files(request.pod, plan, known.runspec)
    without = () if "paths" in known.runspec.insecure else device_rules(())
    policy = pod_device_rules(
        tuple(app.device_rules for app in plan.apps) or (without,), makes_nodes=plan.users is not None
    )
    if policy:
        apply_devices(groups, "", policy)
        write_new(request.pod.devices, "".join(f"{rule}\n" for rule in policy).encode())
    # Before the leaves, which have the processors of the pod: v1 takes none from a group whose children have them.
    for sentence in apply_limits(groups, "", plan.limits):
        warn(sentence)
    cgroups.make_leaves(groups, tuple(app.name for app in plan.apps))
    return plan.replace(apps=tuple(confine_app(app, groups) for app in plan.apps))


def _range(known: _Known) -> IdRange | None:
    """The IDs of the host that are the pod's own users, None if it has the host's. Raises Corrupt, OSError."""
    if not known.runspec.private_users:
        return None
    from ...pod.subids import range_of  # most pods have the host's users

    return range_of(known.request.pod)


def _fork(known: _Known, plan: SandboxPlan) -> tuple[Pid1, Group | None]:
    """Fork the future PID 1. Returns it, and the group of cgroup v2 if it is yet to be moved there."""
    request, pod = known.request, known.request.pod
    ours, theirs = sync.channel()
    bound, held = os.pipe2(os.O_CLOEXEC)
    log = known.runspec.log.held()
    spaces, maps = _users(plan)
    opened = open_apps(pod, plan.apps, known.groups, log, journal=in_service())
    if not request.rehearsal and (request.sockets or known.manifest.ports):
        from .activation import with_sockets  # of most pods, none is passed

        opened = with_sockets(known.manifest, opened, request.sockets)
    foreground = not request.detach
    wires = PodWires(
        sync=theirs,
        starter=ours,
        # Above stdio, which the pod's processes replace: with stdio closed, the lock may have one of its numbers.
        lock=fcntl.fcntl(request.lock_fd, fcntl.F_DUPFD_CLOEXEC, 3),
        held=held,
        console=open_console() if foreground and request.captured else -1,
        apps=opened,
        tty=request.terminal.slave if request.terminal else -1,
        captured=request.captured,
        spaces=spaces,
        maps=maps,
        control=-1 if request.rehearsal else open_control(pod),
        groups=tuple(
            cgroups.joining_fd(group.path) for group in known.groups if group.hierarchy.version == 1
        ),
    )
    how = Supervision(
        argv=supervisor_argv(request.host),
        programs=supervisor_programs(),
        handler=tuple(argv_of(request.host.python, request.host.runtime)),
        stop_timeout=known.runspec.stop_timeout,
        max_bytes=log.max_bytes,
        dies_with_starter=foreground,
        executes=not foreground or plan.traced,
        waits_for_networks=known.waits_for_networks,
        rehearsal=request.rehearsal,
        end_pod=known.runspec.exit_policy == END_POD,
        stays=is_mutable(known.manifest),
        start_timeout=0 if foreground else request.seconds * _APPS_PERCENT // 100,
    )
    group = cgroups.unified(known.groups)
    pid, born = _fork_into_new_pid_namespace(group)
    if pid == 0:
        become_pid_1(plan, wires, how)
    _close(wires)
    child = Pid1(pid, ours, bound, None if foreground else request.seconds)
    return child, None if born else group


def _users(plan: SandboxPlan) -> tuple[Spaces, tuple[int, ...]]:
    """The namespaces of the pod's own users, and those for its mounts."""
    if not plan.users:
        return Spaces(), ()
    from .users import make_spaces, map_space  # most pods have the host's users

    return make_spaces(plan), tuple(map(map_space, plan.maps))


def _fork_into_new_pid_namespace(group: Group | None) -> tuple[int, bool]:
    """Fork a child that is PID 1 of a new namespace; later children of this process are in its own again.

    group: that of the pod in cgroup v2. Returns the child's PID, and whether it is there.
    """
    if group:
        directory = os.open(group.supervisor, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # of an old kernel, or of a filter that does not know the call
                return syscalls.fork_into(directory, CLONE_NEWPID), True
        finally:
            os.close(directory)
    own = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(CLONE_NEWPID)
        pid = os.fork()
        if pid:
            syscalls.setns(own, CLONE_NEWPID)
        return pid, False
    finally:
        os.close(own)


def _close(wires: PodWires) -> None:
    """Close the descriptors that only the pod needs."""
    fds = [wires.sync, wires.lock, wires.held, wires.console, wires.tty, wires.control, wires.spaces.user]
    fds += [*wires.maps, *wires.groups]
    fds += [fd for fd, _kind in wires.spaces.others]
    for app in wires.apps:
        fds += [*app.home, app.restarts]
        fds += [
            *app.procs,
            app.leaf,
            *app.logs,
            app.status,
            app.end,
            app.listed,
            app.kill,
            app.oom,
            app.events,
        ]
        fds += [app.notify, app.journal, *app.attached.fds, *app.sockets]
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def _join(known: _Known, plan: SandboxPlan, child: Pid1, left: Group | None) -> None:
    """Wait for the namespaces, join them to networks and groups, and start the apps.

    The apps start only after every process of the pod has dropped its privileges: an app that may trace would get hold
    of them. The PID, by which a command could enter, is not recorded earlier either. A rehearsal joins no network:
    another pod may still have its addresses and ports.
    """
    expect(child, frames.NAMESPACES)
    if known.request.rehearsal:
        if known.waits_for_networks:
            child.send(frames.NETWORKS)
        expect(child, frames.REHEARSED)
        return
    later: list[Callable[[], None]] = []
    if plan.namespaces & CLONE_NEWNET:
        _join_networks(known, plan, child, later)
    if left:
        cgroups.move(left.supervisor, child.pid)
    child.await_bound()
    write_new(known.request.pod.pid, f"{child.pid}\n".encode(), _PID_MODE)
    child.send(frames.GO)
    for work in later:
        with suppress(PodError):  # the pod is on its way
            work()


def _plan_networks(host: Host, manifest: PodManifest, runspec: RunSpec) -> tuple[NetworkPlan | None, bool]:
    """The networks to join, None for loopback only or the host's; and whether files of the pod can depend on them."""
    if runspec.host_network or runspec.no_network:
        return None, False
    from .networks import may_give_dns, plan_networks  # not needed with the host's network

    with _setting_up_network():
        plan = plan_networks(host, manifest, runspec, _report_networks)
    return plan, runspec.mds_register or may_give_dns(runspec, plan)


def _prepare_networks(request: StartRequest, plan: NetworkPlan | None) -> Running | None:
    """Begin what the networks need beside the pod. A rehearsal joins none."""
    if not plan or not plan.attachments or request.rehearsal:
        return None
    from .networks import prepare

    with _setting_up_network():
        return prepare(request.host.paths, request.uuid, plan)


def _join_networks(known: _Known, plan: SandboxPlan, child: Pid1, later: list[Callable[[], None]]) -> None:
    from .networks import join, joining_pod, may_give_dns, resolv_of

    request = known.request
    with _setting_up_network():
        asked = frozenset(name.replace("/", ".") for name, _value in plan.sysctls)
        pod = joining_pod(request.host.paths, request.uuid).replace(sysctls=asked, tables=known.tables)
        leases: list[DhcpLease] = []
        infos = join(pod, child.pid, known.networks, _report_networks, later, leases)
        if infos and (known.runspec.names or known.runspec.name):
            from .naming import enter_names  # most pods of podctl have no name

            enter_names(request.host.paths, request.pod, known.manifest, known.runspec, infos)
    if known.networks and may_give_dns(known.runspec, known.networks):
        text = resolv_of(infos, _report_networks)
        if text:
            write_resolv(request.pod, text, plan.users)
    for lease in leases:
        child.send(frames.LEASE, *lease.facts)
    if known.waits_for_networks:
        _tell_networks(known, plan, child, _registered(known, infos))


def _registered(known: _Known, infos: tuple[NetInfo, ...] | None) -> tuple[tuple[str, str], ...]:
    """Register the pod with the metadata service, if it asks for that. Returns the variables of its apps.

    infos: its interfaces, None if it has the network of the host.
    """
    if not known.runspec.mds_register:
        return ()
    from .registering import register_pod  # few pods do

    request = known.request
    return register_pod(request.host.paths, request.uuid, request.pod, infos)


def _tell_networks(
    known: _Known, plan: SandboxPlan, child: Pid1, variables: tuple[tuple[str, str], ...]
) -> None:
    """Tell PID 1 that the pod has joined its networks. variables: those that every app gets by that."""
    if variables:
        for app in plan.with_variables(variables).apps:
            write_environment(known.request.pod, app, plan.users)
    child.send(frames.NETWORKS, *(word for pair in variables for word in pair))


def _await_apps(known: _Known, plan: SandboxPlan, child: Pid1) -> None:
    """Wait until the apps have been started. Only a detached pod fails with an app: no other process sees its end.

    The exit code is then the app's status.
    """
    request, message = known.request, child.receive()
    if message and message[0] == frames.FAILED:
        raise sync.error_of(message)
    if message and message[0] == frames.STARTED:
        check_applied(plan, known.groups, child.pid)
        # On failure, such as with a full disk, the pod runs all the same.
        with (
            suppress(OSError, PodError),
            path_beneath(request.pod.supervisor_status, request.pod.path) as path,
        ):
            os.symlink("ready", path)
        with suppress(PodError):  # a pod that has ended already
            child.send(frames.GO)
        if not request.detach and "NOTIFY_SOCKET" in os.environ:
            from .announcing import announce_ready

            announce_ready()
        return
    if not request.detach:
        return
    if not message:
        child.wait()
        raise HostFailure(
            f'pod "{request.uuid}" ended while it was being started', "see its output with podctl logs"
        )
    err = app_not_started(known.manifest, message)
    with suppress(HostFailure):  # a pod that takes too long to end is killed
        child.wait()
    raise err


def _abandon(request: StartRequest, child: Pid1 | None, tables: Running | None) -> None:
    if child:
        child.kill()
    if tables:
        tables.end()  # the takedown would wait for it
    with suppress(PodError):
        take_down(request.host, request.uuid, request.pod)
