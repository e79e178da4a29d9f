# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of pods. Apps, volumes and ports have appc's stricter names; those of pods are ours alone."""

from __future__ import annotations

from ..appc.alphabet import ALNUM, HEX, is_made_of, is_word
from ..appc.names import LONGEST_NAME
from ..errors import InvalidSpec

# A name becomes part of the names of files and units: it must not begin with a dot or a dash, or contain a slash.
NAME = ALNUM + "_.-"
_UUID_GROUPS = [8, 4, 4, 4, 12]
# The suffix of files that are being written, see host.files.write_atomically.
_ASIDE = ".tmp"


class PodName(str):
    """The name of a pod: letters, digits, dots, dashes and underscores, the first a letter or a digit."""

    def __new__(cls, text: str, where: str = "") -> PodName:
        """Raise InvalidSpec naming where, unless the text is a valid name."""
        if not is_word(text, NAME, ALNUM):
            raise InvalidSpec(
                f'"{text}" is not a valid name of a pod',
                "use letters, digits, dots, dashes and underscores, beginning with a letter or a digit",
                where=where,
            )
        if is_uuid(text):
            raise InvalidSpec(f'"{text}" is a UUID', "choose another name", where=where)
        if text.endswith(_ASIDE):
            raise InvalidSpec(
                f'the name "{text}" ends in {_ASIDE}, the suffix of files that are being written',
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
    """Whether a text is a whole UUID in rkt's form, in either case."""
    groups = text.split("-")
    return [len(group) for group in groups] == _UUID_GROUPS and is_made_of("".join(groups).lower(), HEX)
