# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Between receiving and committing an image a verifier decides: what it refuses, or has not seen, does not count."""

from __future__ import annotations

import gzip
import hashlib
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, verify
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.sources.source import Verifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, layers
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.killed import (
    killed_at_effects,
)

pytestmark = pytest.mark.root
UPDATE = FetchPolicy("update", ("image",))
LAYER = archive(f=b"1")


class Deciding(Verifier):
    """Refuses at one of its questions, and keeps what it was told."""

    keeps_sent = True

    def __init__(self, refuses=""):
        self.refuses = refuses
        self.asked = []
        self.sent = b""

    def foresee(self, _source):
        self._decide("foresee")

    def announced(self, _job, _source, digests):
        self.digests = digests
        self._decide("announced")

    def verify(self, _job, _source, received):
        self.received = received
        place = pathlib.Path(received.incoming.workspace.sent)
        self.sent = place.read_bytes() if place.exists() else b""
        self._decide("verify")
        return ""

    def _decide(self, question):
        self.asked.append(question)
        if self.refuses == question:
            raise Untrusted("refused")


@pytest.fixture(name="deciding")
def _deciding(monkeypatch):
    def deciding(refuses=""):
        verifier = Deciding(refuses)
        monkeypatch.setattr(verify, "verifier_of", lambda *_given: verifier)
        return verifier

    return deciding


@pytest.fixture(name="give", params=["file", "url", "docker"])
def _give(request, web, aci, tmp_path):
    """For each kind of source: give it an image; returns its reference."""
    return lambda content: give_by(request.param, web, tmp_path / "a.aci", aci(content=content))


@pytest.fixture(name="text")
def _text(give):
    return give(b"x")


def give_by(kind, web, file, image):
    if kind == "docker":
        FakeRegistry(web).image(LAYER, archive(g=image))
        return f"docker://{web.authority}/app"
    sent = gzip.compress(image, mtime=0)
    if kind == "url":
        web.answer = lambda *_other: (200, {"ETag": '"1"'}, sent)
        return f"{web.url}/a.aci"
    file.write_bytes(sent)
    return str(file)


def fetch(host, text):
    return fetching.fetch(host, parse_reference(text), UPDATE, lambda _line: None)


def held(host):
    """What the store has of images, but for layers."""
    paths = host.paths
    kinds = [
        path for kind in ("index", "imageManifest", "blob") for path in files.files_below(paths.blobs(kind))
    ]
    return [*kinds, *files.entries(paths.remotes), *files.entries(paths.workspaces)]


@pytest.mark.parametrize("question", ["foresee", "announced", "verify"])
def test_what_is_refused_leaves_nothing(host, text, deciding, web, question):
    deciding(question)
    with pytest.raises(Untrusted, match="refused"):
        fetch(host, text)
    assert (held(host), index.list_ids(host.paths)) == ([], ())
    if question == "foresee":
        assert web.asked == []
    if question != "verify":
        assert layers.list_layers(host.paths) == ()
        assert not any(digest_of(LAYER) in path for _method, path, _headers in web.asked)


def test_what_is_trusted_counts_once_all_questions_are_answered(host, text, deciding):
    verifier = deciding()
    image = fetch(host, text)
    assert verifier.asked == ["foresee", "announced", "verify"]
    assert index.list_ids(host.paths) == (image.id,)
    assert verifier.received.incoming.id == image.id
    assert verifier.received.incoming.manifest == image.manifest
    recorded, given = index.find_remote(host.paths, parse_reference(text).source), verifier.received.remote
    assert recorded == given.replace(download_time=recorded.download_time)


def test_the_image_that_was_trusted_before_stays_when_its_successor_is_refused(host, text, deciding, give):
    image = fetch(host, text)
    before = held(host)
    assert give(b"y") == text
    deciding("verify")
    with pytest.raises(Untrusted):
        fetch(host, text)
    assert held(host) == before
    assert find.stored_id(host, parse_reference(text)) == image.id


def test_what_was_sent_is_known_by_its_digests_and_kept_for_a_verifier(host, web, aci, tmp_path, deciding):
    for kind in ("file", "url"):
        verifier = deciding()
        fetch(host, give_by(kind, web, tmp_path / "a.aci", aci()))
        assert gzip.decompress(verifier.sent) == aci()
        assert verifier.received.incoming.sent == (f"sha256:{hashlib.sha256(verifier.sent).hexdigest()}",)
        assert verifier.digests == ()


def test_of_a_docker_image_the_digests_of_index_and_manifest_are_known_before_layers(host, web, deciding):
    registry = FakeRegistry(web)
    described = registry.image(LAYER)
    registry.manifest(
        "latest", manifests=[{**described, "platform": {"architecture": "amd64", "os": "linux"}}]
    )
    verifier = deciding()
    fetch(host, f"docker://{web.authority}/app")
    asked = digest_of(registry.manifests["latest"])
    assert verifier.digests == verifier.received.incoming.sent == (asked, described["digest"])


@pytest.mark.slow
def test_a_fetch_that_is_killed_leaves_nothing_that_was_not_verified(host, text, monkeypatch, web):
    """And the next one finds its way, wherever it was killed."""
    reference, ended = parse_reference(text), 0
    step = 3 if text.startswith("docker:") else 1  # it has many
    for number, told in enumerate(killed_at_effects(lambda tell: _told(host, text, tell, monkeypatch), step)):
        ids = index.list_ids(host.paths)
        if b"verified" not in told:
            assert ids == () and files.entries(host.paths.remotes) == []
        for image_id in ids:
            assert find.is_whole(host, index.get_image(host.paths, image_id)), number
        ended += bool(ids)
        image = fetch(host, text)
        assert find.stored_id(host, reference) == image.id
        assert files.entries(host.paths.workspaces) == []
        files.remove_tree(host.paths.data)
    assert ended > 1, "it was killed after the commit as well"
    assert number > 20


def _told(host, text, tell, monkeypatch):
    class Telling(Verifier):
        def verify(self, *_given):
            tell(b"verified")
            return ""

    monkeypatch.setattr(verify, "verifier_of", lambda *_given: Telling())
    fetch(host, text)


def test_of_what_is_not_verified_the_error_says_which_word_would_trust_it(host, web):
    policy, reference = FetchPolicy("new", ()), parse_reference(give_by("docker", web, None, b""))
    with pytest.raises(Untrusted, match="--insecure-options=image") as caught:
        fetching.check_may_fetch(host, reference, policy)
    with pytest.raises(Untrusted) as again:
        fetching.fetch(host, reference, policy, lambda _line: None)
    assert str(again.value) == str(caught.value)
    assert index.list_ids(host.paths) == ()
    assert web.asked == []
