# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks whose interfaces share one of the host: macvlan, ipvlan and vlan. Pure.

Source: behaviours E18; containernetworking/plugins macvlan, ipvlan and vlan; linux/if_link.h.
"""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..result import NetInterface
from ..steps import HOST_SIDE, POD_SIDE, BringUp, MakeLink, SetSysctl
from .shared import link_name, made, on_link_addresses, pod_switches, route_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...fields import Fields
    from ..place import LinkOptions, Place
    from ..result import NetResult
    from ..steps import NetStep

_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_FIRST_VLAN, _LAST_VLAN = 0, 4094


class Parented(Value):
    """An interface that shares another one, its master. setting: the number of a mode, or of a VLAN.

    in_pod: whether the master is one of the pod, of a network before this one.
    """

    kind: str
    master: str
    setting: int
    in_pod: bool = False

    @classmethod
    def from_fields(cls, kind: str, fields: Fields) -> Parented:
        """Read master, linkInContainer, and mode or vlanId. Raises InvalidSpec with the place."""
        if kind == "vlan":
            setting = fields.integer("vlanId")
            if not _FIRST_VLAN <= setting <= _LAST_VLAN:
                raise InvalidSpec(
                    f"{setting} is not the number of a VLAN", "use 0 to 4094", where=fields.where_of("vlanId")
                )
        elif kind == "macvlan":
            setting = _mode(fields, _MACVLAN_MODES, "bridge")
        else:
            setting = _mode(fields, _IPVLAN_MODES, "l2")
        return cls(kind, link_name(fields, "master"), setting, fields.boolean("linkInContainer", False))

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The interface, which is made in the pod."""
        side = POD_SIDE if self.in_pod else HOST_SIDE
        yield MakeLink(
            self.kind, place.if_name, self.master, side, self.setting, self._mac(place), options.mtu
        )
        if self.kind == "macvlan":
            yield SetSysctl(f"net/ipv4/conf/{place.if_name}/proxy_arp", "1", POD_SIDE)
        yield from pod_switches(options, place)
        yield BringUp(POD_SIDE, place.if_name)
        yield from on_link_addresses(place)
        yield from route_steps(place)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """That of the pod, which may have the MAC address of its master."""
        return made(place, NetInterface(place.if_name, self._mac(place).hex(":"), sandbox))

    def _mac(self, place: Place) -> bytes:
        """One of its own, where the master passes on frames for several: else b""."""
        shares = self.kind != "macvlan" or self.setting == _MACVLAN_MODES["passthru"]
        return b"" if shares else place.macs[1]

    @property
    def needed_links(self) -> tuple[str, ...]:
        """The interfaces that the host must have."""
        return () if self.in_pod else (self.master,)


def _mode(fields: Fields, modes: Mapping[str, int], default: str) -> int:
    name = fields.text("mode", default) or default
    if name not in modes:
        raise InvalidSpec(
            f'"{name}" is not a mode', f"use one of {', '.join(modes)}", where=fields.where_of("mode")
        )
    return modes[name]
