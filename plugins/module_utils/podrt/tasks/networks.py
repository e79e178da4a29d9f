# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks pod_network and pod_network_info: definitions of networks, and what the host has of them."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import parse_json
from ..stage0.change import converge, naming_changes
from ..stage0.network_definitions import ensure_network, ensure_no_network
from ..stage0.network_spec import network_name, read_network_spec
from ..stage0.network_status import list_networks, network_status
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..stage0.network_status import NetworkStatus
    from ..stage0.network_users import NetworkUser


def pod_network(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge the definition of one network. Raises PodError."""
    restart = options.boolean("restart_pods", False)
    if options.text("state", "present") == "absent":
        name = network_name(options)
        plan = ensure_no_network(host, name, restart=restart)
    else:
        spec = read_network_spec(options)
        name = spec.name
        plan = ensure_network(host, spec, restart=restart)
    outcome, defined = converge(host, plan, apply=not check)
    with naming_changes(outcome.to_json(), f'cannot look at network "{name}"'):
        found = network_status(host, name)
    return {
        **outcome_result(outcome),
        "network": _shown(found) if found and defined.conf else None,
        "affected_pods": [{"name": user.name, "uuid": user.uuid} for user in defined.affected],
        "warnings": [*defined.warnings, *outcome.notes, *outcome.foreseen],
    }


def pod_network_info(host: Host, options: Fields) -> dict[str, object]:
    """The networks of the host, all or those that are named. Raises InvalidSpec."""
    wanted = options.strings("name")
    found = list_networks(host)
    return {
        "networks": [_shown(status) for status in found if not wanted or status.file.name in wanted],
    }


def _shown(status: NetworkStatus) -> dict[str, object]:
    """A network as results show it."""
    file, conf = status.file, status.file.conf
    return {
        "name": file.name or None,
        "type": conf.type if conf and conf.plugins else None,
        "file": file.path or None,
        "built_in": not file.path,
        "made_by_task": file.made,
        "conf": _document(file.raw),
        "subnets": [str(span.subnet) for span in status.ranges],
        "gateways": [str(span.gateway) for span in status.ranges],
        "leases": status.leases,
        "free": status.free,
        "used_by": [_user(user) for user in status.users],
        "problem": status.problem,
    }


def _user(user: NetworkUser) -> dict[str, object]:
    return {
        "name": user.name,
        "uuid": user.uuid,
        "running": user.running,
        "addresses": list(user.addresses),
        "data_dir": user.elsewhere or None,
    }


def _document(raw: bytes) -> object:
    """The configuration as it was read, null where it is not JSON."""
    try:
        return parse_json(raw, "")
    except InvalidSpec:
        return None
