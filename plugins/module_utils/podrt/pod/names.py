# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod may be called. Apps, volumes and ports have appc's stricter names; a pod's is ours alone."""

from __future__ import annotations

import re

from ..appc.names import LONGEST_NAME
from ..errors import InvalidSpec

# A name becomes part of names of files and units: none begins with a dot or a dash, or holds a slash.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Of files that are being written, see host.files.write_atomically.
_ASIDE = ".tmp"


class PodName(str):
    """The name of a pod: letters, digits, dots, dashes and underscores, the first a letter or a digit."""

    def __new__(cls, text: str, where: str = "") -> PodName:
        """Raises InvalidSpec naming where."""
        if not _NAME.fullmatch(text):
            raise InvalidSpec(
                f'"{text}" is not a valid name of a pod',
                "use letters, digits, dots, dashes and underscores, beginning with a letter or a digit",
                where=where,
            )
        if is_uuid(text):
            raise InvalidSpec(f'"{text}" is a UUID', "choose a name that is none", where=where)
        if text.endswith(_ASIDE):
            raise InvalidSpec(
                f'the name "{text}" ends in {_ASIDE}, as files do that are being written',
                "choose another ending",
                where=where,
            )
        if len(text) > LONGEST_NAME:
            raise InvalidSpec(
                f'the name "{text[:20]}..." has {len(text)} characters',
                f"use at most {LONGEST_NAME}: names become names of files and units",
                where=where,
            )
        return super().__new__(cls, text)


def is_uuid(text: str) -> bool:
    """Whether a text is a whole UUID, as rkt writes one, in either case."""
    return bool(_UUID.fullmatch(text))
