# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time zone of an app: a file of the host at its /etc/localtime. Source: tzfile(5), podman run --tz."""

from __future__ import annotations

import os

from ..appc.alphabet import DIGITS, LOWER, UPPER, is_made_of
from ..errors import InvalidSpec, NotFound
from .runspec import TIMEZONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest

# The zone of the host.
LOCAL = "local"
_ZONES, _OF_HOST = "/usr/share/zoneinfo", "/etc/localtime"
_LONGEST = 100


def check_zone(name: str, where: str) -> None:
    """Raise InvalidSpec for what cannot be the name of a time zone."""
    parts = name.split("/")
    plain = is_made_of(name, LOWER + UPPER + DIGITS + "_+-/") and len(name) <= _LONGEST
    if not plain or not all(parts):
        raise InvalidSpec(f'"{name}" is not a time zone', f"write Europe/Berlin, or {LOCAL}", where=where)


def zone_file(name: str) -> str:
    """The file of the host for a zone. Raises InvalidSpec. Pure."""
    check_zone(name, f"annotations[{TIMEZONE}]")
    return _OF_HOST if name == LOCAL else f"{_ZONES}/{name}"


def check_zones(manifest: PodManifest) -> None:
    """Raise NotFound unless the host has the zones of all apps."""
    for at, app in enumerate(manifest.apps):
        name = app.annotations.get(TIMEZONE)
        if name and not os.path.isfile(zone_file(name)):
            raise NotFound(
                f'this host has no time zone "{name}": there is no file {zone_file(name)}',
                "install the host's tzdata, or take timezone out",
                where=f"apps[{at}].timezone",
            )
