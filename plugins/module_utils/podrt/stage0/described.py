# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a pod as options of pod_run, by which differences are reported. Pure.

The paths of differences are those of options (use-N13): the table maps members of the documents to options, this
module finds the places of apps, volumes and variables in the description. What comes from images and has no option
is the image's.
"""

from __future__ import annotations

import hashlib
import json
import re

from ..appc.isolators import SECCOMP_PROFILE, isolator_to_json
from ..appc.volumes import ImageVolume
from ..value import Value
from .options.app import APP, MOUNTS
from .options.documents import options_of
from .options.pod import FETCH, POD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Union

    from ..appc.pod import PodManifest, RuntimeApp
    from ..appc.volumes import Mount
    from .options.documents import Documents
    from .options.option import Option
    from .spec import AppSpec, PodSpec

    Node = Union[str, None, "Invocation", "Members", "Records"]
    Members = dict[str, Node]

# The isolators and annotations that are options.
_OPTIONS = {name for row in APP for name in re.findall(r"\[([^]]+)\]", row.document)}
_SECCOMP = "os/linux/seccomp-"
# The member for what only an image can bring.
BRINGS = "brings"


class Invocation(Value):
    """The command line of an app: the option exec is one path, and args are appended.

    by: the option that makes it, where that is another one.
    """

    words: tuple[str, ...]
    by: str = ""


class Record(Value):
    """An element of a list. place: its path in the description, "" when it is not there. key: its name or "[index]"."""

    key: str
    members: Members
    place: str = ""


class Records(Value):
    """The elements of a list whose order means nothing."""

    items: tuple[Record, ...] = ()


def fingerprint(value: str, key: bytes) -> str:
    """The fingerprint of a secret: equal for equal values on one machine, and of no use for finding the value."""
    return "fingerprint:" + hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()


def described(pod: Documents, spec: PodSpec, apps: tuple[str, ...], key: bytes) -> Members:
    """The options that make a pod's documents.

    spec: the description, which has the places; apps: the names of its apps, in order. key: of fingerprints.
    """
    manifest, options = pod[0], options_of(pod)
    members = {row.name: _node(row, options.get(row.name), _elements(spec, row), row.name) for row in _OF_POD}
    _name_images(members["volumes"], manifest)
    each = options["apps"]
    names = tuple(str(app.name) for app in manifest.apps)
    records = (
        _app(app, held, spec, _index(at, names, apps), key)
        for at, (app, held) in enumerate(zip(manifest.apps, each if isinstance(each, list) else ()))
    )
    return {**members, "apps": Records(tuple(records))}


def _name_images(volumes: Node, manifest: PodManifest) -> None:
    """Let the images of volumes have their IDs too, as those of apps."""
    for record, volume in zip(volumes.items if isinstance(volumes, Records) else (), manifest.volumes):
        if isinstance(volume, ImageVolume):
            record.members["image"] = {"name": volume.image, "id": volume.id}


_OF_POD = tuple(row for row in (*POD, *FETCH) if row.document and row.name not in ("apps", "mounts", "name"))


def _elements(spec: PodSpec, row: Option) -> tuple[object, ...]:
    """The elements of a description for an option that is a list: the table knows where by name."""
    found: object = spec
    for step in row.into.split(".") if row.options and isinstance(row.into, str) else ():
        found = getattr(found, step)
    return found if isinstance(found, tuple) else ()


def _node(row: Option, value: object, elements: tuple[object, ...], within: str) -> Node:
    """A value of an option. elements: those of the description, where it is a list. within: its path."""
    if value is None:
        return _nothing(row)
    if row.name == "networks" and isinstance(value, list):
        return Records(
            tuple(
                Record(text.partition(":")[0], {"": text}, f"{within}[{at}]") for at, text in enumerate(value)
            )
        )
    if row.options and isinstance(value, list):
        # Documents have the described elements first, in their order, then the added ones.
        places = [f"{within}[{at}]" for at in range(len(elements))] + [""] * len(value)
        return Records(tuple(_record(row, held, at, places[at]) for at, held in enumerate(value)))
    if row.options and isinstance(value, dict):
        return {each.name: _node(each, value.get(each.name), (), "") for each in row.options}
    return _plain(value)


def _nothing(row: Option) -> Node:
    """The node of an option that is not set: empty for a list or a mapping."""
    if row.name == "networks" or (row.options and row.kind.type == "list"):
        return Records()
    return {} if row.kind.type == "dict" and not row.options else None


def _plain(value: object) -> Node:
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    return text_of(value)


def _record(row: Option, held: dict[str, object], at: int, place: str) -> Record:
    members = {each.name: _node(each, held.get(each.name), (), "") for each in row.options}
    names = [str(held[name]) for name in row.key if name in held]
    return Record(names[0] if names else f"[{at}]", members, place)


def _index(at: int, names: tuple[str, ...], apps: tuple[str, ...]) -> int:
    """The index of an app in the description, -1 if absent: by its name, or in place of one that the pod lacks."""
    if names[at] in apps:
        return apps.index(names[at])
    return at if at < len(apps) and apps[at] not in names else -1


_OF_APP = tuple(
    row for row in APP if row.document and row.name not in ("image", "exec", "args", "environment", "mounts")
)


def _app(app: RuntimeApp, held: dict[str, object], spec: PodSpec, at: int, key: bytes) -> Record:
    place, app_spec = (f"apps[{at}]", spec.apps[at]) if at >= 0 else ("", None)
    members: Members = {
        row.name: _node(row, held.get(row.name), getattr(app_spec, row.member, ()), f"{place}.{row.name}")
        for row in _OF_APP
    }
    members["image"] = _image(app)
    if members["seccomp_profile"] is not None:
        members["seccomp_profile"] = _profile(app)
    members["mounts"] = _mounts(app, held.get("mounts"), spec, place, app_spec)
    if app.app:
        members["exec"] = Invocation(app.app.exec, "command" if app_spec and app_spec.command else "")
        members["environment"] = _environment(app.app.environment, spec, place, app_spec, key)
    return Record(str(app.name), members, place)


def _profile(app: RuntimeApp) -> str:
    """The profile of system calls of an app: its file, and a digest of the content, which may have changed."""
    isolators = app.app.isolators if app.app else ()
    value = next((each.to_json() for each in isolators if each.name == SECCOMP_PROFILE), None)
    held = value if isinstance(value, dict) else {}
    digest = hashlib.sha256(_json(held.get("profile")).encode()).hexdigest()
    return f"{held.get('file')} (sha256:{digest[:16]})"


def _image(app: RuntimeApp) -> Members:
    """The identity of an image, and what only an image can bring."""
    brought: list[object] = [[name, value] for name, value in app.annotations.pairs if name not in _OPTIONS]
    if app.app:
        brought += [point.to_json() for point in app.app.mount_points]
        brought += [str(port.name) for port in app.app.ports if port.socket_activated]
        brought += [
            isolator_to_json(isolator)
            for isolator in app.app.isolators
            if isolator.name not in _OPTIONS and not isolator.name.startswith(_SECCOMP)
        ]
    return {
        "name": app.image.name and str(app.image.name),
        **{f"label {name}": value for name, value in app.image.labels.pairs},
        "id": str(app.image.id),
        BRINGS: _json(brought),
    }


def _environment(
    pairs: Iterable[tuple[str, str]], spec: PodSpec, place: str, app_spec: AppSpec | None, key: bytes
) -> Records:
    within = f"{place}.environment" if place else "environment"
    options = {
        **{name: "env_file" for name, _value in spec.env_file},
        **{name: "environment" for name, _value in spec.set_env},
        **{name: within for name, _value in (app_spec.environment if app_spec else ())},
    }
    return Records(
        tuple(
            Record(name, {"": fingerprint(value, key)}, f"{options.get(name, within)}.{name}")
            for name, value in pairs
        )
    )


def _mounts(app: RuntimeApp, held: object, spec: PodSpec, place: str, app_spec: AppSpec | None) -> Records:
    places = _places_of_mounts(app, spec.mounts, "mounts")
    places.update(_places_of_mounts(app, app_spec.mounts if app_spec else (), f"{place}.mounts"))
    listed = held if isinstance(held, list) else []
    return Records(
        tuple(
            _record(MOUNTS, each, at, places.get(mount.path, ""))
            for at, (mount, each) in enumerate(zip(app.mounts, listed))
        )
    )


def _places_of_mounts(app: RuntimeApp, mounts: tuple[Mount, ...], within: str) -> dict[str, str]:
    """The places of mounts by their paths; a description may name the mount point of an image instead."""
    points = {str(point.name): point.path for point in app.app.mount_points} if app.app else {}
    return {points.get(mount.path, mount.path): f"{within}[{at}]" for at, mount in enumerate(mounts)}


def text_of(value: object) -> str:
    """A value as text, lists as JSON: ["echo hi"] is another list than ["echo", "hi"]."""
    return _json(value) if isinstance(value, (list, tuple)) else str(value)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
