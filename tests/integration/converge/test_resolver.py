# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods find each other through a resolver of the administrator, which reads the names that the host publishes."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.converge.namelab import Named, eventually
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT

SERVER = "10.7.0.1"


@pytest.fixture
def named(host: Host) -> Named:
    return Named(host)


def podctl_of(named: Named) -> list[str]:
    machine = named.host.machine
    where = [f"--dir={machine.data}", f"--local-config={machine.directories['config_dir']}"]
    return [str(CHECKOUT / "bin" / "podctl"), *where, "--insecure-options=image"]


@contextlib.contextmanager
def dnsmasq(named: Named, published: str) -> Iterator[None]:
    """A resolver on the gateway of the pods, as the documentation has it."""
    machine = named.host.machine
    words = [
        *(
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--user=nobody",
        ),
        *(
            f"--listen-address={SERVER}",
            "--bind-dynamic",
            f"--hostsdir={published}",
            f"--pid-file={machine.base}/dns",
        ),
    ]
    server = subprocess.Popen(machine.inside(*words), stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def published(named: Named) -> Iterator[str]:
    """The place of names for resolvers, which the administrator makes."""
    machine = named.host.machine
    found = Paths(leases=str(machine.base / "leases")).published_names
    machine.run("mkdir", "-p", "-m", "755", found)
    yield found
    assert machine.run("ls", "-A", found).stdout == ""  # the pods of the test have gone


def test_pods_find_each_other_through_a_resolver(named: Named, published: str) -> None:
    asks = {"dns": [SERVER], "hosts_from_host": True}
    asking = named.pod("asking", **asks)
    with dnsmasq(named, published):
        web = named.pod("web", aliases=["www.example.com", "front"])
        four, six = named.addresses(web)
        # Its file is the host's, so that what it finds it has from the resolver.
        assert "web" not in named.inside(asking, "cat", "/etc/hosts").stdout
        eventually(lambda: named.finds(asking, "web") == four)
        for name in ("web", "www.example.com", "front", "http.web"):
            assert (named.finds(asking, name), named.finds(asking, name, "-6")) == (four, six)
        assert named.reaches(asking, "front", "-6")
        assert named.finds(asking, "nobody") == ""
        said = named.inside(web, "nslookup", "asking", SERVER).stdout
        assert re.search(rf"^Address.*: {re.escape(named.addresses(asking)[0])}$", said, re.MULTILINE), said
        of_podctl = [
            "--net=br",
            f"--dns={SERVER}",
            named.host.image,
            "--exec=/bin/sh",
            "--",
            "-c",
            "ping -4 -c 1 front",
        ]
        done = named.host.machine.run(*podctl_of(named), "run", *of_podctl)
        assert f"PING front ({four})" in done.stdout
        named.host.task("pod_run", name="web", state="stopped")
        eventually(lambda: named.finds(asking, "web") == "")
        assert [named.finds(asking, name, "-6") for name in ("web", "front", "http.web")] == ["", "", ""]
        assert named.finds(asking, "asking") == named.addresses(asking)[0]
        again = named.host.task("pod_run", name="web", state="started", insecure_options=["image"])["pod"]
        eventually(lambda: named.finds(asking, "web") == named.addresses(again)[0])
    named.host.machine.clean()
