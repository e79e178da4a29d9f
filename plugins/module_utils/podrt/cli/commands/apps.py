# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl app sandbox and app add. Source: behaviours A8; rkt, app_*.go."""

from __future__ import annotations

import os

from ...appc.labels import Labels
from ...appc.pod import PodManifest
from ...errors import Conflict, InvalidSpec
from ...image.reference import escape
from ...pod import documents
from ...pod.runspec import NATIVE
from ...stage0 import apps
from ...stage0.images import isolators_policy
from ...stage0.manifest import BeyondDefaults, Preparation, build_manifest, check_exposed
from ...stage0.operations import ensure_new_pod
from ...stage0.options.texts import decoded_items, pairs
from ...stage0.preflight import check_start
from ..appflags import MNT_VOLUME
from ..flags import Given, UsageError, Words
from ..grammar import CallerInputs, in_flags, in_words_of_flags, pod_spec, policy_of_image, sandbox_spec
from ..plans import carry_out, ensure_image
from ..podargs import resolve, status_of_apps
from ..running import begin_run, check_service, run_pod
from .app_entries import check_mutable
from .run import read_file, stage1_of, uuid_saver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...appc.volumes import Volume
    from ...pod.lifecycle import Pod
    from ...stage0.change import Plan
    from ...stage0.spec import PodSpec
    from ...store.index import StoredImage
    from ..call import Call
    from ..flags import AppWords


def sandbox(call: Call) -> int:
    """Run a pod without apps until it is stopped; returns its exit status."""
    spec = sandbox_spec(call.options).settled(call.host.paths)
    made: list[Pod] = []
    with status_of_apps():
        check_service(call, spec.run)
        carry_out(call, _without_apps(call, spec, made.append))
        (pod,) = made
        begin_run(pod)
    return run_pod(call, pod, detach=call.options.on("detach"))


def _without_apps(call: Call, spec: PodSpec, hand_over: Callable[[Pod], None]) -> Plan[None]:
    """Plan: there is a new pod without apps."""
    stage1 = yield from stage1_of(call, spec)
    if stage1 is not None and stage1.recorded != NATIVE:
        raise InvalidSpec(
            "only the stage1 native changes the apps of a running pod",
            "say --stage1-name=native, or run the apps together with podctl run",
        )
    check_exposed(spec.ports, ())
    given = call.options
    manifest = PodManifest(
        (),
        annotations=Labels(((documents.MUTABLE, "true"),)),
        ports=spec.ports,
        user_annotations=tuple(pairs(given.all("user-annotation")).items()),
        user_labels=tuple(pairs(given.all("user-label")).items()),
    )
    for warning in check_start(call.host, manifest, spec.run):
        call.say(warning)
    yield from ensure_new_pod(
        Preparation(manifest, spec.run, ()), spec.run.name, uuid_saver(call), hand_over, runs=True
    )


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
        check_mutable(pod)
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
        found = dict(decoded_items(text))
        name, target = found.pop("name", ""), found.pop("target", "")
        if not name or not target:
            raise InvalidSpec(
                f'--{MNT_VOLUME}="{text}" lacks a name or a target', "say name=NAME,...,target=PATH"
            )
        if any("," in value for value in (name, *found.values())):
            raise InvalidSpec(
                f'--{MNT_VOLUME}="{text}" has a comma in a value of the volume', "only a target may hold one"
            )
        given.append(Given("volume", ",".join((name, *(f"{key}={value}" for key, value in found.items())))))
        own.append(Given("mount", f"volume={name},target={escape(target)}"))
    return Words(tuple(given), (), (words.replace(given=tuple(own)),))


ENTRIES: dict[str, Callable[[Call], int]] = {
    "app add": add,
    "app sandbox": sandbox,
}
