# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Value: a frozen dataclass without generated code at start-up.

Sixty frozen dataclasses cost 35 to 65 ms at every start of an interpreter, sixty Values about 1 ms.
Annotations name the fields in order and are never evaluated; a class attribute of the same name is the default.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from typing_extensions import dataclass_transform

    T = TypeVar("T", bound="Value")
else:

    def dataclass_transform(**_options):
        """The identity at run time; type checkers see the real one."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True, eq_default=True)
class Value:
    """An immutable value, compared by its fields and its type.

    A subclass may define check(self), which is called after construction and raises InvalidSpec. Defaults must be
    immutable.
    """

    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        own = cls.__dict__.get("__annotations__", {})
        names = tuple(name for name in own if not name.startswith("_") and name not in cls._fields)
        cls._fields = cls._fields + names

    def __init__(self, *args: object, **kwargs: object) -> None:
        fields = self._fields
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} fields, not {len(args)}")
        held = self.__dict__
        held.update(zip(fields, args))
        for name, value in kwargs.items():
            if name not in fields or name in held:
                raise TypeError(f"{type(self).__name__} has no field {name!r} left to set")
            held[name] = value
        if len(held) < len(fields):
            self._hold_defaults()
        self.check()

    def _hold_defaults(self) -> None:
        held = self.__dict__
        for name in self._fields:
            if name not in held:
                try:
                    held[name] = getattr(type(self), name)
                except AttributeError:
                    raise TypeError(f"{type(self).__name__} lacks its field {name!r}") from None

    def check(self) -> None:
        """Raise InvalidSpec when the fields do not fit together. Overridden by types that can be invalid."""

    def replace(self: T, **changes: object) -> T:
        """The same value with the named fields replaced."""
        held = {name: self.__dict__[name] for name in self._fields}
        held.update(changes)
        return type(self)(**held)

    def row(self) -> tuple[object, ...]:
        """The values of its fields in order: type(self)(*row) is an equal value."""
        return tuple(self.__dict__[name] for name in self._fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.row()))

    def __repr__(self) -> str:
        held = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({held})"
