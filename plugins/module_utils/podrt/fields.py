# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed access to the members of a JSON object, in any letter case; every error names the place of the member."""

from __future__ import annotations

from .errors import InvalidSpec
from .jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    T = TypeVar("T")


def fold(name: str) -> str:
    """The spelling under which a member is found: in any case, as by Go's decoder, which read all documents before us.

    Source: Go's encoding/json, Unmarshal; behaviours E6.
    """
    # The one letter beside the Kelvin sign that Go takes for one of ASCII.
    return name.lower().replace("\u017f", "s")


def by_folded_name(held: Mapping[str, object]) -> dict[str, object]:
    """The members of an object by folded name. Of two that differ in case the last wins, unless it is null."""
    return {fold(name): value for name, value in held.items() if value is not None and isinstance(name, str)}


class NewerFormat(InvalidSpec):
    """A document of a newer release."""


# Types whose description reveals nothing of the value.
_PLAIN = (type(None), dict, list)


class Fields:
    """One JSON object and its place, such as apps[0].app."""

    def __init__(self, value: object, where: str, names: Mapping[str, str] | None = None) -> None:
        """Raise InvalidSpec unless value is a JSON object.

        names: this object's names of members that have another name in documents, such as read_only for readOnly; ""
        for a member that is the whole.
        """
        if not isinstance(value, dict):
            raise _unexpected(value, "an object", where)
        self._by_name: dict[str, object] = by_folded_name(value)
        self._names = names or {}
        self.where = where

    def where_of(self, name: str) -> str:
        """The place of a member, for errors."""
        spelled = self._names.get(name, name)
        return f"{self.where}.{spelled}" if self.where and spelled else spelled or self.where

    def has(self, name: str) -> bool:
        """Whether the member is present and not null."""
        return self._key(name) in self._by_name

    def names(self) -> tuple[str, ...]:
        """The names of the members that are present, in lower case and sorted."""
        return tuple(sorted(self._by_name))

    def raw(self, name: str) -> object:
        """The member as it is, None when it is absent."""
        return self._by_name.get(self._key(name))

    def _key(self, name: str) -> str:
        return fold(self._names.get(name, name))

    def made(self, make: Callable[..., T], *values: object, **named: object) -> T:
        """Call make with members. An InvalidSpec of one of them gets the place of that member."""
        try:
            return make(*values, **named)
        except InvalidSpec as err:
            raise err.at(self.where_of(err.where)) from err

    def canonical(self) -> str:
        """The whole object, as canonical JSON by folded names: equal for two spellings of the same."""
        return canonical_json(self._by_name).decode()

    def replaced(self, **members: object) -> Fields:
        """The same object with these members replaced."""
        fields = Fields({}, self.where, self._names)
        fields._by_name = {**self._by_name, **{self._key(name): value for name, value in members.items()}}
        return fields

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Raises InvalidSpec for another type, and if it is absent without a default."""
        written = self._names.get(name, name)
        return checked_text(self._found(name, default, "a string"), self.where_of(name), f"{written}:")

    def optional_text(self, name: str) -> str | None:
        """A string, or None when it is absent."""
        return self.text(name) if self.has(name) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number, not a boolean."""
        value = self._found(name, default, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool):
            raise _unexpected(value, "a whole number", self.where_of(name), "write digits, without quotes")
        return value

    def integer_of(self, bits: int, name: str, default: int = 0, *, least: int = 0) -> int:
        """A whole number of so many bits, as a field of the kernel has."""
        number, most = self.integer(name, default), (1 << bits) - 1
        if not least <= number <= most:
            raise InvalidSpec(
                f"{number} is out of range", f"use {least} to {most}", where=self.where_of(name)
            )
        return number

    def optional_integer(self, name: str) -> int | None:
        """A whole number, or None when it is absent."""
        return self.integer(name) if self.has(name) else None

    def number(self, name: str) -> float:
        """A number, not a boolean."""
        value = self._found(name, None, "a number")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _unexpected(value, "a number", self.where_of(name))
        return value

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
        """The elements of a list, each with its place; empty when the list is absent."""
        value = self.raw(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise _unexpected(value, "a list", self.where_of(name))
        for index, element in enumerate(value):
            yield element, f"{self.where_of(name)}[{index}]"

    def within(self, name: str) -> Fields:
        """An object. Raises InvalidSpec for another type, and if it is absent."""
        return Fields(self.raw(name), self.where_of(name), self._names)

    def each(self, name: str) -> Iterator[Fields]:
        """The elements of a list of objects; empty when the list is absent."""
        return (Fields(*item) for item in self.items(name))

    def strings(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty when absent."""
        return tuple(checked_text(element, where, "-") for element, where in self.items(name))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers, empty when absent."""
        numbers = []
        for element, where in self.items(name):
            if not isinstance(element, int) or isinstance(element, bool):
                raise _unexpected(element, "a whole number", where)
            numbers.append(element)
        return tuple(numbers)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings as sorted pairs, empty when absent."""
        value = self.raw(name)
        if value is None:
            return ()
        where = self.where_of(name)
        if not isinstance(value, dict):
            raise _unexpected(value, "an object", where)
        pairs = {}
        for raw_key, content in value.items():
            key = checked_text(raw_key, where, "a key as")
            place = f"{where}.{key}" if where else key
            if content is None:
                raise InvalidSpec("missing; expected a string", where=place)
            pairs[key] = checked_text(content, place, f"{key}:")
        return tuple(sorted(pairs.items()))

    def check_format(self, newest: int) -> None:
        """Raise NewerFormat if a newer release has written the document; a document without a format has the first."""
        version = self.integer("format", 1)
        if version > newest:
            raise NewerFormat(
                f"it has format {version}, and this release reads formats up to {newest}",
                "it was written by a newer release: use that one",
                where=self.where,
            )
        if version < 1:
            raise InvalidSpec(f"there is no format {version}", where=self.where_of("format"))

    def expect_kind(self, kind: str) -> None:
        """Raise InvalidSpec unless acKind is kind."""
        actual = self.text("acKind")
        if actual != kind:
            raise InvalidSpec(f'expected "{kind}", found "{actual}"', where=self.where_of("acKind"))

    def _found(self, name: str, default: object, expected: str) -> object:
        value = self.raw(name)
        if value is None:
            value = default
        if value is None:
            hint = f"add {self._names.get(name, name)}"
            raise InvalidSpec(f"missing; expected {expected}", hint, where=self.where_of(name))
        return value


def checked_text(value: object, where: str, written: str, *, secret: bool = False) -> str:
    """The value, if it is text that a file and a program can take. Raises InvalidSpec with the place.

    written: the spelling in a document, such as "mode:", for the hint on a value to which YAML has given another type:
    0644, 1.10 and yes have lost their spelling, so nothing is guessed. secret: whether the value must not be shown.
    """
    if not isinstance(value, str):
        kind = {bool: "a boolean", int: "a number", float: "a number"}.get(type(value))
        hint = f'quote the value: {written} "..." (or use the string filter)' if kind else ""
        if value is None:
            hint = f'give it a value, or take it out; {written} "" is an empty one'
        if kind and secret:
            raise InvalidSpec(f"the value is {kind} to YAML, so its spelling is lost", hint, where=where)
        shown = "something else" if secret and not isinstance(value, _PLAIN) else _describe(value)
        raise InvalidSpec(f"expected a string, found {shown}", hint, where=where)
    if "\0" in value:
        raise InvalidSpec("must not hold a NUL character", "take it out", where=where)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidSpec(
            "holds half of a surrogate pair, which is no character", "write the whole character", where=where
        ) from None
    return value


def _unexpected(value: object, expected: str, where: str, hint: str = "") -> InvalidSpec:
    return InvalidSpec(f"expected {expected}, found {_describe(value)}", hint, where=where)


def _describe(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"{value!r}"


def canonical_json(value: Mapping[str, object]) -> bytes:
    """The one spelling of a document: sorted keys, no white space, UTF-8. Raises InvalidSpec for half surrogates."""
    text = dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # whose text may be secret
        raise InvalidSpec("a text of the document is not UTF-8", "give names and values in UTF-8") from None


def parse_json(data: bytes, what: str) -> object:
    """Parse a document. what: its name, for the error. Raises InvalidSpec."""
    try:
        return loads(data)
    except (ValueError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidSpec(f"{what} is not valid JSON: {err}") from err
