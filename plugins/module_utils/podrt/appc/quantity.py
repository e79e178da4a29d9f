# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource quantities: 750m, 128M, 123Mi, 1.5G. Source: appc schema/types/resource, k8s resource.Quantity."""

from __future__ import annotations

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from ..fields import Fields

_QUANTITY = r"([+-]?)([0-9]+)(?:\.([0-9]*))?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?"
_SUFFIXES: dict[str, int] = {
    "": 1000,
    "m": 1,
    **{suffix: 1000 ** (n + 2) for n, suffix in enumerate("kMGTPE")},
    **{suffix + "i": 1000 * 1024 ** (n + 1) for n, suffix in enumerate("KMGTPE")},
}
_DOCKER_UNITS = "kKmMgGtTpP"
_DOCKER = rf"([0-9]+(?:\.[0-9]*)?) ?([bB{_DOCKER_UNITS}])(?:i?[bB])?"
_SIZE = r"([0-9]+)(?:\.([0-9]+))? ?(?:([kmgtp])i?)?b?"
_LONGEST = 40  # more digits mean nothing but work, and Python reads at most 4300
_HINT = (
    "write a number with an optional suffix: m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei (128M, 64Mi, 750m)"
)


def parse_millis(text: str, where: str = "") -> int:
    """A quantity in thousandths, rounded up, as for CPU time. Raises InvalidSpec."""
    match = _match(_QUANTITY, text)
    if not match or match[1] == "-":
        raise InvalidSpec(f'"{text}" is not a quantity', _HINT, where=where)
    whole, fraction, suffix = match[2], match[3] or "", match[4] or ""
    scale = _SUFFIXES.get(suffix, 0)
    divisor: int = 10 ** len(fraction)
    if not scale:
        exponent = int(suffix[1:])
        if abs(exponent) > 30:
            raise InvalidSpec(f'"{text}" is out of range', _HINT, where=where)
        power: int = 10 ** abs(exponent)
        scale, divisor = (1000 * power, divisor) if exponent > 0 else (1000, divisor * power)
    return -(-int(whole + fraction) * scale // divisor)


def parse_units(text: str, where: str = "") -> int:
    """A quantity in whole units (bytes), rounded up. Raises InvalidSpec."""
    return -(-parse_millis(text, where) // 1000)


def parse_bytes(text: str, where: str = "") -> int:
    """A number of bytes in appc's spelling. Raises InvalidSpec, with the right spelling for one of Docker's."""
    foreign = _match(_DOCKER, text)
    number, unit = (foreign[1], foreign[2]) if foreign else ("", "")
    if unit == "m":
        raise InvalidSpec(
            f'"{text}": m means thousandths here', f"write {number}M or {number}Mi", where=where
        )
    try:
        return parse_units(text, where)
    except InvalidSpec as err:
        if not foreign:
            raise
        small = "k" if unit in "kK" else unit.upper()
        right = f"{number}{small} or {number}{unit.upper()}i" if unit in _DOCKER_UNITS else number
        raise InvalidSpec(err.reason, f"write {right}", where=where) from err


def parse_size(text: str, where: str = "") -> int:
    """A number of bytes in Docker's spelling, for options that rkt lacked: 10m, 10M, 10mb and 10MiB are ten mebibytes.

    Raises InvalidSpec. Source: docker/go-units RAMInBytes.
    """
    match = _match(f"(?ai:{_SIZE})", text)
    if not match:
        raise InvalidSpec(f'"{text}" is not a size', "write a number of bytes, or 512k, 10m, 1g", where=where)
    fraction = match[2] or ""
    scale: int = 1024 ** (1 + "kmgtp".index(match[3].lower())) if match[3] else 1
    divisor: int = 10 ** len(fraction)
    return -(-int(match[1] + fraction) * scale // divisor)


def limit_of(members: Fields, parse: Callable[[str, str], int]) -> int:
    """The limit of an appc resource, without one its request. Raises InvalidSpec with the place."""
    name = "limit" if members.has("limit") else "request"
    value = members.raw(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidSpec("expected a quantity", where=members.where_of("limit"))
    return parse(str(value), members.where_of(name))


def format_millis(millis: int) -> str:
    """The shortest spelling of a number of thousandths: 750m, 2."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def format_bytes(count: int) -> str:
    """The shortest exact spelling of a number of bytes: 128M, 64Mi, 4097."""
    binary = [(suffix + "i", 1024 ** (n + 1)) for n, suffix in enumerate("KMGTPE")]
    decimal = [(suffix, 1000 ** (n + 1)) for n, suffix in enumerate("kMGTPE")]
    exact = [
        f"{count // size}{suffix}" for suffix, size in (*decimal, *binary) if count and count % size == 0
    ]
    return min((str(count), *exact), key=len)


def _match(pattern: str, text: str) -> re.Match[str] | None:
    import re  # most pods have no quantities

    return re.fullmatch(pattern, text.strip()) if len(text) <= _LONGEST else None
