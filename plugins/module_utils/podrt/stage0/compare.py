# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fields of a found pod differ from the wanted one. Pure but for the key of the fingerprints.

Both sides are the same types, so this only has to flatten two documents and say where they part.
"""

from __future__ import annotations

import hashlib
import os

from ..host.files import read_bytes
from .change import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.paths import Paths
    from ..pod.runspec import RunSpec

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


def fingerprint_key(paths: Paths) -> bytes:
    """The key that fingerprints of secrets are made with: the machine's own, so that they mean nothing elsewhere."""
    for path in (f"{paths.data}/fingerprint.key", "/etc/machine-id"):
        try:
            return hashlib.sha256(b"stagecraft.pods" + read_bytes(path)).digest()
        except OSError:
            continue
    return os.urandom(32)


def fingerprint(value: str, key: bytes) -> str:
    """What stands for a secret: equal for equal values on one machine, and of no use for finding the value."""
    return "fingerprint:" + hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()


def differences(
    before: tuple[PodManifest, RunSpec],
    after: tuple[PodManifest, RunSpec],
    key: bytes,
    stated: frozenset[str],
) -> tuple[Difference, ...]:
    """The fields in which two pods differ, sorted by path.

    stated: the paths that the description says itself; where an image changed too, other paths changed with it.
    """
    old, new = flatten(before, key), flatten(after, key)
    images = {
        path.split(".image.")[0]
        for path in set(old) | set(new)
        if ".image.id" in path and old.get(path) != new.get(path)
    }
    found = []
    for path in sorted(set(old) | set(new)):
        if old.get(path) == new.get(path):
            continue
        from_image = any(path.startswith(app + ".") for app in images) and path not in stated
        reason = "image" if from_image else "playbook"
        found.append(Difference(path, old.get(path), new.get(path), reason, "recreate"))
    return tuple(found)


def flatten(pod: tuple[PodManifest, RunSpec], key: bytes) -> dict[str, str]:
    """Every leaf of a pod's documents by its path; values of environment variables as fingerprints."""
    manifest, runspec = pod
    leaves: dict[str, str] = {}
    document = {
        name: value
        for name, value in manifest.to_json().items()
        if name not in ("acKind", "acVersion", "annotations")
    }
    _leaves(document, "", leaves, key)
    run_document = {
        name: value for name, value in runspec.to_json().items() if name not in ("format", "name")
    }
    _leaves(run_document, "", leaves, key)
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
        leaves[path] = " ".join(
            str(element) if not isinstance(element, dict) else _pairs(element) for element in value
        )
    else:
        leaves[path] = str(value)


def _named(element: object, path: str, leaves: dict[str, str], key: bytes) -> None:
    if not isinstance(element, dict):
        leaves[f"{path}.{element}"] = "present"
        return
    rest = {member: content for member, content in element.items() if member != "name"}
    place = f"{path}.{element.get('name')}"
    if path.endswith("environment"):
        leaves[place] = fingerprint(str(rest.get("value")), key)
    elif list(rest) == ["value"]:
        _leaves(rest["value"], place, leaves, key)
    else:
        leaves[place] = "present"
        _leaves(rest, place, leaves, key)


def _pairs(element: dict[str, object]) -> str:
    return ",".join(f"{member}={content}" for member, content in sorted(element.items()))
