# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that a pod gets again where they fit and are free: those of the pod that it takes the place of.

A file of lines, NETWORK ADDRESS. It is a wish: what it says of other networks, or in other words, does not count.
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, PodError
from ..host.files import PRIVATE_FILE, write_new
from ..host.reading import read_text_or
from .addresses import Address
from .info import read_net_info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir

    Kept = tuple[tuple[str, Address], ...]


def write_kept(old: PodDir, new: PodDir) -> None:
    """Let a pod that is prepared ask for the addresses of another one, as far as its record can be read.

    Raises OSError.
    """
    with suppress(PodError, FileNotFoundError):
        lines = [
            f"{info.net_name} {each.address}\n"
            for info in read_net_info(old.net_info)
            for each in info.result.addresses
        ]
        write_new(new.net_kept, "".join(lines).encode(), PRIVATE_FILE, synced=True)


def read_kept(pod: PodDir) -> Kept:
    """The networks and addresses that a pod asks for again; none for most pods."""
    found = []
    with suppress(Corrupt):
        for line in read_text_or(pod.net_kept, "", beneath=pod.path).splitlines():
            name, _space, text = line.partition(" ")
            with suppress(InvalidSpec):
                found.append((name, Address.parse(text)))
    return tuple(found)
