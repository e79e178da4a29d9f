# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data that is accepted as zstd, and its bound of memory."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import stream, zstd

pytestmark = pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd")
PLAIN = os.urandom(300_000) + bytes(300_000) + b"end"
SKIPPED = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"


def packed(*flags: str, data: bytes = PLAIN) -> bytes:
    return subprocess.run(["zstd", "-cq", *flags], input=data, stdout=subprocess.PIPE, check=True).stdout


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.fixture(autouse=True)
def _no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)


@pytest.mark.finding("http-F9")
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 3, 1000, 1 << 20])
@pytest.mark.parametrize(
    "flags", [("-1",), ("-19",), ("--no-check",), ("--long=27",), ("--fast=9",)], ids=" ".join
)
def test_frames_of_every_kind_pass(flags: tuple[str, ...], size: int) -> None:
    data = SKIPPED + packed(*flags) + SKIPPED + packed(*flags, data=b"") + packed(data=bytes(1000)) + SKIPPED
    walked = list(zstd.checked(pieces(data, size)))
    assert b"".join(walked) == data
    assert b"".join(stream.decompressed(iter(walked))) == PLAIN + bytes(1000)


@pytest.mark.finding("http-F9")
@pytest.mark.parametrize("first", [SKIPPED, packed(data=b"x")], ids=["skipped", "a frame"])
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bytes], ids=["gzip", "xz", "nothing"])
def test_what_follows_a_frame_is_a_frame(first: bytes, pack: object) -> None:
    """The program by itself reads gzip and xz there, and takes as much memory as an xz asks for."""
    assert callable(pack)
    data = first + pack(PLAIN)
    for size in (1, 1000):
        with pytest.raises(Corrupt, match="something else follows one of its frames"):
            list(stream.decompressed(pieces(data, size)))


@pytest.mark.finding("http-F9")
def test_a_frame_that_wants_much_memory_is_refused_before_it_gets_any() -> None:
    data = packed("--long=28", "--ultra", "-1")
    with pytest.raises(
        Corrupt, match="the zstd data wants 268435456 bytes of memory, more than the 134217728"
    ):
        list(stream.decompressed(iter([data])))
    single = b"\x28\xb5\x2f\xfd" + bytes((0b10_1_00000,)) + (1 << 31).to_bytes(4, "little")
    with pytest.raises(Corrupt, match="wants 2147483648 bytes"):
        list(zstd.checked(iter([single])))


@pytest.mark.finding("http-F9")
def test_a_filter_program_has_a_bound_of_memory() -> None:
    """An xz with a dictionary of 64 MiB, by the program xz within 32 MiB and within a gibibyte."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 64 << 20}]
    data = lzma.compress(bytes(1000), filters=filters)
    argv = (programs.find("xz"), "-dcq", "--threads=1")
    assert b"".join(programs.pipe(argv, iter([data]), memory=1 << 30)) == bytes(1000)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        b"".join(programs.pipe(argv, iter([data]), memory=32 << 20))
