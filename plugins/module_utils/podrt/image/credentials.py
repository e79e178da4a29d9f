# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The headers that say who asks, for every source: by method and URL, from the configuration.

A docker:// URL names a registry, and has those of kind dockerAuth; an http or https URL has those of kind auth.
Source: behaviours B35 to B37; RFC 7617, RFC 6750.
"""

from __future__ import annotations

from ..host.authfiles import STORE
from .http_policy import USUAL_PORTS, origin_of, refuse_clear_text
from .reference import names_of_registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.config import Config, Credentials
    from ..host.host import Host

    Login = tuple[str, str]
    AskHelper = Callable[[str, str], "Login | None"]
    AskCredentials = Callable[[str, str], dict[str, str]]

_DOCKER = "docker://"
# What docker calls its hub when it asks a helper.
_HUB_SERVER = "https://index.docker.io/v1/"


def credentials_of(host: Host) -> AskCredentials:
    """The headers for a method and a URL; the configuration is read when they are first asked for.

    The function raises InvalidSpec and HostFailure for a configuration that cannot be read, and Unreachable for
    credentials that would go out in clear text.
    """
    read: list[Config] = []
    helped: dict[tuple[str, str], Login | None] = {}

    def ask(method: str, url: str) -> dict[str, str]:
        if not read:
            read.append(host.config)
        return headers_for(read[0], method, url, host.clock.time(), by_helper)

    def by_helper(helper: str, server: str) -> Login | None:
        from ..host.credhelpers import login_of

        if (helper, server) not in helped:
            helped[helper, server] = login_of(helper, server)
        return helped[helper, server]

    return ask


def _without_helpers(_helper: str, _server: str) -> Login | None:
    """Know nothing."""
    return None


def headers_for(
    config: Config, method: str, url: str, now: float, by_helper: AskHelper = _without_helpers
) -> dict[str, str]:
    """The headers for a method and a URL, {} where the configuration has none. Raises Unreachable.

    now: the time, which signatures have. They are of a method, and hold for some minutes. by_helper: runs a helper.
    """
    if url.startswith(_DOCKER):
        registry, _slash, repository = url[len(_DOCKER) :].partition("/")
        login = _login(config, names_of_registry(registry), _bare(repository), by_helper)
        return {"Authorization": basic(*login)} if login else {}
    found = config.domain_credentials(*_domains(url))
    if found is None:
        return {}
    refuse_clear_text(url)
    return _of_kind(found, method, url, now)


def _login(config: Config, names: tuple[str, ...], repository: str, by_helper: AskHelper) -> Login | None:
    """A document, the helper for the registry, a password in a file, the helper for all registries: in this order."""
    own = config.docker_credentials(*names)
    if own or not config.helpers:
        return own or config.login_for(names, repository)
    server = _HUB_SERVER if len(names) > 1 else names[0]
    helper, store = config.helper_for(*names), config.helper_for(STORE)
    login = by_helper(helper, server) if helper else None
    login = login or config.login_for(names, repository)
    return login or (by_helper(store, server) if store and store != helper else None)


def _of_kind(found: Credentials, method: str, url: str, now: float) -> dict[str, str]:
    if found.type == "basic":
        return {"Authorization": basic(found.user, found.password)}
    if found.type == "oauth":
        return {"Authorization": f"Bearer {found.token}"}
    from .awssign import signed

    return signed(found, method, url, now)


def _bare(repository: str) -> str:
    """A repository without tag and digest."""
    return repository.partition("@")[0].partition(":")[0]


def _domains(url: str) -> tuple[str, ...]:
    """The names of a URL's host in auth documents: with its port, and without where that is the usual one."""
    origin = origin_of(url)
    if origin is None:
        return ()
    scheme, host, port = origin
    name = f"[{host}]" if ":" in host else host
    return (f"{name}:{port}", name) if port == USUAL_PORTS[scheme] else (f"{name}:{port}",)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
