# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a pod as options, by the table. Pure.

An option at its default may be missing; what comes from images and has no option is left out.
"""

from __future__ import annotations

import re

from ...appc.isolators import MODES
from ...appc.ports import numbered
from ...errors import InvalidSpec
from ...pod.runspec import FLY, NATIVE
from .pod import FETCH, POD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...appc.pod import PodManifest
    from ...pod.runspec import RunSpec
    from .option import Option

    Documents = tuple[PodManifest, RunSpec]
    Held = dict[str, object]


def options_of(pod: Documents) -> Held:
    """The options that describe a pod, as in YAML."""
    manifest, runspec = pod
    if any(exposed.auto for exposed in manifest.ports):  # what the host has chosen is not what was described
        ports = tuple(each.replace(host_port=0) if each.auto else each for each in manifest.ports)
        manifest = manifest.replace(ports=ports)
    return _options((*POD, *FETCH), {"pod": manifest.to_json(), "run": runspec.to_json()})


def _options(rows: Iterable[Option], held: Held) -> Held:
    options: Held = {}
    for row in rows:
        value = _of_form(row, held) if row.options else _at(held, row.document or row.name)
        if row.back:
            value = _BACK[row.back](value)
        if value in ("", [], {}) and row.document.startswith("run."):
            value = None  # the run spec has every member
        if value is None and row.document and not isinstance(row.default, tuple):
            value = row.default
        if value is not None:
            options[row.name] = value
    return options


def _of_form(row: Option, held: Held) -> object:
    if row.kind.type == "dict" and row.parse is None:
        return _options(row.options, held)
    value = _at(held, row.document) if row.document else None
    if isinstance(value, list) and row.kind.type == "list":
        return [_options(row.options, element) for element in value if isinstance(element, dict)]
    return value


def _at(held: object, path: str) -> object:
    """The value at a path, where [NAME] is the element of a list with that name, or its value if it has one."""
    for name, member in re.findall(r"\[([^]]+)\]|([^.[]+)", path):
        if name and isinstance(held, list):
            held = next((each.get("value", each) for each in held if each["name"] == name), None)
        else:
            held = held.get(member) if isinstance(held, dict) else None
    return held


def _opposite(value: object) -> bool:
    return not value


def _is_host(mode: object) -> bool:
    return mode == "host"


def _as_set(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value


def _text(value: object) -> object:
    return None if value is None else str(value)


def _pairs(value: object) -> object:
    return {each["name"]: each["value"] for each in value} if isinstance(value, list) else value


def _ports(value: object) -> object:
    return [_port(each) for each in value] if isinstance(value, list) else value


def _port(held: Held) -> Held:
    """A port, without a name that is made from its number."""
    port, count = held.get("port"), held.get("count")
    if not isinstance(port, int) or not isinstance(count, int):
        return held
    own = numbered(port, str(held["protocol"]), count)
    return {name: value for name, value in held.items() if name != "name" or value != own}


def _volumes(value: object) -> object:
    return [_volume(each) for each in value] if isinstance(value, list) else value


def _volume(held: Held) -> Held:
    """A named one as such: where it is, is the host's to know."""
    if "volume" not in held:
        return held
    rest = {name: value for name, value in held.items() if name not in ("source", "recursive")}
    return {**rest, "kind": "named"}


def _networks(value: object) -> object:
    return [_network(each["name"], each["args"]) for each in value] if isinstance(value, list) else value


def _network(name: str, args: dict[str, str]) -> str:
    text = ";".join(f"{key}={value}" for key, value in args.items())
    return f"{name}:{text}" if text else name


def _dns(value: object) -> object:
    if not isinstance(value, dict):
        return None
    return [value["mode"]] if value["mode"] in ("host", "none") else value["nameservers"]


def _flavour(stage1: object) -> object:
    return stage1 if stage1 == FLY else None


def _stage1_image(stage1: object) -> object:
    return None if stage1 in (FLY, NATIVE) else stage1


def _first(words: object) -> object:
    return words[0] if isinstance(words, list) and words else None


def _rest(words: object) -> object:
    return words[1:] if isinstance(words, list) else None


def _seccomp(isolators: object) -> object:
    for isolator in isolators if isinstance(isolators, list) else ():
        mode = isolator["name"].partition("os/linux/seccomp-")[2].partition("-set")[0]
        if mode in MODES:
            held = isolator["value"]
            return {
                "mode": mode,
                "syscalls": sorted(held["set"]),
                **({"errno": held["errno"]} if "errno" in held else {}),
            }
    return None


def _selinux(value: object) -> object:
    """A label as one text."""
    return ":".join(map(str, value.values())) if isinstance(value, dict) else value


def _truth(text: object) -> object:
    return None if text is None else text == "true"


def _restart(text: object) -> object:
    """The form of a restart policy; one that is not understood is shown as it is."""
    if not isinstance(text, str):
        return None
    from ...pod.restart import form_of

    try:
        return form_of(text)
    except InvalidSpec:
        return {"policy": text}


# By the name in the rows: from the value in a document to that of the option.
_BACK: dict[str, Callable[[object], object]] = {
    "as_set": _as_set,
    "dns": _dns,
    "first": _first,
    "flavour": _flavour,
    "is_host": _is_host,
    "networks": _networks,
    "opposite": _opposite,
    "pairs": _pairs,
    "ports": _ports,
    "rest": _rest,
    "restart": _restart,
    "seccomp": _seccomp,
    "selinux": _selinux,
    "stage1_image": _stage1_image,
    "text": _text,
    "truth": _truth,
    "volumes": _volumes,
}
