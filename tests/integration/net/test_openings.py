# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The plugin firewall lets pods through firewalls that drop what the host forwards, and leaves nothing there."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.detach import detach
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import Drift
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    Pod,
    in_own_network,
    listen,
    nft,
    source_seen,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_foreign import (
    CHAINS,
    DOCKER,
    HTTP,
    PLAIN,
    shell,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_ports6 import NETS, drift_of

WAYS = ((HOST_IP, OUTSIDE_IP, "0.0.0.0"), (HOST_IP6, OUTSIDE_IP6, "::"))
FIREWALLS = pytest.mark.parametrize("wall", [CHAINS, DOCKER, PLAIN], ids=["iptables", "docker", "nftables"])


def open_line(lab: NetLab, **members: str) -> str:
    """A network of both families whose pods are let through."""
    main = json.loads(NETS["line"])
    plugins = [{name: value for name, value in main.items() if name not in ("cniVersion", "name")}]
    plugins.append({"type": "firewall", **members})
    text = {"cniVersion": "1.0.0", "name": "line", "plugins": plugins}
    lab.conf("10-line.conflist", json.dumps(text))
    return "line"


def build(wall: tuple[str, ...] | str) -> None:
    if isinstance(wall, str):
        nft("-f", "-", stdin=wall)
        return
    for command in wall:
        shell(command)


def ruleset() -> list[str]:
    """All rules but ours, which stay without elements."""
    return nft("-s", "list", "ruleset").partition("table ip stagecraft_pods")[0].splitlines()


def assert_passes(pod: Pod, lab: NetLab) -> None:
    for host, outside, everywhere in WAYS:
        with listen(pod.netns, 80, everywhere) as server:
            assert source_seen(lab.outside, server, host, 8080) == outside
        with listen(lab.outside, 8000, everywhere) as server:
            assert source_seen(pod.netns, server, outside, 8000) == host


@FIREWALLS
@in_own_network
def test_pods_pass_while_they_are_joined(tmp_path: pathlib.Path, wall: tuple[str, ...] | str) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = open_line(lab)
    build(wall)
    before = ruleset()
    said: list[str] = []
    pod = lab.pod().attach(name, HTTP, report=said.append)
    assert said == []
    assert_passes(pod, lab)
    assert f'comment "stagecraft.pods {pod.uuid}"' in nft("list", "ruleset") or isinstance(wall, tuple)
    other = lab.pod().attach(name)
    pod.detach()
    with listen(lab.outside, 8000) as server:
        assert source_seen(other.netns, server, OUTSIDE_IP, 8000) == HOST_IP
    other.detach()
    assert ruleset() == before


@FIREWALLS
@in_own_network
def test_what_a_firewall_has_forgotten_is_drift_that_is_mended(
    tmp_path: pathlib.Path, wall: tuple[str, ...] | str
) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = open_line(lab)
    pod = lab.pod().attach(name, HTTP)
    assert drift_of(pod, HTTP) == Drift()
    build(wall)  # started after the pod
    drift = drift_of(pod, HTTP)
    assert drift.sentences == ((0, "way through firewalls of others"),)
    mend(pod.joining, pod.netns, drift, [HTTP])
    assert drift_of(pod, HTTP) == Drift()
    assert_passes(pod, lab)
    # One of the rules alone is missed as well, and none is there twice.
    rules = nft("-s", "list", "ruleset")
    if isinstance(wall, str):
        nft("flush", "chain", "inet", "wall", "forward")
    else:
        shell(f"ip6tables -D {'DOCKER-USER' if wall is DOCKER else 'FORWARD'} 1")
    mend(pod.joining, pod.netns, drift_of(pod, HTTP), [HTTP])
    assert nft("-s", "list", "ruleset") == rules


@in_own_network
def test_rules_go_though_the_firewall_drops_no_more(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = open_line(lab)
    build(CHAINS)
    before = ruleset()
    pod = lab.pod().attach(name)
    shell("iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT")
    pod.detach()
    assert ruleset() == [line.replace("policy drop", "policy accept") for line in before]


@in_own_network
def test_without_such_a_firewall_nothing_is_done(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = open_line(lab)
    nft("add", "table", "inet", "quiet")
    pod = lab.pod().attach(name)
    assert ruleset() == ["table inet quiet {", "}"]
    pod.detach()


@in_own_network
def test_without_the_tool_of_a_firewall_the_pod_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = NetLab(tmp_path)
    name = open_line(lab)
    build(CHAINS)
    before = ruleset()
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nft").symlink_to("/usr/sbin/nft")
    monkeypatch.setattr(programs, "PATH", str(tools))
    with pytest.raises(
        NotFound, match='through a firewall of the host: the program "iptables" is not'
    ) as caught:
        lab.pod().attach(name)
    assert "take the plugin firewall out" in caught.value.hint
    assert ruleset() == before


@pytest.mark.timeout(120)
@in_own_network
def test_firewalld_trusts_the_addresses_of_pods(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = open_line(lab)
    with firewalld(tmp_path):
        pod = lab.pod().attach(name, HTTP)
        assert_passes(pod, lab)
        assert {str(each.address) for each in pod.infos[0].result.ips} == sources()
        assert drift_of(pod, HTTP) == Drift()
        # It forgets what was not written for good, as CNI's own plugin does it.
        shell("firewall-cmd --reload")
        assert sources() == set()
        with listen(lab.outside, 8000) as server, pytest.raises(OSError):
            source_seen(pod.netns, server, OUTSIDE_IP, 8000)
        mend(pod.joining, pod.netns, drift_of(pod, HTTP), [HTTP])
        assert_passes(pod, lab)
        detach(pod.joining)
        assert sources() == set()
        # It makes the chains of a zone once they are needed, and keeps them.
        assert pod.address not in nft("list", "table", "inet", "firewalld")
        with pytest.raises(HostFailure, match=r"--zone=elsewhere .*INVALID_ZONE: elsewhere"):
            lab.pod().attach(open_line(lab, firewalldZone="elsewhere"))


def sources() -> set[str]:
    """The addresses that the trusted zone has, without their prefixes."""
    listed = subprocess.run(
        ["firewall-cmd", "--zone=trusted", "--list-sources"], check=True, capture_output=True, text=True
    ).stdout
    return {source.partition("/")[0] for source in listed.split()}


@contextlib.contextmanager
def firewalld(tmp_path: pathlib.Path) -> Iterator[None]:
    """A firewalld of this network namespace, with its own bus, in this mount namespace."""
    for place in ("/run", "/var/log", "/etc/firewalld"):
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    os.mkdir("/run/dbus")
    log = (tmp_path / "firewalld.log").open("w")
    bus = subprocess.Popen(["dbus-daemon", "--system", "--nofork"], stdout=log, stderr=log)
    daemon = None
    try:
        _await(lambda: os.path.exists("/run/dbus/system_bus_socket"))
        daemon = subprocess.Popen(["firewalld", "--nofork", "--nopid"], stdout=log, stderr=log)
        _await(
            lambda: (
                not subprocess.run(["firewall-cmd", "--state"], check=False, capture_output=True).returncode
            )
        )
        yield
    finally:
        for process in filter(None, (daemon, bus)):
            process.terminate()
            process.wait(10)
        log.close()


def _await(is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.1)
