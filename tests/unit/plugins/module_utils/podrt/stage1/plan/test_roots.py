# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Paths never lead out of an app's root."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan import roots


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "root"
    (top / "etc").mkdir(parents=True)
    (top / "bin").mkdir()
    (top / "etc" / "passwd").write_text("worker:x:100:200::/:/bin/sh\n")
    return top


@pytest.fixture
def root(image: pathlib.Path) -> Iterator[int]:
    fd = os.open(image, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.behaviour("C25")
def test_missing_parts_are_made_where_links_lead(root: int, image: pathlib.Path) -> None:
    (image / "away").symlink_to("../../../etc")
    (image / "dangling").symlink_to("deep/er")
    os.close(roots.open_file(root, "/away/new"))
    os.close(roots.open_dir(root, "/dangling/../x/y"))
    assert (image / "etc" / "new").is_file()
    assert (image / "deep" / "x" / "y").is_dir()
    assert (image / "deep" / "er").is_dir()


def test_links_that_go_round_are_an_error(root: int, image: pathlib.Path) -> None:
    (image / "a").symlink_to("b")
    (image / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        roots.open_dir(root, "/a/x")


@pytest.mark.parametrize("name", ["link", "file"])
def test_a_directory_of_our_own_is_no_link_and_no_file(root: int, image: pathlib.Path, name: str) -> None:
    (image / "link").symlink_to("etc")
    (image / "file").touch()
    with pytest.raises(NotADirectoryError):
        roots.open_own_dir(root, f"/{name}")
    os.close(roots.open_own_dir(root, "/made"))


@pytest.mark.finding("attack-F18")
@pytest.mark.parametrize(
    ("link", "target"), [("data", "/proc"), ("data", "proc/keys"), ("a", "b/../../proc/./keys")]
)
def test_a_link_into_proc_is_no_place_for_a_mount(
    root: int, image: pathlib.Path, link: str, target: str
) -> None:
    (image / "proc" / "keys").mkdir(parents=True)
    (image / "process" / "proc").mkdir(parents=True)
    (image / "b").mkdir()
    (image / link).symlink_to(target)
    found = roots.open_dir(root, f"/{link}")
    with pytest.raises(PermissionError, match="a link leads into /proc"):
        roots.refuse_mount_point(root, found)
    os.close(found)
    for fine in ("/process", "/process/proc", "/etc"):
        found = roots.open_dir(root, fine)
        roots.refuse_mount_point(root, found)
        os.close(found)


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("path", ["/", "/all", "/all/etc/.."])
def test_the_root_itself_is_no_place_for_a_mount(root: int, image: pathlib.Path, path: str) -> None:
    (image / "all").symlink_to("/")
    found = roots.open_dir(root, path)
    with pytest.raises(OSError, match="nothing can be mounted over the root of an app"):
        roots.refuse_mount_point(root, found)
    os.close(found)


def test_directories_get_their_mode_and_others_are_left_alone(root: int, image: pathlib.Path) -> None:
    roots.make_dir(root, "/tmp", 0o1777)
    roots.make_dir(root, "/bin", 0o700)
    assert (image / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (image / "bin").stat().st_mode & 0o7777 == 0o755
    roots.make_link(root, "/etc/passwd", "elsewhere")
    assert not (image / "etc" / "passwd").is_symlink()
