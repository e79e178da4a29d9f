# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inputs of a start, from the pod's directory and the host, and the files that stage1 adds to the directory."""

from __future__ import annotations

import os

from ...appc.image import STOP_SIGNAL
from ...appc.volumes import ImageVolume
from ...errors import Corrupt, HostFailure, Unsupported
from ...host.files import make_dirs_beneath, make_each_beneath, write_new_beneath
from ...host.machine import architecture
from ...host.reading import DOCUMENT, read_text, read_text_or
from ...net.resolv import hosts_file, resolv_conf
from ...pod.cgroups import Group
from ...pod.disks import check_cpusets, find_disks
from ...pod.documents import read_app_manifest, read_lower, read_runspec
from ...pod.idmaps import mount_owners
from ...pod.limits import names_disks
from ...pod.runspec import NOTIFY
from ...seccomp import files as filter_files
from ..inside.rights import permitted_capabilities
from ..plan.mounts import OverlayStep
from ..plan.rootfs import JOURNAL, TUN
from ..plan.sandbox import AppInput, SeenHost
from ..plan.volumes import check_sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.image import ImageManifest
    from ...appc.pod import PodManifest, RuntimeApp
    from ...host.dirs import PodDir
    from ...pod.runspec import RunSpec
    from ...pod.subids import IdRange
    from ..plan.sandbox import AppPlan, SandboxPlan
    from ..plan.volumes import ImageRoots

_DOCKER = "appc.io/docker/repository"
_JOURNAL_SOCKETS = ("socket", "stdout", "dev-log")
_CPUS = "/sys/devices/system/cpu"
_THERMAL = _CPUS + "/{}/thermal_throttle"
_MQUEUE = "/proc/sys/fs/mqueue"
_OLDEST_KERNEL = (5, 12)
_DIR, _FILE, _NOTHING = 0o755, 0o644, 0o000


def check_kernel(release: str) -> None:
    """Raise Unsupported if the kernel of this release is too old: every start needs mount_setattr(2)."""
    parts = release.replace("-", ".").split(".")[:2]
    # A release without numbers is a custom build, and not judged.
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) < _OLDEST_KERNEL:
        needed = ".".join(str(part) for part in _OLDEST_KERNEL)
        raise Unsupported(
            f"pods need Linux {needed} or newer, and this is Linux {release}",
            "boot a newer kernel",
            kernel=release,
        )


def read_inputs(
    pod: PodDir, manifest: PodManifest, groups: tuple[Group, ...], users: IdRange | None
) -> tuple[AppInput, ...]:
    """The inputs of each app, in the manifest's order. Raises HostFailure, Corrupt, MissingSource, Unsupported."""
    check_kernel(os.uname().release)
    return tuple(read_input(pod, manifest, app, groups, users) for app in manifest.apps)


def read_input(
    pod: PodDir, manifest: PodManifest, app: RuntimeApp, groups: tuple[Group, ...], users: IdRange | None
) -> AppInput:
    """The inputs of one app. Raises the same."""
    try:
        overlay = os.path.exists(pod.overlay_prepared)
        found = _read_input(pod, manifest, app, groups, overlay=overlay)
        return found.replace(owners=mount_owners(manifest, app, users)) if users else found
    except OSError as err:
        raise HostFailure.of("cannot read the pod's directory", err, "podctl gc removes it") from err


def seen_host(pod: PodDir, manifest: PodManifest, tty: str = "") -> SeenHost:
    """The parts of the host that apps see, and the disks of their limits. Raises InvalidSpec for what it lacks."""
    check_cpusets(manifest)
    sockets = tuple(f"{JOURNAL}/{name}" for name in _JOURNAL_SOCKETS)
    return SeenHost(
        tun=os.path.exists(f"/dev/{TUN[0]}"),
        mqueue=os.path.exists(_MQUEUE),
        hostname=os.uname().nodename,
        tty=tty,
        journal=tuple(path for path in sockets if os.path.exists(path)),
        hidden=pod.covers,
        thermal=_thermal(),
        permitted=permitted_capabilities(),
        disks=find_disks(manifest) if names_disks(manifest) else None,
    )


def read_filter(pod: PodDir, app: RuntimeApp) -> bytes:
    """The app's filter, b"" if it has none. Raises Corrupt if it is missing, which would allow every call; OSError."""
    program = filter_files.read(pod, app.name)
    if not program and "seccomp" not in app.waived(read_runspec(pod).insecure):
        from ...seccomp.filters import profile_of  # rarely needed

        if app.app and profile_of(app.app, architecture().name):
            raise Corrupt(
                f'the system call filter of app "{app.name}" is missing',
                "remove the pod and prepare it again",
                path=pod.app_filter(app.name),
            )
    return program


def is_docker(image: ImageManifest) -> bool:
    """Whether an image was converted from a Docker image. Pure."""
    return image.annotations.get(_DOCKER) is not None


def write_files(pod: PodDir, plan: SandboxPlan, runspec: RunSpec) -> None:
    """Write the directories and files of a start: environments, names, the sources of masks, upper directories.

    Raises HostFailure.
    """
    try:
        make_each_beneath(pod.stage1_dirs, pod.path, _DIR)
        make_dirs_beneath(pod.logs, pod.path)
        _hidden(pod)
        for app in plan.apps:
            write_app(pod, app, plan.users)
        if plan.traced:
            _write(pod, pod.traced, b"", None)
        if runspec.names:
            from .naming import write_own_files  # podctl has rkt's

            write_own_files(pod, [app.name for app in plan.apps], runspec, plan.hostname, plan.users)
        if runspec.hosts.mode == "custom" and not runspec.own_hosts:
            _write(pod, pod.hosts, hosts_file(plan.hostname, runspec.hosts.entries).encode(), plan.users)
        if runspec.dns.mode == "custom":
            dns = runspec.dns
            text = resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain)
            write_resolv(pod, text, plan.users)
    except OSError as err:
        raise HostFailure.of("cannot write into the pod's directory", err) from err


def write_resolv(pod: PodDir, text: str, users: IdRange | None) -> None:
    """Write the pod's resolv.conf, for the root of its users."""
    _write(pod, pod.resolv_conf, text.encode(), users)


def _write(pod: PodDir, path: str, data: bytes, users: IdRange | None) -> None:
    write_new_beneath(path, pod.path, data, _FILE, users.first if users else None)


def _read_input(
    pod: PodDir, manifest: PodManifest, app: RuntimeApp, groups: tuple[Group, ...], *, overlay: bool
) -> AppInput:
    name = str(app.name)
    image = read_app_manifest(pod, name)
    notify = app.annotations.get(NOTIFY) or image.annotations.get(NOTIFY)
    return AppInput(
        name=name,
        tree_id=read_text(pod.app_tree_id(name), beneath=pod.path),
        lower=read_lower(pod, name) if overlay else (),
        prefill=tuple(read_text_or(pod.app_prefill(name), "", DOCUMENT, beneath=pod.path).split()),
        filter=read_filter(pod, app),
        docker=is_docker(image),
        notify=notify == "true",
        stop_signal=_stop_signal(app.annotations.get(STOP_SIGNAL) or image.annotations.get(STOP_SIGNAL)),
        devices=check_sources(manifest, app),
        cgroups=cgroup_view(groups, name),
        images=_image_roots(pod, manifest),
    )


def _image_roots(pod: PodDir, manifest: PodManifest) -> ImageRoots:
    """The directories of the volumes that are images; of one without any, its copy."""
    names = [volume.name for volume in manifest.volumes if isinstance(volume, ImageVolume)]
    return tuple(
        (
            name,
            tuple(read_text(pod.volume_lower(name), DOCUMENT, beneath=pod.path).split("\n"))
            if os.path.getsize(pod.volume_lower(name))
            else (pod.image_volume(name),),
        )
        for name in names
    )


def _stop_signal(text: str | None) -> int:
    """The number of a signal; 0 for none, and for a name that is not a signal on this machine."""
    if not text:
        return 0
    from ...appc.signals import signal_number

    return signal_number(text) or 0


def cgroup_view(groups: tuple[Group, ...], app: str) -> tuple[tuple[str, str], ...]:
    """The leaf cgroups of an app and its paths for them: one with v2 alone, else one a hierarchy. Pure."""
    if len(groups) == 1 and groups[0].hierarchy.version == 2:
        return ((groups[0].leaf(app), "/sys/fs/cgroup"),)
    return tuple((group.leaf(app), f"/sys/fs/cgroup/{group.view}") for group in groups)


def _thermal() -> tuple[str, ...]:
    """The directories in which processors count throttling, a side channel to other workloads; () without them."""
    if not os.path.exists(_THERMAL.format("cpu0")):
        return ()
    names = sorted(name for name in os.listdir(_CPUS) if name[3:].isdigit())
    return tuple(path for path in map(_THERMAL.format, names) if os.path.exists(path))


def _hidden(pod: PodDir) -> None:
    directory, file = pod.covers
    if not os.path.exists(directory):
        os.mkdir(directory, _NOTHING)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, _NOTHING))


def write_app(pod: PodDir, app: AppPlan, users: IdRange | None) -> None:
    """Write the directories and files of one app. Raises OSError."""
    make_dirs_beneath(pod.app_root(app.name), pod.path, _DIR)
    write_environment(pod, app, users)
    if isinstance(app.root, OverlayStep):
        make_dirs_beneath(app.root.upper, pod.path)
        make_dirs_beneath(app.root.work, pod.path)
        # Mode and owner of the app's "/" are those of the upper directory.
        topmost = os.stat(app.root.lower[0])
        first = users.first if users else 0
        os.chown(app.root.upper, first + topmost.st_uid, first + topmost.st_gid)
        os.chmod(app.root.upper, topmost.st_mode & 0o7777)


def write_environment(pod: PodDir, app: AppPlan, users: IdRange | None) -> None:
    """Write the variables of an app, for commands that enter it. Raises OSError."""
    text = "".join(f"{name}={value}\0" for name, value in app.launch.environment)
    _write(pod, pod.app_env(app.name), text.encode(errors="surrogateescape"), users)
