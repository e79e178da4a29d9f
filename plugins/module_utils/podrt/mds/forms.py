# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of a form, of all that Go reads as one, since rkt's service left that to it. Pure.

A body without a type is read too: nothing but a form is asked for. Files of a form are no fields.
Source: Go's net/http, Request.FormValue; RFC 7578; RFC 2046, section 5.1.1.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from .requests import BAD_REQUEST, Refusal, parameters_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .requests import Request

    Field = tuple[str, bytes]

_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# Of a query, and of a body.
_MOST_FIELDS = 16
_LONGEST_BOUNDARY = 70
# Bytes of the headers of a field.
_LONGEST_HEAD = 4 << 10
_LINE, _HEAD_END, _LAST = b"\r\n", b"\r\n\r\n", b"--"


def check_form(request: Request) -> None:
    """Raise Refusal where the head of a request announces no form."""
    if request.media not in ("", _FORM, _MULTIPART):
        raise Refusal(BAD_REQUEST, f"the body has to be {_FORM} or {_MULTIPART}")
    if request.media == _MULTIPART and not 0 < len(request.boundary) <= _LONGEST_BOUNDARY:
        raise Refusal(BAD_REQUEST, "the form has no boundary")


def form_of(request: Request, body: bytes) -> dict[str, bytes]:
    """The fields of a body, and of the query of its request. The first of a name counts. Raises Refusal."""
    query = _pairs(request.query)
    if request.media == _MULTIPART:
        fields = (*query, *(_parts(request.boundary.encode("latin-1"), body) if body else ()))
    else:
        fields = (*_pairs(body.decode("latin-1")), *query)
    return dict(reversed(fields))


def _pairs(text: str) -> tuple[Field, ...]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1", max_num_fields=_MOST_FIELDS)
    except ValueError as err:
        raise _too_many() from err
    return tuple((name, value.encode("latin-1")) for name, value in pairs)


def _parts(boundary: bytes, body: bytes) -> Iterator[Field]:
    """The fields between the boundaries of a body."""
    between = _LINE + _LAST + boundary
    _preamble, *parts = (_LINE + body).split(between, _MOST_FIELDS + 1)
    if len(parts) > _MOST_FIELDS and not parts[-1].startswith(_LAST):
        raise _too_many()
    if not parts or not parts.pop().startswith(_LAST):
        raise Refusal(BAD_REQUEST, "the form does not end with its boundary")
    for part in parts:
        head, _end, content = part.partition(_HEAD_END)
        padding, _line, lines = head.partition(_LINE)
        if padding.strip(b" \t") or len(lines) > _LONGEST_HEAD:
            raise Refusal(BAD_REQUEST, "a field of the form does not begin as one")
        name = _name_in(lines.decode("latin-1"))
        if name:
            yield name, content


def _name_in(lines: str) -> str:
    """The name of a field by the headers of its part, "" for a part of another kind, such as a file."""
    headers = {
        name.strip().lower(): text.strip()
        for name, _colon, text in (line.partition(":") for line in lines.split("\r\n"))
    }
    if headers.get("content-transfer-encoding", "").lower() == "quoted-printable":
        raise Refusal(BAD_REQUEST, "a field of the form is encoded")
    kind, found = parameters_of(headers.get("content-disposition", ""))
    is_file = not found.keys().isdisjoint(("filename", "filename*"))
    return "" if kind != "form-data" or is_file else found.get("name", "")


def _too_many() -> Refusal:
    return Refusal(BAD_REQUEST, "the form has too many fields")
