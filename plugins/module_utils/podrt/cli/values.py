# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that only command lines have: variables of the caller, annotations, ports of sandboxes, and those of enter.

Pure.
"""

from __future__ import annotations

import os

from ..appc.app import check_environment, check_gids
from ..appc.names import ACIdentifier, ACName
from ..appc.ports import AUTO, PROTOCOLS, ExposedPort, check_address
from ..errors import InvalidSpec
from ..host.reading import decimal
from ..stage0.options import texts
from .flags import is_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..stage0.spec import Pairs

_PARTS_OF_PORT = 4


def parse_variable(text: str) -> tuple[str, str]:
    """KEY=VALUE of an environment. Raises InvalidSpec."""
    pair = texts.pair(text)
    check_environment((pair,), "")
    return pair


def valid_variables(variables: Iterable[tuple[str, str]]) -> Pairs:
    """Those variables of a process that are valid in appc, which a shell's exported functions are not."""
    found = []
    for pair in variables:
        try:
            check_environment((pair,), "")
        except InvalidSpec:
            continue
        found.append(pair)
    return tuple(found)


def not_text(variables: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The names of those variables that are not UTF-8."""
    return tuple(name for name, value in variables if not is_text(name + value))


def parse_annotation(text: str) -> tuple[str, str]:
    """--annotation KEY=VALUE. Raises InvalidSpec with rkt's words."""
    try:
        key, value = texts.pair(text)
        return ACIdentifier(key), value
    except InvalidSpec as err:
        raise InvalidSpec("invalid format of --annotation flag", "write an identifier, = and a text") from err


def parse_sandbox_port(text: str) -> ExposedPort:
    """--port NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT of a pod without apps. Raises InvalidSpec with rkt's words."""
    parts = text.split(":", 3)
    address, _colon, host_port = parts[-1].rpartition(":")
    if len(parts) != _PARTS_OF_PORT or not address:
        raise InvalidSpec("--port invalid format", "write NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT")
    name, protocol, port, _rest = parts
    if protocol not in PROTOCOLS:
        raise InvalidSpec(f'invalid protocol "{protocol}"', "use tcp, udp or sctp")
    host_ip = address.strip("[]")
    try:
        check_address(host_ip, "")
    except InvalidSpec as err:
        raise InvalidSpec(f'could not parse IP "{host_ip}"', err.hint) from err
    return ExposedPort(
        ACName(name),
        0 if host_port == AUTO else _port_number(host_port),
        host_ip,
        _port_number(port),
        protocol,
        auto=host_port == AUTO,
    )


def _port_number(text: str) -> int:
    number = decimal(text)
    if number is None:
        raise InvalidSpec(f'"{text}" is not a valid port number', "use 1 to 65535")
    return number


def parse_gids(text: str) -> tuple[int, ...]:
    """--supplementary-gids 1,2. Raises InvalidSpec with rkt's words."""
    found = tuple(texts.integers((text,)))
    check_gids(found, "")
    return found


def parse_working_dir(text: str) -> str:
    """--workdir PATH. Raises InvalidSpec."""
    if not os.path.isabs(text):
        raise InvalidSpec(f'"{text}" is not an absolute path')
    return text
