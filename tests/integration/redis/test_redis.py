# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A real server from a real registry: fetched, run with a limit, a volume and a port, used by its own protocol."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import Machine, new_machine
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import eventually
from ansible_collections.stagecraft.pods.tests.integration.redis.build import RedisImage, redis_image

ADDRESS = "127.0.0.1:5000"
REFERENCE = f"docker://{ADDRESS}/team/redis:7"
LIMIT = 128 * 1024 * 1024
REGISTRY = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{root}"}}}}
http: {{addr: "{address}"}}
"""
# A client of redis: one line for each command and each answer.
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as s:
    file = s.makefile("rwb")
    for command in sys.argv[3:]:
        file.write(command.encode() + b"\\r\\n")
        file.flush()
        line = file.readline().strip()
        print((file.readline().strip() if line[:1] == b"$" and line != b"$-1" else line).decode())
"""


class Redis:
    """A machine with a registry that holds the image."""

    def __init__(self, machine: Machine, image: RedisImage) -> None:
        self.machine, self.image = machine, image

    def pod(self, name: str, port: int, **app: Any) -> dict[str, Any]:
        """The options of a pod with a volume of its name."""
        return {
            "name": name,
            "apps": [{"image": REFERENCE, "name": "redis", "memory": "128Mi", **app}],
            "volumes": [{"name": "volume-var-lib-redis", "volume": name}],
            "ports": [{"name": "6379-tcp", "host_port": port}],
            "insecure_options": ["image"],
        }

    def volume(self, name: str) -> dict[str, Any]:
        return {"name": name, "mode": "0700", "uid": self.image.uid, "gid": self.image.gid}

    def ask(self, port: int, *commands: str, host: str = "127.0.0.1") -> list[str]:
        """The answer of redis, once it listens."""
        argv = [sys.executable, "-I", "-S", "-c", CLIENT, host, str(port), *commands]
        end = time.monotonic() + 20
        while (done := self.machine.run(*argv, check=False)).returncode:
            assert time.monotonic() < end, done.stderr
            time.sleep(0.1)
        return str(done.stdout).splitlines()

    def memory_limit(self, pid: int) -> int:
        """The kernel's limit of the process of an app."""
        lines = self.machine.run("cat", f"/proc/{pid}/cgroup").stdout.splitlines()
        groups = {kinds: path.lstrip("/") for _id, kinds, path in (line.split(":", 2) for line in lines)}
        kinds = "memory" if "memory" in groups else ""
        file = f"memory/{groups[kinds]}/memory.limit_in_bytes" if kinds else f"{groups[kinds]}/memory.max"
        return int(pathlib.Path("/sys/fs/cgroup", file).read_text())


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("docker-registry", "skopeo", "mmdebstrap"))):
        pytest.skip("needs root, docker-registry, skopeo and mmdebstrap")
    image = redis_image()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, new_machine(pathlib.Path(folder)) as machine:
        config = machine.base / "registry.yml"
        config.write_text(REGISTRY.format(root=machine.base / "registry", address=ADDRESS))
        argv = ["nsenter", f"--net=/proc/{machine.init}/ns/net", "docker-registry", "serve", str(config)]
        with (
            (machine.base / "registry.log").open("wb") as log,
            subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as registry,
        ):
            try:
                machine.task("pod_runtime")
                made = Redis(machine, image)
                made.ask(5000)
                image.push(machine.run, f"{ADDRESS}/team/redis:7")
                yield made
                machine.clean()
            finally:
                registry.terminate()


def test_it_is_used_restarted_changed_and_removed(redis: Redis) -> None:
    machine = redis.machine
    machine.straight("pod_image", name=REFERENCE, insecure_options=["image"])
    machine.straight("pod_volume", **redis.volume("main"))
    before = machine.snapshot()

    options = redis.pod("main", 16379)
    first = machine.straight("pod_run", **options)["pod"]
    assert redis.ask(16379, "PING", "SET greeting hello") == ["+PONG", "+OK"]
    assert redis.ask(6379, "GET greeting", host=first["networks"][0]["ip"]) == ["hello"]
    [process] = machine.run("pgrep", "-P", str(first["pid"])).stdout.split()
    assert redis.memory_limit(int(process)) == LIMIT
    status = machine.run("cat", f"/proc/{process}/status").stdout
    assert f"Uid:\t{redis.image.uid}\t" in status
    share = machine.run("ls", f"/proc/{process}/root/usr/share").stdout.split()
    assert ("doc" in share, "man" in share) == (True, False)

    again = machine.straight("pod_run", **options)
    assert again["changed"] is False
    assert (again["pod"]["uuid"], again["pod"]["pid"]) == (first["uuid"], first["pid"])
    assert machine.run("pgrep", "-P", str(first["pid"])).stdout.split() == [process]

    restarted = machine.straight("pod_run", **{**options, "state": "restarted"})["pod"]
    assert restarted["pid"] != first["pid"]
    assert redis.ask(16379, "GET greeting") == ["hello"]

    changed = machine.straight("pod_run", **redis.pod("main", 16379, args=["--databases", "3"]))
    assert [change["path"] for change in changed["changes"]] == ["apps[0].args"]
    assert changed["pod"]["uuid"] != restarted["uuid"]
    assert redis.ask(16379, "GET greeting", "SELECT 2", "SELECT 3")[:2] == ["hello", "+OK"]

    machine.straight("pod_run", name="main", state="absent")
    eventually(lambda: machine.snapshot() == before)  # the kernel ends network namespaces in the background
    machine.straight("pod_volume", name="main", state="absent", purge_data=True)


def test_one_image_is_two_pods(redis: Redis) -> None:
    machine = redis.machine
    names = {"red": 16380, "blue": 16381}
    for name in names:
        machine.straight("pod_volume", **redis.volume(name))
    pods = [machine.straight("pod_run", **redis.pod(name, port))["pod"] for name, port in names.items()]
    assert [pod["state"] for pod in pods] == ["running", "running"]
    assert len({pod["apps"][0]["image_id"] for pod in pods}) == 1
    assert len({pod["networks"][0]["ip"] for pod in pods}) == 2
    for name, port in names.items():
        assert redis.ask(port, f"SET name {name}") == ["+OK"]
    for name, port in names.items():
        assert redis.ask(port, "GET name") == [name]
    machine.straight("pod_run", name="red", state="absent")
    assert redis.ask(names["blue"], "GET name") == ["blue"]


def test_an_image_that_is_there_needs_no_registry(redis: Redis) -> None:
    machine = redis.machine
    machine.straight("pod_image", name=REFERENCE, insecure_options=["image"])
    machine.run("ip", "link", "set", "lo", "down")
    try:
        assert machine.straight("pod_image", name=REFERENCE, insecure_options=["image"])["changed"] is False
    finally:
        machine.run("ip", "link", "set", "lo", "up")
    name = "docker://127.0.0.1:5001/team/redis:7"  # where no process listens
    assert "127.0.0.1:5001" in machine.failing("pod_image", name=name, insecure_options=["image"])["msg"]
