# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that is asked for more than images: whether it takes credentials, and to take an image.

Source: OCI distribution specification; docker registry "Token Authentication Specification"; RFC 9110 section 11.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unreachable, printable
from ..fields import Fields, parse_json
from .access import RegistryAccess, schemes_of
from .answer import bad_status
from .http_policy import origin_of, refuse_plain_http
from .reference import shown
from .transport import BadCertificate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .access import Login
    from .answer import Answer
    from .policy import FetchPolicy
    from .transport import Body, Transport

API = "/v2/"
_LONGEST_REASON = 200
OK, UNAUTHORIZED, FORBIDDEN, BAD_REQUEST = 200, 401, 403, 400


class RegistrySession:
    """Requests to one registry, authenticated as it wants.

    login: the headers with the credentials, asked for when the registry asks who we are. scope: of tokens, "" for what
    the registry says. doing: what an error begins with, such as "cannot log in to quay.io". asks_who: whether it has
    asked.
    """

    def __init__(
        self,
        transport: Transport,
        registry: str,
        policy: FetchPolicy,
        login: Login,
        *,
        doing: str,
        scope: str = "",
    ) -> None:
        self.registry = registry
        self.asks_who = False
        self._doing = doing
        self._transport = transport
        self._policy = policy
        self._scope = scope
        self._base = ""
        self._access = RegistryAccess(transport, registry, policy, login, self.refusal)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Answer:
        """The answer after authentication, whatever the status is. path: from API on, or a URL that it has named.

        Raises Unreachable, Untrusted, InvalidSpec.
        """
        answer = self._send(method, self._url(path), headers or {}, body)
        if answer.status == UNAUTHORIZED:
            self._authenticate(answer)
            answer = self._send(method, self._url(path), headers or {}, body)
        return answer

    def refusal(self, answer: Answer) -> Unreachable:
        """The error for a status."""
        asks = answer.status in (UNAUTHORIZED, FORBIDDEN)
        return Unreachable(
            f"{self._doing}: bad HTTP status code: {answer.status}{_reason(answer)}",
            "check user and password, and what the user may do there" if asks else "",
            url=shown(answer.url),
            status=answer.status,
        )

    def _url(self, path: str) -> str:
        if origin_of(path):
            refuse_plain_http(path, self._policy)
            return path
        return f"{self._base or self._find_base()}{path}"

    def _find_base(self) -> str:
        """Find out whether the registry speaks TLS, if plain HTTP is allowed at all."""
        failures: list[Unreachable] = []
        for scheme in schemes_of(self.registry, self._policy):
            base = f"{scheme}://{self.registry}"
            try:
                answer = self._transport.get(f"{base}{API}", {})
            except Unreachable as err:
                failures.append(err)
                continue
            if answer.status != BAD_REQUEST:
                self._base = base
                return base
            # This is how Go's server answers a plain request when it expects TLS.
            failures.append(bad_status(f"{base}{API}", BAD_REQUEST))
        raise next((err for err in failures if isinstance(err, BadCertificate)), failures[0])

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        own = origin_of(url) == origin_of(self._base)
        sent = self._access.headers(headers) if own else headers
        if body is not None:
            return self._transport.send(method, url, sent, body)
        return self._transport.get(url, sent) if method == "GET" else self._transport.head(url, sent)

    def _authenticate(self, answer: Answer) -> None:
        """Answer a challenge; a token is preferred to a password.

        Raises Unreachable for a challenge of another server, which could choose where the credentials go.
        """
        if origin_of(answer.url) != origin_of(self._base):
            raise self.refusal(answer)
        self.asks_who = True
        self._access.answer(answer, lambda asked: self._scope or asked)


def _reason(answer: Answer) -> str:
    """What a registry says about an error, in brackets. Source: OCI distribution specification, "Error Codes"."""
    try:
        fields = Fields(parse_json(answer.body, "the error"), "")
        told = next(
            (error.text("message", "") or error.text("code", "") for error in fields.each("errors")), ""
        )
    except InvalidSpec:
        return ""
    return f" ({printable(told)[:_LONGEST_REASON]})" if told else ""
