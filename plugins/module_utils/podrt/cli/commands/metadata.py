# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl metadata-service. Source: behaviours A52, F1, F6."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...host.reading import decimal
from ...mds.process import serve
from ...mds.registration import PORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..call import Call

_PORTS = 1 << 16


def metadata_service(call: Call) -> int:
    """Serve metadata until a signal asks for the end; returns 0."""
    serve(call.host, _port(call.options.text("listen-port")), call.say, detach=call.options.on("detach"))
    return 0


def _port(text: str) -> int:
    """The port for queries. Raises InvalidSpec."""
    port = decimal(text) if text else PORT
    if port is None or port >= _PORTS:
        raise InvalidSpec(f'--listen-port: "{text}" is not a port', "use 1 to 65535")
    return port


ENTRIES: dict[str, Callable[[Call], int]] = {"metadata-service": metadata_service}
