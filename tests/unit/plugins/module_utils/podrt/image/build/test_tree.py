# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which files an image gets of its parts: found, merged, with owners, modes and times that the task says."""

from __future__ import annotations

import os
import pathlib
import socket
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import built as building
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import walked
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.built import archive_of, build
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.build.buildlab import (
    archive,
    entries,
    part,
    recipe,
    source,
)


@pytest.fixture(name="tree")
def _tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with all kinds of files that images have."""
    top = tmp_path / "tree"
    (top / "bin").mkdir(parents=True)
    (top / "bin/sh").write_bytes(b"shell")
    (top / "bin/sh").chmod(0o4755)
    os.link(top / "bin/sh", top / "bin/ash")
    (top / "bin/ls").symlink_to("/nowhere/else")
    (top / "etc").mkdir()
    (top / "etc/a.conf").write_text("a")
    (top / "etc/a.conf").chmod(0o640)
    return top


def test_a_directory_is_taken_as_it_is_but_for_owners_and_times(tree: pathlib.Path) -> None:
    found = entries(recipe(source(tree)))
    assert list(found) == ["", "bin", "bin/ash", "bin/ls", "bin/sh", "etc", "etc/a.conf"]
    assert {(member.uid, member.gid, member.mtime, member.uname) for member in found.values()} == {
        (0, 0, 0, "")
    }
    assert (found["bin/ash"].mode, found["bin/ash"].size) == (0o4755, 5)
    assert (found["bin/sh"].type, found["bin/sh"].linkname) == (tarfile.LNKTYPE, "rootfs/bin/ash")
    assert (found["bin/ls"].type, found["bin/ls"].linkname) == (tarfile.SYMTYPE, "/nowhere/else")
    assert found["etc/a.conf"].mode == 0o640


def test_the_root_of_an_image_is_open_to_its_apps_whatever_the_source_is(tmp_path: pathlib.Path) -> None:
    top = tmp_path / "private"
    (top / "below").mkdir(parents=True)
    top.chmod(0o700)
    (top / "below").chmod(0o700)
    found = entries(recipe(source(top)))
    assert (found[""].mode, found["below"].mode) == (0o755, 0o700)
    assert entries(recipe(source(top, "srv")))["srv"].mode == 0o700
    # A directory that is there is filled, and keeps its mode.
    merged = entries(recipe(part("srv", mode=0o711), source(top, "srv")))
    assert (merged["srv"].mode, merged["srv/below"].mode) == (0o711, 0o700)
    assert entries(recipe(part("", mode=0o750)))[""].mode == 0o750


def test_parts_are_merged_and_the_later_one_wins(tree: pathlib.Path) -> None:
    found = entries(
        recipe(
            source(tree, "usr"),
            part("usr/etc/a.conf", text=b"other"),
            part("var/deep/empty"),
            part("etc", link="usr/etc"),
            source(tree / "etc/a.conf", "single", names_file=False),
            source(tree / "etc/a.conf", "renamed", mode=0o600, uid=7, gid=8),
        )
    )
    assert found["usr/etc/a.conf"].size == len("other")
    assert [found[name].isdir() for name in ("var", "var/deep", "var/deep/empty")] == [True] * 3
    assert (found["etc"].linkname, found["single/a.conf"].mode) == ("usr/etc", 0o640)
    renamed = found["renamed"]
    assert (renamed.mode, renamed.uid, renamed.gid) == (0o600, 7, 8)


def test_modes_of_files_and_of_directories_are_set_apart(tree: pathlib.Path) -> None:
    found = entries(recipe(source(tree, "x", mode=0o444, directory_mode=0o555)))
    assert {member.mode for member in found.values() if member.isreg()} == {0o444}
    assert {member.mode for name, member in found.items() if member.isdir() and name} == {0o555}


def test_owners_times_and_attributes_are_kept_when_asked_for(tree: pathlib.Path) -> None:
    conf = tree / "etc/a.conf"
    os.utime(conf, (5, 1_234_567_890.75))
    os.setxattr(conf, "user.note", b"\0\xff")
    kept = entries(recipe(source(tree), keeps=("owner", "mtime", "xattrs")))["etc/a.conf"]
    plain = entries(recipe(source(tree), mtime=99))["etc/a.conf"]
    info = conf.stat()
    assert (kept.uid, kept.gid, kept.mtime) == (info.st_uid, info.st_gid, 1_234_567_890)
    assert kept.pax_headers["SCHILY.xattr.user.note"].encode("utf-8", "surrogateescape") == b"\0\xff"
    assert (plain.mtime, plain.pax_headers) == (99, {})


@pytest.mark.root
def test_file_capabilities_are_a_part_of_a_program(tree: pathlib.Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(tree / "etc/a.conf", "security.capability", capability)
    found = entries(recipe(source(tree)))["etc/a.conf"].pax_headers["SCHILY.xattr.security.capability"]
    assert found.encode("utf-8", "surrogateescape") == capability


def test_what_is_excluded_is_not_even_looked_at(tree: pathlib.Path) -> None:
    os.mkfifo(tree / "etc/pipe")
    found = entries(recipe(source(tree, exclude=("bin", "etc/pipe"))))
    assert list(found) == ["", "etc", "etc/a.conf"]


def test_a_named_link_is_followed_and_no_other(tree: pathlib.Path) -> None:
    (tree.parent / "link").symlink_to("tree")
    assert archive(recipe(source(tree.parent / "link"))) == archive(recipe(source(tree)))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_means_something_on_one_machine_only_is_refused(tree: pathlib.Path, kind: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        if kind == "pipe":
            os.mkfifo(tree / "etc/odd")
        else:
            sock.bind(str(tree / "etc/odd"))
        with pytest.raises(
            InvalidSpec, match=r"etc/odd is a (named pipe|socket), which is not put into an image"
        ) as err:
            build(recipe(source(tree)))
    assert err.value.where == "files[0]"


@pytest.mark.root
def test_a_device_is_refused(tree: pathlib.Path) -> None:
    os.mknod(tree / "null", 0o020666, os.makedev(1, 3))
    with pytest.raises(InvalidSpec, match="null is a device"):
        build(recipe(source(tree)))


def test_parts_that_do_not_fit_together_are_refused(tree: pathlib.Path) -> None:
    with pytest.raises(InvalidSpec, match="/bin is a directory in one part"):
        build(recipe(source(tree), part("bin", text=b"")))
    with pytest.raises(InvalidSpec, match="/bin/sh is a directory in one part"):
        build(recipe(source(tree), part("bin/sh/below", text=b"")))
    with pytest.raises(InvalidSpec, match="the root of an image is a directory"):
        build(recipe(part("", text=b"")))
    with pytest.raises(NotFound, match="absent is not there"):
        build(recipe(source(tree / "absent")))


def test_files_that_change_while_they_are_read_are_an_error(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    found = building.members_of

    def changing(wanted: building.Recipe) -> tuple[building.Member, ...]:
        calls.append(1)
        if len(calls) == 2:
            (tree / "etc/more").write_text("")
        return found(wanted)

    monkeypatch.setattr(building, "members_of", changing)
    with pytest.raises(Conflict, match="the source of /etc/more has changed while the image was built"):
        build(recipe(source(tree)))


def test_a_file_that_goes_while_its_directory_is_read_is_an_error(
    tree: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listed(path), "gone"])
    with pytest.raises(Conflict, match="has changed while the image was built"):
        build(recipe(source(tree)))


@pytest.mark.parametrize("how", ["content", "gone", "longer"])
def test_what_changes_between_the_look_and_the_writing_is_an_error(tree: pathlib.Path, how: str) -> None:
    image = build(recipe(source(tree)))
    conf = tree / "etc/a.conf"
    if how == "gone":
        conf.unlink()
    else:
        conf.write_text("b" if how == "content" else "aa")
    with pytest.raises(Conflict, match=r"a\.conf has changed while the image was built"):
        list(archive_of(image))


def test_a_link_in_the_place_of_a_directory_is_not_followed(tree: pathlib.Path) -> None:
    image = build(recipe(source(tree)))
    (tree / "etc").rename(tree.parent / "elsewhere")
    (tree / "etc").symlink_to(tree.parent / "elsewhere")
    with pytest.raises(Exception, match="symbolic link"):
        list(archive_of(image))


def test_a_directory_that_becomes_a_link_meanwhile_leads_nowhere(
    tree: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Another user who may write into a source could have root list another directory."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/sh").write_text("other")
    wanted = recipe(source(tree))
    members = walked.found(wanted, wanted.parts[0], 0)
    seen = [next(members).path]
    while seen[-1] != "bin":
        seen.append(next(members).path)
    (tree / "bin").rename(tmp_path / "aside")
    (tree / "bin").symlink_to(tmp_path / "secret")
    with pytest.raises(Conflict, match="has changed while the image was built"):
        list(members)
