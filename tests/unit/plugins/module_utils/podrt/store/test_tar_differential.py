# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of archives beside Python's own, over archives that Python's own has made, whole and damaged."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.tar import TarReader

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LETTERS = st.characters(
    min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="/\\", exclude_categories=("Cs",)
)
PART = st.text(LETTERS, min_size=1, max_size=120).filter(lambda part: part.strip("."))
NAME = st.lists(PART, min_size=1, max_size=4).map("/".join)
TYPES = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
)
# What is told of an entry: name, kind, mode, owners, time, link, device, content.
Told = tuple[str, str, int, int, int, int, str, tuple[int, int], bytes]


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """One member, of any kind that images have."""
    info = tarfile.TarInfo(draw(NAME))
    info.type = draw(st.sampled_from(TYPES))
    content = draw(st.binary(max_size=1600)) if info.type == tarfile.REGTYPE else b""
    info.size = len(content)
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 2**21 - 1)), draw(st.integers(0, 2**21 - 1))
    info.mtime = draw(st.integers(0, 2**33 - 1))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(NAME)
    if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    return info, content


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """An archive in one of the formats; members that its format cannot hold are left out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=draw(st.sampled_from(FORMATS))) as archive:
        for info, content in draw(st.lists(members(), max_size=6)):
            try:
                archive.addfile(info, io.BytesIO(content))
            except ValueError:
                continue
    return out.getvalue()


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def ours(data: bytes, size: int) -> list[Told]:
    reader = TarReader(chunks(data, size))
    return [
        (
            entry.name.rstrip("/"),
            entry.kind,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime // 10**9,
            entry.link,
            entry.device,
            b"".join(map(bytes, reader.blocks())),
        )
        for entry in reader
    ]


def theirs(data: bytes) -> list[Told]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            found.append(
                (
                    info.name,
                    info.type.decode(),
                    info.mode,
                    info.uid,
                    info.gid,
                    int(info.mtime),
                    info.linkname,
                    (info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else (0, 0),
                    file.read() if file else b"",
                )
            )
    return found


@given(archives(), st.integers(1, 3000))
def test_what_is_read_is_what_tarfile_reads(data: bytes, size: int) -> None:
    assert ours(data, size) == theirs(data)


@given(archives(), st.data())
def test_damage_is_told_or_changes_what_it_hits(data: bytes, drawn: st.DataObject) -> None:
    """Never another error, and never an endless read."""
    damaged = bytearray(data)
    for _time in range(drawn.draw(st.integers(1, 4))):
        damaged[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    cut = drawn.draw(st.integers(0, len(data)))
    for given_data in (bytes(damaged), data[:cut]):
        try:
            found = ours(given_data, 1024)
        except Corrupt:
            continue
        assert sum(len(entry[-1]) for entry in found) <= len(given_data)


@pytest.mark.parametrize("kind", FORMATS)
def test_all_formats_are_compared(kind: int) -> None:
    """The strategy leaves out what a format cannot hold; something simple must be left in each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        info = tarfile.TarInfo("a/b")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    assert [entry[0] for entry in ours(out.getvalue(), 100)] == ["a/b"]
    assert ours(out.getvalue(), 100) == theirs(out.getvalue())
