# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of two hundred pods in one network: their hosts files, and the file for resolvers of the host."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import stat
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import names, slots
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.names import NamedPod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import result_of_addresses

PODS = 200
NETWORK = "many"
OWN = "127.0.0.1 localhost\n::1 ip6-localhost\n"
# A line says the number of its pod three times.
WHOLE = re.compile(
    r"(?:10\.9\.(?P<a>\d+)\.(?P<b>\d+)|fd00:9::(?P<six>[0-9a-f]+)) pod(?P<one>\d+) www(?P<two>\d+)\.example\.com"
)


class Many:
    """The pods of a network, as their starts enter them."""

    def __init__(self, base: pathlib.Path) -> None:
        self.paths = Paths(data=str(base), run=str(base / "run"), leases=str(base / "leases"))
        self.files: dict[int, pathlib.Path] = {}

    def enter(self, number: int) -> None:
        pod = self.pod(number)
        self.files[number].parent.mkdir(parents=True)
        self.files[number].write_bytes(slots.new_file(OWN.encode()))
        addresses = (
            Assigned(Address.parse(text), bits) for text, bits in zip(addresses_of(number), (16, 64))
        )
        info = NetInfo(NETWORK, "", ("bridge",), "eth0", result_of_addresses(tuple(addresses)))
        names.enter(self.paths, pod, (info,))

    def leave(self, number: int) -> None:
        names.leave(self.paths, uuid_of(number))

    def pod(self, number: int) -> NamedPod:
        home = self.paths.state("run")
        file = self.paths.pod("run", uuid_of(number)).app_hosts("app")
        self.files[number] = pathlib.Path(file)
        return NamedPod(
            uuid_of(number),
            home,
            (f"pod{number}", f"www{number}.example.com"),
            (os.path.relpath(file, home),),
            (f"rkt-{number}",),
        )

    def check(self, numbers: set[int]) -> None:
        """Every file has its own lines, those of all pods of these numbers, its host name, and nothing else."""
        wanted = sorted(line for number in numbers for line in lines_of(number))
        for number in numbers:
            data = self.files[number].read_bytes()
            assert data.startswith(OWN.encode())
            assert len(data) % slots.SIZE == 0
            named = [f"{address} rkt-{number}" for address in addresses_of(number)]
            assert sorted(slots.slots_in(data)) == sorted([*wanted, *named])

    @property
    def published(self) -> pathlib.Path:
        """The directory for resolvers."""
        return pathlib.Path(self.paths.published_names)


def uuid_of(number: int) -> str:
    return f"{number:08x}-aaaa-4bbb-8ccc-{number:012x}"


def addresses_of(number: int) -> tuple[str, str]:
    return f"10.9.{number // 250}.{number % 250 + 1}", f"fd00:9::{number + 1:x}"


def lines_of(number: int) -> tuple[str, ...]:
    return tuple(f"{address} pod{number} www{number}.example.com" for address in addresses_of(number))


def is_whole(line: str) -> bool:
    """Whether a line is that of one pod, or none."""
    text = line.partition("#")[0].strip()
    if not text or text in OWN or re.fullmatch(r"\S+ rkt-\d+", text):
        return True
    found = WHOLE.fullmatch(text)
    if not found:
        return False
    four = int(found["a"]) * 250 + int(found["b"]) - 1 if found["a"] else int(found["six"], 16) - 1
    return len({four, int(found["one"]), int(found["two"])}) == 1


def watched(files: list[pathlib.Path]) -> Iterator[None]:
    """Read files in another process, as fast as it can, until this goes on; no line may be torn."""
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        ended: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
        rounds, torn = 0, ""
        while not ended:
            for file in files:
                lines = file.read_bytes().split(b"\n")
                torn = torn or next(
                    (repr(line) for line in lines if not is_whole(line.decode("latin-1"))), ""
                )
            rounds += 1
        os.write(writable, f"{rounds} {torn}".encode())
        os._exit(0)
    os.close(writable)
    yield
    os.kill(pid, signal.SIGTERM)
    with open(readable, encoding="utf-8") as told:
        rounds, torn = told.read().split(" ", 1)
    os.waitpid(pid, 0)
    assert (int(rounds) > 0, torn) == (True, "")


@pytest.fixture
def many(tmp_path: pathlib.Path) -> Many:
    if os.geteuid():
        pytest.skip("needs root")
    found = Many(tmp_path)
    for number in range(PODS):
        found.enter(number)
    return found


def test_two_hundred_pods_have_the_names_of_all_and_one_comes_and_goes(many: Many) -> None:
    everybody = {*range(PODS)}
    many.check(everybody)
    watching = watched([many.files[number] for number in (0, 77, PODS - 1)])
    next(watching)
    for at in range(5):
        many.enter(PODS + at)
        many.check({*everybody, PODS + at})
        many.leave(PODS + at)
        many.check(everybody)
    many.leave(100)
    many.check(everybody - {100})
    assert next(watching, "ended") == "ended"
    for number in everybody:
        many.leave(number)
    assert not os.path.exists(many.paths.name_lists)


def test_resolvers_have_a_file_of_all_names_where_there_is_a_place_for_it(tmp_path: pathlib.Path) -> None:
    many = Many(tmp_path)
    many.enter(0)
    assert not many.published.exists()  # it was not asked for
    many.published.mkdir()
    previous = os.umask(0o77)
    try:
        many.enter(1)
    finally:
        os.umask(previous)
    (file,) = many.published.iterdir()
    assert file.read_text().splitlines() == [*lines_of(0), *lines_of(1)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    before = file.stat().st_ino
    many.enter(2)
    assert file.stat().st_ino != before  # readers of the old one have all of it
    many.leave(1)
    assert file.read_text().splitlines() == [*lines_of(0), *lines_of(2)]
    # What it says is for everybody: no directory, no UUID.
    assert uuid_of(0) not in file.read_text() and str(tmp_path) not in file.read_text()
    many.leave(0)
    many.leave(2)
    assert list(many.published.iterdir()) == []
