# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are to one registry: its challenges, the credentials that answer them, the token that comes of that.

Source: docker registry "Token Authentication Specification"; RFC 9110 section 11.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unreachable
from ..fields import Fields, parse_json
from .challenge import MAX_HEADER, parse_challenges
from .http_policy import is_loopback, origin_of, refuse_clear_text, refuse_plain_http
from .reference import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .answer import Answer
    from .challenge import Challenge
    from .policy import FetchPolicy
    from .transport import Transport

    # The headers with the credentials, none without any.
    Login = Callable[[], Mapping[str, str]]
    # The error for an answer with a status.
    Refusal = Callable[[Answer], Unreachable]

_OK = 200


class RegistryAccess:
    """What requests to a registry carry. login: asked when the registry asks who we are.

    refusal: the error for an answer that leads no further.
    """

    def __init__(
        self,
        transport: Transport,
        registry: str,
        policy: FetchPolicy,
        login: Login,
        refusal: Refusal,
    ) -> None:
        self._transport = transport
        self._registry = registry
        self._policy = policy
        self._login = login
        self._refusal = refusal
        self._authorization = ""

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """These headers, with what authorizes the request."""
        return {**headers, "Authorization": self._authorization} if self._authorization else dict(headers)

    def answer(self, challenged: Answer, scope: Callable[[str], str]) -> None:
        """Answer a challenge of the registry itself; a token is preferred to a password.

        scope: of the token, from what the registry asks for. Raises Unreachable.
        """
        header = challenged.header("www-authenticate")
        if len(header) > MAX_HEADER:
            raise Unreachable(
                f"the registry {self._registry} sends a challenge of more than {MAX_HEADER} bytes",
                "have the administrator of the registry correct it",
            )
        offered = {challenge.scheme: challenge for challenge in parse_challenges(header)}
        login = self._login()
        if login:
            # A challenge in clear text may be forged, and so may its realm: neither password nor token goes out.
            refuse_clear_text(challenged.url)
        if "bearer" in offered:
            found = offered["bearer"]
            self._authorization = f"Bearer {self._token(found, scope(found.parameter('scope')), login)}"
        elif "basic" in offered and login:
            self._authorization = login["Authorization"]
        else:
            raise self._refusal(challenged)

    def _token(self, challenge: Challenge, scope: str, login: Mapping[str, str]) -> str:
        realm = challenge.parameter("realm")
        if origin_of(realm) is None:
            raise Unreachable(
                f"the registry {self._registry} wants a token, but does not say from where",
                "have the administrator of the registry correct it",
            )
        refuse_plain_http(realm, self._policy)
        if login:
            refuse_clear_text(realm)
        query = f"service={escape(challenge.parameter('service'))}"
        query += f"&scope={escape(scope)}" if scope else ""
        answer = self._transport.get(f"{realm}{'&' if '?' in realm else '?'}{query}", login)
        if answer.status != _OK:
            raise self._refusal(answer)
        try:
            fields = Fields(parse_json(answer.body, "the token"), "token")
            token = fields.text("token", "") or fields.text("access_token")
            if token.isascii() and token.isprintable():
                return token
            raise InvalidSpec(
                "it has a character that no token has, such as a line break"
            )  # the text is secret
        except InvalidSpec as err:
            raise Unreachable(f"the registry {self._registry} gave no usable token: {err}") from err


def schemes_of(registry: str, policy: FetchPolicy) -> tuple[str, ...]:
    """How a registry may be spoken to, in the order of trials."""
    if is_loopback(registry):
        return ("http", "https")
    return ("https", "http") if policy.waives("http") else ("https",)
