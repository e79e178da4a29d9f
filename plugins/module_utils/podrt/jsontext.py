# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as a start reads and writes it: by the C functions that json itself uses, without json's other imports.

Those bring regular expressions and enumerations, and cost a start 4 ms. Errors in a text are reported by json.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SPACE = " \t\n\r"


class _Reading:
    """The attributes of json.JSONDecoder that its scanner reads. Source: json/decoder.py."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_int, parse_float = int, float
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.__getitem__


_scan = make_scanner(_Reading)  # type: ignore[arg-type]  # anything with these attributes


def loads(data: str | bytes) -> object:
    """Like json.loads, with its errors."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
        value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
        if not text[end:].strip(_SPACE):
            found: object = value
            return found
    except (ValueError, StopIteration, SystemError):
        pass  # until json is imported, the scanner of older interpreters has no error to raise
    import json

    found = json.loads(data)
    return found


def dumps(
    value: object,
    *,
    sort_keys: bool = False,
    separators: tuple[str, str] = (", ", ": "),
    ensure_ascii: bool = True,
) -> str:
    """Like json.dumps, with its errors."""
    encode = encode_basestring_ascii if ensure_ascii else encode_basestring
    between, behind = separators
    write = make_encoder({}, _refuse, encode, None, behind, between, sort_keys, False, True)
    return "".join(write(value, 0))


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
