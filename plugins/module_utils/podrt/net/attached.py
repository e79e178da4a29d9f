# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is attached to a network: pods by their records, containers of other engines by the cache of CNI's library.

Programs are asked to forget all others, see collect_attachments. So where one of these cannot be known, none is asked.
Source: containernetworking/cni libcni/api.go, "cniCacheV1".
"""

from __future__ import annotations

import time

from ..errors import Corrupt, InvalidSpec
from ..fields import Fields, parse_json
from ..host.files import entries
from ..host.reading import read_trusted
from ..value import Value
from .record import members_of, read_copies, read_infos

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .member import JoiningPod, NetMember

# A pod that joins networks or leaves them has a part of its record for a moment.
_LOOKS, _PAUSE = 5, 0.05


class AttachedContainer(Value):
    """An interface of a container, by the names that programs know."""

    container: str
    if_name: str

    def to_json(self) -> dict[str, str]:
        """As programs read it. Source: containernetworking/cni SPEC.md, "GC"."""
        return {"containerID": self.container, "ifname": self.if_name}


def attached_pods(network: str, pods: Iterable[JoiningPod]) -> Iterator[AttachedContainer]:
    """The pods that are attached to a network, or may be. Raises Corrupt, OSError."""
    for pod in pods:
        for member in _memberships(pod):
            if member.conf.name == network:
                yield AttachedContainer(pod.uuid, member.place.if_name)


def attached_elsewhere(network: str, directory: str) -> Iterator[AttachedContainer]:
    """What other engines have attached to a network. directory: of the cache. Raises Corrupt, OSError.

    The names of its files are that of the network, of the container and of the interface, joined by hyphens.
    """
    for name in entries(directory):
        if not name.startswith(f"{network}-"):
            continue
        path = f"{directory}/{name}"
        try:
            fields = Fields(parse_json(read_trusted(path), path), path)
            found = AttachedContainer(fields.text("containerId"), fields.text("ifName"))
            is_here = fields.text("networkName") == network
        except FileNotFoundError:
            continue  # it has just been detached
        except (Corrupt, InvalidSpec) as err:
            raise Corrupt(
                f"cannot tell what another engine has attached to networks: {err}",
                f"remove {path} if no container needs it",
                path=path,
            ) from err
        if is_here:
            yield found


def _memberships(pod: JoiningPod) -> list[NetMember]:
    """The networks that a pod has joined, or had begun to. Raises Corrupt, OSError."""
    for _look in range(_LOOKS):
        copies = read_copies(pod)
        members = [member for member, _result in members_of(pod, copies)]
        infos = read_infos(pod)
        if copies.whole and len(members) >= len(infos):
            return members
        if not infos and not entries(pod.conf_dir):
            return []
        time.sleep(_PAUSE)  # it may be joining or leaving
    raise Corrupt(
        f"cannot tell which networks pod {pod.uuid} has joined: {pod.conf_dir} is damaged",
        "remove the pod",
        path=pod.conf_dir,
    )
