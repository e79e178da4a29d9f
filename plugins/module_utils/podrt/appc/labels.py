# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and annotations: ordered pairs of a name and a text."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .names import ACIdentifier

# Source: appc schema/types/labels.go ValidOSArch.
VALID_ARCHES = (
    "amd64",
    "i386",
    "aarch64",
    "aarch64_be",
    "armv6l",
    "armv7l",
    "armv7b",
    "ppc64le",
    "s390x",
    "riscv64",
)


class Labels(Value):
    """Pairs of (name, text), each name once, sorted by name. Annotations have the same shape."""

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, **pairs: str) -> Labels:
        """Labels from keywords: Labels.of(os="linux")."""
        return cls(tuple(sorted(pairs.items())))

    @classmethod
    def from_json(cls, fields: Fields, name: str) -> Labels:
        """Read the member name of an object: a list of {name, value}. Raises InvalidSpec with the place."""
        labels: dict[str, str] = {}
        for element, where in fields.items(name):
            pair = Fields(element, where)
            key = ACIdentifier(pair.text("name"), pair.where_of("name"))
            if key in labels:
                raise InvalidSpec(f'"{key}" is given twice', where=pair.where_of("name"))
            labels[key] = pair.text("value")
        return cls(tuple(sorted(labels.items())))

    def to_json(self) -> list[dict[str, str]]:
        """The appc list of {name, value}."""
        return [{"name": name, "value": value} for name, value in self.pairs]

    def get(self, name: str) -> str | None:
        """The text of a label, None if it is absent."""
        return dict(self.pairs).get(name)

    def merged(self, other: Labels) -> Labels:
        """These labels, overridden by those of other."""
        return Labels(tuple(sorted({**dict(self.pairs), **dict(other.pairs)}.items())))


def check_platform(labels: Labels) -> None:
    """Raise InvalidSpec unless the labels name a supported platform. Source: rkt stage0 (behaviours B53)."""
    os_label, arch = labels.get("os"), labels.get("arch")
    if os_label is None:
        raise InvalidSpec("missing os label in the image manifest")
    if arch is None:
        raise InvalidSpec("missing arch label in the image manifest")
    if os_label != "linux":
        raise InvalidSpec(f'bad os "{os_label}" (must be one of: [linux])')
    if arch not in VALID_ARCHES:
        raise InvalidSpec(f'bad arch "{arch}" for linux (must be one of: [{" ".join(VALID_ARCHES)}])')
