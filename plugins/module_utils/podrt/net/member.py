# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod that joins networks or leaves them, and its membership in one."""

from __future__ import annotations

from ..value import Value
from .neighbours import ALONE, Neighbours
from .place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths
    from ..host.programs import Running
    from .addresses import Address
    from .conf import NetConf


class JoiningPod(Value):
    """A pod that joins networks or leaves them. conf_dir, info_path: where its record is.

    netns: the path of its network namespace, for programs; "" when that has gone. neighbours: tells which pods are
    dead, so that their leases and ports can be taken over. sysctls: the names of those that the pod asked for.
    kept: networks, and addresses on them that the pod gets again where they are free. tables: of begin_tables.
    """

    paths: Paths
    uuid: str
    conf_dir: str
    info_path: str
    neighbours: Neighbours = ALONE
    sysctls: frozenset[str] = frozenset()
    netns: str = ""
    kept: tuple[tuple[str, Address], ...] = ()
    tables: Running | None = None


class NetMember(Value):
    """A network of a pod. args: as they were asked for, K=V;K2=V2. place: the pod's place there."""

    pod: JoiningPod
    conf: NetConf
    place: Place
    args: str = ""
    # What programs get of the runtime, by capability, as JSON. Source: containernetworking/cni CONVENTIONS.md.
    runtime: tuple[tuple[str, str], ...] = ()
