# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the interface of a pod may be. Pure.

The apps of a pod share its interfaces, so the smallest limit of them is that of each interface, as that of the pod.
Source: appc spec ace.md, resource/network-bandwidth, bytes a second; containernetworking/plugins bandwidth, bits.
"""

from __future__ import annotations

from ..value import Value

_BYTE = 8
# Of an isolator, which names none: what comes in a tenth of a second, and room for some packets.
_PARTS_OF_SECOND, _LEAST_BURST = 10, 16384 * _BYTE


class Rate(Value):
    """bits a second in the long run, and so many at once. bits 0: no limit."""

    bits: int = 0
    burst: int = 0

    @classmethod
    def of_limit(cls, limit: int, *, in_bits: bool = False) -> Rate:
        """That of an isolator, bytes a second; limit 0: none. in_bits: as releases before 0.12.0 apply it."""
        bits = limit if in_bits else limit * _BYTE
        return cls(bits, max(bits // _PARTS_OF_SECOND, _LEAST_BURST)) if bits else cls()

    def with_limit(self, other: Rate) -> Rate:
        """The stricter of two."""
        return min((each for each in (self, other) if each.bits), key=lambda each: each.bits, default=self)

    @property
    def a_second(self) -> int:
        """Bytes a second."""
        return max(1, self.bits // _BYTE)

    @property
    def at_once(self) -> int:
        """Bytes at once."""
        return self.burst // _BYTE


NO_RATE = Rate()


def runtime_rates(limit: int) -> dict[str, int]:
    """What a program with the capability gets of a limit."""
    rate = Rate.of_limit(limit)
    return {
        "ingressRate": rate.bits,
        "ingressBurst": rate.burst,
        "egressRate": rate.bits,
        "egressBurst": rate.burst,
    }
