# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The complete manifest of a pod, built from its spec and the manifests of its images. Pure.

Everything is decided here: names, overrides, environment, mounts, the implicit empty volumes. Source: rkt
stage0/run.go generatePodManifest, common/overlay; behaviours part C.
"""

from __future__ import annotations

from ..appc.app import App
from ..appc.isolators import Capabilities, Seccomp, family
from ..appc.labels import Labels, check_platform
from ..appc.names import ACName, acname_from, app_name_of
from ..appc.pod import PodManifest, RuntimeApp, RuntimeImage
from ..appc.ports import ExposedPort, check_range, hosts_clash
from ..appc.volumes import EmptyVolume, Mount, NamedVolume, app_path, why_unmountable
from ..errors import InvalidSpec, Untrusted, few
from ..pod.documents import MUTABLE
from ..pod.limits import PIDS_OF_APP, pids_of_pod, without_default_pids
from ..value import Value
from .options.app import APP
from .spec import AppSpec, PodSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..appc.image import Image, ImageManifest
    from ..appc.isolators import Isolator
    from ..appc.ports import Port
    from ..appc.volumes import Volume
    from ..pod.runspec import RunSpec
    from .consent import ConsentRequest
    from .spec import Pairs

_SHOWN = 100
_CPUSETS = "os/linux/cpuset-"
_OF_NETWORKS = "resource/network-bandwidth"
# Members of an app spec that override the image's.
_OVERRIDING = tuple(row.member for row in APP if row.overrides)


class UndescribedApp(InvalidSpec):
    """An app without its own name or a program; podctl writes "error: " before it. Source: behaviours C3."""


class BeyondDefaults(Untrusted):
    """Images ask for more than the defaults without consent. requests: of all apps."""

    def __init__(self, requests: Sequence[ConsentRequest]) -> None:
        super().__init__(
            "more than the defaults allow: " + "; ".join(map(str, requests)),
            "set image_isolators: accept if you trust the image with it, image_isolators: narrow to run it without, "
            "or give the app an option of its own, such as caps_retain or seccomp",
            where="image_isolators",
            beyond={
                found.app: {each.isolator: list(each.names) for each in found.beyond} for found in requests
            },
        )


class Preparation(Value):
    """What a pod is prepared from.

    images: one for each app, in order. prefill: pairs of app and volume that stage1 fills from its image. warnings: for
    users. stage1: the image of its stage1, None for a flavour of the runtime. volume_images: one for each volume that
    is an image, in order.
    """

    manifest: PodManifest
    runspec: RunSpec
    images: tuple[Image, ...]
    prefill: tuple[tuple[ACName, ACName], ...] = ()
    warnings: tuple[str, ...] = ()
    stage1: Image | None = None
    volume_images: tuple[Image, ...] = ()

    @property
    def all_images(self) -> tuple[Image, ...]:
        """The images that must be in the store."""
        return (*self.images, *self.volume_images, *((self.stage1,) if self.stage1 else ()))


def build_manifest(
    spec: PodSpec,
    images: Sequence[Image],
    volume_source: Callable[[str], str],
    policy: Callable[[Image], str],
    caller: tuple[int, int] = (0, 0),
) -> Preparation:
    """The manifest of a pod, with what else it is prepared from.

    images: one for each app, in order. volume_source: the directory of a named volume. policy: the host's
    for an image that asks for more than the defaults, where the spec has none. caller: uid and gid for an app that
    its image does not describe. Raises InvalidSpec with the place, BeyondDefaults.
    """
    if not spec.apps:
        raise InvalidSpec("must provide at least one image or specify the pod manifest", where="apps")
    volumes: list[Volume] = [_placed(volume, volume_source) for volume in spec.volumes]
    declared = _Declared(frozenset(volume.name for volume in volumes), _explicit(spec))
    apps: list[RuntimeApp] = []
    prefill: list[tuple[ACName, ACName]] = []
    within, warnings = _consented(spec, images, policy)
    for index, (app_spec, image) in enumerate(zip(spec.apps, within)):
        app = _runtime_app(spec, app_spec, image, f"apps[{index}]", caller)
        if any(other.name == app.name for other in apps):
            raise UndescribedApp(
                f"multiple apps with name {app.name}",
                "give one of them another name, --name on the command line",
                where=f"apps[{index}].name",
            )
        mounts = _explicit_mounts(app, index, (app_spec.mounts, spec.mounts))
        _check_tmpfs(app, index, mounts)
        implicit, said = _at_mount_points(app, index, mounts, declared)
        _check_cpusets(app, index, spec.isolators)
        _check_calls(app, app_spec, index, spec.run)
        volumes += implicit
        if image.manifest.of_docker_origin:
            prefill += [(app.name, volume.name) for volume in implicit]
        apps.append(app.replace(mounts=tuple(mounts.values())))
        warnings += few(said) + few(_not_applied(app, spec.run)) + _ruling_the_host(app, spec.run)
    warnings += few(_not_applied_of(spec.isolators, "the pod", spec.run))
    ports = _exposed(spec, apps)
    check_exposed(ports, apps)
    manifest = PodManifest(
        apps=tuple(apps),
        volumes=tuple(volumes),
        annotations=Labels(((MUTABLE, "false"),)),
        ports=ports,
        user_labels=spec.user_labels,
        isolators=without_default_pids(spec.isolators, pids_of_pod((), tuple(apps))),
    )
    return Preparation(manifest, spec.run, tuple(images), tuple(prefill), tuple(warnings))


def _consented(
    spec: PodSpec, images: Sequence[Image], policy: Callable[[Image], str]
) -> tuple[list[Image], list[str]]:
    """The images with the isolators that apply, and warnings about those that need the operator's consent."""
    every_asked = [_asked(app_spec, image) for app_spec, image in zip(spec.apps, images)]
    if not any(every_asked):
        return list(images), []
    from ..host.policy import NARROW, REFUSE
    from .consent import (  # with the sets of system calls: most images ask for nothing
        ConsentRequest,
        apply_policy,
    )

    found: list[Image] = []
    refused: list[ConsentRequest] = []
    warnings: list[str] = []
    for app_spec, image, asked in zip(spec.apps, images, every_asked):
        said = app_spec.image_isolators or spec.image_isolators
        within, beyond, chosen = apply_policy(asked, said, _asking(policy, image), spec.run.insecure)
        request = ConsentRequest(
            app_spec.name or app_name_of(image.manifest.name), image.manifest.name, beyond
        )
        if beyond and chosen == REFUSE:
            refused.append(request)
        elif beyond and chosen == NARROW:
            warnings.append(f"not given, since it is more than the defaults allow: {request}")
        found.append(_with_isolators(image, within) if within != asked else image)
    if refused:
        raise BeyondDefaults(refused)
    return found, warnings


def _asking(policy: Callable[[Image], str], image: Image) -> Callable[[], str]:
    return lambda: policy(image)


def _asked(app_spec: AppSpec, image: Image) -> tuple[Isolator, ...]:
    """The isolators of an image that the operator has not replaced."""
    own = _replaced(app_spec)
    app = image.manifest.app
    return tuple(isolator for isolator in app.isolators if family(isolator) not in own) if app else ()


def _with_isolators(image: Image, isolators: tuple[Isolator, ...]) -> Image:
    app = image.manifest.app
    return image.replace(manifest=image.manifest.replace(app=app and app.replace(isolators=isolators)))


def _placed(volume: Volume, volume_source: Callable[[str], str]) -> Volume:
    return volume.replace(source=volume_source(volume.volume)) if isinstance(volume, NamedVolume) else volume


def _runtime_app(
    spec: PodSpec, app_spec: AppSpec, image: Image, where: str, caller: tuple[int, int]
) -> RuntimeApp:
    manifest = image.manifest
    check_platform(manifest.labels)
    return RuntimeApp(
        name=app_spec.name or app_name_of(manifest.name),
        image=RuntimeImage(image.id, manifest.name, manifest.labels),
        app=_overridden(spec, app_spec, _base(app_spec, manifest, where, caller), where, manifest),
        read_only_root_fs=app_spec.read_only_root_fs,
        annotations=Labels(tuple(sorted(app_spec.annotations))),
        tmpfs=app_spec.tmpfs,
        privileged=app_spec.privileged,
    )


def _base(app_spec: AppSpec, manifest: ImageManifest, where: str, caller: tuple[int, int]) -> App:
    if manifest.app:
        return manifest.app
    if not app_spec.exec and not app_spec.command:
        raise UndescribedApp(
            f"image {manifest.name} has no app section and --exec argument is not provided",
            "say what to run",
            where=f"{where}.exec",
        )
    return App(app_spec.exec or app_spec.command, str(caller[0]), str(caller[1]))


def _exec(app_spec: AppSpec, base: App, where: str, manifest: ImageManifest) -> tuple[str, ...]:
    if app_spec.command:
        from .docker_command import with_command  # few apps have one

        return with_command(manifest, app_spec.command, f"{where}.command")
    return (app_spec.exec or base.exec) + app_spec.args


def _overridden(spec: PodSpec, app_spec: AppSpec, base: App, where: str, manifest: ImageManifest) -> App:
    exec_vector = _exec(app_spec, base, where, manifest)
    if not exec_vector:
        raise InvalidSpec(
            f'image "{manifest.name}" has an empty "exec" (try --exec=BINARY)',
            "say what to run",
            where=f"{where}.exec",
        )
    said = {member: getattr(app_spec, member) for member in _OVERRIDING}
    merged = {
        "exec": exec_vector,
        "environment": _environment(spec, app_spec, base),
        "isolators": _isolators(base.isolators, app_spec),
    }
    changes = {member: value for member, value in said.items() if value != getattr(AppSpec, member)}
    try:
        return base.replace(**{**changes, **merged})
    except InvalidSpec as err:
        options = {row.document: row.name for row in APP}
        raise err.at(f"{where}.{options.get(f'app.{err.where}', err.where)}") from err


def _environment(spec: PodSpec, app_spec: AppSpec, base: App) -> Pairs:
    merged = dict(spec.inherited)
    for source in (base.environment, spec.env_file, spec.set_env, app_spec.environment):
        merged.update(source)
    return tuple(merged.items())


def _replaced(app_spec: AppSpec) -> set[str]:
    """The families of isolators that an app has of its own; a privileged one, all that would restrict it."""
    of_privileged = (Capabilities.__name__, Seccomp.__name__) if app_spec.privileged else ()
    return {*(family(isolator) for isolator in app_spec.isolators), *of_privileged}


def _isolators(base: tuple[Isolator, ...], app_spec: AppSpec) -> tuple[Isolator, ...]:
    """The image's isolators and the wanted ones, which replace their families; of one name the last wins."""
    families, wanted = _replaced(app_spec), app_spec.isolators
    kept: dict[str, Isolator] = {}
    for isolator in (*(i for i in base if family(i) not in families), *wanted):
        kept.pop(isolator.name, None)
        kept[isolator.name] = isolator
    return without_default_pids(tuple(kept[name] for name in sorted(kept)), PIDS_OF_APP)


class _Declared(Value):
    """The volumes of a pod's description. explicit: those that apps mount explicitly, with the first such app."""

    names: frozenset[ACName]
    explicit: dict[ACName, str]


def _explicit(spec: PodSpec) -> dict[ACName, str]:
    """The volumes that apps mount explicitly, each with the first such app."""
    found: dict[ACName, str] = {}
    for index, app in enumerate(spec.apps):
        for mount in app.mounts:
            found.setdefault(mount.volume, f'app "{app.name}"' if app.name else f"apps[{index}]")
    return found


def _explicit_mounts(
    app: RuntimeApp, index: int, wanted: tuple[tuple[Mount, ...], tuple[Mount, ...]]
) -> dict[str, Mount]:
    """The explicit mounts of an app by the one spelling of their path. Raises InvalidSpec.

    wanted: the app's own and those of all apps, of which the first at a path counts. Source: behaviours C20.
    """
    mounts: dict[str, Mount] = {}
    named = {str(point.name): point.path for point in app.app.mount_points} if app.app else {}
    for place, listed in zip((f"apps[{index}].mounts", "mounts"), wanted):
        for number, mount in enumerate(listed):
            # The bare name of a mount point means its path.
            path = named.get(mount.path, mount.path)
            clean = _mountable(app, path, f"{place}[{number}].target")
            mounts.setdefault(clean, mount.replace(path=path))
    return mounts


def _check_tmpfs(app: RuntimeApp, index: int, mounts: dict[str, Mount]) -> None:
    """Raise InvalidSpec for a file system in memory where nothing can be mounted, or something is already."""
    taken: set[str] = set()
    for at, each in enumerate(app.tmpfs):
        where = f"apps[{index}].tmpfs[{at}].target"
        clean = _mountable(app, each.path, where)
        if clean in mounts or clean in taken:
            other = f'the volume "{mounts[clean].volume}"' if clean in mounts else "another one"
            hint = "take one of them out, or mount it elsewhere"
            raise InvalidSpec(f'app "{app.name}" has {other} at {clean} already', hint, where=where)
        taken.add(clean)


def _check_cpusets(app: RuntimeApp, index: int, of_pod: tuple[Isolator, ...]) -> None:
    """Raise InvalidSpec for processors and nodes of memory of an app that are not among those of its pod."""
    if not any(each.name.startswith(_CPUSETS) for each in of_pod):
        return
    from ..appc.resources import Cpuset, numbers_in  # few pods have any

    bounds = {each.of: each.numbers for each in of_pod if isinstance(each, Cpuset)}
    for each in app.app.isolators if app.app else ():
        if isinstance(each, Cpuset) and not numbers_in(each.numbers) <= numbers_in(
            bounds.get(each.of, each.numbers)
        ):
            raise InvalidSpec(
                f"{each.numbers} is more than the pod has, {bounds[each.of]}",
                f"use some of those, or give the pod more by its own cpuset_{each.of}",
                where=f"apps[{index}].cpuset_{each.of}",
            )


def _check_calls(app: RuntimeApp, app_spec: AppSpec, index: int, run: RunSpec) -> None:
    """Raise InvalidSpec for a filter of system calls that retains only what does not exist."""
    if app.app and any(isinstance(isolator, Seccomp) for isolator in app.app.isolators):
        from .security import check_calls  # few apps have one

        check_calls(app, app_spec.isolators, f"apps[{index}]", run.insecure)


def _at_mount_points(
    app: RuntimeApp, index: int, mounts: dict[str, Mount], declared: _Declared
) -> tuple[list[EmptyVolume], list[str]]:
    """Add mounts for the mount points that have none: of the volume of that name, or of an implicit one.

    The name of a mount point, which an image chooses, gives no access to a volume that only other apps mount. Raises
    InvalidSpec. Source: behaviours C20 and C21.
    """
    implicit: list[EmptyVolume] = []
    warnings: list[str] = []
    in_memory = {app_path(each.path) for each in app.tmpfs}
    own = {mount.volume for mount in mounts.values()}
    held = {name: holder for name, holder in declared.explicit.items() if name not in own}
    for point in app.app.mount_points if app.app else ():
        clean = _mountable(app, point.path, f"apps[{index}].image")
        if clean in mounts or clean in in_memory:
            continue
        name = point.name
        if name in held:
            warnings.append(
                f'the mount point "{name}" of app "{app.name}" does not get the volume of that name, which '
                f"{held[name]} mounts and it does not. To share it, add {{volume: {name}, target: {name}}} to the "
                f"app's mounts, --mount=volume={name},target={name} after its image on the command line"
            )
        if name in held or name not in declared.names:
            name = acname_from(f"{app.name}-{point.name}")
            implicit.append(EmptyVolume(name))
            warnings.append(
                f'no volume specified for mount point "{point.name}", implicitly creating an "empty" volume. '
                "This volume will be removed when the pod is garbage-collected."
            )
        mounts[clean] = Mount(name, point.path)
    return implicit, warnings


def _mountable(app: RuntimeApp, path: str, where: str) -> str:
    """A path of an app in its one spelling. Raises InvalidSpec for one where nothing can be mounted."""
    clean = app_path(path)
    wrong = why_unmountable(clean)
    if wrong:
        shown = clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}..."
        raise InvalidSpec(
            f'"{shown}" of app "{app.name}" cannot be a mount point: {wrong}',
            "mount the volume elsewhere",
            where=where,
        )
    return clean


def _not_applied(app: RuntimeApp, run: RunSpec) -> list[str]:
    """A warning for each isolator, and each entry of one, that has no effect here. Source: behaviours, ruling 5."""
    if app.app is None:
        return []
    return [
        *_not_applied_of(app.app.isolators, f'app "{app.name}"', run),
        *(
            f'app "{app.name}": "{item}" is no system call and no set of them that is known here; it has no effect'
            for item in _unknown_calls(app.app)
        ),
    ]


def _not_applied_of(isolators: Sequence[Isolator], whose: str, run: RunSpec) -> list[str]:
    if not run.host_network or not any(each.name == _OF_NETWORKS for each in isolators):
        return []
    return [f"{whose}: the isolator {_OF_NETWORKS} is not applied: the pod has the network of the host"]


def _ruling_the_host(app: RuntimeApp, run: RunSpec) -> list[str]:
    """A warning for an app that can change the host's network although its pod has its own.

    The other end of its link names the host's network namespace to it. Source: rtnetlink(7), IFLA_TARGET_NETNSID.
    """
    if app.app is None or app.privileged or run.host_network or run.no_network or run.private_users:
        return []
    if not any(isinstance(isolator, Capabilities) for isolator in app.app.isolators):
        return []  # CAP_NET_ADMIN is not a default
    from ..appc.capabilities import bounding_set, mask_of

    if not bounding_set(app.app.isolators, insecure=False) & mask_of(("CAP_NET_ADMIN",)):
        return []
    return [
        f'app "{app.name}" has CAP_NET_ADMIN, which rules over the links of this host and of all its pods, though the '
        "pod has a network of its own: give it to no image that you would not run with the host's network"
    ]


def _unknown_calls(app: App) -> tuple[str, ...]:
    if not any(isinstance(isolator, Seccomp) for isolator in app.isolators):
        return ()
    from ..seccomp.filters import unknown_items  # with the sets of system calls

    return unknown_items(app)


def _exposed(spec: PodSpec, apps: Sequence[RuntimeApp]) -> tuple[ExposedPort, ...]:
    """The host ports; one that is given by a number gets the name of that port, if exactly one app has it."""
    names: dict[tuple[str, int, int], list[ACName]] = {}
    for app in apps:
        for port in app.app.ports if app.app else ():
            names.setdefault((port.protocol, port.port, port.count), []).append(port.name)
    found = []
    for exposed in spec.ports:
        named = names.get((exposed.protocol, exposed.port, exposed.count), []) if exposed.port else []
        found.append(
            ExposedPort(named[0], exposed.host_port, exposed.host_ip, auto=exposed.auto)
            if len(named) == 1
            else exposed
        )
    return tuple(found)


def check_exposed(ports: Sequence[ExposedPort], apps: Sequence[RuntimeApp]) -> None:
    """Check that every forwarded port is one port of one app and no host port is taken twice. Source: behaviours C4."""
    taken: dict[tuple[str, int], list[tuple[str | None, str]]] = {}
    for index, exposed in enumerate(ports):
        where = f"ports[{index}]"
        protocol, count = exposed.protocol, exposed.count
        if exposed.port is None:
            port = _named_port(exposed.name, apps, where)
            protocol, count = port.protocol, port.count
            if not exposed.is_open:
                check_range(exposed.host_port, count, f"{where}.host_port")
        if exposed.is_open:
            continue
        for number in range(exposed.host_port, exposed.host_port + count):
            for ip, name in taken.get((protocol, number), []):
                if hosts_clash(ip, exposed.host_ip):
                    raise InvalidSpec(
                        f"port {protocol}-{exposed.host_ip or '0.0.0.0'}:{number} "
                        f"already mapped to pod port {name}",
                        where=where,
                    )
            taken.setdefault((protocol, number), []).append((exposed.host_ip, exposed.name))


def _named_port(name: str, apps: Sequence[RuntimeApp], where: str) -> Port:
    found = [port for app in apps if app.app for port in app.app.ports if port.name == name]
    if not found:
        raise InvalidSpec(
            f'port name "{name}" could not be found in any apps',
            "the apps' ports are: " + (_port_names(apps) or "none; declare one with the app's ports"),
            where=where,
        )
    if len(found) > 1:
        raise InvalidSpec(f'port name "{name}" defined multiple apps', where=where)
    return found[0]


def _port_names(apps: Sequence[RuntimeApp]) -> str:
    return ", ".join(few([port.name for app in apps if app.app for port in app.app.ports]))
