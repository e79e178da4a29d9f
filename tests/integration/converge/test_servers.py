# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of plays have the name servers of the host, also those that it gets later, unless something else says so."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.converge.namelab import BOTH, Named, eventually
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image

GATEWAY = "10.7.0.1"


@pytest.fixture
def named(host: Host) -> Named:
    """A host whose resolv.conf is the test's."""
    (host.machine.base / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch lan.example\n")
    host.machine.run("mount", "--bind", str(host.machine.base / "resolv.conf"), "/etc/resolv.conf")
    return Named(host)


def set_servers(named: Named, text: str) -> None:
    (named.host.machine.base / "resolv.conf").write_text(text)


def servers(named: Named, pod: dict[str, object]) -> list[str]:
    """The lines of the resolv.conf of a pod, without comments and empty ones."""
    text = named.inside(pod, "cat", "/etc/resolv.conf").stdout
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def resolver(named: Named) -> Iterator[None]:
    """A resolver at the gateway of the network, which knows one name."""
    words = ["--no-daemon", "--no-resolv", "--no-hosts", "--bind-dynamic", f"--listen-address={GATEWAY}"]
    argv = [
        "dnsmasq",
        *words,
        "--address=/db.example/10.7.0.200",
        "--log-facility=-",
        "--conf-file=/dev/null",
    ]
    with subprocess.Popen(named.host.machine.inside(*argv), stderr=subprocess.DEVNULL) as process:
        yield
        process.terminate()


@pytest.mark.behaviour("C39", "C40")
def test_a_resolver_that_is_given_is_used_as_it_is(named: Named, resolver: None) -> None:
    pod = named.pod("web", dns=[GATEWAY], dns_search=["example"])
    assert servers(named, pod) == ["search example", f"nameserver {GATEWAY}"]
    eventually(lambda: named.finds(pod, "db.example") == "10.7.0.200")
    assert named.finds(pod, "db") == "10.7.0.200"
    set_servers(named, "nameserver 192.0.2.99\n")
    assert not named.host.pod(name="web", networks=["br"], dns=[GATEWAY], dns_search=["example"])["changed"]


def test_the_servers_of_the_host_are_followed(named: Named, resolver: None) -> None:
    pod = named.pod("web")
    assert servers(named, pod) == ["search lan.example", "nameserver 192.0.2.53"]
    set_servers(named, f"nameserver {GATEWAY}\noptions timeout:1\n")
    foretold = named.host.pod(name="web", networks=["br"], check=True)
    done = named.host.pod(name="web", networks=["br"])
    (change,) = done["changes"]
    assert foretold["changes"] == done["changes"]
    assert (change["path"], change["impact"], change["reason"]) == ("dns", "live", "drift")
    assert (change["before"], change["after"]) == (
        "search lan.example, nameserver 192.0.2.53",
        f"nameserver {GATEWAY}, options timeout:1",
    )
    assert done["pod"]["pid"] == pod["pid"]
    assert servers(named, pod) == [f"nameserver {GATEWAY}", "options timeout:1"]
    eventually(lambda: named.finds(pod, "db.example") == "10.7.0.200")
    assert not named.host.pod(name="web", networks=["br"])["changed"]


def test_an_app_that_has_its_own_servers_keeps_them(named: Named) -> None:
    pod = named.pod("web")
    named.inside(pod, "sh", "-c", "echo nameserver 192.0.2.1 > /etc/resolv.conf")
    set_servers(named, "nameserver 192.0.2.99\n")
    assert not named.host.pod(name="web", networks=["br"])["changed"]
    assert servers(named, pod) == ["nameserver 192.0.2.1"]


def test_a_stub_on_the_loopback_is_replaced_by_what_is_behind_it(named: Named) -> None:
    set_servers(named, "nameserver 127.0.0.53\nsearch lan.example\n")
    done = named.host.pod(name="web", networks=["br"])
    assert "on its loopback, 127.0.0.53, where no pod reaches them" in done["warnings"][0]
    assert servers(named, done["pod"]) == []
    of_host = named.host.pod(name="of-host", networks=["host"])
    assert of_host["warnings"] == []
    assert servers(named, of_host["pod"]) == ["search lan.example", "nameserver 127.0.0.53"]
    behind = "mkdir -p /run/systemd/resolve && echo nameserver 192.0.2.7 > /run/systemd/resolve/resolv.conf"
    named.host.machine.run("sh", "-c", behind)
    pod = named.pod("other")
    assert servers(named, pod) == ["search lan.example", "nameserver 192.0.2.7"]


@pytest.mark.behaviour("C40")
def test_networks_and_volumes_come_before_the_servers_of_the_host(named: Named) -> None:
    conf = {**BOTH, "name": "own", "bridge": "cni8", "dns": {"nameservers": ["192.0.2.8"]}}
    conf["ipam"] = {"type": "host-local", "subnet": "10.8.0.0/24"}
    place = pathlib.Path(named.host.machine.directories["config_dir"]) / "net.d" / "20-own.conf"
    place.write_text(json.dumps(conf))
    shipped = {"etc/resolv.conf": (0o644, b"nameserver 192.0.2.3\n")}
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
    image = str(write_image(named.host.machine.base / "r.aci", "example.com/resolv", app, shipped))
    file = named.host.machine.base / "mounted"
    file.write_text("nameserver 192.0.2.4\n")
    mounted = {
        "volumes": [{"name": "resolv", "kind": "host", "source": str(file)}],
        "app": {"image": image, "mounts": [{"volume": "resolv", "target": "/etc/resolv.conf"}]},
    }
    for options, server in (
        ({"app": {"image": image}}, "192.0.2.53"),
        ({"app": {"image": image}, "dns": ["none"]}, "192.0.2.3"),
        ({"app": {"image": image}, "dns": ["host"]}, "192.0.2.53"),
        (mounted, "192.0.2.4"),
        ({**mounted, "networks": ["own"]}, "192.0.2.8"),
        ({"networks": ["own"], "app": {"image": image}}, "192.0.2.8"),
        ({"networks": ["own"], "app": {"image": image}, "dns": ["192.0.2.5"]}, "192.0.2.5"),
    ):
        pod = named.pod("web", **options)
        assert f"nameserver {server}" in servers(named, pod), options
        set_servers(named, "nameserver 192.0.2.53\n")
