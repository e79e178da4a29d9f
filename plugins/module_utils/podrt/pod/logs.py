# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the apps of a pod have said. Each line on disk: TIMESTAMP stdout|stderr TEXT; older files end in .1, .2 ...

Which of those is older is said by the times in them: they take turns.
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


TAIL = 1 << 20  # bytes of a log that are looked at for its last lines
LONGEST_LINE = 1 << 20
_CHUNK = 64 << 10
_HEAD_BYTES = 128
_TIME_BYTES = len("2026-01-01T00:00:00.000000Z")


class LogLine(Value):
    """One line of an app. time: RFC 3339 in UTC, which sorts as text. text: bytes that are no text as surrogates."""

    time: str
    app: str
    stream: str
    text: str


def log_files(pod: PodDir, app: str) -> tuple[str, ...]:
    """The log files of an app, oldest first. Raises Corrupt where something else is in the place of their directory."""
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
    """How a log file begins, by which it is known wherever it is kept; b"" for one that is empty or no log."""
    fd = _opened(pod, path)
    if fd is None:
        return b""
    try:
        return os.pread(fd, _HEAD_BYTES, 0).partition(b"\n")[0]
    finally:
        os.close(fd)


def read_log(pod: PodDir, app: str, most: int) -> Iterator[LogLine]:
    """All lines that are kept of an app, oldest first; never more than a line of them in memory.

    most: bytes that a file may have; of a larger one, which the runtime has not made, only the end is read. What is no
    file is passed over.
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
    """The last lines of an app, read from the end: at most limit bytes of them, whatever the size of the files."""
    found: list[bytes] = []
    for path in reversed(log_files(pod, app)):
        if len(found) >= count or limit <= 0:
            break
        fd = _opened(pod, path)
        if fd is None:
            continue
        try:
            text = _end_of(fd, count - len(found), limit)
        finally:
            os.close(fd)
        limit -= len(text)
        found = [line for line in text.split(b"\n") if line] + found
    return (
        tuple(parse_line(app, line.decode(errors="surrogateescape")) for line in found[-count:])
        if count > 0
        else ()
    )


def _opened(pod: PodDir, path: str) -> int | None:
    try:
        return open_regular(path, beneath=pod.path)
    except (FileNotFoundError, Corrupt):
        return None


def _lines(fd: int) -> Iterator[bytes]:
    """The lines of a file that are not empty; one that is longer than LONGEST_LINE comes in pieces."""
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
    # What begins in the middle of a line is dropped, but for the one line that is longer than the bound.
    return text if start == 0 or newlines == 0 else text.partition(b"\n")[2]


def last_lines(pod: PodDir, app: str, count: int) -> dict[str, list[str]]:
    """The texts of the same lines, as results show them: stdout_lines and stderr_lines."""
    last = tail(pod, app, count)
    return {
        f"{stream}_lines": [_as_text(line.text) for line in last if line.stream == stream]
        for stream in ("stdout", "stderr")
    }


def _as_text(text: str) -> str:
    """What an app has said as JSON may hold it: bytes that are no text are replaced."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def parse_line(app: str, line: str) -> LogLine:
    """One line as it is on disk; a line that was cut by a crash keeps its text."""
    time, _sep, rest = line.partition(" ")
    stream, _sep, text = rest.partition(" ")
    if stream not in ("stdout", "stderr"):
        return LogLine("", app, "stdout", line)
    return LogLine(time, app, stream, text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
