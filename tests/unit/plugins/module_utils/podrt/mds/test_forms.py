# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Forms: what is read as one, and what is refused."""

from __future__ import annotations

import pytest
from urllib3.filepost import encode_multipart_formdata

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.forms import check_form, form_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.requests import Refusal, request_of

PARTED = "multipart/form-data; boundary=b"
FIELD = b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n'
END = b"\r\n--b--\r\n"


def fields(body: bytes, media: str | None = None, query: str = "") -> dict[str, bytes]:
    """The fields of a request, as the service reads it. Raises Refusal."""
    lines = [f"POST /{query} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}"]
    lines += [] if media is None else [f"Content-Type: {media}"]
    request = request_of("\r\n".join((*lines, "", "")).encode("latin-1"))
    check_form(request)
    return form_of(request, body)


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    "media",
    [
        None,
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "Application/X-WWW-Form-Urlencoded;charset=UTF-8",
    ],
)
def test_a_body_of_pairs_is_a_form(media: str | None) -> None:
    assert fields(b"content=a+b%00&content=c&uuid=", media) == {"content": b"a b\0", "uuid": b""}


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    "content", [b"x", b"", b"a=b&c", b"\r\n", b"--b", bytes(range(256)), b"x" * (1 << 20)], ids=len
)
def test_a_form_in_parts_is_what_a_client_has_sent(content: bytes) -> None:
    sent = {"content": content, "uuid": b"u", "file": ("name.txt", b"is no field")}
    body, media = encode_multipart_formdata(sent)
    assert fields(body, media) == {"content": content, "uuid": b"u"}


@pytest.mark.behaviour("F4")
def test_fields_of_the_query_are_behind_those_of_pairs_and_before_those_in_parts() -> None:
    """Source: Go's net/http, Request.FormValue, its order."""
    assert fields(b"", query="?content=x%20y") == {"content": b"x y"}
    assert fields(b"", PARTED, "?content=x") == {"content": b"x"}
    for body, media, first in ((b"content=1", None, b"1"), (FIELD + b"1" + END, PARTED, b"2")):
        assert fields(body, media, "?content=2&uuid=3") == {"content": first, "uuid": b"3"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"what is before\r\n" + FIELD + b"x" + END + b"what is after", id="around it"),
        pytest.param(FIELD.replace(b"--b\r", b"--b \t\r") + b"x" + END, id="blanks behind a boundary"),
        pytest.param(FIELD + b"x\r\n" + FIELD + b"y" + END, id="twice"),
        pytest.param(
            FIELD.replace(b"Content-Disposition: f", b"content-disposition:f") + b"x" + END, id="case"
        ),
        pytest.param(b"--b\r\n\r\nno name\r\n" + FIELD + b"x" + END, id="without headers"),
        pytest.param(
            b"--b\r\nContent-Disposition: attachment; name=content\r\n\r\ny\r\n" + FIELD + b"x" + END,
            id="no field",
        ),
    ],
)
@pytest.mark.parametrize("media", [PARTED, 'Multipart/Form-Data; charset=x; Boundary="b"'])
def test_parts_are_found(body: bytes, media: str) -> None:
    assert fields(body, media) == {"content": b"x"}


@pytest.mark.parametrize(
    ("body", "media"),
    [
        pytest.param(b"content=x", "text/plain", id="another type"),
        pytest.param(FIELD + b"x" + END, "multipart/mixed; boundary=b", id="other parts"),
        pytest.param(FIELD + b"x" + END, "multipart/form-data", id="no boundary"),
        pytest.param(FIELD + b"x" + END, 'multipart/form-data; boundary=""', id="an empty boundary"),
        pytest.param(FIELD + b"x" + END, f"multipart/form-data; boundary={'b' * 71}", id="a long boundary"),
        pytest.param(FIELD + b"x" + END, "multipart/form-data; boundary=c", id="another boundary"),
        pytest.param(FIELD + b"x", PARTED, id="no end"),
        pytest.param(FIELD + b"x\r\n--bc\r\n" + END, PARTED, id="a boundary that goes on"),
        pytest.param((FIELD + b"x\r\n") * 17 + END, PARTED, id="many parts"),
        pytest.param(b"&".join([b"a=b"] * 17), None, id="many pairs"),
        pytest.param(FIELD[:-2] + b"a: " + b"x" * 4096 + b"\r\n\r\nx" + END, PARTED, id="a long head"),
        pytest.param(
            FIELD[:-2] + b"Content-Transfer-Encoding: quoted-printable\r\n\r\nx" + END, PARTED, id="encoded"
        ),
    ],
)
def test_what_is_refused(body: bytes, media: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        fields(body, media)
    assert refused.value.status == 400


def test_there_may_be_sixteen_fields() -> None:
    names = [f"n{number}" for number in range(16)]
    body, media = encode_multipart_formdata({name: b"x" for name in names})
    assert fields(body, media) == dict.fromkeys(names, b"x")
    assert fields("&".join(f"{name}=x" for name in names).encode()) == dict.fromkeys(names, b"x")
