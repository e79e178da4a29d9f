# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse files come out as they went in, by every form that GNU tar writes, and cost no more than a bound."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import extract, sparse, tar
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.allowance import Allowance

FORMS = {
    "gnu": ("--format=gnu",),
    "0.0": ("--format=pax", "--sparse-version=0.0"),
    "0.1": ("--format=pax", "--sparse-version=0.1"),
    "1.0": ("--format=pax", "--sparse-version=1.0"),
}
# How many parts with data: none, as many as a header holds, more, and more than a block holds besides.
PARTS = (0, 1, 4, 5, 25, 26, 60)
STEP = 1 << 16


def make_sparse(path: pathlib.Path, parts: int, size: int) -> bytes:
    """A file with holes; what is read of it."""
    with path.open("wb") as file:
        for number in range(parts):
            file.seek(2 * number * STEP)
            file.write(b"%d" % number * 100)
        file.truncate(max(size, 2 * parts * STEP + 1))
    return path.read_bytes()


def archived(folder: pathlib.Path, name: str, form: str) -> bytes:
    """What GNU tar makes of it."""
    words = ["tar", "-c", "-S", *FORMS[form], "-f", "-", "-C", str(folder), name]
    return subprocess.run(words, check=True, capture_output=True).stdout


def unpack(data: bytes, root: pathlib.Path, allowance: Allowance | None = None) -> dict[str, bytes]:
    """Unpack an archive; the digests that were made on the way."""
    root.mkdir(exist_ok=True)
    reader = tar.TarReader(iter([data]), sparse=True)
    with extract.Extraction(str(root), allowance) as extraction:
        for entry in reader:
            extraction.add(entry, extract.clean(entry.name), reader)
    return extraction.digests


@pytest.mark.root
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("parts", PARTS)
def test_what_tar_has_written_is_what_it_was(tmp_path: pathlib.Path, form: str, parts: int) -> None:
    name = "f" * 120 if parts == 5 else "big.img"
    content = make_sparse(tmp_path / name, parts, 3 * STEP)
    data = archived(tmp_path, name, form)
    assert len(data) < len(content)
    digests = unpack(data, tmp_path / "root")
    found = tmp_path / "root" / name
    assert found.read_bytes() == content
    assert digests[name] == hashlib.sha256(content).digest()
    assert found.stat().st_blocks * 512 < len(content), "it has no holes any more"
    assert found.stat().st_mtime_ns // 10**9 == (tmp_path / name).stat().st_mtime_ns // 10**9


@pytest.mark.root
@pytest.mark.parametrize("form", FORMS)
def test_what_follows_it_is_read_from_its_beginning(tmp_path: pathlib.Path, form: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    content = make_sparse(folder / "a", 30, 0)
    (folder / "b").write_bytes(b"after it")
    unpack(archived(tmp_path, "in", form), tmp_path / "root")
    assert (tmp_path / "root/in/a").read_bytes() == content
    assert (tmp_path / "root/in/b").read_bytes() == b"after it"


@pytest.mark.root
@pytest.mark.parametrize("form", FORMS)
def test_holes_count_as_what_is_unpacked(tmp_path: pathlib.Path, form: str) -> None:
    make_sparse(tmp_path / "f", 1, 200_000_000)
    data = archived(tmp_path, "f", form)
    with pytest.raises(Corrupt, match="comes to more than 150000000 bytes"):
        unpack(data, tmp_path / "root", Allowance(Limits(unpacked_bytes=150_000_000)))


def pax(*records: bytes, data: bytes = b"") -> bytes:
    """An archive of one sparse file with these records."""
    lines = b""
    for record in records:
        length = len(record) + 2
        while len(b"%d %s\n" % (length, record)) != length:
            length += 1
        lines += b"%d %s\n" % (length, record)
    head = tar.header_of(tar.TarEntry("x", "x", size=len(lines))) + tar.padded(lines)
    return head + tar.header_of(tar.TarEntry("f", "0", size=len(data))) + tar.padded(data) + bytes(1024)


V1 = (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=1000", b"GNU.sparse.name=f")
DAMAGED = {
    "overlapping": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,2,1,2", data=b"1234"),
    "beyond": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=8,4", data=b"1234"),
    "too few": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,4", data=b"12"),
    "too many": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,4", data=b"123456"),
    "half": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,4,5", data=b"1234"),
    "negative": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,-4", data=b"1234"),
    "no size": pax(b"GNU.sparse.map=0,4", data=b"1234"),
    "absurd size": pax(b"GNU.sparse.size=99999999999999", b"GNU.sparse.map=0,4", data=b"1234"),
    "words": pax(b"GNU.sparse.size=10", b"GNU.sparse.map=a,b", data=b"1234"),
    "no map": pax(*V1, data=b""),
    "empty count": pax(*V1, data=b"\n0\n".ljust(512, b"\0")),
    "endless map": pax(*V1, data=b"1" * 5120),
    "huge count": pax(*V1, data=b"99999999999\n".ljust(512, b"0")),
    "short map": pax(*V1, data=b"2\n0\n4\n".ljust(512, b"\0") + b"1234"),
    "old": tar.header_of(tar.TarEntry("f", "S", size=3)) + tar.padded(b"123") + bytes(1024),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_map_that_fits_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt, match=r"sparse|claims a size|truncated"):
        for _entry in tar.TarReader(iter([data]), sparse=True):
            pass


def test_a_sparse_manifest_is_none() -> None:
    reader = tar.TarReader(
        iter([pax(b"GNU.sparse.size=10", b"GNU.sparse.map=0,4", data=b"1234")]), sparse=True
    )
    with pytest.raises(Corrupt, match="the manifest is a sparse file"):
        for _entry in reader:
            reader.content(100, "the manifest")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5), st.integers(1, 7))
def test_data_are_put_where_the_map_says(gaps: list[tuple[int, int]], size: int) -> None:
    spans, at = [], 0
    for hole, length in gaps:
        spans += [at + hole, length]
        at += hole + length
    stored = bytes(range(1, 1 + sum(spans[1::2])))
    pieces = (memoryview(stored)[start : start + size] for start in range(0, len(stored), size))
    file = bytearray(at)
    for offset, part in sparse.placed(pieces, sparse.spans_of(spans, at, len(stored))):
        file[offset : offset + len(part)] = part
    wanted, rest = bytearray(), stored
    for hole, length in gaps:
        wanted += bytes(hole) + rest[:length]
        rest = rest[length:]
    assert file == wanted


@pytest.mark.root
def test_a_file_of_data_alone_is_one_all_the_same(tmp_path: pathlib.Path) -> None:
    unpack(pax(b"GNU.sparse.size=4", b"GNU.sparse.map=0,4", data=b"1234"), tmp_path / "root")
    assert (tmp_path / "root/f").read_bytes() == b"1234"
