# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service as units of systemd: a socket that is open while it is wanted, and the service behind it."""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, HostFailure
from ..host.files import OPEN_DIR, make_dirs, write_atomically, write_new
from ..host.paths import MDS_SERVICE, MDS_SOCKET
from ..host.reading import read_trusted
from ..value import Value
from .units import quoted, state_of_text, systemctl, systemctl_status, with_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host

_MODE = 0o644
_IPV6 = "/proc/net/if_inet6"
_SERVICE = """\
[Unit]
Description=Metadata service of pods
Requires={socket}
After={socket}

[Service]
ExecStart={podctl} metadata-service
Restart=on-failure
SyslogIdentifier=pods-metadata
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=-{run}
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""
_SOCKET = """\
[Unit]
Description=Sockets of the metadata service of pods

[Socket]
ListenStream=0.0.0.0:{port}
{ipv6}ListenStream={path}
SocketMode=0600
DirectoryMode=0755
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
_SOCKET_IPV6 = "ListenStream=[::]:{port}\nBindIPv6Only=ipv6-only\n"
_PORT = "ListenStream=0.0.0.0:"


class ServiceUnits(Value):
    """The units as they are. text: absent, as described, outdated (an older release wrote it), edited, or not loaded.

    port: 0 where there is no socket.
    """

    text: str
    enabled: bool
    active: bool
    port: int


def texts(host: Host, port: int) -> tuple[str, str]:
    """The units as they are to be: the service, which is started with this runtime, and the socket."""
    ipv6 = _SOCKET_IPV6.format(port=port) if os.path.exists(_IPV6) else ""
    service = _SERVICE.format(
        socket=MDS_SOCKET, podctl=" ".join(map(quoted, host.podctl)), run=host.paths.run
    )
    socket = _SOCKET.format(port=port, ipv6=ipv6, path=host.paths.mds_socket)
    return with_head(host, service), with_head(host, socket)


def read_units(host: Host, port: int) -> ServiceUnits:
    """The units of the host. port: that they are to have. Raises Conflict for those of an administrator."""
    found = [_read(path) for path in host.paths.mds_units]
    states = [state_of_text(host, text, wanted) for text, wanted in zip(found, texts(host, port))]
    for path, state in zip(host.paths.mds_units, states):
        if state == "foreign":
            raise Conflict(
                f"{path} was not written for pods in {host.paths.data}", "remove the unit", path=path
            )
    text = next((state for state in states if state != "as described"), "as described")
    if text == "as described" and os.path.exists(host.paths.mds_unread):
        text = "not loaded"
    return ServiceUnits(
        text,
        os.path.islink(host.paths.enabled_mds),
        systemctl_status(host, "is-active", "--quiet", MDS_SOCKET) == 0,
        _port_of(found[1]),
    )


def install(host: Host, port: int, *, enabled: bool) -> None:
    """Write and load the units, and open the socket. What runs is ended before: the pods stay registered."""
    _mark_unread(host)
    for path, text in zip(host.paths.mds_units, texts(host, port)):
        write_atomically(path, text.encode(), _MODE)
    _reload(host)
    close(host)
    enable(host, enabled=enabled)
    _open(host, port)


def enable(host: Host, *, enabled: bool) -> None:
    """Have a boot open the socket, or not."""
    if os.path.islink(host.paths.enabled_mds) != enabled:
        systemctl(host, "--quiet", "enable" if enabled else "disable", MDS_SOCKET)


def close(host: Host) -> None:
    """Close the socket, and end the service."""
    systemctl(host, "stop", MDS_SOCKET, MDS_SERVICE)
    systemctl(host, "reset-failed", MDS_SOCKET, MDS_SERVICE, check=False)


def remove(host: Host) -> None:
    """Remove the units."""
    close(host)
    enable(host, enabled=False)
    _mark_unread(host)
    for path in host.paths.mds_units:
        with suppress(FileNotFoundError):
            os.unlink(path)
    _reload(host)


def _read(path: str) -> str:
    try:
        return read_trusted(path).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _port_of(text: str) -> int:
    lines = [line for line in text.splitlines() if line.startswith(_PORT)]
    digits = lines[0][len(_PORT) :] if lines else ""
    return int(digits) if digits.isdigit() else 0


def _open(host: Host, port: int) -> None:
    """Have systemd open the socket. Raises HostFailure with its words as the reason."""
    try:
        systemctl(host, "start", MDS_SOCKET)
    except HostFailure as err:
        raise HostFailure(
            f"cannot start the metadata service: {err.message}",
            f"systemctl status {MDS_SOCKET} and journalctl -u {MDS_SOCKET} say why; "
            f"ss -lntp shows whether another process has port {port}",
        ) from err


def _mark_unread(host: Host) -> None:
    make_dirs(host.paths.run, OPEN_DIR)
    write_new(host.paths.mds_unread, b"")


def _reload(host: Host) -> None:
    systemctl(host, "daemon-reload")
    with suppress(FileNotFoundError):
        os.unlink(host.paths.mds_unread)
