# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a public key comes from: a file of this host, a URL, the meta tags of a prefix. Source: behaviours A60, A62."""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..host.config import configured_limits
from ..host.reading import read_given
from ..value import Value
from . import keystore
from .answer import bad_status
from .credentials import credentials_of
from .http_policy import refuse_plain_http
from .openpgp import MOST_KEYS, OfferedKeys, read_keys
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.host import Host
    from .policy import FetchPolicy
    from .transport import Transport

_SCHEMES = ("http", "https")
_OK = 200


class OfferedFile(Value):
    """A file that should hold keys, see OfferedKeys."""

    location: str
    data: bytes
    vouched: bool = False


def session(host: Host, policy: FetchPolicy) -> Transport:
    """A session for the pages of a prefix and for the keys to which they lead."""
    from .transport import Transport  # requests

    return Transport(policy, configured_limits(host.paths))


def read_source(
    host: Host, location: str, policy: FetchPolicy, transport: Transport | None = None
) -> OfferedKeys:
    """The keys of a path or a URL. transport: that of the page that led there, None without one.

    Raises InvalidSpec, NotFound, HostFailure, Unreachable, Untrusted.
    """
    file = read_file(host, location, policy, transport)
    return OfferedKeys(file.location, read_keys(file.data, file.location), file.vouched)


def read_file(
    host: Host, location: str, policy: FetchPolicy, transport: Transport | None = None
) -> OfferedFile:
    """What a path or a URL has, whatever kind of keys that is; see read_source."""
    scheme, colon, _rest = location.partition("://")
    if not colon:
        return OfferedFile(location, _read_local(location))
    if scheme not in _SCHEMES:
        raise InvalidSpec(
            f'cannot get a key from "{shown(location)}": only local files and http or https URLs are supported',
            "download it, then name the file",
        )
    refuse_plain_http(location, policy)
    is_secure = location.startswith("https://")
    headers = credentials_of(host)("GET", location) if is_secure else {}
    answer = (transport or session(host, policy)).get(location, headers)
    if answer.status != _OK:
        raise bad_status(answer.url, answer.status, "check the auth document for its host in auth.d")
    vouched = is_secure and answer.url.startswith("https://") and not policy.waives("tls")
    return OfferedFile(shown(location), answer.body, vouched)


def discover_keys(host: Host, prefix: str, policy: FetchPolicy, transport: Transport) -> tuple[str, ...]:
    """The URLs of the keys that the meta tags of a prefix name (B14). Raises NotFound, Unreachable, InvalidSpec."""
    from . import discovery

    ask = credentials_of(host)
    pages = discovery.page_asker(transport, lambda url: ask("GET", url))
    return discovery.discover_keys(pages, prefix, http=policy.waives("http"))


def trust_discovered(host: Host, name: str, policy: FetchPolicy, tell: Callable[[str], None]) -> None:
    """Trust the keys that discovery finds for the name of an image (B29).

    TLS must vouch for them, unless "pubkey" is waived (A10), or the user. What fails is told: without a key the image
    is refused.
    """
    if keystore.trusted_for(host.paths, name):
        return tell(f'keys already exist for prefix "{name}", not fetching again')
    lax = policy.waives("pubkey")
    if policy.waives("tls") and not lax:
        return tell(
            "skipping automatic key discovery because TLS checking has been disabled by --insecure-options"
        )
    try:
        if not lax:
            policy = policy.replace(insecure=tuple(check for check in policy.insecure if check != "http"))
        prefix, transport = keystore.Prefix(name), session(host, policy)
        for location in discover_keys(host, prefix, policy, transport):
            _consider(host, prefix, read_source(host, location, policy, transport), policy, tell)
    except PodError as err:
        tell(f"cannot trust discovered keys: {err.message}")


def _consider(
    host: Host, prefix: str, offered: OfferedKeys, policy: FetchPolicy, tell: Callable[[str], None]
) -> None:
    """Trust a key, or tell why not."""
    unasked = policy.finds_keys and (policy.waives("pubkey") or offered.vouched)
    why = _problem(prefix, offered, policy, unasked=unasked)
    if why is not None:
        return tell(f'not trusting "{offered.location}" for prefix "{prefix}": {why}')
    keystore.store(host.paths, prefix, offered.key)
    how = "without" if unasked else "after"
    return tell(f'Trusting "{offered.location}" for prefix "{prefix}" {how} fingerprint review.')


def _problem(prefix: str, offered: OfferedKeys, policy: FetchPolicy, *, unasked: bool) -> str | None:
    from .signature import problem_of

    problem = problem_of(offered.key)
    if problem:
        return problem
    if unasked:
        return None
    if policy.review is None:
        return "no certificate vouches for it"
    return None if policy.review(prefix, offered) else "the review has not accepted it"


def _read_local(path: str) -> bytes:
    try:
        return read_given(path, MOST_KEYS)
    except FileNotFoundError as err:
        raise NotFound(f"cannot open the key file {path}: no such file", "check the path") from err
    except OSError as err:
        raise HostFailure.of(f"cannot read the key file {path}", err) from err
