# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift of a running pod is found and mended, and no app is restarted for it."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

GUARD = ("inet", "stagecraft_pods_guard")
BRIDGE = {
    "name": "br",
    "type": "bridge",
    "bridge": "cni7",
    "isDefaultGateway": True,
    "ipMasq": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
    },
}
OPTIONS: dict[str, Any] = {
    "networks": ["default", "br"],
    "ports": [
        {"name": "http", "host_port": 8095},
        {"name": "http", "host_port": 8096, "host_ip": "127.0.0.1"},
    ],
    "app": {"memory": "64M", "cpu_shares": 512},
}


@pytest.fixture
def pod(host: Host) -> dict[str, Any]:
    directory = pathlib.Path(host.machine.directories["config_dir"]) / "net.d"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "10-br.conf").write_text(json.dumps(BRIDGE))
    made: dict[str, Any] = host.pod(**OPTIONS)["pod"]
    again = host.pod(**OPTIONS)
    assert again["changed"] is False, again["changes"]
    return made


def damage(host: Host, pod: dict[str, Any]) -> dict[str, tuple[list[str], str, str]]:
    """By name: the command that breaks something, the path that it is reported at, and a word of the report."""
    hosts = {
        info["name"]: f"veth{pod['uuid'].replace('-', '')[:10]}{n}" for n, info in enumerate(pod["networks"])
    }
    inside = ["nsenter", "--net", "--target", str(pod["pid"]), "ip"]
    ptp, bridged = hosts["default"], hosts["br"]
    names = [info["name"] for info in pod["networks"]]
    eth = {name: f"eth{names.index(name)}" for name in names}
    return {
        "flush": (["nft", "flush", "ruleset"], "networks", "nftables"),
        "element": (
            ["nft", "delete", "element", "ip", "stagecraft_pods", "forwards", "{ tcp . 8095 }"],
            "networks",
            "nftables",
        ),
        "guard": (["nft", "delete", "table", *GUARD], "networks", "nftables"),
        "own address": (
            ["nft", "delete", "element", *GUARD, "own", f"{{ {ptp} . 172.16.28.2 }}"],
            "networks",
            "nftables",
        ),
        "link": (["ip", "link", "del", ptp], "networks[0]", "link veth"),
        "port of a bridge": (["ip", "link", "set", bridged, "nomaster"], "networks[1]", "link"),
        "bridge": (["ip", "link", "del", "cni7"], "networks[1]", "bridge cni7"),
        "link down": (["ip", "link", "set", ptp, "down"], "networks[0]", "up"),
        "address": (
            [*inside, "addr", "del", "172.16.28.2/24", "dev", eth["default"]],
            "networks[0]",
            "172.16.28.2",
        ),
        "route to itself": (
            [*inside, "route", "del", "table", "local", "local", "172.16.28.2", "dev", eth["default"]],
            "networks[0]",
            "172.16.28.2",
        ),
        "gateway": (["ip", "addr", "del", "172.16.28.1/32", "dev", ptp], "networks[0]", "172.16.28.1"),
        "bridge's address": (["ip", "addr", "del", "10.7.0.1/24", "dev", "cni7"], "networks[1]", "10.7.0.1"),
        "IPv6": (
            [*inside, "-6", "addr", "del", "fd00:7::2/64", "dev", eth["br"]],
            "networks[1]",
            "fd00:7::2",
        ),
        "route": (
            ["ip", "route", "del", "172.16.28.2/32", "dev", ptp],
            "networks[0]",
            "route to 172.16.28.2/32",
        ),
        "way out": ([*inside, "route", "del", "172.16.28.0/24"], "networks[0]", "route to 172.16.28.0/24"),
        "forwarding": (write("net/ipv4/ip_forward", "0"), "networks[0]", "ip_forward"),
        "advertisements": (write(f"net/ipv6/conf/{ptp}/accept_ra", "1"), "networks[0]", f"off on {ptp}"),
        "redirects": (write("net/ipv4/conf/cni7/accept_redirects", "1"), "networks[1]", "off on cni7"),
        "loopback": (write("net/ipv4/conf/cni7/route_localnet", "0"), "networks[1]", "route_localnet"),
        "port of a bridge down": (["ip", "link", "set", bridged, "down"], "networks[1]", f"{bridged} up"),
        "inner link down": ([*inside, "link", "set", eth["default"], "down"], "networks[0]", "route"),
        "foreign interface": (
            ["sh", "-c", replaced_by_another(inside, eth["default"])],
            "networks[0]",
            f"link {ptp}",
        ),
        "another name": (["sh", "-c", renamed(inside, eth["default"])], "networks[0]", f"link {ptp}"),
        "another name, of one that is up": (
            [*inside, "link", "set", eth["br"], "name", "x1"],
            "networks[1]",
            f"link {bridged}",
        ),
        "another name, and an interface of the old one": (
            ["sh", "-c", f"{renamed(inside, eth['default'])}; {in_its_place(inside, eth['default'])}"],
            "networks[0]",
            f"link {ptp}",
        ),
    }


def replaced_by_another(inside: list[str], link: str) -> str:
    """The command of an app with CAP_NET_ADMIN that replaces its interface by another one of that name."""
    ip = " ".join(inside)
    return f"{ip} link del {link}; {ip} link add {link} type veth peer name x0"


def renamed(inside: list[str], link: str) -> str:
    """The command of an app with CAP_NET_ADMIN that only renames its interface."""
    ip = " ".join(inside)
    return f"{ip} link set {link} down; {ip} link set {link} name x0; {ip} link set x0 up"


def in_its_place(inside: list[str], link: str) -> str:
    """The command for another interface of this name."""
    ip = " ".join(inside)
    return f"{ip} link add {link} type veth peer name x2; {ip} link set {link} up; {ip} link set x2 up"


def write(key: str, value: str) -> list[str]:
    """The command that sets a sysctl of the host."""
    return ["sh", "-c", f"echo {value} > /proc/sys/{key}"]


@pytest.mark.finding("use-N5", "pods-F4", "pods-F9", "attack4-F4")
def test_what_the_networks_of_a_pod_have_lost_is_mended_live(host: Host, pod: dict[str, Any]) -> None:
    for what, (command, path, word) in damage(host, pod).items():
        host.machine.run(*command)
        foretold, done = host.pod(check=True, **OPTIONS), host.pod(**OPTIONS)
        assert foretold["changes"] == done["changes"], what
        (change, *_more) = [change for change in done["changes"] if change["path"] == path] or [{}]
        assert word in change.get("before", ""), (what, done)
        assert {(change["reason"], change["impact"]) for change in done["changes"]} == {("drift", "live")}
        again = host.pod(**OPTIONS)
        assert again["changed"] is False, (what, again)
        assert (again["pod"]["uuid"], again["pod"]["pid"]) == (pod["uuid"], pod["pid"]), what


def started(process: int) -> int:
    """The start time of a process; what the app starts repeatedly starts later."""
    try:
        return int(pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return sys.maxsize


def memberships(process: int) -> str:
    return pathlib.Path(f"/proc/{process}/cgroup").read_text()


@pytest.mark.finding("use-N5")
@pytest.mark.parametrize("whose", ["app", "pod"])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_process_that_was_moved_out_of_its_group_is_moved_back(
    host: Host, pod: dict[str, Any], whose: str, everywhere: bool
) -> None:
    groups = (host.machine.data / "pods" / "run" / pod["uuid"] / "cgroups").read_text().splitlines()
    first = pathlib.Path(groups[0])
    of_pod = first / "_supervisor" if (first / "_supervisor").exists() else first
    running = ((first / "app" if whose == "app" else of_pod) / "cgroup.procs").read_text().split()
    process = min(map(int, running), key=started)
    before = memberships(process)
    for group in groups if everywhere else groups[:1]:
        (pathlib.Path(group).parent / "cgroup.procs").write_text(str(process))
    assert memberships(process) != before
    foretold, done = host.pod(check=True, **OPTIONS), host.pod(**OPTIONS)
    assert foretold["changes"] == done["changes"]
    (change,) = done["changes"]
    assert change["path"] == ("apps[0]" if whose == "app" else "pods.web")
    assert (change["before"], change["after"]) == ("processes outside of its control group", "inside")
    assert (change["reason"], change["impact"]) == ("drift", "live")
    assert memberships(process) == before
    again = host.pod(**OPTIONS)
    assert (again["changed"], again["pod"]["pid"]) == (False, pod["pid"])


@pytest.mark.finding("use-N5")
def test_a_limit_that_was_changed_is_set_again(host: Host, pod: dict[str, Any]) -> None:
    groups = (host.machine.data / "pods" / "run" / pod["uuid"] / "cgroups").read_text().splitlines()
    files = [
        pathlib.Path(group) / leaf / name
        for group in groups
        for leaf in ("app", "")
        for name in ("memory.limit_in_bytes", "memory.max", "cpu.shares", "cpu.weight", "pids.max")
    ]
    files = [
        path for path in files if path.exists() and (path.parent.name == "app" or path.name == "pids.max")
    ]
    assert files
    for path in files:
        before = path.read_text()
        path.write_text(str(32 << 20) if path.name.startswith("memory") else "77")
        foretold, done = host.pod(check=True, **OPTIONS), host.pod(**OPTIONS)
        assert foretold["changes"] == done["changes"]
        assert len(done["changes"]) == 1, (path, path.read_text(), before, done["changes"])
        (change,) = done["changes"]
        assert (change["reason"], change["impact"]) == ("drift", "live")
        option = {"memory": "memory", "cpu": "cpu_shares", "pids": "pids_limit"}[path.name.split(".")[0]]
        assert change["path"] == (f"apps[0].{option}" if path.parent.name == "app" else option)
        assert path.read_text() == before
        again = host.pod(**OPTIONS)
        assert (again["changed"], again["pod"]["pid"]) == (False, pod["pid"])


@pytest.mark.finding("pods-F9")
def test_what_an_app_has_made_too_long_to_read_is_told_and_not_waited_for(
    host: Host, pod: dict[str, Any]
) -> None:
    inside = ["nsenter", "--net", "--target", str(pod["pid"]), "ip"]
    lines = "".join(
        f"route add 10.{1 + n // 250 // 250}.{n // 250 % 250}.{n % 250}/32 dev lo\n" for n in range(30000)
    )
    host.machine.run(*inside, "-batch", "-", input=lines, stdin=None)
    begun = time.monotonic()
    found = host.pod(check=True, **OPTIONS)
    assert found["changed"] is False
    assert found["warnings"] == [
        f'cannot tell what pod "web" has lost of its networks: it has too many IPv4 {what} to be looked at'
        for what in ("addresses", "routes")
    ]
    assert time.monotonic() - begun < 5
    # The host's side is checked all the same, and mended.
    host.machine.run("ip", "link", "del", damage(host, pod)["link"][0][-1])
    done = host.pod(**OPTIONS)
    assert [change["path"] for change in done["changes"]] == ["networks[0]"]
    host.machine.run(*inside, "route", "flush", "table", "main", "dev", "lo")
    again = host.pod(**OPTIONS)
    assert (again["changed"], again.get("warnings", [])) == (False, [])


@pytest.mark.finding("pods-F10")
def test_a_process_that_root_may_not_look_at_hides_nothing(host: Host, pod: dict[str, Any]) -> None:
    ptp = damage(host, pod)["link"][0][-1]
    host.machine.run("ip", "link", "del", ptp)
    # Without CAP_SYS_PTRACE, processes that have it cannot be inspected, as with a security module or in a guest.
    host.prefix = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all")
    found = host.pod(check=True, **OPTIONS)
    assert [change["path"] for change in found["changes"]] == ["networks[0]"]
    assert found.get("warnings", []) == []


@pytest.mark.finding("pods-F10")
@pytest.mark.parametrize("what", ["networks", "processes"])
def test_what_cannot_be_looked_at_is_told_and_the_rest_is_looked_at(
    host: Host, pod: dict[str, Any], what: str
) -> None:
    directory = host.machine.data / "pods" / "run" / pod["uuid"]
    groups = (directory / "cgroups").read_text().splitlines()
    (limit, *_more) = [path for group in groups for path in pathlib.Path(group).glob("app/pids.max")]
    limit.write_text("77")
    if what == "networks":
        shutil.rmtree(directory / "net")
        reason = "the record of its networks is missing"
    else:
        host.prefix = ("setpriv", "--bounding-set=-all,+dac_override,+net_admin", "--inh-caps=-all")
        reason = "permission denied"
    found = host.pod(check=True, **OPTIONS)
    assert [change["path"] for change in found["changes"]] == ["apps[0].pids_limit"]
    assert found["warnings"] == [f'cannot tell what pod "web" has lost of its {what}: {reason}']
