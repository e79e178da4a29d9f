# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of a network that a pod asks for: addresses, a MAC address, the name of the interface. Pure.

IP and GATEWAY, and MAC for what is built in, are those of CNI_ARGS; the others are ours. A program gets all that is not
ours as it is. Source: behaviours E14; containernetworking/cni CONVENTIONS.md, "CNI_ARGS".
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..errors import InvalidSpec
from ..value import Value
from .addresses import V4_BITS, Address, parse_prefixed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Pairs = tuple[tuple[str, str], ...]

IP, IP6, MAC, IF_NAME, GATEWAY = "IP", "IP6", "MAC", "IFNAME", "GATEWAY"
_IGNORE = "IgnoreUnknown"
_KNOWN = (IP, IP6, MAC, IF_NAME, GATEWAY, _IGNORE)
_IGNORE_UNKNOWN = ("1", "true", "True", "TRUE", "t", "T")
_MAC_BYTES = 6
# Source: dev_valid_name of the kernel's net/core/dev.c.
LONGEST_LINK = 15
LINK_NAME_HINT = f"use at most {LONGEST_LINK} letters, digits, dashes, dots and underscores"


class NetArgs(Value):
    """The arguments of one network. ips: at most one a family. mac b"", if_name "": as it is without them.

    prefixes: the prefix length of each address, None where it is not said. gateway: of those in whose subnet it is.
    """

    ips: tuple[Address, ...] = ()
    mac: bytes = b""
    if_name: str = ""
    prefixes: tuple[int | None, ...] = ()
    gateway: Address | None = None

    @property
    def prefixed(self) -> tuple[str, ...]:
        """The addresses, with their prefix lengths where these are said."""
        return tuple(
            str(ip) if prefix is None else f"{ip}/{prefix}" for ip, prefix in zip(self.ips, self.prefixes)
        )

    @classmethod
    def of(cls, pairs: Pairs, net_name: str, *, strict: bool = True) -> NetArgs:
        """Read the arguments of a network. strict: whether unknown ones are refused. Raises InvalidSpec."""
        held = dict(pairs)
        unknown = [f"{key}={value}" for key, value in pairs if key not in _KNOWN]
        if strict and unknown and held.get(_IGNORE) not in _IGNORE_UNKNOWN:
            raise InvalidSpec(
                f'network "{net_name}": unknown args [{" ".join(unknown)}]', f"known are {', '.join(_KNOWN)}"
            )
        asked = [_address(held[key], key) for key in (IP, IP6) if key in held]
        ips = [address for address, _prefix in asked]
        if IP6 in held and ips[-1].bits == V4_BITS:
            raise InvalidSpec(f"{ips[-1]} is not an IPv6 address", where=IP6)
        if len({each.bits for each in ips}) < len(ips):
            raise InvalidSpec(f'network "{net_name}": {IP} and {IP6} are both IPv6 addresses', "take one out")
        return cls(
            tuple(ips),
            mac_of(held.get(MAC, ""), MAC),
            _if_name(held.get(IF_NAME, "")),
            tuple(prefix for _address, prefix in asked),
            _gateway(held.get(GATEWAY, ""), strict=strict),
        )


def for_programs(pairs: Pairs) -> str:
    """The arguments for a program, in the form of CNI_ARGS: without those that only this runtime knows."""
    told = [
        (key, mac_of(value, key).hex(":") if key == MAC else value)
        for key, value in pairs
        if key not in (IP6, IF_NAME)
    ]
    return ";".join(f"{key}={value}" for key, value in told)


def pairs_of(text: str) -> Pairs:
    """The arguments of a record, K=V;K2=V2, which were checked before. What is damaged is left out."""
    found = (item.partition("=") for item in text.split(";"))
    return tuple((key, value) for key, equals, value in found if equals)


def check_names(names: Sequence[str]) -> None:
    """Raise InvalidSpec where two interfaces of a pod would have one name. names: in the order of its networks."""
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidSpec(
                f'two interfaces of the pod are named "{name}"',
                "give one another name",
                where=f"networks[{at}]",
            )


def mac_of(text: str, where: str) -> bytes:
    """The bytes of a MAC address, b"" for "". Raises InvalidSpec naming where."""
    if not text:
        return b""
    parts = text.replace("-", ":").split(":")
    try:
        mac = bytes(int(part, 16) for part in parts if len(part) in (1, 2))
    except ValueError:
        mac = b""
    if len(mac) != _MAC_BYTES or len(parts) != _MAC_BYTES or mac[0] & 1:
        raise InvalidSpec(
            f'"{text}" is not the MAC address of an interface', "write it as 02:00:00:00:00:01", where=where
        )
    return mac


def is_link_name(name: str) -> bool:
    """Whether a link may have a name, in the characters that are common to all tools."""
    return is_made_of(name, ALNUM + "_.-") and name not in (".", "..") and len(name) <= LONGEST_LINK


def _address(text: str, key: str) -> tuple[Address, int | None]:
    return parse_prefixed(text, key) if "/" in text else (Address.parse(text, key), None)


def _gateway(text: str, *, strict: bool) -> Address | None:
    """That of GATEWAY; what a program alone understands is left to it."""
    try:
        return Address.parse(text, GATEWAY) if text else None
    except InvalidSpec:
        if strict:
            raise
        return None


def _if_name(name: str) -> str:
    if name and (name == "lo" or not is_link_name(name)):
        raise InvalidSpec(
            f'"{name}" is not a name for an interface',
            LINK_NAME_HINT,
            where=IF_NAME,
        )
    return name
