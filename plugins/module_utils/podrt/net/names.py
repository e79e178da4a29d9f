# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names by which the pods of a network find each other: lines in the slots of each other's hosts files.

A pod is on the list of its network before its lines are in any file, and until they are in none. So what a killed
process leaves is found by the list: its pod has ended, and whatever takes that out of its networks drops its lines, as
often as it is done. A pod whose name or whose address another one enters with has ended as well, and goes with that.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Corrupt, first_of, printable
from ..host.files import entries
from ..host.reading import open_regular, read_bytes
from ..value import Value
from . import slots
from .name_list import ASIDE, NameEntry, list_of, locked_list, read_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir
    from ..host.paths import Paths
    from .info import NetInfo
    from .name_list import NameList


_SHOWN = 5
HOSTS = "/etc/hosts"
# No pod is that to another one, whatever it is called.
LOCAL = ("localhost", "localhost.localdomain", "ip6-localhost")


class NamedPod(Value):
    """A pod that others find by its names, or that finds them.

    home: the directory that it is in. names: its own is the first, if it has one. files: its hosts files, relative to
    home. own: names by which only it knows itself.
    """

    uuid: str
    home: str
    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


class WrongNames(Value):
    """How the hosts file of an app differs from what it should have: lines that it lacks, and those that are old.

    full: whether there is no place for more, which only the app can have brought about.
    """

    file: str
    lacks: tuple[str, ...]
    old: tuple[str, ...]
    full: bool = False


def names_of(name: str, aliases: Sequence[str], manifest: PodManifest) -> tuple[str, ...]:
    """The names of a pod: its own, its aliases, and PORT.NAME for each port of its apps that has a name. Pure.

    The name of a docker image's port is a number, and does not count.
    """
    ports = [port.name for app in manifest.apps if app.app for port in app.app.ports]
    named = (f"{port}.{name}" for port in ports if not port[:1].isdigit())
    found = dict.fromkeys((name, *aliases, *named)) if name else {}
    return tuple(each for each in found if each.lower() not in LOCAL)


def named_pod(
    pod: PodDir, manifest: PodManifest, names: tuple[str, ...], hostname: str, *, lists: bool
) -> NamedPod:
    """A pod with its hosts files, one for each app that has no volume there. lists: whether it has any. Pure."""
    home, uuid = os.path.split(pod.path)
    apps = [app.name for app in manifest.apps if lists and not app.is_mounted_at(HOSTS)]
    return NamedPod(
        uuid,
        home,
        names,
        tuple(os.path.relpath(pod.app_hosts(app), home) for app in apps),
        (hostname,) if hostname and lists else (),
    )


def enter(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> None:
    """Let the pods of its networks find a pod, and let it find them.

    Raises HostFailure when its own files cannot be written, and Conflict.
    """
    own = _own_lines(pod, infos)
    for network, lines in _by_network(pod.names, infos):
        with locked_list(paths, list_of(paths, network)) as listed:
            _enter(listed, pod, lines, own)


def leave(paths: Paths, uuid: str) -> None:
    """Take a pod off the lists of all networks, and its lines out of the files of others. Raises PodError."""
    for file in entries(paths.name_lists):
        path = paths.name_list(file)
        if not file.endswith(ASIDE) and _mentions(path, uuid):
            with locked_list(paths, path) as listed:
                _leave(listed, uuid)


def _enter(listed: NameList, pod: NamedPod, lines: tuple[str, ...], own: tuple[str, ...]) -> None:
    mine = NameEntry(pod.uuid, pod.home, pod.names[0] if pod.names else "", pod.files, lines)
    addresses = tuple(f"{address} " for address in mine.addresses)
    ended = [entry for entry in listed.pods if _has_ended(entry, mine, addresses)]
    others = [entry for entry in listed.pods if entry not in ended] if ended else listed.pods
    listed.write([*others, mine])
    stay = [line for entry in others for line in entry.lines]
    gone = {line for entry in ended for line in entry.lines}.difference(stay, lines)
    if ended:
        _revise_each(others, lambda fd: slots.revise(fd, lines, gone))
    else:
        _revise_each(others, lambda fd: slots.append(fd, lines, len(stay)))
    _revise_own(pod, [*stay, *lines, *own], gone)


def _leave(listed: NameList, uuid: str) -> None:
    left = [entry for entry in listed.pods if entry.uuid != uuid]
    gone = {line for entry in listed.pods if entry.uuid == uuid for line in entry.lines}
    gone = gone.difference(*(entry.lines for entry in left))
    _revise_each(left, lambda fd: slots.revise(fd, (), gone))
    listed.write(left)


def is_listed(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> bool:
    """Whether a running pod is on the lists of its networks, with all its names and files. Raises OSError."""
    return all(
        any(_covers(entry, pod, lines) for entry in _listed(paths, network))
        for network, lines in _by_network(pod.names, infos)
    )


def _covers(entry: NameEntry, pod: NamedPod, lines: Sequence[str]) -> bool:
    """Whether an entry has all of a pod. It may have more, of an app that has been removed."""
    return entry.uuid == pod.uuid and {*lines} <= {*entry.lines} and {*pod.files} <= {*entry.files}


def wrong_names(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> tuple[WrongNames, ...]:
    """How the hosts files of a running pod differ from the lists of its networks. Raises OSError, Corrupt."""
    wanted = _wanted(paths, pod, infos)
    found: list[WrongNames] = []
    for file in pod.files:
        held = _content(pod.home, file)
        there = slots.slots_in(held)
        lacks = tuple(line for line in wanted if line not in there)
        old = tuple(line for line in there if line not in wanted)
        if lacks or old:
            found.append(WrongNames(file, lacks, old, slots.is_full(held)))
    return tuple(found)


def what_is_wrong(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> str:
    """The same in words, for users; "" if nothing is. Raises OSError; Corrupt for what cannot be mended."""
    wrong = wrong_names(paths, pod, infos)
    for each in wrong:
        if each.lacks and each.full:
            raise Corrupt("an app has filled its /etc/hosts, which has no place for them", path=each.file)
    lacks = {line.split()[1] for each in wrong for line in each.lacks}
    old = {line.split()[1] for each in wrong for line in each.old if len(line.split()) > 1}
    said = []
    if not is_listed(paths, pod, infos):
        said.append("missing: it is not on the list of names")
    for what, names in (("missing: names in /etc/hosts", lacks), ("old names in /etc/hosts", old)):
        if names:
            said.append(f"{what}: {printable(first_of(sorted(names), _SHOWN))}")
    return "; ".join(said)


def mend(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> None:
    """Give a running pod its place on the lists of its networks again, and its files their lines. Raises PodError."""
    if not is_listed(paths, pod, infos):
        enter(paths, pod, infos)
    for network, _lines in _by_network(pod.names, infos):
        with locked_list(paths, list_of(paths, network)):
            old = {line for wrong in wrong_names(paths, pod, infos) for line in wrong.old}
            _revise_own(pod, _wanted(paths, pod, infos), old)


def _by_network(names: Sequence[str], infos: Iterable[NetInfo]) -> list[tuple[str, tuple[str, ...]]]:
    """The networks of a pod, each with the lines for its addresses there. Pure."""
    found: dict[str, tuple[str, ...]] = {}
    for info in infos:
        lines = (line for each in info.result.addresses for line in slots.lines_of(str(each.address), names))
        found[info.net_name] = (*found.get(info.net_name, ()), *lines)
    return list(found.items())


def _own_lines(pod: NamedPod, infos: Sequence[NetInfo]) -> tuple[str, ...]:
    """Lines that only the pod itself has: of its host name, at its addresses in its first network. Pure."""
    first = infos[0].result.addresses if infos else ()
    return tuple(line for each in first for line in slots.lines_of(str(each.address), pod.own))


def _wanted(paths: Paths, pod: NamedPod, infos: Sequence[NetInfo]) -> list[str]:
    networks = [network for network, _lines in _by_network(pod.names, infos)]
    of_others = [line for each in networks for entry in _listed(paths, each) for line in entry.lines]
    return [*dict.fromkeys((*of_others, *_own_lines(pod, infos)))]


def _listed(paths: Paths, network: str) -> tuple[NameEntry, ...]:
    return read_list(list_of(paths, network)).pods


def _has_ended(entry: NameEntry, mine: NameEntry, addresses: tuple[str, ...]) -> bool:
    """Whether a pod on the list must have ended, since another one has its name or an address of its now. Pure.

    addresses: those, with a blank each. An entry of the other one itself is replaced likewise.
    """
    if entry.uuid == mine.uuid or (mine.name and entry.name == mine.name and entry.home == mine.home):
        return True
    return entry.begins_with(addresses)


def _revise_each(others: Iterable[NameEntry], revise: Callable[[int], None]) -> None:
    """Revise the files of other pods as far as that is possible: what their apps do with them is their own affair.

    revise: gets a descriptor of each.
    """
    bases: dict[str, int] = {}
    try:
        for entry in others:
            with suppress(OSError):
                if entry.home not in bases:
                    bases[entry.home] = os.open(entry.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            for file in entry.files if entry.home in bases else ():
                with suppress(OSError):
                    _revise(bases[entry.home], file, revise)
    finally:
        for base in bases.values():
            os.close(base)


def _revise_own(pod: NamedPod, add: Sequence[str], drop: Collection[str]) -> None:
    """Revise the files of a pod, without that of an app that has been removed. Raises OSError."""
    base = os.open(pod.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for file in pod.files:
            with suppress(FileNotFoundError):
                _revise(base, file, lambda fd: slots.revise(fd, add, drop))
    finally:
        os.close(base)


def _revise(base: int, file: str, revise: Callable[[int], None]) -> None:
    fd = slots.open_file(base, file)
    try:
        revise(fd)
    finally:
        os.close(fd)


def _content(home: str, file: str) -> bytes:
    """The content of a hosts file, as far as it counts; of one that is missing, none. Raises OSError, Corrupt."""
    try:
        fd = open_regular(f"{home}/{file}", beneath=home)
    except FileNotFoundError:
        return b""
    try:
        return slots.read(fd)
    finally:
        os.close(fd)


def _mentions(path: str, uuid: str) -> bool:
    try:
        return uuid.encode() in read_bytes(path)
    except (OSError, Corrupt):
        return False
