# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP, and nothing above it: the only file that knows requests.

requests is imported when the first request is made, since that takes 100 ms. Source: behaviours B18, B19, B21.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unreachable, Unsupported
from ..value import Value

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
_RESUMES = 4
_LOOPBACK = ("localhost", "::1", "[::1]")


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
        seen, etag, tries = 0, "", 0
        while True:
            asked = (
                {**headers, "Range": f"bytes={seen}-", **({"If-Range": etag} if etag else {})}
                if seen
                else headers
            )
            with self._send("GET", url, asked) as response:
                if not seen:
                    answer = _answer(response, b"")
                    accept(answer)
                    etag = answer.header("etag")
                elif response.status_code != 206:
                    raise _broken(url, "the connection broke, and the server cannot resume")
                try:
                    for chunk in _chunks(response, url):
                        seen += len(chunk)
                        yield chunk
                    return
                except Unreachable:
                    tries += 1
                    if tries > _RESUMES or not seen:
                        raise

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> requests.Response:
        import requests

        if self._session is None:
            self._session = _session(self._policy)
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
            raise TLSFailure(f"cannot fetch {shown(url)}: {_reason(err)}", "check its certificate") from err
        except requests.exceptions.ConnectionError as err:
            raise _broken(url, _reason(err)) from err
        except (requests.RequestException, ValueError) as err:
            raise _broken(url, str(err)) from err


class TLSFailure(Unreachable):
    """The server does not speak TLS, or its certificate is not trusted."""


def is_loopback(url: str) -> bool:
    """Whether a URL, or an authority such as host:port, is on this machine."""
    host = host_of(url)
    return host in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


def host_of(url: str) -> str:
    """The host of a URL or of an authority, without user and port."""
    authority = url.partition("://")[2] or url
    authority = authority.split("/", 1)[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0].lower()


def shown(url: str) -> str:
    """A URL as it may be shown: without a query, which may hold a signature, and without a password."""
    scheme, _colon, rest = url.split("?", 1)[0].partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


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
        raise Unsupported("fetching needs the Python library requests", "install python3-requests") from err
    session = requests.Session()
    session.max_redirects = MAX_REDIRECTS
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    # Without this, requests would send what a .netrc has for the host.
    session.auth = _as_it_is
    session.hooks["response"].append(lambda response, **_options: _check_redirect(response, policy))
    if policy.waives("tls"):
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _check_redirect(response: requests.Response, policy: FetchPolicy) -> None:
    """A redirect must not lead from TLS to plain http."""
    target = response.headers.get("location", "")
    if response.is_redirect and response.url.startswith("https://") and target.lower().startswith("http://"):
        refuse_plain_http(target, policy)


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
