# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fields of a found pod differ from the wanted one. Pure but for the key of the fingerprints.

Both sides are the same types, so this only has to flatten two documents and say where they part.
"""

from __future__ import annotations

import hashlib
import json
import os

from ..host.reading import WORD, read_bytes
from .change import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.paths import Paths
    from ..pod.runspec import RunSpec

    Documents = tuple[PodManifest, RunSpec]

_LISTS_BY_NAME = (
    "apps",
    "volumes",
    "ports",
    "mountPoints",
    "eventHandlers",
    "isolators",
    "environment",
    "labels",
    "annotations",
    "networks",
)
# Lists whose order means nothing.
_SETS = ("mounts", "supplementaryGIDs", "set", "insecure")


def fingerprint_key(paths: Paths) -> bytes:
    """The key that fingerprints of secrets are made with: the host's own, which the installation of the runtime made.

    Nobody else knows it, else weak secrets could be guessed. Where there is none, or who asks may not read it, a
    random one makes fingerprints that can be compared within one result only.
    """
    try:
        return hashlib.sha256(b"stagecraft.pods" + read_bytes(f"{paths.data}/fingerprint.key", WORD)).digest()
    except OSError:
        return os.urandom(32)


def fingerprint(value: str, key: bytes) -> str:
    """What stands for a secret: equal for equal values on one machine, and of no use for finding the value."""
    return "fingerprint:" + hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()


def differences(
    before: Documents,
    after: Documents,
    key: bytes,
    between: Documents | None = None,
) -> tuple[Difference, ...]:
    """The fields in which two pods differ, sorted by path. What means nothing, such as the order of mounts, is none.

    between: what the description makes of the images that the first pod has. What differs from the first pod there is
    wanted by the playbook, the rest comes of other images. Without it all is the playbook's.
    """
    if before == after:
        return ()
    old, new = flatten(before, key), flatten(after, key)
    halfway = flatten(between, key) if between else new
    moved = _moved(old, new)

    def reason(path: str) -> str:
        app, of_image, _member = path.partition(".image.")
        from_image = app in moved if of_image else old.get(path) == halfway.get(path)
        return "image" if from_image else "playbook"

    return tuple(
        Difference(path, old.get(path), new.get(path), reason(path), "recreate")
        for path in sorted(set(old) | set(new))
        if old.get(path) != new.get(path)
    )


def _moved(old: dict[str, str], new: dict[str, str]) -> frozenset[str]:
    """The apps whose image goes by the same name and labels, and is another one."""
    apps = {path.split(".image.")[0] for path in new if path.endswith(".image.id")}
    return frozenset(app for app in apps if _reference(old, app) == _reference(new, app))


def _reference(leaves: dict[str, str], app: str) -> dict[str, str]:
    """What an app's image is called."""
    of_image = f"{app}.image."
    return {
        path: value for path, value in leaves.items() if path.startswith(of_image) and path != f"{of_image}id"
    }


def flatten(pod: Documents, key: bytes) -> dict[str, str]:
    """Every leaf of a pod's documents by its path: equal leaves are pods that behave alike.

    Values of environment variables are fingerprints.
    """
    manifest, runspec = pod
    leaves: dict[str, str] = {}
    skipped = ("acKind", "acVersion", "annotations", "ports")
    for name, value in manifest.to_json().items():
        if name not in skipped:
            _leaves(value, name, leaves, key)
    for name, value in runspec.to_json().items():
        if name not in ("format", "name"):
            _leaves(value, name, leaves, key)
    # One port of an app may be reached through several of the host.
    for port in sorted(manifest.ports, key=lambda port: (port.host_port, port.host_ip or "")):
        path, address = f"ports.{port.name}", f"{port.host_ip}:" if port.host_ip else ""
        leaves[path] = " ".join(filter(None, (leaves.get(path), f"{address}{port.host_port}")))
    return leaves


def _leaves(value: object, path: str, leaves: dict[str, str], key: bytes) -> None:
    name = path.rsplit(".", 1)[-1]
    if isinstance(value, dict):
        for member, content in value.items():
            _leaves(content, f"{path}.{member}" if path else member, leaves, key)
    elif isinstance(value, list) and name in _LISTS_BY_NAME:
        for element in value:
            _named(element, path, leaves, key)
    elif isinstance(value, list):
        if name in _SETS:
            value = sorted(value, key=json.dumps)
        # As JSON: ["echo hi"] is another list than ["echo", "hi"].
        leaves[path] = json.dumps(value, sort_keys=True, ensure_ascii=False)
    else:
        leaves[path] = str(value)


def _named(element: object, path: str, leaves: dict[str, str], key: bytes) -> None:
    if not isinstance(element, dict):
        leaves[f"{path}.{element}"] = "present"
        return
    rest = {member: content for member, content in element.items() if member != "name"}
    place = f"{path}.{element.get('name')}"
    while place in leaves:
        place += "'"
    if path.endswith("environment"):
        leaves[place] = fingerprint(str(rest.get("value")), key)
    elif list(rest) == ["value"]:
        _leaves(rest["value"], place, leaves, key)
    else:
        leaves[place] = "present"
        _leaves(rest, place, leaves, key)
