# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The removal of files that chattr(1) protects: by descriptors, in one directory only, with a reason on failure."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import disk_usage, remove_tree
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
)

pytestmark = pytest.mark.root
CAP_LINUX_IMMUTABLE = 9


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory whose content can be removed afterwards."""
    yield tmp_path
    chattr("-R", "-i", "-a", tmp_path)


def chattr(*words: str | pathlib.Path) -> None:
    subprocess.run(["chattr", *words], check=True, timeout=10)


def attributes(path: pathlib.Path) -> str:
    said = subprocess.run(["lsattr", "-d", path], capture_output=True, text=True, check=True, timeout=10)
    return said.stdout.split()[0]


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("how", ["+i", "+a", "+ia"])
@pytest.mark.parametrize("what", ["top", "top/below", "top/below/file", "top/empty"])
def test_what_is_protected_is_removed_with_its_tree(place: pathlib.Path, how: str, what: str) -> None:
    (place / "top" / "below").mkdir(parents=True)
    (place / "top" / "empty").mkdir()
    (place / "top" / "below" / "file").write_text("x")
    (place / "top" / "below" / "other").write_text("x")
    os.mkfifo(place / "top" / "below" / "pipe")
    os.mknod(place / "top" / "below" / "device", 0o20666, os.makedev(1, 5))
    chattr(how, place / what)
    assert disk_usage(str(place / "top")) > 0
    remove_tree(str(place / "top"))
    assert os.listdir(place) == []


@pytest.mark.finding("pods-F12")
def test_a_file_alone_is_a_tree(place: pathlib.Path) -> None:
    (place / "file").write_text("x")
    chattr("+i", place / "file")
    remove_tree(str(place / "file"))
    assert os.listdir(place) == []


@pytest.mark.finding("pods-F12")
def test_what_a_link_leads_to_stays_protected(place: pathlib.Path) -> None:
    (place / "dir").mkdir()
    (place / "dir" / "kept").write_text("x")
    (place / "top").mkdir()
    (place / "top" / "to-file").symlink_to(place / "dir" / "kept")
    (place / "top" / "to-dir").symlink_to(place / "dir")
    for marked in ("dir/kept", "dir", "top"):
        chattr("+i", place / marked)
    remove_tree(str(place / "top"))
    assert os.listdir(place) == ["dir"]
    assert ["i" in attributes(place / kept) for kept in ("dir", "dir/kept")] == [True, True]


@pytest.mark.finding("pods-F12")
def test_the_directory_that_a_tree_is_in_stays_protected(place: pathlib.Path) -> None:
    above = place / "above"
    (above / "top" / "below").mkdir(parents=True)
    chattr("+i", above)
    with pytest.raises(PermissionError, match="its directory is immutable or append-only"):
        remove_tree(str(above / "top"))
    assert "i" in attributes(above)


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize(("what", "said"), [("top/file", "it is"), ("top", "its directory is")])
def test_who_may_not_is_told_why(place: pathlib.Path, what: str, said: str) -> None:
    (place / "top").mkdir()
    (place / "top" / "file").write_text("x")
    chattr("+i", place / what)

    def work() -> None:
        held, permitted, _inherited = syscalls.capget()
        without = ~(1 << CAP_LINUX_IMMUTABLE)
        syscalls.capset(held & without, permitted & without, 0)
        expected = f"{said} immutable or append-only, which cannot be changed .*; chattr -i -a does it"
        with pytest.raises(PermissionError, match=expected) as found:
            remove_tree(str(place / "top"))
        assert found.value.filename == "file"

    in_child(work)
    assert (place / "top" / "file").read_text() == "x"


def test_who_may_not_remove_for_another_reason_is_told_that(place: pathlib.Path) -> None:
    (place / "top").mkdir()
    (place / "top" / "file").touch(mode=0o600)

    def work() -> None:
        os.chdir(place)
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(PermissionError, match="Permission denied") as found:
            remove_tree("top")
        assert found.value.filename == "file"

    for path in (place, place / "top"):
        path.chmod(0o755)
    in_child(work)
