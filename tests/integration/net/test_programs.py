# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks whose plugins are programs: those of CNI, mixed with what is built in, and hostile ones."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from contextlib import nullcontext

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.announce import announce
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drivers import external
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    OUTSIDE_IP,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    nft,
    source_seen,
    switch,
)

CNI = pathlib.Path("/usr/lib/cni")
IPAM = {"type": "host-local", "subnet": "10.7.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
BRIDGE = {
    "type": "bridge",
    "bridge": "cni7",
    "isGateway": True,
    "ipMasq": True,
    "hairpinMode": True,
    "ipam": IPAM,
}
PTP = {"type": "ptp", "ipMasq": True, "ipam": IPAM}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
TUNING = {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}}
FORWARD = PortForward("tcp", None, 8080, 80)

# A plugin that notes each of its calls in the directory that it is in, and does what its configuration says.
NOTING = """#!/bin/sh
here=$(dirname "$0")
conf=$(cat)
printf '%s\\n' "$conf" >> "$here/stdin"
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS $CNI_NETNS $CNI_PATH" >> "$here/calls"
test "$CNI_COMMAND" = ADD || exit 0
"""


def listed(lab: NetLab, *plugins: dict[str, object], version: str = "0.4.0", name: str = "mix") -> str:
    lab.conf(
        f"10-{name}.conflist", json.dumps({"cniVersion": version, "name": name, "plugins": list(plugins)})
    )
    return name


def by_program(lab: NetLab, *kinds: str) -> None:
    """Have programs go before what is built in, for some types."""
    place = pathlib.Path(lab.paths.plugin_dirs[1])
    place.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        (place / kind).symlink_to(CNI / kind)


def scripted(lab: NetLab, text: str, kind: str = "script") -> pathlib.Path:
    place = pathlib.Path(lab.paths.plugin_dirs[1])
    place.mkdir(parents=True, exist_ok=True)
    (place / kind).write_text(NOTING + text)
    (place / kind).chmod(0o755)
    return place


def own_path(lab: NetLab) -> None:
    """Programs keep some things in places of the host: this test has them for itself."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    pathlib.Path(lab.paths.leases).mkdir(parents=True, exist_ok=True)
    pathlib.Path("/var/lib/cni/networks").mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", lab.paths.leases, "/var/lib/cni/networks"], check=True)


def reaches_the_outside(lab: NetLab, pod: Pod) -> None:
    with listen(lab.outside, 8000) as outside:
        assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == HOST_IP
    with listen(pod.netns, 9000) as in_pod:
        assert source_seen(here(), in_pod, pod.address, 9000) == "10.7.0.1"


@pytest.mark.parametrize("program", [True, False], ids=["program", "built in"])
@in_own_network
def test_a_pod_has_the_plugins_of_a_directory_whatever_becomes_of_that(
    tmp_path: pathlib.Path, program: bool
) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    if program:
        by_program(lab, "tuning")
    place = lab.config / "net.d" / listed(lab, PTP)
    place.mkdir()
    (place / "1.conf").write_text(json.dumps({**TUNING, "mtu": 1280}))
    pod = lab.pod().attach("mix")
    assert [os.path.basename(name) for name in pod.infos[0].plugins] == ["ptp", "tuning"]
    with inside(pod.netns):
        assert pathlib.Path("/proc/sys/net/ipv4/conf/eth0/arp_notify").read_text() == "1\n"
        assert json.loads(ip("-j", "link", "show", "eth0"))[0]["mtu"] == 1280
    shutil.rmtree(place)
    assert [each.name for each in pathlib.Path(pod.conf_dir).iterdir()] == ["10-mix.conflist"]
    pod.detach()
    assert lab.snapshot() == before
    assert lab.pod().attach("mix").infos[0].plugins == ("ptp",)


@pytest.mark.behaviour("E9", "E10", "E25")
@pytest.mark.parametrize("version", ["0.1.0", "0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize("main", [PTP, BRIDGE], ids=["ptp", "bridge"])
@in_own_network
def test_a_network_of_programs_alone(tmp_path: pathlib.Path, main: dict[str, object], version: str) -> None:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    by_program(lab, "ptp", "bridge", "host-local")
    lab.conf("10-mix.conf", json.dumps({"cniVersion": version, "name": "mix", **main}))
    pod = lab.pod().attach("mix")
    (info,) = read_net_info(pod.info_path)
    assert (info.ip, info.gateway, info.plugins) == (
        "10.7.0.2",
        "10.7.0.1",
        (f"{lab.paths.plugin_dirs[1]}/{main['type']}",),
    )
    reaches_the_outside(lab, pod)
    # A pod whose network is built in shares the leases with it.
    lab.conf("05-same.conf", json.dumps({"name": "mix", "type": "ptp", "ipam": IPAM}))
    pathlib.Path(lab.paths.plugin_dirs[1], "ptp").unlink()
    other = lab.pod().attach("mix")
    assert other.address == "10.7.0.3"
    other.detach()
    pod.detach()
    assert not list(pathlib.Path(lab.paths.leases, "mix").glob("10.*"))
    with inside(pod.netns):
        assert "eth0" not in ip("-o", "link")


@pytest.mark.behaviour("E9")
@pytest.mark.parametrize(
    ("programs", "plugins"),
    [
        (("portmap",), (PTP, PORTMAP)),
        (("portmap",), (BRIDGE, PORTMAP)),
        (("bridge", "host-local"), (BRIDGE, PORTMAP)),
        (("bridge", "host-local", "portmap"), (BRIDGE, PORTMAP)),
        (("ptp", "host-local"), (PTP, TUNING, PORTMAP)),
        ((), (PTP, TUNING, PORTMAP)),
        (("host-local",), (BRIDGE, TUNING, PORTMAP)),
    ],
    ids=lambda value: "+".join(each if isinstance(each, str) else str(each["type"]) for each in value),
)
@in_own_network
def test_programs_and_what_is_built_in_share_a_chain(
    tmp_path: pathlib.Path, programs: tuple[str, ...], plugins: tuple[dict[str, object], ...]
) -> None:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    by_program(lab, *programs)
    before = lab.snapshot()
    pod = lab.pod().attach(listed(lab, *plugins), FORWARD)
    reaches_the_outside(lab, pod)
    with listen(pod.netns, 80) as in_pod:
        source_seen(lab.outside, in_pod, HOST_IP, 8080)
        source_seen(here(), in_pod, HOST_IP, 8080)
        source_seen(here(), in_pod, "127.0.0.1", 8080)
    if TUNING in plugins:
        with inside(pod.netns):
            assert pathlib.Path("/proc/sys/net/ipv4/conf/eth0/arp_notify").read_text() == "1\n"
    pod.detach()
    left = lab.snapshot()
    # Programs leave their own chains, without rules of the pod, and a bridge of theirs.
    words = {word for text in left for word in text.replace("/", " ").split()}
    assert not words & {pod.address, pod.uuid, pod.infos[0].host_if}
    if not programs and TUNING not in plugins:
        assert left == before


@pytest.mark.behaviour("E9", "E11")
@in_own_network
def test_what_the_built_in_bridge_does_not_do_is_done_by_its_program(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    checked, plain = lab.pod(), lab.pod()
    checked.attach(listed(lab, {**BRIDGE, "macspoofchk": True}))
    assert checked.infos[0].plugins == (str(CNI / "bridge"),)
    mac = next(each.mac for each in checked.infos[0].result.interfaces if each.sandbox)
    kept = ["nft", "list", "table", "bridge", "nat"]
    assert mac in subprocess.run(kept, check=True, capture_output=True, text=True).stdout
    reaches_the_outside(lab, checked)
    with inside(checked.netns):
        ip("link", "set", "eth0", "address", "02:00:00:00:00:66")
    with listen(lab.outside, 8000) as outside, pytest.raises(OSError):
        source_seen(checked.netns, outside, OUTSIDE_IP, 8000)
    # Another network of the same type stays built in.
    plain.attach(
        listed(lab, {**BRIDGE, "bridge": "cni8", "ipam": {**IPAM, "subnet": "10.9.0.0/24"}}, name="plain")
    )
    assert plain.infos[0].plugins == ("bridge",)
    checked.detach()
    assert mac not in subprocess.run(kept, check=True, capture_output=True, text=True).stdout


@in_own_network
def test_name_servers_of_a_file_come_from_the_program_of_host_local(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    own_path(lab)
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\nsearch example.com\n")
    pod = lab.pod().attach(listed(lab, {**BRIDGE, "ipam": {**IPAM, "resolvConf": str(resolv)}}))
    (info,) = pod.infos
    assert (info.plugins, info.ipam) == (("bridge",), str(CNI / "host-local"))
    assert (info.result.dns.nameservers, info.result.dns.search) == (("192.0.2.53",), ("example.com",))
    pod.detach()
    assert not list(pathlib.Path(lab.paths.leases, "mix").glob("10.*"))


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
@in_own_network
def test_programs_take_away_what_belongs_to_a_pod_whose_namespace_has_gone(
    tmp_path: pathlib.Path, kind: str
) -> None:
    lab = NetLab(tmp_path)
    own_path(lab)
    by_program(lab, kind)
    main = {"type": kind, "ipMasq": True, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}
    if kind == "bridge":
        main.update(bridge="cni7", isGateway=True, macspoofchk=True)
    name = listed(lab, main)
    lab.pod().attach(name).detach()  # the bridge and chains that all pods share stay
    before = nft("-s", "list", "ruleset")
    pod = lab.pod().attach(name)
    assert nft("-s", "list", "ruleset") != before
    pod.die()
    pod.detach()
    assert nft("-s", "list", "ruleset") == before


@pytest.mark.parametrize(("sources", "reached"), [(f"{OUTSIDE_IP}/32", True), ("198.51.100.0/24", False)])
@in_own_network
def test_conditions_of_portmap_are_those_of_its_program(
    tmp_path: pathlib.Path, sources: str, reached: bool
) -> None:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    pod = lab.pod().attach(listed(lab, BRIDGE, {**PORTMAP, "conditionsV4": ["-s", sources]}), FORWARD)
    assert pod.infos[0].plugins == ("bridge", str(CNI / "portmap"))
    outcome = nullcontext() if reached else pytest.raises(OSError)
    with outcome, listen(pod.netns, 80) as in_pod:
        source_seen(lab.outside, in_pod, HOST_IP, 8080)


@in_own_network
def test_the_runtime_tells_programs_of_ports_only_where_they_ask_for_them(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    place = scripted(lab, """echo "$conf" | sed 's/.*"prevResult"://; s/,"runtimeConfig":.*//'\n""")
    name = listed(lab, PTP, {"type": "script", "capabilities": {"ips": True, "mac": True}})
    args = "IP=10.7.0.9;MAC=2-0-0-0-0-9;IFNAME=lan0;color=red;IgnoreUnknown=1"
    pod = lab.pod().attach(f"{name}:{args}", FORWARD)
    (call,) = (place / "calls").read_text().splitlines()
    assert call.split() == [
        *("ADD", pod.uuid, "lan0", "IP=10.7.0.9;MAC=02:00:00:00:00:09;color=red;IgnoreUnknown=1"),
        f"/proc/{os.getpid()}/fd/{pod.netns}",
        ":".join((*lab.paths.plugin_dirs, *lab.paths.cni_dirs)),
    ]
    given = json.loads((place / "stdin").read_text())
    assert (given["name"], given["cniVersion"], given["type"]) == (name, "0.4.0", "script")
    assert given["runtimeConfig"] == {"ips": ["10.7.0.9"], "mac": "02:00:00:00:00:09"}
    assert "capabilities" not in given
    assert given["prevResult"]["ips"] == [
        {"version": "4", "address": "10.7.0.9/24", "gateway": "10.7.0.1", "interface": 1}
    ]
    assert [each["name"] for each in given["prevResult"]["interfaces"]] == [pod.infos[0].host_if, "lan0"]
    pod.detach()
    assert [call.split()[0] for call in (place / "calls").read_text().splitlines()] == ["ADD", "DEL"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sleep 60", "was killed: it has not ended within 1 seconds"),
        ("echo no", "its answer is not a result"),
        ("echo '[]'", "its answer is not a result"),
        ("""echo '{"ips": [{"address": "10.7.0.2 }"}]}'""", "its answer is not a result"),
        (
            """echo '{"ips": [{"address": "10.7.0.2/24", "gateway": "fd00::1"}]}'""",
            "its answer is not a result",
        ),
        ("""echo '{"ips": []}'""", "its plugins give no address"),
        (
            """printf '{"routes": ['; yes '{"dst": "::/0"},' | head -n 1000; echo '{"dst": "::/0"}]}'""",
            "its answer has more than 1000 addresses, routes or interfaces",
        ),
        ("yes | head -c 20000000", "it has printed more than 16 MiB"),
        (
            """echo '{"code": 7, "msg": "not today", "details": "ask\\u001b[2J later"}'; exit 1""",
            "not today; ask",
        ),
        ("echo nothing works >&2; exit 3", "nothing works"),
        ("kill -9 $$", "exit status 137"),
        ('rm "$0"; exit 9', "exit status 9"),
    ],
)
@in_own_network
def test_a_program_that_fails_or_lies_leaves_nothing(
    tmp_path: pathlib.Path, script: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(external._SECONDS, "ADD", 1.0)
    lab = NetLab(tmp_path)
    place = scripted(lab, script)
    before = lab.snapshot()
    pod = lab.pod()
    lab.conf("20-ours.conf", json.dumps({"name": "ours", **PTP}))
    listed(lab, {"type": "script", "ipMasq": True}, name="bad")
    lab.conf("30-bad.conflist", (lab.config / "net.d/10-bad.conflist").read_text())
    (lab.config / "net.d/10-bad.conflist").unlink()
    with pytest.raises(HostFailure) as caught:
        pod.attach("ours,bad")
    told = str(caught.value)
    assert told.startswith('networking: error adding network "bad": ')
    assert said in told
    assert "\x1b" not in told
    assert lab.snapshot() == before
    calls = [call.split()[:3] for call in (place / "calls").read_text().splitlines()]
    wanted = ["ADD"] if 'rm "$0"' in script else ["ADD", "DEL"]
    assert calls == [[command, pod.uuid, "eth1"] for command in wanted]
    assert not pathlib.Path(pod.info_path).exists()


@in_own_network
def test_a_program_that_others_can_change_is_not_executed(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    place = scripted(lab, "exit 1")
    (place / "script").chmod(0o777)
    with pytest.raises(InvalidSpec, match="others can change it"):
        lab.pod().attach(listed(lab, {"type": "script"}))
    assert not (place / "calls").exists()


@pytest.mark.finding("attack7-F3")
@pytest.mark.parametrize("what", ["program", "directory"])
@in_own_network
def test_nor_is_one_that_others_can_change_by_the_time_that_the_pod_leaves(
    tmp_path: pathlib.Path, what: str
) -> None:
    lab = NetLab(tmp_path)
    answer = {"ips": [{"address": "10.7.0.66/24"}]}
    place = scripted(lab, f"echo '{json.dumps(answer)}'")
    pod = lab.pod().attach(listed(lab, {"type": "script"}))
    changed = place / "script" if what == "program" else place
    changed.chmod(0o777)
    with pytest.raises(HostFailure, match="others can change it"):
        pod.detach()
    changed.chmod(0o755)
    pod.detach()
    assert [call.split()[0] for call in (place / "calls").read_text().splitlines()] == ["ADD", "DEL"]


@in_own_network
def test_addresses_of_a_program_for_an_interface_that_is_built_in(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    by_program(lab, "static")
    ipam = {
        "type": "static",
        "addresses": [
            {"address": "10.7.0.77/24", "gateway": "10.7.0.1"},
            {"address": "fd00::77/64", "gateway": "fd00::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {"nameservers": ["10.7.0.1"]},
    }
    pod = lab.pod().attach(listed(lab, {**PTP, "ipam": ipam}))
    assert (pod.address, pod.infos[0].ip6) == ("10.7.0.77", ("fd00::77/64",))
    assert pod.infos[0].result.dns.nameservers == ("10.7.0.1",)
    reaches_the_outside(lab, pod)
    pod.detach()


@pytest.mark.behaviour("E25")
@in_own_network
def test_a_program_takes_its_addresses_back(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    answer = {
        "ips": [{"address": "10.7.0.66/24", "gateway": "10.7.0.1"}],
        "routes": [{"dst": "10.66.0.0/16"}],
    }
    place = scripted(lab, f"echo '{json.dumps(answer)}'", "leases")
    before = lab.snapshot()
    pod = lab.pod().attach(listed(lab, {**PTP, "ipam": {"type": "leases"}}))
    assert pod.address == "10.7.0.66"
    with inside(pod.netns):
        assert "10.66.0.0/16 via 10.7.0.1 dev eth0" in ip("route")
    pod.detach()
    assert lab.snapshot() == before
    assert [call.split()[0] for call in (place / "calls").read_text().splitlines()] == ["ADD", "DEL"]


@pytest.mark.behaviour("E25")
@pytest.mark.parametrize("record", ["whole", "without net-info.json", "damaged"])
@in_own_network
def test_a_killed_start_is_undone_by_the_uuid_alone(tmp_path: pathlib.Path, record: str) -> None:
    lab = NetLab(tmp_path)
    place = scripted(
        lab,
        """test -e "$here/die" && kill -9 $PPID\necho "$conf" | sed 's/.*"prevResult"://; s/}$//; s/,"type":.*//'\n""",
    )
    (place / "die").touch()
    before = lab.snapshot()
    name, pod = listed(lab, PTP, {"type": "script"}), lab.pod()
    pid = os.fork()
    if not pid:
        pod.attach(name)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 9
    if record == "without net-info.json":
        os.unlink(pod.info_path)
    if record == "damaged":
        pathlib.Path(pod.info_path).write_text("{")
    pod.detach()
    assert lab.snapshot() == before
    assert [call.split()[:3] for call in (place / "calls").read_text().splitlines()] == [
        ["ADD", pod.uuid, "eth0"],
        ["DEL", pod.uuid, "eth0"],
    ]
    pod.detach()  # once more is no error


@in_own_network
def test_a_network_with_a_long_name_and_arguments_of_any_length(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    place = scripted(lab, """echo "$conf" | sed 's/.*"prevResult"://; s/}$//; s/,"type":.*//'\n""")
    name = listed(lab, PTP, {"type": "script"}, name="n" * 200)
    pod = lab.pod().attach(f"{name}:color={'$(reboot)`x`' * 400};IgnoreUnknown=1")
    assert pod.infos[0].net_name == name
    assert "$(reboot)`x`$(reboot)" in (place / "calls").read_text()
    pod.detach()
    assert not list(pathlib.Path(lab.paths.leases, name).glob("10.*"))


@pytest.mark.finding("attack7-F3")
@pytest.mark.parametrize("mac", ["zz:zz:zz:zz:zz:zz", "no", "01:00:00:00:00:01", "02:00:00:00:00:00:00:01"])
@in_own_network
def test_what_a_program_says_of_a_mac_address_announces_nothing(tmp_path: pathlib.Path, mac: str) -> None:
    lab = NetLab(tmp_path)
    interfaces = [{"name": "eth0", "mac": mac, "sandbox": "/x"}]
    answer = {"interfaces": interfaces, "ips": [{"address": "10.7.0.66/24", "interface": 0}]}
    scripted(lab, f"echo '{json.dumps(answer)}'")
    pod = lab.pod().attach(listed(lab, {"type": "script"}))
    announce(pod.netns, pod.infos)


@pytest.mark.finding("attack7-F3")
@pytest.mark.parametrize("name", ["all", "default", "../conf/all", "x"])
@in_own_network
def test_ports_open_the_loopback_to_no_interface_that_a_program_makes_up(
    tmp_path: pathlib.Path, name: str
) -> None:
    lab = NetLab(tmp_path)
    interfaces = [{"name": name}, {"name": "eth0", "sandbox": "/x"}]
    answer = {"interfaces": interfaces, "ips": [{"address": "10.7.0.66/24", "interface": 1}]}
    scripted(lab, f"echo '{json.dumps(answer)}'")
    lab.pod().attach(listed(lab, {"type": "script"}), FORWARD)
    assert [switch(f"ipv4/conf/{each}/route_localnet") for each in ("all", "default", "lo")] == ["0"] * 3


@pytest.mark.finding("attack7-F3")
@pytest.mark.parametrize("before", ["0", "1"])
@in_own_network
def test_a_link_of_the_host_that_a_program_names_is_as_it_was_once_its_pods_have_gone(
    tmp_path: pathlib.Path, before: str
) -> None:
    """Else services on the loopback of the host would be open to that link, without the rule that guards them."""
    lab = NetLab(tmp_path, outside=True)
    ip("link", "add", "mac0", "link", "up0", "type", "macvlan")
    switch("ipv4/conf/mac0/route_localnet", before)
    interfaces = [{"name": "mac0"}, {"name": "eth0", "sandbox": "/x"}]
    answer = {"interfaces": interfaces, "ips": [{"address": "10.7.0.66/24", "interface": 1}]}
    scripted(lab, f"echo '{json.dumps(answer)}'")
    pod = lab.pod().attach(listed(lab, {"type": "script"}), FORWARD)
    assert switch("ipv4/conf/mac0/route_localnet") == "1"
    pod.detach()
    assert switch("ipv4/conf/mac0/route_localnet") == before


@pytest.mark.finding("attack7-F3")
@in_own_network
def test_what_a_program_leaves_running_keeps_no_other_waiting(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("ADD", "DEL"):
        monkeypatch.setitem(external._SECONDS, command, 2.0)
    lab = NetLab(tmp_path)
    answer = {"ips": [{"address": "10.7.0.66/24"}]}
    place = scripted(lab, f"""sleep 30 & echo $! >> "$here/daemons"; echo '{json.dumps(answer)}'""")
    pod = lab.pod().attach(listed(lab, {"type": "script"}, {"type": "script"}))
    pod.detach()
    daemons = (place / "daemons").read_text().split()
    assert len(daemons) == 2
    for daemon in daemons:  # which still runs
        os.kill(int(daemon), 9)
