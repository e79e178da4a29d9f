# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods with a damaged directory: their resources of the host are released, and nothing else is touched."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network, nft
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    eventually,
    write_image,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_host_networks import leases, published
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import WAITS, end, kernel

BRIDGE = {
    "name": "br",
    "type": "bridge",
    "bridge": "cni7",
    "isGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"},
}


def damage(place: pathlib.Path, how: str) -> None:
    shutil.rmtree(place)
    if how == "pipe":
        os.mkfifo(place)
    elif how == "loop":
        place.symlink_to("net")


@pytest.mark.finding("pods-F7")
@pytest.mark.parametrize("how", ["missing", "pipe", "loop"])
@pytest.mark.parametrize("ended_by", ["stop", "kill"])
@in_own_network
def test_a_port_of_a_pod_without_a_record_is_free_once_it_is_removed(
    pods: PodHost, how: str, ended_by: str
) -> None:
    before = kernel()
    uuid = published(pods)
    damage(pods.data / "pods/run" / uuid / "net", how)
    if ended_by == "stop":
        pods.ok("stop", "--force", uuid)
    else:
        os.kill(int((pods.data / "pods/run" / uuid / "pid").read_text()), 9)
    pods.wait(uuid)
    pods.ok("rm", uuid)
    assert leases(pods) == {}
    assert uuid not in nft("list", "ruleset")
    eventually(lambda: kernel() == before)
    published(pods)
    end(pods)


def configure(pods: PodHost) -> None:
    directory = pods.base / "etc" / "net.d"
    directory.mkdir(parents=True)
    (directory / "10-br.conf").write_text(json.dumps(BRIDGE))


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("how", ["stop", "force", "by itself", "foreground"])
@in_own_network
def test_a_bridge_goes_with_the_last_pod_however_that_ends(pods: PodHost, how: str) -> None:
    configure(pods)
    before = kernel()
    if how == "foreground":
        done = pods.podctl("run", "--net=br", pods.image, "--exec=/bin/sh", "--", "-c", "sleep 0.5")
        assert done.status == 0, done.err
        (uuid,) = pods.uuids()
    else:
        uuid = pods.detached("exit 0" if how == "by itself" else WAITS, net="br")
    if how in ("stop", "force"):
        pods.ok("stop", *(["--force"] if how == "force" else []), uuid)
    pods.wait(uuid)
    if how == "by itself":
        pods.ok("rm", uuid)
    eventually(lambda: kernel() == before)
    end(pods)


@pytest.mark.finding("pods-F12")
@in_own_network
def test_two_pods_of_a_bridge_that_end_at_once_leave_none(pods: PodHost) -> None:
    configure(pods)
    before = kernel()
    uuids = [pods.detached(WAITS, net="br") for _pod in range(3)]
    stopping = [pods.background("stop", "--force", uuid) for uuid in uuids]
    for process in stopping:
        assert process.wait(60) == 0
    for uuid in uuids:
        pods.wait(uuid)
    eventually(lambda: kernel() == before)
    end(pods)


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("place", ["net", "logs", "stage1/rootfs/rkt", "appsinfo/busybox"])
@in_own_network
def test_nothing_is_written_or_removed_where_a_link_in_a_pod_leads(pods: PodHost, place: str) -> None:
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/sh", "--", "-c", "exit 0")
    top, victim = pods.data / "pods/prepared" / uuid, pods.base / "victim"
    victim.mkdir()
    for name in ("keep", "failure.json", "busybox.log", "filter", "99-default.conf"):
        (victim / name).write_text("kept")
    if (top / place).exists():
        shutil.rmtree(top / place)
    (top / place).symlink_to(victim)
    done = pods.podctl("run-prepared", "--net=default", "--insecure-options=seccomp", uuid)
    assert "Traceback" not in done.err
    assert (done.status == 0) == (place == "net"), (done.out, done.err)
    for words in (("status", uuid), ("logs", uuid), ("rm", uuid)):
        pods.podctl(*words)
    assert {path.name: path.read_text() for path in victim.rglob("*")} == dict.fromkeys(
        ("keep", "failure.json", "busybox.log", "filter", "99-default.conf"), "kept"
    )
    assert pods.uuids() == []


@pytest.mark.finding("pods-F4")
@in_own_network
def test_a_pod_hears_routers_only_where_it_asks_to(pods: PodHost) -> None:
    configure(pods)
    isolator = {"name": "os/unix/sysctl", "value": {"net.ipv6.conf.default.accept_ra": "1"}}
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0", "isolators": [isolator]}
    asking = write_image(pods.base / "asking.aci", "example.com/asking", app)
    script = "cd /proc/sys/net/ipv6/conf; cat default/accept_ra eth0/accept_ra; cat eth0/accept_redirects"
    for image, heard in ((pods.image, "0"), (str(asking), "1")):
        words = ("run", "--net=br", "--image-isolators=accept", image, "--exec=/bin/sh", "--", "-c", script)
        done = pods.podctl(*words)
        assert done.texts == [heard, heard, "0"], done.err
    end(pods)
