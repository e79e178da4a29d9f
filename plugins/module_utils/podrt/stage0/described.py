# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a pod as the options of pod_run that describe them. Pure.

The paths of what differs are those of options (use-N13): here is which member of the documents is which option's, and
at which place of the description an app, a volume or a variable stands. What comes of images and has no option is the
image's.
"""

from __future__ import annotations

import hashlib
import json

from ..appc.isolators import Seccomp
from ..appc.volumes import NamedVolume
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..appc.app import App
    from ..appc.isolators import Isolator
    from ..appc.pod import PodManifest, RuntimeApp
    from ..appc.volumes import Mount
    from ..pod.runspec import Dns, RunSpec
    from .spec import AppSpec, PodSpec

    Documents = tuple[PodManifest, RunSpec]
    Node = Union[str, None, "Command", "Members", "Records"]
    Members = dict[str, Node]

_ISOLATORS = {
    "resource/memory": ("memory", "limit"),
    "resource/cpu": ("cpu", "limit"),
    "resource/pids": ("pids_limit", "limit"),
    "os/linux/cpu-shares": ("cpu_shares", ""),
    "os/linux/oom-score-adj": ("oom_score_adj", ""),
    "os/linux/no-new-privileges": ("no_new_privileges", ""),
    "os/linux/capabilities-retain-set": ("caps_retain", "set"),
    "os/linux/capabilities-remove-set": ("caps_remove", "set"),
}


class Command(Value):
    """What an app executes: exec is one path, and args are appended to what is there."""

    words: tuple[str, ...]


class Record(Value):
    """An element of a list. place: its path in the description, "" when it is not there. key: what it goes by."""

    key: str
    members: Members
    place: str = ""


class Records(Value):
    """The elements of a list whose order means nothing."""

    items: tuple[Record, ...] = ()


def fingerprint(value: str, key: bytes) -> str:
    """What stands for a secret: equal for equal values on one machine, and of no use for finding the value."""
    return "fingerprint:" + hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()


def described(pod: Documents, spec: PodSpec, apps: tuple[str, ...], key: bytes) -> Members:
    """The options that make a pod's documents.

    spec: the description that says where everything is; apps: the names of its apps, in order. key: of fingerprints.
    """
    manifest, runspec = pod
    return {
        "apps": Records(
            tuple(_app(app, spec, _index(at, manifest, apps), key) for at, app in enumerate(manifest.apps))
        ),
        "volumes": _volumes(manifest, spec),
        "ports": _exposed_ports(manifest, spec),
        "labels": dict(manifest.user_labels),
        **_isolators(manifest.isolators),
        **_run(runspec),
    }


def _index(at: int, manifest: PodManifest, apps: tuple[str, ...]) -> int:
    """Where an app stands in the description, -1 nowhere: by its name, or in the place of one that the pod has not."""
    name = str(manifest.apps[at].name)
    if name in apps:
        return apps.index(name)
    return at if at < len(apps) and manifest.app(apps[at]) is None else -1


def _app(app: RuntimeApp, spec: PodSpec, at: int, key: bytes) -> Record:
    place, said = (f"apps[{at}]", spec.apps[at]) if at >= 0 else ("", None)
    members: Members = {
        "name": str(app.name),
        "image": _image(app),
        "readonly_rootfs": str(app.read_only_root_fs),
        "mounts": _mounts(app, spec, place, said),
    }
    if app.app:
        members.update(_of_app(app.app))
        members["environment"] = _environment(app.app, spec, place, said, key)
        members["ports"] = _ports(app.app, place, said)
    return Record(str(app.name), members, place)


def _image(app: RuntimeApp) -> Members:
    """What an image is, and what only an image can bring."""
    brought: list[object] = [app.annotations.to_json()]
    if app.app:
        brought += [point.to_json() for point in app.app.mount_points]
        unknown = [i for i in app.app.isolators if i.name not in _ISOLATORS and not isinstance(i, Seccomp)]
        brought += [[isolator.name, isolator.to_json()] for isolator in unknown]
    return {
        "name": app.image.name and str(app.image.name),
        **{f"label {name}": value for name, value in app.image.labels.pairs},
        "id": str(app.image.id),
        "brings": _json(brought),
    }


def _of_app(app: App) -> Members:
    return {
        "exec": Command(app.exec),
        "working_dir": app.working_directory or None,
        "user": app.user,
        "group": app.group,
        "supplementary_gids": _json(sorted(app.supplementary_gids)) if app.supplementary_gids else None,
        "user_annotations": dict(app.user_annotations),
        "user_labels": dict(app.user_labels),
        **{handler.event.replace("-", "_"): _json(handler.exec) for handler in app.event_handlers},
        **_isolators(app.isolators),
    }


def _isolators(isolators: tuple[Isolator, ...]) -> Members:
    found: Members = {}
    for isolator in isolators:
        value = isolator.to_json()
        held = value if isinstance(value, dict) else {"": value}
        if isolator.name in _ISOLATORS:
            option, member = _ISOLATORS[isolator.name]
            found[option] = text_of(sorted(held[member]) if member == "set" else held.get(member))
        elif isinstance(isolator, Seccomp):
            names = _json(sorted(isolator.names))
            found["seccomp"] = {"mode": isolator.mode, "syscalls": names, "errno": isolator.errno or None}
    return found


def _environment(app: App, spec: PodSpec, place: str, said: AppSpec | None, key: bytes) -> Records:
    own = {name for name, _value in said.environment} if said else set()
    shared = {name for name, _value in spec.set_env} - own

    def record(name: str, value: str) -> Record:
        within = f"{place}." if place and name not in shared else ""
        return Record(name, {"": fingerprint(value, key)}, f"{within}environment.{name}")

    return Records(tuple(record(name, value) for name, value in app.environment))


def _mounts(app: RuntimeApp, spec: PodSpec, place: str, said: AppSpec | None) -> Records:
    places = _places_of_mounts(app, spec.mounts, "mounts")
    places.update(_places_of_mounts(app, said.mounts if said else (), f"{place}.mounts"))
    return Records(
        tuple(
            Record(
                mount.path, {"volume": str(mount.volume), "target": mount.path}, places.get(mount.path, "")
            )
            for mount in app.mounts
        )
    )


def _places_of_mounts(app: RuntimeApp, mounts: tuple[Mount, ...], within: str) -> dict[str, str]:
    """By the path of a mount; a description may name the mount point of an image instead."""
    points = {str(point.name): point.path for point in app.app.mount_points} if app.app else {}
    return {points.get(mount.path, mount.path): f"{within}[{at}]" for at, mount in enumerate(mounts)}


def _ports(app: App, place: str, said: AppSpec | None) -> Records:
    at = {port.name: f"{place}.ports[{index}]" for index, port in enumerate(said.ports if said else ())}
    return Records(
        tuple(
            Record(
                str(port.name),
                {
                    "name": str(port.name),
                    "port": str(port.port),
                    "protocol": port.protocol,
                    "count": str(port.count),
                    "socket_activated": str(port.socket_activated),
                },
                at.get(port.name, ""),
            )
            for port in app.ports
        )
    )


def _volumes(manifest: PodManifest, spec: PodSpec) -> Records:
    at = {volume.name: f"volumes[{index}]" for index, volume in enumerate(spec.volumes)}
    named = {volume.name for volume in spec.volumes if isinstance(volume, NamedVolume)}
    found = []
    for volume in manifest.volumes:
        members: Members = {_snake(name): text_of(value) for name, value in volume.to_json().items()}
        if volume.name in named and "source" in members:
            members["volume"] = members.pop("source")
            members.pop("recursive", None)
        found.append(Record(str(volume.name), members, at.get(volume.name, "")))
    return Records(tuple(found))


def _exposed_ports(manifest: PodManifest, spec: PodSpec) -> Records:
    at = {port: f"ports[{index}]" for index, port in enumerate(spec.ports)}
    return Records(
        tuple(
            Record(
                str(port.name),
                {"name": str(port.name), "host_port": str(port.host_port), "host_ip": port.host_ip},
                at.get(port, ""),
            )
            for port in manifest.ports
        )
    )


def _run(runspec: RunSpec) -> Members:
    networks = [
        (request.name, ":".join([request.name, ";".join(f"{key}={value}" for key, value in request.args)]))
        for request in runspec.networks
    ]
    entries = [{"ip": ip, "names": _json(names)} for ip, names in runspec.hosts.entries]
    return {
        "networks": Records(
            tuple(
                Record(name, {"": text.rstrip(":")}, f"networks[{index}]")
                for index, (name, text) in enumerate(networks)
            )
        ),
        "hostname": runspec.hostname or None,
        **_dns(runspec.dns),
        "hosts_from_host": str(runspec.hosts.mode == "host"),
        # In their order, of which the first answers.
        "hosts_entries": Records(
            tuple(Record(f"[{at}]", {**entry}, f"hosts_entries[{at}]") for at, entry in enumerate(entries))
        ),
        "ipc": runspec.ipc,
        "insecure_options": _json(sorted(runspec.insecure)) if runspec.insecure else None,
        "no_overlay": str(not runspec.overlay),
        "stop_timeout": str(runspec.stop_timeout),
        "log": {"max_size": str(runspec.log.max_bytes), "max_files": str(runspec.log.max_files)},
    }


def _dns(dns: Dns) -> Members:
    servers = (dns.mode,) if dns.mode in ("host", "none") else dns.nameservers
    return {
        "dns": _json(servers) if servers else None,
        "dns_search": _json(dns.search) if dns.search else None,
        "dns_options": _json(dns.options) if dns.options else None,
        "dns_domain": dns.domain or None,
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def text_of(value: object) -> str:
    """Lists as JSON: ["echo hi"] is another list than ["echo", "hi"]."""
    return _json(value) if isinstance(value, (list, tuple)) else str(value)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
