# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of a host's network that matter to pods: netlink dumps, and switches of the host's own bridges."""

from __future__ import annotations

from ..errors import HostFailure
from ..host.reading import kernel_text_or
from .network_plan import BRIDGE_FILTERS, HostFacts
from .rtsocket import RouteSocket
from .switches import accepts_ra, may_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .addresses import Subnet


# By the bits of an address. Missing while the module br_netfilter is not loaded, which docker does.
_FILTER_BRIDGES = {bits: f"/proc/sys/{switch.replace('.', '/')}" for bits, switch in BRIDGE_FILTERS.items()}


def host_facts() -> HostFacts:
    """The links and addresses of this network namespace. Raises HostFailure."""
    try:
        with RouteSocket() as host:
            links = host.links()
            names = {link.index: link.name for link in links}
            addresses = tuple(
                (names.get(index, ""), address, prefix) for index, address, prefix in host.addresses()
            )
        believing = tuple(link.name for link in links if not may_change(link) and accepts_ra(link.name))
    except OSError as err:
        raise HostFailure.of("cannot read the host's links and addresses", err) from err
    kinds = tuple((link.name, link.kind) for link in links)
    filtered = (bits for bits, path in _FILTER_BRIDGES.items() if kernel_text_or(path, "0") != "0")
    return HostFacts(kinds, addresses, believing, tuple(filtered))


def host_routes() -> tuple[tuple[str, Subnet], ...]:
    """The routes of this network namespace: the interface, "" without one, and the destination. Raises HostFailure."""
    try:
        with RouteSocket() as host:
            names = {link.index: link.name for link in host.links()}
            return tuple((names.get(index, ""), subnet) for index, subnet in host.routes())
    except OSError as err:
        raise HostFailure.of("cannot read the host's routes", err) from err
