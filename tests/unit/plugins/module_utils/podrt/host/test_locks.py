# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Locks have a timeout, and then the error names their holder."""

from __future__ import annotations

import inspect
import os
import pathlib
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.locks import FileLock


@pytest.mark.finding("review-B17")
def test_a_lock_that_is_not_let_go_names_who_holds_it(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "lock")
    with (
        FileLock(path),
        pytest.raises(Conflict, match=r"it is held by .*\(pid ") as caught,
        FileLock(path, timeout=0.1),
    ):
        pass
    assert f"(pid {os.getpid()})" in str(caught.value.facts["holder"])


@pytest.mark.finding("review-B17")
def test_no_lock_is_waited_for_without_an_end() -> None:
    timeout = inspect.signature(FileLock).parameters["timeout"]
    assert timeout.annotation == "float"
    assert 0 < timeout.default < 3600


def test_a_lock_is_had_soon_after_it_was_let_go(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "lock")
    holder = FileLock(path)
    holder.__enter__()
    let_go = threading.Timer(0.1, holder.__exit__, (None, None, None))
    let_go.start()
    began = time.monotonic()
    with FileLock(path, timeout=50):
        assert 0.05 < time.monotonic() - began < 10
    let_go.join()


@pytest.mark.finding("attack-F17")
def test_what_cannot_be_the_file_of_a_lock_is_named_with_the_cure(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "lock"
    path.symlink_to(path)
    with pytest.raises(Corrupt, match=r"cannot lock .*/lock: too many levels") as caught, FileLock(str(path)):
        pass
    assert caught.value.hint == f"it is not a file: remove {path}"


@pytest.mark.finding("attack-F17")
def test_a_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with FileLock(str(tmp_path / "lock"), timeout=0.1):
        pass
