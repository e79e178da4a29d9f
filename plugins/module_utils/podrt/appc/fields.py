# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed access to the members of a JSON object; every error says where the member was."""

from __future__ import annotations

import json

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Fields:
    """One JSON object and the place that it came from, such as apps[0].app."""

    def __init__(self, value: object, where: str) -> None:
        """Raises InvalidSpec when value is no JSON object."""
        if not isinstance(value, dict):
            raise _unexpected(value, "an object", where)
        self._held: dict[str, object] = value
        self.where = where

    def where_of(self, name: str) -> str:
        """The place of a member, for errors."""
        return f"{self.where}.{name}" if self.where else name

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self._held.get(name) is not None

    def raw(self, name: str) -> object:
        """The member as it is, None when it is absent."""
        return self._held.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Raises InvalidSpec when it is none, or absent without a default."""
        value = self._found(name, default, "a string")
        if not isinstance(value, str):
            raise _unexpected(value, "a string", self.where_of(name))
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is absent."""
        return self.text(name) if self.has(name) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number; a boolean is none."""
        value = self._found(name, default, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool):
            raise _unexpected(value, "a whole number", self.where_of(name))
        return value

    def optional_integer(self, name: str) -> int | None:
        """A whole number, or None when it is absent."""
        return self.integer(name) if self.has(name) else None

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._found(name, default, "true or false")
        if not isinstance(value, bool):
            raise _unexpected(value, "true or false", self.where_of(name))
        return value

    def optional_boolean(self, name: str) -> bool | None:
        """True, false, or None when it is absent."""
        return self.boolean(name) if self.has(name) else None

    def items(self, name: str) -> Iterator[tuple[object, str]]:
        """The elements of a list, each with its place; none when the list is absent."""
        value = self._held.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise _unexpected(value, "a list", self.where_of(name))
        for index, element in enumerate(value):
            yield element, f"{self.where_of(name)}[{index}]"

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        found = []
        for element, where in self.items(name):
            if not isinstance(element, str):
                raise _unexpected(element, "a string", where)
            found.append(element)
        return tuple(found)

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers, empty when absent."""
        found = []
        for element, where in self.items(name):
            if not isinstance(element, int) or isinstance(element, bool):
                raise _unexpected(element, "a whole number", where)
            found.append(element)
        return tuple(found)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings as sorted pairs, empty when absent."""
        value = self._held.get(name)
        if value is None:
            return ()
        held = Fields(value, self.where_of(name))
        return tuple((key, held.text(key)) for key in sorted(held._held))

    def expect_kind(self, kind: str) -> None:
        """Raise InvalidSpec unless acKind is kind."""
        found = self.text("acKind")
        if found != kind:
            raise InvalidSpec(f'expected "{kind}", found "{found}"', where=self.where_of("acKind"))

    def _found(self, name: str, default: object, expected: str) -> object:
        value = self._held.get(name)
        if value is None:
            value = default
        if value is None:
            raise InvalidSpec(f"missing; expected {expected}", where=self.where_of(name))
        return value


def _unexpected(value: object, expected: str, where: str) -> InvalidSpec:
    return InvalidSpec(f"expected {expected}, found {_describe(value)}", where=where)


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"{value!r}"


def canonical_json(value: Mapping[str, object]) -> bytes:
    """The one spelling of a document: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_json(data: bytes, what: str) -> object:
    """Parse a document; what names it in the error. Raises InvalidSpec."""
    try:
        return json.loads(data)
    except (ValueError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidSpec(f"{what} is not valid JSON: {err}") from err
