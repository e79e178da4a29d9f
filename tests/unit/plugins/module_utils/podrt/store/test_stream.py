# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams: checked, decompressed, read ahead."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import stream

PLAIN = b"".join(b"%d\n" % number for number in range(300_000))


def pieces(data: bytes, size: int = 65_536) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.slow
@pytest.mark.behaviour("B8")
@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, bytes], ids=["gzip", "bzip2", "xz", "plain"]
)
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_every_compression_is_told_by_its_first_bytes(pack, size):
    assert b"".join(stream.decompressed(pieces(pack(PLAIN), size))) == PLAIN


def test_a_stream_that_comes_byte_by_byte_is_read():
    assert b"".join(stream.decompressed(pieces(gzip.compress(b"hello"), 1))) == b"hello"


def test_members_in_a_row_and_padding_are_one_stream():
    data = gzip.compress(b"one") + bytes(20) + gzip.compress(b"two") + bytes(700)
    assert b"".join(stream.decompressed(pieces(data, 7))) == b"onetwo"


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_a_truncated_stream_is_corrupt(pack):
    with pytest.raises(Corrupt, match="truncated"):
        list(stream.decompressed(pieces(pack(PLAIN)[:-5])))


def test_damaged_data_is_corrupt():
    data = bytearray(gzip.compress(PLAIN))
    data[5000] ^= 0xFF
    with pytest.raises(Corrupt, match="damaged"):
        list(stream.decompressed(pieces(bytes(data))))


def test_what_comes_out_at_once_is_bounded():
    bomb = gzip.compress(bytes(200 << 20), 1)
    assert max(len(chunk) for chunk in stream.decompressed(iter([bomb]))) <= 4 * stream.BLOCK


needs_zstd = pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd")


@needs_zstd
def test_zstd_is_read_by_the_program_where_there_is_no_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    data = subprocess.run(["zstd", "-c"], input=PLAIN, stdout=subprocess.PIPE, check=True).stdout
    assert b"".join(stream.decompressed(pieces(data))) == PLAIN


@needs_zstd
def test_truncated_zstd_is_corrupt(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    data = subprocess.run(["zstd", "-c"], input=PLAIN, stdout=subprocess.PIPE, check=True).stdout
    with pytest.raises(Corrupt, match="zstd"):
        list(stream.decompressed(pieces(data[:-10])))


def test_without_zstd_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(programs, "PATH", "/nonexistent")
    with pytest.raises(Unsupported) as caught:
        list(stream.decompressed(iter([b"\x28\xb5\x2f\xfd" + bytes(20)])))
    assert "zstd" in caught.value.hint


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_content_with_its_digest_and_size_passes():
    assert b"".join(stream.exactly(pieces(PLAIN), digest(PLAIN), len(PLAIN))) == PLAIN


@pytest.mark.parametrize(
    ("given", "size"), [(b"other", 5), (b"short", 6), (b"too long", 3)], ids=["digest", "short", "long"]
)
def test_other_content_is_untrusted_and_the_digest_is_named(given, size):
    wanted = digest(b"wanted")
    with pytest.raises(Untrusted, match=wanted):
        list(stream.exactly(iter([given]), wanted, size))


def test_reading_ahead_changes_nothing():
    assert b"".join(stream.read_ahead(pieces(PLAIN, 999))) == PLAIN


def test_reading_ahead_raises_what_the_source_raises():
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise Corrupt("broken")

    with pytest.raises(Corrupt, match="broken"):
        list(stream.read_ahead(broken()))


def test_a_reader_that_stops_early_ends_the_thread():
    before = threading.active_count()
    ahead = stream.read_ahead(b"x" for _other in range(10**6))
    next(ahead)
    ahead.close()
    assert threading.active_count() == before
