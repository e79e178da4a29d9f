# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registration half of the metadata service: what stage1 says to it, by the socket that only root reaches.

A request is written by hand: http.client would cost such a start 30 ms. Source: behaviours A25, F2, F3.
"""

from __future__ import annotations

import _socket
import errno
import time

from ..contexts import suppress
from ..errors import PodError, Unreachable, reason_of
from ..fields import canonical_json, parse_json
from ..host.reading import decimal
from ..pod.documents import read_app_manifest
from ..value import Value
from . import registration as of_pod
from .registration import PORT, Registration, ServiceFacts, new_token, public_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir
    from ..host.paths import Paths

_TRIES, _PAUSE = 3, 1.0
_SECONDS = 10.0
_CHUNK = 64 << 10
_MOST = 64 << 10  # bytes of an answer
_OK, _NOT_FOUND, _SERVER_ERRORS = 200, 404, 500


class _Answered(Value):
    """An answer of the service."""

    status: int
    body: bytes


class Registrant(Value):
    """A pod that is to be registered. address: of the host in the pod's network, where the service is found.

    sources: the addresses of the pod, the only ones that requests with its token come from.
    """

    uuid: str
    dir: PodDir
    manifest: PodManifest
    address: str
    sources: tuple[str, ...]


def check_reachable(paths: Paths) -> None:
    """Raise Unreachable unless the service takes connections."""
    try:
        _connected(paths).close()
    except OSError as err:
        raise _unreachable(paths, reason_of(err)) from err


def service_facts(paths: Paths) -> ServiceFacts | None:
    """What the service of this host says of itself; None if there is no service. Raises Unreachable, InvalidSpec."""
    try:
        check_reachable(paths)
    except Unreachable:
        return None
    answer = _asked(paths, "GET", "/", b"")
    return ServiceFacts.from_json(parse_json(answer.body, "the answer of the metadata service"))


def register(paths: Paths, pod: Registrant) -> str:
    """Register a pod and its apps. Returns the URL for the apps. Raises Unreachable, OSError.

    The record is written first: the registration is removed by it, even after a crash.
    """
    token = new_token()
    found = Registration(token, public_url(pod.address, PORT, token), pod.sources)
    of_pod.record(pod.dir, found)
    try:
        port = _put_pod(paths, pod.uuid, pod.dir, pod.manifest, found)
    except Unreachable:
        with suppress(Unreachable):  # it may have come, and the answer not
            unregister(paths, pod.uuid, pod.dir)
        of_pod.forget(pod.dir)
        raise
    if port != PORT:
        found = found.replace(url=public_url(pod.address, port, token))
        of_pod.record(pod.dir, found)
    return found.url


def register_again(paths: Paths, uuid: str, pod: PodDir, manifest: PodManifest) -> None:
    """Register a pod whose apps have changed with what it has, if it is registered. Raises Unreachable, OSError."""
    found = of_pod.recorded(pod)
    if found:
        _put_pod(paths, uuid, pod, manifest, found)


def unregister(paths: Paths, uuid: str, pod: PodDir) -> None:
    """Remove the registration of a pod, if it has one. Raises Unreachable, OSError.

    A service that does not know the pod, such as one that was started again, is content. One that does not listen is
    not waited for.
    """
    if of_pod.recorded(pod) is None:
        return
    check_reachable(paths)
    _asked(paths, "DELETE", f"/pods/{uuid}", b"", accepted=(_OK, _NOT_FOUND))
    of_pod.forget(pod)


def _put_pod(paths: Paths, uuid: str, pod: PodDir, manifest: PodManifest, found: Registration) -> int:
    """Register a pod and its apps. Returns the port of the service."""
    query = "&".join(
        (f"token={found.token}", *(f"address={each.replace(':', '%3A')}" for each in found.addresses))
    )
    answer = _asked(paths, "PUT", f"/pods/{uuid}?{query}", canonical_json(manifest.to_json()))
    for app in manifest.apps:
        image = read_app_manifest(pod, str(app.name))
        _asked(paths, "PUT", f"/pods/{uuid}/{app.name}", canonical_json(image.to_json()))
    return _port_of(answer.body)


def _port_of(body: bytes) -> int:
    """The port that the service says it has; rkt's says none."""
    try:
        port = ServiceFacts.from_json(parse_json(body, "the answer")).port
    except PodError:
        return PORT
    return port if 0 < port < 1 << 16 else PORT


def _asked(
    paths: Paths, method: str, target: str, body: bytes, *, accepted: tuple[int, ...] = (_OK,)
) -> _Answered:
    """Ask the service, up to three times a second apart. Raises Unreachable."""
    why = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        try:
            answer = _answer(_exchanged(paths, method, target, body))
        except OSError as err:
            why = reason_of(err)
            continue
        if answer.status in accepted:
            return answer
        why = f"{method} of the pod: status {answer.status}: {answer.body.decode(errors='replace').strip()}"
        if answer.status < _SERVER_ERRORS:
            break
    raise _unreachable(paths, why)


def _unreachable(paths: Paths, why: str) -> Unreachable:
    return Unreachable(
        f"could not reach the metadata service. {paths.mds_socket}: {why}",
        "start it with podctl metadata-service or the module pod_metadata_service, "
        "or leave mds_register (--mds-register) out",
        path=paths.mds_socket,
    )


def _connected(paths: Paths) -> _socket.socket:
    """A connection to the service. Raises OSError."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        made.settimeout(_SECONDS)
        made.connect(paths.mds_socket)
    except BaseException:
        made.close()
        raise
    return made


def _exchanged(paths: Paths, method: str, target: str, body: bytes) -> bytes:
    """Send a request and return all that comes back. Raises OSError."""
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    made = _connected(paths)
    try:
        made.sendall(head.encode() + body)
        return b"".join(_received(made))
    finally:
        made.close()


def _received(made: _socket.socket) -> Iterator[bytes]:
    left = _MOST
    while left > 0:
        chunk = made.recv(_CHUNK)
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


def _answer(data: bytes) -> _Answered:
    """An answer as it came. Raises OSError where it is incomplete."""
    head, _empty, body = data.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ")
    status = decimal(words[1].decode(errors="replace")) if len(words) > 1 else None
    if status is None or not words[0].startswith(b"HTTP/1."):
        raise OSError(errno.EPROTO, "the answer is not complete")
    return _Answered(status, body)
