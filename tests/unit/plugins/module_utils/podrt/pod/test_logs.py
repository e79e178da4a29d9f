# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The last lines of an app, whatever the size of its logs."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.logs import read_log, tail

GIB = 1 << 30


def line(second: int, text: str) -> bytes:
    return f"2026-01-02T03:04:{second:02d}.000000Z stdout {text}\n".encode()


def said(pod: PodDir, count: int) -> list[str]:
    return [found.text for found in tail(pod, "web", count)]


@pytest.fixture
def pod(tmp_path: pathlib.Path) -> PodDir:
    (tmp_path / "logs").mkdir()
    return PodDir(str(tmp_path))


@pytest.mark.finding("review-B12")
def test_the_end_of_a_huge_log_is_read_and_no_more(pod: PodDir, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pathlib.Path(pod.logs, "web.log")
    with path.open("wb") as file:
        file.truncate(8 * GIB)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line(1, "one") + line(2, "two") + line(3, "three"))
    taken: list[int] = []

    def counted(read: object) -> object:
        def reading(fd: int, size: int, *rest: int) -> bytes:
            found: bytes = read(fd, size, *rest)  # type: ignore[operator]
            taken.append(len(found))
            return found

        return reading

    for name in ("read", "pread"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    assert said(pod, 2) == ["two", "three"]
    assert sum(taken) <= 1 << 20


@pytest.mark.finding("review-B12")
def test_lines_come_from_older_files_where_the_newest_has_too_few(pod: PodDir) -> None:
    pathlib.Path(pod.logs, "web.log.1").write_bytes(line(1, "one") + line(2, "two"))
    pathlib.Path(pod.logs, "web.log").write_bytes(line(3, "three"))
    assert said(pod, 2) == ["two", "three"]
    assert said(pod, 9) == ["one", "two", "three"]
    assert said(pod, 0) == []


IN_ITS_PLACE = [
    (lambda path: path.touch(), "it is a file, not a directory"),
    (os.mkfifo, "it is a named pipe, not a directory"),
    (lambda path: path.symlink_to(path.name), "it is a symbolic link, not a directory"),
    (lambda path: path.symlink_to("/var/log"), "it is a symbolic link, not a directory"),
]


@pytest.mark.parametrize(("put", "why"), IN_ITS_PLACE, ids=["file", "named pipe", "loop", "link"])
def test_something_else_in_the_place_of_the_logs_is_told_of(
    pod: PodDir, put: Callable[[pathlib.Path], object], why: str
) -> None:
    pathlib.Path(pod.logs).rmdir()
    put(pathlib.Path(pod.logs))
    for read in (lambda: tail(pod, "web", 3), lambda: list(read_log(pod, "web", GIB))):
        with pytest.raises(Corrupt, match=f"cannot read {pod.logs}: {why}"):
            read()


def test_a_pod_that_has_no_logs_yet_has_said_nothing(pod: PodDir) -> None:
    pathlib.Path(pod.logs).rmdir()
    assert said(pod, 3) == []
