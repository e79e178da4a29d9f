# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of requests to Amazon S3, without content: AWS Signature Version 4 in headers. Pure.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header"; behaviours B35.
"""

from __future__ import annotations

import hashlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..host.config import Credentials

_ALGORITHM, _SERVICE, _END = "AWS4-HMAC-SHA256", "s3", "aws4_request"
_EMPTY = hashlib.sha256(b"").hexdigest()
_DEFAULT_REGION = "us-east-1"
_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")


def signed(
    credentials: Credentials, method: str, url: str, now: float, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers that sign a request at a time, in seconds since 1970. more: other headers, which are signed, too."""
    import time
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in (None, 443, 80) else "")
    region = credentials.region or region_of(host.partition(":")[0])
    sent = {"x-amz-date": moment, "x-amz-content-sha256": _EMPTY}
    headers = {"host": host, **sent, **{name.lower(): value.strip() for name, value in (more or {}).items()}}
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join((method, _path(parts.path), _query(parts.query), listed, names, _EMPTY))
    scope = f"{moment[:8]}/{region}/{_SERVICE}/{_END}"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = _mac(_key(credentials.secret_key, moment[:8], region), text).hex()
    value = f"{_ALGORITHM} Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**sent, "Authorization": value}


def region_of(host: str) -> str:
    """The region in the name of a host of Amazon, else the default one.

    BUCKET.s3.REGION.amazonaws.com, s3.REGION.amazonaws.com, and the older s3-REGION.amazonaws.com.
    """
    for suffix in _HOSTS:
        if host.endswith(suffix):
            last = host[: -len(suffix)].rsplit(".", maxsplit=1)[-1]
            if last.startswith("s3-"):
                last = last[len("s3-") :]
            return last if "-" in last and not last.startswith(("s3", "external")) else _DEFAULT_REGION
    return _DEFAULT_REGION


def _path(path: str) -> str:
    """A path, encoded once, as S3 alone has it."""
    from urllib.parse import quote, unquote

    return quote(unquote(path), safe="/-_.~") or "/"


def _query(query: str) -> str:
    from urllib.parse import parse_qsl, quote

    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, _SERVICE, _END):
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    import hmac

    return hmac.new(key, text.encode(), hashlib.sha256).digest()
