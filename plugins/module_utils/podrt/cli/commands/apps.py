# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl app, and the entries of stage1 for single apps. Source: behaviours A8; rkt, app_*.go."""

from __future__ import annotations

import os
import sys

from ...appc.labels import Labels
from ...appc.pod import PodManifest
from ...errors import Conflict, InvalidSpec, NotFound, PodError
from ...pod import documents
from ...pod.lifecycle import PodState
from ...pod.runspec import CONTINUE, RunSpec
from ...stage0 import apps
from ...stage0.images import isolators_policy
from ...stage0.manifest import BeyondDefaults, Preparation, build_manifest
from ...stage0.operations import ensure_new_pod
from ...stage0.replaced import settle_if_left
from ...stage0.spec import PodSpec
from ...stage0.status import shown_status
from ...stage1.entries import apps_of
from ..appflags import MNT_VOLUME
from ..flags import Given, UsageError, Words
from ..grammar import CallerInputs, in_flags, in_words_of_flags, pod_spec, policy_of_image, run_spec
from ..output import app_json, app_lines, table
from ..plans import carry_out, ensure_image
from ..podargs import only_argument, resolve
from ..running import check_service, recording_failure, run_pod
from .run import read_file, uuid_saver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...appc.volumes import Volume
    from ...pod.lifecycle import Pod
    from ...stage0.change import Plan
    from ...stage0.status import AppStatus, PodStatus
    from ...store.index import StoredImage
    from ..call import Call
    from ..flags import AppWords

# Of rkt's commands for apps, but for add.
_FAILED = 1


def sandbox(call: Call) -> int:
    """Run a pod without apps until it is stopped; returns its exit status."""
    spec = PodSpec((), run=run_spec(call.options, RunSpec(exit_policy=CONTINUE))).settled(call.host.paths)
    manifest = PodManifest((), annotations=Labels(((documents.MUTABLE, "true"),)))
    check_service(call, spec.run)
    made: list[Pod] = []
    plan = ensure_new_pod(
        Preparation(manifest, spec.run, ()), spec.run.name, uuid_saver(call), made.append, runs=True
    )
    carry_out(call, plan)
    (pod,) = made
    try:
        pod.move("run", synced=False)  # nor are its files
    except BaseException:
        pod.discard()
        raise
    return run_pod(call, pod, detach=call.options.on("detach"))


def add(call: Call) -> int:
    """Prepare an app in a running pod."""
    if len(call.words.apps) < 2:
        raise InvalidSpec("must provide the pod UUID and an IMAGEID")
    if len(call.words.apps) > 2:
        raise InvalidSpec("must give only one app")
    uuid, words = call.words.apps
    if uuid.given:
        raise UsageError(f"--{uuid.given[0].name} must follow the image")
    with resolve(call, uuid.image) as pod:
        _check_mutable(pod)
        if not documents.has_started(pod.dir):
            raise Conflict(f'supervisor for pod "{pod.uuid}" is not yet ready', "try again in a moment")
        held = documents.read_manifest(pod.dir).volumes
        _outcome, one = carry_out(call, _built(call, _with_volumes(words), held))
        if one is not None:
            for warning in one.warnings:
                call.say(warning)
            apps.add_app(call.host, pod, one)
    return 0


def _built(call: Call, words: Words, held: tuple[Volume, ...]) -> Plan[Preparation | None]:
    """Plan: the image is in the store. Returns what the app is prepared from. held: the volumes of the pod."""
    spec = _with_those_of_pod(words, held)
    spec = spec.replace(policy=spec.policy.replace(pull="never"))
    policy = policy_of_image(spec.policy, call.options, words.apps[0])
    image: StoredImage | None = yield from ensure_image(call, spec.apps[0].image, policy)
    if image is None:
        return None
    caller = os.getuid(), os.getgid()
    try:
        return build_manifest(
            spec, (image,), call.host.paths.volume_data, isolators_policy(call.host), caller
        )
    except BeyondDefaults as err:
        raise in_words_of_flags(err) from err
    except InvalidSpec as err:
        raise in_flags(err) from err


def _with_those_of_pod(words: Words, held: tuple[Volume, ...]) -> PodSpec:
    """The spec of the words, where a mount may name a volume that the pod has. Raises InvalidSpec."""
    own = {flag.value.partition(",")[0] for flag in words.given}
    others = {volume.name: volume for volume in held if volume.name not in own}
    places = tuple(Given("volume", f"{name},kind=empty") for name in others)
    spec = pod_spec(Words((*words.given, *places), words.arguments, words.apps), CallerInputs((), read_file))
    mounted = {mount.volume for mount in spec.apps[0].mounts}
    volumes = tuple(
        others.get(volume.name, volume)
        for volume in spec.volumes
        if volume.name in mounted or volume.name not in others
    )
    return spec.replace(volumes=volumes)


def _with_volumes(words: AppWords) -> Words:
    """The words with each --mnt-volume as a volume and a mount of it. Raises InvalidSpec."""
    given: list[Given] = []
    own = [flag for flag in words.given if flag.name != MNT_VOLUME]
    for text in words.options.all(MNT_VOLUME):
        pairs = [pair.partition("=") for pair in text.split(",")]
        found = {name: value for name, _equals, value in pairs}
        if not found.get("name") or not found.get("target"):
            raise InvalidSpec(
                f'--{MNT_VOLUME}="{text}" lacks a name or a target', "say name=NAME,...,target=PATH"
            )
        rest = [f"{name}={value}" for name, _equals, value in pairs if name not in ("name", "target")]
        given.append(Given("volume", ",".join((found["name"], *rest))))
        own.append(Given("mount", f"volume={found['name']},target={found['target']}"))
    return Words(tuple(given), (), (words.replace(given=tuple(own)),))


def _check_mutable(pod: Pod) -> None:
    if pod.state() is not PodState.RUNNING:
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    if not documents.is_mutable(documents.read_manifest(pod.dir)):
        raise Conflict(
            "immutable pod: its apps cannot be changed by hand",
            "podctl app sandbox makes one whose apps can; a named pod is changed by its playbook",
            uuid=pod.uuid,
        )


def start(call: Call) -> int:
    """Start an app, and return once it is up."""
    return _on_app(call, "start", lambda pod, app: _started(call, pod, app))


def _started(call: Call, pod: Pod, app: str) -> None:
    _check_mutable(pod)
    settle_if_left(call.host, pod)
    apps_of(call.host, pod).start_app(app)


def stop(call: Call) -> int:
    """Stop an app, and return once it has ended."""
    return _on_app(call, "stop", lambda pod, app: _stopped(call, pod, app))


def _stopped(call: Call, pod: Pod, app: str) -> None:
    if pod.state().has_ended:
        call.tell(f'pod "{pod.uuid}" is already stopped')
        return
    _check_mutable(pod)
    apps_of(call.host, pod).stop_app(app, force=False, hold=0)


def remove(call: Call) -> int:
    """Remove an app, and stop it before."""
    return _on_app(call, "remove", lambda pod, app: _removed(call, pod, app))


def _removed(call: Call, pod: Pod, app: str) -> None:
    if pod.state() is PodState.RUNNING:
        _check_mutable(pod)
    if not documents.read_manifest(pod.dir).app(app):
        raise NotFound(f'nonexistent app "{app}"', f"podctl app list {pod.uuid} shows those of the pod")
    apps_of(call.host, pod).remove_app(app)
    apps.remove_app(call.host, pod, app)


def _on_app(call: Call, what: str, do: Callable[[Pod, str], None]) -> int:
    """Do something to the app that the words name. Raises PodError, with rkt's status."""
    try:
        if not call.words.arguments:
            raise InvalidSpec("must provide the pod UUID")
        app = call.options.text("app")
        if not app:
            raise InvalidSpec(f"must provide the app to {what}", "say --app=APP")
        with resolve(call, only_argument(call, "UUID")) as pod:
            do(pod, app)
    except PodError as err:
        err.exit_code = _FAILED
        raise
    return 0


def list_apps(call: Call) -> int:
    """List the apps of a pod."""
    with resolve(call, only_argument(call, "UUID")) as pod:
        found = shown_status(call.host, pod)
    rows = [] if call.options.on("no-legend") else [["NAME", "STATE"]]
    sys.stdout.write(table(rows + [[app.name, app.state] for app in found.apps]))
    return 0


def status(call: Call) -> int:
    """Print the status of an app."""
    with resolve(call, only_argument(call, "UUID")) as pod:
        found = shown_status(call.host, pod)
    app = _found(found, call.options.text("app"))
    how = call.options.text("format")
    if how:
        call.tell_json(app_json(found, app, call.host.paths), how)
    else:
        for line in app_lines(found, app, call.host.paths):
            call.tell(line)
    return 0


def _found(pod: PodStatus, name: str) -> AppStatus:
    if not name:
        raise UsageError("app status takes --app=APP")
    for app in pod.apps:
        if app.name == name:
            return app
    err = NotFound(
        f'cannot find app "{name}" in the pod', f"podctl app list {pod.uuid} shows those that it has"
    )
    err.exit_code = _FAILED
    raise err


def start_entry(call: Call) -> int:
    """The entry start-app of stage1."""
    hold = int(call.options.text("hold", "0"))
    return _entry(call, "start", lambda pod, app: apps_of(call.host, pod).start_app(app, hold=hold))


def stop_entry(call: Call) -> int:
    """The entry stop-app of stage1."""
    force, hold = call.options.on("force"), int(call.options.text("hold", "0"))
    return _entry(
        call, "stop", lambda pod, app: apps_of(call.host, pod).stop_app(app, force=force, hold=hold)
    )


def remove_entry(call: Call) -> int:
    """The entry remove-app of stage1."""
    hold = int(call.options.text("hold", "0"))
    return _entry(call, "stop", lambda pod, app: apps_of(call.host, pod).remove_app(app, hold=hold))


def _entry(call: Call, stage: str, do: Callable[[Pod, str], None]) -> int:
    with resolve(call, only_argument(call, "UUID")) as pod, recording_failure(pod, stage):
        do(pod, call.options.text("app"))
    return 0


ENTRIES: dict[str, Callable[[Call], int]] = {
    "app add": add,
    "app list": list_apps,
    "app rm": remove,
    "app sandbox": sandbox,
    "app start": start,
    "app status": status,
    "app stop": stop,
    "start-app": start_entry,
    "stop-app": stop_entry,
    "remove-app": remove_entry,
}
