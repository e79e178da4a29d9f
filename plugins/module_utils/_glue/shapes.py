# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that options are lists, dictionaries and strings where they should be; expand short forms. PRIVATE.

AnsibleModule splits a string at its commas for a list, parses one for a dictionary, and converts lists and booleans to
strings: exec: [/bin/sh, -c] would be one path with brackets. None of this is ever intended, so it is refused before the
conversion. The rules follow the types of the argument specification; raw is left to the runtime.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LIST, _DICT, _TEXT, _EITHER = "a list", "a dictionary", "a string", "a dictionary or a string"
_HINTS = {
    _LIST: "write [a, b], or a line with a dash for each element",
    _DICT: "write {key: value}, or a line for each key",
    _EITHER: 'quote a short form: "..."',  # 8080:53 is a number to YAML
}
# The option that holds the short form of its dictionary.
SHORT = "short"
# By type: the expected shape, and the Python types that Ansible would convert to it.
_REFUSED: dict[str, tuple[str, tuple[type, ...]]] = {
    "list": (_LIST, (str, int, float, dict)),
    "dict": (_DICT, (str, int, float, list)),
    "str": (_TEXT, (bool, list, dict)),
    "path": (_TEXT, (bool, list, dict)),
    "int": ("a number", (list, dict)),
    "float": ("a number", (list, dict)),
    "bool": ("true or false", (list, dict)),
    "raw": ("", ()),
}


class Misshapen(Exception):
    """An option has the wrong shape for its type. where: its path, such as apps[0].exec."""

    def __init__(self, where: str, expected: str, value: object) -> None:
        found = _described(value)
        self.where = where
        self.hint = 'quote the value: "..."' if isinstance(value, bool) else _HINTS.get(expected, "")
        super().__init__(f"{where}: expected {expected}, found {found}")


def name_short_forms(options: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Replace strings by {short: string}, in place, in lists of dictionaries that have a short form."""
    for name, rule in spec.items():
        inner, value = rule.get("options"), options.get(name)
        elements = value if isinstance(value, list) else [value]
        for index, element in enumerate(elements if inner else ()):
            if isinstance(element, str) and SHORT in inner and elements is value:
                value[index] = {SHORT: element}
            elif isinstance(element, dict):
                name_short_forms(element, inner)


def check_shapes(options: Mapping[str, object], spec: Mapping[str, Any], within: str = "") -> None:
    """Raise Misshapen for the first option with the wrong shape for its type. The message holds no value."""
    for name, rule in spec.items():
        value = options.get(name)
        if value is not None:
            _check(value, rule.get("type", "str"), rule, f"{within}{name}")


def _check(value: object, kind: str, rule: Mapping[str, Any], where: str) -> None:
    expected, refused = _REFUSED[kind]
    if isinstance(value, refused):
        short = expected == _DICT and SHORT in (rule.get("options") or {})
        raise Misshapen(where, _EITHER if short else expected, value)
    if isinstance(value, list):
        for index, element in enumerate(value):
            if element is not None:
                _check(element, rule.get("elements", "raw"), rule, f"{where}[{index}]")
    elif isinstance(value, dict) and kind == "dict":
        check_shapes(value, rule.get("options") or {}, f"{where}.")


def _described(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {str: "a string", list: _LIST, dict: _DICT}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "a number")
