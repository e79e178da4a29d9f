# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for every request: where it may lead, what it may carry there, and how slow or large an answer may be.

Decisions only; image.transport carries them out. Source: behaviours B21; RFC 9110 sections 10.2.2 and 15.4.
"""

from __future__ import annotations

import socket
from collections import deque

from ..errors import InvalidSpec, Unreachable, Untrusted
from ..host.limits import setting_of
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Mapping, Sequence

    from ..host.limits import Limits
    from .policy import FetchPolicy

MAX_REDIRECTS = 10
# The size that registries must accept by the OCI distribution specification.
MAX_DOCUMENT = 4 << 20
MAX_HEADERS = 128 << 10
# The bytes that may come without a byte of content: sizes of chunks, their extensions, trailers.
MAX_FRAMING = 4 << 20
LOOPBACK, LINK_LOCAL, ELSEWHERE = "loopback", "link-local", "elsewhere"

_REDIRECTS = (301, 302, 303, 307, 308)
USUAL_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = ("localhost", "::1")
# The metadata services of clouds, which give out secrets, at addresses that are not link-local.
_METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
# 64:ff9b::/96. Source: RFC 6052, 2.1.
_NAT64 = 0x64FF9B << 64
_SAMPLES = 20
_PROGRESS = 1_000_000


class DocumentMeter:
    """The time that a request for a document may still take. Times are of one monotonic clock, in seconds."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._end = now + limits.document_seconds
        self.rule = f"no whole answer within {limits.document_seconds} seconds"
        self.setting = setting_of("document_seconds")

    def allowed(self, now: float) -> float:
        """How long the next step may take; not above 0 when it is too late."""
        return self._end - now

    def received(self, count: int, waited: float) -> None:
        """Ignore bytes; a document has no minimum rate."""


class UploadMeter:
    """The time that the next step of an upload may take: as long as a document, from the last piece that was sent."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._seconds = limits.document_seconds
        self._end = now + self._seconds
        self.rule = f"nothing taken and no answer within {limits.document_seconds} seconds"
        self.setting = setting_of("document_seconds")

    def sent(self, now: float) -> None:
        """Begin again, since the server has taken a piece."""
        self._end = now + self._seconds

    def allowed(self, now: float) -> float:
        """How long the next step may take; not above 0 when it is too late."""
        return self._end - now

    def received(self, count: int, waited: float) -> None:
        """Ignore bytes: the answer is a document."""


class BlobMeter:
    """The time that the next bytes of a blob may take: there is no deadline, but a minimum rate over a sliding window.

    Only time spent waiting for the server counts, not a slow disk on this side. One download has one meter, however
    many connections it takes. progress: the number of bytes that makes it worth resuming.
    """

    def __init__(self, limits: Limits) -> None:
        self._window = float(limits.rate_seconds)
        self._kept = self._window * (1 + 1 / _SAMPLES)  # a sample includes bytes that came just after it
        self._least = limits.bytes_per_second * limits.rate_seconds
        self.progress = min(self._least, _PROGRESS)
        self._waited = 0.0
        self._sum = 0
        self._samples: deque[tuple[float, int]] = deque()
        self.rule = f"less than {limits.bytes_per_second} bytes a second over {limits.rate_seconds} seconds"
        self.setting = setting_of("bytes_per_second")

    def allowed(self, _now: float) -> float:
        """How long the next step may take; not above 0 when it is too late."""
        left = self._sum
        for at, count in self._samples:
            if left < self._least:
                break
            left -= count
            if left < self._least:
                return at + self._kept - self._waited
        return self._window - self._waited

    def received(self, count: int, waited: float) -> None:
        """Count bytes, and the seconds of waiting for them."""
        self._waited += waited
        self._sum += count
        samples = self._samples
        if samples and self._waited - samples[-1][0] < self._window / _SAMPLES:
            samples[-1] = (samples[-1][0], samples[-1][1] + count)
        else:
            samples.append((self._waited, count))
        while samples and samples[0][0] < self._waited - self._kept:
            self._sum -= samples.popleft()[1]


def host_of(url: str) -> str:
    """The host of a URL or of an authority, without user, port and brackets; "" when it is ambiguous."""
    from urllib.parse import urlsplit

    if "\\" in url:  # some parsers take it for a slash, some for a character of the user
        return ""
    try:
        return urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """Whether a URL, or an authority such as host:port, names this machine, by its text alone."""
    host = host_of(url)
    return host in _LOCAL_NAMES or (host.startswith("127.") and host.replace(".", "").isdigit())


def address_of(host: str) -> str:
    """The address that the host of a URL is literally, in any spelling that resolvers accept; else the host itself."""
    import unicodedata
    from urllib.parse import unquote

    name = unicodedata.normalize("NFKC", unquote(host)).rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return name or host


def zone_of(address: str) -> str:
    """LOOPBACK, LINK_LOCAL or ELSEWHERE, for an address as getaddrinfo returns it; a name is ELSEWHERE.

    An IPv4 address within an IPv6 one counts as IPv4. For connect(2) an unspecified address means this machine.
    """
    import ipaddress

    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ELSEWHERE
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = _within(parsed)
    if parsed.is_loopback or parsed.is_unspecified or parsed in ipaddress.ip_network("0.0.0.0/8"):
        return LOOPBACK
    if parsed.is_link_local or parsed.is_multicast or str(parsed) in _METADATA:
        return LINK_LOCAL
    return ELSEWHERE


def _within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address within an IPv6 one: mapped, compatible, or of NAT64 or 6to4; else the address itself."""
    import ipaddress

    low, high = int(address) & 0xFFFFFFFF, int(address) >> 32
    if (high == 0 and low > 1) or high == _NAT64:
        return ipaddress.IPv4Address(low)
    return address.ipv4_mapped or address.sixtofour or address


def outermost(addresses: Sequence[str]) -> str:
    """The zone of a host with these addresses: the one farthest from this machine."""
    zones = [zone_of(address) for address in addresses]
    return next((zone for zone in (ELSEWHERE, LINK_LOCAL, LOOPBACK) if zone in zones), ELSEWHERE)


def may_lead(first: str, target: str) -> bool:
    """Whether a host of one zone may lead us to a host of another.

    Private networks are not a zone: a public name in front of a store on the local network is common.
    """
    return target in (ELSEWHERE, first) or first == LOOPBACK


def refuse_lead(url: str, address: str, zone: str) -> Untrusted:
    """The error for a server that leads to an address that it must not choose."""
    where = "this machine" if zone == LOOPBACK else "a link-local address"
    return Untrusted(
        f"refusing to fetch {shown(url)}: a host elsewhere led to {where} ({address})",
        "only a server on this machine may name others on it",
        url=shown(url),
    )


def refuse_plain_http(url: str, policy: FetchPolicy) -> None:
    """Raise InvalidSpec unless a URL is safe to fetch: TLS, this machine, or waived by "http"."""
    if url.startswith("https://") or is_loopback(url) or policy.waives("http"):
        return
    raise InvalidSpec(
        f"refusing to fetch {shown(url)} over plain http", "use https, or --insecure-options=http"
    )


def refuse_clear_text(url: str) -> None:
    """Raise Unreachable for credentials in clear text, except on this machine; no option allows it (B21)."""
    if not url.startswith("https://") and not is_loopback(url):
        raise Unreachable(f"refusing to send credentials to {shown(url)} over plain http", "use https")


def redirect_target(url: str, status: int, location: str) -> str | None:
    """The URL that an answer redirects to, or None without a redirect. location: as it was sent, in latin-1.

    Raises Unreachable for a target that is not a plain http or https URL.
    """
    if status not in _REDIRECTS or not location:
        return None
    from urllib.parse import urldefrag, urljoin

    try:
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        location = location.encode("latin-1", "replace").decode("latin-1")
    try:
        target = urldefrag(urljoin(url, location)).url
    except ValueError:
        target = ""
    if origin_of(target) is None:
        raise Unreachable(
            f"cannot fetch {shown(url)}: it redirects to something that is no http or https URL",
            url=shown(url),
        )
    return target


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a URL; None when they are ambiguous."""
    from urllib.parse import urlsplit

    host = host_of(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in USUAL_PORTS or not host or "@" in parts.netloc or not url.isprintable():
        return None
    return parts.scheme, host, port or USUAL_PORTS[parts.scheme]


def place_of(url: str) -> tuple[str, int] | None:
    """Host and port of a URL; the default ports of http and https count as one, since both may be tried."""
    origin = origin_of(url)
    return origin and (origin[1], 0 if origin[2] in USUAL_PORTS.values() else origin[2])


def carried(headers: Mapping[str, str], url: str, target: str) -> dict[str, str]:
    """The headers to send after a redirect: credentials are for one origin alone."""
    same = origin_of(url) == origin_of(target)
    return {name: value for name, value in headers.items() if same or name.lower() != "authorization"}
