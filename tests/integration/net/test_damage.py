# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod is taken out of its networks whatever state its record is in, and nothing else is touched."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import holders
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import NetLab, Pod, in_own_network, ip

FORWARD = PortForward("tcp", None, 8080, 80)
BRIDGE = """{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true,
 "ipam": {"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": "%s"}}"""


def missing(place: pathlib.Path) -> None:
    shutil.rmtree(place)


def emptied(place: pathlib.Path) -> None:
    for path in place.iterdir():
        path.unlink()


def halved(place: pathlib.Path) -> None:
    sorted(place.iterdir())[0].unlink()


def unreadable(place: pathlib.Path) -> None:
    for path in place.iterdir():
        path.write_text("{")


def pipe(place: pathlib.Path) -> None:
    shutil.rmtree(place)
    os.mkfifo(place)


def file(place: pathlib.Path) -> None:
    shutil.rmtree(place)
    place.write_text("net")


def loop(place: pathlib.Path) -> None:
    shutil.rmtree(place)
    place.symlink_to("net")


def link(place: pathlib.Path) -> None:
    """Replace it by a link to a foreign directory."""
    shutil.rmtree(place)
    place.symlink_to(victim(place))


def victim(place: pathlib.Path) -> pathlib.Path:
    return place.parent / "victim"


DAMAGES = [missing, emptied, halved, unreadable, pipe, file, loop, link]


def lab_with(tmp_path: pathlib.Path) -> NetLab:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE % (tmp_path / "other-leases"))
    return lab


def keep_something(pod: Pod) -> pathlib.Path:
    place = victim(pathlib.Path(pod.conf_dir))
    place.mkdir()
    (place / "keep").write_text("kept")
    (place / "10-br.conf").write_text("kept")
    return place


def leases(lab: NetLab) -> list[str]:
    places = (pathlib.Path(lab.paths.leases), lab.config.parent / "other-leases")
    return [path.name for place in places for path in place.glob("*/1*")]


@pytest.mark.finding("pods-F7", "pods-F12")
@pytest.mark.parametrize("damage", DAMAGES)
@in_own_network
def test_a_pod_whose_record_is_damaged_gives_everything_back(
    tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None]
) -> None:
    lab = lab_with(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach("br,default", FORWARD)
    kept = keep_something(pod)
    damage(pathlib.Path(pod.conf_dir))
    assert len(leases(lab)) == 2
    pod.detach()
    assert (lab.snapshot(), leases(lab)) == (before, [])
    assert {path.name: path.read_text() for path in kept.iterdir()} == {"keep": "kept", "10-br.conf": "kept"}
    # It records that it holds nothing any more.
    assert os.listdir(pod.conf_dir) == []
    assert not os.path.islink(pod.conf_dir)
    assert not holders.may_hold(lab.paths, pod.uuid, PodDir(str(pod.directory)))


@pytest.mark.finding("pods-F7")
@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage is not emptied])
@in_own_network
def test_damage_is_not_taken_for_a_pod_that_holds_nothing(
    tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None]
) -> None:
    lab = lab_with(tmp_path)
    pod = lab.pod()
    directory = PodDir(str(pod.directory))
    assert not holders.may_hold(lab.paths, pod.uuid, directory)
    pod.attach("br,default", FORWARD)
    keep_something(pod)
    damage(pathlib.Path(pod.conf_dir))
    assert holders.may_hold(lab.paths, pod.uuid, directory)


@pytest.mark.finding("pods-F12")
@in_own_network
def test_copies_are_never_written_through_a_link(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    pod = lab.pod()
    kept = keep_something(pod)
    pathlib.Path(pod.conf_dir).symlink_to(kept)
    pod.attach("br")
    assert {path.name: path.read_text() for path in kept.iterdir()} == {"keep": "kept", "10-br.conf": "kept"}
    assert os.listdir(pod.conf_dir) == ["10-br.conf"]


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("dead", [False, True], ids=["dying", "dead"])
@in_own_network
def test_a_bridge_goes_with_its_last_pod_also_when_the_kernel_takes_the_links(
    tmp_path: pathlib.Path, dead: bool
) -> None:
    lab = lab_with(tmp_path)
    one, two = lab.pod().attach("br"), lab.pod().attach("br")
    for pod in (one, two):
        assert "cni7" in ip("link")
        if dead:
            pod.die()
        pod.detach(links=False)
    assert "cni7" not in ip("link")
