# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options in which a pod differs from the wanted one. Pure but for the key of the fingerprints.

Both sides have the same types, so this only describes the documents of both and compares them.
"""

from __future__ import annotations

import hashlib
import os

from ..host.reading import WORD, read_bytes
from .change import Difference
from .described import BRINGS, Invocation, Record, Records, described, text_of
from .options.pod import impact_of
from .spec import PodSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Optional

    from ..host.paths import Paths
    from .described import Node
    from .options.documents import Documents

    _Part = tuple[str, Optional[str], Optional[str]]

# Of the records of two lists with each other; of longer lists all are reported as removed and added.
_MOST_COMPARISONS = 1_000_000


def fingerprint_key(paths: Paths) -> bytes:
    """The host's key for the fingerprints of secrets, which the installation of the runtime made.

    It is secret, else weak secrets could be guessed. Where it is missing, or not readable by the user, a random one
    makes fingerprints that can be compared within one result only.
    """
    try:
        return hashlib.sha256(b"stagecraft.pods" + read_bytes(paths.fingerprint_key, WORD)).digest()
    except OSError:
        return os.urandom(32)


def differences(
    before: Documents,
    after: Documents,
    key: bytes,
    spec: PodSpec,
    between: Documents | None = None,
) -> tuple[Difference, ...]:
    """The differences between two pods, sorted by the paths of the options. An order that means nothing is left out.

    spec: the description of the second pod, which has the places of apps and volumes. between: the documents that it
    makes of the first pod's images. What differs there from the first pod is wanted by the playbook, the rest comes
    from other images. Without it all is the playbook's.
    """
    if before == after:
        return ()
    apps = tuple(app.name for app in after[0].apps)
    old, new, halfway = (described(pod, spec, apps, key) for pod in (before, after, between or after))
    wanted = {path for path, _before, _after in _parted(old, halfway, "")}
    found: dict[str, Difference] = {}
    for path, was, becomes in _lifted(tuple(_parted(old, new, "")), len(apps)):
        from_image = _is_moved(was, becomes) if path.endswith(".image") else path not in wanted
        reason = "image" if from_image else "playbook"
        found.setdefault(path, Difference(path, was, becomes, reason, impact_of(path)))
    return tuple(found[path] for path in sorted(found))


def _parted(before: Node, after: Node, path: str) -> Iterator[_Part]:
    """The paths at which two nodes differ, with the values before and after."""
    if isinstance(before, Records) and isinstance(after, Records):
        yield from _parted_records(before, after, path)
    elif isinstance(before, Invocation) and isinstance(after, Invocation):
        if before.words != after.words:
            option = after.by or ("exec" if before.words[:1] != after.words[:1] else "args")
            yield path.rpartition("exec")[0] + option, _shown(before), _shown(after)
    elif path.endswith(".image") and before != after:
        yield path, *_images(before, after)
    elif isinstance(before, dict) and isinstance(after, dict):
        if before.get("kind") != after.get("kind"):  # of volumes, which have other members then
            yield f"{path}.kind", _shown(before.get("kind")), _shown(after.get("kind"))
            return
        for name in {**before, **after}:
            within = f"{path}.{name}" if path and name else path or name
            yield from _parted(before.get(name), after.get(name), within)
    elif before != after and (_shown(before), _shown(after)) != (None, None):
        yield path, _shown(before), _shown(after)


def _parted_records(before: Records, after: Records, path: str) -> Iterator[_Part]:
    gone, come = _unequal(before, after)
    few = len(gone) * len(come) <= _MOST_COMPARISONS
    for is_same in (_are_equal, _have_one_key, _differ_in_one) if few else ():
        for record in list(come):
            other = next((other for other in gone if is_same(other, record)), None)
            if other is not None:
                gone.remove(other)
                come.remove(record)
                yield from _parted(other.members, record.members, _place(record, path))
    for record in gone:
        yield _gone(record, path), _shown(record.members), None
    for record in come:
        yield _place(record, path), None, _shown(record.members)


def _unequal(before: Records, after: Records) -> tuple[list[Record], list[Record]]:
    """The records of each side that the other lacks; an image may bring very many."""
    held: dict[str, list[Record]] = {}
    for record in before.items:
        held.setdefault(record.key, []).append(record)
    come = []
    for record in after.items:
        own = held.get(record.key, [])
        same = next((other for other in own if _are_equal(other, record)), None)
        if same is None:
            come.append(record)
        else:
            own.remove(same)
    return [record for records in held.values() for record in records], come


def _place(record: Record, path: str) -> str:
    return record.place or _gone(record, path)


def _gone(record: Record, path: str) -> str:
    """The path of a record that the description lacks: by its name, as apps.web, or by its index."""
    return f"{path}{record.key}" if record.key.startswith("[") else f"{path}.{record.key}"


def _are_equal(before: Record, after: Record) -> bool:
    return before.members == after.members


def _have_one_key(before: Record, after: Record) -> bool:
    return before.key == after.key


def _differ_in_one(before: Record, after: Record) -> bool:
    """Whether one replaces the other: an app that only has another name is still the same app."""
    names = {*before.members, *after.members}
    return sum(before.members.get(name) != after.members.get(name) for name in names) == 1 and bool(
        after.place
    )


def _images(before: Node, after: Node) -> tuple[str | None, str | None]:
    """Two images: by their IDs where their names and labels are the same, else by what differs."""
    old, new = (node if isinstance(node, dict) else {} for node in (before, after))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if "id" in names and set(names) <= {"id", BRINGS}:
        return _shown(old.get("id")), _shown(new.get("id"))
    return _shown({name: old.get(name) for name in names}), _shown({name: new.get(name) for name in names})


def _is_moved(before: str | None, after: str | None) -> bool:
    """Whether the same name and labels mean another image."""
    return all(text is not None and text.startswith("sha512-") for text in (before, after))


def _lifted(parts: tuple[_Part, ...], apps: int) -> Iterator[_Part]:
    """The parts, with a removed variable that all apps had as one of the pod."""
    for path, was, becomes in parts:
        app, infix, name = path.partition(".environment.")
        if becomes is None and infix and app.startswith("apps") and apps > 1:
            same = [part for part in parts if part[1:] == (was, None) and part[0].endswith(f"{infix}{name}")]
            if len(same) == apps:
                yield f"environment.{name}", was, None
                continue
        yield path, was, becomes


def _shown(node: Node) -> str | None:
    """A node as text: itself or its members, "present" where these are nested."""
    if node is None or isinstance(node, str):
        return node
    if isinstance(node, Invocation):
        return text_of(node.words)
    if isinstance(node, Records):
        return "present" if node.items else None
    if set(node) == {""}:
        return _shown(node[""])
    held = {name: _shown(value) for name, value in node.items()}
    if any(isinstance(value, (dict, Records)) for value in node.values()):
        return "present"
    return ", ".join(f"{name}={value}" for name, value in held.items() if value is not None) or None


def options_by_path(pod: Documents, key: bytes) -> dict[str, str]:
    """Every option of a pod as text, by its path, with the elements of lists by their names. key: of fingerprints."""
    return dict(_leaves(described(pod, PodSpec(()), (), key), ""))


def _leaves(node: Node, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Records):
        keys = [record.key for record in node.items]
        last = {key: at for at, key in enumerate(keys)}
        repeated = {key for at, key in enumerate(keys) if last[key] != at}
        for at, record in enumerate(node.items):
            # Several host ports may be forwarded to one port of an app.
            alone = record.key not in repeated
            yield from _leaves(record.members, _gone(record, path) if alone else f"{path}[{at}]")
    elif isinstance(node, dict):
        for name, held in node.items():
            if name != BRINGS:
                yield from _leaves(held, f"{path}.{name}" if path and name else path or name)
    elif node is not None:
        yield path, text_of(node.words) if isinstance(node, Invocation) else node
