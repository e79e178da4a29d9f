# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""With podctl gc, programs of networks forget what is not attached, and nothing else."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    PodHost,
    eventually,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_host_networks import neighbour
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import WAITS, end

# A plugin that notes what it is called with.
NOTING = """#!/bin/sh
here=$(dirname "$0")
config=$(cat)
printf '%s\\t%s\\t%s\\n' "$CNI_COMMAND" "$(env | grep -c '^CNI_')" "$config" >> "$here/calls"
case $CNI_COMMAND in
ADD) test ! -e "$here/slow" || sleep 2
     test ! -e "$here/serves" || { sleep 600 >/dev/null 2>&1 & echo $! > "$here/server"; }
     echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.9.0.5/24"}]}' ;;
GC)  test ! -e "$here/fails" || { echo '{"code": 11, "msg": "it is busy"}'; exit 1; } ;;
esac
"""
LIST = {"cniVersion": "1.1.0", "name": "n", "plugins": [{"type": "script", "own": 7}]}


class Programs:
    """The network n of a host, by a program."""

    def __init__(self, pods: PodHost, **members: object) -> None:
        for place in ("/var/lib/cni", "/run/pods"):  # which all pods of this machine share
            os.makedirs(place, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        self.place = pods.base / "lib/plugins/net"
        self.place.mkdir(parents=True)
        (self.place / "script").write_text(NOTING)
        (self.place / "script").chmod(0o755)
        self.net_d = pods.base / "etc/net.d"
        self.net_d.mkdir(parents=True)
        (self.net_d / "10-n.conflist").write_text(json.dumps({**LIST, **members}))

    def calls(self, command: str) -> list[dict[str, object]]:
        """The configurations with which it was called."""
        path = self.place / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split("\t") for line in lines]
        return [json.loads(config) for called, _count, config in words if called == command]

    def kept(self) -> set[str]:
        """The containers that it was to keep, in its only GC."""
        (config,) = self.calls("GC")
        attached = config["cni.dev/valid-attachments"]
        assert isinstance(attached, list)
        assert attached == config["cni.dev/attachments"], "the name in the first text of 1.1.0"
        assert all(set(each) == {"containerID", "ifname"} for each in attached)
        return {each["containerID"] for each in attached}

    @staticmethod
    def cache(container: str, network: str = "n", text: str = "") -> None:
        """Have another engine attach a container."""
        place = pathlib.Path("/var/lib/cni/results")
        place.mkdir(exist_ok=True)
        members = {"kind": "cniCacheV1", "containerId": container, "ifName": "eth0", "networkName": network}
        (place / f"{network}-{container}-eth0").write_text(text or json.dumps(members))


@in_own_network
def test_a_program_forgets_what_is_not_attached(pods: PodHost) -> None:
    programs = Programs(pods)
    other, apart = neighbour(pods), PodHost(pods.base / "apart", pods.image)
    for host in (other, apart):
        (host.base / "etc/net.d").symlink_to(programs.net_d)
        (host.base / "lib/plugins").mkdir(parents=True)
        (host.base / "lib/plugins/net").symlink_to(programs.place)
    running = pods.detached(WAITS, net="n,default")
    beside = other.detached(WAITS, net="n")
    with_own_leases = apart.detached(WAITS, net="n")
    ended = pods.detached(WAITS, net="n")
    os.kill(int((pods.data / "pods/run" / ended / "pid").read_text()), signal.SIGKILL)
    pods.wait(ended)
    programs.cache("theirs")
    programs.cache("elsewhere", network="m")
    pods.ok("gc")
    assert programs.kept() == {running, beside, with_own_leases, ended, "theirs"}
    (config,) = programs.calls("GC")
    attached = config.pop("cni.dev/valid-attachments")
    assert {"containerID": running, "ifname": "eth0"} in attached  # type: ignore[operator]
    del config["cni.dev/attachments"]
    assert config == {"name": "n", "cniVersion": "1.1.0", "type": "script", "own": 7}
    counts = [line.split("\t")[1] for line in (programs.place / "calls").read_text().splitlines()]
    assert counts[-1] == "2", "beside the command only CNI_PATH"
    for host in (other, apart, pods):
        end(host)


@in_own_network
@pytest.mark.parametrize(
    ("members", "flags"),
    [({"cniVersion": "1.0.0"}, ()), ({"disableGC": True}, ()), ({}, ("--mark-only",))],
    ids=["of an older version", "not wanted", "marks only"],
)
def test_a_program_that_is_not_to_be_asked_is_not(
    pods: PodHost, members: dict[str, object], flags: tuple[str, ...]
) -> None:
    programs = Programs(pods, **members)
    pods.ok("gc", *flags)
    assert programs.calls("GC") == []


@in_own_network
def test_of_attachments_that_cannot_be_known_nothing_is_forgotten(pods: PodHost) -> None:
    programs = Programs(pods)
    uuid = pods.detached(WAITS, net="n")
    programs.cache("theirs", text="{")
    done = pods.podctl("gc")
    assert (done.status, programs.calls("GC")) == (254, [])
    assert "cannot tell what another engine has attached to networks" in done.err
    assert "remove /var/lib/cni/results/n-theirs-eth0 if no container needs it" in done.err
    os.unlink("/var/lib/cni/results/n-theirs-eth0")
    os.mkdir("/var/lib/cni/results/n-theirs-eth0")
    done = pods.podctl("gc")
    assert (done.status, programs.calls("GC")) == (254, [])
    assert "cannot tell what another engine has attached to networks" in done.err
    os.rename("/var/lib/cni/results/n-theirs-eth0", "/var/lib/cni/results/.other")
    copies = pods.data / "pods/run" / uuid / "net"
    whole = (copies / "10-n.conflist").read_bytes()
    (copies / "10-n.conflist").write_bytes(b"{")
    done = pods.podctl("gc")
    assert (done.status, programs.calls("GC")) == (254, [])
    assert f"cannot tell which networks pod {uuid} has joined" in done.err
    (copies / "10-n.conflist").write_bytes(whole)
    pods.ok("gc")
    assert programs.kept() == {uuid}
    end(pods)


@in_own_network
def test_a_program_that_cannot_forget_is_told_of_and_the_others_are_asked(pods: PodHost) -> None:
    programs = Programs(pods, plugins=[{"type": "script"}, {"type": "script", "second": True}])
    (programs.place / "fails").touch()
    done = pods.podctl("gc")
    assert done.status == 254
    assert done.err.count('plugin "script" of network "n": it is busy') == 2
    assert [bool(config.get("second")) for config in programs.calls("GC")] == [False, True]


@in_own_network
def test_a_pod_that_is_being_attached_is_not_forgotten(pods: PodHost) -> None:
    programs = Programs(pods)
    (programs.place / "slow").touch()
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/sh", "--", "-c", WAITS)
    starting = subprocess.Popen([PODCTL, *pods.where, "run-prepared", "--detach", "--net=n", uuid])
    eventually(lambda: programs.calls("ADD") != [])
    pods.ok("gc")
    assert programs.kept() == {uuid}
    assert starting.wait(20) == 0
    end(pods)


@in_own_network
def test_what_a_program_has_left_running_keeps_nobody_from_collecting(pods: PodHost) -> None:
    programs = Programs(pods)
    (programs.place / "serves").touch()
    uuid = pods.detached(WAITS, net="n")
    server = int((programs.place / "server").read_text())
    try:
        pods.ok("gc")
        assert programs.kept() == {uuid}
    finally:
        os.kill(server, signal.SIGKILL)
    end(pods)


@in_own_network
def test_a_program_that_others_can_change_is_told_of_and_the_others_are_asked(pods: PodHost) -> None:
    programs = Programs(pods)
    shutil.copy(programs.place / "script", programs.place / "open")
    (programs.place / "open").chmod(0o777)
    other = {**LIST, "name": "m", "plugins": [{"type": "open"}]}
    (programs.net_d / "05-m.conflist").write_text(json.dumps(other))
    done = pods.podctl("gc")
    assert (done.status, len(programs.calls("GC"))) == (254, 1)
    assert "others can change it (mode 0777)" in done.err


@in_own_network
def test_of_flannel_no_program_is_asked_whose_networks_are_built_in(pods: PodHost) -> None:
    programs = Programs(pods)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/opt"], check=True)
    place = pathlib.Path("/opt/cni/bin")
    place.mkdir(parents=True)
    shutil.copy(programs.place / "script", place / "flannel")
    subnets = programs.net_d / "subnet.env"
    subnets.write_text(
        "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    plugin = {"type": "flannel", "subnetFile": str(subnets)}
    (programs.net_d / "20-f.conflist").write_text(json.dumps({**LIST, "name": "f", "plugins": [plugin]}))
    uuid = pods.detached(WAITS, net="f")
    pods.ok("gc")
    assert not (place / "calls").exists()
    assert programs.kept() == set()
    end(pods)
    assert uuid not in pods.uuids()
