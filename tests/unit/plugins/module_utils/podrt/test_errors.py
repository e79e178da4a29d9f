# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the kernel refused, as people are told of it."""

from __future__ import annotations

import errno
import os
import pathlib
import resource
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import launch
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "read-only"),
        (errno.ENOMEM, "short of memory"),
    ],
)
def test_what_is_short_is_told_with_what_to_do(code: int, cure: str) -> None:
    failure = HostFailure.of("cannot do it", OSError(code, os.strerror(code), "/path"))
    assert cure in failure.hint
    assert HostFailure.of("cannot do it", OSError(code, ""), "do this").hint == "do this"


@pytest.mark.finding("trial7-F13")
def test_a_collection_of_images_makes_room_in_a_data_directory_alone(tmp_path: pathlib.Path) -> None:
    for name in ("cas", "pods"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for place, helps in (("data/cas/tmp/x", True), ("data/pods/run/u/pod", True), ("x", False)):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{tmp_path}/{place}")
        failure = HostFailure.of("cannot do it", full)
        assert f"{tmp_path}/{place}" in failure.message
        assert ("podctl image gc" in failure.hint) is helps
    hint = HostFailure.of("cannot do it", OSError(errno.ENOSPC, "")).hint
    assert hint == "make room on that file system"
    assert "another directory" in HostFailure.of("cannot do it", OSError(errno.EROFS, "")).hint


def test_what_says_all_by_itself_has_no_hint() -> None:
    assert HostFailure.of("cannot do it", OSError(errno.EPERM, "")).hint == ""


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("files", [10, 12, 16])
def test_podctl_with_few_descriptors_ends_in_no_traceback(files: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    done = subprocess.run(
        [sys.executable, "-I", "-S", launch.__file__, "--dir=/nonexistent", "image", "list"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert "Traceback" not in done.stderr, done.stderr
