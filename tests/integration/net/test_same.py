# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built in attaches a pod as CNI's own plugins do, and either takes down what the other has made.

The plugins are driven by a small program that speaks CNI's specification, and knows nothing of the runtime.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
from collections.abc import Iterable
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    TIMEOUT,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
    switch,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_programs import own_path
from ansible_collections.stagecraft.pods.tests.integration.net.test_types import is_made, tag_outside

CNI = "/usr/lib/cni"
IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.66.0.0/16", "gw": "10.7.0.1"}],
}
FIXED = {"address": "10.7.0.9/24", "gateway": "10.7.0.1"}
ON_LINK = {
    "type": "host-local",
    "ranges": [
        [{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.10"}],
        [{"subnet": "2001:db8:2::/64", "rangeStart": "2001:db8:2::10"}],
    ],
}
BOTH = {"type": "host-local", "ranges": IPAM["ranges"]}
WAYS_OUT = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
RATES = {"ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 4000000, "egressBurst": 400000}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
FORWARD = PortForward("tcp", None, 8080, 9000)
MAPPINGS = [{"hostPort": FORWARD.host_port, "containerPort": FORWARD.pod_port, "protocol": "tcp"}]
CHAINS: dict[str, list[dict[str, Any]]] = {
    "ptp": [{"type": "ptp", "mtu": 1400, "ipam": IPAM}],
    "ptp masq": [{"type": "ptp", "ipMasq": True, "ipam": {**BOTH, "routes": WAYS_OUT}}],
    "bridge": [{"type": "bridge", "bridge": "cni7", "isDefaultGateway": True, "mtu": 1300, "ipam": BOTH}],
    "bridge hairpin": [
        {"type": "bridge", "bridge": "cni7", "isGateway": True, "hairpinMode": True, "ipam": IPAM}
    ],
    "macvlan": [{"type": "macvlan", "master": "up0", "mode": "private", "ipam": ON_LINK}],
    "tuning": [
        {"type": "ptp", "ipam": IPAM},
        {
            "type": "tuning",
            "mac": "02:11:22:33:44:55",
            "promisc": True,
            "sysctl": {"net.core.somaxconn": "99"},
        },
    ],
    "static": [
        {
            "type": "ptp",
            "ipam": {
                "type": "static",
                "addresses": [
                    FIXED,
                    {"address": "fd00:7::9/64", "gateway": "fd00:7::1"},
                ],
                "routes": WAYS_OUT,
            },
        }
    ],
    "ipvlan": [{"type": "ipvlan", "master": "up0", "ipam": ON_LINK}],
    "vlan": [{"type": "vlan", "master": "up0", "vlanId": 7, "ipam": ON_LINK}],
    "host-device": [{"type": "host-device", "device": "up0", "ipam": ON_LINK}],
    "portmap": [{"type": "ptp", "ipMasq": True, "ipam": IPAM}, PORTMAP],
    "portmap of a bridge": [
        {"type": "bridge", "bridge": "cni7", "isGateway": True, "hairpinMode": True, "ipam": IPAM},
        PORTMAP,
    ],
    "bandwidth": [{"type": "ptp", "ipam": IPAM}, {"type": "bandwidth", **RATES}],
    "sbr": [{"type": "ptp", "ipam": IPAM}, {"type": "sbr"}],
    "firewall": [{"type": "ptp", "ipam": IPAM}, {"type": "firewall"}],
}
OWN_RULES = ("portmap", "firewall", "bandwidth", "sbr")
# Their ipMasq, portmap and firewall fail to remove rules that they have not made, and their host-device knows a device
# by a name that is theirs to note.
NOT_THEIRS = ("tuning", "ptp masq", "portmap", "portmap of a bridge", "firewall", "host-device")
# Those that not every kernel makes.
KINDS = {"ipvlan": "ipvlan", "vlan": "vlan id 9"}


def marked(names: Iterable[str]) -> list[Any]:
    """The names of chains, of which the machine with a kernel that makes all links runs those that it takes."""
    return [pytest.param(name, marks=[pytest.mark.kernel] * (name in KINDS)) for name in names]


class Runtime:
    """A small runtime of CNI: the commands of one network for one container."""

    def __init__(self, pod: Pod, chain: list[dict[str, Any]]) -> None:
        self.chain, self.result = chain, None
        self.env = {
            "PATH": os.environ["PATH"],
            "CNI_CONTAINERID": pod.uuid,
            "CNI_NETNS": f"/proc/{os.getpid()}/fd/{pod.netns}",
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "",
            "CNI_PATH": CNI,
        }

    def add(self) -> dict[str, Any]:
        self.env["CNI_IFNAME"] = "lo"
        self._call("ADD", {"type": "loopback"}, None)
        self.env["CNI_IFNAME"] = "eth0"
        result: Any = None
        for plugin in self.chain:
            result = json.loads(self._call("ADD", plugin, result))
        self.result = result
        return dict(result)

    def check(self) -> None:
        """What is made of links and addresses: rules and queues of theirs have names and places of their own."""
        checked = [each for each in self.chain if each["type"] not in OWN_RULES]
        # With sbr, the routes that their first plugin looks for are in another table, theirs too.
        for plugin in checked if {"type": "sbr"} not in self.chain else ():
            self._call("CHECK", plugin, self.result)

    def delete(self) -> None:
        for plugin in reversed(self.chain):
            self._call("DEL", plugin, self.result)

    def _call(self, command: str, plugin: dict[str, Any], result: Any) -> str:
        conf = {**plugin, "cniVersion": "0.4.0", "name": "same", **({"prevResult": result} if result else {})}
        if conf.pop("capabilities", None):
            conf["runtimeConfig"] = {"portMappings": MAPPINGS}
        done = subprocess.run(
            [f"{CNI}/{plugin['type']}"],
            input=json.dumps(conf),
            env={**self.env, "CNI_COMMAND": command},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, plugin, done.stdout, done.stderr)
        return done.stdout


def begun(tmp_path: pathlib.Path, chain: list[dict[str, Any]]) -> NetLab:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    lab.conf("10-same.conflist", json.dumps({"cniVersion": "0.4.0", "name": "same", "plugins": chain}))
    with inside(lab.outside):
        ip("route", "add", "10.7.0.0/24", "via", HOST_IP)
        ip("route", "add", "fd00:7::/64", "via", HOST_IP6)
    if chain[0]["type"] == "host-device":
        ip("addr", "flush", "dev", "up0")
    if chain[-1]["type"] == "firewall":
        for program in ("iptables", "ip6tables"):
            subprocess.run([program, "--policy", "FORWARD", "DROP"], check=True)
    return lab


def is_had(lab: NetLab, name: str) -> bool:
    """Whether this kernel has what a chain is made of."""
    if name not in KINDS:
        return True
    made = is_made(lab, "same", KINDS[name])
    if made and name == "vlan":
        tag_outside(lab)
    return made


def seen(words: str) -> list[dict[str, Any]]:
    """What ip shows, without names, numbers and MAC addresses that the kernel or a plugin chose by chance."""
    found = json.loads(ip("-j", "-d", *words.split()))
    end = time.monotonic() + TIMEOUT
    while any(_changes(each) for each in found) and time.monotonic() < end:
        time.sleep(0.02)
        found = json.loads(ip("-j", "-d", *words.split()))
    return [_kept(each) for each in found if each.get("ifname") not in ("lo", "up0", "far0")]


def _changes(link: dict[str, Any]) -> bool:
    """Whether a link is about to be up: the kernel says so up to a second after its carrier has come."""
    before = "UNKNOWN" if link.get("linkinfo", {}).get("info_kind") == "vlan" else "DOWN"
    return "LOWER_UP" in link.get("flags", ()) and link.get("operstate") == before


BY_CHANCE = ("ifindex", "link_index", "link_netnsid", "permaddr", "valid_life_time", "preferred_life_time")


def _kept(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: each for name, each in value.items() if name not in BY_CHANCE and name != "link"}
    if str(kept.get("table", "")).isdigit():
        kept["table"] = "own"  # theirs have one for each family
    for name in ("ifname", "dev"):
        if str(kept.get(name, "")).startswith("veth"):
            kept[name] = "veth"
    mac = str(kept.pop("address", "")) if "ifname" in kept else ""
    if mac.startswith("02:11:"):
        kept["address"] = mac
    return kept


def attached(lab: NetLab, pod: Pod) -> dict[str, Any]:
    """All that can be seen of a pod's attachment, inside and on the host."""
    views = {}
    with inside(pod.netns):
        views["links"] = [_link(each) for each in seen("link")]
        views["addresses"] = _addresses()
        for family in ("-4", "-6"):
            views[f"routes {family}"] = routes(f"{family} route show table all")
            views[f"rules {family}"] = sorted(map(str, seen(f"{family} rule")))
        views["somaxconn"] = pathlib.Path("/proc/sys/net/core/somaxconn").read_text()
    views["links of the host"] = [_link(each) for each in seen("link")]
    views["addresses of the host"] = _addresses()
    for family in ("-4", "-6"):
        views[f"routes of the host {family}"] = routes(f"{family} route")
    views["queues"] = sorted(queues())
    views["forwarding"] = switch("ipv4/ip_forward"), switch("ipv6/conf/all/forwarding")
    views["leases"] = sorted(
        (found.name, found.read_text().split())
        for found in pathlib.Path(lab.paths.leases, "same").glob("*")
        if found.name.startswith(("10.", "192.", "fd00:", "2001:"))
    )
    return views


def routes(words: str) -> list[str]:
    """All but those that the kernel makes for addresses that it chooses itself."""
    return sorted(
        str(each)
        for each in seen(words)
        if each.get("table") != "local" and not each["dst"].startswith(("fe80", "ff00"))
    )


def queues() -> list[tuple[str, int, int]]:
    """The links of the host with a limit, by their kinds, and bytes of it: a second, and at once."""
    links = json.loads(ip("-j", "-d", "link"))
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind", "") for link in links}
    done = subprocess.run(["tc", "-j", "qdisc", "show"], check=True, capture_output=True, text=True)
    return [
        (kinds[each["dev"]], each["options"]["rate"], each["options"]["burst"])
        for each in json.loads(done.stdout)
        if each["kind"] == "tbf"
    ]


def _link(link: dict[str, Any]) -> dict[str, Any]:
    """The members of a link that say what it does."""
    data = link.get("linkinfo", {})
    port = data.get("info_slave_data", {})
    return {
        "name": "ifb" if data.get("info_kind") == "ifb" else link["ifname"],
        "mtu": link["mtu"],
        "state": link["operstate"],
        "promiscuity": link["promiscuity"] if data.get("info_slave_kind") != "bridge" else 0,
        "mac": link.get("address", ""),
        "kind": data.get("info_kind"),
        "mode": data.get("info_data", {}).get("mode"),
        "port": (port.get("hairpin"), port.get("isolated")),
    }


def _addresses() -> list[tuple[str, str, int]]:
    """Without link-local ones, which the kernel makes of MAC addresses."""
    return sorted(
        ("veth" if link["ifname"].startswith("veth") else link["ifname"], each["local"], each["prefixlen"])
        for link in json.loads(ip("-j", "address"))
        for each in link["addr_info"]
        if not each["local"].startswith("fe80")
    )


def effect(lab: NetLab, pod: Pod, addresses: list[str], ports: bool = False) -> dict[str, str]:
    """The addresses under which each side sees the other, in both families. ports: by the port of the host as well."""
    found = {}
    settle(lab)
    for address in addresses:
        six = ":" in address
        every, host, out = ("::", HOST_IP6, OUTSIDE_IP6) if six else ("0.0.0.0", HOST_IP, OUTSIDE_IP)
        with listen(lab.outside, 8000, every) as outside:
            found[f"outside {every}"] = source_or_error(pod.netns, outside, out, 8000)
        with listen(here(), 8001, every) as on_host:
            found[f"host {every}"] = source_or_error(pod.netns, on_host, host, 8001)
        with listen(pod.netns, 9000, every) as in_pod:
            found[f"from the host {every}"] = source_or_error(here(), in_pod, address, 9000)
            found[f"from outside {every}"] = source_or_error(lab.outside, in_pod, address, 9000)
            for name, client in (("host", here()), ("outside", lab.outside), ("itself", pod.netns)) * ports:
                found[f"port from {name} {every}"] = source_or_error(client, in_pod, host, 8080)
            if ports and not six:
                found["port of loopback"] = source_or_error(here(), in_pod, "127.0.0.1", 8080)
    return found


def settle(lab: NetLab) -> None:
    """Wait until the host and the outside can look for neighbours in IPv6, which takes link-local addresses."""
    end = time.monotonic() + 5 * TIMEOUT
    for netns in (here(), lab.outside):
        with inside(netns):
            while "tentative" in ip("-6", "address") and time.monotonic() < end:
                time.sleep(0.05)


def source_or_error(*words: Any) -> str:
    try:
        return source_seen(*words)
    except OSError as err:
        return type(err).__name__


@pytest.mark.behaviour("E9", "E10", "E13", "E15", "E16", "E17", "E18")
@pytest.mark.parametrize("name", marked(CHAINS))
@in_own_network
def test_a_pod_is_attached_as_by_the_plugins_of_cni(tmp_path: pathlib.Path, name: str) -> None:
    chain = CHAINS[name]
    lab = begun(tmp_path, chain)
    if not is_had(lab, name):
        return
    theirs = lab.pod()
    runtime = Runtime(theirs, chain)
    result = runtime.add()
    addresses = [each["address"].partition("/")[0] for each in result["ips"]]
    assert len(addresses) == 2
    forwards = (FORWARD,) if PORTMAP in chain else ()
    wanted, does = attached(lab, theirs), effect(lab, theirs, addresses, ports=bool(forwards))
    runtime.delete()
    if chain[0]["type"] == "bridge":
        ip("link", "delete", "cni7")
    for lease in pathlib.Path(lab.paths.leases).rglob("last_reserved_ip.*"):
        lease.unlink()
    ours = lab.pod()
    ours.uuid = theirs.uuid
    ours.attach("same", *forwards)
    found = attached(lab, ours)
    assert [(key, wanted[key], value) for key, value in found.items() if value != wanted[key]] == []
    assert effect(lab, ours, addresses, ports=bool(forwards)) == does
    assert any(seen_as in addresses for seen_as in does.values())  # else nothing was compared
    told = ours.infos[0].result.to_json("0.4.0")
    for member in ("ips", "routes", "dns"):
        assert told[member] == result.get(member, told[member]), member
    assert [(each.get("name"), bool(each.get("sandbox"))) for each in told["interfaces"]][-1] == (
        "eth0",
        True,
    )  # type: ignore[attr-defined]
    # Their CHECK finds ours as it should be.
    check = Runtime(ours, chain)
    check.result = told
    check.check()


STATIC = {
    "type": "static",
    "addresses": [FIXED],
    "routes": [{"dst": "10.66.0.0/16"}, {"dst": "10.67.0.0/16", "gw": "10.7.0.1"}],
}


@pytest.mark.behaviour("E14")
@pytest.mark.parametrize(
    ("asked", "capability", "args"),
    [
        ("", False, []),
        ("IP=10.8.0.5/24", False, []),
        ("IP=10.7.0.5/24;GATEWAY=10.7.0.1", False, []),
        ("IP=10.8.0.5/24;GATEWAY=10.8.0.1", False, []),
        ("", False, ["10.7.0.5/24", "fd00:7::5/64"]),
        ("IP=10.7.0.5/24", True, []),
        ("IP=10.7.0.5/24", True, ["10.7.0.6/24"]),
        ("", True, []),
    ],
)
@in_own_network
def test_static_addresses_are_those_of_the_plugin_of_cni(
    tmp_path: pathlib.Path, asked: str, capability: bool, args: list[str]
) -> None:
    plugin = {
        "type": "bridge",
        "bridge": "cni7",
        "ipam": STATIC,
        **({"capabilities": {"ips": True}} if capability else {}),
        **({"args": {"cni": {"ips": args}}} if args else {}),
    }
    lab = begun(tmp_path, [plugin])
    # The program gets what a runtime gives it: by the capability, the addresses once more.
    ips = [word.removeprefix("IP=") for word in asked.split(";") if word.startswith("IP=")]
    given = {
        **plugin,
        "cniVersion": "0.4.0",
        "name": "same",
        **({"runtimeConfig": {"ips": ips}} if capability else {}),
    }
    theirs = Runtime(lab.pod(), [])
    done = subprocess.run(
        [f"{CNI}/static"],
        input=json.dumps(given),
        env={**theirs.env, "CNI_ARGS": asked, "CNI_COMMAND": "ADD"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    wanted = json.loads(done.stdout)
    pod = lab.pod().attach(f"same:{asked}" if asked else "same")
    found = pod.infos[0].result.to_json("0.4.0")
    kept = [{name: value for name, value in each.items() if name != "interface"} for each in found["ips"]]  # type: ignore[attr-defined]
    assert (kept, found["routes"]) == (wanted["ips"], wanted["routes"])
    with inside(pod.netns):
        shown = [each["local"] for each in json.loads(ip("-j", "address", "show", "eth0"))[0]["addr_info"]]
    assert [each["address"].partition("/")[0] for each in wanted["ips"]] == [
        each for each in shown if not each.startswith("fe80")
    ]


@pytest.mark.behaviour("E15", "E25")
@pytest.mark.parametrize("name", marked(each for each in CHAINS if each not in NOT_THEIRS))
@in_own_network
def test_either_takes_down_what_the_other_has_made(tmp_path: pathlib.Path, name: str) -> None:
    chain = CHAINS[name]
    lab = begun(tmp_path, chain)
    if not is_had(lab, name):
        return
    before = lab.snapshot()
    # Ours, taken down by theirs: what is left is in our own tables, and goes with our own detach.
    ours = lab.pod().attach("same")
    runtime = Runtime(ours, chain)
    runtime.result = ours.infos[0].result.to_json("0.4.0")
    runtime.delete()
    with inside(ours.netns):
        assert "eth0" not in ip("-o", "link")
    assert not list(pathlib.Path(lab.paths.leases, "same").glob("1*"))
    ours.detach()
    assert lab.snapshot() == before
    # Theirs, taken down by ours, which finds the container's ID in the leases, and the links by their peers.
    theirs = lab.pod()
    added = Runtime(theirs, chain).add()
    pathlib.Path(theirs.conf_dir).mkdir()
    pathlib.Path(theirs.conf_dir, "10-same.conflist").write_text(
        (lab.config / "net.d/10-same.conflist").read_text()
    )
    theirs.detach()
    assert not list(pathlib.Path(lab.paths.leases, "same").glob("1*")), added
