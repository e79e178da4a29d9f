# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the apps of a pod have said. Each line on disk: TIMESTAMP stdout|stderr TEXT; older files end in .1, .2 ..."""

from __future__ import annotations

from ..host.files import entries, read_bytes
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import PodDir


class LogLine(Value):
    """One line of an app. time: RFC 3339 in UTC, which sorts as text."""

    time: str
    app: str
    stream: str
    text: str


def log_files(pod: PodDir, app: str) -> tuple[str, ...]:
    """The log files of an app, oldest first."""
    newest = f"{app}.log"
    numbers = sorted(
        (
            int(name[len(newest) + 1 :])
            for name in entries(pod.logs)
            if name.startswith(newest + ".") and name[len(newest) + 1 :].isdigit()
        ),
        reverse=True,
    )
    names = [f"{newest}.{number}" for number in numbers] + ([newest] if newest in entries(pod.logs) else [])
    return tuple(f"{pod.logs}/{name}" for name in names)


def read_log(pod: PodDir, app: str) -> Iterator[LogLine]:
    """All lines that are kept of an app, oldest first."""
    for path in log_files(pod, app):
        try:
            text = read_bytes(path).decode(errors="replace")
        except FileNotFoundError:
            continue
        for line in text.split("\n"):
            if line:
                yield parse_line(app, line)


def tail(pod: PodDir, app: str, count: int) -> tuple[LogLine, ...]:
    """The last lines of an app."""
    return tuple(read_log(pod, app))[-count:] if count > 0 else ()


def last_lines(pod: PodDir, app: str, count: int) -> dict[str, list[str]]:
    """The texts of the same lines, as results show them: stdout_lines and stderr_lines."""
    last = tail(pod, app, count)
    return {
        f"{stream}_lines": [line.text for line in last if line.stream == stream]
        for stream in ("stdout", "stderr")
    }


def parse_line(app: str, line: str) -> LogLine:
    """One line as it is on disk; a line that was cut by a crash keeps its text."""
    time, _sep, rest = line.partition(" ")
    stream, _sep, text = rest.partition(" ")
    if stream not in ("stdout", "stderr"):
        return LogLine("", app, "stdout", line)
    return LogLine(time, app, stream, text)
