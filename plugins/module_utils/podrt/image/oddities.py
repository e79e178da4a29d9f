# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a docker configuration that may be odd: unusable ones are left out, with a note.

One odd value is no reason to refuse an image that docker runs. null means absent, as in Go. Pure.
"""

from __future__ import annotations

import os
import re

from ..appc.app import check_command, check_environment, check_length
from ..appc.names import acname_from
from ..appc.ports import PROTOCOLS, Port
from ..appc.signals import signal_number
from ..errors import InvalidSpec, few
from ..fields import Fields, canonical_json, checked_text
from .policy import Note

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/([A-Za-z]+))?")
_SHOWN = 60
# What a health check may begin with, and its numbers, of which docker writes times in nanoseconds.
_TESTS = ("CMD", "CMD-SHELL")
_OF_A_CHECK = {
    **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval"), (1 << 63) - 1),
    "Retries": (1 << 31) - 1,
}
_LONGEST_CHECK = 64 << 10


class Oddities:
    """A reader of members that keeps a note for each one that it leaves out."""

    def __init__(self) -> None:
        self._notes: list[Note] = []

    def notes(self) -> tuple[Note, ...]:
        """The notes on members that were left out, and on features of the image that are not supported.

        Called last.
        """
        return tuple(map(Note, few(self._notes)))

    def text(self, fields: Fields, name: str) -> str:
        """A text, empty when it is absent or not valid."""
        try:
            return fields.text(name, "")
        except InvalidSpec as err:
            self._leave_out(f"{name}", err)
            return ""

    def command(self, config: Fields) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Entrypoint and Cmd. An entrypoint of one empty word counts as empty. When one is odd, both are left out."""
        try:
            entrypoint, cmd = _words(config, "Entrypoint"), _words(config, "Cmd")
            entrypoint = () if entrypoint == ("",) else entrypoint
            check_command((*entrypoint, *cmd), "exec")
        except InvalidSpec as err:
            self._leave_out("the command", err)
            return (), ()
        return entrypoint, () if cmd == ("",) and not entrypoint else cmd

    def directory(self, config: Fields, name: str) -> str:
        """An absolute path, empty when it is absent or not valid."""
        text = self.text(config, name)
        path = f"/{text.lstrip('/')}" if text else ""
        try:
            check_length(path, name)
        except InvalidSpec as err:
            self._leave_out(name, err)
            return ""
        return path

    def environment(self, config: Fields) -> tuple[tuple[str, str], ...]:
        """Variables in order; a repeated name keeps its place and takes its last value."""
        variables: dict[str, str] = {}
        for entry, where in self._elements(config, "Env"):
            try:
                name, equals, value = checked_text(entry, where, "-", secret=True).partition("=")
                if equals:
                    check_environment(((name, value),), where)
                    variables[name] = value
            except InvalidSpec as err:
                self._leave_out(f'the variable "{_shown(str(entry).partition("=")[0])}"', err)
        return tuple(variables.items())

    def ports(self, config: Fields) -> tuple[Port, ...]:
        """Ports, sorted by name: 80/tcp is the port 80-tcp, 80-89/udp ten ports; the default is TCP (B42)."""
        ports: dict[str, Port] = {}
        for text in self._keys(config, "ExposedPorts"):
            try:
                port = _port(text)
                ports[port.name] = port
            except InvalidSpec as err:
                self._leave_out(f"the port {_shown(text)}", err)
        return tuple(ports[name] for name in sorted(ports))

    def volumes(self, config: Fields) -> tuple[str, ...]:
        """The paths of volumes, sorted."""
        paths = []
        for path in self._keys(config, "Volumes"):
            if os.path.normpath(f"/{path.lstrip('/')}") == "/":
                self._notes.append(
                    Note(f'the volume "{_shown(path)}" is left out: it would hide the whole root')
                )
            else:
                paths.append(path)
        return tuple(paths)

    def stop_signal(self, config: Fields) -> str:
        """The stop signal as in the image, empty when it is not valid; docker takes a number too."""
        value = config.raw("StopSignal")
        text = (
            str(value)
            if isinstance(value, int) and not isinstance(value, bool)
            else self.text(config, "StopSignal")
        )
        if text and signal_number(text) is None:
            self._notes.append(
                Note(f'the stop signal "{_shown(text)}" is left out: no app can be stopped with it')
            )
            return ""
        return text.strip()

    def health_check(self, config: Fields) -> str:
        """The health check with docker's members, in JSON; empty without one that is valid."""
        try:
            check = _health_check(config)
        except InvalidSpec as err:
            self._leave_out("the health check", err)
            return ""
        if check:
            self._notes.append(Note("the health check of the image is not run in this release"))
        return check

    def _elements(self, fields: Fields, name: str) -> tuple[tuple[object, str], ...]:
        """The elements of a list, without null."""
        try:
            return tuple((element, where) for element, where in fields.items(name) if element is not None)
        except InvalidSpec as err:
            self._leave_out(name, err)
            return ()

    def _keys(self, fields: Fields, name: str) -> tuple[str, ...]:
        """The sorted keys of an object, which is how docker writes sets."""
        value, where = fields.raw(name), fields.where_of(name)
        if value is None:
            return ()
        if not isinstance(value, dict):
            self._notes.append(Note(f"{name} is left out: it is not an object"))
            return ()
        keys = []
        for key in value:
            try:
                keys.append(checked_text(key, where, "a key as"))
            except InvalidSpec as err:
                self._leave_out(f"an entry of {name}", err)
        return tuple(sorted(keys))

    def _leave_out(self, what: str, err: InvalidSpec) -> None:
        self._notes.append(Note(f"{what} is left out: {err.reason}"))


def _words(config: Fields, name: str) -> tuple[str, ...]:
    """A list of words, or as in docker a single word; null in a list is an empty word."""
    value = config.raw(name)
    if isinstance(value, str):
        return (checked_text(value, config.where_of(name), f"{name}:"),)
    return tuple(
        "" if element is None else checked_text(element, where, "-") for element, where in config.items(name)
    )


def _health_check(config: Fields) -> str:
    """The JSON of a health check. Raises InvalidSpec for a part that is not as docker writes it, and a long one."""
    if config.raw("Healthcheck") is None:
        return ""
    fields = config.within("Healthcheck")
    test = _words(fields, "Test")
    if test in ((), ("",)) or test[0] == "NONE":
        return ""  # that of the base image, whose configuration has it, or not any
    if test[0] not in _TESTS or len(test) == 1:
        raise InvalidSpec("its test is not CMD or CMD-SHELL with a command", where=fields.where_of("Test"))
    found: dict[str, object] = {"Test": list(test)}
    for name, most in _OF_A_CHECK.items():
        value = fields.integer(name, 0)
        if not 0 <= value <= most:
            raise InvalidSpec("it is out of range", where=fields.where_of(name))
        if value:
            found[name] = value
    data = canonical_json(found)
    if len(data) > _LONGEST_CHECK:
        raise InvalidSpec(f"it has {len(data)} bytes, more than the {_LONGEST_CHECK} that it may have")
    return data.decode()


def _port(text: str) -> Port:
    """Read a port or a range. Raises InvalidSpec, also for protocols that pods do not forward."""
    match = _PORT.fullmatch(text) if text.isascii() else None
    if not match:
        raise InvalidSpec("it is not a port")
    protocol = (match[3] or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise InvalidSpec("a pod knows tcp, udp and sctp")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise InvalidSpec("it ends before it begins")
    name = f"{match[1]}-{match[2]}" if last > first else match[1]
    return Port(acname_from(f"{name}-{protocol}"), protocol, first, last - first + 1)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
