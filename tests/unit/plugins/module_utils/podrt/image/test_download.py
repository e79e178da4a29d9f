# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Layers by workers: how they fail, and what is left when one is killed."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import signal
import threading

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, layers
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.killed import (
    killed_at_effects,
)

POLICY = FetchPolicy("new", ("image",))
ARCHIVES = tuple(archive(**{f"f{number}": bytes([number]) * 3000, "g": b"g"}) for number in range(4))


@pytest.fixture(name="registry")
def _registry(web):
    registry = FakeRegistry(web)
    registry.image(*ARCHIVES)
    return registry


def fetch(host, registry, progress=lambda _line: None):
    return fetching.fetch(host, parse_reference(registry.reference), POLICY, progress)


def workers():
    """The children of this process."""
    found = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread of the server has ended
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def open_in(directory):
    """The files in a directory that this process has open."""
    links = (pathlib.Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return [path for path in (os.readlink(link) for link in links if link.is_symlink()) if directory in path]


def test_each_layer_is_had_once_and_by_several_processes(host, registry):
    by = set()

    def note(_method, path, _headers):
        if "/blobs/" in path:
            by.update(workers())

    registry.habit = note
    said = []
    image = fetch(host, registry, said.append)
    assert find.is_whole(host, image)
    assert len(by) > 1
    assert len([line for line in said if line.startswith("Downloading layer")]) == 4
    asked = [line for line in registry.asked() if "blobs/" in line]
    assert len(asked) == len(set(asked)) == 5, "the configuration, and each layer"
    assert workers() == []


def test_a_worker_that_is_killed_fails_the_fetch_and_the_next_one_goes_on(host, registry):
    victim = digest_of(ARCHIVES[2])

    def kill(_method, path, _headers):
        if victim in path and registry.habit is kill:
            registry.habit = lambda *_given: None
            for pid in workers():
                with contextlib.suppress(ProcessLookupError):  # one of a smaller layer has ended meanwhile
                    os.kill(pid, signal.SIGKILL)

    registry.habit = kill
    with pytest.raises(HostFailure, match="a process for a layer has failed: it was killed by signal 9"):
        fetch(host, registry)
    assert workers() == []
    assert index.list_ids(host.paths) == ()
    assert files.entries(host.paths.workspaces) == []
    assert open_in(host.paths.data) == []
    assert find.is_whole(host, fetch(host, registry))


@pytest.mark.slow
def test_wherever_a_worker_is_killed_nothing_is_half_done(host, registry):
    kills = 0
    for told in killed_at_effects(lambda _tell: fetch(host, registry), 1, workers=True):
        if not told:
            continue  # it was past their last effect
        kills += 1
        assert index.list_ids(host.paths) == ()
        assert files.entries(host.paths.workspaces) == []
        for layer in ARCHIVES:
            if layers.has_layer(host.paths, digest_of(layer)):
                assert layers.is_as_made(host.paths, digest_of(layer))
        files.remove_tree(host.paths.data)
    assert kills > 10
    assert find.is_whole(host, fetch(host, registry))


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        ((404, {}, b""), NotFound, "^the layer sha256:.* is not in the registry: bad HTTP status code: 404"),
        ((200, {}, b"x"), Untrusted, "has another size than the 10240 bytes that were announced"),
        ((200, {}, bytes(10240)), Untrusted, "has another digest"),
    ],
    ids=["404", "short", "other"],
)
def test_the_error_of_a_worker_is_that_of_the_fetch(host, registry, answer, error, match):
    victim = digest_of(ARCHIVES[3])
    registry.habit = lambda _method, path, _headers: answer if victim in path else None
    with pytest.raises(error, match=match) as caught:
        fetch(host, registry)
    assert caught.value.__class__ is error
    assert caught.value.hint == ("" if error is Untrusted else "the image there is incomplete: push it again")
    assert files.entries(host.paths.workspaces) == []


def test_the_bounds_of_an_image_count_for_all_its_workers_together(host, web):
    registry = FakeRegistry(web)
    many = [archive(**{f"f{number}-{each}": b"" for each in range(40)}) for number in range(5)]
    registry.image(*many)
    os.makedirs(f"{host.paths.local_config}/limits.d")
    limits = pathlib.Path(f"{host.paths.local_config}/limits.d/a.json")
    limits.write_text('{"rktKind": "limits", "rktVersion": "v1", "unpackedEntries": 150}')
    with pytest.raises(Corrupt, match="it has more than 150 entries"):
        fetch(host, registry)
    limits.write_text('{"rktKind": "limits", "rktVersion": "v1", "unpackedEntries": 200}')
    assert find.is_whole(host, fetch(host, registry))


@pytest.fixture
def interruptible():
    """Background jobs of a shell, such as a whole run of the tests may be, ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# An interrupt may come when sockets are made and have no names yet; then Python closes them, and warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_all_workers(host, registry):
    once = iter((True,))

    def interrupt(_method, path, _headers):
        if "/blobs/" in path and workers() and next(once, False):
            # Not to the process: this thread of the server would take it, though the fetch has blocked it for a fork.
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    registry.habit = interrupt
    with pytest.raises(KeyboardInterrupt):
        fetch(host, registry)
    assert workers() == []
    assert files.entries(host.paths.workspaces) == []


def test_a_large_layer_is_unpacked_with_what_is_fastest(host, web):
    data = archive(f=os.urandom(3 << 20))
    registry = FakeRegistry(web)
    packed = gzip.compress(data, 1)
    registry.blobs[digest_of(packed)] = packed
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(packed)}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(data)]},
    }
    described = registry.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    registry.manifest(config=described, layers=[{**layer, "size": len(packed)}])
    image = fetch(host, registry)
    assert pathlib.Path(image.lower[0], "f").stat().st_size == 3 << 20
