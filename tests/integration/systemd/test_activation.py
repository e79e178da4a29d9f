# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Sockets of systemd, whose first connection starts a pod: the example of the documentation. Source: behaviours C55."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.playbooks.demo import build_aci
from ansible_collections.stagecraft.pods.tests.integration.hosts import CHECKOUT
from ansible_collections.stagecraft.pods.tests.integration.systemd.unitlab import HOME, Units, units

__all__ = ["units"]

pytestmark = pytest.mark.light
PAGE = CHECKOUT / "docs" / "docsite" / "rst" / "systemd_hosts.rst"
UNIT = re.compile(r"    # (/etc/systemd/system/pod-web\.socket)\n((?:    .*\n|\n)+)")
IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/greeter",
    "app": {
        "exec": ["/usr/bin/python3"],
        "user": "0",
        "group": "0",
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "socketActivated": True}],
    },
}
GREET = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
listening = socket.socket(fileno=3)
while True:
    peer, _address = listening.accept()
    peer.sendall(f"{os.environ['GREETING']} {os.environ['LISTEN_FDS']} {os.environ['LISTEN_FDNAMES']}".encode())
    peer.close()
"""
CONNECT = "import socket; print(socket.create_connection(('127.0.0.1', {}), 60).makefile().read())"
# The interpreter of the host and its libraries, where an app finds them.
LIBRARIES = {"usr": ("/usr", "/usr"), "lib": ("/usr/lib", "/lib"), "lib64": ("/usr/lib64", "/lib64")}


@pytest.fixture
def greeter(units: Units, tmp_path: pathlib.Path) -> str:
    """An image with a socket-activated port, on the host."""
    file = tmp_path / "greeter.aci"
    build_aci.build(str(file), "/bin/busybox", json.dumps(IMAGE))
    copy = ["scp", "-q", "-F", str(units.lab.config), str(file), f"{units.host}:{HOME}"]
    subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)
    return f"{HOME}/greeter.aci"


def web(units: Units, image: str, state: str, greeting: str = "hello") -> dict[str, Any]:
    """Converge the pod of the example."""
    app = {
        "image": image,
        "args": ["-c", GREET],
        "environment": {"GREETING": greeting},
        "mounts": [{"volume": name, "target": target} for name, (_source, target) in LIBRARIES.items()],
    }
    done = units.pod(
        "web",
        app=app,
        state=state,
        networks=["default"],
        ports=[{"name": "http", "host_port": 8080}],
        volumes=[
            {"name": name, "source": source, "read_only": True}
            for name, (source, _target) in LIBRARIES.items()
        ],
    )
    assert not done["failed"], done
    return done


def greeting_of(units: Units, port: int = 8080) -> str:
    return units.ssh("python3", "-c", CONNECT.format(port)).stdout.strip()


@pytest.mark.timeout(300)
@pytest.mark.behaviour("C55")
def test_the_first_connection_starts_the_pod_of_the_documentation(units: Units, greeter: str) -> None:
    found = UNIT.search(PAGE.read_text())
    assert found
    path, text = found[1], found[2]
    units.ssh("tee", path, input="".join(f"{line.strip()}\n" for line in text.splitlines()))
    try:
        assert web(units, greeter, "prepared")["changed"]
        assert units.units() == {"pod-web.service": "disabled"}
        units.ssh("systemctl", "enable", "--now", "pod-web.socket")
        assert units.ask("systemctl", "is-active", "pod-web.service") == "inactive"

        assert greeting_of(units) == "hello 1 pod-web.socket"
        assert units.ask("systemctl", "is-active", "pod-web.service") == "active"
        assert "8080" not in units.ask("nft", "list", "ruleset")
        assert web(units, greeter, "prepared")["changed"] is False
        first = units.ask("sh", "-c", "podctl list --full --no-legend | grep running")

        units.ssh("systemctl", "stop", "pod-web.service")
        assert greeting_of(units) == "hello 1 pod-web.socket"
        assert units.ask("sh", "-c", "podctl list --full --no-legend | grep running") != first

        changed = web(units, greeter, "started", "changed")
        assert changed["changed"]
        assert greeting_of(units) == "changed 1 pod-web.socket"
        assert web(units, greeter, "started", "changed")["changed"] is False

        web(units, greeter, "prepared", "last")
        units.lab.power_cycle(units.host)
        units.ask("systemctl", "is-system-running", "--wait")
        assert units.ask("systemctl", "is-active", "pod-web.service") == "inactive"
        assert greeting_of(units) == "last 1 pod-web.socket"
    finally:
        units.ask("systemctl", "disable", "--now", "pod-web.socket")
        units.ask("rm", path)
        units.ask("systemctl", "daemon-reload")


@pytest.mark.timeout(300)
@pytest.mark.behaviour("C55")
def test_a_unit_written_by_hand_has_its_sockets_as_with_rkt(units: Units, greeter: str) -> None:
    """The example of rkt's manual, where --port names the port of the socket."""
    volumes = " ".join(
        f"--volume={name},kind=host,source={source},readOnly=true"
        for name, (source, _target) in LIBRARIES.items()
    )
    mounts = " ".join(
        f"--mount=volume={name},target={target}" for name, (_source, target) in LIBRARIES.items()
    )
    run = f"/usr/local/bin/podctl run --insecure-options=image --port=http:8081 {volumes} {mounts}"
    units.ssh("tee", f"{HOME}/greet.py", input=GREET)
    run += f" --volume=code,kind=host,source={HOME}/greet.py --mount=volume=code,target=/greet.py"
    service = (
        f"[Service]\nExecStart={run} --set-env=GREETING=by-hand {greeter} -- /greet.py\nKillMode=mixed\n"
    )
    units.ssh("tee", "/etc/systemd/system/by-hand.socket", input="[Socket]\nListenStream=8081\n")
    units.ssh("tee", "/etc/systemd/system/by-hand.service", input=service)
    try:
        units.ssh("systemctl", "daemon-reload")
        units.ssh("systemctl", "start", "by-hand.socket")
        assert greeting_of(units, 8081) == "by-hand 1 by-hand.socket"
        assert "8081" not in units.ask("nft", "list", "ruleset")
        units.ssh("systemctl", "stop", "by-hand.socket", "by-hand.service")
        assert units.ask("systemctl", "show", "-P", "Result", "by-hand.service") == "success"
    finally:
        units.ask("systemctl", "stop", "by-hand.socket", "by-hand.service")
        units.ask(
            "sh",
            "-c",
            "rm /etc/systemd/system/by-hand.*; systemctl daemon-reload; podctl gc --grace-period=0s",
        )
