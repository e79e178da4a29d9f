# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Every option on one machine: a second run changes nothing, and a change has the impact in the table of options."""

from __future__ import annotations

import json
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host, new_host
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.options.cases import (
    CASES,
    IMAGE,
    OTHER,
    given,
    is_part,
)

APP = {
    "exec": ["/bin/sh", "-c"],
    "user": "0",
    "group": "0",
    "ports": [
        {"name": "http", "protocol": "tcp", "port": 80},
        {"name": "https", "protocol": "tcp", "port": 443},
    ],
}


class Tasks:
    """One process that runs tasks on a machine, one after the other."""

    def __init__(self, host: Host, images: dict[str, str]) -> None:
        self.images = images
        self._host = host
        self._process = host.serve()

    def run(self, module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        asked = {**self._host.machine.directories, **options}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps([module, "check" if check else "run", asked]) + "\n")
        stdin.flush()
        result: dict[str, Any] = json.loads(stdout.readline())
        assert not result.get("failed"), result
        return result

    def pod(self, changes: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        """A pod of these options, which is prepared but not run."""
        options = given(changes, self.images)
        insecure = ["image", *options.pop("insecure_options", [])]
        return self.run("pod_run", check=check, state="prepared", insecure_options=insecure, **options)

    def end(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def tasks(pods: set[str]) -> Iterator[Tasks]:
    # In memory, since a preparation mostly waits for the disk.
    with tempfile.TemporaryDirectory(prefix="stagecraft.pods-options-", dir="/dev/shm") as directory:
        base = pathlib.Path(directory)
        images = {
            IMAGE: str(write_image(base / "web.aci", "example.com/web", APP)),
            OTHER: str(write_image(base / "other.aci", "example.com/web", APP, {"other": (0o644, b"x")})),
        }
        with new_host(base, pods, pathlib.Path(images[IMAGE])) as host:
            running = Tasks(host, images)
            for name in ("one", "two"):
                running.run("pod_volume", name=name)
            for image in images.values():
                running.run("pod_image", name=image, insecure_options=["image"])
            yield running
            running.run("pod_run", name="web", state="absent")
            running.end()


def told(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["path"], change["impact"]) for change in result["changes"]]


@pytest.mark.parametrize("path", CASES)
def test_an_option_is_applied_once_and_its_change_is_what_the_table_says(tasks: Tasks, path: str) -> None:
    before, after = CASES[path]
    if path == "apps[0].selinux" and not pathlib.Path("/sys/fs/selinux/context").exists():
        with pytest.raises(AssertionError, match=r"the SELinux label .* cannot be applied"):
            tasks.pod(after, check=True)
        return
    old = tasks.pod(before)["pod"]["uuid"]
    assert tasks.pod(before)["changed"] is False
    foretold, done = tasks.pod(after, check=True), tasks.pod(after)
    assert told(foretold) == told(done) == ([(path, "recreate")] if is_part(path) else [])
    assert (done["pod"]["uuid"] != old) is is_part(path)
    assert tasks.pod(after)["changed"] is False


def test_short_forms_are_the_pod_of_their_long_forms(host: Host) -> None:
    missing = host.pod(app={"mounts": ["pages:/pages:ro"]})
    assert (missing["failed"], missing["error"]) == (True, "not-found")
    assert missing["msg"].startswith('there is no volume "pages"')
    assert "- stagecraft.pods.pod_volume: {name: pages}" in missing["hint"]
    assert missing["facts"]["where"] == "apps[0].mounts[0]"
    host.task("pod_volume", name="pages")
    absent = host.pod(app={"mounts": ["pages:/pages"]}, mounts=["pages:/all", "/nowhere:/x"])
    assert absent["msg"].startswith("Failed to stat /nowhere")
    assert absent["facts"]["where"] == "mounts[1]"
    declared = host.pod(app={"mounts": ["v:/v"]}, volumes=[{"name": "v", "source": "/nowhere"}])
    assert declared["facts"]["where"] == "volumes[0].source"
    short = {
        "app": {
            "mounts": ["pages:/pages:ro", "pages:/drafts", f"{host.machine.base}:/base"],
            "user": "0:0",
            "environment": ["LEVEL=debug"],
        },
        "ports": ["8093:80", "127.0.0.1:5300-5302:53-55/udp"],
    }
    made = host.pod(**short)
    assert not made.get("failed"), made
    base = str(host.machine.base)
    name = base.strip("/").replace("/", "-").replace("_", "-").lower()
    again = host.pod(
        app={
            "mounts": [
                {"volume": "pages", "target": "/pages", "read_only": True},
                {"volume": "pages", "target": "/drafts"},
                {"volume": name, "target": "/base"},
            ],
            "user": "0",
            "group": "0",
        },
        volumes=[{"name": "pages", "volume": "pages"}, {"name": name, "source": base}],
        ports=[
            {"name": "http", "host_port": 8093},
            {"host_ip": "127.0.0.1", "host_port": 5300, "port": 53, "protocol": "udp", "count": 3},
        ],
    )
    assert (again["changed"], again["pod"]["uuid"]) == (False, made["pod"]["uuid"])
    rules = host.machine.run("nft", "list", "map", "ip", "stagecraft_pods", "forwards_at").stdout
    for number in range(3):
        assert re.search(rf"127\.0\.0\.1 \. udp \. {5300 + number} .*: [0-9.]+ \. {53 + number}\b", rules), (
            rules
        )
    fewer = {**short, "ports": ["8093:80"], "app": {**short["app"], "mounts": ["pages:/pages"]}}  # type: ignore[dict-item]
    assert sorted(change["path"] for change in host.pod(check=True, **fewer)["changes"]) == [
        "apps[0].mounts./base",
        "apps[0].mounts./drafts",
        "apps[0].mounts[0].read_only",
        "ports.53",
        f"volumes.{name}",
    ]
