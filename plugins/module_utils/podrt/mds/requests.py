# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The heads of HTTP requests, read strictly: what is not exactly as RFC 9112 has it is refused. Pure.

Only what the service needs: no chunked bodies, no folded lines, no absolute targets, and lines end in CR LF.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from ..appc.alphabet import ALNUM, UPPER, is_made_of
from ..host.reading import decimal
from ..value import Value

# Bytes of a head with the empty line at its end.
LONGEST_HEAD = 16 << 10
_MOST_HEADERS = 100
_LONGEST_METHOD = 16
_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")
_NAME = ALNUM + "!#$%&'*+-.^_`|~"
_PARAMETER = re.compile(r';[ \t]*([^\s;="]+)=("(?:[^"\\]|\\.)*"|[^\s;"]*)')
BAD_REQUEST, TOO_LARGE, NOT_IMPLEMENTED = 400, 413, 501


class Refusal(Exception):
    """A request that is refused. status, text: of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Request(Value):
    """A request without its body. target: as it came, printable ASCII. parts: its path, decoded, between slashes.

    length: bytes of the body. media: its type. boundary: what parts it, in latin-1. keeps: whether the connection
    stays after the answer. waits: whether the client sends the body only when it is asked to go on.
    """

    method: str
    target: str
    parts: tuple[str, ...]
    query: str
    length: int = 0
    media: str = ""
    boundary: str = ""
    keeps: bool = False
    waits: bool = False


def request_of(head: bytes) -> Request:
    """Read a head that ends with an empty line. Raises Refusal."""
    first, *lines = head[:-4].split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in _VERSIONS:
        raise Refusal(BAD_REQUEST, "no request line of HTTP/1.1")
    method, target = (word.decode("ascii", "replace") for word in words[:2])
    if len(method) > _LONGEST_METHOD or not is_made_of(method, UPPER):
        raise Refusal(BAD_REQUEST, "no method")
    if not all("!" <= character <= "~" for character in target):  # it comes into the log
        raise Refusal(BAD_REQUEST, "no target")
    headers, is_new = _headers(lines), words[2] == b"HTTP/1.1"
    if is_new and "host" not in headers:
        raise Refusal(BAD_REQUEST, "no host")
    path, _mark, query = target.partition("?")
    media, parameters = parameters_of(headers.get("content-type", ""))
    connection = [word.strip() for word in headers.get("connection", "").lower().split(",")]
    return Request(
        method,
        target,
        _parts(path),
        query,
        _length(headers),
        media,
        parameters.get("boundary", ""),
        "close" not in connection if is_new else "keep-alive" in connection,
        is_new and headers.get("expect", "").lower() == "100-continue",
    )


def parameters_of(text: str) -> tuple[str, dict[str, str]]:
    """The value of a header in lower case, and its parameters, such as those of text/plain; charset=utf-8."""
    value = text.partition(";")[0].strip().lower()
    return value, {name.lower(): held.strip('"') for name, held in _PARAMETER.findall(text)}


def _headers(lines: list[bytes]) -> dict[str, str]:
    """The headers by their names in lower case. Raises Refusal."""
    if len(lines) > _MOST_HEADERS:
        raise Refusal(BAD_REQUEST, "too many headers")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not is_made_of(name, _NAME):
            raise Refusal(BAD_REQUEST, "a line is no header")
        text = value.strip(" \t")
        if any(character < " " and character != "\t" for character in text):
            raise Refusal(BAD_REQUEST, "a header has control characters")
        known = name.lower()
        if known in found and known in ("content-length", "host"):
            raise Refusal(BAD_REQUEST, f"{known} is given twice")
        found[known] = f"{found[known]}, {text}" if known in found else text
    return found


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Refusal(NOT_IMPLEMENTED, "a body needs a length")
    length = decimal(headers.get("content-length", "0"))
    if length is None:
        raise Refusal(BAD_REQUEST, "no length")
    return length


def _parts(path: str) -> tuple[str, ...]:
    """The parts of an absolute path. Raises Refusal."""
    if not path.startswith("/"):
        raise Refusal(BAD_REQUEST, "no path")
    try:
        return tuple(unquote_to_bytes(part).decode() for part in path[1:].split("/"))
    except UnicodeDecodeError as err:
        raise Refusal(BAD_REQUEST, "the path is not UTF-8") from err
