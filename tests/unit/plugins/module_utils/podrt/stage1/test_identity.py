# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Users and groups of an image, and paths that stay in it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1 import roots
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.execution import (
    complaint,
    program_path,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.identity import group_id, user_id


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "root"
    (top / "etc").mkdir(parents=True)
    (top / "bin").mkdir()
    (top / "etc" / "passwd").write_text(
        "worker:x:100:200::/:/bin/sh\nshort:x:1\nodd:x:abc:1::/:\nroot:x:5:5::/:\n"
    )
    (top / "etc" / "group").write_text("workers:x:200:\n")
    (top / "bin" / "tool").write_text("#!/bin/sh\n")
    (top / "bin" / "tool").chmod(0o755)
    return top


@pytest.fixture
def root(image: pathlib.Path) -> Iterator[int]:
    fd = os.open(image, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize(
    ("text", "uid"), [("root", 0), ("0", 0), ("4294967294", 4294967294), ("worker", 100)]
)
def test_a_user_is_a_number_or_in_the_image(root: int, text: str, uid: int) -> None:
    assert user_id(root, text) == uid


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize("text", ["nobody", "short", "odd", "-1", "1x", "worker:x"])
def test_a_user_that_is_not_there(root: int, text: str) -> None:
    with pytest.raises(NotFound, match=f'"{text}" user not found'):
        user_id(root, text)


@pytest.mark.behaviour("C15")
def test_a_path_means_its_owner_and_links_are_not_followed(root: int, image: pathlib.Path) -> None:
    (image / "link").symlink_to("/etc/passwd")
    assert user_id(root, "/etc/passwd") == os.getuid()
    assert group_id(root, "/link") == os.getgid()
    with pytest.raises(HostFailure, match="cannot find the owner of /nosuch"):
        user_id(root, "/nosuch")


def test_an_image_without_tables(root: int, image: pathlib.Path) -> None:
    (image / "etc" / "group").unlink()
    with pytest.raises(HostFailure, match="No such file"):
        group_id(root, "workers")


def test_tables_behind_links_are_those_of_the_image(
    root: int, image: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "passwd").write_text("evil:x:0:0::/:\n")
    (image / "etc" / "passwd").unlink()
    (image / "etc" / "passwd").symlink_to("../../../passwd")
    with pytest.raises(HostFailure):
        user_id(root, "evil")


@pytest.mark.behaviour("C12", "C14")
@pytest.mark.parametrize(
    ("name", "search", "directory", "path"),
    [
        ("/any/where", None, "/", "/any/where"),
        ("./tool", None, "/bin", "/bin/./tool"),
        ("tool", "/nosuch:/bin", "/", "/bin/tool"),
        ("tool", None, "/", "/bin/tool"),
        ("tool", "bin", "/", "/bin/tool"),
    ],
)
def test_where_a_program_is(root: int, name: str, search: str | None, directory: str, path: str) -> None:
    assert program_path(root, name, search, directory) == path


@pytest.mark.behaviour("C12")
def test_a_program_that_is_nowhere(root: int, image: pathlib.Path) -> None:
    (image / "etc" / "plain").touch()
    for search in ("/etc", "/nosuch", "/bin"):
        with pytest.raises(NotFound, match='error looking up "plain"'):
            program_path(root, "plain", search, "/")
    with pytest.raises(InvalidSpec):
        program_path(root, "", None, "/")


@pytest.mark.behaviour("A29")
def test_why_a_program_cannot_run(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!{tmp_path}/nosuch -x\n")
    assert complaint(str(script)) == f'"{script}" is not executable'
    script.chmod(0o755)
    assert complaint(str(script)) == f'Unable to open "{tmp_path}/nosuch": No such file or directory'
    assert complaint("/bin/sh") == ""
    assert complaint(str(tmp_path)) == f'"{tmp_path}" is not executable'


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


def test_directories_get_their_mode_and_others_are_left_alone(root: int, image: pathlib.Path) -> None:
    roots.make_dir(root, "/tmp", 0o1777)
    roots.make_dir(root, "/bin", 0o700)
    assert (image / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (image / "bin").stat().st_mode & 0o7777 == 0o755
    roots.make_link(root, "/etc/passwd", "elsewhere")
    assert not (image / "etc" / "passwd").is_symlink()
