# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A host with systemd, the tasks on it and the units of its pods."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.playbooks.demo import build_aci
from ansible_collections.stagecraft.pods.tests.integration.hosts import CHECKOUT, Lab

IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/shell",
    "app": {"exec": ["/bin/sh"], "user": "0", "group": "0"},
}
SERVE_ON = "while :; do sleep 0.1; done"
SERVE = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


TASK = pathlib.Path(__file__).parents[1] / "task.py"
HOME = "/root"


class Units:
    """Tasks on one host of the lab, and questions to it."""

    def __init__(self, lab: Lab, aci: pathlib.Path) -> None:
        self.lab = lab
        self.host = lab.hosts(3)[2]  # the first two are bare before and after each user
        copy = ["scp", "-q", "-F", str(lab.config), str(aci), str(TASK), f"{self.host}:{HOME}"]
        subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)

    def module(self, module: str, /, **options: Any) -> None:
        """Run a module like Ansible."""
        words = ("all", "-i", f"{self.host},", "-m", f"stagecraft.pods.{module}", "-a", json.dumps(options))
        subprocess.run(
            [str(pathlib.Path(sys.executable).with_name("ansible")), *words],
            cwd=CHECKOUT,
            env=self.lab.ansible_env(),
            stdin=subprocess.DEVNULL,
            check=True,
            capture_output=True,
            timeout=280,
        )

    def task(self, module: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of a task on the installed runtime. Ansible does the same, but takes longer."""
        runtime = shlex.quote(options.get("data_dir", "/var/lib/pods")) + "/runtime/*"
        words = f"python3 {HOME}/{TASK.name} {module} {'check' if check else 'run'}"
        done = self.ssh("sh", "-c", f"{words} {runtime} {runtime}/lib", input=json.dumps(options))
        return {"failed": False, **json.loads(done.stdout)}

    def pod(self, name: str, script: str = SERVE, *, check: bool = False, **options: Any) -> dict[str, Any]:
        app = {"image": f"{HOME}/shell.aci", "name": "app", "args": ["-c", script], **options.pop("app", {})}
        given = {"insecure_options": ["image"], "networks": ["none"], "stop_timeout": 2}
        given.update({"update": {"min_uptime": 0}, **options})
        return self.task("pod_run", check=check, name=name, apps=[app], **given)

    def absent(self, name: str, **options: Any) -> dict[str, Any]:
        return self.task("pod_run", name=name, state="absent", **options)

    def clean(self) -> None:
        """Remove every pod."""
        for pod in self.task("pod_info", gather=["pods"])["pods"]:
            self.absent(pod["name"])

    def ssh(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        return self.lab.ssh(self.host, *command, shared=True, **options)

    def ask(self, *command: str) -> str:
        """The output of a command on the host, with any exit status."""
        return self.ssh(*command, check=False).stdout.strip()

    def units(self) -> dict[str, str]:
        """Every unit of a pod that is on the host, and whether it is enabled."""
        listed = self.ask("systemctl", "list-unit-files", "--no-legend", "pod-*.service")
        return {words[0]: words[1] for words in map(str.split, listed.splitlines())}

    def wait_for_end(self, unit: str) -> None:
        """Wait until a unit has ended: one that still releases its resources is not active either."""
        over = f"systemctl is-active {unit} | grep -qxE 'inactive|failed'"
        self.ask("sh", "-c", f"for turn in $(seq 300); do {over} && exit; sleep 0.1; done")

    def failed(self) -> str:
        return self.ask("systemctl", "list-units", "--failed", "--no-legend", "--plain", "pod-*")


@pytest.fixture
def units(lab: Lab, tmp_path: pathlib.Path) -> Iterator[Units]:
    aci = tmp_path / "shell.aci"
    build_aci.build(str(aci), "/bin/busybox", json.dumps(IMAGE))
    found = Units(lab, aci)
    found.module("pod_runtime", podctl="/usr/local/bin/podctl")
    yield found
    found.clean()
