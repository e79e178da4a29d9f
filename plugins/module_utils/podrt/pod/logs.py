# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The logs of a pod's apps. Each line on disk: TIMESTAMP stdout|stderr TEXT; older files end in .1, .2 ...

The older files are overwritten in turn, so their order is that of the times in them.
"""

from __future__ import annotations

import os

from ..errors import Corrupt
from ..host.reading import entries_beneath, open_regular
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.dirs import PodDir


TAIL = 1 << 20  # bytes of a log that are read for its last lines
LONGEST_LINE = 1 << 20
_CHUNK = 64 << 10
_HEAD_BYTES = 128
_TIME_BYTES = len("2026-01-01T00:00:00.000000Z")


class LogLine(Value):
    """One line of an app. time: RFC 3339 in UTC, which sorts as text. text: bytes that are not UTF-8 are surrogates."""

    time: str
    app: str
    stream: str
    text: str


def log_files(pod: PodDir, app: str) -> tuple[str, ...]:
    """The log files of an app, oldest first. Raises Corrupt if their directory is replaced by something else."""
    newest = os.path.basename(pod.app_log(app))
    names = entries_beneath(pod.logs, pod.path)
    numbers = [
        int(name[len(newest) + 1 :])
        for name in names
        if name.startswith(newest + ".") and _is_number(name[len(newest) + 1 :])
    ]
    older = [f"{pod.app_log(app)}.{number}" for number in sorted(numbers, reverse=True)]
    times = {path: log_head(pod, path)[:_TIME_BYTES] for path in older}
    return (
        *sorted(older, key=lambda path: times[path]),
        *([pod.app_log(app)] if newest in names else []),
    )


def log_head(pod: PodDir, path: str) -> bytes:
    """The first line of a log file, which identifies it under any name; b"" for an empty file or anything else."""
    fd = _opened(pod, path)
    if fd is None:
        return b""
    try:
        return os.pread(fd, _HEAD_BYTES, 0).partition(b"\n")[0]
    finally:
        os.close(fd)


def read_log(pod: PodDir, app: str, most: int) -> Iterator[LogLine]:
    """All lines of an app that are kept, oldest first; never more than one of them in memory.

    most: the bytes that a file may have; of a larger one, which the runtime did not write, only the end is read.
    Anything but a file is skipped.
    """
    for path in log_files(pod, app):
        fd = _opened(pod, path)
        if fd is None:
            continue
        try:
            os.lseek(fd, max(0, os.fstat(fd).st_size - most), os.SEEK_SET)
            for line in _lines(fd):
                yield parse_line(app, line.decode(errors="surrogateescape"))
        finally:
            os.close(fd)


def tail(pod: PodDir, app: str, count: int, limit: int = TAIL) -> tuple[LogLine, ...]:
    """The last lines of an app, read from the end: at most limit bytes, whatever the size of the files."""
    last: list[bytes] = []
    for path in reversed(log_files(pod, app)):
        if len(last) >= count or limit <= 0:
            break
        fd = _opened(pod, path)
        if fd is None:
            continue
        try:
            text = _end_of(fd, count - len(last), limit)
        finally:
            os.close(fd)
        limit -= len(text)
        last = [line for line in text.split(b"\n") if line] + last
    return (
        tuple(parse_line(app, line.decode(errors="surrogateescape")) for line in last[-count:])
        if count > 0
        else ()
    )


def _opened(pod: PodDir, path: str) -> int | None:
    try:
        return open_regular(path, beneath=pod.path)
    except (FileNotFoundError, Corrupt):
        return None


def _lines(fd: int) -> Iterator[bytes]:
    """The lines of a file that are not empty; those longer than LONGEST_LINE come in pieces."""
    rest = b""
    while True:
        chunk = os.read(fd, _CHUNK)
        *whole, rest = (rest + chunk).split(b"\n")
        yield from filter(None, whole)
        if rest and (not chunk or len(rest) > LONGEST_LINE):
            yield rest
            rest = b""
        if not chunk:
            return


def _end_of(fd: int, count: int, limit: int) -> bytes:
    """The last count lines of a file and perhaps more, but no more than limit bytes."""
    start = os.fstat(fd).st_size
    blocks: list[bytes] = []
    held = newlines = 0
    while start > 0 and held < limit and newlines <= count:
        size = min(_CHUNK, start, limit - held)
        start -= size
        blocks.insert(0, os.pread(fd, size, start))
        held += size
        newlines += blocks[0].count(b"\n")
    text = b"".join(blocks)
    # The rest of a line at the beginning is dropped, unless that line alone exceeds the limit.
    return text if start == 0 or newlines == 0 else text.partition(b"\n")[2]


def last_lines(pod: PodDir, app: str, count: int, since: str = "") -> dict[str, list[str]]:
    """The texts of the last lines, as results show them: stdout_lines and stderr_lines. since: as LogLine.time."""
    last = [line for line in tail(pod, app, count) if not line.time or line.time >= since]
    return {
        f"{stream}_lines": [_as_text(line.text) for line in last if line.stream == stream]
        for stream in ("stdout", "stderr")
    }


def _as_text(text: str) -> str:
    """The text of a line for JSON: bytes that are not UTF-8 are replaced."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def parse_line(app: str, line: str) -> LogLine:
    """Parse a line as it is on disk; a line that was cut by a crash keeps its text."""
    time, _sep, rest = line.partition(" ")
    stream, _sep, text = rest.partition(" ")
    if stream not in ("stdout", "stderr"):
        return LogLine("", app, "stdout", line)
    return LogLine(time, app, stream, text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
