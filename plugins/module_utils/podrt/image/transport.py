# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP, and nothing above it: the only file that knows requests.

requests is imported when the first request is made, since that takes 100 ms. Source: behaviours B18, B19, B21.
"""

from __future__ import annotations

import os
import time

from ..errors import InvalidSpec, Unreachable, Unsupported
from ..value import Value
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from .policy import FetchPolicy

    Credentials = Callable[[str], "tuple[str, str] | None"]

USER_AGENT = "rkt/1.30.0 (podctl)"
MAX_REDIRECTS = 10
MAX_DOCUMENT = 16 << 20
_CHUNK = 256 * 1024
_TIMEOUTS = (15, 60)
# How long to wait before each try to take up a broken connection.
_PAUSES = (0.1, 0.5, 2.0, 5.0)
_LOOPBACK = ("localhost", "::1")
# What the host trusts, which its administrator may have added to; else requests brings certificates of its own.
_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class Answer(Value):
    """What a server said. headers: by lower-case name. body: empty for HEAD and for streams."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header, empty when there is none."""
        return dict(self.headers).get(name, "")


class Transport:
    """One session with connections that are used again. Threads may share it. Raises Unreachable."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._session: requests.Session | None = None

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Fetch a document of bounded size, whatever the status is."""
        with self._send("GET", url, headers) as response:
            body = b""
            for chunk in _chunks(response, url):
                body += chunk
                if len(body) > MAX_DOCUMENT:
                    raise Unreachable(
                        f"cannot fetch {shown(url)}: the answer is larger than {MAX_DOCUMENT} bytes"
                    )
            return _answer(response, body)

    def head(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The status and the headers alone."""
        with self._send("HEAD", url, headers) as response:
            return _answer(response, b"")

    def stream(
        self, url: str, headers: Mapping[str, str], accept: Callable[[Answer], None]
    ) -> Iterator[bytes]:
        """A body of any size. accept sees status and headers before, and may raise.

        A connection that breaks is taken up again where it broke, if the server can.
        """
        seen, validator, tries = 0, "", 0
        while True:
            try:
                with self._send("GET", url, _resuming(headers, seen, validator)) as response:
                    if seen:
                        _check_resumed(response, url, seen)
                    else:
                        answer = _answer(response, b"")
                        accept(answer)
                        validator = _strong_validator(answer)
                    for chunk in _chunks(response, url):
                        seen += len(chunk)
                        yield chunk
                return
            except _CannotResume:
                raise
            except Unreachable:
                if not seen or tries == len(_PAUSES):
                    raise
                time.sleep(_PAUSES[tries])
                tries += 1

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> requests.Response:
        if self._session is None:
            self._session = _session(self._policy)
        import requests

        local = is_loopback(url)
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                stream=True,
                timeout=_TIMEOUTS,
                allow_redirects=True,
                verify=None if not self._policy.waives("tls") else False,
                proxies={"http": "", "https": "", "all": ""} if local else None,
            )
        except requests.TooManyRedirects as err:
            raise _broken(url, f"more than {MAX_REDIRECTS} redirects") from err
        except requests.exceptions.SSLError as err:
            raise _tls_failure(url, _reason(err)) from err
        except requests.exceptions.ConnectionError as err:
            raise _broken(url, _reason(err)) from err
        except (requests.RequestException, ValueError) as err:
            raise _broken(url, str(err)) from err


class BadCertificate(Unreachable):
    """The server speaks TLS, but its certificate is not trusted."""


class _CannotResume(Unreachable):
    """The server has nothing to go on with."""


def is_loopback(url: str) -> bool:
    """Whether a URL, or an authority such as host:port, is on this machine."""
    host = host_of(url)
    return host in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


def host_of(url: str) -> str:
    """The host of a URL or of an authority, without user, port and brackets; "" where that is open to dispute."""
    from urllib.parse import urlsplit

    if "\\" in url:  # some take it for a slash, some for a letter of the user
        return ""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def refuse_plain_http(url: str, policy: FetchPolicy) -> None:
    """Raise unless a URL is safe to ask: TLS, this machine, or waived by "http"."""
    if url.startswith("https://") or is_loopback(url) or policy.waives("http"):
        return
    raise InvalidSpec(
        f"refusing to fetch {shown(url)} over plain http", "use https, or --insecure-options=http"
    )


def bad_status(url: str, status: int) -> Unreachable:
    """The error for a status that was not asked for (B19)."""
    hint = "check the credentials for this host in auth.d" if status in (401, 403) else ""
    return Unreachable(
        f"cannot fetch {shown(url)}: bad HTTP status code: {status}", hint, url=shown(url), status=status
    )


def _session(policy: FetchPolicy) -> requests.Session:
    try:
        import requests
    except ImportError as err:
        raise Unsupported(
            f"fetching needs the Python library requests: {err}",
            "it travels with the runtime: install that again with the module pod_runtime, in a checkout by make venv",
        ) from err

    class Session(requests.Session):
        def rebuild_auth(
            self, prepared_request: requests.PreparedRequest, response: requests.Response
        ) -> None:
            """Before a redirect is followed: credentials are for one host. requests would look into a .netrc, too."""
            headers = prepared_request.headers
            old, new = response.request.url, prepared_request.url
            if self.should_strip_auth(old, new):  # type: ignore[no-untyped-call]
                headers.pop("Authorization", None)

    session = Session()
    session.max_redirects = MAX_REDIRECTS
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    # Without this, requests would send what a .netrc has for the host.
    session.auth = _as_it_is
    session.verify = next((path for path in _ROOTS if os.path.isfile(path)), True)
    session.hooks["response"].append(lambda response, **_options: _check_redirect(response, policy))
    if policy.waives("tls"):
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _check_redirect(response: requests.Response, policy: FetchPolicy) -> None:
    """A redirect must not lead to plain http, but on this machine."""
    if response.is_redirect:
        from urllib.parse import urljoin

        refuse_plain_http(urljoin(response.url, response.headers["location"]), policy)


def _resuming(headers: Mapping[str, str], seen: int, validator: str) -> Mapping[str, str]:
    """The headers that ask for what is left; validator: what the server said of the content, "" for nothing."""
    if not seen:
        return headers
    return {**headers, "Range": f"bytes={seen}-", **({"If-Range": validator} if validator else {})}


def _strong_validator(answer: Answer) -> str:
    """What If-Range may say: a weak ETag does not vouch for every byte."""
    etag = answer.header("etag")
    return etag if etag and not etag.startswith("W/") else answer.header("last-modified")


def _check_resumed(response: requests.Response, url: str, seen: int) -> None:
    said = response.headers.get("content-range", "")
    if response.status_code != 206 or not said.startswith(f"bytes {seen}-"):
        raise _CannotResume(
            f"cannot fetch {shown(url)}: the connection broke, and the server cannot resume",
            "try again",
            url=shown(url),
        )


def _chunks(response: requests.Response, url: str) -> Iterator[bytes]:
    import requests
    import urllib3

    try:
        while True:
            chunk: bytes = response.raw.read(_CHUNK, decode_content=False)
            if not chunk:
                return
            yield chunk
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as err:
        raise _broken(url, _reason(err)) from err


def _answer(response: requests.Response, body: bytes) -> Answer:
    headers = tuple((name.lower(), value) for name, value in response.headers.items())
    return Answer(response.status_code, headers, body)


def _broken(url: str, reason: str) -> Unreachable:
    return Unreachable(
        f"cannot fetch {shown(url)}: {reason}", "check the network and the name of the host", url=shown(url)
    )


def _tls_failure(url: str, reason: str) -> Unreachable:
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return _broken(url, reason)
    return BadCertificate(
        f"cannot fetch {shown(url)}: {reason}",
        "check its certificate, or have the host trust who signed it",
        url=shown(url),
    )


def _reason(err: Exception) -> str:
    """The innermost reason; the outer ones wrap it in representations of objects."""
    inner: object = err
    while isinstance(inner, Exception):
        deeper = getattr(inner, "reason", None) or next(
            (arg for arg in inner.args if isinstance(arg, Exception)), None
        )
        if not isinstance(deeper, Exception):
            break
        inner = deeper
    text = str(inner)
    return text.rpartition(">: ")[2] or text
