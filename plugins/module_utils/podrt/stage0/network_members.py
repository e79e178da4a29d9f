# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a definition that nothing reads, such as a name with a typing error. Pure.

No list of names says which are read: a member is given a value that every reader refuses, or takes for something else.
If the network still means the same, none has read it.
"""

from __future__ import annotations

from ..fields import canonical_json, fold, parse_json
from ..net.conf import NetConf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Union

    from .network_kinds import NetworkSpec

    Step = Union[str, int]  # the name of a member, or the number of an element
    MemberPath = tuple[Step, ...]

# Neither text, nor a whole number, true or false, a list or an object; and not nothing.
_PROBE = 0.5


def unread_members(spec: NetworkSpec, raw: bytes, conf: NetConf) -> tuple[str, ...]:
    """The options of a definition that nothing reads, of conf and plugins. What a program gets is left to that.

    raw: the file that the definition makes. conf: the network of it, with the programs of its plugins.
    """
    found: list[str] = []
    for at, (text, plugin) in enumerate(zip((spec.more, *spec.plugins), conf.plugins)):
        members = parse_json(text.encode(), "")
        if not plugin.is_built_in or not isinstance(members, dict):
            continue
        if plugin.ipam_program:
            members = {name: value for name, value in members.items() if fold(name) != "ipam"}
        before: MemberPath = ("plugins", at) if spec.plugins else ()
        option = f"plugins[{at - 1}]" if at else "conf"
        found += (option + _shown(path) for path in _unread(raw, conf.file_name, members, before))
    return tuple(found)


def _unread(raw: bytes, file_name: str, value: object, before: MemberPath) -> Iterator[MemberPath]:
    """The paths of members in a part of a document, without those within one of them."""
    meaning = NetConf.read(raw, file_name).meaning
    for step, content in _parts(value):
        probed = _probed(parse_json(raw, ""), (*before, step))
        members = probed if isinstance(probed, dict) else {}
        if NetConf.read(canonical_json(members), file_name).meaning == meaning:
            yield (step,)
        else:
            yield from ((step, *rest) for rest in _unread(raw, file_name, content, (*before, step)))


def _parts(value: object) -> Sequence[tuple[Step, object]]:
    if isinstance(value, dict):
        return tuple(value.items())
    return tuple(enumerate(value)) if isinstance(value, list) else ()


def _probed(value: object, path: MemberPath) -> object:
    """A part of a document with the probe at a path, whose names are found in any case."""
    if not path:
        return _PROBE
    step, *rest = path
    changed = [
        (key, _probed(part, tuple(rest)) if _is_same(key, step) else part) for key, part in _parts(value)
    ]
    return dict(changed) if isinstance(value, dict) else [part for _key, part in changed]


def _is_same(key: Step, step: Step) -> bool:
    return fold(key) == fold(step) if isinstance(key, str) and isinstance(step, str) else key == step


def _shown(path: MemberPath) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
