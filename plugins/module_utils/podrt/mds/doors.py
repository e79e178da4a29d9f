# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of the metadata service: those that a service manager passes, and its own in place of others.

Only root reaches the socket for registrations, by its mode. Queries come to all addresses of the host, as in rkt, by
IPv6 as well where the kernel has it. Source: behaviours F1.
"""

from __future__ import annotations

import os
import socket

from ..contexts import suppress
from ..errors import HostFailure, InvalidSpec
from ..host.files import OPEN_DIR, make_dirs
from ..host.listening import passed_descriptors
from ..value import Value
from .service import Door

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

_ONLY_ROOT = 0o177  # of umask: mode 0600
_ANY = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))
_INTERNET = (socket.AF_INET, socket.AF_INET6)


class Doors(Value):
    """All sockets. made: the path of a socket that this process has made, "" where it was passed."""

    queries: Door
    registrations: Door
    made: str

    @property
    def port(self) -> int:
        """The port for queries."""
        return int(self.queries.sockets[0].getsockname()[1])


def open_doors(paths: Paths, port: int) -> Doors:
    """The sockets that were passed; of a kind that was not, new ones. Raises InvalidSpec, HostFailure."""
    passed = tuple(socket.socket(fileno=fd) for fd, _name in passed_descriptors())
    for each in passed:
        if each.type != socket.SOCK_STREAM or each.family not in (*_INTERNET, socket.AF_UNIX):
            raise InvalidSpec("a socket that was passed is neither of TCP nor a stream of this host")
    queries = tuple(each for each in passed if each.family in _INTERNET)
    registrations = tuple(each for each in passed if each.family == socket.AF_UNIX)
    made = "" if registrations else paths.mds_socket
    return Doors(
        Door(queries or _listening(port), public=True),
        Door(registrations or (_registering(paths),), public=False),
        made,
    )


def _listening(port: int) -> tuple[socket.socket, ...]:
    """Sockets on all addresses of the host. Raises HostFailure."""
    found: list[socket.socket] = []
    for family, address in _ANY:
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without IPv6
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((address, found[0].getsockname()[1] if found else port))
        except OSError as err:
            made.close()
            if found:
                continue  # IPv6 is switched off
            raise HostFailure.of(
                f"cannot listen on port {port}",
                err,
                "choose another one: port of the module, --listen-port of podctl",
            ) from err
        found.append(made)
    return tuple(found)


def _registering(paths: Paths) -> socket.socket:
    """The socket for registrations, in place of one that was left. The caller holds the lock of the service."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_dirs(paths.run, OPEN_DIR)
        with suppress(FileNotFoundError):
            os.unlink(paths.mds_socket)
        before = os.umask(_ONLY_ROOT)
        try:
            made.bind(paths.mds_socket)
        finally:
            os.umask(before)
    except OSError as err:
        made.close()
        raise HostFailure.of(f"cannot listen on {paths.mds_socket}", err) from err
    return made
