# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that an app offers, and ports of the host that lead to them. Source: appc schema/types/port.go."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .fields import Fields
from .names import ACName

PROTOCOLS = ("tcp", "udp")


class Port(Value):
    """A port of an app."""

    name: ACName
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False

    def check(self) -> None:
        """Protocol known, numbers in range."""
        where = f"ports[{self.name}]"
        if self.protocol not in PROTOCOLS:
            raise InvalidSpec(
                f'unknown protocol "{self.protocol}"', "use tcp or udp", where=where + ".protocol"
            )
        if not 1 <= self.port <= 65535:
            raise InvalidSpec(f"{self.port} is not a port number", "use 1 to 65535", where=where + ".port")
        if self.count < 1 or self.port + self.count > 65536:
            raise InvalidSpec(f"{self.count} ports from {self.port} are out of range", where=where + ".count")

    @classmethod
    def from_json(cls, value: object, where: str) -> Port:
        """Read an appc port. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        return cls(
            ACName(fields.text("name"), fields.where_of("name")),
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
        where = f"ports[{self.name}]"
        if not 1 <= self.host_port <= 65535:
            raise InvalidSpec(
                f"{self.host_port} is not a port number", "use 1 to 65535", where=where + ".host_port"
            )
        if self.host_ip is not None and not is_address(self.host_ip):
            raise InvalidSpec(f'"{self.host_ip}" is not an IP address', where=where + ".host_ip")

    @classmethod
    def from_json(cls, value: object, where: str) -> ExposedPort:
        """Read an appc exposed port. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        name = ACName(fields.text("name"), fields.where_of("name"))
        return cls(name, fields.integer("hostPort"), fields.optional_text("hostIP"))

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        found: dict[str, object] = {"name": str(self.name), "hostPort": self.host_port}
        if self.host_ip is not None:
            found["hostIP"] = self.host_ip
        return found


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False
