# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_info: the pods, images, volumes and runtimes of a host. Reads only."""

from __future__ import annotations

import os

from ..appc.capabilities import names_of
from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, NotFound
from ..host.files import entries
from ..host.paths import STATES
from ..host.reading import read_text_or
from ..pod import lookup
from ..pod.cgroups import recorded
from ..pod.lifecycle import PodState, open_pod, walk
from ..pod.limits import applied_limits
from ..pod.names import is_uuid
from ..pod.rights import mounts_in, rights_of
from ..stage0 import compare, units
from ..stage0.status import LISTED, list_pods
from ..stage0.volumes import list_volumes
from ..store import index
from .image_info import provenance
from .results import add_output, network_details, pod_result, volume_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..stage0.status import PodStatus

SUBSETS = ("pods", "images", "volumes", "runtime")


def gather(host: Host, options: Fields) -> dict[str, object]:
    """The result of pod_info: the requested subsets, all by default."""
    wanted = options.strings("gather") or SUBSETS
    for subset in wanted:
        if subset not in SUBSETS:
            raise InvalidSpec(
                f'unknown subset "{subset}"', f"use some of {', '.join(SUBSETS)}", where="gather"
            )
    result: dict[str, object] = {}
    if "pods" in wanted:
        result["pods"] = _pods(host, options)
    if "images" in wanted:
        result["images"] = _images(host)
    if "volumes" in wanted:
        result["volumes"] = [
            volume_result(volume) for volume in list_volumes(host, count=options.boolean("sizes", False))
        ]
    if "runtime" in wanted:
        result["runtime"] = _runtime(host)
    return result


def _images(host: Host) -> list[dict[str, object]]:
    remotes = index.list_remotes(host.paths)
    return [provenance(image, remotes) for image in index.list_images(host.paths)]


def _pods(host: Host, options: Fields) -> list[dict[str, object]]:
    key = compare.fingerprint_key(host.paths)
    found: list[dict[str, object]] = []
    for status in _wanted(host, options):
        shown = pod_result(status)
        if options.integer("tail", 0):
            add_output(host, shown, options.integer("tail"))
        found.append(
            {
                **shown,
                "paused": status.paused,
                "limits": _limits(host, status),
                "rights": _rights(host, status),
                "network_details": network_details(status),
                "spec": _spec(status, key),
            }
        )
    return found


def _wanted(host: Host, options: Fields) -> tuple[PodStatus, ...]:
    """All pods, or that of a UUID, or that of a name, with history also those that had the name before."""
    name, pods = options.optional_text("name"), list_pods(host, LISTED)
    if not name:
        return pods
    meant = name.lower() if is_uuid(name) else lookup.uuid_of_name(host.paths, name)
    now = tuple(pod for pod in pods if pod.uuid == meant)
    if not options.boolean("history", False):
        return now
    before = [pod for pod in pods if pod.name == name and pod.uuid != meant]
    return (*now, *sorted(before, key=lambda pod: pod.created or 0.0, reverse=True))


def _spec(status: PodStatus, key: bytes) -> dict[str, str]:
    """Every option of the pod by its path; values of environment variables as fingerprints."""
    if status.manifest is None or status.runspec is None:
        return {}
    return compare.options_by_path((status.manifest, status.runspec), key)


def _limits(host: Host, status: PodStatus) -> list[dict[str, str]]:
    """What the kernel has for the limits of a pod that runs, each with its app, "" for all of them together."""
    if status.state is not PodState.RUNNING or status.manifest is None:
        return []
    try:
        with open_pod(host.paths, status.uuid) as pod:
            found = host.ask(applied_limits, recorded(pod.dir), status.manifest)
    except (NotFound, OSError):
        return []  # it has ended meanwhile
    return [
        {"app": each.leaf, "isolator": each.isolator, "file": each.file, "value": each.value}
        for each in found
    ]


def _rights(host: Host, status: PodStatus) -> list[dict[str, object]]:
    """What the kernel says of the rights of the apps of a pod that runs."""
    if status.state is not PodState.RUNNING or status.manifest is None or not status.pid:
        return []
    try:
        with open_pod(host.paths, status.uuid) as pod:
            groups = recorded(pod.dir)
    except (NotFound, OSError):
        return []  # it has ended meanwhile
    leaves = [(str(app.name), f"{groups[0]}/{app.name}") for app in status.manifest.apps if groups]
    return [
        {
            "app": each.app,
            "pid": each.pid,
            "capabilities": names_of(each.bounding),
            "seccomp": each.filtered,
            "no_new_privileges": each.no_new_privs,
            "root": each.root,
            "uid_map": [list(row) for row in each.uids],
            "gid_map": [list(row) for row in each.gids],
            "oom_score_adj": each.oom_score_adj,
            "mounts": [
                {"path": _as_text(mount.target), "type": mount.fs_type, "options": list(mount.options)}
                for mount in host.ask(mounts_in, each.pid)
            ],
            "apparmor": each.apparmor,
            "selinux": each.selinux,
        }
        for each in host.ask(rights_of, status.pid, leaves)
    ]


def _as_text(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def _runtime(host: Host) -> dict[str, object]:
    return {
        "current": host.runtime,
        "installed": [
            f"{host.paths.runtimes}/{name}"
            for name in entries(host.paths.runtimes)
            if not name.startswith(".")
        ],
        "in_use": sorted(runtimes_in_use(host)),
        "python": host.python,
        "arch": host.arch,
    }


def runtimes_in_use(host: Host) -> set[str]:
    """The directories of the runtimes that pods were prepared with, or that units of pods start.

    _glue/install.py, which removes the others, cannot import this: a test has both say the same.
    """
    used = units.started_runtimes(host)
    for pod in walk(host.paths, STATES):
        with suppress(Corrupt):  # it is called with whatever runtime looks at it
            used.add(read_text_or(pod.dir.runtime, "", beneath=pod.dir.path))
    return {runtime for runtime in used if runtime and os.path.isdir(runtime)}
