# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking archives that may be hostile."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import extract, tar, times, walker
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.allowance import Allowance
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.checksum import checksum
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.extract import Extraction

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B52")]
LINK = {"type": tarfile.LNKTYPE}
SYMLINK = {"type": tarfile.SYMTYPE}


@pytest.fixture(name="unpack")
def _unpack(make_tar, tmp_path):
    def unpack(*members, whiteouts=False, limits=None):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        reader = tar.TarReader(iter([make_tar(*members, format=tarfile.PAX_FORMAT)]))
        with Extraction(str(root), Allowance(limits), whiteouts=whiteouts) as extraction:
            for found in reader:
                extraction.add(found, extract.clean(found.name), reader)
        return root, extraction

    return unpack


def test_owner_mode_time_and_content_are_kept(unpack, entry):
    root, extraction = unpack(
        entry("bin"), entry("bin/su", b"code", mode=0o4755, uid=3, gid=5, mtime=1_234_567_890)
    )
    info = (root / "bin/su").stat()
    assert (info.st_mode, info.st_uid, info.st_gid, info.st_mtime) == (
        stat.S_IFREG | 0o4755,
        3,
        5,
        1_234_567_890,
    )
    assert (root / "bin/su").read_bytes() == b"code"
    assert extraction.size == 4


def test_directories_get_their_times_last(unpack, entry):
    root, _other = unpack(
        entry("d", mtime=1000), entry("d/e", mtime=2000), entry("d/e/f", b"x"), entry("d/g", b"y")
    )
    assert [(root / name).stat().st_mtime for name in ("d", "d/e")] == [1000, 2000]


def test_the_umask_does_not_matter(unpack, entry):
    old = os.umask(0o077)
    try:
        root, _other = unpack(entry("d", mode=0o777), entry("d/f", b"", mode=0o666), entry("e/f", b""))
    finally:
        os.umask(old)
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("d", "d/f", "e")] == [0o777, 0o666, 0o755]


def test_links_devices_and_pipes_are_made(unpack, entry):
    root, _other = unpack(
        entry("f", b"x"),
        entry("hard", b"", linkname="f", **LINK),
        entry("soft", b"", linkname="../../outside", uid=7, **SYMLINK),
        entry("null", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry("pipe", b"", type=tarfile.FIFOTYPE, mode=0o600),
    )
    assert (root / "hard").stat().st_ino == (root / "f").stat().st_ino
    assert (os.readlink(root / "soft"), (root / "soft").lstat().st_uid) == ("../../outside", 7)
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)


def test_only_capabilities_and_user_attributes_are_kept(unpack, entry):
    capability = b"\x01\0\0\x02\0\x04\0\0" + bytes(12)
    headers = {
        "SCHILY.xattr.user.colour": "blue",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
    }
    root, _other = unpack(entry("f", b"x", uid=5, pax_headers=headers))
    assert sorted(os.listxattr(root / "f")) == ["security.capability", "user.colour"]
    assert os.getxattr(root / "f", "security.capability") == capability


@pytest.mark.parametrize(
    ("name", "said"),
    [("/../x", "leads out"), ("../x", "leads out"), ("a/../../x", "leads out"), ("a/..", "leads out")],
)
def test_a_name_that_escapes_is_corrupt_and_named(unpack, entry, name, said):
    with pytest.raises(Corrupt, match=said) as caught:
        unpack(entry(name, b"x"))
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["./a", "a", "./a/", "a//", "./././a", "/a", "//./a"])
def test_spellings_of_a_name_are_one(name):
    assert extract.clean(name) == "a"


@pytest.mark.parametrize("target", ["..", "../outside", "/outside", "/", "../../../../../../outside"])
def test_no_entry_is_written_through_a_link_that_leads_out(unpack, entry, tmp_path, target):
    outside = tmp_path / "outside"
    outside.mkdir()
    try:
        unpack(entry("evil", b"", linkname=target, **SYMLINK), entry("evil/outside/pwned", b"x"))
    except Corrupt as err:
        assert "evil" in str(err)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "pwned").exists()


def test_a_link_out_that_is_replaced_by_a_directory_is_no_way_out(unpack, entry, tmp_path):
    root, _other = unpack(entry("d", b"", linkname=str(tmp_path), **SYMLINK), entry("d"), entry("d/f", b"x"))
    assert (root / "d/f").read_bytes() == b"x"
    assert not (tmp_path / "f").exists()


def test_a_directory_that_becomes_a_link_is_not_written_through(unpack, entry, tmp_path):
    with pytest.raises(Corrupt):
        unpack(
            entry("d"),
            entry("d/f", b"x"),
            entry("d", b"", linkname=str(tmp_path), **SYMLINK),
            entry("d/g", b"y"),
        )
    assert not (tmp_path / "g").exists()


def test_a_link_inside_the_root_is_followed(unpack, entry):
    root, extraction = unpack(
        entry("usr"),
        entry("usr/lib"),
        entry("lib", b"", linkname="usr/lib", **SYMLINK),
        entry("lib/x/y", b"x"),
    )
    assert (root / "usr/lib/x/y").read_bytes() == b"x"
    assert extraction.implied == {"", "usr/lib/x"}
    assert list(extraction.digests) == ["usr/lib/x/y"]  # the path that the file really has


def test_what_a_link_led_to_may_be_replaced(unpack, entry):
    """The times of directories are set at the end, at their real paths and not at those in the archive."""
    root, extraction = unpack(
        entry("usr/lib", mtime=1000),
        entry("lib", b"", linkname="usr/lib", **SYMLINK),
        entry("lib/x", mtime=2000),
        entry("lib/x/y", b"x"),
        entry("lib", b"file"),
    )
    assert (root / "lib").read_bytes() == b"file"
    assert [(root / name).stat().st_mtime for name in ("usr/lib", "usr/lib/x")] == [1000, 2000]
    assert extraction.implied == {"", "usr"}


def test_links_in_a_circle_are_corrupt(unpack, entry):
    with pytest.raises(Corrupt, match="circle"):
        unpack(
            entry("a", b"", linkname="b", **SYMLINK),
            entry("b", b"", linkname="a", **SYMLINK),
            entry("a/f", b"x"),
        )


@pytest.mark.parametrize("target", ["/etc/passwd", "../passwd", "missing", "d"])
def test_a_hard_link_only_leads_to_a_file_of_the_archive(unpack, entry, target):
    with pytest.raises(Corrupt):
        unpack(entry("d"), entry("hard", b"", linkname=target, **LINK))


def test_an_absolute_target_of_a_hard_link_is_beneath_the_root(unpack, entry):
    root, _other = unpack(entry("/d/f", b"x"), entry("hard", b"", linkname="/d/f", **LINK))
    assert (root / "hard").stat().st_ino == (root / "d/f").stat().st_ino


def test_a_hard_link_takes_the_place_of_a_link_and_leads_to_its_own_target(unpack, entry):
    root, _other = unpack(
        entry("t/f", b"RIGHT"),
        entry("d/f", b"WRONG"),
        entry("d/x", b"", linkname="f", **SYMLINK),
        entry("d/x", b"", linkname="t/f", **LINK),
    )
    assert (root / "d/x").read_bytes() == b"RIGHT"
    assert (root / "d/x").stat().st_ino == (root / "t/f").stat().st_ino


def test_a_hard_link_may_replace_a_directory_whatever_was_open_in_it(unpack, entry):
    root, _other = unpack(
        entry("t/f", b"RIGHT"), entry("d/x/y/f", b"WRONG"), entry("d/x", b"", linkname="t/f", **LINK)
    )
    assert (root / "d/x").read_bytes() == b"RIGHT"


def test_a_hard_link_into_the_directory_that_it_replaces_is_corrupt(unpack, entry):
    with pytest.raises(Corrupt, match="not in the archive"):
        unpack(entry("d/f", b"x"), entry("d", b"", linkname="d/f", **LINK))


def test_hard_links_lead_to_the_right_file_among_more_directories_than_descriptors(unpack, entry):
    """The directory of the target is opened beside that of the link, however many are kept open."""
    files = [entry(f"d{number}/f", str(number).encode()) for number in range(300)]
    links = [entry(f"l{number % 97}/{number}", b"", linkname=f"d{number}/f", **LINK) for number in range(300)]
    root, _other = unpack(*files, *links)
    for number in range(300):
        assert (root / f"l{number % 97}/{number}").read_text() == str(number)


@pytest.mark.usefixtures("no_descriptor_left")
def test_no_descriptor_stays_open(unpack, entry):
    unpack(*(entry(f"d{number}/e/f", b"x") for number in range(150)), entry("d0", b""))
    with pytest.raises(Corrupt):
        unpack(entry("d1/f", b"", linkname="nowhere", **LINK))


def test_a_hard_link_does_not_go_through_a_link(unpack, entry, tmp_path):
    (tmp_path / "secret").write_text("s")
    with pytest.raises(Corrupt):
        unpack(entry("out", b"", linkname="..", **SYMLINK), entry("hard", b"", linkname="out/secret", **LINK))


def test_an_entry_beneath_a_file_is_corrupt(unpack, entry):
    with pytest.raises(Corrupt, match="not a directory"):
        unpack(entry("f", b"x"), entry("f/g", b"y"))


def test_a_name_too_long_for_the_kernel_is_corrupt(unpack, entry):
    with pytest.raises(Corrupt):
        unpack(entry("n" * 300, b"x"))


def test_the_root_cannot_become_a_file(unpack, entry):
    with pytest.raises(Corrupt):
        unpack(entry("./", b"x"))


def test_a_path_of_many_directories_is_fine_and_of_very_many_corrupt(unpack, entry):
    root, _other = unpack(entry("d/" * 128 + "f", b"x"))
    assert (root / ("d/" * 128) / "f").read_bytes() == b"x"
    with pytest.raises(Corrupt, match="more than 128"):
        unpack(entry("e/" * 1900 + "f", b"x"))


def test_links_are_no_way_to_a_path_of_very_many_directories(unpack, entry):
    deep = "d/" * 100
    with pytest.raises(Corrupt, match="more than 128"):
        unpack(
            entry(deep + "f", b"x"), entry("l", b"", linkname=deep, **SYMLINK), entry("l/" + deep + "g", b"")
        )


@pytest.mark.slow
def test_more_directories_than_descriptors_are_fine(unpack, entry):
    root, _other = unpack(*(entry(f"d{n}/f", b"x") for n in range(1500)))
    assert len(list(root.iterdir())) == 1500


def test_a_later_entry_replaces_an_earlier_one_of_another_kind(unpack, entry):
    root, _other = unpack(
        entry("a"), entry("a/b", b"x"), entry("a", b"file"), entry("c", b"y"), entry("c"), entry("c/d", b"z")
    )
    assert (root / "a").read_bytes() == b"file"
    assert (root / "c/d").read_bytes() == b"z"


def test_directories_that_no_entry_describes_are_noted(unpack, entry):
    _other, extraction = unpack(entry("a/b/f", b"x"), entry("a"))
    assert extraction.implied == {"", "a/b"}


def is_whiteout(path: pathlib.Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: pathlib.Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_whiteouts_become_those_of_overlayfs(unpack, entry):
    root, _other = unpack(
        entry("d"), entry("d/.wh.gone", b""), entry("o"), entry("o/.wh..wh..opq", b""), whiteouts=True
    )
    assert is_whiteout(root / "d/gone")
    assert is_opaque(root / "o")
    assert sorted(path.name for path in root.rglob("*")) == ["d", "gone", "o"]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_a_directory_that_a_layer_removes_and_brings_anew_is_opaque(unpack, entry, order):
    members = [entry(".wh.d", b""), entry("d"), entry("d/new", b"x")]
    root, _other = unpack(*(members[index] for index in order), whiteouts=True)
    assert is_opaque(root / "d")
    assert (root / "d/new").read_bytes() == b"x"


def test_what_is_put_beneath_a_name_that_was_removed_is_in_a_new_directory(unpack, entry):
    root, extraction = unpack(entry(".wh.d", b""), entry("d/e/y", b"x"), whiteouts=True)
    assert is_opaque(root / "d")
    assert (root / "d/e/y").read_bytes() == b"x"
    assert extraction.implied == {"", "d", "d/e"}


def test_a_hard_link_to_a_name_that_was_removed_is_corrupt(unpack, entry):
    with pytest.raises(Corrupt, match="not in the archive"):
        unpack(entry(".wh.f", b""), entry("hard", b"", linkname="f", **LINK), whiteouts=True)


@pytest.mark.parametrize("whiteouts", [True, False], ids=["layer", "aci"])
def test_the_device_that_hides_names_is_not_taken_from_an_archive(unpack, entry, whiteouts):
    with pytest.raises(Corrupt, match="0:0"):
        unpack(entry("f", b"", type=tarfile.CHRTYPE), whiteouts=whiteouts)


def test_notes_of_aufs_leave_nothing(unpack, entry):
    root, _other = unpack(entry("d/.wh..wh.plnk", b"x"), whiteouts=True)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("value", ["x" * 70_000, ""], ids=["value", "name"])
def test_an_attribute_that_no_file_can_have_is_corrupt(unpack, entry, value):
    name = "SCHILY.xattr.user.a" if value else "SCHILY.xattr.user." + "n" * 300
    with pytest.raises(Corrupt):
        unpack(entry("f", b"", pax_headers={name: value}))


@pytest.mark.finding("attack-F17")
def test_more_attributes_than_a_file_can_have_are_the_image_s_and_not_the_disk_s(unpack, entry):
    headers = {f"SCHILY.xattr.user.a{number}": "v" * 1000 for number in range(900)}
    with pytest.raises(Corrupt, match="more extended attributes than the file system takes"):
        unpack(entry("f", b"", pax_headers=headers))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_that_a_layer_removes_and_brings_anew_is_there(unpack, entry, order):
    members = [entry(".wh.f", b""), entry("f", b"new")]
    root, _other = unpack(*(members[index] for index in order), whiteouts=True)
    assert (root / "f").read_bytes() == b"new"


@pytest.mark.parametrize("name", [".wh.", ".wh...", ".wh.."])
def test_a_whiteout_of_nothing_is_corrupt(unpack, entry, name):
    with pytest.raises(Corrupt, match="whiteout"):
        unpack(entry(name, b""), whiteouts=True)


def test_in_an_aci_such_names_mean_nothing(unpack, entry):
    root, _other = unpack(entry(".wh.x", b"y"))
    assert (root / ".wh.x").read_bytes() == b"y"


@pytest.mark.finding("case-14")
def test_an_entry_beneath_a_link_to_nothing_is_named_with_the_link(unpack, entry):
    """As kaniko did: the layer replaces a directory by a link, and has a whiteout in it."""
    with pytest.raises(Corrupt) as caught:
        unpack(entry("a", linkname="b", **SYMLINK), entry("a/.wh.f", b""), whiteouts=True)
    assert caught.value.message.startswith('cannot extract "a/.wh.f": the link "a" leads to "b"')


@pytest.mark.finding("case-14")
@pytest.mark.parametrize("target", ["b", "/b", "a", "../x", "file"])
def test_what_is_refused_beneath_a_link_names_the_entry(unpack, entry, target):
    with pytest.raises(Corrupt, match='"a/f"'):
        unpack(entry("file", b""), entry("a", linkname=target, **SYMLINK), entry("a/f", b""))


@pytest.mark.finding("attack-F9")
@pytest.mark.parametrize("name", ["f{}", "d{}/f", "d/{}/"], ids=["files", "implied", "directories"])
def test_more_entries_than_allowed_are_refused_with_the_setting_to_raise(unpack, entry, name):
    members = [entry(name.format(n), None if name.endswith("/") else b"") for n in range(30)]
    with pytest.raises(Corrupt, match="more than 20 entries") as caught:
        unpack(*members, limits=Limits(unpacked_entries=20))
    assert "unpackedEntries" in caught.value.hint


@pytest.mark.finding("attack-F9")
def test_directories_that_only_names_speak_of_are_not_remembered_without_end(unpack, entry, monkeypatch):
    monkeypatch.setattr(walker, "_MOST_IMPLIED", 5_000)
    with pytest.raises(Corrupt, match="directories that it does not have"):
        unpack(*(entry("/".join(["x" * 20, str(n)] * 10), b"") for n in range(30)))


@pytest.mark.finding("attack-F9")
def test_memory_for_entries_is_bounded_and_what_comes_out_is_the_same(unpack, entry, monkeypatch, tmp_path):
    """Digests beyond the bound are read again, times beyond it wait in a file."""
    members = [
        entry(".", mtime=9),
        *(entry(f"d{n}", mtime=1000 + n) for n in range(20)),
        *(entry(f"d{n}/f", b"%d" % n) for n in range(20)),
        entry("d3", b"a file now"),
        entry("d5", mtime=5),
        entry("implied/f", b""),
    ]
    root, extraction = unpack(*members)
    plain = checksum(str(root), extraction.digests)
    assert len(extraction.digests) > 20
    os.rename(root, tmp_path / "first")
    monkeypatch.setattr(extract, "_MOST_REMEMBERED", 1000)
    monkeypatch.setattr(times, "_MOST_HELD", 3)
    root, extraction = unpack(*members)
    assert len(extraction.digests) < 4
    assert checksum(str(root), extraction.digests) == checksum(str(root)) == plain
    assert [(root / name).stat().st_mtime for name in ("d0", "d5", "d19", "implied")] == [1000, 5, 1019, 0]
    assert extraction.implied == {"implied"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "root"]


def test_an_implied_directory_that_was_replaced_is_none(unpack, entry):
    _root, extraction = unpack(
        entry("a/b/c/f", b""), entry("a", b"file"), entry("x"), entry("y", linkname="x", **SYMLINK)
    )
    assert extraction.implied == {""}


@pytest.mark.parametrize(
    "name", ["plain", "ümläut", 'quo"te', "back\\slash", "\x01\x02", "\udcff\udcfe", "\U0001f600"]
)
def test_what_is_remembered_of_a_directory_is_no_less_than_it_takes_in_the_record(name):
    size = (
        len(os.fsencode(name)) * 2
        if not name.isprintable()
        else len(json.dumps(name, ensure_ascii=False).encode())
    )
    assert walker._size_as_json(name) >= size


@pytest.mark.finding("http-F14")
@pytest.mark.parametrize("value", ["", "x", "x" * 21], ids=len)
def test_capabilities_that_are_none_are_damage_of_the_archive_and_name_the_entry(unpack, entry, value):
    """The kernel takes an empty one, and then cannot read it."""
    with pytest.raises(Corrupt, match=f'"f" in the archive has a security.capability of {len(value)} bytes'):
        unpack(entry("f", b"", pax_headers={"SCHILY.xattr.security.capability": value}))
