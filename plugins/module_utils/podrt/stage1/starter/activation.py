# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that systemd, or another service manager, passes to podctl, for apps whose images have such ports.

They listen on the host, whatever network the pod has. Source: sd_listen_fds(3), appc "socketActivated"; behaviours C55.
"""

from __future__ import annotations

import _socket
import os

from ...errors import InvalidSpec
from ...host.listening import passed_descriptors
from ...value import Value
from ..telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...appc.pod import PodManifest, RuntimeApp
    from ...appc.ports import ExposedPort
    from ..inside.wires import AppWires

_INTERNET = (_socket.AF_INET, _socket.AF_INET6)


class PassedSocket(Value):
    """A socket that was passed. port: that it is bound to, 0 for one that has no port."""

    fd: int
    name: str
    port: int = 0


def passed_sockets() -> tuple[PassedSocket, ...]:
    """The sockets that were passed to this process, which are for no other from now on. Raises InvalidSpec."""
    return tuple(PassedSocket(fd, name, _port_of(fd)) for fd, name in passed_descriptors())


def sockets_by_app(
    manifest: PodManifest, sockets: tuple[PassedSocket, ...]
) -> dict[str, tuple[PassedSocket, ...]]:
    """Which app gets which: the only one with such a port all of them, else the one that has the port of a socket.

    Raises InvalidSpec for one that no app has.
    """
    apps = {str(app.name): _ports_of(manifest, app) for app in manifest.apps}
    wanting = {name: ports for name, ports in apps.items() if ports}
    found: dict[str, tuple[PassedSocket, ...]] = {}
    for exposed in () if sockets else _exposed(manifest):
        warn(
            f'port "{exposed.name}" is socket-activated: port {exposed.host_port} of the host is not forwarded to it, '
            "and no socket was passed"
        )
    if sockets and not wanting:
        warn(f"no app has a socket-activated port: {len(sockets)} sockets are passed in vain")
        return found
    for each in sockets:
        meant = [name for name, ports in wanting.items() if len(wanting) == 1 or each.port in ports]
        if len(meant) != 1:
            raise InvalidSpec(
                f"the socket {each.name} on port {each.port} is that of {'several apps' if meant else 'no app'}",
                "let it listen on the port of the app's image, or on the host's port of --port",
                where="ports",
            )
        found[meant[0]] = (*found.get(meant[0], ()), each)
    return found


def with_sockets(
    manifest: PodManifest, wires: Sequence[AppWires], sockets: tuple[PassedSocket, ...]
) -> tuple[AppWires, ...]:
    """The descriptors of the apps of a pod, with the sockets that they get. Raises InvalidSpec as sockets_by_app."""
    by_app = sockets_by_app(manifest, sockets)
    own = [by_app.get(str(app.name), ()) for app in manifest.apps]
    return tuple(
        each.replace(
            sockets=tuple(passed.fd for passed in given),
            socket_names=":".join(passed.name for passed in given),
        )
        for given, each in zip(own, wires)
    )


def _ports_of(manifest: PodManifest, app: RuntimeApp) -> frozenset[int]:
    """The ports of an app that are socket-activated, as the image and as the host have them."""
    ports = [port for port in (app.app.ports if app.app else ()) if port.socket_activated]
    names = {port.name for port in ports}
    mapped = (each.host_port for each in manifest.ports if each.name in names)
    return frozenset((*(port.port for port in ports), *mapped))


def _exposed(manifest: PodManifest) -> tuple[ExposedPort, ...]:
    """The ports of the host that lead to socket-activated ones."""
    ports = [port for app in manifest.apps for port in (app.app.ports if app.app else ())]
    names = {port.name for port in ports if port.socket_activated}
    return tuple(each for each in manifest.ports if each.name in names)


def _port_of(fd: int) -> int:
    """The port that a socket is bound to."""
    looked_at = _socket.socket(fileno=os.dup(fd))
    try:
        if looked_at.family not in _INTERNET:
            return 0
        return int(looked_at.getsockname()[1])
    finally:
        looked_at.close()
