# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a public key comes from: a file of this host, a URL, the meta tags of a prefix. Source: behaviours A60, A62."""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, NotFound
from ..host.config import configured_limits
from ..host.reading import read_given
from ..value import Value
from .answer import bad_status
from .http_policy import refuse_plain_http
from .openpgp import MOST_KEYS, read_keys
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from .openpgp import PublicKey
    from .policy import FetchPolicy

_SCHEMES = ("http", "https")
_OK = 200


class OfferedKeys(Value):
    """The keys of a file or of a URL. location: as it may be shown. vouched: whether TLS vouches for the server."""

    location: str
    keys: tuple[PublicKey, ...]
    vouched: bool = False

    @property
    def key(self) -> PublicKey:
        """The first key, which is the one that is stored. Source: behaviours A62."""
        return self.keys[0]


def read_source(host: Host, location: str, policy: FetchPolicy) -> OfferedKeys:
    """The keys of a path or a URL. Raises InvalidSpec, NotFound, HostFailure, Unreachable, Untrusted."""
    scheme, colon, _rest = location.partition("://")
    if not colon:
        return OfferedKeys(location, read_keys(_read_file(location), location))
    if scheme not in _SCHEMES:
        raise InvalidSpec(
            f'cannot get a key from "{shown(location)}": only local files and http or https URLs are supported',
            "download it, then name the file",
        )
    refuse_plain_http(location, policy)
    from .transport import Transport  # requests

    answer = Transport(policy, configured_limits(host.paths)).get(location, {})
    if answer.status != _OK:
        raise bad_status(answer.url, answer.status, "a key is asked for without credentials")
    vouched = (
        location.startswith("https://") and answer.url.startswith("https://") and not policy.waives("tls")
    )
    return OfferedKeys(shown(location), read_keys(answer.body, shown(location)), vouched)


def discover_keys(host: Host, prefix: str, policy: FetchPolicy) -> tuple[str, ...]:
    """The URLs of the keys that the meta tags of a prefix name (B14). Raises NotFound, Unreachable, InvalidSpec."""
    from . import discovery
    from .credentials import credentials_of
    from .transport import Transport

    ask, transport = credentials_of(host), Transport(policy, configured_limits(host.paths))
    pages = discovery.page_asker(transport, lambda url: ask("GET", url))
    return discovery.discover_keys(pages, prefix, http=policy.waives("http"))


def _read_file(path: str) -> bytes:
    try:
        return read_given(path, MOST_KEYS)
    except FileNotFoundError as err:
        raise NotFound(f"cannot open the key file {path}: no such file", "check the path") from err
    except OSError as err:
        raise HostFailure.of(f"cannot read the key file {path}", err) from err
