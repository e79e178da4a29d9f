# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app of a pod of fly: its root, and the process that becomes it.

It has the host's namespaces, devices and capabilities: a chroot is no boundary for root. Source: behaviours D29, D30.
"""

from __future__ import annotations

import os

from ...appc.volumes import HostVolume
from ...errors import HostFailure, InvalidSpec, reason_of
from ...host import syscalls
from ...host.execution import EXEC_FAILED, complaint, program_path, why_not
from ...host.files import make_dirs_beneath, path_beneath, write_new
from ...host.identity import identity_of
from ...host.reading import read_text_or
from ...host.syscalls import MS_BIND, MS_REC
from ...net.resolv import hosts_file, resolv_conf
from ...pod.documents import read_app_manifest, read_manifest, read_runspec
from ...value import Value
from ..mounted import mount_roots
from ..plan import roots
from ..plan.mounts import BindStep, DirStep, FileStep, FsStep, SealStep, Step
from ..plan.sandbox import environment_of
from ..plan.volumes import VolumeInputs, check_sources, volume_steps
from ..processes import join_groups, keep_lock
from ..starter.inputs import is_docker
from ..telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ...appc.pod import PodManifest
    from ...host.dirs import PodDir
    from ...pod.lifecycle import Pod
    from ...pod.runspec import RunSpec

_DIR, _FILE, _UMASK = 0o755, 0o644, 0o022
_NAME_OF_APP = "AC_APP_NAME"
_HOSTS = "127.0.0.1 localhost localdomain\n"


class FlyApp(Value):
    """A program in the root of the app, and the user that runs it."""

    name: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    working_directory: str
    user: str
    group: str
    groups: tuple[int, ...]
    docker: bool = False


class HostFsStep(Step):
    """A file system of the host with all mounts in it, at its own path, where an image may not have a link."""

    path: str

    def __str__(self) -> str:
        return f"bind {self.path} of the host"

    def apply(self, root: int) -> None:
        """Bind it. What the host mounts in it later appears as well. Raises OSError."""
        fd = roots.open_own_dir(root, self.path)
        try:
            syscalls.mount(self.path, f"/proc/self/fd/{fd}", "", MS_BIND | MS_REC)
        finally:
            os.close(fd)


def prepared_app(pod: PodDir) -> FlyApp:
    """The app of a pod of fly. Raises InvalidSpec for several, Corrupt, OSError."""
    manifest = read_manifest(pod)
    if len(manifest.apps) != 1:
        raise InvalidSpec("fly only supports 1 application per Pod for now", where="apps")
    runtime = manifest.apps[0]
    if runtime.app is None:
        raise InvalidSpec("no app section in the pod manifest", where=f"apps[{runtime.name}].app")
    app = runtime.app
    variables = environment_of(app, runtime.name)
    return FlyApp(
        str(runtime.name),
        app.exec,
        tuple(pair for pair in variables if pair[0] != _NAME_OF_APP),
        app.working_directory or "/",
        app.user,
        app.group,
        app.supplementary_gids,
        is_docker(read_app_manifest(pod, runtime.name)),
    )


def become_app(pod: Pod, app: FlyApp, fail: Callable[[HostFailure], NoReturn]) -> NoReturn:
    """Become the app of a pod whose lock this process holds, see run_in. Raises PodError."""
    place = pod.dir
    manifest, runspec = read_manifest(place), read_runspec(place)
    check_sources(manifest, manifest.apps[0])
    join_groups(pod.uuid, place)
    if runspec.mds_register:
        from ..starter.registering import register_pod  # few pods do

        variables = register_pod(pod.paths, pod.uuid, place, None)
        app = app.replace(environment=(*app.environment, *variables))
    try:
        _write_files(place, app, runspec, pod.uuid)
        mount_roots(place, manifest)
        root = os.open(place.app_root(app.name), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for step in _steps(place, manifest, runspec):
            _take(step, root)
        os.close(root)
        keep_lock(pod)
        for path, number in ((place.pgid, os.getpgid(0)), (place.pid, os.getpid())):
            with path_beneath(path, place.path) as safe:
                write_new(safe, str(number).encode(), _FILE)
        with path_beneath(place.supervisor_status, place.path) as safe:
            os.symlink("ready", safe)
    except OSError as err:
        raise HostFailure.of("cannot build the root of the app", err) from err
    run_in(place.app_root(app.name), app, fail)


def run_in(path: str, app: FlyApp, fail: Callable[[HostFailure], NoReturn]) -> NoReturn:
    """Change the root of this process to a directory and become a program in it. Raises PodError before it changes.

    fail: reports what fails after that, when no file of the host can be read or written any more.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        root = roots.MountedRoot(fd)
        search = dict(app.environment).get("PATH")
        program = program_path(root, app.argv[0] if app.argv else "", search, app.working_directory)
        wrong = complaint(program, root)
        if wrong:
            raise _not_executed(app, wrong)
        identity = identity_of(root, app.user, app.group, app.groups, docker=app.docker)
        place = roots.open_path(fd, app.working_directory, os.O_PATH | os.O_DIRECTORY)
    except OSError as err:
        raise HostFailure.of(f'cannot enter the root of app "{app.name}"', err) from err
    environment, groups = dict(app.environment), sorted({*identity.groups, identity.gid})
    try:
        os.fchdir(fd)
        os.chroot(".")
        os.fchdir(place)
        os.setgroups(groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        os.umask(_UMASK)
        os.execve(program, (program, *app.argv[1:]), environment)  # pylint: disable=ansible-bad-function
    except OSError as err:
        fail(_not_executed(app, why_not(program, err)))


def end(err: HostFailure) -> NoReturn:
    """End this process with an error."""
    say("stage1", err.message)
    os._exit(err.exit_code)


def raise_it(err: HostFailure) -> NoReturn:
    """Raise the error in a process that tells it another one."""
    raise err


def _not_executed(app: FlyApp, reason: str) -> HostFailure:
    err = HostFailure(f"Error: {reason}", app=app.name)
    err.exit_code = EXEC_FAILED
    return err


def _write_files(pod: PodDir, app: FlyApp, runspec: RunSpec, uuid: str) -> None:
    for directory in (pod.environments, pod.statuses, pod.etc):
        make_dirs_beneath(directory, pod.path, _DIR)
    texts = {pod.app_env(app.name): "".join(f"{name}={value}\0" for name, value in app.environment)}
    dns = runspec.dns
    if dns.mode == "custom":
        texts[pod.resolv_conf] = resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain)
    if runspec.hosts.mode == "custom":
        texts[pod.hosts] = hosts_file(runspec.hostname or f"rkt-{uuid}", runspec.hosts.entries)
    for path, text in texts.items():
        with path_beneath(path, pod.path) as safe:
            write_new(safe, text.encode(errors="surrogateescape"), _FILE)


def _steps(pod: PodDir, manifest: PodManifest, runspec: RunSpec) -> tuple[Step, ...]:
    """The steps in the root of the app: the host's file systems, its names, the volumes. Source: behaviours D30."""
    app = manifest.apps[0]
    steps: list[Step] = [HostFsStep(path) for path in ("/dev", "/proc", "/sys")]
    steps += [FsStep("tmpfs", "/tmp", 0, "mode=1777"), DirStep("/etc")]
    steps += _names(pod, runspec)
    prefill = tuple(read_text_or(pod.app_prefill(app.name), "", beneath=pod.path).split())
    steps += volume_steps(pod, _flat(manifest), app, VolumeInputs(prefill))
    if app.app and app.app.working_directory and is_docker(read_app_manifest(pod, app.name)):
        steps.append(DirStep(app.app.working_directory))
    if app.read_only_root_fs:
        steps.append(SealStep("/"))
    return tuple(steps)


def _names(pod: PodDir, runspec: RunSpec) -> list[Step]:
    steps: list[Step] = []
    if runspec.dns.mode == "custom":
        steps.append(BindStep(pod.resolv_conf, "/etc/resolv.conf"))
    elif runspec.dns.mode == "host":
        steps.append(BindStep("/etc/resolv.conf", "/etc/resolv.conf", read_only=True, optional=True))
    elif runspec.dns.mode == "auto" and os.path.isfile("/etc/resolv.conf"):
        steps.append(FileStep("/etc/resolv.conf", read_text_or("/etc/resolv.conf", "") + "\n"))
    if runspec.hosts.mode == "custom":
        steps.append(BindStep(pod.hosts, "/etc/hosts"))
    elif runspec.hosts.mode == "host":
        steps.append(BindStep("/etc/hosts", "/etc/hosts", read_only=True, optional=True))
    else:
        steps.append(FileStep("/etc/hosts", _HOSTS))
    return steps


def _flat(manifest: PodManifest) -> PodManifest:
    """The manifest with volumes of the host without what is mounted in them, unless they say so."""
    return manifest.replace(
        volumes=tuple(
            volume.replace(recursive=False)
            if isinstance(volume, HostVolume) and volume.recursive is None
            else volume
            for volume in manifest.volumes
        )
    )


def _take(step: Step, root: int) -> None:
    try:
        step.apply(root)
    except OSError as err:
        raise OSError(err.errno, f"{step}: {reason_of(err)}", err.filename) from err
