# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a command line names to be written: each appears at once and whole."""

from __future__ import annotations

import os

from ..contexts import contextmanager, suppress
from ..errors import Conflict, HostFailure, InvalidSpec, NotFound
from ..host import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .call import Call

_FILE_MODE = 0o644


def check_free(call: Call, place: str, exists: str) -> None:
    """Raise Conflict, with the sentence exists, for a file that is there, unless --overwrite is set."""
    if os.path.lexists(place) and not call.options.on("overwrite"):
        raise Conflict(exists, path=place)
    if os.path.isdir(place):
        raise InvalidSpec(f"{place} is a directory", "name a file")


def write_file(call: Call, place: str, exists: str, write: Callable[[int], None]) -> None:
    """Make a file that appears whole. exists: the error for one that is there."""
    check_free(call, place, exists)
    with aside_of(place) as aside:
        target = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            write(target)
            files.sync(target)
        finally:
            os.close(target)
        files.rename_synced(aside, place)


@contextmanager
def aside_of(place: str) -> Iterator[str]:
    """A new path beside one that is to appear whole; what is still there at the end is removed."""
    path = f"{place}.{os.urandom(6).hex()}.tmp"
    try:
        with files.naming(place, path):
            yield path
    except FileNotFoundError as err:
        raise NotFound(f"cannot write {place}: no such file or directory", "make its directory") from err
    except OSError as err:
        raise HostFailure.of(f"cannot write {place}", err) from err
    finally:
        with suppress(OSError):
            files.remove_tree(path)
