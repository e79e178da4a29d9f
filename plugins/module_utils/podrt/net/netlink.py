# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links by pyroute2: what is not on the start path of ptp and bridge, and reading back.

The only file that imports pyroute2, and only inside a function: its import costs 150 ms.
"""

from __future__ import annotations

import contextlib

from ..errors import HostFailure, Unsupported
from .rtsocket import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Message(Protocol):
        """What pyroute2 answers about a link."""

        def __getitem__(self, key: str) -> int: ...

        def get_attr(self, name: str) -> object:
            """The value of an attribute, None when it is absent."""

    class Route(Protocol):
        """The part of pyroute2.IPRoute that is used here."""

        def get_links(self) -> list[Message]:
            """Every interface."""

        def link_lookup(self, **filters: object) -> list[int]:
            """The indexes of the interfaces that fit."""

        def link(self, command: str, **wishes: object) -> object:
            """Do something to an interface."""

        def close(self) -> None:
            """Close the socket."""


def links_with_prefix(prefix: str) -> tuple[Link, ...]:
    """The interfaces of this network namespace whose names begin so. Raises Unsupported without pyroute2."""
    with _route() as route:
        found = tuple(_link(message) for message in route.get_links())
        return tuple(link for link in found if link.name.startswith(prefix))


def delete_link(name: str) -> None:
    """Remove an interface; one that is not there is fine. Raises HostFailure, Unsupported without pyroute2."""
    with _route() as route:
        for index in route.link_lookup(ifname=name):
            try:
                route.link("del", index=index)
            except Exception as err:  # pyroute2's errors are known only once it is imported
                raise HostFailure(f"cannot remove the interface {name}: {err}") from err


@contextlib.contextmanager
def _route() -> Iterator[Route]:
    try:
        from pyroute2 import IPRoute
    except ImportError as err:
        raise Unsupported(
            "the library pyroute2 is not installed", "the runtime brings it; install it again"
        ) from err
    route: Route = IPRoute()
    try:
        yield route
    finally:
        route.close()


def _link(message: Message) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    master = message.get_attr("IFLA_MASTER")
    return Link(
        str(message.get_attr("IFLA_IFNAME")),
        message["index"],
        _kind(info),
        str(message.get_attr("IFLA_IFALIAS") or ""),
        master if isinstance(master, int) else 0,
    )


def _kind(info: object) -> str:
    attr = getattr(info, "get_attr", None)
    return str(attr("IFLA_INFO_KIND") or "") if attr else ""
