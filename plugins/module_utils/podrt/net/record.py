# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a pod's networks in its directory: copies of their configurations, and net-info.json.

It says how to take the pod out again, whatever has become of the configurations meanwhile.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, PodError
from ..host.files import PRIVATE_DIR, PRIVATE_FILE, entries, entries_if_any, make_dirs, remove_tree, write_new
from ..value import Value
from .conf import ChosenNet, NetConf
from .info import NetInfo, read_conf, read_copy, read_net_info
from .member import NetMember
from .place import Place
from .plan import result_of
from .programs import find_programs
from .result import NetResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .member import JoiningPod


def copy_confs(conf_dir: str, confs: Sequence[NetConf]) -> tuple[str, ...]:
    """Copy configurations, under the names of their files where these differ. Returns the paths. Raises OSError."""
    remove_tree(conf_dir)  # through a link, the copies would be made elsewhere
    make_dirs(conf_dir)
    copies: list[str] = []
    for conf in confs:
        copy = f"{conf_dir}/{conf.file_name}"
        if copy in copies:
            copy = f"{conf_dir}/{len(copies)}-{conf.file_name}"
        write_new(copy, conf.raw.encode(), PRIVATE_FILE)
        copies.append(copy)
    return tuple(copies)


def forget_copies(conf_dir: str) -> None:
    """Leave an empty directory, the sign that nothing is held any more, whatever was in its place. Raises OSError."""
    if os.path.islink(conf_dir) or not os.path.isdir(conf_dir):
        remove_tree(conf_dir)
        with suppress(FileNotFoundError):  # the pod's directory has gone as well
            os.mkdir(conf_dir, PRIVATE_DIR)
        return
    for name in entries(conf_dir):
        remove_tree(f"{conf_dir}/{name}")


def info_of(member: NetMember, copy: str, publisher: str, limit: int = 0) -> NetInfo:
    """The record of a network before the pod is added to it: what its first plugin will make, if that is known."""
    main = member.conf.main
    known = result_of(main, member.place, member.pod.netns) if main.is_built_in else NetResult()
    return NetInfo(
        net_name=member.conf.name,
        conf_path=copy,
        plugins=tuple(plugin.program or plugin.type for plugin in member.conf.plugins),
        if_name=member.place.if_name,
        result=known,
        args=member.args,
        host_if=next((each.name for each in known.interfaces if each.name == member.place.host_if), ""),
        ip_masq=main.ip_masq,
        publisher=publisher,
        ipam=main.ipam_program,
        isolated=main.isolates,
        limit=limit,
        masq_all=any(plugin.masks_clients for plugin in member.conf.plugins),
    )


class Copies(Value):
    """The copied configurations. whole: whether all of them are there and can be read."""

    confs: tuple[NetConf, ...]
    whole: bool


def read_copies(pod: JoiningPod) -> Copies:
    """Every copy that can be read."""
    names, confs = entries_if_any(pod.conf_dir), []
    for name in names:
        # A copy that a crash truncated is not valid, and nothing was done for it yet.
        with suppress(InvalidSpec, Corrupt, OSError):
            conf = read_conf(pod.conf_dir, name)
            if conf.flaw is None:
                confs.append(conf)
    return Copies(tuple(confs), len(confs) >= max(1, len(names), len(read_infos(pod))))


def read_infos(pod: JoiningPod) -> tuple[NetInfo, ...]:
    """The pod's net-info.json; nothing where that is damaged."""
    try:
        return read_net_info(pod.info_path)
    except (PodError, OSError):
        return ()


def members_of(pod: JoiningPod, copies: Copies) -> tuple[tuple[NetMember, NetResult], ...]:
    """The networks that a pod has joined, or had begun to, with the results; in the order of its interfaces.

    Where net-info.json is damaged, by the copies alone, which are named in that order.
    """
    infos = read_infos(pod)
    if not infos:
        return tuple(_unrecorded(pod, conf, index) for index, conf in enumerate(copies.confs))
    found = []
    for index, info in enumerate(infos):
        with suppress(InvalidSpec, Corrupt, OSError):
            conf = read_copy(pod.conf_dir, info)
            found.append((NetMember(pod, conf, info.place(pod.uuid, index), info.args), info.result))
    return tuple(found)


def _unrecorded(pod: JoiningPod, conf: NetConf, index: int) -> tuple[NetMember, NetResult]:
    with suppress(PodError, OSError):
        conf = find_programs((ChosenNet(conf),), pod.paths).resolve(conf)
    return NetMember(pod, conf, Place(pod.uuid, index)), NetResult()
