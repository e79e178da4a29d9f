# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A hosts file that is rewritten while it is read: through a bind mount, by the C library and byte by byte."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import slots

OWN = b"127.0.0.1 localhost\n::1 ip6-localhost\n"
SECONDS = 4.0
STAYING = 20
# Changing lines: those of an even and of an odd number take turns in the slots of each other.
CHANGING = 60

# usage: python -c READER HOW FILE COUNT; ends at SIGTERM, and says how often it has looked, and what was wrong.
READER = r"""
import os, re, signal, socket, sys
how, path, staying = sys.argv[1:]
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
whole = re.compile(r"10\.0\.(\d+)\.(\d+) n(\d+) also-n(\d+)(\.x)*")
own = {"127.0.0.1 localhost", "::1 ip6-localhost"}
rounds, wrong = 0, []
def line(text):
    text = text.partition("#")[0].strip()
    found = whole.fullmatch(text)
    numbers = {int(found[1]) * 256 + int(found[2]), int(found[3]), int(found[4])} if found else ()
    if text and text not in own and len(numbers) != 1:
        wrong.append(text)
def raw(size):
    fd, data = os.open(path, os.O_RDONLY), b""
    while chunk := os.read(fd, size):
        data += chunk
    os.close(fd)
    for text in data.split(b"\n"):
        line(text.decode(errors="replace"))
    if data[-1:] != b"\n":
        wrong.append("no end")
def resolve():
    for number in range(int(staying)):
        for name in (f"n{number}", f"also-n{number}"):
            try:
                found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
            except OSError as err:
                wrong.append(f"{name}: {err}")
                continue
            if [each[4][0] for each in found] != [f"10.0.0.{number}"]:
                wrong.append(f"{name}: {found}")
print("ready", flush=True)
while not stop:
    resolve() if how == "resolve" else raw(int(how))
    rounds += 1
print(rounds, wrong[:5])
"""


def line_of(number: int) -> str:
    """A line that says its number three times. It is as long as a slot for some, and short for others."""
    line = f"10.0.{number // 256}.{number % 256} n{number} also-n{number}"
    return line + ".x" * ((slots.WIDTH - len(line)) // 2) * (number % 3 == 2 and number >= STAYING)


def readers(path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    for how in ("1024", "4096", "128", "8192", "resolve", "resolve"):
        yield subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", READER, how, str(path), str(STAYING)],
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def hosts(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The file behind /etc/hosts, which is a bind mount of it for a child of this process alone."""
    if os.geteuid():
        pytest.skip("needs root")
    path = tmp_path / "hosts"
    path.write_bytes(slots.new_file(OWN, [line_of(number) for number in range(STAYING)]))
    home, place = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.getcwd()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(str(path), "/etc/hosts", "", syscalls.MS_BIND)
    # No name is asked of a server.
    (tmp_path / "nsswitch").write_text("hosts: files\n")
    if os.path.exists("/etc/nsswitch.conf"):
        syscalls.mount(str(tmp_path / "nsswitch"), "/etc/nsswitch.conf", "", syscalls.MS_BIND)
    yield path
    syscalls.setns(home, syscalls.CLONE_NEWNS)
    os.close(home)
    os.chdir(place)


def test_no_reader_sees_a_torn_line(hosts: pathlib.Path) -> None:
    running = list(readers(pathlib.Path("/etc/hosts")))
    for reader in running:
        assert reader.stdout
        assert reader.stdout.readline() == "ready\n"
    fd, end, changes = os.open(hosts, os.O_RDWR), time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        group = [line_of(STAYING + number) for number in range(changes % CHANGING, CHANGING, 7)]
        other = [line_of(STAYING + CHANGING + number) for number in range(changes % CHANGING, CHANGING, 7)]
        slots.revise(fd, *((group, other) if changes % 2 else (other, group)))
        changes += 1
    os.close(fd)
    for reader in running:
        reader.send_signal(signal.SIGTERM)
    said = [reader.communicate(timeout=30)[0] for reader in running]
    assert changes > 100 * SECONDS
    for text in said:
        rounds, wrong = text.split(" ", 1)
        assert (int(rounds) > 10, wrong.strip()) == (True, "[]"), said
    assert hosts.stat().st_size % slots.SIZE == 0


@pytest.mark.parametrize("moment", range(12))
def test_after_a_writer_that_was_killed_the_c_library_finds_the_others(
    hosts: pathlib.Path, moment: int
) -> None:
    """A writer stops before one of its writes, and stays so."""
    add, drop = [line_of(number) for number in (100, 101, 102)], [line_of(number) for number in (3, 4)]
    held = hosts.read_bytes()
    with hosts.open("r+b", buffering=0) as file:
        for place, data in slots.revision(held, add, drop)[:moment]:
            os.pwrite(file.fileno(), data, place)
    for number in {*range(STAYING)} - {3, 4}:
        (found,) = socket.getaddrinfo(f"also-n{number}", None, socket.AF_INET, socket.SOCK_STREAM)
        assert found[4][0] == f"10.0.0.{number}"
    for number in (100, 101, 102, 3, 4):
        try:
            found, *more = socket.getaddrinfo(f"n{number}", None, socket.AF_INET, socket.SOCK_STREAM)
        except socket.gaierror:
            continue
        assert (found[4][0], more) == (f"10.0.0.{number}", [])
    whole = re.compile(
        rb"(#.*|127\.0\.0\.1 localhost|::1 ip6-localhost|10\.0\.0\.(\d+) n\2 also-n\2(\.x)*)?\s*"
    )
    assert all(whole.fullmatch(line) for line in hosts.read_bytes().split(b"\n"))
