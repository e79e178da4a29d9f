# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metadata service answers: queries of pods, and registrations by root of the host. Source: behaviours F3, F4.

A request is judged by its head before its body is received: only a registered pod can send one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from urllib.parse import parse_qsl

from ..appc.names import ACIdentifier, ACName
from ..errors import InvalidSpec, PodError
from ..fields import canonical_json
from ..host.reading import DOCUMENT
from ..pod.names import is_uuid
from ..value import Value
from .forms import check_form, form_of
from .pods import RegisteredPod
from .registration import Registration, is_token
from .requests import BAD_REQUEST, TOO_LARGE, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.labels import Labels
    from .pods import Registry
    from .registration import ServiceFacts
    from .requests import Request

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, BUSY = 200, 401, 403, 404, 405, 503
JSON = "application/json"
_PLAIN, _ASCII = "text/plain; charset=utf-8", "text/plain; charset=us-ascii"
_MOST_PAIRS = 256
# Bytes of a body of a pod, and of all that it sends at a time.
LONGEST_FORM = 1 << 20
MOST_ON_THE_WAY = 4 << 20
_BASE = ("acMetadata", "v1")
_HIDDEN = "TOKEN"
_TOKENS = re.compile(r"[0-9a-fA-F]{32}")


class Reply(Value):
    """An answer with its body. allowed: the methods that there are, where the one of the request is not among them."""

    status: int
    media: str = _ASCII
    body: bytes = b""
    allowed: str = ""


class Judged(Value):
    """A request whose head is in order. most: bytes of its body. pod: which sends it. answer: to the body."""

    most: int
    answer: Callable[[bytes], Reply]
    pod: RegisteredPod | None = None


def complaint(status: int, text: str) -> Reply:
    """An answer that says what is wrong."""
    return Reply(status, _PLAIN, f"{text}\n".encode())


def shown(target: str, *, public: bool) -> str:
    """A target for the log, without anything that may be a token: of a query, its first part whatever it is. Pure."""
    if public:
        _token, slash, rest = target[1:].partition("/")
        target = f"/{_HIDDEN}{slash}{rest}"
    return _TOKENS.sub(_HIDDEN, target)


def query(registry: Registry, request: Request, address: str) -> Judged:
    """Judge the query of a pod. Raises Refusal."""
    token, *rest = request.parts
    pod = registry.owner(token, address)
    if pod is None:
        raise Refusal(UNAUTHORIZED, "no pod with this token and address is registered")
    if tuple(rest[:2]) != _BASE:
        raise Refusal(NOT_FOUND, "there is only /acMetadata/v1")
    path = tuple(rest[2:])
    if path in (("pod", "hmac", "sign"), ("pod", "hmac", "verify")):
        _check_method(request, "POST")
        check_form(request)
        if pod.receiving + request.length > MOST_ON_THE_WAY:
            raise Refusal(BUSY, "too much is on its way already")
        make = _signed if path[2] == "sign" else _verified
        return Judged(LONGEST_FORM, lambda body: make(registry.key, pod, form_of(request, body)), pod)
    _check_method(request, "GET")
    found = _found(pod, path)
    return Judged(0, lambda _body: found, pod)


def registration(registry: Registry, request: Request, facts: ServiceFacts) -> Judged:
    """Judge a request on the socket of the host. facts: which it tells. Raises Refusal."""
    kind, *names = request.parts
    about = Reply(OK, JSON, canonical_json(facts.to_json()))
    if request.parts == ("",):
        _check_method(request, "GET")
        return Judged(0, lambda _body: about)
    if kind != "pods" or len(names) not in (1, 2):
        raise Refusal(NOT_FOUND, "there is only /pods/UUID and /pods/UUID/APP")
    uuid = names[0].lower()
    if not is_uuid(uuid):
        raise Refusal(BAD_REQUEST, "it is not a UUID")
    if len(names) == 2:
        _check_method(request, "PUT")
        return Judged(DOCUMENT, lambda body: _add_image(registry, uuid, names[1], body))
    _check_method(request, "PUT", "DELETE")
    if request.method == "DELETE":
        return Judged(0, lambda _body: _removed(registry, uuid))
    wanted = _wanted(request.query)
    return Judged(DOCUMENT, lambda body: _add_pod(registry, uuid, wanted, body, about))


def _check_method(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal(NOT_ALLOWED, ", ".join(methods))


def _found(pod: RegisteredPod, path: tuple[str, ...]) -> Reply:
    """The data of a pod at a path. Raises Refusal."""
    if path == ("pod", "uuid"):
        return Reply(OK, _ASCII, pod.uuid.encode())
    if path == ("pod", "manifest"):
        return Reply(OK, JSON, pod.manifest)
    if path[:2] == ("pod", "annotations"):
        return _annotations(pod.annotations, path[2:])
    if len(path) > 2 and path[0] == "apps":
        return _of_app(pod, path[1], path[2:])
    raise Refusal(NOT_FOUND, "there is no such thing")


def _of_app(pod: RegisteredPod, app: str, path: tuple[str, ...]) -> Reply:
    """The data of an app. Raises Refusal."""
    if app not in pod.images:
        raise Refusal(NOT_FOUND, "the pod has no such app")
    if path == ("image", "manifest"):
        return Reply(OK, JSON, pod.images[app])
    if path == ("image", "id"):
        return Reply(OK, _ASCII, pod.image_id(app).encode())
    if path[0] == "annotations":
        return _annotations(pod.annotations_of(app), path[1:])
    raise Refusal(NOT_FOUND, "there is no such thing of an app")


def _annotations(found: Labels, path: tuple[str, ...]) -> Reply:
    """All annotations, or the one at a path, whose name may have slashes. Raises Refusal."""
    if path in ((), ("",)):
        return Reply(OK, JSON, _json_list(found))
    try:
        name = ACIdentifier("/".join(path))
    except InvalidSpec as err:
        raise Refusal(BAD_REQUEST, "it is not a name of an annotation") from err
    text = found.get(name)
    if text is None:
        raise Refusal(NOT_FOUND, "there is no such annotation")
    return Reply(OK, _ASCII if text.isascii() else _PLAIN, text.encode(errors="replace"))


def _json_list(found: Labels) -> bytes:
    """The annotations as appc's manifests have them."""
    named = canonical_json({"annotations": found.to_json()})
    return named[named.index(b"[") : named.rindex(b"]") + 1]


def _signature(key: bytes, uuid: str, content: bytes) -> bytes:
    """The signature of a content by a pod. Source: behaviours F4."""
    return hmac.digest(key, bytes.fromhex(uuid.replace("-", "")) + content, "sha512")


def _content(form: dict[str, bytes]) -> bytes:
    if not form.get("content"):
        raise Refusal(BAD_REQUEST, "the form has no content")
    return form["content"]


def _signed(key: bytes, pod: RegisteredPod, form: dict[str, bytes]) -> Reply:
    return Reply(OK, _ASCII, base64.b64encode(_signature(key, pod.uuid, _content(form))))


def _verified(key: bytes, _pod: RegisteredPod, form: dict[str, bytes]) -> Reply:
    content, uuid = _content(form), form.get("uuid", b"").decode("latin-1").lower()
    if not is_uuid(uuid):
        raise Refusal(BAD_REQUEST, "the form has no uuid")
    try:
        given = base64.b64decode(form.get("signature", b""), validate=True)
    except binascii.Error as err:
        raise Refusal(BAD_REQUEST, "the signature is not base64") from err
    if not given:
        raise Refusal(BAD_REQUEST, "the form has no signature")
    if not hmac.compare_digest(given, _signature(key, uuid, content)):
        raise Refusal(FORBIDDEN, "the signature is not that of this pod for this content")
    return Reply(OK)


def _wanted(text: str) -> Registration:
    """The token and the addresses of a registration. Raises Refusal."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PAIRS)
        tokens = [value for name, value in pairs if name == "token"]
        if len(tokens) != 1 or not is_token(tokens[0]):
            raise Refusal(BAD_REQUEST, "a token of 32 hex digits is needed")
        return Registration(tokens[0], "", tuple(value for name, value in pairs if name == "address"))
    except (ValueError, InvalidSpec) as err:
        raise Refusal(BAD_REQUEST, "an address is not one") from err


def _add_pod(registry: Registry, uuid: str, wanted: Registration, body: bytes, about: Reply) -> Reply:
    try:
        registry.add(RegisteredPod(uuid, wanted, body))
    except PodError as err:
        raise Refusal(BAD_REQUEST, err.message) from err
    return about


def _add_image(registry: Registry, uuid: str, app: str, body: bytes) -> Reply:
    pod = registry.pod(uuid)
    if pod is None:
        raise Refusal(NOT_FOUND, "the pod is not registered")
    try:
        ACName(app)
        if not pod.has_app(app):
            raise Refusal(NOT_FOUND, "the pod has no such app")
        pod.add_image(app, body)
    except PodError as err:
        raise Refusal(BAD_REQUEST, err.message) from err
    return Reply(OK)


def _removed(registry: Registry, uuid: str) -> Reply:
    if not registry.remove(uuid):
        raise Refusal(NOT_FOUND, "the pod is not registered")
    return Reply(OK)


def too_large(most: int) -> Refusal:
    """The refusal of a body."""
    return Refusal(TOO_LARGE, f"a body has at most {most} bytes" if most else "this request has no body")
