# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of apps, and host ports that are forwarded to them. Source: appc schema/types/port.go."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .names import ACName

PROTOCOLS = ("tcp", "udp", "sctp")
# Every address of a family.
ANY_V4, ANY_V6 = "0.0.0.0", "::"
_NUMBERS = range(1, 65536)
_MOST_DIGITS = 5
_POD_PORT = "podPort"
# What a host port that the host chooses is called, and those that it chooses of: below those of clients and clusters.
AUTO = "auto"
AUTO_PORTS = range(20000, 30000)
_USUAL_HINT = "use 1 to 65535"
HOST_PORT_HINT = f"{_USUAL_HINT}, or {AUTO} for one that the host chooses"
_HINT_ON_SEVERAL = "; for several in a row, give the first of them, and count"
_HINT_ON_LAST = f"use a lower host port or a smaller count, or {AUTO} for ports that the host chooses"


class Port(Value):
    """A port of an app."""

    name: ACName
    protocol: str
    port: int
    count: int = 1
    socket_activated: bool = False

    def check(self) -> None:
        """Check that the protocol is known and the numbers are in range."""
        if self.protocol not in PROTOCOLS:
            raise InvalidSpec(f'unknown protocol "{self.protocol}"', "use tcp, udp or sctp", where="protocol")
        _check_number(self.port, "port")
        check_range(self.port, self.count, "count")

    @classmethod
    def of(cls, fields: Fields) -> Port:
        """Read an appc port. Raises InvalidSpec with the place."""
        return fields.made(
            cls,
            _name_of(fields),
            fields.text("protocol"),
            fields.integer("port"),
            # appc's own writer writes 0 for 1, and its reader accepts that. Source: appc schema/types/port.go.
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
    """A host port that is forwarded to the app port of that name. host_ip None: every address.

    port: the target by number, which no app needs to name, with its protocol, and count of them from both numbers
    upwards; read from appc's podPort, too. None: that of the app's port. auto: the host chooses host_port, which is 0
    until then.
    """

    name: ACName
    host_port: int
    host_ip: str | None = None
    port: int | None = None
    protocol: str = PROTOCOLS[0]
    count: int = 1
    auto: bool = False

    def check(self) -> None:
        """Check that the numbers are ports and the address is an address."""
        if not self.is_open:
            _check_number(self.host_port, "hostPort")
        if self.host_ip is not None:
            check_address(self.host_ip, "hostIP")
        if self.port is not None:
            Port(self.name, self.protocol, self.port, self.count)
            if not self.is_open:
                check_range(self.host_port, self.count, "hostPort", _HINT_ON_LAST)

    @property
    def is_open(self) -> bool:
        """Whether the host has yet to choose its host port."""
        return self.auto and not self.host_port

    @classmethod
    def of(cls, fields: Fields) -> ExposedPort:
        """Read an exposed port. Raises InvalidSpec with the place."""
        if fields.has(_POD_PORT):
            return cls._direct(fields)
        port, count = fields.optional_integer("port"), fields.integer("count", 1)
        protocol = fields.text("protocol", cls.protocol)
        if port is None:
            for member in ("protocol", "count"):
                if fields.has(member):
                    raise InvalidSpec(
                        "belongs to a port that is given by its number",
                        "a port that is named has its own",
                        where=fields.where_of(member),
                    )
        named = port is None or fields.has("name")
        name = _name_of(fields) if named or port is None else numbered(port, protocol, count)
        host_port, host_ip = _host_port(fields), fields.optional_text("hostIP")
        auto = not host_port or fields.boolean("auto", False)
        return fields.made(cls, name, host_port or 0, host_ip, port, protocol, count, auto)

    @classmethod
    def _direct(cls, fields: Fields) -> ExposedPort:
        """Read one whose port of the pod is part of it, as those of rkt's sandboxes."""
        target = Port.of(fields.within(_POD_PORT))
        host_port, host_ip = _host_port(fields), fields.optional_text("hostIP")
        to = target.port, target.protocol, target.count
        return fields.made(cls, _name_of(fields), host_port or 0, host_ip, *to, not host_port)

    def to_json(self) -> dict[str, object]:
        """The appc object, with the target by number."""
        found: dict[str, object] = {
            "name": str(self.name),
            "hostPort": AUTO if self.is_open else self.host_port,
        }
        if self.auto and not self.is_open:
            found["auto"] = True
        if self.host_ip is not None:
            found["hostIP"] = self.host_ip
        if self.port is not None:
            found.update(port=self.port, protocol=self.protocol, count=self.count)
        return found


def _host_port(fields: Fields) -> int | None:
    """The number of a host port, None for one that the host chooses. Ansible may give a number as its digits."""
    value = fields.raw("hostPort")
    if value == AUTO:
        return None
    try:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
            number = int(value)
        else:
            number = fields.integer("hostPort")
        _check_number(number, fields.where_of("hostPort"))
    except InvalidSpec as err:
        hint = HOST_PORT_HINT + (_HINT_ON_SEVERAL if fields.has("port") else "")
        raise InvalidSpec(err.reason, hint, where=err.where, on_argv=err.on_argv) from err
    return number


def numbered(port: int, protocol: str, count: int) -> ACName:
    """The name of ports that have only numbers, as in docker images: 80-tcp, 8000-8010-udp."""
    return ACName(f"{port}-{protocol}" if count == 1 else f"{port}-{port + count - 1}-{protocol}")


def check_range(port: int, count: int, where: str, hint: str = _USUAL_HINT) -> None:
    """Raise InvalidSpec unless that many ports from this one are in range."""
    if count < 1 or port + count > _NUMBERS[-1] + 1:
        raise InvalidSpec(f"{count} ports from {port} are out of range", hint, where=where)


def hosts_clash(one: str | None, other: str | None) -> bool:
    """Whether a port on one address of the host is one on the other as well. None: every address, of both families."""
    if one is None or other is None:
        return True
    if (":" in one) != (":" in other):
        return False
    both = {_spelled(one), _spelled(other)}
    return len(both) == 1 or bool(both & {ANY_V4, ANY_V6})


def _spelled(address: str) -> str:
    """An address as all others are spelled."""
    import _socket

    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        return _socket.inet_ntop(family, _socket.inet_pton(family, address))
    except (OSError, ValueError):
        return address


def _name_of(fields: Fields) -> ACName:
    where = fields.where_of("name")
    if not fields.has("name"):
        raise InvalidSpec(
            "there is no name", "name a port of an app, or give its number as port", where=where
        )
    name = fields.text("name")
    try:
        return ACName(name, where)
    except InvalidSpec as err:
        words = f'"{name}" is not a valid port name'
        raise InvalidSpec(err.reason, err.hint, where=where, on_argv=words) from err


def _check_number(number: int, where: str) -> None:
    if number not in _NUMBERS:
        raise InvalidSpec(
            f"{number} is not a port number",
            _USUAL_HINT,
            where=where,
            on_argv=f'"{number}" is not a valid port number',
        )


def check_address(text: str, where: str, on_argv: str = "") -> None:
    """Raise InvalidSpec unless this is an IPv4 or IPv6 address. on_argv: the start of the error for a command line."""
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
