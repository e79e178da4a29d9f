# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task pod_metadata_service: the metadata service of a host runs, or does not."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..mds.registration import PORT
from ..stage0.change import converge, naming_changes
from ..stage0.metadata import STATES, ServiceSpec, ensure_service, read_service, warnings_of_ports
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..stage0.metadata import ServiceStatus

_PORTS = 1 << 16


def pod_metadata_service(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge the service. Raises PodError."""
    spec = _spec(options)
    outcome, _none = converge(host, ensure_service(host, spec), apply=not check)
    with naming_changes(outcome.to_json(), "cannot look at the metadata service"):
        found = read_service(host)
        stale = warnings_of_ports(host, spec) if outcome.changed else ()
    return {
        **outcome_result(outcome),
        "warnings": [*outcome.foreseen, *stale],
        "service": _shown(host, found),
    }


def _spec(options: Fields) -> ServiceSpec:
    state, port = options.text("state", STATES[0]), options.integer("port", PORT)
    if state not in STATES:
        raise InvalidSpec(f'unknown value "{state}"', f"use one of {', '.join(STATES)}", where="state")
    if not 0 < port < _PORTS:
        raise InvalidSpec(f"{port} is not a port", "use 1 to 65535", where="port")
    return ServiceSpec(state, port, options.optional_boolean("enabled"))


def _shown(host: Host, found: ServiceStatus) -> dict[str, object]:
    return {
        "manager": found.manager,
        "running": found.running,
        "enabled": found.enabled,
        "port": found.port,
        "socket": host.paths.mds_socket,
    }
