# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The names of pods in the hosts files of each other, and what is left by a process that was killed."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import names, slots
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.name_list import list_of, read_list
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.names import NamedPod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import result_of_addresses

NET = "red"


class Lab:
    """Pods in a network, by number."""

    def __init__(self, base: pathlib.Path) -> None:
        self.paths = Paths(data=str(base / "data"), run=str(base / "run"), leases=str(base / "leases"))

    def pod(self, number: int, *aliases: str, name: str = "", listing: bool = True) -> NamedPod:
        pod = self.paths.pod("run", f"{number:08x}-aaaa-4bbb-8ccc-{number:012x}")
        path = pathlib.Path(pod.app_hosts("app"))
        path.parent.mkdir(parents=True)
        path.write_bytes(slots.new_file(b"127.0.0.1 localhost\n"))
        all_names = names.names_of(name or f"pod{number}", aliases, manifest())
        return names.named_pod(pod, manifest("app"), all_names, f"host{number}", lists=listing)

    def lines(self, pod: NamedPod) -> set[str]:
        return set(slots.slots_in(self.file(pod).read_bytes()))

    def file(self, pod: NamedPod) -> pathlib.Path:
        return pathlib.Path(pod.home, pod.files[0])

    def listed(self, network: str = NET) -> list[str]:
        return [entry.name for entry in read_list(list_of(self.paths, network)).pods]

    def enter(self, pod: NamedPod, *more: NetInfo, host: int = 0) -> None:
        names.enter(self.paths, pod, (joined(host or number_of(pod)), *more))


def manifest(*apps: str, **ports: list[str]) -> PodManifest:
    image = {"id": f"sha512-{'0' * 128}"}
    shown = [
        {"name": port, "protocol": "tcp", "port": at} for at, port in enumerate(ports.get("ports", []), 80)
    ]
    app = {"exec": ["/bin/x"], "user": "0", "group": "0", "ports": shown}
    return PodManifest.from_json(
        {
            "acKind": "PodManifest",
            "acVersion": "0.8.11",
            "apps": [{"name": name, "image": image, "app": app} for name in apps or ("app",)],
        }
    )


def joined(host: int, network: str = NET, v4: str = "10.1.0", v6: str = "fd00:1") -> NetInfo:
    addresses = (Address.parse(f"{v4}.{host}"), Address.parse(f"{v6}::{host}"))
    given = tuple(Assigned(address, 24 if address.bits == 32 else 64) for address in addresses)
    return NetInfo(network, "", ("bridge",), "eth0", result_of_addresses(given))


def number_of(pod: NamedPod) -> int:
    return int(pod.uuid[:8], 16)


def lines_of(number: int, *more: str) -> set[str]:
    words = " ".join((f"pod{number}", *more))
    return {f"10.1.0.{number} {words}", f"fd00:1::{number} {words}"}


def own_of(number: int) -> set[str]:
    return {f"10.1.0.{number} host{number}", f"fd00:1::{number} host{number}"}


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Lab:
    return Lab(tmp_path)


def test_a_pod_has_its_name_its_aliases_and_those_of_its_ports() -> None:
    found = manifest("one", "two", ports=["http", "80-tcp", "metrics"])
    assert names.names_of("web", ("www", "web"), found) == ("web", "www", "http.web", "metrics.web")
    assert names.names_of("", ("www",), found) == ()
    assert names.names_of("localhost", ("www",), manifest()) == ("www",)


def test_pods_of_a_network_are_in_the_files_of_each_other(lab: Lab) -> None:
    one, two, three = lab.pod(1), lab.pod(2, "db"), lab.pod(3)
    for pod in (one, two, three):
        lab.enter(pod)
    of_all = lines_of(1) | lines_of(2, "db") | lines_of(3)
    assert [lab.lines(pod) for pod in (one, two, three)] == [of_all | own_of(each) for each in (1, 2, 3)]
    names.leave(lab.paths, two.uuid)
    names.leave(lab.paths, two.uuid)
    assert lab.lines(one) == lines_of(1) | lines_of(3) | own_of(1)
    assert lab.listed() == ["pod1", "pod3"]
    for pod in (one, three):
        names.leave(lab.paths, pod.uuid)
    assert not os.path.exists(lab.paths.name_lists)


def test_a_pod_is_found_in_its_own_networks_only(lab: Lab) -> None:
    one, two, both = lab.pod(1), lab.pod(2), lab.pod(3)
    blue = joined(3, "blue", "10.2.0", "fd00:2")
    lab.enter(one)
    names.enter(lab.paths, two, (joined(2, "blue", "10.2.0", "fd00:2"),))
    lab.enter(both, blue)
    assert lab.lines(one) == lines_of(1) | lines_of(3) | own_of(1)
    assert {line for line in lab.lines(two) if "pod3" in line} == {"10.2.0.3 pod3", "fd00:2::3 pod3"}
    assert {line.split()[1] for line in lab.lines(both)} == {"pod1", "pod2", "pod3", "host3"}
    names.leave(lab.paths, both.uuid)
    assert not any("pod3" in line for pod in (one, two) for line in lab.lines(pod))


def test_two_pods_may_have_one_alias(lab: Lab) -> None:
    one, two, three = lab.pod(1, "db"), lab.pod(2, "db"), lab.pod(3)
    for pod in (one, two, three):
        lab.enter(pod)
    assert lines_of(1, "db") | lines_of(2, "db") <= lab.lines(three)
    names.leave(lab.paths, one.uuid)
    assert {line for line in lab.lines(three) if line.endswith(" db")} == lines_of(2, "db")


def test_a_replaced_pod_goes_when_the_new_one_comes(lab: Lab) -> None:
    other, old, new = lab.pod(1), lab.pod(2, name="web"), lab.pod(3, name="web")
    for pod in (other, old, new):
        lab.enter(pod)
    found = {line for line in lab.lines(other) if line.endswith(" web")}
    assert found == {"10.1.0.3 web", "fd00:1::3 web"}
    names.leave(lab.paths, old.uuid)
    assert {line for line in lab.lines(other) if line.endswith(" web")} == found


def test_a_line_that_another_pod_has_by_now_stays(lab: Lab) -> None:
    """The old pod leaves in the background, perhaps after the new one has got its address."""
    other, old, new = lab.pod(1), lab.pod(2, name="web"), lab.pod(3, name="web")
    lab.enter(other)
    lab.enter(old)
    names.enter(lab.paths, new, (joined(2),))
    names.leave(lab.paths, old.uuid)
    assert {line for line in lab.lines(other) if line.endswith(" web")} == {"10.1.0.2 web", "fd00:1::2 web"}


def test_a_pod_that_lists_no_others_is_found_all_the_same(lab: Lab) -> None:
    one, of_podctl = lab.pod(1), lab.pod(2, listing=False)
    lab.enter(one)
    lab.enter(of_podctl)
    assert (of_podctl.files, lines_of(2) <= lab.lines(one)) == ((), True)


def test_what_is_wrong_is_told_and_mended(lab: Lab) -> None:
    one, two = lab.pod(1), lab.pod(2)
    for pod in (one, two):
        lab.enter(pod)
    infos, right = (joined(1),), lab.lines(one)
    assert names.what_is_wrong(lab.paths, one, infos) == ""
    with lab.file(one).open("r+b") as file:
        slots.revise(file.fileno(), ["10.1.0.77 old"], [*lines_of(2)])
    assert names.what_is_wrong(lab.paths, one, infos) == (
        "missing: names in /etc/hosts: pod2; old names in /etc/hosts: old"
    )
    names.mend(lab.paths, one, infos)
    assert (lab.lines(one), names.what_is_wrong(lab.paths, one, infos)) == (right, "")
    lab.file(one).write_bytes(b"garbage")
    names.mend(lab.paths, one, infos)
    assert (lab.lines(one), lab.file(one).read_bytes()[:8]) == (right, b"garbage\n")
    os.unlink(list_of(lab.paths, NET))
    assert "it is not on the list" in names.what_is_wrong(lab.paths, one, infos)
    for pod, host in ((one, 1), (two, 2)):
        names.mend(lab.paths, pod, (joined(host),))
    assert [names.what_is_wrong(lab.paths, pod, (joined(host),)) for pod, host in ((one, 1), (two, 2))] == [
        "",
        "",
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": 9}', b'{"pods": ["x"]}', b'{"pods": [1]}', b"\xff"],
    ids=repr,
)
def test_a_damaged_list_is_as_none(lab: Lab, content: bytes) -> None:
    lab.enter(lab.pod(1))
    pathlib.Path(list_of(lab.paths, NET)).write_bytes(content)
    two = lab.pod(2)
    names.leave(lab.paths, two.uuid)
    lab.enter(two)
    assert lab.listed() == ["pod2"]


def test_a_pod_whose_files_are_gone_or_replaced_disturbs_no_other(lab: Lab, tmp_path: pathlib.Path) -> None:
    gone, linked, one = lab.pod(1), lab.pod(2), lab.pod(3)
    for pod in (gone, linked, one):
        lab.enter(pod)
    lab.file(gone).unlink()
    (tmp_path / "other").write_bytes(b"")
    lab.file(linked).unlink()
    lab.file(linked).symlink_to(tmp_path / "other")
    lab.enter(lab.pod(4))
    assert lines_of(4) <= lab.lines(one)
    assert (tmp_path / "other").read_bytes() == b""


def killed_at(count: int, work: Callable[[], None]) -> bool:
    """Do something in a child that is killed at its count-th change of a file. Returns whether it was."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    left = count

    def see(_frame: FrameType, event: str, called: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(called, "__name__", "") in ("pwrite", "rename", "write", "unlink"):
            left -= 1
            if left < 0:
                os._exit(9)

    try:
        sys.setprofile(see)
        work()
    finally:
        sys.setprofile(None)
        os._exit(0)


@pytest.mark.parametrize("what", ["enter", "leave"])
def test_wherever_a_process_is_killed_the_next_one_completes_it(lab: Lab, what: str) -> None:
    one, two, three = lab.pod(1), lab.pod(2), lab.pod(3, name="three")
    for pod in (one, two):
        lab.enter(pod)
    kept = {number: lines_of(1) | lines_of(2) | own_of(number) for number in (1, 2)}
    count = 0
    while True:
        if what == "leave":
            lab.enter(three)
            killed = killed_at(count, lambda: names.leave(lab.paths, three.uuid))
        else:
            killed = killed_at(count, lambda: lab.enter(three))
        for pod in (one, two):  # nothing but whole lines, and what was there stays
            assert kept[number_of(pod)] <= lab.lines(pod)
            assert lab.lines(pod) <= kept[number_of(pod)] | {"10.1.0.3 three", "fd00:1::3 three"}
        names.leave(lab.paths, three.uuid)
        assert [lab.lines(pod) for pod in (one, two)] == [kept[1], kept[2]]
        assert lab.listed() == ["pod1", "pod2"]
        if not killed:
            break
        count += 1
    assert count >= 6
    assert lab.file(one).stat().st_size < 20 * slots.SIZE
