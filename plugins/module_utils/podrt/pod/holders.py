# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of a host that hold resources of its networks, in any data directory.

Addresses, ports and the nftables table belong to the host, and name their holder by its UUID. A link in
/run/pods/holders leads from a UUID to the data directory of the pod. It is created before the pod holds anything and
removed after it has released everything, so a UUID without a link, and without a pod here, is another engine's.
"""

from __future__ import annotations

import errno
import os

from ..contexts import suppress
from ..errors import NotFound
from ..host.files import OPEN_DIR, entries, make_dirs
from .lifecycle import PodState, locate, open_pod, seems_to_run, walk
from .names import is_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from ..host.dirs import PodDir
    from ..host.paths import Paths
    from .lifecycle import Pod

_TRIES = 20
_HELD_IN = ("run", "exited-garbage", "garbage")


def record(paths: Paths, uuid: str) -> None:
    """Record that a pod of this data directory is about to hold something. Raises OSError."""
    make_dirs(paths.run, OPEN_DIR)
    for _try in range(_TRIES):
        make_dirs(paths.holders)
        try:
            os.symlink(paths.data, paths.holder(uuid))
        except FileExistsError:
            return
        except FileNotFoundError:
            continue  # the last of the others has removed the directory
        return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), paths.holders)


def forget(paths: Paths, uuid: str) -> None:
    """Remove the record of a pod that holds nothing any more. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(paths.holder(uuid))
    with suppress(OSError):
        os.rmdir(paths.holders)  # fails unless this was the last one


def may_hold(paths: Paths, uuid: str, pod: PodDir) -> bool:
    """Whether a pod of this data directory may hold something: its link exists, or its directory does not exclude it.

    After a full release the directory with copies of its network configurations is empty. Any other state is damage,
    and says nothing about what the pod holds.
    """
    if os.path.lexists(paths.holder(uuid)):
        return True
    try:
        fd = os.open(pod.net_confs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.path.lexists(pod.net_info)
    except OSError:
        return True
    try:
        return bool(os.listdir(fd))
    finally:
        os.close(fd)


def is_live(paths: Paths, uuid: str) -> bool:
    """Whether a holder still needs what it holds: it is a running pod, or another engine's."""
    home = _home_of(paths, uuid)
    return home is None or _runs(home, uuid)


def shown(paths: Paths, holder: str) -> str:
    """A holder in a sentence, such as pod "web". holder: what names it, which another engine may have written."""
    home = _home_of(paths, holder)
    if home is None:
        return f'container "{holder}" of another engine'
    from .lookup import name_of  # for an error

    name = name_of(home, holder)
    elsewhere = "" if home.data == paths.data else f" of {home.data}"
    return (f'pod "{name}"' if name else f"pod {holder}") + elsewhere


def running(paths: Paths) -> Iterator[Pod]:
    """A handle on every running pod of the host that may hold something, closed when the next is requested."""
    for pod in walk(paths, ("run",)):
        if _is_running(pod):
            yield pod
    for uuid, home in _elsewhere(paths):
        with suppress(NotFound), open_pod(home, uuid) as pod:
            if _is_running(pod):
                yield pod


def dead(paths: Paths) -> Iterator[tuple[Paths, str, str]]:
    """The pods of the host that have ended and may still hold something: installation, UUID, state directory.

    A pod whose directory is gone counts as in run. A pod of this data directory is found by its directory as well:
    those of 0.1.0 and from before a boot have no link.
    """
    here = {uuid for state in _HELD_IN for uuid in entries(paths.state(state))}
    for uuid in sorted(here):
        if not seems_to_run(paths, uuid):  # each start asks this about every pod of the host
            yield from _dead_here(paths, uuid)
    for uuid, home in _elsewhere(paths, here):
        if not _runs(home, uuid):
            yield home, uuid, locate(home, uuid) or "run"
    for uuid in entries(paths.holders):
        if uuid in here or not is_uuid(uuid):
            continue
        if locate(paths, uuid) is None and _recorded(paths, uuid) == paths.data:
            yield paths, uuid, "run"


def _dead_here(paths: Paths, uuid: str) -> Iterator[tuple[Paths, str, str]]:
    with suppress(NotFound), open_pod(paths, uuid) as pod:
        if may_hold(paths, uuid, pod.dir) and not _is_running(pod):
            yield paths, uuid, pod.state_dir


def apart(paths: Paths) -> Iterator[tuple[Paths, str, str]]:
    """The pods, see dead, of installations with other leases, whether they run or have ended."""
    names = (name for name in entries(paths.run) if name.split("-")[0] == "holders")
    for directory in map(paths.holders_apart, names):
        for uuid in entries(directory) if directory != paths.holders else ():
            home = paths.replace(data=_leads_to(f"{directory}/{uuid}"))
            state_dir = locate(home, uuid) if home.data else None
            if state_dir:
                yield home, uuid, state_dir


def _home_of(paths: Paths, uuid: str) -> Paths | None:
    """The installation that has, or had, a pod; None if it is unknown."""
    if not is_uuid(uuid):
        return None
    if locate(paths, uuid):
        return paths
    data = _recorded(paths, uuid)
    return paths.replace(data=data) if data else None


def _elsewhere(paths: Paths, here: Container[str] = ()) -> Iterator[tuple[str, Paths]]:
    """The pods of other data directories, with these. here: those of this one, as far as they are known."""
    for uuid in entries(paths.holders):
        data = _recorded(paths, uuid) if uuid not in here and is_uuid(uuid) else ""
        if data and data != paths.data:
            yield uuid, paths.replace(data=data)


def _recorded(paths: Paths, uuid: str) -> str:
    return _leads_to(paths.holder(uuid))


def _leads_to(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _runs(home: Paths, uuid: str) -> bool:
    try:
        with open_pod(home, uuid) as pod:
            return _is_running(pod)
    except NotFound:
        return False


def _is_running(pod: Pod) -> bool:
    try:
        return pod.state() is PodState.RUNNING
    except NotFound:
        return False
