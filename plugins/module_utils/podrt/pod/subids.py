# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranges of IDs that pods with their own users have on the host: one for each pod, and no other pod's.

All are on record in one file of the host. A pod keeps its range as long as its directory exists, and a pod made of its
documents shares it, since it may take over the files. A range is given to another pod as late as possible, which
would own files that the pod has left in a volume. Source: behaviours C42; systemd.exec(5), its ranges of containers;
subuid(5).
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Corrupt, PodError, Unsupported
from ..fields import Fields, canonical_json, parse_json
from ..host.files import OPEN_DIR, make_dirs, write_atomically
from ..host.locks import FileLock
from ..host.reading import kernel_text_or, read_bytes, read_kernel, read_text, read_trusted
from ..value import Value
from .lifecycle import locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..host.dirs import PodDir
    from ..host.paths import Paths

COUNT = 1 << 16
_OVERFLOW = 65534
# The range that systemd's documentation reserves for containers.
_FIRST, _LAST = 0x80000, 0x6FFFFFFF
_FORMAT = 1
_MODE = 0o644
# Ranges for the containers of users, which other engines have.
_TABLES = ("/etc/subuid", "/etc/subgid")
_USERS = ("/etc/passwd", "/etc/group")


class IdRange(Value):
    """IDs of the host that are a pod's users and groups: its ID 0 is first, and so on."""

    first: int
    count: int = COUNT

    def __str__(self) -> str:
        return f"{self.first}:{self.count}"

    @property
    def map(self) -> tuple[tuple[int, int, int], ...]:
        """The map of the pod's user namespace: ID inside, ID outside, count."""
        return ((0, self.first, self.count),)

    def shifted(self, number: int) -> int:
        """The ID of the host for one of the pod; any out of range is the last one but one."""
        return self.first + (number if number < self.count else _OVERFLOW)


class _Held(Value):
    uuid: str
    data: str
    range: IdRange


def range_of(pod: PodDir) -> IdRange | None:
    """The range of a pod, None if it has the users of the host. Raises Corrupt, OSError."""
    try:
        text = read_text(pod.private_users, beneath=pod.path)
    except FileNotFoundError:
        return None
    first, _colon, count = text.partition(":")
    if not (first.isdigit() and count == str(COUNT) and _FIRST <= int(first) <= _LAST + 1 - COUNT):
        raise Corrupt(
            f"cannot understand {pod.private_users}: it does not hold a range of user IDs",
            "remove the pod and prepare it again",
            path=pod.private_users,
        )
    return IdRange(int(first))


def allocate(paths: Paths, uuid: str) -> IdRange:
    """A range for a pod whose directory exists, on record before this returns. Raises PodError, OSError."""
    with _lock(paths):
        held, after = _read(paths)
        held = [each for each in held if _exists(paths, each)]
        found = _next_free(after, [each.range for each in held])
        _write(paths, [*held, _Held(uuid, paths.data, found)], found.first + COUNT)
    return found


def share(paths: Paths, uuid: str, found: IdRange) -> None:
    """Record that a pod has the range of another one too. Raises PodError, OSError."""
    with _lock(paths):
        held, after = _read(paths)
        _write(paths, [*held, _Held(uuid, paths.data, found)], after)


def free(paths: Paths, uuid: str) -> None:
    """Give back the range of a pod whose directory is gone. A failure is left to the next allocation."""
    with suppress(OSError, PodError):
        _keep(paths, lambda held: held.uuid != uuid)


def sweep(paths: Paths) -> None:
    """Give back the ranges of pods of this data directory that are gone. Raises PodError, OSError."""
    _keep(paths, lambda held: held.data != paths.data or _exists(paths, held))


def _lock(paths: Paths) -> FileLock:
    """Its directory is made where the first pod of the host comes this way; others may read what is beside it."""
    make_dirs(paths.run, OPEN_DIR)
    return FileLock(paths.subordinate_ids_lock)


def _keep(paths: Paths, wanted: Callable[[_Held], bool]) -> None:
    """Give back the ranges that are not wanted any more."""
    with _lock(paths):
        held, after = _read(paths)
        left = [each for each in held if wanted(each)]
        if len(left) < len(held):
            _write(paths, left, after)


def _exists(paths: Paths, held: _Held) -> bool:
    return locate(paths.replace(data=held.data), held.uuid) is not None


def _read(paths: Paths) -> tuple[list[_Held], int]:
    """What is on record, and where the search for a free range goes on."""
    path = paths.subordinate_ids
    try:
        fields = Fields(parse_json(read_bytes(path), path), path)
        fields.check_format(_FORMAT)
        held = [
            _Held(each.text("uuid"), each.text("data"), IdRange(each.integer("first"), each.integer("count")))
            for each in fields.each("held")
        ]
        return held, fields.integer("next")
    except FileNotFoundError:
        return [], _FIRST
    except PodError as err:
        raise Corrupt(
            f"cannot read which user IDs pods have: {err.message}",
            f"remove {path} once no pod with private users is left, or mend it",
            path=path,
        ) from err


def _write(paths: Paths, held: list[_Held], after: int) -> None:
    document = {
        "format": _FORMAT,
        "next": after,
        "held": [
            {"uuid": each.uuid, "data": each.data, "first": each.range.first, "count": each.range.count}
            for each in held
        ],
    }
    make_dirs(os.path.dirname(paths.subordinate_ids), OPEN_DIR)
    write_atomically(paths.subordinate_ids, canonical_json(document), _MODE)


def _next_free(after: int, held: list[IdRange]) -> IdRange:
    """The next range that no pod, account or other engine has, from after on and then from the beginning."""
    taken = {
        number
        for each in held
        for number in range(each.first // COUNT, -(-(each.first + each.count) // COUNT))
    }
    taken |= set(_taken_otherwise())
    low, high = _FIRST // COUNT, (min(_LAST, _largest_id()) + 1) // COUNT
    start = min(max(after // COUNT, low), high)
    for number in (*range(start, high), *range(low, start)):
        if number not in taken:
            return IdRange(number * COUNT)
    raise Unsupported(
        "there are no user IDs left for a pod with private users",
        f"remove pods, or ranges of {' and '.join(_TABLES)}",
    )


def _taken_otherwise() -> Iterator[int]:
    """The numbers of ranges in which accounts of the host, or containers of users, have IDs."""
    for table in _TABLES:
        for fields in _rows(table):
            if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
                first, count = int(fields[1]), int(fields[2])
                yield from range(max(first, _FIRST) // COUNT, min(first + count - 1, _LAST) // COUNT + 1)
    for table in _USERS:
        for fields in _rows(table):
            if len(fields) > 2 and fields[2].isdigit() and _FIRST <= int(fields[2]) <= _LAST:
                yield int(fields[2]) // COUNT


def _rows(table: str) -> list[list[str]]:
    try:
        text = read_trusted(table).decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.strip().split(":") for line in text.splitlines()]


def _largest_id() -> int:
    """The largest ID up to which this process's user namespace has all; a host in a container may have few."""
    reach = 0
    for line in sorted(read_kernel("/proc/self/uid_map").splitlines(), key=lambda row: int(row.split()[0])):
        inside, _outside, count = map(int, line.split())
        if inside > reach:
            break
        reach = inside + count
    return reach - 1


def check_supported() -> None:
    """Raise Unsupported unless the kernel has user namespaces, and lets root make some. Source: behaviours A20."""
    if not os.path.exists("/proc/self/ns/user"):
        raise Unsupported("the kernel has no user namespaces", "run the pod without private users")
    if kernel_text_or("/proc/sys/user/max_user_namespaces", "1") == "0":
        raise Unsupported(
            "user namespaces are switched off on this host",
            "set the sysctl user.max_user_namespaces, or run the pod without private users",
        )
