# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with a network of both families, and looks into its pods: what names mean there."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

SECONDS = 30.0
BOTH = {
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


class Named:
    """A host with a network of both families, and looks into its pods."""

    def __init__(self, host: Host) -> None:
        self.host = host
        directory = pathlib.Path(host.machine.directories["config_dir"]) / "net.d"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "10-br.conf").write_text(json.dumps(BOTH))

    def pod(self, name: str, **options: Any) -> dict[str, Any]:
        done = self.host.pod(name=name, **{"networks": ["br"], **options})
        assert not done.get("failed"), done
        found: dict[str, Any] = done["pod"]
        return found

    def inside(self, pod: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of busybox in the mount, network and host name of an app."""
        root = self.root(pod)
        spaces = ["nsenter", "--mount", "--net", f"--root={root}", f"--target={pod['pid']}"]
        return self.host.machine.run(*spaces, "/bin/busybox", *words, check=False)

    def root(self, pod: dict[str, Any]) -> str:
        (app,) = (each["name"] for each in pod["apps"])
        pids = self.host.machine.run("pgrep", "-P", str(pod["pid"])).stdout.split()
        assert app
        return f"/proc/{pids[0]}/root"

    def finds(self, pod: dict[str, Any], name: str, family: str = "-4") -> str:
        """The address that a name has in a pod, "" for none."""
        said = self.inside(pod, "ping", family, "-c", "1", "-W", "1", name)
        found = re.match(r"PING \S+ \(([^)]*)\)", said.stdout)
        return found[1] if found else ""

    def reaches(self, pod: dict[str, Any], name: str, family: str = "-4") -> bool:
        """Whether what is called so answers."""
        return self.inside(pod, "ping", family, "-c", "1", "-W", "5", name).returncode == 0

    def addresses(self, pod: dict[str, Any]) -> tuple[str, str]:
        """The addresses of a pod in its network, of both families."""
        path = self.host.machine.data / "pods" / "run" / pod["uuid"] / "net-info.json"
        (info,) = json.loads(path.read_text())
        return info["ip"], info["ip6"][0].partition("/")[0]

    def hosts(self, pod: dict[str, Any]) -> list[str]:
        """The lines of the hosts file of a pod without comments, as far as they are of networks."""
        text = self.inside(pod, "cat", "/etc/hosts").stdout
        lines = (line.strip() for line in text.splitlines())
        return sorted(line for line in lines if line.startswith(("10.7.", "fd00:7:")))


def eventually(true: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
