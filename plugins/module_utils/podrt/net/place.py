# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's place in a network, and what any interface there may be like. Pure."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .netargs import NetArgs
from .result import NO_RESULT, NetResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .ranges import Assigned

_HOST_IF_PREFIX, _SHAPER_PREFIX = "veth", "ifb"
_UUID_DIGITS = 10
_INDEX_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class LinkOptions(Value):
    """Members of a configuration that any type has. mtu 0: the kernel's default.

    accept_ra, accept_redirects: whether a pod accepts router advertisements and redirects from the network; not members
    of CNI. The host never accepts them.
    """

    mtu: int = 0
    accept_ra: bool = False
    accept_redirects: bool = False


class Place(Value):
    """Where a pod joins a network: the names of its interface inside and on the host. given: addresses and routes.

    args: what the pod asks for.
    """

    uuid: str
    index: int
    given: NetResult = NO_RESULT
    args: NetArgs = NetArgs()

    def check(self) -> None:
        """Raise InvalidSpec for more networks than the names of interfaces have room for."""
        if self.index >= len(_INDEX_DIGITS):
            raise InvalidSpec(f"a pod can join {len(_INDEX_DIGITS)} networks at most", where="networks")

    @property
    def addresses(self) -> tuple[Assigned, ...]:
        """The addresses of the interface."""
        return self.given.ips

    @property
    def if_name(self) -> str:
        """The interface inside: eth0, eth1, ... or the one that the pod asks for."""
        return self.args.if_name or f"eth{self.index}"

    @property
    def host_if(self) -> str:
        """The interface on the host, named so that it can be found without any record."""
        return host_if_prefix(self.uuid) + _INDEX_DIGITS[self.index]

    @property
    def macs(self) -> tuple[bytes, bytes]:
        """The MAC addresses of the host's end and of the pod's, locally administered, from the UUID."""
        seed = bytes.fromhex(_hex_of(self.uuid)[-8:])
        inside = self.args.mac or bytes((0x0A, 0x5A)) + _mixed(seed, self.index)
        return bytes((0x0A, 0x59)) + _mixed(seed, self.index), inside


def host_if_prefix(uuid: str) -> str:
    """The prefix of the names of a pod's interfaces on the host; one character follows."""
    return _HOST_IF_PREFIX + _hex_of(uuid)[:_UUID_DIGITS]


def shaper_prefix(uuid: str) -> str:
    """The same for the interfaces where what a pod sends waits, see shapes."""
    return _SHAPER_PREFIX + _hex_of(uuid)[:_UUID_DIGITS]


def shaper_name(uuid: str, index: int) -> str:
    """That of a pod's interface."""
    return shaper_prefix(uuid) + _INDEX_DIGITS[index]


def _hex_of(uuid: str) -> str:
    return uuid.replace("-", "").lower()


def _mixed(seed: bytes, index: int) -> bytes:
    return bytes(((seed[0] + index) & 0xFF, *seed[1:]))
