# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The reader of files that others could have written: regular, bounded, never through a link, never blocking."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import reading

Reader = Callable[[str], object]
STRICT: dict[str, Reader] = {
    "bytes": reading.read_bytes,
    "text": reading.read_text,
    "text_or": lambda path: reading.read_text_or(path, "nothing"),
    "number": reading.read_number,
    "open": lambda path: os.close(reading.open_regular(path)),
}
READERS = {**STRICT, "trusted": reading.read_trusted}


def as_directory(path: pathlib.Path) -> None:
    path.mkdir()


def as_fifo(path: pathlib.Path) -> None:
    os.mkfifo(path)


def as_socket(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def as_loop(path: pathlib.Path) -> None:
    path.symlink_to(path.name)


def as_link(path: pathlib.Path) -> None:
    (path.parent / "secret").write_text("71")
    path.symlink_to("secret")


def as_link_to_zero(path: pathlib.Path) -> None:
    path.symlink_to("/dev/zero")


DAMAGES = {
    "a directory": as_directory,
    "a named pipe": as_fifo,
    "a socket": as_socket,
    "a loop": as_loop,
    "a link": as_link,
    "a link to /dev/zero": as_link_to_zero,
}


@pytest.mark.finding("attack-F3")
@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_regular_file_is_named_and_not_read(
    read: Reader, damage: Callable[[pathlib.Path], None], tmp_path: pathlib.Path
) -> None:
    damage(tmp_path / "document")
    if read is reading.read_trusted and damage is as_link:
        assert read(f"{tmp_path}/document") == b"71"
        return
    with pytest.raises(Corrupt, match="document"):
        read(f"{tmp_path}/document")


@pytest.mark.finding("attack-F3")
@pytest.mark.parametrize("read", STRICT.values(), ids=STRICT)
def test_what_is_missing_is_not_damaged(read: Reader, tmp_path: pathlib.Path) -> None:
    try:
        assert read(f"{tmp_path}/document") in ("nothing", None)
    except FileNotFoundError as err:
        assert err.filename == f"{tmp_path}/document"


@pytest.mark.finding("attack-F3")
def test_a_link_on_the_way_is_not_followed_beneath_a_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere" / "status").mkdir(parents=True)
    (tmp_path / "elsewhere" / "status" / "web").write_text("7")
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "rkt").symlink_to("../elsewhere")
    path = f"{tmp_path}/pod/rkt/status/web"
    assert reading.read_number(path) == 7
    with pytest.raises(Corrupt, match="its path leads through"):
        reading.read_number(path, beneath=f"{tmp_path}/pod")
    with pytest.raises(ValueError, match="not beneath"):
        reading.read_bytes(f"{tmp_path}/elsewhere/status/web", beneath=f"{tmp_path}/pod")


@pytest.mark.finding("attack-F3")
def test_the_directory_itself_may_be_a_link_since_it_is_trusted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod" / "a").mkdir(parents=True)
    (tmp_path / "pod" / "a" / "b").write_text("text\n")
    (tmp_path / "held").symlink_to("pod")
    assert reading.read_text(f"{tmp_path}/held/a/b", beneath=f"{tmp_path}/held") == "text"
    assert reading.read_text_or(f"{tmp_path}/held/c/d", "nothing", beneath=f"{tmp_path}/held") == "nothing"


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("read", [reading.read_bytes, reading.read_trusted, reading.read_given])
def test_more_than_the_bound_is_refused_without_reading_it(
    read: Callable[[str, int], bytes], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "document"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(Corrupt, match="larger than 10 bytes"):
        read(str(path), 10)
    path.write_bytes(b"0123456789")
    assert read(str(path), 10) == b"0123456789"


@pytest.mark.parametrize(
    ("text", "number"),
    [("7\n", 7), ("-1", -1), ("", None), (" \n", None)],
    ids=["one", "below", "empty", "blank"],
)
def test_a_number_is_decimal(text: str, number: int | None, tmp_path: pathlib.Path) -> None:
    (tmp_path / "number").write_text(text)
    assert reading.read_number(f"{tmp_path}/number") == number


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("text", ["7\0", "1_0", "seven", "9" * 5000, "\u0661", "[7]", "--7"])
def test_what_is_no_number_is_damaged(text: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "number").write_text(text)
    with pytest.raises(Corrupt, match=r"holds (no number|a NUL character)"):
        reading.read_number(f"{tmp_path}/number")


@pytest.mark.finding("attack-F17")
def test_a_name_with_a_nul_is_an_error_and_not_a_bug(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Corrupt, match="NUL"):
        reading.read_bytes(f"{tmp_path}/a\0b")
    with pytest.raises(Corrupt, match="NUL"):
        reading.read_bytes(f"{tmp_path}/a\0b/c", beneath=str(tmp_path))


def test_a_document_of_the_configuration_that_is_linked_to_dev_null_is_empty(tmp_path: pathlib.Path) -> None:
    (tmp_path / "masked").symlink_to("/dev/null")
    assert reading.read_trusted(f"{tmp_path}/masked") == b""


def test_what_the_command_line_names_may_be_a_pipe(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("A=1\n"))
    writer.start()
    assert reading.read_given(f"{tmp_path}/pipe") == b"A=1\n"
    writer.join()


def test_the_kernel_s_files_are_read_whole() -> None:
    assert reading.kernel_text("/proc/self/comm")
    assert reading.kernel_text_or("/proc/self/nothing", "none") == "none"
    assert len(reading.read_kernel("/proc/self/maps")) > 100


@pytest.mark.finding("pods-F9")
def test_a_file_of_the_kernel_that_an_app_can_fill_is_read_up_to_a_bound() -> None:
    same = "/proc/devices"  # unlike what is of a process, which changes as that reads it
    whole = reading.kernel_text(same)
    assert reading.kernel_text_within(same, 1 << 20) == whole
    assert reading.kernel_text_within(same, len(whole) // 2) is None
    assert reading.kernel_text_within("/proc/self/nothing", 1) == ""


@pytest.mark.usefixtures("no_descriptor_left")
def test_no_reader_leaves_a_descriptor_open(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod" / "a").mkdir(parents=True)
    (tmp_path / "pod" / "a" / "b").write_text("1")
    os.mkfifo(tmp_path / "pipe")
    for _time in range(10):
        assert reading.read_number(f"{tmp_path}/pod/a/b", beneath=f"{tmp_path}/pod") == 1
        for read in READERS.values():
            with pytest.raises(Corrupt):
                read(f"{tmp_path}/pipe")


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("read", [reading.read_text, lambda path: reading.read_text_or(path, "")])
def test_a_text_with_a_nul_is_no_path_and_no_id(read: Callable[[str], str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "lower").write_bytes(b"/a\0b\n")
    with pytest.raises(Corrupt, match="lower: it holds a NUL character"):
        read(f"{tmp_path}/lower")


def test_a_file_of_a_process_that_has_ended_since_its_open_is_missing() -> None:
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    held = os.open(f"/proc/{child}/status", os.O_RDONLY)
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with pytest.raises(ProcessLookupError):
            os.read(held, 1)
        again = f"/proc/self/fd/{held}"
        assert reading.kernel_text_or(again, "none") == "none"
        assert reading.kernel_text_within(again, 1) == ""
    finally:
        os.close(held)
