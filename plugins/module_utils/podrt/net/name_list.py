# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of the pods of a network that have names, in /run, for all data directories of the host.

It is replaced under its lock. Each pod is one text, since a start reads those of all others. Its lines are published
for resolvers of the host, such as dnsmasq, where there is a directory for that.
"""

from __future__ import annotations

import os

from ..contexts import contextmanager, suppress
from ..errors import Corrupt, HostFailure, InvalidSpec
from ..fields import Fields, parse_json
from ..host.digests import sha256
from ..host.files import OPEN_DIR, PRIVATE_FILE, make_dirs, write_new
from ..host.locks import FileLock
from ..host.reading import read_bytes
from ..jsontext import dumps
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.paths import Paths

ASIDE = ".new"
_FORMAT = 1
_OPEN_FILE = 0o644
_TRIES = 20
_TAB, _BAR = "\t", "|"
# A pod that enters waits for another one that does, which takes milliseconds.
_SECONDS = 60.0


class NameEntry(Value):
    """A pod on a list.

    home: the directory that it is in. name: its own, "" for none. files: its hosts files, relative to home.
    lines: those by which others find it.
    """

    uuid: str
    home: str
    name: str
    files: tuple[str, ...]
    lines: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> NameEntry:
        """Read the text of an entry. Raises ValueError."""
        uuid, name, files, lines, home = text.split(_TAB, 4)
        return cls(uuid, home, name, tuple(files.split()), tuple(filter(None, lines.split(_BAR))))

    def __str__(self) -> str:
        return _TAB.join((self.uuid, self.name, " ".join(self.files), _BAR.join(self.lines), self.home))

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses in its lines."""
        return frozenset(line.partition(" ")[0] for line in self.lines)

    def begins_with(self, words: tuple[str, ...]) -> bool:
        """Whether one of its lines begins so."""
        return any(line.startswith(words) for line in self.lines)


class NameList(Value):
    """The list of a network. Who changes it holds its lock, and gives the paths of the installation."""

    path: str
    pods: tuple[NameEntry, ...]
    paths: Paths | None = None

    def write(self, pods: Sequence[NameEntry]) -> None:
        """Replace it; without pods, remove it. A crash leaves the old one or the new one. Raises OSError."""
        if self.paths:
            self._publish(self.paths, pods)
        if not pods:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            with suppress(OSError):
                os.rmdir(os.path.dirname(self.path))  # fails unless this was the last one
            return
        document = {"format": _FORMAT, "pods": [str(entry) for entry in pods]}
        data = dumps(document).encode()
        for _try in range(_TRIES):
            with suppress(FileNotFoundError):  # the last of another network has removed the directory
                make_dirs(os.path.dirname(self.path))
                self._write(data)
                return
        self._write(data)

    def _publish(self, paths: Paths, pods: Sequence[NameEntry]) -> None:
        """Replace the hosts file of the network for resolvers, or remove it. Raises OSError."""
        if not os.path.isdir(paths.published_names):
            return
        file = os.path.basename(self.path)
        # dnsmasq takes one that begins with a dot for no file of its own.
        place, aside = paths.published_list(file), paths.published_list(f".{file}{ASIDE}")
        if pods:
            lines = "".join(f"{line}\n" for entry in pods for line in entry.lines)
            _replace(place, aside, lines.encode(), _OPEN_FILE)
            return
        with suppress(FileNotFoundError):
            os.unlink(place)

    def _write(self, data: bytes) -> None:
        _replace(self.path, f"{self.path}{ASIDE}", data, PRIVATE_FILE)


def _replace(place: str, aside: str, data: bytes, mode: int) -> None:
    """Replace a file, by way of one beside it: what is in /run needs no fsync. Raises OSError."""
    write_new(aside, data, mode)
    os.rename(aside, place)


def list_of(paths: Paths, network: str) -> str:
    """The path of the list of a network, whose name may have any length, and any characters. Pure."""
    return paths.name_list(f"names-{sha256(network.encode()).hexdigest()[:16]}")


@contextmanager
def locked_list(paths: Paths, path: str) -> Iterator[NameList]:
    """A list by its path, under its lock. Raises Conflict naming the holder of the lock, HostFailure."""
    try:
        make_dirs(paths.run, OPEN_DIR)
        with FileLock(f"{paths.host_locks}/{os.path.basename(path)}", timeout=_SECONDS):
            yield read_list(path).replace(paths=paths)
    except OSError as err:
        raise HostFailure.of("networking: cannot write the names of a pod", err) from err


def read_list(path: str) -> NameList:
    """A list; one that is damaged is as an empty one: pods that are mended enter it again. Raises OSError."""
    try:
        fields = Fields(parse_json(read_bytes(path), path), path)
        fields.check_format(_FORMAT)
        return NameList(path, tuple(map(NameEntry.parse, fields.strings("pods"))))
    except (FileNotFoundError, Corrupt, InvalidSpec, ValueError):
        return NameList(path, ())
