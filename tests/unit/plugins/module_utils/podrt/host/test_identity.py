# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Users, groups and programs of an image."""

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
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.execution import (
    complaint,
    program_path,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.identity import (
    Identity,
    group_id,
    user_id,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.roots import MountedRoot
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.layered import LayeredRoot


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


@pytest.fixture(params=["mounted", "layered"])
def root(image: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[MountedRoot | LayeredRoot]:
    """The same lookups have the same results before a start and during it."""
    if request.param == "layered":
        yield LayeredRoot([str(image)])
        return
    fd = os.open(image, os.O_PATH)
    yield MountedRoot(fd)
    os.close(fd)


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize(
    ("text", "uid"), [("root", 0), ("0", 0), ("4294967294", 4294967294), ("worker", 100)]
)
def test_a_user_is_a_number_or_in_the_image(root: MountedRoot | LayeredRoot, text: str, uid: int) -> None:
    assert user_id(root, text) == uid


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize("text", ["nobody", "short", "odd", "-1", "1x", "worker:x"])
def test_a_user_that_is_not_there(root: MountedRoot | LayeredRoot, text: str) -> None:
    with pytest.raises(NotFound, match=f'"{text}" user not found'):
        user_id(root, text)


@pytest.mark.behaviour("C15")
def test_a_path_means_its_owner_and_links_are_not_followed(
    root: MountedRoot | LayeredRoot, image: pathlib.Path
) -> None:
    (image / "link").symlink_to("/etc/passwd")
    assert user_id(root, "/etc/passwd") == os.getuid()
    assert group_id(root, "/link") == os.getgid()
    with pytest.raises(HostFailure, match="cannot find the owner of /nosuch"):
        user_id(root, "/nosuch")


@pytest.mark.behaviour("C15", "C16")
@pytest.mark.parametrize("who", [(2**32 - 1, 0), (0, 2**32 - 1), (0, 0, (2**32 - 1,)), (-1, 0)], ids=str)
def test_nobody_has_the_number_that_means_no_change(who: tuple[int, int]) -> None:
    with pytest.raises(InvalidSpec, match="out of range"):
        Identity(*who)


@pytest.mark.parametrize("kind", ["fifo", "directory", "endless"])
def test_a_table_that_is_no_file_of_a_usual_size_is_an_error(
    root: MountedRoot | LayeredRoot, image: pathlib.Path, kind: str
) -> None:
    table = image / "etc" / "group"
    table.unlink()
    if kind == "fifo":
        os.mkfifo(table)
    elif kind == "directory":
        table.mkdir()
    else:
        with open(table, "wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(HostFailure, match="/etc/group of the image"):
        group_id(root, "workers")


def test_an_image_without_tables(root: MountedRoot | LayeredRoot, image: pathlib.Path) -> None:
    (image / "etc" / "group").unlink()
    with pytest.raises(HostFailure, match="no such file"):
        group_id(root, "workers")


def test_tables_behind_links_are_those_of_the_image(
    root: MountedRoot | LayeredRoot, image: pathlib.Path, tmp_path: pathlib.Path
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
def test_where_a_program_is(
    root: MountedRoot | LayeredRoot, name: str, search: str | None, directory: str, path: str
) -> None:
    assert program_path(root, name, search, directory) == path


@pytest.mark.behaviour("C12")
def test_a_program_that_is_nowhere(root: MountedRoot | LayeredRoot, image: pathlib.Path) -> None:
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


@pytest.mark.finding("case-09")
@pytest.mark.behaviour("A29")
@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"#!%s/nosuch\r\n", "nosuch\\r"),
        (b"#! \t%s/nosuch\t-x\n", "nosuch"),
        (b"#!%s/nosuch\0more\n", "nosuch"),
        (b"#!%s/no\x1b[31msuch\n", "no\\x1b[31msuch"),
        (b"#!%s/no\xc3\xbcch\x0b\n", "noüch\\x0b"),
    ],
    ids=["CR LF", "tabs", "NUL", "escape", "vertical tab"],
)
def test_the_interpreter_that_is_missing_is_named_as_the_kernel_reads_it(
    tmp_path: pathlib.Path, line: bytes, named: str
) -> None:
    script = tmp_path / "script"
    script.write_bytes(line % bytes(tmp_path))
    script.chmod(0o755)
    assert complaint(str(script)) == f'Unable to open "{tmp_path}/{named}": No such file or directory'


def test_a_program_that_only_looks_like_one_is_left_to_the_kernel(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "program"
    for size in (b"\xff\xff", b"\1\0"):  # of an entry of its table
        program.write_bytes(
            b"\x7fELF\x02\x01" + b"\0" * 26 + b"\x40" + b"\0" * 21 + size + b"\xff\xff" + b"\1" * 100
        )
        program.chmod(0o755)
        assert complaint(str(program)) == ""
