# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that define the networks of a host, also those that cannot be used: one of these is not another network's.

What pods join is decided by load_confs of net/conf.py; this has the files, for tasks that change and show them.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, PodError, reason_of
from ..host.files import entries
from ..host.reading import check_kept, read_trusted
from ..net.conf import NetConf, load_confs, with_loaded
from ..value import Value
from .network_spec import made_by_task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.paths import Paths

_CHAIN = ".conflist"
ENDINGS = (".conf", _CHAIN)


class NetworkFile(Value):
    """A configuration. path: "" for one that is built in. conf: None where not even its name can be read.

    problem: why it cannot be used, "" if it can. made: whether a task has made it.
    """

    path: str
    raw: bytes
    conf: NetConf | None = None
    problem: str = ""
    made: bool = False

    @property
    def is_chain(self) -> bool:
        """Whether it is a list of plugins."""
        return self.path.endswith(_CHAIN)

    @property
    def name(self) -> str:
        """The network that it defines, "" where that cannot be read."""
        return self.conf.name if self.conf else ""


def network_files(paths: Paths) -> tuple[NetworkFile, ...]:
    """Every configuration: the built-in ones, then those of each directory, the strongest last. Raises nothing."""
    built_in = tuple(NetworkFile("", conf.raw.encode(), conf) for conf in load_confs(()))
    return (*built_in, *(file for place in paths.config_dirs for file in _files_in(paths, place)))


def defining(files: Sequence[NetworkFile]) -> dict[str, NetworkFile]:
    """The file that counts for each network: the first of a name in a directory, and of these the last."""
    found: dict[tuple[str, str], NetworkFile] = {}
    for file in files:
        if file.name:
            found.setdefault((os.path.dirname(file.path), file.name), file)
    return {name: file for (_place, name), file in found.items()}


def local_files(paths: Paths, files: Sequence[NetworkFile], name: str) -> tuple[NetworkFile, ...]:
    """The files of this host for a network, the one that counts first; also that of a task in any condition.

    Raises Conflict where the place for that has another network.
    """
    own, place, found = _paths_of(paths, name), paths.networks(paths.local_config), []
    for file in files:
        if file.path in own and not file.name:
            found.append(file.replace(made=True))
        elif file.path in own and file.name != name:
            raise Conflict(
                f'{file.path} is the file of network "{name}", but defines network "{file.name}"',
                "give the file another name",
                where="name",
                path=file.path,
            )
        elif file.name == name and os.path.dirname(file.path) == place:
            found.append(file)
    return tuple(found)


def check_place(paths: Paths, name: str = "") -> None:
    """Raise InvalidSpec where definitions of this host do not count, since others can change them.

    name: of a network that may be there all the same, else one is to be written.
    """
    if name and not any(map(os.path.lexists, _paths_of(paths, name))):
        return
    for directory in (paths.local_config, paths.networks(paths.local_config)):
        with suppress(OSError):
            check_kept(directory)


def others(paths: Paths, files: Sequence[NetworkFile], name: str) -> tuple[NetConf, ...]:
    """The other networks, as far as they can be used. name: the one that they are others than."""
    known = defining(files).values()
    return tuple(file.conf for file in known if file.conf and not file.problem and file.name != name)


def _files_in(paths: Paths, config_dir: str) -> Iterator[NetworkFile]:
    place = paths.networks(config_dir)
    try:
        names = [name for name in entries(place) if name.endswith(ENDINGS)]
        for directory in (config_dir, place) if names else ():
            check_kept(directory)
    except OSError as err:
        yield NetworkFile(place, b"", problem=f"cannot read {place}: {reason_of(err)}")
        return
    except PodError as err:
        yield NetworkFile(place, b"", problem=err.message)
        return
    for name in names:
        yield _file(paths, place, name)


def _file(paths: Paths, place: str, name: str) -> NetworkFile:
    path, raw = os.path.join(place, name), b""
    try:
        raw = read_trusted(path)
        conf = with_loaded(NetConf.read(raw, name, place))
        problem = conf.flaw.message if conf.flaw else _not_kept(path)
    except OSError as err:
        return NetworkFile(path, raw, problem=f"cannot read {path}: {reason_of(err)}")
    except (PodError, UnicodeDecodeError) as err:
        return NetworkFile(path, raw, problem=str(err))
    made = made_by_task(raw) or path in _paths_of(paths, conf.name)
    return NetworkFile(path, raw, conf, problem, made)


def _paths_of(paths: Paths, name: str) -> tuple[str, str]:
    return paths.network(name), paths.network_list(name)


def _not_kept(path: str) -> str:
    """Why a file is not used whose owner or mode lets others change it, "" if they cannot."""
    try:
        check_kept(path)
    except PodError as err:
        return err.message
    return ""
