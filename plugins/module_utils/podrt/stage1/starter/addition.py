# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apps of a running pod: one more is started from the pod's documents, one is stopped, one is let go.

    this process                  the builder                      the app's process, and PID 1 of the pod
    start an interpreter ---------------------------------------->  for the app
    plan, leaf, files, fork --->  descriptors of the app -------->  join the leaf
                                  build the root, plan ---------->  enter the root and then the pod
                                  "add" ------------------------>  supervise it
                     <----------  "done"
    "go" ---------------------->  a byte for the app ------------>  execute its program
                     <-------------------------------- "started" -- it has been executed
    read its rights back
    "keep" ------------------------------------------------------>  it stays when this process ends
    note that it is there

Whatever dies before "keep" takes the app with it: PID 1 kills what a connection has added and not kept. What is left
then, a mount of PID 1, a leaf, a file without content, is removed by the next start of the app, or with it.
"""

from __future__ import annotations

import _signal
import os
import select
import time

from ...appc.capabilities import mask_of
from ...contexts import contextmanager, suppress
from ...errors import Conflict, HostFailure, NotFound, PodError, Unsupported
from ...host.dirs import PodDir
from ...host.files import remove_tree
from ...host.reading import DOCUMENT, kernel_text, read_text
from ...pod import cgroups, documents, freezer
from ...pod.lifecycle import PodState
from ...pod.runspec import START_SECONDS
from ...pod.subids import range_of
from ..inside import sync
from ..inside.enclosure import HANDLER_RIGHTS
from ..inside.joining import Newcomer, become_builder, detach_root
from ..inside.wires import PodWires, Spaces
from ..pid1 import frames
from ..plan.devices import exceeding
from ..plan.sandbox import addition_plan
from .confining import confine_app
from .first_process import app_not_started
from .inputs import read_input, seen_host, write_app
from .orders import Orders
from .readback import check_applied
from .stop import holds
from .wiring import open_apps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...appc.pod import PodManifest, RuntimeApp
    from ...pod.cgroups import Group
    from ...pod.lifecycle import Pod
    from ...pod.runspec import RunSpec
    from ..inside.ahead import Ahead
    from ..pid1.frames import Message
    from ..plan.sandbox import AppPlan, SandboxPlan

_SYS_PTRACE = mask_of(("CAP_SYS_PTRACE",))
# The share of the time in which the app has to be up, as for a pod: stopping it takes the rest.
_PERCENT = 90
# Beside the stop timeout: a post-stop handler in haste, and its end.
_MARGIN = 30.0
# What a command that was killed has forked may outlive it for a moment, and others are done soon.
_BUSY_SECONDS, _LOOK_SECONDS = 10.0, 0.01
_HASTE = "replace the pod with one that has the app from the beginning: stop it and run it again"
_SERVICE = ".service/"


class RunningPod:
    """A pod that runs: its documents, its PID 1, and a connection to that."""

    def __init__(self, pod: Pod, pid: int, process: int, orders: Orders) -> None:
        self.pod = pod
        self.pid = pid
        # A pidfd: even if the PID is used again, the kernel joins no namespace of another process.
        self.process = process
        self.orders = orders
        self.manifest: PodManifest = documents.read_manifest(pod.dir)
        self.runspec: RunSpec = documents.read_runspec(pod.dir)

    def find(self, name: str) -> int:
        """The number of an app of the manifest. Raises NotFound."""
        for number, app in enumerate(self.manifest.apps):
            if app.name == name:
                return number
        raise NotFound(f'nonexistent app "{name}"', f"podctl app list {self.pod.uuid} shows those of the pod")

    def clear(self, name: str) -> None:
        """Remove what an app that has ended, or was never complete, has left beside its files. Raises PodError."""
        try:
            detach_root(self.process, self.pod.dir.app_root(name))
        except OSError as err:
            raise HostFailure.of(f'cannot detach the root of app "{name}"', err) from err
        cgroups.remove_groups(tuple(f"{group}/{name}" for group in cgroups.recorded(self.pod.dir)))
        with suppress(FileNotFoundError):
            os.unlink(self.pod.dir.app_socket(name))

    def has_forgotten(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Have PID 1 forget an app that has ended, if it knows of it, and leave the app to this process alone.

        meanwhile: what is done as long as another command is at work on it. Raises Conflict for one that runs, and for
        one on which another command stays at work.
        """
        end = time.monotonic() + _BUSY_SECONDS
        while (refused := self._refusal(name)) and refused.message == frames.BUSY and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            meanwhile()
        if refused and refused.message == frames.HAS_NOT_ENDED:
            raise Conflict(f'app "{name}" is running', "stop it first", uuid=self.pod.uuid) from refused
        if refused and refused.message == frames.BUSY:
            raise Conflict(
                f'another command is starting or removing app "{name}"', "try again", uuid=self.pod.uuid
            ) from refused
        if refused and refused.message != frames.UNKNOWN_APP:
            raise refused

    def _refusal(self, name: str) -> Conflict | None:
        try:
            self.orders.ask(frames.FORGET, name)
        except Conflict as err:
            return err
        return None


def start_app(pod: Pod, name: str, ahead: Ahead, *, hold: int = 0, seconds: int = START_SECONDS) -> None:
    """Start an app of the manifest in the running pod; returns once it is up. Raises PodError: then it does not run.

    ahead: what becomes its process. hold: as in stop_app; so long it does not matter to the pod if the app fails.
    """
    with _running(pod) as running:
        number = running.find(name)
        running.has_forgotten(name)
        running.clear(name)
        try:
            if hold:  # it may fail before this process comes to say so
                running.orders.ask(frames.HOLD, hold)
            _start(running, number, ahead, seconds)
            running.orders.ask(frames.HOLD, hold)
        except BaseException:
            with suppress(PodError):
                _end(running, name, 0)
                running.clear(name)
            _forget_pending(pod, name)
            raise


def stop_app(pod: Pod, name: str, *, force: bool = False, hold: int = 0) -> None:
    """Stop an app of the running pod, and wait until no process of it is left. One that has ended stays as it is.

    hold: for how many seconds from now the pod stays without an app. Raises PodError.
    """
    with _running(pod) as running:
        running.find(name)
        running.orders.ask(frames.HOLD, hold)
        _stop(running, name, force=force)


def remove_app(pod: Pod, name: str, *, hold: int = 0) -> None:
    """Stop an app of a pod, if that runs, and remove all that stage1 has of it but its log. Raises PodError."""
    if pod.state() is PodState.RUNNING:
        with _running(pod) as running:
            running.orders.ask(frames.HOLD, hold)
            _stop(running, name, force=False)
            # A command that starts it may not have had it supervised before.
            running.has_forgotten(name, lambda: _stop(running, name, force=False))
            running.clear(name)
    place = pod.dir
    files = (PodDir.app_status, PodDir.app_end, PodDir.app_restarts, PodDir.app_env, PodDir.app_hosts)
    for path in (file(place, name) for file in files):
        with suppress(FileNotFoundError):
            remove_tree(path)
    _forget_pending(pod, name)


def _forget_pending(pod: Pod, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_pending(pod, name))


def _pending(pod: Pod, name: str) -> str:
    """The path of the status of an app that PID 1 does not supervise yet."""
    return pod.dir.app_status(name) + ".new"


@contextmanager
def _running(pod: Pod) -> Iterator[RunningPod]:
    """A pod that runs. Raises Conflict for another one, Unsupported where it takes no orders."""
    pid = documents.read_pid(pod.dir) if pod.state() is PodState.RUNNING else None
    if pid is None:
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    try:
        process = os.pidfd_open(pid)
    except OSError as err:
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid) from err
    try:
        if not holds(pid, pod):
            raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
        with Orders(pod) as orders:
            yield RunningPod(pod, pid, process, orders)
    finally:
        os.close(process)


def _stop(running: RunningPod, name: str, *, force: bool) -> None:
    try:
        _end(running, name, 0 if force else -1)
    except Conflict as err:
        if err.message != frames.UNKNOWN_APP:
            raise


def _end(running: RunningPod, name: str, seconds: int) -> None:
    """Have PID 1 end an app, within so many seconds; below 0: those of the pod. One that is paused goes on, to its end.

    Raises Conflict, HostFailure.
    """
    freezer.unpause(running.pod, name)
    patience = running.runspec.stop_timeout if seconds < 0 else seconds
    running.orders.ask(frames.STOP, name, seconds, seconds=patience + _MARGIN)


def _start(running: RunningPod, number: int, ahead: Ahead, seconds: int) -> None:
    pod, app = running.pod, running.manifest.apps[number]
    name = str(app.name)
    end = time.monotonic() + seconds * _PERCENT / 100
    groups = cgroups.groups_of(pod.dir)
    plan = _decide(running, app, groups)
    try:
        write_app(pod.dir, plan.apps[0], plan.users)
        if running.runspec.names:
            _write_names(running, name, plan)
    except OSError as err:
        raise HostFailure.of("cannot write into the pod's directory", err) from err
    cgroups.make_leaves(groups, (name,))
    plan = plan.replace(apps=(confine_app(plan.apps[0], groups),))
    ahead.take_bounds(running.pid)
    builder, channel = _fork(Newcomer(plan, number, running.orders.fd, ahead), running, groups)
    try:
        _await_builder(channel, end)
        ahead.await_end(end)
        with suppress(BrokenPipeError):  # PID 1 tells what becomes of an app whose builder has died
            sync.send(channel, frames.GO)
        _await_app(running, name, end)
        check_applied(plan, groups, running.pid)
        running.orders.ask(frames.KEEP, name)
        # One that PID 1 kills, since it was not kept, must not look like one that has ended by itself.
        os.rename(_pending(pod, name), pod.dir.app_status(name))
    finally:
        os.close(channel)
        os.kill(builder, _signal.SIGKILL)
        os.waitpid(builder, 0)


def _registered(running: RunningPod) -> tuple[tuple[str, str], ...]:
    """Tell the metadata service of the apps of a pod that is registered. Returns the variables of its apps."""
    pod = running.pod
    if not os.path.lexists(pod.dir.mds_registered):
        return ()
    from .registering import register_apps, variables_of  # few pods are

    register_apps(pod.paths, pod.uuid, pod.dir, running.manifest)
    return variables_of(pod.dir)


def _write_names(running: RunningPod, name: str, plan: SandboxPlan) -> None:
    """Write the hosts file of the app, and have it kept with those of the others. Raises PodError, OSError."""
    from .naming import mend_names, write_own_hosts  # podctl has rkt's

    pod, runspec = running.pod, running.runspec
    write_own_hosts(pod.dir, [name], runspec, plan.hostname, plan.users)
    mend_names(pod.paths, pod.dir, running.manifest, runspec)


def _decide(running: RunningPod, app: RuntimeApp, groups: tuple[Group, ...]) -> SandboxPlan:
    """The plan of the app. Raises Unsupported for one that the pod could only have had from the beginning."""
    pod, manifest = running.pod.dir, running.manifest
    users = range_of(pod) if running.runspec.private_users else None
    given = read_input(pod, manifest, app, groups, users)
    traced = os.path.exists(pod.traced)
    # What the host lacks for other apps, which were perhaps never started, is no matter of this one.
    seen = seen_host(pod, manifest.replace(apps=(app,)))
    plan = addition_plan(pod, (manifest, running.runspec), given, seen, users, traced=traced)
    plan = plan.with_variables(_registered(running))
    added = plan.apps[0]
    if users is None:
        _check_rights(added, _permitted(running.pid), traced=traced)
    lacking = exceeding(added.device_rules, _device_lines(running.pod))
    if lacking:
        raise Unsupported(
            f'app "{added.name}" cannot join the pod: its device {lacking} is not one of those that the pod may use',
            _HASTE,
            app=added.name,
        )
    return plan


def _check_rights(app: AppPlan, permitted: int, *, traced: bool) -> None:
    """Raise Unsupported where PID 1 or the processes of other apps are not prepared for the rights of an app.

    permitted: the capabilities of PID 1.
    """
    bounding = app.launch.bounding
    if (bounding & _SYS_PTRACE or not permitted & ~bounding) and not traced:
        raise Unsupported(
            f'app "{app.name}" cannot join the pod: it may trace other processes, and none of those that are there '
            "was started with that in mind",
            _HASTE,
            app=app.name,
        )
    if app.launch.post_stop and (bounding | HANDLER_RIGHTS) & ~permitted:
        raise Unsupported(
            f'app "{app.name}" cannot join the pod: the first process of the pod lacks rights that its post-stop '
            "handler needs",
            _HASTE,
            app=app.name,
        )


def _permitted(pid: int) -> int:
    return int(kernel_text(f"/proc/{pid}/status").partition("CapPrm:")[2].split()[0], 16)


def _device_lines(pod: Pod) -> tuple[str, ...] | None:
    """The rules for the devices of the pod, None if it may use all."""
    try:
        return tuple(read_text(pod.dir.devices, DOCUMENT, beneath=pod.dir.path).splitlines())
    except FileNotFoundError:
        return None


def _fork(newcomer: Newcomer, running: RunningPod, groups: tuple[Group, ...]) -> tuple[int, int]:
    """Fork the builder. Returns its PID and the channel to it."""
    pod, log, plan = running.pod.dir, running.runspec.log.held(), newcomer.plan
    ours, theirs = sync.channel()
    unused, held = os.pipe2(os.O_CLOEXEC)
    user, maps = -1, []
    if plan.users:
        from .enter import users_of
        from .users import map_space

        user, maps = users_of(running.pid, running.process), [map_space(rows) for rows in plan.maps]
    pid = os.fork()
    if pid == 0:
        try:
            in_service = any(_SERVICE in group.path for group in groups)
            if in_service:
                _join_supervisor(groups)
            wires = PodWires(
                sync=theirs,
                starter=ours,
                lock=-1,
                held=held,
                console=-1,
                apps=open_apps(pod, plan.apps, groups, log, journal=in_service, pending=True),
                spaces=Spaces(user),
                maps=tuple(maps),
                pids=running.process,
            )
        except OSError as err:
            sync.send_failure(theirs, HostFailure.of("cannot open the files of the app", err))
            os._exit(1)
        become_builder(newcomer, wires)
    for fd in (theirs, unused, held, user, *maps):
        if fd >= 0:
            os.close(fd)
    return pid, ours


def _join_supervisor(groups: tuple[Group, ...]) -> None:
    """Move this process beside PID 1: a journal takes what it connects for the output of the pod's unit."""
    for group in groups:
        cgroups.move(group.supervisor)


def _await_builder(channel: int, end: float) -> None:
    """Wait until PID 1 supervises the app, which waits for GO. Raises the error of the builder."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        raise HostFailure("the app could not be set up in time", "look for what keeps the machine busy")
    message = sync.receive(channel)
    if message and message[0] == frames.FAILED:
        raise sync.error_of(message)
    if not message or message[0] != frames.DONE:
        raise HostFailure("the process that sets up the app has died", "look for the reason in dmesg")


def _await_app(running: RunningPod, name: str, end: float) -> None:
    """Wait until the app is up. Raises the error of one that is not."""
    message: Message = ()
    try:
        message = running.orders.hear(max(0.0, end - time.monotonic()))
    except HostFailure as err:
        raise HostFailure(
            f'app "{name}" is not up in time', "see its output with podctl logs", app=name
        ) from err
    if message[0] == frames.STARTED:
        return
    if message[0] == frames.FAILED:
        raise sync.error_of(message)
    raise app_not_started(running.manifest, message)
