# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar streams, also damaged and hostile ones."""

from __future__ import annotations

import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import tar


def read(data: bytes, piece: int = 700) -> list[tuple[tar.Entry, bytes]]:
    reader = tar.TarReader(data[at : at + piece] for at in range(0, len(data), piece))
    return [(entry, b"".join(bytes(block) for block in reader.blocks())) for entry in reader]


LONG = "d" * 90 + "/" + "e" * 120 + "/" + "f" * 80


@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("piece", [1, 511, 512, 100_000])
def test_long_names_and_contents_come_through_whatever_the_chunks(make_tar, entry, style, piece):
    data = make_tar(
        entry(LONG, b"x" * 1300), entry("link", b"", type=tarfile.SYMTYPE, linkname=LONG), format=style
    )
    (first, content), (second, _other) = read(data, piece)
    assert (first.name, content, first.kind) == (LONG, b"x" * 1300, tar.FILE)
    assert (second.link, second.kind) == (LONG, tar.SYMLINK)


def test_a_number_too_large_for_octal_is_base_256(make_tar, entry):
    data = make_tar(entry("f", b"", uid=3_000_000_000, mtime=2**40), format=tarfile.GNU_FORMAT)
    found = read(data)[0][0]
    assert (found.uid, found.mtime) == (3_000_000_000, 2**40 * 10**9)


def test_a_time_before_the_epoch_is_kept(make_tar, entry):
    assert read(make_tar(entry("f", b"", mtime=-5), format=tarfile.GNU_FORMAT))[0][0].mtime == -5 * 10**9


def test_pax_gives_fractions_of_a_second_and_attributes(make_tar, entry):
    headers = {"SCHILY.xattr.user.colour": "blue", "mtime": "1500000000.25"}
    found = read(make_tar(entry("f", b"", pax_headers=headers), format=tarfile.PAX_FORMAT))[0][0]
    assert found.mtime == 1_500_000_000_250_000_000
    assert found.xattrs == (("user.colour", b"blue"),)


def test_a_global_header_holds_for_all_entries(make_tar, entry):
    data = make_tar(entry("a", b""), entry("b", b""), format=tarfile.PAX_FORMAT, pax_headers={"uid": "77"})
    assert [found.uid for found, _other in read(data)] == [77, 77]


def test_unread_data_is_skipped(make_tar, entry):
    data = make_tar(entry("a", b"x" * 5000), entry("b", b""))
    reader = tar.TarReader(iter([data]))
    assert [found.name for found in reader] == ["a", "b"]


def test_an_archive_without_its_final_zeros_is_read(make_tar, entry):
    data = make_tar(entry("a", b"x" * 512))
    assert [found.name for found, _other in read(data[:1024])] == ["a"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:700], "truncated"),
        (lambda data: data[:100], "truncated"),
        (lambda data: b"\xff" + data[1:], "checksum"),
        (lambda data: data[:148] + b"zzzzzzzz" + data[156:], "number"),
    ],
    ids=["cut in data", "cut in header", "wrong checksum", "no number"],
)
def test_a_damaged_archive_is_corrupt(make_tar, entry, damage, message):
    with pytest.raises(Corrupt, match=message):
        read(damage(make_tar(entry("a", b"x" * 1000))))


@pytest.mark.parametrize(
    "records",
    [b"999 path=x\n", b"path=x\n", b"9 path=x", b"11 path x y\n", b"-5 a=b\n", b"0 a=b\n", b"9 path=\0\n"],
)
def test_a_malformed_pax_header_is_corrupt(records):
    header = tar.Entry("x", "x", size=len(records))
    with pytest.raises(Corrupt, match="pax"):
        read(tar.header_of(header) + tar.padded(records) + bytes(1024))


def test_an_absurd_size_is_corrupt():
    records = b"27 size=99999999999999999\n"
    records = b"%d size=99999999999999999\n" % (len(b"size=99999999999999999\n") + 3)
    data = (
        tar.header_of(tar.Entry("x", "x", size=len(records)))
        + tar.padded(records)
        + tar.header_of(tar.Entry("f", "0"))
    )
    with pytest.raises(Corrupt, match="size"):
        read(data)


def test_a_sparse_file_is_refused():
    with pytest.raises(Corrupt, match="sparse"):
        read(tar.header_of(tar.Entry("f", "S")))


def test_what_is_written_is_what_tarfile_reads(tmp_path):
    data = tar.header_of(tar.Entry("manifest", tar.FILE, 0o644, 3)) + tar.padded(b"abc") + bytes(1024)
    (tmp_path / "x.tar").write_bytes(data)
    with tarfile.open(tmp_path / "x.tar") as archive:
        info = archive.getmember("manifest")
        assert (info.size, info.mode, info.uid, info.mtime) == (3, 0o644, 0, 0)
