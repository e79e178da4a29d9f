# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Downloads whose process is killed or whose server is lost, and the next ones, which ask for the rest alone."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time
import warnings
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, resume
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import partial
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.sitelab import Site

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B22", "B23")]
Aci = Callable[..., bytes]
SIZE, HALF = 3_000_000, 1_500_000
CHUNK = 256 << 10
PODCTL = pathlib.Path(__file__).parents[6] / "bin" / "podctl"
TAGGED = {"ETag": '"1"'}
UPDATED = "cannot use cached partial download, resource updated."
UNSUPPORTED = "range request unsupported."


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep from the first byte on: these downloads take no time."""
    monkeypatch.setattr(partial, "WORTH_SECONDS", 0.0)


def fetch(host: Host, text: str, policy: str = "new", *waived: str) -> list[str]:
    lines: list[str] = []
    reference = parse_reference(text)
    fetching.fetch(host, reference, FetchPolicy(policy, ("image", *waived)), lines.append)
    image = find.lookup(host, reference)
    assert image and find.is_whole(host, image)
    return lines


def kept(host: Host) -> list[pathlib.Path]:
    """The bodies that are there."""
    return sorted(pathlib.Path(host.paths.partials).glob("*/body"))


def killed(host: Host, web: Web, text: str, *waived: str, beside: int = 0) -> int:
    """Kill a process that fetches when half of it has come; how much is kept. beside: how many small ones may be."""
    web.stalls_after = HALF
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if not child:
        try:
            fetch(host, text, "new", *waived)
        finally:
            os._exit(1)
    end = time.monotonic() + 30
    # A small one beside it is kept until it is complete.
    while len(kept(host)) != 1 or sum(body.stat().st_size for body in kept(host)) < HALF - CHUNK:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    web.stalls_after = 0
    del web.asked[:]
    # A small one may have begun just before the kill.
    *smaller, body = sorted(kept(host), key=lambda each: each.stat().st_size)
    assert len(smaller) <= beside
    with open(body.parent / "answer", "rb"):
        fd = os.open(body.parent, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)  # a worker ends just after its parent
        os.close(fd)
    return body.stat().st_size


def ranged(body: bytes, headers: dict[str, str], given: dict[str, str]) -> Reply:
    """The answer of a server that knows ranges."""
    is_same = "if-range" not in headers or headers["if-range"] in given.values()
    if "range" not in headers or not is_same:
        return 200, given, body
    start = int(headers["range"][len("bytes=") : -1])
    if start >= len(body):
        return 416, {"Content-Range": f"bytes */{len(body)}"}, b""
    return 206, {**given, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:]


def ranges(web: Web) -> list[str]:
    return [headers.get("range", "") for _method, _path, headers in web.asked]


class Resource:
    """What a server has at all URLs, and may change."""

    def __init__(self, web: Web, body: bytes, given: dict[str, str]) -> None:
        self.body, self.given, self.knows_ranges = body, given, True
        web.answer = self.answer

    def answer(self, _method: str, _path: str, headers: dict[str, str]) -> Reply:
        if not self.knows_ranges:
            return 200, self.given, self.body
        return ranged(self.body, headers, self.given)


@pytest.fixture(name="body")
def _body(aci: Aci) -> bytes:
    return aci(content=os.urandom(SIZE))


@pytest.fixture(name="resource")
def _resource(web: Web, body: bytes) -> Resource:
    return Resource(web, body, TAGGED)


@pytest.mark.parametrize(
    "given",
    [TAGGED, {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}],
    ids=["by its tag", "by its time"],
)
def test_after_a_kill_the_rest_of_a_url_is_asked_for(
    host: Host, web: Web, resource: Resource, given: dict[str, str]
) -> None:
    resource.given = given
    size = killed(host, web, f"{web.url}/a.aci")
    lines = fetch(host, f"{web.url}/a.aci")
    ((_method, _path, headers),) = web.asked
    assert (headers["range"], headers["if-range"]) == (f"bytes={size}-", next(iter(given.values())))
    assert HALF - CHUNK <= size <= HALF
    assert UPDATED not in lines
    assert files.entries(host.paths.partials) == []


@pytest.mark.parametrize("waived", ["tls", "http"])
def test_what_a_server_sent_unchecked_is_not_continued_by_one_that_is_checked(
    host: Host, web: Web, resource: Resource, waived: str
) -> None:
    """What stood in its place knows its tag as well. The same option goes on where it was."""
    size = killed(host, web, f"{web.url}/a.aci", waived)
    fetch(host, f"{web.url}/a.aci")
    assert ranges(web) == [""]
    del web.asked[:]
    fetch(host, f"{web.url}/a.aci", "update", waived)
    assert ranges(web) == [f"bytes={size}-"]


def test_after_a_kill_the_rest_of_a_name_is_asked_for(trusting: Host, site: Site, aci: Aci) -> None:
    image, web, text = site.image(aci, os.urandom(SIZE)), site.secure, f"{site.name}:1.0"
    site.put(image)
    pages = web.answer

    def answer(method: str, path: str, headers: dict[str, str]) -> Reply:
        status, given, body = pages(method, path, headers)
        return ranged(body, headers, given) if path.endswith(".aci") else (status, given, body)

    web.answer = answer
    size = killed(trusting, web, text)
    lines: list[str] = []
    fetching.fetch(trusting, parse_reference(text), FetchPolicy(), lines.append)
    assert UPDATED not in lines
    assert [one for one in ranges(web) if one] == [f"bytes={size}-"]
    assert files.entries(trusting.paths.partials) == []


@pytest.mark.parametrize("beside", [(), (archive(small=b"x" * 1000),)], ids=["alone", "with another"])
def test_after_a_kill_the_rest_of_a_layer_is_asked_for(host: Host, web: Web, beside: tuple[bytes]) -> None:
    registry, large = FakeRegistry(web), archive(f=os.urandom(SIZE))
    registry.image(large, *beside)

    def habit(_method: str, path: str, headers: dict[str, str]) -> Reply | None:
        return ranged(large, headers, {}) if path.endswith(digest_of(large)) else None

    registry.habit = habit
    size = killed(host, web, registry.reference, beside=len(beside))
    lines = fetch(host, registry.reference)
    assert UNSUPPORTED not in lines
    layers = tuple(map(digest_of, (large, *beside)))
    assert all(path.endswith(layers) for _method, path, headers in web.asked if headers.get("range"))
    asked = [headers.get("range") for _method, path, headers in web.asked if path.endswith(digest_of(large))]
    assert asked == [f"bytes={size}-"]
    assert files.entries(host.paths.partials) == []


def test_podctl_that_is_killed_goes_on_by_the_rules_of_what_is_worth_it(
    host: Host, web: Web, aci: Aci
) -> None:
    """The first 4 MiB take a third of a second at least: all would take more than five."""
    resource = Resource(web, aci(content=os.urandom(64 << 20)), TAGGED)
    web.stalls_after, web.pause = 8 << 20, 0.03
    paths = host.paths
    argv = [PODCTL, f"--dir={paths.data}", f"--local-config={paths.local_config}", "--insecure-options=image"]
    with subprocess.Popen([*argv, "fetch", f"{web.url}/a.aci"], stderr=subprocess.DEVNULL) as first:
        end = time.monotonic() + 60
        while sum(body.stat().st_size for body in kept(host)) < (7 << 20):
            assert time.monotonic() < end
            time.sleep(0.01)
        first.kill()
    (body,) = kept(host)
    size = body.stat().st_size
    web.stalls_after = 0
    del web.asked[:]
    again = [*argv, "--debug", "fetch", f"{web.url}/a.aci"]
    said = subprocess.run(again, check=True, capture_output=True, text=True)
    assert ranges(web) == [f"bytes={size}-"]
    assert hashlib.sha512(resource.body).hexdigest()[:32] in said.stdout
    assert kept(host) == []


def test_what_has_changed_is_not_mixed(host: Host, web: Web, resource: Resource, aci: Aci) -> None:
    killed(host, web, f"{web.url}/a.aci")
    resource.body, resource.given = aci(content=os.urandom(SIZE)), {"ETag": '"2"'}
    lines = fetch(host, f"{web.url}/a.aci")
    assert UPDATED in lines
    assert len(web.asked) == 1


def test_a_rest_of_another_version_is_not_taken(
    host: Host, web: Web, resource: Resource, body: bytes
) -> None:
    size = killed(host, web, f"{web.url}/a.aci")
    resource.given = {"ETag": '"2"'}
    plain = web.answer

    def careless(method: str, path: str, headers: dict[str, str]) -> Reply:
        headers.pop("if-range", None)
        headers.update({"if-range": '"2"'} if "range" in headers else {})
        return plain(method, path, headers)

    web.answer = careless
    assert UPDATED in fetch(host, f"{web.url}/a.aci")
    assert ranges(web) == [f"bytes={size}-", ""]
    assert len(body) > size


def test_a_server_without_ranges_sends_all_again(host: Host, web: Web, resource: Resource) -> None:
    killed(host, web, f"{web.url}/a.aci")
    resource.knows_ranges = False
    assert UNSUPPORTED in fetch(host, f"{web.url}/a.aci")
    assert len(web.asked) == 1


def test_a_resource_that_has_shrunk_is_fetched_whole(
    host: Host, web: Web, resource: Resource, aci: Aci
) -> None:
    size = killed(host, web, f"{web.url}/a.aci")
    resource.body = aci(content=b"small")
    assert UPDATED in fetch(host, f"{web.url}/a.aci")
    assert ranges(web) == [f"bytes={size}-", ""]


def test_what_has_no_validator_is_not_kept(host: Host, web: Web, resource: Resource) -> None:
    resource.given = {"ETag": 'W/"1"'}
    fetch_broken(host, web, f"{web.url}/a.aci")
    assert kept(host) == []


def fetch_broken(host: Host, web: Web, text: str) -> None:
    """Fetch from a server that goes away midway."""
    answer = web.answer

    def breaking(method: str, path: str, headers: dict[str, str]) -> Reply:
        status, given, body = answer(method, path, headers)
        web.breaks_after = HALF if len(body) > HALF else 0
        return (503, {}, b"") if "range" in headers else (status, given, body)

    web.answer = breaking
    with pytest.raises(Unreachable):
        fetch(host, text)
    web.answer, web.breaks_after = answer, 0
    del web.asked[:]


@pytest.fixture(name="impatient")
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "_PAUSES", (0.01,))


@pytest.mark.usefixtures("impatient")
def test_a_broken_download_goes_on_too(host: Host, web: Web, resource: Resource) -> None:
    fetch_broken(host, web, f"{web.url}/a.aci")
    (body,) = kept(host)
    assert json.loads((body.parent / "answer").read_text())["length"] == len(resource.body)
    size = body.stat().st_size
    assert size == HALF
    fetch(host, f"{web.url}/a.aci")
    assert ranges(web) == [f"bytes={size}-"]


@pytest.mark.usefixtures("impatient")
def test_what_was_kept_whole_is_asked_for_its_last_byte(host: Host, web: Web, resource: Resource) -> None:
    fetch_broken(host, web, f"{web.url}/a.aci")
    (place,) = kept(host)
    place.write_bytes(resource.body)
    fetch(host, f"{web.url}/a.aci")
    assert ranges(web) == [f"bytes={len(resource.body) - 1}-"]


def poisoned(host: Host) -> None:
    """Overwrite what is kept."""
    (body,) = kept(host)
    body.write_bytes(os.urandom(body.stat().st_size))


def test_a_damaged_part_of_a_url_spoils_nothing(host: Host, web: Web, resource: Resource) -> None:
    size = killed(host, web, f"{web.url}/a.aci")
    poisoned(host)
    lines = fetch(host, f"{web.url}/a.aci")
    assert [line for line in lines if "that was kept" in line or "what was kept" in line]
    assert ranges(web) == [f"bytes={size}-", ""]
    assert len(resource.body) > size


def test_a_damaged_part_of_a_layer_spoils_nothing(host: Host, web: Web) -> None:
    registry, large = FakeRegistry(web), archive(f=os.urandom(SIZE))
    registry.image(large)
    registry.habit = lambda _method, path, headers: (
        ranged(large, headers, {}) if path.endswith(digest_of(large)) else None
    )
    killed(host, web, registry.reference)
    (body,) = kept(host)
    with open(body, "r+b") as file:
        file.seek(HALF // 2)
        file.write(b"another byte")
    lines = fetch(host, registry.reference)
    assert f"the part of layer {digest_of(large)} that was kept is damaged; starting again" in lines
    assert files.entries(host.paths.partials) == []


def test_content_that_is_no_image_is_not_kept(host: Host, web: Web, resource: Resource) -> None:
    resource.body = os.urandom(SIZE)
    with pytest.raises(PodError, match=r"checksum|not valid|header"):
        fetch(host, f"{web.url}/a.aci")
    assert kept(host) == []


@pytest.mark.usefixtures("impatient")
def test_what_another_process_writes_is_let_alone(host: Host, web: Web, resource: Resource) -> None:
    fetch_broken(host, web, f"{web.url}/a.aci")
    (body,) = kept(host)
    before = body.read_bytes()
    fd = os.open(body.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        fetch(host, f"{web.url}/a.aci")
    finally:
        os.close(fd)
    assert ranges(web) == [""]
    assert body.read_bytes() == before == resource.body[:HALF]
