# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A machine of the test's own, and tasks that run on it as modules run them."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import Machine, new_machine
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image

TASK = str(pathlib.Path(__file__).with_name("task.py"))
# Says what it is, and ends when it is told to.
SERVE = "trap 'exit 0' TERM; echo level $LEVEL; while true; do sleep 0.1; done"


class Host:
    """Tasks on a machine."""

    def __init__(self, machine: Machine, image: str) -> None:
        self.machine, self.image = machine, image

    def start(self, name: str, mode: str, options: dict[str, Any]) -> subprocess.Popen[str]:
        """Begin a task."""
        spaces = [
            f"--{kind}=/proc/{self.machine.init}/ns/{name}"
            for kind, name in (("mount", "mnt"), ("net", "net"), ("pid", "pid"), ("ipc", "ipc"))
        ]
        process = subprocess.Popen(
            ["nsenter", *spaces, "--", sys.executable, "-B", TASK, name, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if process.stdin is None:
            raise AssertionError
        process.stdin.write(json.dumps({**self.machine.directories, **options}))
        process.stdin.close()
        process.stdin = None
        return process

    def task(self, module: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of a task."""
        out, err = self.start(module, "check" if check else "run", options).communicate(timeout=120)
        assert not err, err
        result: dict[str, Any] = json.loads(out)
        assert "Traceback" not in out
        if not result.get("failed"):
            assert bool(result.get("changes")) == result["changed"], result
        return result

    def pod(self, level: str = "debug", *, check: bool = False, **options: Any) -> dict[str, Any]:
        """pod_run of a pod that serves until it is stopped; its app can be changed by app={...}."""
        app = {"image": self.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
        app.update({"environment": {"LEVEL": level}}, **options.pop("app", {}))
        given = {"name": "web", "apps": [app], "insecure_options": ["image"], **options}
        return self.task("pod_run", check=check, **given)

    def absent(self) -> dict[str, Any]:
        """No pod."""
        return self.task("pod_run", name="web", state="absent")


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    image = write_image(
        tmp_path / "busybox.aci",
        "example.com/busybox",
        {
            "exec": ["/bin/sh"],
            "user": "0",
            "group": "0",
            "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
        },
    )
    with new_machine(tmp_path / "machine") as machine:
        yield Host(machine, str(image))
