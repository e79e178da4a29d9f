# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans: from what is wanted and what is found to changes. Planning reads and never writes.

ensure_pod reads like the story; every decision is in the pure functions that it calls.
"""

from __future__ import annotations

from ..appc.names import ACName
from ..errors import InvalidSpec, NotFound
from ..image import fetch
from ..pod import lookup
from ..pod.lifecycle import PodState, open_pod
from ..store import index, trees
from ..value import Value
from .change import Change, Difference
from .compare import differences, fingerprint_key
from .manifest import SourceImage, build_manifest
from .pod_changes import CreatePod, RemovePod, ReplacePod, RestartPod, StartPod, StopPod
from .prepare import Preparation
from .status import PodStatus, read_status
from .volumes import data_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.names import ImageID
    from ..host.host import Host
    from ..image.fetch import FetchPolicy
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .change import Plan
    from .spec import PodSpec

STATES = ("started", "stopped", "prepared", "absent", "restarted")
UNKNOWN_ID = "known once fetched"


class FetchImage(Change):
    """Get an image into the store and render it."""

    reference: ImageReference
    policy: FetchPolicy

    def apply(self, host: Host) -> None:
        """Raises Unreachable, Untrusted, Corrupt, NotFound."""
        fetch.fetch(host, self.reference, self.policy, _silent, credentials=credentials(host))


class RenderTree(Change):
    """Render the root file system of an image that is in the store."""

    image_id: ImageID

    def apply(self, host: Host) -> None:
        """Raises Corrupt, HostFailure."""
        trees.render(host.paths, self.image_id)


class RemoveImage(Change):
    """Remove an image from the store. Trees and layers that nothing else needs go with the next collection."""

    image_id: ImageID

    def apply(self, host: Host) -> None:
        """What is missing already is fine."""
        index.remove_image(host.paths, self.image_id)


class PodOutcome(Value):
    """What a pod's plan left: warnings that users should hear."""

    warnings: tuple[str, ...] = ()


def ensure_image(host: Host, reference: ImageReference, policy: FetchPolicy) -> Plan[StoredImage | None]:
    """Plan: the image is in the store, as new as the policy wants it, and rendered. Returns None when it is not yet."""
    stored = fetch.lookup(host, reference, policy)
    if stored and (policy.pull != "update" or _is_current(host, reference, policy, stored)):
        tree = trees.tree_of(host.paths, stored.id)
        if not trees.is_rendered(host.paths, tree):
            yield RenderTree(
                f'image "{reference}"', (Difference(f"images.{reference}.tree", None, "rendered"),), stored.id
            )
        return stored
    before = str(stored.id) if stored else None
    applied = yield FetchImage(
        f'image "{reference}"',
        (Difference(f"images.{reference}", before, UNKNOWN_ID if before else "present"),),
        reference,
        policy,
    )
    return fetch.lookup(host, reference, policy) if applied else None


def ensure_no_image(host: Host, reference: ImageReference, policy: FetchPolicy) -> Plan[None]:
    """Plan: the store does not have the image. Running pods keep working."""
    stored = fetch.lookup(host, reference, policy)
    if stored:
        yield RemoveImage(
            f'image "{reference}"', (Difference(f"images.{reference}", str(stored.id), None),), stored.id
        )


def ensure_pod(host: Host, spec: PodSpec, state: str, *, completes: bool = False) -> Plan[PodOutcome]:
    """Plan: the named pod is as described and in this state (one of STATES but absent).

    completes: the pod is a task that ends; one that has ended well is as wanted.
    """
    name = ACName(spec.run.name, "name")
    images: list[SourceImage] = []
    missing: list[int] = []
    for number, app in enumerate(spec.apps):
        stored = yield from ensure_image(host, app.image, spec.policy)
        if stored:
            images.append(SourceImage(stored.id, stored.manifest))
        else:
            missing.append(number)
    wanted = None if missing else _preparation(host, spec, images)
    found = find_named(host, name)
    start = state in ("started", "restarted")
    drift = _drift(host, spec, found, wanted, missing) if found else ()
    if found is None:
        after = "running" if start else "prepared"
        difference = Difference(f"pods.{name}", None, after, "playbook", "recreate")
        yield CreatePod(f'pod "{name}"', (difference,), wanted, start)
    elif drift:
        yield ReplacePod(f'pod "{name}"', drift, wanted, found.uuid, start)
    else:
        yield from _state_changes(found, state, completes=completes)
    return PodOutcome(wanted.built.warnings if wanted else ())


def ensure_absent(host: Host, name: ACName) -> Plan[None]:
    """Plan: no pod of that name, and nothing that is left of one."""
    found = find_named(host, name)
    if found:
        yield RemovePod(
            f'pod "{name}"',
            (Difference(f"pods.{name}", found.state.value, None, "playbook", "recreate"),),
            name,
        )


def find_named(host: Host, name: str) -> PodStatus | None:
    """The pod that a name means, None when there is none."""
    uuid = lookup.uuid_of_name(host.paths, name)
    if not uuid:
        return None
    try:
        with open_pod(host.paths, uuid) as pod:
            return read_status(pod)
    except NotFound:
        return None


def _preparation(host: Host, spec: PodSpec, images: list[SourceImage]) -> Preparation:
    built = build_manifest(spec, images, lambda name: data_dir(host, name))
    return Preparation(built, spec.run, tuple(images))


def _state_changes(found: PodStatus, state: str, *, completes: bool) -> Plan[None]:
    """What brings a pod that is as described into the wanted state."""
    name, running = found.name, found.state is PodState.RUNNING
    subject, path = f'pod "{name}"', f"pods.{name}.state"
    if state == "restarted":
        difference = Difference(path, found.state.value, "restarted", "playbook", "restart")
        yield (RestartPod if running else StartPod)(subject, (difference,), name)
    elif state == "started" and not running and not (completes and _ended_well(found)):
        reason = "drift" if found.state is not PodState.PREPARED else "playbook"
        yield StartPod(subject, (Difference(path, found.state.value, "running", reason, "restart"),), name)
    elif state == "stopped" and running:
        yield StopPod(subject, (Difference(path, "running", "stopped", "playbook", "restart"),), name)


def _ended_well(found: PodStatus) -> bool:
    return found.state in (PodState.EXITED, PodState.EXITED_GARBAGE) and found.exit_code == 0


def _drift(
    host: Host, spec: PodSpec, found: PodStatus, wanted: Preparation | None, missing: list[int]
) -> tuple[Difference, ...]:
    """How the found pod is not the wanted one; where an image is still to be fetched, that alone is known."""
    name = spec.run.name
    if found.manifest is None or found.runspec is None:
        return (
            Difference(f"pods.{name}", "unreadable: " + found.problem, "as described", "drift", "recreate"),
        )
    if wanted is None:
        ids = {number: app.image_id for number, app in enumerate(found.apps)}
        return tuple(
            Difference(
                f"apps.{_app_name(spec, found, number)}.image.id",
                ids.get(number),
                UNKNOWN_ID,
                "image",
                "recreate",
            )
            for number in missing
        )
    before, after = (found.manifest, found.runspec), (wanted.built.manifest, wanted.runspec)
    if before == after:
        return ()
    return differences(before, after, fingerprint_key(host.paths), _stated(spec, wanted))


def _app_name(spec: PodSpec, found: PodStatus, number: int) -> str:
    named = spec.apps[number].name
    return named or (found.apps[number].name if number < len(found.apps) else str(number))


def _stated(spec: PodSpec, wanted: Preparation) -> frozenset[str]:
    """The paths that the description itself says, so that a new image is not blamed for them."""
    said = set()
    for app_spec, app in zip(spec.apps, wanted.built.manifest.apps):
        base = f"apps.{app.name}.app"
        said |= {
            f"{base}.environment.{name}"
            for name, _value in (*spec.env_file, *spec.set_env, *app_spec.environment)
        }
        said |= {f"{base}.exec"} if app_spec.exec or app_spec.args else set()
        said |= {f"{base}.{field}" for field in ("user", "group") if getattr(app_spec, field)}
        said |= {f"{base}.workingDirectory"} if app_spec.working_directory else set()
    return frozenset(said)


def check_state(state: str) -> None:
    """Raise InvalidSpec unless this is one of STATES."""
    if state not in STATES:
        raise InvalidSpec(f'unknown state "{state}"', f"use one of {', '.join(STATES)}", where="state")


def credentials(host: Host) -> Callable[[str], tuple[str, str] | None]:
    """What the configuration says of registries; it is read when the first one asks for credentials."""

    def ask(registry: str) -> tuple[str, str] | None:
        from ..host.config import read_config

        return read_config(host.paths).docker_credentials(registry)

    return ask


def _is_current(host: Host, reference: ImageReference, policy: FetchPolicy, stored: StoredImage) -> bool:
    return fetch.is_current(host, reference, policy, stored, credentials=credentials(host))


def _silent(_line: str) -> None:
    """Progress goes nowhere: a task has one result."""
