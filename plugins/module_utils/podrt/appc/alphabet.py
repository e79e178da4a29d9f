# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The characters of names. Pure.

Names that every start and every task checks are checked by this, not by regular expressions: compiling one costs 0.1 to
0.5 ms, more than all names of a pod together.
"""

from __future__ import annotations

from ..errors import InvalidSpec

DIGITS = "0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = LOWER.upper()
LETTERS = LOWER + UPPER
ALNUM = LETTERS + DIGITS
LOWER_ALNUM = LOWER + DIGITS
HEX = DIGITS + "abcdef"


def check_single_word(text: str, where: str) -> None:
    """Raise InvalidSpec for what would be more than one word of a line of resolv.conf or hosts, or another line."""
    if text.split() != [text] or not text.isprintable() or "#" in text or ";" in text:
        raise InvalidSpec(
            f"{text!r} is not one word", "use no blanks, no line breaks and neither # nor ;", where=where
        )


def is_made_of(text: str, alphabet: str) -> bool:
    """Whether a text is not empty and has only characters of an alphabet."""
    return bool(text) and not text.strip(alphabet)


def is_word(text: str, alphabet: str, first: str) -> bool:
    """Whether a text is made of an alphabet, and begins with a character of a smaller one."""
    return is_made_of(text, alphabet) and text[0] in first


def is_joined(text: str, alphabet: str, joints: str) -> bool:
    """Whether a text is made of an alphabet and, except at its ends, of joints, also several in a row."""
    return is_word(text, alphabet + joints, alphabet) and text[-1] in alphabet
