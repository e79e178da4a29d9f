# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin bandwidth, which limits rates of the interface. Pure. Source: containernetworking/plugins bandwidth."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..rates import NO_RATE, Rate
from .shared import beyond

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...fields import Fields
    from ..place import LinkOptions, Place
    from ..result import NetResult
    from ..steps import NetStep

_BEYOND = ("shapedSubnets", "unshapedSubnets")


class Bandwidth(Value):
    """Rates. ingress: of what the pod receives, egress: of what it sends. beyond: see shared."""

    ingress: Rate = NO_RATE
    egress: Rate = NO_RATE
    beyond: tuple[str, ...] = ()

    @classmethod
    def from_fields(cls, fields: Fields) -> Bandwidth:
        """Read ingressRate, ingressBurst, egressRate and egressBurst, in bits. Raises InvalidSpec with the place."""
        return cls(_rate(fields, "ingress"), _rate(fields, "egress"), beyond(fields, _BEYOND))

    def steps(self, _options: LinkOptions, _place: Place) -> Iterator[NetStep]:
        """None: rates are limited once all plugins have added the pod, see rates."""
        yield from ()

    def result(self, before: NetResult, _place: Place, _sandbox: str) -> NetResult:
        """The same."""
        return before


def _rate(fields: Fields, way: str) -> Rate:
    bits, burst = (fields.integer(f"{way}{what}", 0) for what in ("Rate", "Burst"))
    for name, number, other in (("Rate", bits, burst), ("Burst", burst, bits)):
        if number < 0 or (other and not number):
            raise InvalidSpec(
                f"{number} is no number of bits",
                f"give {way}Rate and {way}Burst, or neither",
                where=fields.where_of(f"{way}{name}"),
            )
    return Rate(bits, burst)
