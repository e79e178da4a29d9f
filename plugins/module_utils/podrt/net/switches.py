# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches of the kernel's networking, as files below /proc/sys, in the network namespace of this process.

The kernel accepts router advertisements and redirects by default, and a pod with CAP_NET_RAW, which is a default
capability, can send both (CVE-2020-13401, CVE-2020-10749). So links that are made here ignore them, and so do pods by
default. Source: the kernel's Documentation/networking/ip-sysctl.rst.
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import HostFailure
from ..host.files import entries, write_kernel
from ..host.reading import kernel_text_or
from .rtsocket import OUR_BRIDGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .rtsocket import Link

FORWARDING6 = "net/ipv6/conf/all/forwarding"
_EVEN_AS_ROUTER = "2"
_ROUTERS = (
    "net/ipv6/conf/{}/accept_ra",
    "net/ipv6/conf/{}/accept_redirects",
    "net/ipv4/conf/{}/accept_redirects",
)
# For IPv4 redirects "all" applies beside the link's own; links that are made later start with "default".
_EVERY_LINK = ("all", "default")
_NEVER = (*_EVERY_LINK, "lo")


def set_sysctl(key: str, value: str) -> None:
    """Set a switch unless it is set already. key: below /proc/sys. Raises HostFailure."""
    path = f"/proc/sys/{key}"
    if kernel_text_or(path, "") == value:
        return
    try:
        write_kernel(path, value)
    except OSError as err:
        raise HostFailure.of(f"cannot set {key.replace('/', '.')} to {value}", err) from err


def set_on_host(key: str, value: str) -> None:
    """Set a switch of the host, as set_sysctl. What it accepts from routers stays the same when it forwards IPv6.

    A link with accept_ra 1 then loses the routes that routers have advertised, and ignores further ones, unless it
    has 2 before. So a process that is killed in between leaves a host that has lost nothing. Raises HostFailure.
    """
    if key == FORWARDING6 and value != "0" and is_off(key):
        _go_on_believing()
    set_sysctl(key, value)


def switch_off(key: str) -> None:
    """Set a switch to 0; a missing one, as of a link without IPv6 or one that has gone, is off.

    Raises HostFailure.
    """
    try:
        if not is_off(key):
            write_kernel(f"/proc/sys/{key}", "0")
    except FileNotFoundError:
        pass
    except OSError as err:
        raise HostFailure.of(f"cannot set {key.replace('/', '.')} to 0", err) from err


def is_off(key: str) -> bool:
    """Whether a switch is 0 or missing. Raises OSError."""
    return kernel_text_or(f"/proc/sys/{key}", "0") == "0"


def ignore_routers(link: str) -> None:
    """Make a link ignore router advertisements and redirects. Raises HostFailure."""
    for key in _keys_of(link):
        switch_off(key)


def ignores_routers(link: str) -> bool:
    """Whether a link ignores router advertisements and redirects. Raises OSError."""
    return all(map(is_off, _keys_of(link)))


def new_links_ignore_routers(asked: Collection[str]) -> None:
    """Make all later links ignore them, except for the sysctls asked for, by name. Raises HostFailure."""
    for link in _EVERY_LINK:
        for key in _keys_of(link):
            if key.replace("/", ".") not in asked:
                switch_off(key)


def accepts_ra(link: str) -> bool:
    """Whether a link takes addresses and routes from router advertisements. Raises OSError."""
    conf = f"/proc/sys/net/ipv6/conf/{link}"
    heeded = kernel_text_or(f"{conf}/accept_ra", "0")
    if heeded == "0" or kernel_text_or(f"{conf}/disable_ipv6", "1") != "0":
        return False
    return heeded != "1" or kernel_text_or(f"{conf}/forwarding", "0") == "0"


def may_change(link: Link) -> bool:
    """Whether the switches of a link of the host are ours: a foreign bridge may be the host's default route."""
    return link.kind != "bridge" or link.alias == OUR_BRIDGE


def localnet_key(link: str) -> str:
    """The switch route_localnet of a link, see localnet."""
    return f"net/ipv4/conf/{link}/route_localnet"


def _go_on_believing() -> None:
    """Links of the host that believe routers go on to when the host is one itself.

    Those that forward already do not believe any. Links that are made later have the default.
    """
    for link in entries("/proc/sys/net/ipv6/conf"):
        conf = f"net/ipv6/conf/{link}"
        heeded = f"/proc/sys/{conf}/accept_ra"
        if link not in _NEVER and kernel_text_or(heeded, "0") == "1" and is_off(f"{conf}/forwarding"):
            with suppress(FileNotFoundError):  # it has gone
                write_kernel(heeded, _EVEN_AS_ROUTER)


def _keys_of(link: str) -> Iterator[str]:
    return (key.format(link) for key in _ROUTERS)
