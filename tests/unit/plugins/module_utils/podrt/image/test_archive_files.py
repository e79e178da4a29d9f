# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of archives and directories that may be hostile."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    PodError,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import archive_files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.archive_files import (
    DirectoryFiles,
    TarFiles,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.savedimages import tar_of

pytestmark = pytest.mark.usefixtures("no_descriptor_left")
HARD = {"type": tarfile.LNKTYPE}


@pytest.fixture(name="opening")
def _opening(tmp_path):
    """Write an archive of these members, and open it."""
    opened = []

    def opening(*members, data=None):
        path = tmp_path / "a.tar"
        path.write_bytes(tar_of(*members) if data is None else data)
        opened.append(TarFiles(str(path), "it"))
        return opened[-1]

    yield opening
    for files in opened:
        files.close()


def read(files, name, limit=1 << 20):
    return archive_files.read(files, name, limit)


def test_contents_are_found_by_name_wherever_they_are(opening):
    long = "d/" * 60 + "x" * 150
    members = [
        ("a", b"1"),
        ("./b", b"2" * 513),
        ("d", None),
        ("d/e", b""),
        (long, b"long"),
        ("/c", b"3" * 512),
    ]
    files = opening(*members)
    for name, content in members:
        if content is not None:
            assert read(files, name) == content
    assert read(files, "b") == b"2" * 513
    assert read(files, "c") == b"3" * 512
    assert files.has("d/e")
    assert not files.has("x")
    assert archive_files.size_of(files, "b") == 513
    assert archive_files.head_of(files, "b") == b"2" * 512
    assert archive_files.head_of(files, "a") == b"1"


@given(
    st.dictionaries(
        st.text("ab/.é", min_size=1, max_size=300).filter(lambda name: name.strip("/.") and ".." not in name),
        st.binary(max_size=1500),
        max_size=8,
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_an_archive_of_python_is_read_as_python_reads_it(tmp_path_factory, contents, form):
    path = tmp_path_factory.mktemp("archives") / "a.tar"
    clean = {name: archive_files.clean(name) for name in contents}
    unique = {name: data for name, data in contents.items() if list(clean.values()).count(clean[name]) == 1}
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in unique.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            (path.parent / "data").write_bytes(data)
            with (path.parent / "data").open("rb") as file:
                archive.addfile(info, file)
    with tarfile.open(path) as archive:
        names = [member.name for member in archive.getmembers()]
    files = TarFiles(str(path), "it")
    try:
        assert len(names) == len(unique)
        for name, data in unique.items():
            # Python takes a name with a slash at its end for a directory.
            if not name.endswith("/"):
                assert read(files, name) == data
    finally:
        files.close()


def test_a_large_content_is_read_in_pieces_that_each_tell(opening):
    beats = []
    files = opening(("a", b"x" * 700_000))
    pieces = list(archive_files.chunks(files, "a", lambda: beats.append(1)))
    assert b"".join(pieces) == b"x" * 700_000
    assert len(pieces) == len(beats) == 3


def test_threads_read_at_the_same_time(opening):
    files = opening(*((str(number), bytes([number]) * 600_000) for number in range(4)))
    wrong = []

    def work(number):
        for _round in range(5):
            if b"".join(archive_files.chunks(files, str(number))) != bytes([number]) * 600_000:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("x", "a"),
        ("d/x", "../a"),
        ("d/x", "e/../../a"),
        ("x", "./d/../a"),
        ("x", "y"),
        ("x", {**HARD, "linkname": "a"}),
    ],
)
def test_links_within_the_archive_are_followed(opening, name, link):
    assert read(opening(("a", b"content"), ("y", "a"), (name, link)), name) == b"content"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("x", "/etc/passwd")], 'the link "x" of it leads out of it, to "/etc/passwd"'),
        ([("x", "../etc/passwd")], "leads out of it"),
        ([("d/x", "../../a")], "leads out of it"),
        ([("x", "..")], "leads out of it"),
        ([("x", {**HARD, "linkname": "../a"})], "leads out of it"),
        ([("x", "x")], "leads to too many others"),
        ([("x", "y"), ("y", "x")], "leads to too many others"),
        ([(str(number), str(number + 1)) for number in range(9)] + [("x", "0")], "leads to too many others"),
        ([("x", None)], '"x" of it is not a file'),
        ([("x", {"type": tarfile.FIFOTYPE})], '"x" of it is not a file'),
        ([("x", {"type": tarfile.CHRTYPE})], '"x" of it is not a file'),
        ([("x", b"1"), ("x", b"2")], 'it has several files named "x"'),
        ([("x", b"1"), ("./x", "y"), ("y", b"2")], 'it has several files named "x"'),
    ],
)
def test_what_is_no_file_of_the_archive_is_refused(opening, members, reason):
    files = opening(*members)
    with pytest.raises(Corrupt) as caught:
        read(files, members[0][0])
    assert reason in str(caught.value)


@pytest.mark.parametrize(("member", "name"), [(("x", "y"), "x (a link to y)"), (("y", b""), "x")])
def test_what_is_missing_is_named(opening, member, name):
    files = opening(member)
    with pytest.raises(NotFound) as caught:
        read(files, "x")
    assert str(caught.value) == f"it lacks the file {name}"


def test_two_directories_of_one_name_do_no_harm(opening):
    assert read(opening(("d", None), ("d", None), ("d/x", b"1")), "d/x") == b"1"


def test_too_much_is_not_read(opening):
    files = opening(("x", b"12345"))
    assert read(files, "x", 5) == b"12345"
    with pytest.raises(Corrupt, match="x of it has 5 bytes, more than the 4 allowed"):
        read(files, "x", 4)


ENTRY_AND_MARK = tar_of(("a", b"1" * 1000))


@pytest.mark.parametrize("size", [513, 1024, 1500, 1536, 1535])
def test_an_archive_that_is_cut_is_refused(opening, size):
    assert len(ENTRY_AND_MARK) > 1536
    with pytest.raises(Corrupt, match="truncated"):
        opening(data=ENTRY_AND_MARK[:size])


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (b"", Corrupt, "it is not a tar archive"),
        (b"x" * 5000, Corrupt, "it is not a tar archive"),
        (ENTRY_AND_MARK[:100], Corrupt, "it is not a tar archive"),
        (
            gzip.compress(ENTRY_AND_MARK, mtime=0),
            Unsupported,
            r"the archive as a whole is compressed \(gzip\)",
        ),
        (tar_of(("../x", b"")), Corrupt, "leads out of it"),
        (tar_of(("a/../../x", b"")), Corrupt, "leads out of it"),
        (tar_of(("a/" * 3000, b"")), Corrupt, "cannot read it: "),
        (tar_of(("x", {"type": tarfile.GNUTYPE_SPARSE})), Corrupt, "is a sparse file"),
        (tar_of(("x", {"pax_headers": {"GNU.sparse.major": "1"}})), Corrupt, "is a sparse file"),
        (ENTRY_AND_MARK[:1536] + b"x" * 512, Corrupt, "cannot read it: the archive is damaged"),
    ],
)
def test_what_is_no_archive_is_refused(opening, data, error, reason):
    with pytest.raises(error, match=reason):
        opening(data=data)


def header(kind, size):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"L", b"V", b"g"])
def test_an_entry_that_claims_much_is_not_read_for_long(opening, tmp_path, kind):
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        for number in range(100):
            file.seek(number * 4 << 30)
            file.write(header(kind, 4 << 30))
        file.truncate(200 << 30)
    with pytest.raises(Corrupt):
        TarFiles(str(path), "it").close()


def test_the_number_of_files_is_bounded(opening, monkeypatch):
    monkeypatch.setattr(archive_files, "_MOST_MEMBERS", 3)
    opening(*((str(number), b"") for number in range(3)))
    with pytest.raises(Corrupt, match="it has more than 3 files"):
        opening(*((str(number), b"") for number in range(4)))


@given(st.binary(max_size=3000), st.integers(0, 1500), st.binary(max_size=40))
def test_a_damaged_archive_is_read_or_refused(tmp_path_factory, tail, at, patch):
    path = tmp_path_factory.mktemp("archives") / "a.tar"
    data = bytearray(tar_of(("a", b"1"), ("b", "a"), ("a" * 120, b"2")))
    data[at : at + len(patch)] = patch
    path.write_bytes(bytes(data) + tail)
    try:
        files = TarFiles(str(path), "it")
    except PodError:
        return
    try:
        for name in ("a", "b"):
            with contextlib.suppress(PodError):
                read(files, name)
    finally:
        files.close()


def test_an_archive_that_shrinks_meanwhile_is_refused(opening, tmp_path):
    files = opening(("a", b"1" * 5000))
    os.truncate(tmp_path / "a.tar", 2000)
    with pytest.raises(Corrupt, match="it is truncated"):
        read(files, "a")


def test_a_link_to_the_archive_counts_but_nothing_else_than_a_file(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(("a", b"1")))
    (tmp_path / "link").symlink_to("a.tar")
    files = TarFiles(str(tmp_path / "link"), "it")
    assert read(files, "a") == b"1"
    files.close()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Corrupt, match="a named pipe, not a regular file"):
        TarFiles(str(tmp_path / "pipe"), "it")
    with pytest.raises(Corrupt, match="a directory, not a regular file"):
        TarFiles(str(tmp_path), "it")
    with pytest.raises(NotFound, match="cannot open it: no such file"):
        TarFiles(str(tmp_path / "missing"), "it")


# --- directories ---


def test_the_files_of_a_directory_are_read(tmp_path):
    (tmp_path / "d/blobs").mkdir(parents=True)
    (tmp_path / "d/blobs/x").write_bytes(b"1" * 600)
    (tmp_path / "link").symlink_to("d")
    for path in (tmp_path / "d", tmp_path / "link"):
        files = DirectoryFiles(str(path), "it")
        assert read(files, "blobs/x") == b"1" * 600
        assert archive_files.size_of(files, "blobs/x") == 600
        assert files.has("blobs/x")
        assert not files.has("y")
        with pytest.raises(NotFound, match="it lacks the file blobs/y"):
            read(files, "blobs/y")
        files.close()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "real"])
def test_no_link_of_a_directory_is_followed(tmp_path, target):
    (tmp_path / "d/real").mkdir(parents=True)
    (tmp_path / "d/real/x").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_bytes(b"secret")
    (tmp_path / "d/blobs").symlink_to(target)
    files = DirectoryFiles(str(tmp_path / "d"), "it")
    with pytest.raises(Corrupt, match="leads through a symbolic link or a file"):
        read(files, "blobs/x")
    (tmp_path / "d/y").symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="symbolic link"):
        read(files, "y")


def test_a_directory_that_is_missing_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("missing", "file"):
        with pytest.raises(NotFound, match="cannot open it: there is no such directory"):
            DirectoryFiles(str(tmp_path / name), "it")
