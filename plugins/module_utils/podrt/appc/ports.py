# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that an app offers, and ports of the host that lead to them. Source: appc schema/types/port.go."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .fields import Fields
from .names import ACName

PROTOCOLS = ("tcp", "udp")
_NUMBERS = range(1, 65536)


class Port(Value):
    """A port of an app."""

    name: ACName
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False

    def check(self) -> None:
        """Protocol known, numbers in range."""
        if self.protocol not in PROTOCOLS:
            raise InvalidSpec(f'unknown protocol "{self.protocol}"', "use tcp or udp", where="protocol")
        _check_number(self.port, "port")
        if self.count < 1 or self.port + self.count > _NUMBERS[-1] + 1:
            raise InvalidSpec(f"{self.count} ports from {self.port} are out of range", where="count")

    @classmethod
    def of(cls, fields: Fields) -> Port:
        """Read an appc port. Raises InvalidSpec with the place."""
        return fields.made(
            cls,
            _name_of(fields),
            fields.text("protocol"),
            fields.integer("port"),
            # appc's own writer says 0 for one, and appc's reader takes it so. Source: appc schema/types/port.go.
            fields.integer("count", 1) or 1,
            fields.boolean("socketActivated", False),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        return {
            "name": str(self.name),
            "protocol": self.protocol,
            "port": self.port,
            "count": self.count,
            "socketActivated": self.socket_activated,
        }


class ExposedPort(Value):
    """A port of the host that leads to the app port of that name. host_ip None means every address."""

    name: ACName
    host_port: int
    host_ip: str | None = None

    def check(self) -> None:
        """The number must be a port's, the address an address."""
        _check_number(self.host_port, "hostPort")
        if self.host_ip is not None:
            check_address(self.host_ip, "hostIP")

    @classmethod
    def of(cls, fields: Fields) -> ExposedPort:
        """Read an appc exposed port. Raises InvalidSpec with the place."""
        return fields.made(cls, _name_of(fields), fields.integer("hostPort"), fields.optional_text("hostIP"))

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "hostPort": self.host_port}
        if self.host_ip is not None:
            found["hostIP"] = self.host_ip
        return found


def _name_of(fields: Fields) -> ACName:
    name, where = fields.text("name"), fields.where_of("name")
    try:
        return ACName(name, where)
    except InvalidSpec as err:
        words = f'"{name}" is not a valid port name'
        raise InvalidSpec(err.reason, err.hint, where=where, on_argv=words) from err


def _check_number(number: int, where: str) -> None:
    if number not in _NUMBERS:
        raise InvalidSpec(
            f"{number} is not a port number",
            "use 1 to 65535",
            where=where,
            on_argv=f'"{number}" is not a valid port number',
        )


def check_address(text: str, where: str, on_argv: str = "") -> None:
    """Raise InvalidSpec unless this is an IPv4 or IPv6 address. on_argv: what a command line says, but for the text."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return
    raise InvalidSpec(
        f'"{text}" is not an IP address',
        "write it as 10.0.0.1 or fd00::1",
        where=where,
        on_argv=on_argv and f"{on_argv}: {text}",
    )
