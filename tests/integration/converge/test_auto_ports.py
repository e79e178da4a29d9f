# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Host ports that the host chooses, over the life of a pod."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

pytestmark = pytest.mark.root
AUTO = {"port": 80, "host_port": "auto"}


def port_of(result: Any) -> int:
    (port,) = result["pod"]["ports"]
    assert (port["protocol"], port["port"], port["count"]) == ("tcp", 80, 1)
    return int(port["host_port"])


def test_a_port_is_chosen_once_and_kept(host: Host) -> None:
    expected = {"path": "ports[0].host_port", "before": None, "after": "auto"}
    for check in (True, False):
        made = host.pod(check=check, ports=[AUTO])
        (told,) = (change for change in made["changes"] if change["path"].startswith("ports"))
        assert expected.items() <= told.items()
    port = port_of(made)
    assert 20000 <= port < 30000
    for check in (True, False):
        again = host.pod(check=check, ports=[AUTO])
        assert (again["changed"], port_of(again)) == (False, port)
    restarted = host.pod(ports=[AUTO], state="restarted")
    assert restarted["pod"]["uuid"] != made["pod"]["uuid"] and port_of(restarted) == port
    foretold = host.pod(check=True, ports=[AUTO], hostname="new")
    replaced = host.pod(ports=[AUTO], hostname="new")
    assert [change["path"] for change in replaced["changes"]] == ["hostname"]
    assert foretold["changes"] == replaced["changes"] and port_of(replaced) == port
    stopped = host.pod(ports=[AUTO], hostname="new", state="stopped")
    assert port_of(stopped) == port
    (info,) = host.task("pod_info")["pods"]
    assert info["ports"] == stopped["pod"]["ports"]
    assert port_of(host.pod(ports=[AUTO], hostname="new")) == port


def test_pods_and_sockets_have_each_their_own(host: Host) -> None:
    made = host.pod(ports=[AUTO])
    first = port_of(made)
    host.task("pod_run", name=made["pod"]["name"], state="absent")
    program = (
        f"import socket; s = socket.create_server(('127.0.0.1', {first})); print(1, flush=True); s.accept()"
    )
    words = host.machine.inside(sys.executable, "-c", program)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        if server.stdout is None or not server.stdout.readline():
            raise AssertionError
        second = port_of(host.pod(ports=[AUTO]))
        server.kill()
    other = port_of(host.pod(name="other", ports=[AUTO]))
    assert len({first, second, other}) == 3


def test_a_number_instead_is_a_change(host: Host) -> None:
    host.pod(ports=[{"port": 80, "host_port": 8080}])
    foretold = host.pod(check=True, ports=[AUTO])
    chosen = host.pod(ports=[AUTO])
    assert chosen["changes"] == foretold["changes"]
    ((before, after),) = [(change["before"], change["after"]) for change in chosen["changes"]]
    assert (before, after) == ("8080", "auto")
    assert 20000 <= port_of(chosen) < 30000
