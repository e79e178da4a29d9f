# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Addresses and ports that pods hold: released in time, and never given out twice."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network, nft
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    Done,
    PodHost,
    called,
    eventually,
    write_leases_place,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import WAITS, end, kernel
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import PYTHON, RUNTIME

ENDED = """
import os, sys
sys.path.insert(0, {runtime!r})
from podrt.pod import cgroups
def make_leaves(groups, apps):
    {how}
cgroups.make_leaves = make_leaves
from podrt.cli.main import main
main(sys.argv[1:])
"""


def ended(pods: PodHost, how: str, *words: str) -> Done:
    """Call podctl, and end it so where a start makes the control groups of apps."""
    program = ENDED.format(runtime=str(RUNTIME), how=how)
    return called([PYTHON, "-I", "-S", "-c", program, *pods.where, *words])


def leases(pods: PodHost) -> dict[str, str]:
    """The UUIDs of pods, by their leased addresses."""
    place = pods.base / "leases" / "default"
    files = place.iterdir() if place.is_dir() else ()
    return {file.name: file.read_text().split()[0] for file in files if file.name[0].isdigit()}


def neighbour(pods: PodHost) -> PodHost:
    """Another data directory on the same host."""
    other = PodHost(pods.base / "other", pods.image)
    write_leases_place(other.base / "etc", pods.base / "leases")
    return other


def published(pods: PodHost, script: str = WAITS) -> str:
    words = ("--quiet", "--port=http:8080", pods.image, "--exec=/bin/sh")
    uuid = pods.ok("prepare", *words, "--", "-c", script)
    pods.ok("run-prepared", "--detach", uuid)
    return uuid


def kill(pods: PodHost, uuid: str) -> None:
    os.kill(int((pods.data / "pods/run" / uuid / "pid").read_text()), 9)
    pods.wait(uuid)


@in_own_network
def test_a_pod_in_the_foreground_gives_its_address_and_its_port_back_when_it_ends(pods: PodHost) -> None:
    before = kernel()
    done = pods.podctl("run", "--port=http:8080", pods.image, "--exec=/bin/sh", "--", "-c", "exit 3")
    assert done.status == 3, done.err
    eventually(lambda: leases(pods) == {})
    eventually(lambda: kernel() == before)
    (uuid,) = pods.uuids()
    assert not os.listdir(pods.data / "pods/run" / uuid / "net")
    assert "networks=default:ip4=172.16.28.2" in pods.wait(uuid)
    end(pods)


@in_own_network
def test_a_start_that_fails_once_the_tables_are_begun_leaves_none(pods: PodHost) -> None:
    before = kernel()
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/true")
    done = ended(pods, "raise OSError(28, 'it is full')", "run-prepared", uuid)
    assert (done.status, "it is full" in done.err) == (254, True)
    assert kernel() == before


@in_own_network
def test_gc_removes_the_tables_of_a_start_that_was_killed_once_they_were_begun(pods: PodHost) -> None:
    before = kernel()
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/true")
    assert ended(pods, "os.kill(os.getpid(), 9)", "run-prepared", uuid).status == -9
    eventually(lambda: "map sources" in nft("list", "ruleset"))
    pods.ok("gc", "--grace-period=0s")
    assert kernel() == before


@pytest.mark.finding("use-N1")
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["asked", "forced"])
@in_own_network
def test_a_pod_that_podctl_stops_gives_its_address_and_its_port_back(
    pods: PodHost, force: tuple[str, ...]
) -> None:
    before = kernel()
    uuid = published(pods)
    assert list(leases(pods).values()) == [uuid]
    pods.ok("stop", *force, uuid)
    pods.wait(uuid)
    eventually(lambda: leases(pods) == {})
    eventually(lambda: kernel() == before)
    end(pods)


@pytest.mark.finding("use-N1")
@in_own_network
def test_a_named_pod_is_stopped_and_started_any_number_of_times(pods: PodHost) -> None:
    words = ("--quiet", "--pod-name=My_App.v2", "--port=http:8080", pods.image, "--exec=/bin/sh")
    pods.ok("prepare", *words, "--", "-c", WAITS)
    for _turn in range(3):
        pods.ok("start", "My_App.v2")
        pods.ok("stop", "My_App.v2")
        assert "state=exited" in pods.ok("status", "--wait=20s", "My_App.v2")
    end(pods)


@pytest.mark.behaviour("A35", "A39")
@in_own_network
def test_what_a_detached_pod_held_that_ended_by_itself_goes_with_the_next_that_joins(pods: PodHost) -> None:
    first = published(pods)
    kill(pods, first)
    assert list(leases(pods).values()) == [first], "nothing has released it yet"
    second = pods.detached(WAITS, net="default")
    eventually(lambda: list(leases(pods).values()) == [second])
    eventually(lambda: first not in nft("list", "ruleset"))
    assert "default:ip4=172.16.28.2" in pods.ok("list")
    assert "networks=default:ip4=172.16.28.2" in pods.wait(first)
    end(pods)


@pytest.mark.behaviour("E12")
@in_own_network
def test_two_data_directories_give_out_no_address_and_no_port_twice(pods: PodHost) -> None:
    other = neighbour(pods)
    first = published(pods)
    beside = other.detached(WAITS, net="default")
    assert sorted(leases(pods).values()) == sorted([first, beside])
    done = other.podctl("run", "--port=http:8080", other.image, "--exec=/bin/true")
    assert done.status == 254
    assert f'host port tcp 0.0.0.0:8080 is in use by pod "{first}"' in done.err
    kill(pods, first)
    assert other.podctl("run", "--port=http:8080", other.image, "--exec=/bin/true").status == 0
    eventually(lambda: first not in leases(pods).values())
    assert beside in nft("list", "ruleset")
    for host in (other, pods):
        end(host)
    assert leases(pods) == {}


@pytest.mark.behaviour("E20")
@in_own_network
def test_a_flushed_table_comes_back_for_pods_of_every_data_directory(pods: PodHost) -> None:
    other = neighbour(pods)
    first = published(pods)
    nft("flush", "ruleset")
    beside = other.detached(WAITS, net="default")
    rules = nft("list", "ruleset")
    assert first in rules and beside in rules and "tcp . 8080" in rules
    for host in (other, pods):
        end(host)


@in_own_network
def test_leases_of_an_older_release_are_taken_over(pods: PodHost) -> None:
    first = published(pods)
    # As 0.1.0 leaves it: its own directory, here with a lease of a pod that is gone.
    old = pods.data / "net"
    old.unlink()
    shutil.copytree(pods.base / "leases", old)
    shutil.rmtree(pods.base / "leases")
    (old / "default" / "172.16.28.9").write_text("6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\neth0")
    second = pods.detached(WAITS, net="default")
    eventually(lambda: leases(pods) == {"172.16.28.2": first, "172.16.28.3": second})
    assert old.readlink() == pods.base / "leases"
    end(pods)
    assert leases(pods) == {}
