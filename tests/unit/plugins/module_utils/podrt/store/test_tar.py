# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar streams, including damaged and hostile ones."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import tar


def read(data: bytes, piece: int = 700) -> list[tuple[tar.TarEntry, bytes]]:
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


def extended(*records: bytes, kind: str = "x") -> bytes:
    """An extended header of records KEY=VALUE."""
    data = b"".join(record_of(record) for record in records)
    return tar.header_of(tar.TarEntry("x", kind, size=len(data))) + tar.padded(data)


def record_of(record: bytes) -> bytes:
    length = len(record) + 2
    while len(str(length)) + len(record) + 2 != length:
        length += 1
    return b"%d %s\n" % (length, record)


EMPTY = tar.header_of(tar.TarEntry("f", tar.FILE))
END = bytes(1024)


def broken(data: bytes, error: str) -> Iterator[bytes]:
    """A stream that fails after some output, as damaged compressed data does."""
    yield data
    raise Corrupt(error)


def test_damage_is_not_taken_for_the_end_of_the_archive():
    reader = tar.TarReader(broken(EMPTY + EMPTY, "the gzip data is truncated"))
    with pytest.raises(Corrupt, match="gzip data is truncated"):
        list(reader)


def test_damage_behind_the_end_of_the_archive_is_damage_all_the_same():
    with pytest.raises(Corrupt, match="gzip data is damaged"):
        list(tar.TarReader(broken(EMPTY + END, "the gzip data is damaged")))


@pytest.mark.parametrize("kind", ["x", "g", "L", "K"])
def test_extended_headers_do_not_pile_up(kind):
    size = 64 << 10
    value = record_of(b"SCHILY.xattr.user.a=" + b"x" * size) if kind in "xg" else b"n" * size
    header = tar.header_of(tar.TarEntry("x", kind, size=len(value))) + tar.padded(value)
    with pytest.raises(Corrupt, match="extended headers"):
        list(tar.TarReader(itertools.repeat(header)))


def test_each_entry_may_have_extended_headers_of_its_own():
    one = extended(b"SCHILY.xattr.user.a=" + b"x" * (600 << 10)) + EMPTY
    assert [len(found.xattrs[0][1]) for found, _other in read(one * 4 + END, 1 << 20)] == [600 << 10] * 4


def test_keys_that_mean_nothing_here_are_not_kept():
    data = extended(b"comment=x", b"LIBARCHIVE.creationtime=1", b"uid=5", kind="g") + EMPTY + END
    reader = tar.TarReader(iter([data]))
    assert [found.uid for found in reader] == [5]
    assert reader._defaults == {"uid": b"5"}


@pytest.mark.parametrize(
    "record",
    [
        b"uid=-1",
        b"uid=+1",
        b"uid=1_0",
        b"uid=4294967295",
        b"gid=99999999999999999999",
        b"gid=9" + b"9" * 5000,
        b"size=1e3",
        b"mtime=nan",
        b"mtime=1.-5",
        b"mtime=99999999999999999999",
        b"mtime=-99999999999999999999",
        b"uid=" + "\N{ARABIC-INDIC DIGIT ONE}".encode(),
        b"SCHILY.xattr.user.a\0b=c",
    ],
)
def test_a_value_that_no_file_can_have_is_corrupt(record):
    with pytest.raises(Corrupt):
        read(extended(record) + EMPTY + END)


@pytest.mark.parametrize(
    "fields",
    [
        {"mtime": 2**70},
        {"uid": 2**32 - 1},
        {"gid": -1},
        {"type": tarfile.CHRTYPE, "devmajor": 2**12},
        {"type": tarfile.BLKTYPE, "devmajor": 1, "devminor": 2**20},
    ],
    ids=str,
)
def test_a_number_in_a_header_that_no_file_can_have_is_corrupt(make_tar, entry, fields):
    with pytest.raises(Corrupt, match="out of range"):
        read(make_tar(entry("f", b"", **fields), format=tarfile.GNU_FORMAT))


@pytest.mark.parametrize("field", [b"1_7", b"0o7", b"+7", b"-7", b"9"])
def test_a_number_in_a_header_is_octal_digits_alone(field):
    header = bytearray(EMPTY)
    header[108:116] = field.ljust(8, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(Corrupt, match="number"):
        read(bytes(header) + END)


@pytest.mark.parametrize(
    "records",
    [b"999 path=x\n", b"path=x\n", b"9 path=x", b"11 path x y\n", b"-5 a=b\n", b"0 a=b\n", b"9 path=\0\n"],
)
def test_a_malformed_pax_header_is_corrupt(records):
    header = tar.TarEntry("x", "x", size=len(records))
    with pytest.raises(Corrupt, match="pax"):
        read(tar.header_of(header) + tar.padded(records) + bytes(1024))


def test_an_absurd_size_is_corrupt():
    records = b"%d size=99999999999999999\n" % (len(b"size=99999999999999999\n") + 3)
    data = (
        tar.header_of(tar.TarEntry("x", "x", size=len(records)))
        + tar.padded(records)
        + tar.header_of(tar.TarEntry("f", "0"))
    )
    with pytest.raises(Corrupt, match="size"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [tar.header_of(tar.TarEntry("f", "S")), extended(b"GNU.sparse.major=1") + EMPTY],
    ids=["gnu", "pax"],
)
def test_a_sparse_file_is_refused(data):
    with pytest.raises(Corrupt, match="sparse"):
        read(data)


GNU_PLACE = "./GNUSparseFile.123/big.img"


@pytest.mark.finding("case-11")
@pytest.mark.parametrize(
    "records",
    [
        (
            b"GNU.sparse.major=1",
            b"GNU.sparse.minor=0",
            b"GNU.sparse.name=big.img",
            b"path=" + GNU_PLACE.encode(),
        ),
        (b"GNU.sparse.name=big.img", b"GNU.sparse.map=0,1", b"path=" + GNU_PLACE.encode()),
        (b"GNU.sparse.size=10", b"GNU.sparse.numblocks=1", b"path=big.img"),
    ],
    ids=["1.0", "0.1", "0.0"],
)
def test_a_sparse_file_is_refused_by_its_own_name(records):
    """tar names the entry ./GNUSparseFile.N/NAME."""
    data = extended(*records) + tar.header_of(tar.TarEntry(GNU_PLACE, tar.FILE))
    with pytest.raises(Corrupt, match=r'^"big\.img" is a sparse file'):
        read(data)


def test_what_is_written_is_what_tarfile_reads(tmp_path):
    data = tar.header_of(tar.TarEntry("manifest", tar.FILE, 0o644, 3)) + tar.padded(b"abc") + bytes(1024)
    (tmp_path / "x.tar").write_bytes(data)
    with tarfile.open(tmp_path / "x.tar") as archive:
        info = archive.getmember("manifest")
        assert (info.size, info.mode, info.uid, info.mtime) == (3, 0o644, 0, 0)
