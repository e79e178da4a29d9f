# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries that are slow, or redirect: other fetches go on, and no request goes to this machine."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, layers, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import serving
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_as_made,
)

pytestmark = pytest.mark.root
NEW = FetchPolicy("new", ("image",))
ROOT = pathlib.Path(__file__).parents[3]
FUTURE = 10.0**12
SOON = 20.0
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.image.fetch import fetch
from podrt.image.policy import FetchPolicy
from podrt.image.reference import parse_reference
host = Host.here(Paths(data=sys.argv[2], local_config=sys.argv[3])).replace(arch="amd64")
reference, policy = parse_reference(sys.argv[4]), FetchPolicy("new", ("image",))
print(fetch(host, reference, policy, lambda line: print(line, file=sys.stderr, flush=True)).id)
"""


@pytest.fixture(name="good")
def _good():
    with serving() as web:
        yield FakeRegistry(web)


@pytest.fixture(name="slow")
def _slow():
    """A registry whose blobs wait until they are released, and meanwhile come as slowly as is just allowed."""
    with serving() as web:
        registry = FakeRegistry(web)
        registry.let_go = threading.Event()
        yield registry
        registry.let_go.set()


@pytest.fixture(name="host")
def _limited(host, tmp_path):
    """Count a second without bytes as no progress."""
    config = tmp_path / "etc"
    (config / "limits.d").mkdir(parents=True)
    limits = {"rktKind": "limits", "rktVersion": "v1", "rateSeconds": 2, "bytesPerSecond": 1}
    (config / "limits.d/test.json").write_text(json.dumps(limits))
    return host.replace(paths=host.paths.replace(local_config=str(config)), arch="amd64")


def drips(registry, digest):
    """Send one blob a few bytes at a time, to every client."""
    handler = registry.web.server.RequestHandlerClass
    usual = handler.do_GET

    def slow(self):
        if self.command != "GET" or digest not in self.path:
            return usual(self)
        registry.web.asked.append((self.command, self.path, {}))
        data = registry.blobs[digest]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            for at in range(len(data)):
                if registry.let_go.wait(0.2):
                    self.wfile.write(data[at:])
                    return None
                self.wfile.write(data[at : at + 1])
        return None

    handler.do_GET = slow


class Fetch:
    """A process that fetches. lines: its output so far."""

    def __init__(self, host, reference):
        paths = host.paths
        argv = [
            sys.executable,
            "-c",
            CHILD,
            str(ROOT / "plugins/module_utils"),
            paths.data,
            paths.local_config,
        ]
        self.process = subprocess.Popen(
            [*argv, reference], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines, self.found = [], ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def signal(self, number):
        """Send a signal to the process and its workers."""
        pid = self.process.pid
        workers = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, workers)):
            os.kill(each, number)

    def until(self, pattern, within=SOON):
        """Wait for a line, and return it."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            for line in tuple(self.lines):
                if re.search(pattern, line):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} not in {self.lines}")

    def result(self, within=SOON):
        """The ID of the image."""
        assert self.process.wait(timeout=within) == 0, self.lines
        self.found = self.found or self.process.stdout.read().strip()
        return self.found

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(name="spawn")
def _spawn(host):
    fetches = []

    def spawn(reference):
        fetches.append(Fetch(host, reference))
        return fetches[-1]

    yield spawn
    for fetch in fetches:
        fetch.end()


def slow_and_good(slow, good):
    """The same layer in both registries, one of which never sends it."""
    base = archive(base=os.urandom(2000))
    slow.image(base)
    good.image(base, archive(top=b"x"))
    drips(slow, digest_of(base))
    return base


@pytest.mark.finding("attack-F5")
def test_a_registry_that_announces_a_popular_layer_stops_no_other_fetch(host, slow, good, spawn):
    base = slow_and_good(slow, good)
    held = spawn(slow.reference)
    held.until("Downloading layer")
    began = time.monotonic()
    image = fetching.fetch(host, parse_reference(good.reference), NEW, lambda _line: None)
    assert time.monotonic() - began < SOON
    assert image.layers[-1] == digest_of(base)
    assert held.process.poll() is None
    slow.let_go.set()
    held.result()  # it finds the layer in place, and makes its own image
    assert len(index.list_images(host.paths)) == 2
    assert os.listdir(f"{host.paths.cas}/tmp") == []


@pytest.mark.finding("attack-F5")
def test_a_collection_does_not_wait_for_a_slow_fetch_and_leaves_what_it_counts_on(host, slow, good, spawn):
    base, other = archive(base=os.urandom(2000)), archive(other=os.urandom(2000))
    slow.image(base, other)
    drips(slow, digest_of(other))
    good.image(base)
    first = fetching.fetch(host, parse_reference(good.reference), NEW, lambda _line: None)
    held = spawn(slow.reference)
    held.until(f"Downloading layer {digest_of(other)}")
    began = time.monotonic()
    removed = gc.collect(host.paths, lambda: ((), ()), FUTURE)
    assert time.monotonic() - began < SOON
    assert first.id in removed.images
    assert layers.has_layer(host.paths, digest_of(base)), "the fetch in progress counts on it"
    slow.let_go.set()
    held.result()
    asked = [line for line in slow.asked() if digest_of(base) in line]
    assert asked == [], "it was there all the time"
    image = find.lookup(host, parse_reference(slow.reference))
    assert is_as_made(host.paths, trees.tree_of(host.paths, image.id))
    gc.collect(host.paths, lambda: ((), ()), FUTURE)
    assert layers.list_layers(host.paths) == ()


@pytest.mark.finding("attack-F5")
def test_what_a_killed_fetch_counted_on_is_collected(host, slow, good, spawn):
    slow_and_good(slow, good)
    fetching.fetch(host, parse_reference(good.reference), NEW, lambda _line: None)
    base = archive(more=os.urandom(2000))
    slow.image(base)
    drips(slow, digest_of(base))
    held = spawn(slow.reference)
    held.until("Downloading layer")
    held.end()
    gc.collect(host.paths, lambda: ((), ()), FUTURE)
    assert layers.list_layers(host.paths) == ()
    assert os.listdir(f"{host.paths.cas}/tmp") == []


@pytest.mark.finding("attack-F5")
def test_one_who_waits_for_the_same_bytes_is_told_for_whom_and_gets_them(host, slow, good, spawn):
    slow_and_good(slow, good)
    first = spawn(slow.reference)
    first.until("Downloading layer")
    second = spawn(slow.reference)
    line = second.until("waiting for")
    assert f"(pid {first.process.pid})" in line and slow.reference in line
    slow.let_go.set()
    assert second.result() == first.result()
    assert len([line for line in slow.asked() if "GET blobs/" in line]) == 2, (
        "the configuration and the layer once"
    )


@pytest.mark.finding("attack-F5")
def test_one_who_waits_goes_on_alone_when_the_other_makes_no_progress(host, slow, good, spawn):
    slow_and_good(slow, good)
    first = spawn(slow.reference)
    first.until("Downloading layer")
    first.signal(signal.SIGSTOP)
    try:
        second = spawn(slow.reference)
        assert f"(pid {first.process.pid})" in second.until("which makes no progress")
        second.until("Downloading layer")
        slow.let_go.set()
        found = second.result()
    finally:
        first.signal(signal.SIGCONT)
    assert first.result() == found
    assert os.listdir(f"{host.paths.cas}/tmp") == []


# A network namespace with an address that only the test has: a registry that is not on this machine.

ELSEWHERE = "198.51.100.7"
NETNS = """
import contextlib, http.server, json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from podrt.errors import PodError
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.image.fetch import fetch
from podrt.image.policy import FetchPolicy
from podrt.image.reference import parse_reference
where, how, seen = sys.argv[3], sys.argv[4], []

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        inner = self.server.server_address[0] != "ELSEWHERE"
        if inner:
            seen.append([self.path, self.headers.get("Authorization")])
            self.send_response(200)
        elif how == "redirect":
            self.send_response(302)
            self.send_header("Location", where + "/internal")
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="{where}/internal"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET
    log_message = lambda *_other: None

for address, port in (("ELSEWHERE", 5000), ("0.0.0.0", 80), ("169.254.1.1", 81)):
    server = http.server.ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
paths = Paths(data=sys.argv[2], local_config=sys.argv[2] + "-etc", system_config=sys.argv[2] + "-lib")
host = Host.here(paths)
if how == "login":
    os.makedirs(f"{paths.local_config}/auth.d", 0o700)
    login = {"rktKind": "dockerAuth", "rktVersion": "v1", "registries": ["ELSEWHERE:5000"]}
    login["credentials"] = {"user": "user", "password": "secret"}
    with open(f"{paths.local_config}/auth.d/login.json", "x", opener=lambda *to: os.open(*to, 0o600)) as file:
        json.dump(login, file)
policy = FetchPolicy("new", ("image", "http"))
try:
    fetch(host, parse_reference("docker://ELSEWHERE:5000/app"), policy, print)
except PodError as err:
    print(json.dumps([type(err).__name__, str(err), seen]))
"""


@pytest.mark.finding("attack-F12", "http-F1")
@pytest.mark.parametrize("how", ["redirect", "token", "login"])
@pytest.mark.parametrize(
    "where", ["http://127.0.0.1", "http://localhost", "http://169.254.1.1:81", "http://2130706433"]
)
def test_a_registry_elsewhere_cannot_have_this_machine_ask_itself(tmp_path, how, where):
    script = NETNS.replace("ELSEWHERE", ELSEWHERE)
    setup = (
        f"ip link set lo up && ip address add {ELSEWHERE}/32 dev lo && ip address add 169.254.1.1/32 dev lo"
    )
    argv = ["unshare", "--net", "sh", "-c", f'{setup} && exec "$@"', "sh", sys.executable, "-c", script]
    done = subprocess.run(
        [*argv, str(ROOT / "plugins/module_utils"), str(tmp_path / "data"), where, how],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    kind, message, seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == [], "nothing in here was asked"
    assert "secret" not in message
    if how == "login":
        # Refused before: neither password nor token goes out in clear text, nor where a plain answer says.
        assert kind == "Unreachable" and "refusing to send credentials" in message
    else:
        assert kind == "Untrusted" and "a host elsewhere led to" in message
