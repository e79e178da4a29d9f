# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app section of a manifest. Source: appc schema/types/app.go."""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..fields import Fields, checked_text
from ..value import Value
from .alphabet import ALNUM, LETTERS, is_word
from .isolators import check_memory, check_sets, isolator_from_json, isolator_to_json
from .names import LONGEST_PATH, first_repeated
from .ports import Port
from .volumes import MountPoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .isolators import Isolator

_ENV_FIRST = LETTERS + "_"
_ENV = ALNUM + "_.-"
_GIDS = range(2**32 - 1)  # the number after these means "no change" to chown(2)
_MOST_GIDS = 65536  # NGROUPS_MAX; see setgroups(2)
# One word of a command, or one variable, without the NUL at the end. Source: execve(2), MAX_ARG_STRLEN.
_LONGEST_WORD = 128 * 1024 - 1
EVENTS = ("pre-start", "post-stop")


class EventHandler(Value):
    """A command at an event of an app's life: pre-start or post-stop."""

    event: str
    exec: tuple[str, ...]

    @classmethod
    def from_json(cls, value: object, where: str) -> EventHandler:
        """Read an appc event handler. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        event = fields.text("name")
        if event not in EVENTS:
            raise InvalidSpec(
                f'unknown event "{event}"', "use pre-start or post-stop", where=fields.where_of("name")
            )
        return cls(event, fields.strings("exec"))

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        return {"name": self.event, "exec": list(self.exec)}


class App(Value):
    """The app section. environment: pairs in order, each name once."""

    exec: tuple[str, ...]
    user: str
    group: str
    supplementary_gids: tuple[int, ...] = ()
    event_handlers: tuple[EventHandler, ...] = ()
    working_directory: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    ports: tuple[Port, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    user_annotations: tuple[tuple[str, str], ...] = ()
    user_labels: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """Raise InvalidSpec unless the app is valid by appc's rules and our limits."""
        for field in ("user", "group"):
            if not getattr(self, field):
                raise InvalidSpec("must not be empty", where=field)
        for where, text in (
            ("user", self.user),
            ("group", self.group),
            ("workingDirectory", self.working_directory),
        ):
            check_length(text, where)
        for where, words in (("exec", self.exec), *((each.event, each.exec) for each in self.event_handlers)):
            check_command(words, where)
        if self.working_directory and not os.path.isabs(self.working_directory):
            raise InvalidSpec(f'"{self.working_directory}" is not an absolute path', where="workingDirectory")
        _check_unique([handler.event for handler in self.event_handlers], "eventHandlers")
        _check_unique([point.name for point in self.mount_points], "mountPoints")
        _check_unique([port.name for port in self.ports], "ports")
        check_environment(self.environment, "environment")
        check_gids(self.supplementary_gids, "supplementaryGIDs")
        check_sets(self.isolators, "isolators")
        check_memory(self.isolators)

    @classmethod
    def from_json(cls, value: object, where: str) -> App:
        """Read an appc app. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        return fields.made(
            cls,
            exec=fields.strings("exec"),
            user=fields.text("user"),
            group=fields.text("group"),
            supplementary_gids=fields.integers("supplementaryGIDs"),
            event_handlers=tuple(EventHandler.from_json(*item) for item in fields.items("eventHandlers")),
            working_directory=fields.text("workingDirectory", ""),
            environment=tuple(_environment_pair(*item) for item in fields.items("environment")),
            mount_points=tuple(MountPoint.from_json(*item) for item in fields.items("mountPoints")),
            ports=tuple(Port.of(each) for each in fields.each("ports")),
            isolators=tuple(isolator_from_json(*item) for item in fields.items("isolators")),
            user_annotations=fields.pairs("userAnnotations"),
            user_labels=fields.pairs("userLabels"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object, without empty members."""
        members: dict[str, object] = {
            "exec": list(self.exec),
            "user": self.user,
            "group": self.group,
            "supplementaryGIDs": list(self.supplementary_gids),
            "eventHandlers": [handler.to_json() for handler in self.event_handlers],
            "workingDirectory": self.working_directory,
            "environment": [{"name": name, "value": value} for name, value in self.environment],
            "mountPoints": [point.to_json() for point in self.mount_points],
            "ports": [port.to_json() for port in self.ports],
            "isolators": [isolator_to_json(isolator) for isolator in self.isolators],
            "userAnnotations": dict(self.user_annotations),
            "userLabels": dict(self.user_labels),
        }
        return {name: value for name, value in members.items() if value or name in ("exec", "user", "group")}

    def handler(self, event: str) -> EventHandler | None:
        """The handler of an event, or None."""
        return next((handler for handler in self.event_handlers if handler.event == event), None)


def check_environment(pairs: tuple[tuple[str, str], ...], where: str) -> None:
    """Raise InvalidSpec unless every name is valid and unique, and every value can be passed on."""
    for name, value in pairs:
        if not is_word(name, _ENV, _ENV_FIRST):
            raise InvalidSpec(
                f'"{name}" is not a valid name of a variable',
                "use letters, digits, _ . and -, not first a digit",
                where=where,
            )
        checked_text(value, f"{where}.{name}", f"{name}:", secret=True)
        if name == "PATH":
            check_length(value, f"{where}.{name}")
        check_length(f"{name}={value}", f"{where}.{name}", _LONGEST_WORD)
    _check_unique([name for name, _value in pairs], where)


def check_gids(gids: Sequence[int], where: str) -> None:
    """Raise InvalidSpec, naming the element, unless every number is a valid gid, and the kernel accepts that many."""
    if len(gids) > _MOST_GIDS:
        raise InvalidSpec(f"{len(gids)} groups are too many", f"name at most {_MOST_GIDS}", where=where)
    for index, gid in enumerate(gids):
        if gid not in _GIDS:
            raise InvalidSpec(
                f"{gid} is not the number of a group", f"use 0 to {_GIDS[-1]}", where=f"{where}[{index}]"
            )


def _environment_pair(value: object, where: str) -> tuple[str, str]:
    fields = Fields(value, where)
    return fields.text("name"), fields.text("value")


def check_command(words: Sequence[str], where: str) -> None:
    """Raise InvalidSpec, naming the word, for a program or an argument that the kernel would refuse."""
    for at, word in enumerate(words):
        check_length(word, f"{where}[{at}]", _LONGEST_WORD if at else LONGEST_PATH)


def check_length(text: str, where: str, most: int = LONGEST_PATH) -> None:
    """Raise InvalidSpec for a text of more than most bytes, by default those of a path.

    Paths bound names of users and groups as well, and PATH, whose directories are all searched.
    """
    size = len(os.fsencode(text))
    if size > most:
        raise InvalidSpec(
            f"it has {size} bytes, more than the {most} that it may have", "make it shorter", where=where
        )


def _check_unique(names: Sequence[str], where: str) -> None:
    name = first_repeated(names)
    if name:
        raise InvalidSpec(f'"{name}" is given twice', where=where)
