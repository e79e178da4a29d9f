# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl logs: what apps have said, merged by time; what they said to standard error goes there."""

from __future__ import annotations

import os
import re
import time

from ...errors import InvalidSpec, NotFound
from ...host.files import write_all
from ...pod import documents
from ...pod.lifecycle import PodState
from ...pod.logs import log_files, parse_line, read_log
from ..podargs import only_argument, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...host.paths import PodDir
    from ...pod.lifecycle import Pod
    from ...pod.logs import LogLine
    from ..call import Call

_POLL_SECONDS = 0.1
_COUNT = re.compile(r"[0-9]{1,18}")
_STREAMS = {"stdout": 1, "stderr": 2}


def logs(call: Call) -> int:
    """Print the logs of a pod's apps, oldest line first."""
    count = _count(call)
    with resolve(call, only_argument(call, "UUID")) as pod:
        names = _apps(call, pod)
        followers = [Follower(pod.dir, name) for name in names] if call.options.on("follow") else []
        lines = _in_order(line for name in names for line in read_log(pod.dir, name))
        _print(lines if count is None else lines[len(lines) - min(count, len(lines)) :], len(names) > 1)
        while followers:
            ended = pod.state() is not PodState.RUNNING
            _print(_in_order(line for follower in followers for line in follower.news()), len(names) > 1)
            if ended:
                break
            time.sleep(_POLL_SECONDS)
    return 0


class Follower:
    """What is added to the log of an app after this was made, also when the file is rotated meanwhile."""

    def __init__(self, pod: PodDir, app: str) -> None:
        self._pod = pod
        self._app = app
        self._seen = {inode: size for _path, inode, size in self._files()}

    def news(self) -> list[LogLine]:
        """The whole lines since the last time."""
        found = []
        for path, inode, size in self._files():
            start = self._seen.get(inode, 0)
            if size <= start:
                continue
            with open(path, "rb") as file:
                file.seek(start)
                whole, newline, _rest = file.read(size - start).rpartition(b"\n")
            self._seen[inode] = start + len(whole) + len(newline)
            lines = whole.decode(errors="replace").split("\n")
            found += [parse_line(self._app, line) for line in lines if line]
        return found

    def _files(self) -> list[tuple[str, int, int]]:
        found = []
        for path in log_files(self._pod, self._app):
            try:
                info = os.stat(path)
            except FileNotFoundError:
                continue  # rotated away while we looked
            found.append((path, info.st_ino, info.st_size))
        return found


def _count(call: Call) -> int | None:
    text = call.options.text("tail")
    if not text:
        return None
    if not _COUNT.fullmatch(text):
        raise InvalidSpec(f'"{text}" is not a number of lines', "write --tail=20")
    return int(text)


def _apps(call: Call, pod: Pod) -> list[str]:
    names = [str(app.name) for app in documents.read_manifest(pod.dir).apps]
    wanted = call.options.text("app")
    if not wanted:
        return names
    if wanted not in names:
        raise NotFound(f'pod "{pod.uuid}" has no app "{wanted}"', f"its apps are: {', '.join(names)}")
    return [wanted]


def _in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """By time; lines of one time stay as they were. RFC 3339 times in UTC sort as text."""
    return sorted(lines, key=lambda line: line.time)


def _print(lines: Iterable[LogLine], named: bool) -> None:
    for line in lines:
        text = f"{line.app}: {line.text}\n" if named else f"{line.text}\n"
        write_all(_STREAMS[line.stream], text.encode(errors="replace"))


ENTRIES: dict[str, Callable[[Call], int]] = {"logs": logs}
