# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a pod's sandbox, complete before its first process: documents in, one value out. Pure."""

from __future__ import annotations

import os

from ...appc.capabilities import EVERY, bounding_set, guard_of, mask_of
from ...appc.isolators import CONFINEMENT, NoNewPrivileges, OomScoreAdj, Rlimits, Sysctl
from ...appc.volumes import app_path
from ...errors import InvalidSpec
from ...host.syscalls import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUTS, MS_NOEXEC, MS_NOSUID
from ...net.resolv import hosts_file
from ...pod.limits import limits_of_app, limits_of_pod, shm_bytes
from ...pod.restart import NO, Restart
from ...pod.runspec import RESTART, TIMEZONE
from ...pod.sysctls import IPC, check_sysctl
from ...value import Value
from .devices import device_rules
from .mounts import BindStep, CopiedRoot, FsStep, OverlayStep, SealStep, SharedFs, SharedProcStep
from .rootfs import RootContext, shared_file_systems, surroundings
from .stdio import Stdio, stdio_of
from .volumes import DeviceVolumeStep, VolumeInputs, hidden_by_tmpfs, id_map, volume_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ...appc.app import App
    from ...appc.pod import PodManifest, RuntimeApp
    from ...host.dirs import PodDir
    from ...pod.disks import Disks
    from ...pod.idmaps import IdMap, Owners
    from ...pod.limits import Limit
    from ...pod.runspec import RunSpec
    from ...pod.subids import IdRange
    from .devices import DeviceRule
    from .mounts import Step
    from .volumes import ImageRoots

    Root = Union[OverlayStep, CopiedRoot]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Source: behaviours C9.
_DEFAULTS = (("PATH", _PATH), ("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("SHELL", "/bin/sh"))
_NOTIFY_SOCKET = "/run/systemd/notify"
_SYS_PTRACE = mask_of(("CAP_SYS_PTRACE",))


class AppInput(Value):
    """The inputs from stage0 for an app beside the manifest.

    lower: () when the root was copied. docker: whether the image was converted from a Docker image. devices: those
    among its volumes, see volumes.check_sources. stop_signal: that of its image, 0 for none. owners: in
    each of its mounts, see idmaps; () if the pod has the host's users. images: the directories of its volumes that are.
    """

    name: str
    tree_id: str = ""
    lower: tuple[str, ...] = ()
    prefill: tuple[str, ...] = ()
    filter: bytes = b""
    docker: bool = False
    notify: bool = False
    stop_signal: int = 0
    devices: tuple[tuple[str, bool, int], ...] = ()
    cgroups: tuple[tuple[str, str], ...] = ()
    owners: tuple[Owners, ...] = ()
    images: ImageRoots = ()


class SeenHost(Value):
    """The parts of the host that apps see.

    tun: whether it has /dev/net/tun. mqueue: whether the kernel has POSIX message queues. journal, hidden, thermal: see
    RootContext. tty: the path of an interactive app's terminal, or "". permitted: the capabilities that PID 1 can keep.
    disks: those that isolators name, None if none do.
    """

    tun: bool = False
    tty: str = ""
    journal: tuple[str, ...] = ()
    hidden: tuple[str, str] = ("", "")
    thermal: tuple[str, ...] = ()
    permitted: int = EVERY
    mqueue: bool = False
    hostname: str = ""
    disks: Disks | None = None


class Launch(Value):
    """The parameters by which an app's process becomes the app.

    search: the PATH of the manifest, or None. traced: whether an app of the pod may trace processes with more
    privileges. rlimits: name, number, soft and hard limit each; infinity is -1. The other limits are those of the pod's
    first process. labels: pairs of AppArmor or SELinux and what the app is under.
    """

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    search: str | None
    working_directory: str
    user: str
    group: str
    groups: tuple[int, ...]
    bounding: int
    no_new_privs: bool = False
    filter: bytes = b""
    oom_score_adj: int | None = None
    rlimits: tuple[tuple[str, int, int, int], ...] = ()
    pre_start: tuple[str, ...] = ()
    post_stop: tuple[str, ...] = ()
    docker: bool = False
    notify: bool = False
    traced: bool = True
    labels: tuple[tuple[str, str], ...] = ()


class AppPlan(Value):
    """One app: its root, the steps in it, those that wait for the networks, and its process.

    stop_signal: the signal that stops its first process; 0 for SIGTERM to all of them. restart: its restart policy,
    None for none, which is also the policy "no".
    stdio: the modes of its standard files.
    """

    name: str
    root: Root
    steps: tuple[Step, ...]
    last_steps: tuple[Step, ...]
    launch: Launch
    limits: tuple[Limit, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    stop_signal: int = 0
    restart: Restart | None = None
    stdio: Stdio = Stdio()

    def with_variables(self, variables: tuple[tuple[str, str], ...]) -> AppPlan:
        """The plan with these variables in the environment of its process."""
        environment = tuple({**dict(self.launch.environment), **dict(variables)}.items())
        return self.replace(launch=self.launch.replace(environment=environment))


class SandboxPlan(Value):
    """The plan of a whole pod. namespaces: CLONE_NEW... of PID 1, without the PID namespace. shared: the file systems
    that its apps share. users: the IDs of the host that its own users have; None if it has the host's users.
    """

    uuid: str
    hostname: str
    namespaces: int
    apps: tuple[AppPlan, ...]
    shared: tuple[SharedFs, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    users: IdRange | None = None

    @property
    def ipc_sysctls(self) -> tuple[tuple[str, str], ...]:
        """The sysctls of the IPC namespace."""
        return tuple(pair for pair in self.sysctls if pair[0].startswith(IPC))

    @property
    def other_sysctls(self) -> tuple[tuple[str, str], ...]:
        """Those of the other namespaces."""
        return tuple(pair for pair in self.sysctls if not pair[0].startswith(IPC))

    def with_variables(self, variables: tuple[tuple[str, str], ...]) -> SandboxPlan:
        """The plan with these variables in the environment of every app."""
        if not variables:
            return self
        return self.replace(apps=tuple(app.with_variables(variables) for app in self.apps))

    @property
    def maps(self) -> tuple[IdMap, ...]:
        """The maps of its mounts, each once."""
        found = (id_map(step) for app in self.apps for step in app.steps)
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def traced(self) -> bool:
        """Whether an app may trace others."""
        return any(app.launch.traced for app in self.apps)

    @property
    def unguarded(self) -> bool:
        """Whether apps may trace PID 1 although none of them has CAP_SYS_PTRACE."""
        return (
            self.users is None
            and bool(self.apps)
            and all(app.launch.traced and not app.launch.bounding & _SYS_PTRACE for app in self.apps)
        )

    def log(self) -> str:
        """The steps of a start, a line each."""
        lines = [f"pod {self.uuid}: hostname {self.hostname}"]
        lines += [f"sysctl {name}={value}" for name, value in self.sysctls]
        lines += [str(shared) for shared in self.shared]
        for app in self.apps:
            lines += [f"app {app.name}:", *(f"  {step}" for step in (app.root, *app.steps, *app.last_steps))]
        return "\n".join(lines)


def sandbox_plan(
    pod: PodDir,
    manifest: PodManifest,
    runspec: RunSpec,
    inputs: tuple[AppInput, ...],
    machine: SeenHost,
    users: IdRange | None = None,
) -> SandboxPlan:
    """The plan of a pod. inputs: one an app, in the manifest's order. users: see SandboxPlan. Raises InvalidSpec."""
    uuid = os.path.basename(pod.path)
    own_name = runspec.uts != "host"
    hostname = (runspec.hostname or f"rkt-{uuid}") if own_name else machine.hostname
    kinds = CLONE_NEWNS | (CLONE_NEWUTS if own_name else 0)
    kinds |= 0 if runspec.ipc == "parent" else CLONE_NEWIPC
    kinds |= 0 if runspec.host_network else CLONE_NEWNET
    # No process of the host's users can be traced by the pod's.
    traced = users is None and is_traced(manifest, runspec.insecure, machine.permitted)
    common = _Common(pod, manifest, runspec, machine, hostname, traced, users)
    apps = tuple(_app_plan(common, app, given) for app, given in zip(manifest.apps, inputs))
    shm = runspec.shm_size or shm_bytes(manifest)
    return SandboxPlan(
        uuid,
        hostname,
        kinds,
        apps,
        (
            *shared_file_systems(_shared(pod, machine), shm, users.first if users else 0),
            SharedFs("proc", pod.shared_proc),
            *_nodes(pod, apps),
        ),
        _sysctls(manifest, runspec),
        limits_of_pod(manifest, machine.disks),
        users,
    )


def _shared(pod: PodDir, machine: SeenHost) -> tuple[str, ...]:
    """The places of the file systems that its apps share."""
    return pod.shared if machine.mqueue else pod.shared[:2]


def addition_plan(
    pod: PodDir,
    documents: tuple[PodManifest, RunSpec],
    given: AppInput,
    machine: SeenHost,
    users: IdRange | None,
    *,
    traced: bool,
) -> SandboxPlan:
    """The plan of one app more in a running pod. given: its inputs; it is in the manifest already.

    traced: whether an app of the pod may trace others. Raises InvalidSpec.
    """
    manifest, runspec = documents
    whole = sandbox_plan(pod, manifest.replace(apps=()), runspec, (), machine, users)
    common = _Common(pod, manifest, runspec, machine, whole.hostname, traced, users)
    runtime = next(app for app in manifest.apps if app.name == given.name)
    app = _app_plan(common, runtime, given)
    steps = tuple(
        SharedProcStep(pod.shared_proc, step.target)
        if isinstance(step, FsStep) and step.fs_type == "proc"
        else step
        for step in app.steps
    )
    shared = (*whole.shared, *_nodes(pod, (app,)))
    return whole.replace(apps=(app.replace(steps=steps),), shared=shared, sysctls=())


def _nodes(pod: PodDir, apps: tuple[AppPlan, ...]) -> tuple[SharedFs, ...]:
    """The file system of device nodes that belong to the pod's own users, if there are any."""
    if not any(isinstance(step, DeviceVolumeStep) for app in apps for step in app.steps):
        return ()
    return (SharedFs("tmpfs", pod.device_nodes, MS_NOSUID | MS_NOEXEC, "mode=700,size=64k"),)


class _Common(Value):
    pod: PodDir
    manifest: PodManifest
    runspec: RunSpec
    machine: SeenHost
    hostname: str
    traced: bool
    users: IdRange | None


def environment_of(app: App, name: str, *, notify: bool = False) -> tuple[tuple[str, str], ...]:
    """The environment of an app's process. Source: behaviours C8, C9, C11."""
    found = {**dict(app.environment), "AC_APP_NAME": str(name)}
    for key, value in _DEFAULTS:
        found.setdefault(key, value)
    if notify:
        found["NOTIFY_SOCKET"] = _NOTIFY_SOCKET
    return tuple(found.items())


def launch_of(app: App, given: AppInput, insecure: tuple[str, ...]) -> Launch:
    """The parameters and bounds of an app's process. Raises InvalidSpec."""
    pre, post = app.handler("pre-start"), app.handler("post-stop")
    scores = [isolator.score for isolator in app.isolators if isinstance(isolator, OomScoreAdj)]
    return Launch(
        argv=app.exec,
        environment=environment_of(app, given.name, notify=given.notify),
        search=dict(app.environment).get("PATH"),
        working_directory=app.working_directory or "/",
        user=app.user,
        group=app.group,
        groups=app.supplementary_gids,
        bounding=bounding_set(app.isolators, insecure="capabilities" in insecure),
        no_new_privs=any(
            isinstance(isolator, NoNewPrivileges) and isolator.value for isolator in app.isolators
        ),
        filter=given.filter,
        oom_score_adj=scores[-1] if scores else None,
        pre_start=pre.exec if pre else (),
        post_stop=post.exec if post else (),
        rlimits=tuple(
            limit
            for isolator in app.isolators
            if isinstance(isolator, Rlimits)
            for limit in isolator.numbered
        ),
        docker=given.docker,
        notify=given.notify,
        labels=_labels(app),
    )


def _labels(app: App) -> tuple[tuple[str, str], ...]:
    if not any(isolator.name in CONFINEMENT for isolator in app.isolators):
        return ()
    from ...appc.confinement import AppArmor, SelinuxContext  # few apps have any

    return tuple(
        ("AppArmor", each.profile) if isinstance(each, AppArmor) else ("SELinux", str(each))
        for each in app.isolators
        if isinstance(each, (AppArmor, SelinuxContext))
    )


def is_traced(manifest: PodManifest, insecure: tuple[str, ...], permitted: int) -> bool:
    """Whether an app of the pod may trace processes with more privileges; yes if that is unknown.

    permitted: the capabilities that PID 1 can keep; it is protected by one that no app has.
    """
    apps = [(app.app, app.waived(insecure)) for app in manifest.apps if app.app]
    boundings = [bounding_set(app.isolators, insecure="capabilities" in waived) for app, waived in apps]
    may_trace = any(bounding & _SYS_PTRACE for bounding in boundings)
    return len(apps) < len(manifest.apps) or may_trace or not guard_of(boundings, permitted)


def _app_plan(common: _Common, runtime: RuntimeApp, given: AppInput) -> AppPlan:
    pod, insecure = common.pod, runtime.waived(common.runspec.insecure)
    if runtime.app is None:
        raise InvalidSpec("no app section in the pod manifest", where=f"apps[{runtime.name}].app")
    around = RootContext(
        shared=_shared(pod, common.machine),
        cgroups=given.cgroups,
        hidden=common.machine.hidden,
        thermal=common.machine.thermal,
        hosts=_fallback_hosts(common),
        tun=common.machine.tun,
        journal=common.machine.journal,
        insecure_paths="paths" in insecure,
        sys=not any(_is_at_or_below(mount.path, "/sys") for mount in runtime.mounts),
        own_network=not common.runspec.host_network,
        privileged=runtime.privileged,
        devices=runtime.privileged and common.users is None,
    )
    notify = (BindStep(pod.app_socket(runtime.name), _NOTIFY_SOCKET),) if given.notify else ()
    sockets = (*(BindStep(path, path) for path in common.machine.journal), *notify)
    steps = (
        *surroundings(around),
        *((BindStep(common.machine.tty, "/dev/console"),) if common.machine.tty else ()),
        *notify,
        *_hosts_steps(common, runtime),
        *_timezone_steps(runtime),
        *volume_steps(
            pod,
            common.manifest,
            runtime,
            VolumeInputs(given.prefill, given.owners, given.images),
            common.users,
        ),
        # What is in /run stays, although an app has that in memory.
        *(bind for bind in sockets if hidden_by_tmpfs(runtime, bind.target)),
    )
    return AppPlan(
        name=str(runtime.name),
        root=_root(pod, runtime.name, given, common.users),
        steps=steps,
        last_steps=_last_steps(common, runtime),
        launch=launch_of(runtime.app, given, insecure).replace(traced=common.traced),
        limits=limits_of_app(runtime.app.isolators, common.manifest, common.machine.disks),
        device_rules=() if "paths" in insecure else device_rules(given.devices),
        stop_signal=given.stop_signal,
        restart=_restart(runtime),
        stdio=stdio_of(runtime.annotations),
    )


def _restart(runtime: RuntimeApp) -> Restart | None:
    text = runtime.annotations.get(RESTART)
    policy = Restart.parse(text, f"apps[{runtime.name}].annotations[{RESTART}]") if text else None
    return None if policy is None or policy.policy == NO else policy


def _root(pod: PodDir, name: str, given: AppInput, users: IdRange | None) -> Root:
    if not given.lower:
        return CopiedRoot(pod.app_root(name), users is not None)
    upper, work = pod.overlay(given.tree_id, name)
    layer = pod.shifted_layer(given.tree_id, name) if users else ""
    return OverlayStep(given.lower, upper, work, pod.app_root(name), users, layer)


def _fallback_hosts(common: _Common) -> str:
    """The hosts file for an image without one, where nothing is mounted there."""
    mounted = common.runspec.own_hosts or common.runspec.hosts.mode != "auto"
    return "" if mounted else hosts_file(common.hostname)


def _hosts_steps(common: _Common, runtime: RuntimeApp) -> tuple[Step, ...]:
    mode = common.runspec.hosts.mode
    if common.runspec.own_hosts:
        own = BindStep(common.pod.app_hosts(runtime.name), "/etc/hosts")
        return () if runtime.is_mounted_at(own.target) else (own,)
    if mode == "auto":
        return ()
    if mode == "host":
        return (BindStep("/etc/hosts", "/etc/hosts", read_only=True, optional=True),)
    return (BindStep(common.pod.hosts, "/etc/hosts"),)


def _timezone_steps(runtime: RuntimeApp) -> tuple[Step, ...]:
    zone = runtime.annotations.get(TIMEZONE)
    if not zone:
        return ()
    from ...pod.timezone import zone_file

    return (BindStep(zone_file(zone), "/etc/localtime", read_only=True),)


def _last_steps(common: _Common, runtime: RuntimeApp) -> tuple[Step, ...]:
    steps: list[Step] = []
    if common.runspec.dns.mode == "host":
        steps.append(BindStep("/etc/resolv.conf", "/etc/resolv.conf", read_only=True, optional=True))
    if common.runspec.follows_servers and not runtime.is_mounted_at("/etc/resolv.conf"):
        steps.append(BindStep(common.pod.servers, "/etc/resolv.conf", optional=True))
    if common.runspec.dns.mode in ("auto", "custom"):
        steps.append(BindStep(common.pod.resolv_conf, "/etc/resolv.conf", optional=True))
    if runtime.read_only_root_fs:
        steps.append(SealStep("/"))
    return tuple(steps)


def _sysctls(manifest: PodManifest, runspec: RunSpec) -> tuple[tuple[str, str], ...]:
    """The sysctls of the pod and of every app, which share the namespaces that these belong to. Later ones win."""
    found: dict[str, str] = {}
    for isolators in (manifest.isolators, *(app.app.isolators for app in manifest.apps if app.app)):
        for isolator in isolators:
            if isinstance(isolator, Sysctl):
                found.update(isolator.pairs)
    for name in found:
        check_sysctl(name, runspec, "isolators")
    return tuple(found.items())


def _is_at_or_below(path: str, top: str) -> bool:
    clean = app_path(path)
    return clean == top or clean.startswith(top + "/")
