# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolators of the kernel's security modules, and profiles of system calls. Few apps have any.

Source: appc schema/types/isolator_linux_specific.go; apparmor(7), selinux(8); docker's profiles, see seccomp.profiles.
"""

from __future__ import annotations

import json

from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

_LONGEST = 4000
_PARTS = ("user", "role", "type", "level")


class SeccompProfile(Value):
    """os/linux/seccomp-profile, not in appc: docker's JSON.

    file: where it was. text: canonical, "" until it is read.
    """

    file: str
    text: str = ""
    name = "os/linux/seccomp-profile"

    @property
    def profile(self) -> object:
        """The profile."""
        found: object = json.loads(self.text)
        return found

    def to_json(self) -> object:
        """The value of the isolator."""
        return {"file": self.file, "profile": self.profile if self.text else None}


class AppArmor(Value):
    """os/linux/apparmor-profile, not in appc: the name of a profile that the host has loaded."""

    profile: str
    name = "os/linux/apparmor-profile"

    def check(self) -> None:
        """Raise InvalidSpec for what cannot be the name of a profile."""
        if not self.profile or len(self.profile) > _LONGEST or not _is_plain(self.profile):
            raise InvalidSpec(
                f'"{self.profile}" is not the name of a profile',
                "aa-status lists those of a host",
                where="value",
            )

    def to_json(self) -> object:
        """The value of the isolator."""
        return self.profile


class SelinuxContext(Value):
    """os/linux/selinux-context."""

    user: str
    role: str
    type: str
    level: str
    name = "os/linux/selinux-context"

    def __str__(self) -> str:
        return f"{self.user}:{self.role}:{self.type}:{self.level}"

    def check(self) -> None:
        """Raise InvalidSpec unless each part is one."""
        for part in _PARTS:
            text = str(getattr(self, part))
            if not text or len(text) > _LONGEST or not _is_plain(text) or (":" in text and part != "level"):
                hint = "write system_u:system_r:container_t:s0"
                raise InvalidSpec(f'"{text}" is not the {part} of a label', hint, where=part)

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {part: getattr(self, part) for part in _PARTS}

    @classmethod
    def parse(cls, text: str, where: str) -> SelinuxContext:
        """Read a label, USER:ROLE:TYPE:LEVEL. Raises InvalidSpec."""
        parts = text.split(":", 3)
        if len(parts) != len(_PARTS):
            hint = "write system_u:system_r:container_t:s0"
            raise InvalidSpec(f'"{text}" is not in USER:ROLE:TYPE:LEVEL format', hint, where=where)
        try:
            return cls(*parts)
        except InvalidSpec as err:
            raise err.at(where) from err


def confinement_of(name: str, fields: Fields) -> SeccompProfile | AppArmor | SelinuxContext:
    """Read the isolator of a name. Raises InvalidSpec with the place."""
    if name == AppArmor.name:
        return fields.made(AppArmor, fields.text("value"))
    members = fields.within("value")
    if name == SelinuxContext.name:
        return members.made(SelinuxContext, *(members.text(part) for part in _PARTS))
    profile = members.raw("profile")
    return members.made(
        SeccompProfile, members.text("file", ""), "" if profile is None else canonical(profile)
    )


def canonical(profile: object) -> str:
    """The one spelling of a profile."""
    return json.dumps(profile, sort_keys=True, separators=(",", ":"))


def _is_plain(text: str) -> bool:
    return text.isprintable() and " " not in text
