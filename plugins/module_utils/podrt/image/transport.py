# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP, and nothing above it: the only module that uses requests. The rules are in image.http_policy.

requests is imported when the first request is made, since that takes 100 ms. Source: behaviours B18, B19, B21.
"""

from __future__ import annotations

import io
import os
import re
import threading
import time

from ..errors import Unreachable, Unsupported
from .answer import Answer
from .exchange import CONNECT_SECONDS, Exchange, Gate, Metered
from .http_policy import (
    MAX_DOCUMENT,
    MAX_REDIRECTS,
    BlobMeter,
    DocumentMeter,
    UploadMeter,
    address_of,
    carried,
    host_of,
    is_loopback,
    redirect_target,
    refuse_plain_http,
)
from .reference import shown, without_secrets
from .resume import CannotResume, Download

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    import requests

    from ..host.limits import Limits
    from ..store.partial import Kept
    from .policy import FetchPolicy

USER_AGENT = "rkt/1.30.0 (podctl)"
_CHUNK = 256 * 1024
# The names that versions of OpenSSL have for an answer that is not TLS.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "record layer failure")
# The beginning of urllib3's messages about a connection.
_OBJECT = re.compile(r"^(?:.*>: |\w+\(host=.*?, port=\w+\): )")
# The host's trust store, which its administrator may have added to; requests has its own certificates otherwise.
_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


class Transport:
    """One session for one source, with connections that are reused.

    The first host is the one that the user named; image.http_policy decides which others it may lead to.
    pulse: called whenever bytes arrive. Raises Unreachable, and Untrusted for a host that must not be led to.
    """

    def __init__(self, policy: FetchPolicy, limits: Limits, pulse: Callable[[], None] = lambda: None) -> None:
        self._policy = policy
        self._limits = limits
        self._pulse = pulse
        self._gate = Gate()
        self._current = threading.local()
        self._session: requests.Session | None = None

    def forked(self) -> None:
        """Make connections of its own from now on: two processes cannot share one."""
        self._session = None

    def get(self, url: str, headers: Mapping[str, str], most: int = MAX_DOCUMENT) -> Answer:
        """Fetch a document of bounded time and at most so many bytes, whatever the status is.

        It must be sent without an encoding.
        """
        return self._whole("GET", url, headers, self._document(url), most=most)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Answer:
        """Send content of any size, and read the answer, whatever the status is."""
        meter = UploadMeter(self._limits, time.monotonic())
        exchange = Exchange(url, meter, self._pulse)
        return self._whole(method, url, headers, exchange, Upload(body, meter) if body.size else None)

    def _whole(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        exchange: Exchange,
        upload: Upload | None = None,
        *,
        most: int = MAX_DOCUMENT,
    ) -> Answer:
        with self._send(method, url, headers, exchange, upload) as response:
            answer = _answer(response, exchange)
            if answer.header("content-encoding").lower() not in ("", "identity"):
                raise _broken(url, "it is sent in an encoding that was not asked for")
            body = bytearray()
            for chunk in _chunks(response, exchange):
                body += chunk
                if len(body) > most:
                    raise _broken(url, f"the answer is larger than {most} bytes")
            return answer.replace(body=bytes(body))

    def head(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The status and the headers alone."""
        return self._start("HEAD", url, headers)

    def peek(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The status and the headers, for servers that refuse HEAD."""
        return self._start("GET", url, headers)

    def stream(
        self,
        url: str,
        headers: Callable[[], Mapping[str, str]],
        accept: Callable[[Answer], bool],
        pulse: Callable[[], None] = lambda: None,
        *,
        by_digest: bool = False,
        kept: Kept | None = None,
    ) -> Iterator[bytes]:
        """A body of any size, as it is sent.

        headers: returns those to send now. by_digest: the caller checks the digest of the whole. kept: what is there of
        an earlier download, and keeps this one; see store.partial. accept sees status and
        headers before any byte, may raise, and returns whether to read the body; if not, the request is repeated. After
        a broken connection the body is resumed, if the server can, else CannotResume is raised, see image.resume; the
        number of tries is counted from the last progress. All connections share one minimum rate.
        """
        meter = BlobMeter(self._limits)
        download = Download(url, meter.progress, by_digest=by_digest, kept=kept)
        while True:
            exchange = Exchange(url, meter, self._both(pulse))
            try:
                with self._send("GET", url, download.asking(headers()), exchange) as response:
                    if not download.begins(_answer(response, exchange), accept):
                        continue
                    yield from download.kept()
                    for chunk in _chunks(response, exchange):
                        download.has(chunk)
                        yield chunk
                download.check_end()
                return
            except CannotResume:
                raise
            except Unreachable:
                pause = None if exchange.is_over else download.pause()
                if pause is None:
                    raise
                time.sleep(pause)

    def _start(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        exchange = self._document(url)
        with self._send(method, url, headers, exchange) as response:
            return _answer(response, exchange)

    def _document(self, url: str) -> Exchange:
        return Exchange(url, DocumentMeter(self._limits, time.monotonic()), self._pulse)

    def _both(self, pulse: Callable[[], None]) -> Callable[[], None]:
        def beat() -> None:
            self._pulse()
            pulse()

        return beat

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        exchange: Exchange,
        upload: Upload | None = None,
    ) -> requests.Response:
        """Send a request, and follow redirects without reading their bodies."""
        for _redirect in range(MAX_REDIRECTS + 1):
            response = self._send_once(method, url, headers, exchange, upload)
            location = response.headers.get("location", "")
            try:
                target = redirect_target(url, response.status_code, location)
                if target is None:
                    return response
                refuse_plain_http(target, self._policy)
            except BaseException:
                response.close()
                raise
            response.close()
            headers = carried(headers, url, target)
            url = exchange.url = target
        raise _broken(url, f"more than {MAX_REDIRECTS} redirects")

    def _send_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        exchange: Exchange,
        upload: Upload | None,
    ) -> requests.Response:
        if self._session is None:
            self._session = _session(self._policy, self._gate, self._current)
        import requests

        self._current.exchange = exchange
        exchange.begin_headers()
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                data=upload,
                stream=True,
                timeout=CONNECT_SECONDS,
                allow_redirects=False,
                verify=None if not self._policy.waives("tls") else False,
                proxies={"http": "", "https": "", "all": ""} if is_loopback(url) else None,
            )
        except requests.RequestException as err:
            raise _failure(err, exchange) from _Raised.of(err)
        except (ValueError, TypeError, AttributeError) as err:
            refused = _NoUrl(type(err).__name__).with_traceback(err.__traceback__)
            raise _failure(refused, exchange) from _Raised.of(refused)
        finally:
            del self._current.exchange


class Body:
    """Content that is sent, as often as a request is repeated. make: it in pieces. size: in bytes."""

    def __init__(self, make: Callable[[], Iterator[bytes]], size: int) -> None:
        self.make = make
        self.size = size


class Upload:
    """A body on its way, with a length, so that it is not sent in chunks of HTTP, which registries refuse."""

    def __init__(self, body: Body, meter: UploadMeter) -> None:
        self._body = body
        self._meter = meter

    def __len__(self) -> int:
        return self._body.size

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body.make():
            self._meter.sent(time.monotonic())
            yield piece
        self._meter.sent(time.monotonic())


class BadCertificate(Unreachable):
    """The server speaks TLS, but its certificate is not trusted."""


class WithoutTls(Unreachable):
    """The server answers a TLS handshake with something else."""


def _session(policy: FetchPolicy, gate: Gate, current: threading.local) -> requests.Session:
    """A session whose connections keep to the limits of the current exchange of their thread."""
    try:
        import requests
    except ImportError as err:
        raise Unsupported(
            f"fetching needs the Python library requests: {err}",
            "it travels with the runtime: install that again with the module pod_runtime, in a checkout by make venv",
        ) from err

    class Session(requests.Session):
        def get_redirect_target(self, _response: requests.Response) -> None:
            """Return None: requests would read the body of a redirect even if it is not to follow it."""

    session = Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    # Without this, requests would send the credentials that a .netrc has for the host.
    session.auth = _as_it_is
    session.verify = next((path for path in _ROOTS if os.path.isfile(path)), True)
    adapter = _adapter(gate, current)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    if policy.waives("tls"):
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return session


def _adapter(gate: Gate, current: threading.local) -> requests.adapters.HTTPAdapter:
    """The maker of a session's connections, those to a proxy included."""
    import requests
    from urllib3 import connectionpool

    plain, secure = _connections(gate, current)

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = plain

    class SecurePool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = secure

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: object, **options: object) -> None:
            super().init_poolmanager(*arguments, **options)  # type: ignore[arg-type]
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

        def proxy_manager_for(self, *arguments: object, **options: object) -> object:
            manager = super().proxy_manager_for(*arguments, **options)  # type: ignore[arg-type]
            manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
            return manager

    return Adapter()


def _connections(gate: Gate, current: threading.local) -> tuple[type, type]:
    """The classes of connections, plain and with TLS. A request on one binds it to its exchange."""
    import http.client

    from urllib3 import connection

    class Response(http.client.HTTPResponse):
        def __init__(self, exchange: Exchange, sock: socket.socket, *arguments: object, **options: object):
            super().__init__(sock, *arguments, **options)  # type: ignore[arg-type]
            self._exchange = exchange
            self.fp = io.BufferedReader(Metered(self.fp.detach(), sock, exchange))

        def begin(self) -> None:
            """Read the headers; drop cookies, which are not kept and may take long to parse."""
            super().begin()
            del self.msg["Set-Cookie"], self.msg["Set-Cookie2"]
            self._exchange.begin_content()

    class Bound:
        """The common part of both kinds."""

        exchange: Exchange

        def response_class(self, *arguments: object, **options: object) -> Response:
            return Response(self.exchange, *arguments, **options)  # type: ignore[arg-type]

        def connect(self) -> None:
            self.exchange = current.exchange
            super().connect()  # type: ignore[misc]

        def request(self, *arguments: object, **options: object) -> None:
            self.exchange = current.exchange
            if self.sock:  # type: ignore[attr-defined]
                self.exchange.limit(self.sock)  # type: ignore[attr-defined]
            super().request(*arguments, **options)  # type: ignore[misc]

        def _new_conn(self) -> socket.socket:
            if self.proxy is None:  # type: ignore[attr-defined]
                return gate.connect(self.exchange, self._dns_host, self.port)  # type: ignore[attr-defined]
            gate.check(self.exchange.url, (address_of(host_of(self.exchange.url)),))
            return super()._new_conn()  # type: ignore[misc,no-any-return]

    class Plain(Bound, connection.HTTPConnection):  # type: ignore[misc]
        pass

    class Secure(Bound, connection.HTTPSConnection):  # type: ignore[misc]
        pass

    return Plain, Secure


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _chunks(response: requests.Response, exchange: Exchange) -> Iterator[bytes]:
    import http.client

    import requests
    import urllib3

    try:
        while True:
            chunk: bytes = response.raw.read(_CHUNK, decode_content=False)
            exchange.begin_content()
            if not chunk:
                return
            yield chunk
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,  # a chunk of a negative size
        OverflowError,
    ) as err:
        raise _failure(err, exchange) from _Raised.of(err)


def _answer(response: requests.Response, exchange: Exchange) -> Answer:
    headers = tuple((name.lower(), value) for name, value in response.headers.items())
    return Answer(exchange.url, response.status_code, headers)


class _Raised(Exception):
    """A substitute for an exception of requests in the chain of causes: its type, reason and place, but not its text.

    The text may hold passwords of a proxy and queries, and --debug would show it.
    """

    @classmethod
    def of(cls, err: Exception) -> _Raised:
        """The substitute for an exception."""
        return cls(f"{type(err).__name__}: {_reason(err)}").with_traceback(err.__traceback__)


def _failure(err: Exception, exchange: Exchange) -> Unreachable:
    """The error for an exception, in the user's terms."""
    import requests

    if exchange.is_over or (exchange.is_upload and _has_timed_out(err)):
        return exchange.too_slow()
    if isinstance(err, requests.exceptions.SSLError):
        return _tls_failure(exchange.url, _reason(err))
    return _broken(exchange.url, _reason(err))


def _has_timed_out(err: BaseException | None) -> bool:
    """Whether a timeout of a socket is behind an exception."""
    import socket  # its own class before Python 3.10

    while err is not None and not isinstance(err, socket.timeout):
        err = err.__context__
    return err is not None


def _broken(url: str, reason: str) -> Unreachable:
    return Unreachable(
        f"cannot fetch {shown(url)}: {reason}", "check the network and the name of the host", url=shown(url)
    )


def _tls_failure(url: str, reason: str) -> Unreachable:
    if any(sign in reason for sign in _NOT_TLS):
        return WithoutTls(
            f"cannot fetch {shown(url)}: the server does not speak TLS, but perhaps plain http",
            "if it does, say so: insecure_options: http, or --insecure-options=http",
            url=shown(url),
        )
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return _broken(url, reason)
    return BadCertificate(
        f"cannot fetch {shown(url)}: {reason}",
        "check its certificate, or add its issuer to the host's trust store",
        url=shown(url),
    )


def _reason(err: Exception) -> str:
    """The innermost reason, without any secret; the outer ones wrap it in representations of objects."""
    inner = err
    while True:
        deeper = getattr(inner, "reason", None) or next(
            (arg for arg in inner.args if isinstance(arg, Exception)), None
        )
        if not isinstance(deeper, Exception):
            break
        inner = deeper
    if _is_about_a_url(err) or _is_about_a_url(inner):
        return "the URL, or the one of a proxy that http_proxy or https_proxy names, cannot be asked"
    if isinstance(inner, (ValueError, TypeError, OverflowError)) and not isinstance(inner, OSError):
        return "the framing of the content is not valid"
    return without_secrets(_OBJECT.sub("", str(inner)))


def _is_about_a_url(err: Exception) -> bool:
    """Whether the text of an exception is a whole URL, in which the end of a password cannot be found."""
    import requests
    from urllib3 import exceptions

    return isinstance(
        err,
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
            exceptions.LocationValueError,
            exceptions.URLSchemeUnknown,
            exceptions.ProxySchemeUnknown,
            _NoUrl,
        ),
    )


class _NoUrl(Exception):
    """An error while a request was made, before it was sent: requests trusts that a proxy has a host."""
