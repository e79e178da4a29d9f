# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image says what a fetch has cost, and tells the log of the host how far a long one is."""

from __future__ import annotations

import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    make_aci,
    serving,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)

pytestmark = pytest.mark.root


class Slow:
    """A clock by which every look takes 4 seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 4.0
        return self.now

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(name="web")
def _web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    base = str(tmp_path)
    paths = Paths(
        data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib", log=f"{base}/log"
    )
    return Host.here(paths)


@pytest.fixture(name="log")
def _log(host: Host) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        log.bind(host.paths.log)
        yield log


def told(log: socket.socket) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(log.recv(4096).decode().partition("]: ")[2])
        except BlockingIOError:
            return lines


def task(host: Host, name: str, *, check: bool = False) -> dict[str, Any]:
    given = Fields({"name": name, "insecure_options": ["image"]}, "")
    return dict(run.TASKS["pod_image"](host, given, check))


def test_a_fetch_of_a_url_is_counted_and_the_next_task_has_nothing_to_count(
    host: Host, web: Web, log: socket.socket
) -> None:
    body = make_aci(content=os.urandom(1_000_000))
    web.answer = lambda *_request: (200, {}, body)
    planned = task(host, f"{web.url}/a.aci", check=True)
    assert (planned["bytes"], planned["seconds"]) == (0, 0)
    result = task(host, f"{web.url}/a.aci")
    assert result["bytes"] == len(body)
    assert 0 < result["seconds"] < 60
    again = task(host, f"{web.url}/a.aci")
    assert (again["changed"], again["bytes"], again["seconds"]) == (False, 0, 0)
    assert told(log) == [], "it took no time"


def test_layers_of_several_processes_are_counted_and_known_ones_are_not(host: Host, web: Web) -> None:
    registry = FakeRegistry(web)
    layers = [archive(**{f"f{number}": os.urandom(200_000)}) for number in range(4)]
    registry.image(*layers[:3], tag="one")
    registry.image(*layers, tag="two")
    first = task(host, f"docker://{web.authority}/app:one")
    assert first["bytes"] == sum(map(len, layers[:3]))
    assert task(host, f"docker://{web.authority}/app:two")["bytes"] == len(layers[3])


def test_the_log_is_told_how_far_it_is_and_no_secret(host: Host, web: Web, log: socket.socket) -> None:
    body = make_aci(content=os.urandom(2_000_000))
    web.answer = lambda *_request: (200, {}, body)
    task(host.replace(clock=Slow()), f"{web.url}/a.aci?token=hunter2")
    lines = told(log)
    assert lines
    for line in lines:
        far = r"\d\.\d MB/2\.0 MB, \d+ kB/s(, \d+ \w+ left)?|\d+ kB/2\.0 MB, \d+ kB/s(, \d+ \w+ left)?"
        assert re.fullmatch(rf'image "{web.url}/a\.aci": Downloading ACI: ({far})', line)


def test_the_log_is_told_of_layers(host: Host, web: Web, log: socket.socket) -> None:
    registry, layer = FakeRegistry(web), archive(f=os.urandom(2_000_000))
    registry.image(layer)
    task(host.replace(clock=Slow()), registry.reference)
    short = digest_of(layer)[len("sha256:") :][:12]
    lines = told(log)
    assert lines
    assert all(f'app:latest": Downloading {short}: ' in line for line in lines)
