# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Files with the requested mode; directories removed and summed up, of any depth and with links to anywhere."""

from __future__ import annotations

import errno
import os
import pathlib
import resource
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import (
    disk_usage,
    make_dirs,
    make_dirs_beneath,
    make_each_beneath,
    path_beneath,
    remove_tree,
    write_all,
    write_atomically,
    write_new,
    write_new_beneath,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
    privately,
)

DEPTH = 5000
FEW_DESCRIPTORS = 64
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def test_the_umask_of_the_caller_does_not_matter(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        write_new(f"{tmp_path}/new", b"", 0o644)
        write_atomically(f"{tmp_path}/whole", b"", 0o644)
        make_dirs(f"{tmp_path}/a/b", 0o755)
        make_dirs_beneath(f"{tmp_path}/c/d", str(tmp_path), 0o755)
        make_each_beneath([f"{tmp_path}/e/f", f"{tmp_path}/e/g"], str(tmp_path), 0o755)
    finally:
        os.umask(before)
    names = ("new", "whole", "a", "a/b", "c", "c/d", "e", "e/f", "e/g")
    modes = [(tmp_path / name).stat().st_mode & 0o7777 for name in names]
    assert modes == [0o644, 0o644, *[0o755] * 7]


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("place", ["link", "link/deep", "file"])
def test_nothing_is_written_or_removed_beneath_a_directory_through_a_link(
    tmp_path: pathlib.Path, place: str
) -> None:
    base, victim = tmp_path / "base", tmp_path / "victim"
    (victim / "deep").mkdir(parents=True)
    for directory in (victim, victim / "deep"):
        (directory / "kept").write_text("kept")
    base.mkdir()
    (base / "link").symlink_to(victim)
    (base / "file").touch()
    with pytest.raises(Corrupt), path_beneath(f"{base}/{place}/kept", str(base)) as path:
        os.unlink(path)
    with pytest.raises(Corrupt):
        make_dirs_beneath(f"{base}/{place}/new", str(base))
    for paths in ([f"{base}/{place}/new"], [f"{base}/new", f"{base}/{place}"]):
        with pytest.raises(Corrupt):
            make_each_beneath(paths, str(base))
    assert sorted(found.name for found in victim.rglob("*")) == ["deep", "kept", "kept"]


def test_a_path_that_is_held_means_the_same_file(tmp_path: pathlib.Path) -> None:
    make_dirs_beneath(f"{tmp_path}/a/b", str(tmp_path))
    for name in ("top", "a/b/deep"):
        with path_beneath(f"{tmp_path}/{name}", str(tmp_path)) as path:
            write_atomically(path, name.encode())
        assert (tmp_path / name).read_text() == name
    with pytest.raises(FileNotFoundError), path_beneath(f"{tmp_path}/none/file", str(tmp_path)):
        pass
    with pytest.raises(ValueError, match="is not beneath"), path_beneath("/etc/passwd", str(tmp_path)):
        pass


@pytest.fixture(name="few_descriptors")
def _few_descriptors(no_descriptor_left: None) -> Iterator[None]:
    """Allow far fewer descriptors than the levels of a deep directory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + FEW_DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def make_deep(base: pathlib.Path, depth: int = DEPTH) -> pathlib.Path:
    """Nested directories, with a file in each tenth, far deeper than a path can name."""
    base.mkdir()
    at = os.open(base, DIRECTORY)
    for level in range(depth):
        os.mkdir("d", dir_fd=at)
        if level % 10 == 0:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=at))
        below = os.open("d", DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    return base


@pytest.mark.slow
@pytest.mark.usefixtures("few_descriptors")
def test_a_tree_of_five_thousand_levels_is_summed_up_and_removed(tmp_path: pathlib.Path) -> None:
    deep = make_deep(tmp_path / "deep")
    shallow = disk_usage(str(make_deep(tmp_path / "shallow", DEPTH // 100)))
    assert shallow > 0
    assert disk_usage(str(deep)) > 90 * shallow
    remove_tree(str(deep))
    assert os.listdir(tmp_path) == ["shallow"]


def test_a_tree_may_be_wide_and_branch_at_every_level(tmp_path: pathlib.Path) -> None:
    top = tmp_path / "top"
    for first in "abc":
        for second in "xyz":
            place = top / first / second
            place.mkdir(parents=True)
            (place / "file").write_bytes(b"x" * 5000)
            (top / first / f"{second}.txt").touch()
    assert disk_usage(str(top)) == sum(found.lstat().st_blocks * 512 for found in [top, *top.rglob("*")])
    remove_tree(str(top))
    assert os.listdir(tmp_path) == []


def test_links_are_removed_and_not_followed(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    (top / "to-dir").symlink_to(outside)
    (top / "below" / "to-file").symlink_to(outside / "kept")
    (top / "below" / "up").symlink_to("..")
    (top / "nowhere").symlink_to("/no/such/file")
    remove_tree(str(top))
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert (outside / "kept").read_text() == "x"
    (tmp_path / "link").symlink_to(outside)
    remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["kept"]


def test_what_is_missing_is_fine_and_a_file_is_a_tree(tmp_path: pathlib.Path) -> None:
    remove_tree(str(tmp_path / "none"))
    assert disk_usage(str(tmp_path / "none")) == 0
    (tmp_path / "file").write_bytes(b"x" * 5000)
    assert disk_usage(str(tmp_path / "file")) == (tmp_path / "file").stat().st_blocks * 512
    remove_tree(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == []


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_is_an_error_and_keeps_what_it_shows(tmp_path: pathlib.Path, kind: str) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "kept").write_text("x")
    place = tmp_path / "top" / "deep" / "mount"
    place.mkdir(parents=True)

    def work() -> None:
        privately()
        flags = syscalls.MS_BIND if kind == "bind" else 0
        syscalls.mount(str(shown) if kind == "bind" else "none", str(place), "" if flags else kind, flags, "")
        (place / "there").write_text("x")
        with pytest.raises(OSError, match="a file system is still mounted here") as caught:
            remove_tree(str(tmp_path / "top"))
        assert caught.value.errno == errno.EXDEV
        assert (place / "there").read_text() == "x"

    in_child(work)
    assert (shown / "kept").read_text() == "x"


@pytest.mark.finding("trial7-F13")
@pytest.mark.root
@pytest.mark.parametrize("how", ["new", "whole", "beneath", "stream"])
def test_a_full_disk_is_told_with_the_path(tmp_path: pathlib.Path, how: str) -> None:
    data = bytes(1 << 20)

    def body() -> None:
        privately()
        syscalls.mount("small", str(tmp_path), "tmpfs", 0, "size=64k")
        path = f"{tmp_path}/file"
        with pytest.raises(OSError, match="No space left") as full:
            if how == "new":
                write_new(path, data)
            elif how == "whole":
                write_atomically(path, data)
            elif how == "beneath":
                write_new_beneath(path, str(tmp_path), data, 0o600)
            else:
                with open(path, "wb", buffering=0) as file:
                    write_all(file.fileno(), data)
        assert full.value.filename == path
        assert how != "whole" or os.listdir(tmp_path) == []
        syscalls.mount("", str(tmp_path), "", syscalls.MS_REMOUNT | syscalls.MS_RDONLY, "")
        with pytest.raises(OSError, match="Read-only") as refused:
            write_atomically(path, b"")
        assert refused.value.filename == path

    in_child(body)


def test_what_is_no_file_of_a_file_system_has_no_path() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError) as broken:
            write_all(writer, b"x")
    finally:
        os.close(writer)
    assert broken.value.filename is None
