# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of appc, as strings that are always valid."""

from __future__ import annotations

from ..errors import InvalidSpec
from .alphabet import ALNUM, DIGITS, HEX, LOWER_ALNUM, is_joined, is_made_of, is_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Several joints in a row are valid, as in appc's own code.
_NAME_JOINTS, _IDENTIFIER_JOINTS = "-", "-._~/"
KEY_PREFIX = "sha512-"
_ID_DIGITS, _FEWEST_DIGITS = 64, 2
# Names become parts of file names, which have at most 255 bytes: pod-NAME.service.d, NAME.pid.0123456789ab.tmp.
LONGEST_NAME = 200
# Bytes of a path. Source: limits.h, PATH_MAX, of which one is the NUL at the end.
LONGEST_PATH = 4095


class ACName(str):
    """A pod, app, volume or port name: lower-case letters and digits, joined by dashes.

    Source: appc/spec schema/types/acname.go, which accepts dashes in a row (behaviours B7).
    """

    def __new__(cls, text: str, where: str = "") -> ACName:
        """Raise InvalidSpec naming where, unless the text is valid."""
        if not is_joined(text, LOWER_ALNUM, _NAME_JOINTS):
            raise InvalidSpec(
                f'"{text}" is not a valid name',
                "use lower-case letters and digits, joined by dashes",
                where=where,
            )
        if len(text) > LONGEST_NAME:
            raise InvalidSpec(
                f'the name "{text[:20]}..." has {len(text)} characters',
                f"use at most {LONGEST_NAME}: names become names of files and units",
                where=where,
            )
        return super().__new__(cls, text)


class ACIdentifier(str):
    """An image, label or annotation name: like ACName, joined by - . _ ~ and /.

    Source: appc/spec schema/types/acidentifier.go (behaviours B7).
    """

    def __new__(cls, text: str, where: str = "") -> ACIdentifier:
        """Raise InvalidSpec naming where, unless the text is valid."""
        if not is_joined(text, LOWER_ALNUM, _IDENTIFIER_JOINTS):
            raise InvalidSpec(
                f'"{text}" is not a valid identifier',
                "use lower-case letters and digits, joined by - . _ ~ and /",
                where=where,
            )
        return super().__new__(cls, text)


class ImageHash(str):
    """The hash that names an image in a manifest: "sha512-" and the first digits of its ID, at least two.

    Source: appc/spec schema/types/hash.go, which requires no length; behaviours B9.
    """

    def __new__(cls, text: str, where: str = "") -> ImageHash:
        """Cut the text to the length of an ID. Raises InvalidSpec naming where."""
        cut = text[: len(KEY_PREFIX) + _ID_DIGITS]
        if _digits_of(cut) < _FEWEST_DIGITS:
            raise InvalidSpec(
                f'"{text}" is not an image ID',
                "an image ID is sha512- and 64 hex digits, or a beginning of them",
                where=where,
            )
        return super().__new__(cls, cut)


class ImageID(ImageHash):
    """The key of an image: "sha512-" and the first 64 hex digits of the SHA-512 of its uncompressed archive."""

    def __new__(cls, text: str, where: str = "") -> ImageID:
        """Cut a full digest of 128 digits to the 64 of an ID. Raises InvalidSpec naming where."""
        cut = text[: len(KEY_PREFIX) + _ID_DIGITS]
        if _digits_of(cut) != _ID_DIGITS:
            raise InvalidSpec(
                f'"{text}" is not an image ID', "an image ID is sha512- and 64 hex digits", where=where
            )
        return str.__new__(cls, cut)

    @classmethod
    def of_digest(cls, hexdigest: str) -> ImageID:
        """The ID of an archive whose SHA-512 is hexdigest."""
        return cls(KEY_PREFIX + hexdigest)


class SemVer(str):
    """A semantic version, such as acVersion."""

    def __new__(cls, text: str, where: str = "") -> SemVer:
        """Raise InvalidSpec naming where, unless the text is valid."""
        if not _is_semver(text):
            raise InvalidSpec(f'"{text}" is not a semantic version', "write it as 1.2.3", where=where)
        return super().__new__(cls, text)


def _digits_of(text: str) -> int:
    """The number of hex digits after the prefix of an image ID; 0 for another text."""
    digits = text[len(KEY_PREFIX) :]
    return len(digits) if text.startswith(KEY_PREFIX) and is_made_of(digits, HEX) else 0


def _is_semver(text: str) -> bool:
    """Whether a text is three numbers, with a suffix after a - or a + or without one."""
    numbers, joint, rest = text.replace("-", "+").partition("+")
    parts = numbers.split(".")
    return (
        len(parts) == len(("major", "minor", "patch"))
        and all(part == "0" or is_word(part, DIGITS, DIGITS[1:]) for part in parts)
        and (not joint or is_made_of(rest, ALNUM + ".+"))
    )


AC_VERSION = SemVer("0.8.11")


def first_repeated(names: Iterable[str]) -> str:
    """The first name that repeats an earlier one, "" if all are unique. In linear time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def acname_from(text: str) -> ACName:
    """The nearest ACName: in lower case, with dashes for other characters, except at the ends.

    A text that is too long is cut, with a hash of the whole at its end, so that different texts stay different.
    """
    spaced = "".join(letter if letter in LOWER_ALNUM else " " for letter in text.lower())
    joined = "-".join(spaced.split())
    if len(joined) > LONGEST_NAME:
        import hashlib

        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        joined = f"{joined[: LONGEST_NAME - 17].strip('-')}-{digest}"
    return ACName(joined)


def acidentifier_from(text: str) -> ACIdentifier:
    """The nearest ACIdentifier: in lower case, with "_" for other characters, without joints at the ends."""
    import re  # for docker's images alone

    cleaned = re.sub(r"[^a-z0-9\-._~/]", "_", text.lower())
    return ACIdentifier(re.sub(r"([-._~/])[-._~/]+", r"\1", cleaned).strip("-._~/"))


def app_name_of(image_name: str) -> ACName:
    """The default name of an app: the last component of its image's name. Source: rkt common/apps."""
    return acname_from(image_name.rsplit("/", 1)[-1])
