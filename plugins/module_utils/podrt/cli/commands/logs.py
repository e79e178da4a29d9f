# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl logs: the output of apps, merged by time; their standard error goes to standard error."""

from __future__ import annotations

import heapq
import os
import re
import time
from collections import deque

from ...errors import Corrupt, InvalidSpec, NotFound, PodError, printable
from ...host.files import write_all
from ...host.reading import open_regular
from ...pod import documents
from ...pod.lifecycle import PodState
from ...pod.logs import LONGEST_LINE, log_files, log_head, parse_line, read_log, tail
from ...pod.runspec import LogPolicy
from ...value import Value
from ..durations import parse_moment
from ..podargs import only_argument, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...host.dirs import PodDir
    from ...pod.lifecycle import Pod
    from ...pod.logs import LogLine
    from ..call import Call

_POLL_SECONDS = 0.1
_MOST_NEWS = 16 << 20  # bytes at one look; the rest is read at the next
_LONGEST_TAIL = 64 << 20
_COUNT = re.compile(r"[0-9]{1,18}")
_STREAMS = {"stdout": 1, "stderr": 2}
# A control sequence. Source: ECMA-48 5.4.
_COLOUR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def logs(call: Call) -> int:
    """Print the logs of a pod's apps, oldest line first."""
    count, window = _count(call), _window(call)
    with resolve(call, only_argument(call, "UUID")) as pod:
        names = _apps(call, pod)
        style = Style(len(names) > 1, call.options.on("timestamps"))
        followers = [Follower(pod.dir, name) for name in names] if call.options.on("follow") else []
        _print(_kept(pod.dir, names, count, window), style)
        while followers:
            ended = pod.state() is not PodState.RUNNING
            _print(_in_order(line for follower in followers for line in follower.news()), style)
            if ended:
                break
            time.sleep(_POLL_SECONDS)
    return 0


class Style(Value):
    """The prefix of lines. named: the name of the app; timed: the time."""

    named: bool
    timed: bool


class Window(Value):
    """The range of times to show, spelled as in the log; "" for no bound."""

    since: str = ""
    until: str = ""

    def holds(self, line: LogLine) -> bool:
        """Whether a line is in this range."""
        return self.since <= line.time and (not self.until or line.time <= self.until)


class Follower:
    """The lines added to the log of an app after this was made, across rotations.

    A file is identified by its head: a rotation copies its lines, or renames it.
    """

    def __init__(self, pod: PodDir, app: str) -> None:
        self._pod = pod
        self._app = app
        self._seen = {head: size for _path, head, size in self._files()}

    def news(self) -> list[LogLine]:
        """The whole lines since the last time."""
        found = []
        for path, head, size in self._files():
            start = self._seen.get(head, 0)
            if size <= start:
                continue
            whole, newline, _rest = self._read(path, start, size).rpartition(b"\n")
            self._seen[head] = start + len(whole) + len(newline)
            lines = whole.decode(errors="surrogateescape").split("\n")
            found += [parse_line(self._app, line) for line in lines if line]
        return found

    def _read(self, path: str, start: int, end: int) -> bytes:
        """A part of a log; empty where it has been rotated away or replaced meanwhile."""
        try:
            fd = open_regular(path, beneath=self._pod.path)
        except (FileNotFoundError, Corrupt):
            return b""
        try:
            return os.pread(fd, min(end - start, _MOST_NEWS), start)
        finally:
            os.close(fd)

    def _files(self) -> list[tuple[str, bytes, int]]:
        found = []
        for path in log_files(self._pod, self._app):
            try:
                size = os.lstat(path).st_size
            except FileNotFoundError:
                continue  # rotated away meanwhile
            head = log_head(self._pod, path)
            if head:
                found.append((path, head, size))
        return found


def _kept(pod: PodDir, names: list[str], count: int | None, window: Window) -> Iterable[LogLine]:
    """The lines of these apps and this range, in order of time: all, or the last ones."""
    if count is None or window != Window():
        most = _longest_file(pod)
        merged = heapq.merge(*(read_log(pod, name, most) for name in names), key=_time)
        return (
            deque(filter(window.holds, merged), count) if count is not None else filter(window.holds, merged)
        )
    lines = _in_order(line for name in names for line in tail(pod, name, count, _LONGEST_TAIL))
    return lines[len(lines) - min(count, len(lines)) :]


def _longest_file(pod: PodDir) -> int:
    """The largest size of a log file: a line is written whole."""
    try:
        policy = documents.read_runspec(pod).log.held()
    except (OSError, PodError):
        policy = LogPolicy()
    return policy.max_bytes + LONGEST_LINE


def _count(call: Call) -> int | None:
    text = call.options.text("tail")
    if not text:
        return None
    if not _COUNT.fullmatch(text):
        raise InvalidSpec(f'"{text}" is not a number of lines', "write --tail=20")
    return int(text)


def _window(call: Call) -> Window:
    if call.options.on("follow") and call.options.text("until"):
        raise InvalidSpec("--follow has no end, and --until sets one", "leave one of them out")
    return Window(_logged(call.options.text("since")), _logged(call.options.text("until")))


def _logged(text: str) -> str:
    """A point in time as logs spell it, "" for "". Raises InvalidSpec."""
    if not text:
        return ""
    moment = parse_moment(text, time.time())
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1_000_000):06d}Z"


def _apps(call: Call, pod: Pod) -> list[str]:
    names = [str(app.name) for app in documents.read_manifest(pod.dir).apps]
    wanted = call.options.text("app")
    if not wanted:
        return names
    if wanted not in names:
        raise NotFound(f'pod "{pod.uuid}" has no app "{wanted}"', f"its apps are: {', '.join(names)}")
    return [wanted]


def _in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """The lines sorted by time, stably. RFC 3339 times in UTC sort as text."""
    return sorted(lines, key=_time)


def _time(line: LogLine) -> str:
    return line.time


def _print(lines: Iterable[LogLine], style: Style) -> None:
    terminals = [name for name, fd in _STREAMS.items() if os.isatty(fd)]
    for line in lines:
        said = for_terminal(line.text) if line.stream in terminals else line.text
        before = (f"{line.time} " if style.timed else "") + (f"{line.app}: " if style.named else "")
        text = f"{before}{said}\n"
        write_all(_STREAMS[line.stream], text.encode(errors="surrogateescape"))


def for_terminal(text: str) -> str:
    """A line of an app, safe for a terminal: without colours, the rest escaped except tabs.

    Source: journalctl(1), which leaves out the same.
    """
    return printable(_COLOUR.sub("", text.rstrip("\r")), keep="\t")


ENTRIES: dict[str, Callable[[Call], int]] = {"logs": logs}
