# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams: checked, decompressed, read ahead."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import lzma
import os
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
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import stream, tar
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.allowance import Allowance

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


SKIPPED = b"\x2a\x4d\x18" + (4).to_bytes(4, "little") + bytes(4)


@needs_zstd
@pytest.mark.finding("case-06")
@pytest.mark.parametrize("first", range(0x50, 0x60), ids=hex)
def test_zstd_that_begins_with_a_frame_to_skip_is_zstd(monkeypatch, first):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    data = subprocess.run(["zstd", "-c"], input=b"plain", stdout=subprocess.PIPE, check=True).stdout
    assert b"".join(stream.decompressed(iter([bytes((first,)) + SKIPPED + data]))) == b"plain"


@pytest.mark.parametrize(
    "magic", [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"], ids=repr
)
@pytest.mark.parametrize("size", [1, 600])
def test_a_tar_whose_first_name_begins_like_compressed_data_is_plain(magic, size):
    name = magic.decode("utf-8", "surrogateescape") + "x"
    header = bytearray(tar.header_of(tar.TarEntry("x" * len(magic + b"x"), tar.FILE)))
    header[: len(magic) + 1] = os.fsencode(name)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = bytes(header) + bytes(1024)
    assert b"".join(stream.decompressed(pieces(data, size))) == data


@needs_zstd
@pytest.mark.finding("case-19")
@pytest.mark.behaviour("A6")
def test_what_the_program_complains_of_is_in_the_error_and_not_on_standard_error(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    data = subprocess.run(["zstd", "-c"], input=PLAIN, stdout=subprocess.PIPE, check=True).stdout
    with pytest.raises(Corrupt, match="premature end"):
        list(stream.decompressed(pieces(data[:-10])))
    assert capfd.readouterr().err == ""


@pytest.mark.finding("attack-F9")
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("content", [b"", b"x"], ids=["empty", "of one byte"])
def test_data_that_is_chopped_into_members_is_corrupt(pack, content):
    with pytest.raises(Corrupt, match="chopped into 10001 members"):
        list(stream.decompressed(itertools.repeat(pack(content), 200_000)))


def test_many_members_with_something_in_them_are_read():
    """eStargz has one for each file, and each holds at least a header."""
    members = itertools.repeat(gzip.compress(bytes(512)), 10_100)
    assert sum(map(len, stream.decompressed(members))) == 512 * 10_100


@pytest.mark.finding("attack-F9")
@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (Limits(unpacked_bytes=150 << 20, unpacked_ratio=10_000), "unpackedBytes"),
        (Limits(), "unpackedRatio"),
    ],
    ids=["size", "ratio"],
)
def test_what_swells_beyond_its_bound_is_refused_with_the_setting_to_raise(limits, setting):
    bomb = gzip.compress(bytes(200 << 20), 9)
    seen = 0
    with pytest.raises(Corrupt, match="refusing to unpack") as caught:
        for chunk in stream.metered(pieces(bomb), Allowance(limits)):
            seen += len(chunk)
    assert setting in caught.value.hint
    assert seen <= 150 << 20


def test_small_data_may_be_all_zeros():
    data = gzip.compress(bytes(90 << 20), 9)
    assert sum(map(len, stream.metered(iter([data]), Allowance()))) == 90 << 20


def test_the_layers_of_an_image_share_its_allowance():
    allowance = Allowance(Limits(unpacked_bytes=1000))
    assert b"".join(stream.metered(iter([bytes(600)]), allowance)) == bytes(600)
    with pytest.raises(Corrupt, match="more than 1000 bytes"):
        list(stream.metered(iter([bytes(600)]), allowance))


def test_an_archive_without_end_is_refused():
    with pytest.raises(Corrupt, match="more than 1048576 bytes"):
        list(
            tar.TarReader(
                stream.metered(itertools.repeat(bytes(512)), Allowance(Limits(unpacked_bytes=1 << 20)))
            )
        )


def test_without_zstd_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(programs, "PATH", "/nonexistent")
    with pytest.raises(Unsupported) as caught:
        list(stream.decompressed(iter([b"\x28\xb5\x2f\xfd" + bytes(20)])))
    assert "zstd" in caught.value.hint


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_content_with_its_digest_and_size_passes():
    assert b"".join(stream.verified_chunks(pieces(PLAIN), digest(PLAIN), len(PLAIN))) == PLAIN


@pytest.mark.parametrize(
    ("given", "size"), [(b"other", 5), (b"short", 6), (b"too long", 3)], ids=["digest", "short", "long"]
)
def test_other_content_is_untrusted_and_the_digest_is_named(given, size):
    wanted = digest(b"wanted")
    with pytest.raises(Untrusted, match=wanted):
        list(stream.verified_chunks(iter([given]), wanted, size))


def test_reading_ahead_changes_nothing():
    assert b"".join(stream.read_ahead(pieces(PLAIN, 999))) == PLAIN


def test_reading_ahead_raises_what_the_source_raises():
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise Corrupt("broken")

    with pytest.raises(Corrupt, match="broken"):
        list(stream.read_ahead(broken()))


def test_a_reader_that_stops_early_ends_the_thread():
    before = set(threading.enumerate())
    ahead = stream.read_ahead(b"x" for _other in range(10**6))
    next(ahead)
    ahead.close()
    assert set(threading.enumerate()) <= before


def test_a_pipe_that_is_named_as_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(Corrupt, match="not a regular file"):
        list(stream.file_chunks(str(tmp_path / "pipe")))
    assert b"".join(stream.file_chunks(str(tmp_path / "link"))) == b"content"
