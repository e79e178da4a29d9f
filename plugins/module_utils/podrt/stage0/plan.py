# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans: from the description and the state of the host to changes. Planning reads and never writes.

ensure_pod is the outline; every decision is in the pure functions that it calls. Most tasks find nothing to do, so
modules that only a change needs, such as pod_changes, are imported where they are used.
"""

from __future__ import annotations

import os

from ..appc.image import Image
from ..appc.names import ImageID
from ..appc.volumes import ImageVolume
from ..errors import InvalidSpec, NotFound, PodError, Untrusted
from ..host.host import configures_stage1
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, open_pod
from ..pod.names import PodName
from ..value import Value
from .change import Difference
from .images import UNKNOWN_ID, ensure_image, isolators_policy
from .manifest import build_manifest
from .status import PodStatus, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec
    from .change import Plan
    from .manifest import Preparation
    from .options.documents import Documents
    from .spec import PodSpec
    from .status import AppStatus


class PodOutcome(Value):
    """The result of a pod's plan. found: the pod that it found, None if it did not exist. warnings: for the user."""

    found: PodStatus | None = None
    warnings: tuple[str, ...] = ()


class _Images(Value):
    """The images of a pod's apps, in order; None for one that has yet to be fetched. volumes: those of volumes."""

    found: tuple[Image | None, ...]
    volumes: tuple[Image | None, ...] = ()

    @property
    def are_here(self) -> bool:
        """Whether all are in the store."""
        return None not in self.found and None not in self.volumes

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the apps whose image is not in the store yet."""
        return tuple(number for number, image in enumerate(self.found) if image is None)


def ensure_pod(
    host: Host,
    spec: PodSpec,
    state: str,
    *,
    completes: bool = False,
    min_uptime: float = 0.0,
    restart_apps: tuple[str, ...] = (),
) -> Plan[PodOutcome]:
    """Plan: the named pod is as described and in this state (one of spec.STATES but absent).

    An existing pod is stopped even if its description is refused by now, as its images may be. completes: the pod is a
    task that ends; one that has ended well is as wanted, and no boot starts it again. min_uptime: how many seconds a
    pod that replaces a running one must stay up; ignored for a task. restart_apps: apps of a running pod that are to be
    started again.
    """
    min_uptime = 0.0 if completes else min_uptime
    spec = spec.settled(host.paths)
    name = PodName(spec.run.name, "name")
    images = yield from _ensure_images(host, spec)
    if images.volumes:
        from .image_volumes import with_ids

        spec = with_ids(spec, images.volumes)
    stage1 = None
    if spec.stage1.asked or configures_stage1(host.paths):
        from .stage1_images import ensure_stage1

        stage1 = yield from ensure_stage1(host, spec)
        spec = stage1.recorded_in(spec)
    found = find_named(host, name)
    try:
        wanted = _preparation(host, spec, images.found, found) if images.are_here else None
        if wanted and images.volumes:
            wanted = wanted.replace(volume_images=images.volumes)
        if stage1 is not None and wanted is not None:
            wanted = None if stage1.is_missing else stage1.added_to(wanted, spec)
    except Untrusted as err:
        if found is None or state != "stopped":
            raise
        unseen = yield from _state_changes(host, found, state, completes=completes, min_uptime=min_uptime)
        return PodOutcome(found, (*unseen, f'pod "{name}" is stopped and stays as it is: {err.message}'))
    start = state in ("started", "restarted")
    drift = _drift(host, spec, found, wanted, images) if found else ()
    unseen = ()
    if found is None:
        from .pod_changes import CreatePod, chosen_ports

        difference = Difference(f"pods.{name}", None, "running" if start else "prepared")
        yield CreatePod(f'pod "{name}"', (difference, *chosen_ports(spec)), wanted, start, not completes)
    elif drift:
        asked = _Asked(state, completes, min_uptime, restart_apps)
        drift = yield from _change_running(host, spec, found, wanted, drift, asked)
    else:
        unseen = yield from _state_changes(host, found, state, completes=completes, min_uptime=min_uptime)
        yield from _restart_apps(host, found, state, restart_apps, min_uptime)
    return PodOutcome(found, (*_warnings(host, spec, found, wanted, drift), *unseen))


class _Asked(Value):
    """The conduct that a task asks for, see ensure_pod."""

    state: str
    completes: bool
    min_uptime: float
    restart_apps: tuple[str, ...]

    @property
    def starts(self) -> bool:
        """Whether the pod is to run."""
        return self.state in ("started", "restarted")


def _change_running(
    host: Host,
    spec: PodSpec,
    found: PodStatus,
    wanted: Preparation | None,
    drift: tuple[Difference, ...],
    asked: _Asked,
) -> Plan[tuple[Difference, ...]]:
    """Plan: a pod that differs is as described. Returns the differences.

    Where these concern some apps of a running pod alone, the others run on; else another pod takes its place.
    """
    name, completes = spec.run.name, asked.completes
    changes = None
    if asked.state == "started" and not completes and wanted and found.manifest and found.runspec:
        from .alone import changes_of_apps, impact_on_apps

        before, after = (found.manifest, found.runspec), (wanted.manifest, wanted.runspec)
        changes = changes_of_apps(host, found, *_alike(host, found, before, after), drift)
    if changes is not None and wanted:
        from .app_changes import ReplaceApps

        drift = impact_on_apps(drift)
        yield ReplaceApps(
            f'pod "{name}"', drift, wanted, found.uuid, changes, not completes, asked.min_uptime
        )
        touched = (*changes.come, *changes.gone)
        others = tuple(app for app in asked.restart_apps if app not in touched)
        stay = found.replace(apps=tuple(app for app in found.apps if app.name not in touched))
        yield from _restart_apps(host, stay, asked.state, others, asked.min_uptime)
        return drift
    from .pod_changes import ReplacePod

    if not asked.starts:
        yield from _settle_unit(host, found, boot=False)
    drift += _moved(found, start=asked.starts, completes=completes)
    yield ReplacePod(
        f'pod "{name}"', drift, wanted, found.uuid, asked.starts, not completes, asked.min_uptime
    )
    return drift


def _restart_apps(
    host: Host, found: PodStatus, state: str, apps: tuple[str, ...], min_uptime: float
) -> Plan[None]:
    """Plan: apps of a running pod are started again, and those that were added and never started are started."""
    if found.state is not PodState.RUNNING or state != "started":
        return
    left = tuple(app.name for app in found.apps if app.state == "created" and app.name not in apps)
    if apps or left or os.path.lexists(host.paths.pod("run", found.uuid).replaced):
        from .app_changes import restart_apps

        yield from restart_apps(found, apps, left, min_uptime)


def _warnings(
    host: Host,
    spec: PodSpec,
    found: PodStatus | None,
    wanted: Preparation | None,
    drift: tuple[Difference, ...],
) -> tuple[str, ...]:
    """Warnings for the user: about the images always, about the networks where a pod is made."""
    if wanted is None:
        return ()
    if found is not None and not drift:
        return wanted.warnings
    from .networks import warnings_of_networks

    return wanted.warnings + warnings_of_networks(host, wanted.manifest, spec.run)


def ensure_state(
    host: Host,
    name: PodName,
    state: str,
    *,
    completes: bool = False,
    min_uptime: float = 0.0,
    restart_apps: tuple[str, ...] = (),
) -> Plan[PodOutcome]:
    """Plan: the pod of that name, whatever its description, is started, stopped or restarted, as handlers ask for."""
    min_uptime = 0.0 if completes else min_uptime
    found = find_named(host, name)
    if found is None:
        from .pod_changes import MissingPod

        difference = Difference(f"pods.{name}.state", None, "running" if state == "started" else state)
        yield MissingPod(f'pod "{name}"', (difference,), name)
        return PodOutcome()
    unseen = yield from _state_changes(host, found, state, completes=completes, min_uptime=min_uptime)
    yield from _restart_apps(host, found, state, restart_apps, min_uptime)
    return PodOutcome(found, unseen)


def ensure_absent(host: Host, name: PodName) -> Plan[None]:
    """Plan: no pod of that name, no unit, and nothing left over from one."""
    from . import gc, units

    found, path = find_named(host, name), f"pods.{name}"
    differences: list[Difference] = []
    if found:
        impact = "restart" if found.state is PodState.RUNNING else "none"
        differences.append(Difference(path, found.state.value, None, "playbook", impact))
    uuid = found.uuid if found else ""
    others = tuple(sorted(set(gc.named_leftovers(host, name)) - {uuid}))
    differences += [Difference(f"pods.{other}", "left over", None, "drift") for other in others]
    if host.runs_systemd and units.is_installed(host, name) and not found:
        differences.append(Difference(f"{path}.unit", "left over", None, "drift"))
    if differences:
        from .pod_changes import RemovePod

        yield RemovePod(f'pod "{name}"', tuple(differences), name, uuid, others)


def find_named(host: Host, name: str) -> PodStatus | None:
    """The pod that a name means, None if there is no such pod."""
    uuid = lookup.uuid_of_name(host.paths, name)
    if not uuid:
        return None
    try:
        with open_pod(host.paths, uuid) as pod:
            return read_status(pod)
    except NotFound:
        return None


def _ensure_images(host: Host, spec: PodSpec) -> Plan[_Images]:
    """The images of all apps, each reference once, and of volumes."""
    found: dict[str, Image | None] = {}
    for app in spec.apps:
        reference = str(app.image)
        if reference not in found:
            found[reference] = yield from ensure_image(host, app.image, spec.policy)
    images = _Images(tuple(found[str(app.image)] for app in spec.apps))
    if any(isinstance(volume, ImageVolume) for volume in spec.volumes):
        from .image_volumes import ensure_images

        volumes = yield from ensure_images(
            spec, lambda reference, policy: ensure_image(host, reference, policy)
        )
        images = images.replace(volumes=volumes)
    return images


def _preparation(
    host: Host, spec: PodSpec, images: Sequence[Image | None], found: PodStatus | None
) -> Preparation:
    here = tuple(image for image in images if image)
    wanted = build_manifest(spec, here, host.paths.volume_data, isolators_policy(host))
    if found and found.manifest and any(exposed.auto for exposed in spec.ports):
        from .auto_ports import with_kept

        return wanted.replace(manifest=with_kept(wanted.manifest, found.manifest))
    return wanted


def _state_changes(
    host: Host, found: PodStatus, state: str, *, completes: bool, min_uptime: float
) -> Plan[tuple[str, ...]]:
    """Plan: a pod that is as described gets into the wanted state; its unit first, then the pod.

    Returns warnings about parts of an unchanged pod that could not be read.
    """
    name, running = found.name, found.state is PodState.RUNNING
    subject, path, boot = f'pod "{name}"', f"pods.{name}.state", not completes
    done = completes and _has_done_its_work(found)
    if state == "restarted" or (state == "started" and not done):
        yield from _settle_unit(host, found, boot=boot)
    elif not running or state == "stopped" or done:
        yield from _settle_unit(host, found, boot=False)
    stays = state == "started" and running and not done
    redefined = _redefined(host, found) if stays else ()
    lost, unseen = _looked(host, found) if stays and not redefined else ((), ())
    if stays and not redefined and not lost:
        return unseen  # the usual case
    from .pod_changes import MendPod, RestartPod, StartPod, StopPod

    if redefined or any(difference.impact == "restart" for difference in lost):
        yield RestartPod(subject, redefined or lost, name, found.uuid, boot, min_uptime)
    elif lost:
        yield MendPod(subject, lost, name, found.uuid)
    elif state == "restarted":
        impact = "restart" if running else "none"
        difference = Difference(path, found.state.value, "restarted", "playbook", impact)
        if running:
            yield RestartPod(subject, (difference,), name, found.uuid, boot, min_uptime)
        else:
            yield StartPod(subject, (difference,), name, found.uuid, boot)
    elif state == "started" and not running and not done:
        moved = _moved(found, start=True, completes=completes)
        yield StartPod(subject, moved, name, found.uuid, boot)
    elif state == "stopped" and running:
        difference = Difference(path, "running", "stopped", "playbook", "restart")
        yield StopPod(subject, (difference,), name, found.uuid)
    return unseen


def _redefined(host: Host, found: PodStatus) -> tuple[Difference, ...]:
    """The changes in the configuration of a running pod's networks since it joined them."""
    if found.runspec is None:
        return ()
    from .networks import network_differences

    return network_differences(host, host.paths.pod("run", found.uuid), found.runspec)


def _looked(host: Host, found: PodStatus) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """The drift of a pod that keeps running, and a warning for each part that could not be read."""
    from .drift import find_pod_drift

    seen = find_pod_drift(host, found)
    return seen.lost, seen.warnings


def _moved(found: PodStatus, *, start: bool, completes: bool) -> tuple[Difference, ...]:
    """The difference of a pod that starts or stops, beside its other differences."""
    path, running = f"pods.{found.name}.state", found.state is PodState.RUNNING
    if start and not running:
        expected = found.state is PodState.PREPARED or found.was_stopped
        expected = expected or (completes and _has_done_its_work(found))
        reason = "playbook" if expected else "drift"
        return (Difference(path, found.state.value, "running", reason),)
    if running and not start:
        return (Difference(path, "running", "prepared", "playbook", "restart"),)
    return ()


def _settle_unit(host: Host, found: PodStatus, *, boot: bool) -> Plan[None]:
    """Plan: where systemd runs, the unit of a pod that stays is as described, and enabled if a boot starts the pod."""
    if not host.runs_systemd:
        return
    from . import units

    with open_pod(host.paths, found.uuid) as pod:
        unit = units.read_unit_status(host, pod)
        activated = not boot and units.has_socket(host, found.name)
    wanted = units.UnitStatus("as described", boot)
    unused = not (boot or activated) or (boot and found.state is PodState.PREPARED)
    if unit == wanted or (unit.text == "absent" and unused):
        return
    reason = "runtime" if unit.text == "outdated" else "drift"
    if unit.text == wanted.text and (not boot or found.was_stopped):
        reason = "playbook"
    from .pod_changes import SettleUnit

    difference = Difference(f"pods.{found.name}.unit", str(unit), str(wanted), reason)
    yield SettleUnit(f'pod "{found.name}"', (difference,), found.name, found.uuid, boot)


def _has_done_its_work(found: PodStatus) -> bool:
    """Whether a pod has ended by itself with status 0: one that was asked to stop may have done half its work."""
    ended = found.state in (PodState.EXITED, PodState.EXITED_GARBAGE)
    return ended and found.exit_code == 0 and not found.was_stopped


def _drift(
    host: Host, spec: PodSpec, found: PodStatus, wanted: Preparation | None, images: _Images
) -> tuple[Difference, ...]:
    """The differences between the found pod and the wanted one.

    An image that has yet to be fetched counts as the one that the pod has, and as another one.
    """
    name = spec.run.name
    if found.manifest is None or found.runspec is None:
        return (
            Difference(f"pods.{name}", "unreadable: " + found.problem, "as described", "drift", "recreate"),
        )
    before = (found.manifest, found.runspec)
    below: tuple[Difference, ...] = ()
    if wanted is not None:
        after = (wanted.manifest, wanted.runspec)
        below = _other_trees(host, found, before, after, wanted.images)
        if before == after:
            return below  # the usual case: nothing more is read
        before, after = _alike(host, found, before, after)
        if before == after:
            return below  # such as an image of another name, or converted again
    from .compare import differences, fingerprint_key

    key, recorded = fingerprint_key(host.paths), _recorded(host, spec, found)
    if wanted is not None:
        return (*differences(before, after, key, spec, _between(host, spec, found, recorded, wanted)), *below)
    unfetched = tuple(
        Difference(
            f"apps[{number}].image",
            _id_of(recorded[number]),
            UNKNOWN_ID,
            "image",
            "recreate",
        )
        for number in images.missing
    )
    supposed = [image or recorded[number] for number, image in enumerate(images.found)]
    if None in supposed:
        return unfetched
    try:
        supposedly = _preparation(host, spec, supposed, found)
    except Untrusted:
        return unfetched  # the new image may ask for less
    after = (supposedly.manifest, spec.run)
    below = _other_trees(host, found, before, after, images.found)
    return (*differences(*_alike(host, found, before, after), key, spec), *below, *unfetched)


def _other_trees(
    host: Host, found: PodStatus, before: Documents, after: Documents, images: Sequence[Image | None]
) -> tuple[Difference, ...]:
    if not any(image and image.manifest.dependencies for image in images):
        return ()
    from .sameness import other_trees

    with open_pod(host.paths, found.uuid) as pod:
        return other_trees(host.paths, pod, before[0], after[0], images)


def _alike(host: Host, found: PodStatus, before: Documents, after: Documents) -> tuple[Documents, Documents]:
    from .sameness import normalized

    with open_pod(host.paths, found.uuid) as pod:
        return normalized(host.paths, pod, before, after)


def _recorded(host: Host, spec: PodSpec, found: PodStatus) -> list[Image | None]:
    """The image that the pod has for each app of a description, None where it has no such app."""
    by_name = {app.name: app for app in found.apps}
    images: list[Image | None] = []
    with open_pod(host.paths, found.uuid) as pod:
        for number in range(len(spec.apps)):
            app = by_name.get(_app_name(spec, found, number))
            images.append(_image_of(pod, app) if app else None)
    return images


def _image_of(pod: Pod, app: AppStatus) -> Image | None:
    try:
        return Image(ImageID(app.image_id), documents.read_app_manifest(pod.dir, app.name))
    except (OSError, PodError):
        return None


def _id_of(image: Image | None) -> str | None:
    return str(image.id) if image else None


def _between(
    host: Host, spec: PodSpec, found: PodStatus, recorded: list[Image | None], wanted: Preparation
) -> tuple[PodManifest, RunSpec] | None:
    """The documents from the description and the pod's own images: no difference there comes from an image."""
    images = [old or new for old, new in zip(recorded, wanted.images)]
    try:
        return _preparation(host, spec, images, found).manifest, spec.run
    except (InvalidSpec, Untrusted):
        return None


def _app_name(spec: PodSpec, found: PodStatus, number: int) -> str:
    named = spec.apps[number].name
    return named or (found.apps[number].name if number < len(found.apps) else str(number))
