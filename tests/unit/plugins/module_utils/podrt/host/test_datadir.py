# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The access of local users to the data directory."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import datadir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import make_dirs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_have_their_mode_whatever_the_umask_and_so_have_their_parents(
    tmp_path: pathlib.Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        make_dirs(f"{tmp_path}/a/b/c")
        make_dirs(f"{tmp_path}/open/b/", 0o755)
    finally:
        os.umask(before)
    assert [mode(f"{tmp_path}/{name}") for name in ("a", "a/b", "a/b/c")] == [0o750] * 3
    assert [mode(f"{tmp_path}/{name}") for name in ("open", "open/b")] == [0o755] * 2


def test_a_directory_that_is_there_keeps_its_mode_and_a_file_is_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    make_dirs(f"{tmp_path}/a")
    assert mode(f"{tmp_path}/a") == 0o700
    (tmp_path / "f").touch()
    with pytest.raises(FileExistsError):
        make_dirs(f"{tmp_path}/f")


def test_all_but_the_runtimes_is_closed_and_what_is_closed_further_stays_so(tmp_path: pathlib.Path) -> None:
    paths = Paths(data=f"{tmp_path}/data")
    for path in (*paths.private, paths.runtimes):
        os.makedirs(path)
        os.chmod(path, 0o755)
    os.chmod(paths.names, 0o700)
    datadir.ensure(paths)
    assert {mode(path) for path in paths.private} == {0o750, 0o700}
    assert mode(paths.names) == 0o700
    assert [mode(path) for path in (paths.data, paths.runtimes)] == [0o755, 0o755]


def test_the_data_directory_is_made_and_nothing_in_it(tmp_path: pathlib.Path) -> None:
    paths = Paths(data=f"{tmp_path}/var/lib/pods")
    datadir.ensure(paths)
    assert (os.listdir(paths.data), mode(paths.data)) == ([], 0o755)
