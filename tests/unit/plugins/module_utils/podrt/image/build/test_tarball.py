# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Archives: the same bytes everywhere, and readable by every reader."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import tarball
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.members import Member
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import tar

LONG = "directory/" + "n" * 150
WIDE = "d\u00e9j\u00e0 vu \u2603"
RAW = os.fsdecode(b"latin-\xe9")
MEMBERS = (
    Member("", tar.DIRECTORY, 0o755),
    Member("big", tar.FILE, 0o644, uid=3_000_000, gid=4_000_000, mtime=2**34, size=3, content=b"abc"),
    Member("directory", tar.DIRECTORY, 0o1777),
    Member(LONG, tar.FILE, 0o600, size=513, content=b"x" * 513),
    Member("hard", tar.LINK, 0o600, link=LONG),
    Member(RAW, tar.FILE, 0o644),
    Member("soft", tar.SYMLINK, 0o777, link="../" * 60),
    Member(WIDE, tar.FILE, 0o644, xattrs=(("security.capability", b"\1\0\0\2\0\xff"),)),
)


def whole(members: tuple[Member, ...] = MEMBERS) -> bytes:
    return b"".join((*tarball.archive_of(members, "rootfs/"), tarball.END))


def test_our_own_reader_finds_what_was_written() -> None:
    found = list(tar.TarReader(iter((whole(),))))
    for entry, member in zip(found, MEMBERS):
        assert entry.name.rstrip("/") == f"rootfs/{member.path}".rstrip("/")
        assert (entry.kind, entry.mode, entry.uid, entry.gid) == (
            member.kind,
            member.mode,
            member.uid,
            member.gid,
        )
        assert (entry.size, entry.mtime) == (member.size, member.mtime * 10**9)
        assert entry.xattrs == member.xattrs
    assert len(found) == len(MEMBERS)
    assert found[4].link == f"rootfs/{LONG}"


def test_pythons_reader_finds_the_same() -> None:
    with tarfile.open(fileobj=io.BytesIO(whole()), errorlevel=2) as archive:
        found = archive.getmembers()
        longest = archive.extractfile(f"rootfs/{LONG}")
        assert longest is not None and longest.read() == b"x" * 513
    assert [entry.name for entry in found] == [f"rootfs/{member.path}".rstrip("/") for member in MEMBERS]
    assert (found[1].uid, found[1].gid, found[1].mtime) == (3_000_000, 4_000_000, 2**34)


def test_gnu_tar_finds_the_same(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.tar").write_bytes(whole())
    done = subprocess.run(
        ["tar", "--list", "--quoting-style=literal", "--file", tmp_path / "a.tar"],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    listed = [os.fsdecode(line).rstrip("/") for line in done.stdout.splitlines()]
    assert listed == [f"rootfs/{member.path}".rstrip("/") for member in MEMBERS]


def test_the_bytes_are_these_on_every_python() -> None:
    """A change of this digest is a change of the identity of every image that is built."""
    assert (
        hashlib.sha256(whole()).hexdigest()
        == "4fccaaa713ee9e93063626ef0c9c85ba4641d8421d8e8978cedc10296fa5502f"
    )


def test_gzip_says_neither_when_nor_where() -> None:
    chunks = [b"some text" * 1000, b"", b"more"]
    packed = b"".join(tarball.gzipped(chunks))
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert gzip.decompress(packed) == b"".join(chunks)
    assert len(packed) < 200


@pytest.mark.parametrize("length", [*range(85, 105), 985, 990, 995, 9_984])
def test_the_length_of_a_record_counts_itself(length: int) -> None:
    name = "n" * 101
    entry = tarball.entry_of(Member(name, tar.FILE, 0o644, xattrs=(("user.x", b"v" * length),)), name, "")
    (found,) = tar.TarReader(iter((entry + tarball.END,)))
    assert (found.name, found.xattrs) == (name, (("user.x", b"v" * length),))


def test_a_stream_is_gathered_into_larger_pieces() -> None:
    pieces = list(tarball.gathered([b"a" * 100_000] * 6))
    assert [len(piece) for piece in pieces] == [300_000, 300_000]
    assert list(tarball.gathered([])) == []


@pytest.mark.parametrize("mtime", [0, 1_500_000_000_250_000_000, 2**34 * 10**9 + 1, -(10**9) - 1, -1])
def test_times_are_kept_to_the_nanosecond(mtime: int) -> None:
    entry = tar.TarEntry("file", tar.FILE)
    entry.mtime = mtime
    (found,) = tar.TarReader(iter((tarball.headers_of(entry) + tarball.END,)))
    assert found.mtime == mtime


@pytest.mark.parametrize("kind", [tar.CHARACTER, tar.BLOCK_DEVICE])
def test_devices_have_their_numbers(kind: str) -> None:
    entry = tar.TarEntry("null", kind)
    entry.device = (4095, 1048575)
    data = tarball.headers_of(entry) + tarball.END
    (found,) = tar.TarReader(iter((data,)))
    assert found.device == (4095, 1048575)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
        assert (member.devmajor, member.devminor) == (4095, 1048575)
