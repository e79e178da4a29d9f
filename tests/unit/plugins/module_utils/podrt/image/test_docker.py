# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of registries in the field: each is understood, or refused with a message that says what it is."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    PodError,
    Unreachable,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import resume
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    log_in,
    serving,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    DOCKER,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    EMPTY,
    OCI,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    FakeRegistry,
    archive,
    digest_of,
)

pytestmark = pytest.mark.root
NEW = FetchPolicy("new", ("image",))
UPDATE = FetchPolicy("update", ("image",))
AMD64 = {"architecture": "amd64", "os": "linux"}
ATTESTATION = {
    "platform": {"architecture": "unknown", "os": "unknown"},
    "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
}


@pytest.fixture(name="registry")
def _registry(web):
    return FakeRegistry(web)


@pytest.fixture(name="host")
def _amd64(host):
    return host.replace(arch="amd64")


def fetch(host, text, policy=NEW):
    return fetching.fetch(host, parse_reference(text), policy, lambda _line: None)


# Answers of registries to HEAD, and what they leave out.


@pytest.mark.finding("case-03")
@pytest.mark.behaviour("B39")
@pytest.mark.parametrize("status", [403, 404, 405, 500, 501])
def test_a_registry_that_refuses_head_is_asked_by_get(host, registry, status):
    registry.image(EMPTY)
    registry.habit = lambda method, *_other: (status, {}, b"") if method == "HEAD" else None
    image = fetch(host, registry.reference, UPDATE)
    assert fetch(host, registry.reference, UPDATE).id == image.id
    assert fetching.is_current(host, parse_reference(registry.reference), UPDATE, image)
    registry.image(EMPTY, archive(f=b"new"))
    assert not fetching.is_current(host, parse_reference(registry.reference), UPDATE, image)


@pytest.mark.finding("case-03")
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Content-Type": "text/plain; charset=utf-8"},
        {"Content-Type": f"{OCI}; charset=utf-8"},
        {"Docker-Content-Digest": "sha512:00"},
        {"Docker-Content-Digest": ""},
    ],
    ids=str,
)
def test_headers_of_a_manifest_may_be_missing_or_odd(host, registry, said):
    registry.image(EMPTY)
    registry.said = lambda _data: said
    image = fetch(host, registry.reference)
    assert fetching.is_current(host, parse_reference(registry.reference), UPDATE, image)


@pytest.mark.finding("case-03")
@pytest.mark.behaviour("B18")
@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_web_server_that_refuses_head_is_asked_by_get(host, web, aci, status):
    """As an object store refuses a signed URL, which is for one method."""

    def answer(method, _path, headers):
        if method == "HEAD":
            return status, {}, b""
        return (304, {}, b"") if headers.get("if-none-match") == '"1"' else (200, {"ETag": '"1"'}, aci())

    web.answer = answer
    image = fetch(host, f"{web.url}/a.aci")
    assert fetching.is_current(host, parse_reference(f"{web.url}/a.aci"), UPDATE, image)


def test_a_relative_redirect_to_a_blob_is_followed_and_told_no_secret(host, registry):
    registry.image(EMPTY)

    def habit(_method, path, headers):
        if path.startswith("/v2/") and not headers.get("authorization"):
            return 401, {"WWW-Authenticate": f'Bearer realm="{registry.web.url}/token"'}, b""
        if path.startswith("/token"):
            return 200, {}, b'{"token": "t"}'
        if path.startswith("/v2/") and "/blobs/" in path:
            return 307, {"Location": f"../../../store/{path.rpartition('/')[2]}"}, b""
        return None

    registry.habit = habit
    assert fetch(host, registry.reference)
    assert any(path.startswith("/store/") for _method, path, _headers in registry.web.asked)


@pytest.fixture(name="elsewhere")
def _elsewhere():
    """A server that wants credentials, and names itself as the realm."""
    with serving() as other:
        other.answer = lambda _method, path, _headers: (
            (200, {}, b'{"token": "t"}')
            if path.startswith("/token")
            else (401, {"WWW-Authenticate": other.challenge.replace("REALM", f"{other.url}/token")}, b"")
        )
        yield other


def redirecting(registry, elsewhere, part):
    """A habit: the registry wants its own token, and redirects one kind of request to the other server."""

    def habit(_method, path, headers):
        if path.startswith("/token"):
            return 200, {}, b'{"token": "t"}'
        if not headers.get("authorization"):
            return 401, {"WWW-Authenticate": f'Bearer realm="{registry.web.url}/token"'}, b""
        return (307, {"Location": f"{elsewhere.url}/x"}, b"") if part in path else None

    return habit


@pytest.mark.finding("attack-F12")
@pytest.mark.parametrize("challenge", ['Bearer realm="REALM"', 'Basic realm="r"'])
@pytest.mark.parametrize("part", ["manifest", "manifest at once", "configuration", "layer", "index"])
def test_only_the_registry_itself_gets_its_credentials(host, registry, elsewhere, part, challenge):
    """A server that it redirects to gets neither the password nor a token, however that asks for them."""
    log_in(host, registry.web.authority)
    elsewhere.challenge = challenge
    of_image = registry.image(archive(f=b"1"))
    form = json.loads(registry.manifests["latest"])
    if part == "index":
        registry.manifest(mediaType=OCI_INDEX, manifests=[{**of_image, "platform": AMD64}])
    parts = {
        "manifest": "/manifests/",
        "manifest at once": "/manifests/",
        "configuration": form["config"]["digest"],
        "layer": form["layers"][0]["digest"],
        "index": of_image["digest"],
    }
    registry.habit = redirecting(registry, elsewhere, parts[part])
    if part == "manifest at once":
        registry.habit = lambda *_other: (302, {"Location": f"{elsewhere.url}/x"}, b"")
    with pytest.raises(Unreachable, match=f"{elsewhere.url}/x: bad HTTP status code: 401") as caught:
        fetch(host, registry.reference)
    assert "credentials are for the registry alone" in caught.value.hint
    assert {path for _method, path, _headers in elsewhere.asked} == {"/x"}
    assert not any("authorization" in headers for *_other, headers in elsewhere.asked)


@pytest.mark.finding("attack-F12")
def test_a_question_whether_an_image_is_current_gives_no_credentials_away(host, registry, elsewhere):
    registry.image(EMPTY)
    image = fetch(host, registry.reference)
    log_in(host, registry.web.authority)
    elsewhere.challenge = 'Bearer realm="REALM"'
    registry.habit = redirecting(registry, elsewhere, "/manifests/")
    with pytest.raises(Unreachable, match="401"):
        fetching.is_current(host, parse_reference(registry.reference), UPDATE, image)
    assert [(method, path) for method, path, _headers in elsewhere.asked] == [("HEAD", "/x"), ("GET", "/x")]
    assert not any("authorization" in headers for *_other, headers in elsewhere.asked)


@pytest.mark.finding("attack-F12")
@pytest.mark.usefixtures("no_pauses")
def test_the_rest_of_a_layer_gives_no_credentials_away(host, registry, elsewhere):
    """The first part comes from the registry, and the rest from elsewhere."""
    log_in(host, registry.web.authority)
    elsewhere.challenge = 'Bearer realm="REALM"'
    registry.image(archive(f=os.urandom(1_000_000)))
    breaking = Breaking(registry, 400_000)
    registry.habit = lambda method, path, headers: (
        (302, {"Location": f"{elsewhere.url}/x"}, b"")
        if "range" in headers
        else breaking.answer(method, path, headers)
    )
    with pytest.raises(Unreachable, match="401"):
        fetch(host, registry.reference)
    assert {path for _method, path, _headers in elsewhere.asked} == {"/x"}


@pytest.mark.finding("attack-F12")
def test_a_url_and_what_it_redirects_to_get_no_credentials(host, web, elsewhere):
    """Those of a registry are for registries, even if it is at the same address."""
    log_in(host, web.authority)
    elsewhere.challenge = 'Bearer realm="REALM"'
    web.answer = lambda *_other: (302, {"Location": f"{elsewhere.url}/x"}, b"")
    with pytest.raises(Unreachable, match=f"{elsewhere.url}/x: bad HTTP status code: 401"):
        fetch(host, f"{web.url}/a.aci")
    assert [path for _method, path, _headers in elsewhere.asked] == ["/x"]
    assert not any("authorization" in headers for *_other, headers in (*web.asked, *elsewhere.asked))


def test_a_registry_that_is_asked_too_often_says_so(host, registry):
    registry.image(EMPTY)
    image = fetch(host, registry.reference)
    registry.habit = lambda *_other: (429, {"Retry-After": "60"}, b"")
    for ask in (
        lambda: fetch(host, registry.reference, UPDATE),
        lambda: fetching.is_current(host, parse_reference(registry.reference), UPDATE, image),
    ):
        before = len(registry.asked())
        with pytest.raises(Unreachable, match="429") as caught:
            ask()
        assert "limits requests" in caught.value.hint
        assert len(registry.asked()) - before == 1, "one more would be asking too often"


# Missing parts, by name.


def missing(registry, what):
    """The digest of a part that the registry has lost."""
    image = registry.image(EMPTY)
    manifest = json.loads(registry.manifests["latest"])
    if what == "manifest":
        del registry.manifests[image["digest"]]
        registry.manifest(mediaType=OCI_INDEX, manifests=[{**image, "platform": AMD64}])
        return image["digest"]
    part = manifest["config"] if what == "configuration" else manifest["layers"][0]
    del registry.blobs[part["digest"]]
    return part["digest"]


@pytest.mark.finding("case-13")
@pytest.mark.parametrize("what", ["manifest", "configuration", "layer"])
def test_a_part_of_an_image_that_is_missing_is_named(host, registry, what):
    digest = missing(registry, what)
    with pytest.raises(NotFound, match=f"the {what} {digest}.*is not in the registry") as caught:
        fetch(host, registry.reference)
    assert "push it again" in caught.value.hint


@pytest.mark.finding("case-13")
def test_an_image_that_is_missing_is_not_called_incomplete(host, registry):
    with pytest.raises(NotFound, match="is not in its registry") as caught:
        fetch(host, registry.reference)
    assert caught.value.hint == "check name and tag"


# Artifacts that are not images.

HELM = "application/vnd.cncf.helm.config.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
EMPTY_JSON = "application/vnd.oci.empty.v1+json"


def helm(registry):
    registry.manifest(config=registry.blob(b"{}", HELM), layers=[registry.blob(b"x", CHART)])


def artifact(registry):
    config = registry.blob(b"{}", EMPTY_JSON)
    registry.manifest(artifactType="application/spdx+json", config=config, layers=[config])


def artifact_alone(registry):
    registry.manifest(artifactType="application/vnd.example.thing", blobs=[])


def encrypted(registry):
    registry.image(EMPTY, archive(f=b"x"), kinds=(OCI_LAYER, f"{OCI_LAYER}+gzip+encrypted"))


def webassembly(registry):
    registry.image(EMPTY, kinds=("application/vnd.wasm.content.layer.v1+wasm",))


def schema_1(registry):
    registry.manifests["latest"] = json.dumps(
        {"schemaVersion": 1, "name": "app", "fsLayers": [], "history": []}
    ).encode()


def unknown(registry):
    registry.manifest(mediaType="application/vnd.example.v1+json")


@pytest.mark.finding("case-18")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (helm, "is not a container image, but of the type application/vnd.cncf.helm.config"),
        (artifact, r"is not a container image, but of the type application/spdx\+json"),
        (artifact_alone, "is not a container image, but of the type application/vnd.example.thing"),
        (encrypted, r"layer 2 of docker://.* is encrypted: .*\+encrypted"),
        (
            webassembly,
            "layer 1 of .* is not a layer of a container image, but of the type application/vnd.wasm",
        ),
        (schema_1, "docker's schema 1"),
        (unknown, "of an unknown kind: application/vnd.example"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_container_image_is_called_what_it_is(host, registry, make, said):
    make(registry)
    with pytest.raises(Unsupported, match=said) as caught:
        fetch(host, registry.reference)
    assert caught.value.hint


@pytest.mark.finding("case-18")
@pytest.mark.parametrize(
    ("config", "layer"),
    [
        (OCI_CONFIG, OCI_LAYER),
        (DOCKER_CONFIG, DOCKER_LAYER),
        ("application/octet-stream", "application/octet-stream"),
        (None, None),
        (OCI_CONFIG, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        (DOCKER_CONFIG, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    ],
)
def test_what_images_call_their_parts_is_understood(host, registry, config, layer):
    registry.image(EMPTY)
    form = json.loads(registry.manifests["latest"])
    for part, kind in ((form["config"], config), (form["layers"][0], layer)):
        part["mediaType"] = kind
    registry.manifest(**{**form, "mediaType": DOCKER})
    assert fetch(host, registry.reference)


@pytest.mark.behaviour("B39")
@pytest.mark.finding("case-18")
@pytest.mark.parametrize(
    "others",
    [
        [ATTESTATION],
        [{"artifactType": "application/spdx+json"}],
        [{"platform": {"architecture": "sparc", "os": "linux"}}],
        [{"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}],
    ],
    ids=str,
)
@pytest.mark.parametrize("platform", [{"platform": AMD64}, {}], ids=["said", "not said"])
def test_the_image_is_found_among_what_else_an_index_names(host, registry, others, platform):
    image = registry.image(EMPTY)
    entries = [{**image, "digest": digest_of(b"x"), **other} for other in others]
    registry.manifest(mediaType=OCI_INDEX, manifests=[*entries, {**image, **platform}])
    assert fetch(host, registry.reference).manifest.labels.get("arch") == "amd64"


# Names written as docker takes them.


@pytest.mark.finding("case-20")
@pytest.mark.parametrize(
    "text",
    [
        "docker.io/library/nginx:1.27",
        "nginx:1.27",
        "nginx",
        "quay.io/acme/web",
        "localhost:5000/app",
        "localhost:5000/app:1.0",
        f"nginx@{digest_of(b'')}",
        "ghcr.io/acme/web_1",
        "registry.example.com/app:1.0_Beta",
    ],
)
def test_a_name_as_for_docker_is_refused_with_the_way_to_write_it(host, text):
    """At once, unless discovery could find it, see test_endpoint.py; then no key is trusted for it."""
    with pytest.raises((NotFound, InvalidSpec, Untrusted)) as caught:
        fetching.check_may_fetch(host, parse_reference(text, relative=False), FetchPolicy())
    assert f"for an image of a docker registry write docker://{text}" in caught.value.hint


@pytest.mark.finding("case-20")
@pytest.mark.parametrize("text", ["example.com/app:1.0,os=linux,arch=amd64", "Not/A:Name:At,All"])
def test_a_name_that_docker_would_not_take_either_gets_no_such_advice(host, text):
    with pytest.raises(PodError) as caught:
        fetching.check_may_fetch(host, parse_reference(text, relative=False), FetchPolicy())
    assert "docker://" not in caught.value.hint


# Downloads that break.


class Breaking:
    """A registry whose tokens last for one answer and whose connections break every so many bytes."""

    def __init__(self, registry, every, tokens=1 << 30):
        self.registry, self.every = registry, every
        self.tokens, self.uses, self.left = 0, 0, tokens
        registry.habit = self.answer

    def answer(self, method, path, headers):
        if path.startswith("/token"):
            self.tokens, self.uses = self.tokens + 1, 0
            return 200, {}, json.dumps({"token": f"t{self.tokens}"}).encode()
        if headers.get("authorization") != f"Bearer t{self.tokens}" or self.uses == self.left:
            return 401, {"WWW-Authenticate": f'Bearer realm="{self.registry.web.url}/token"'}, b""
        self.uses += 1
        blob = self.registry.blobs.get(path.rpartition("/")[2], b"")
        if method != "GET" or len(blob) < self.every:
            return None
        start = int(headers.get("range", "bytes=0-")[len("bytes=") : -1])
        self.registry.web.breaks_after = self.every if len(blob) - start > self.every else 0
        if not start:
            return 200, {"ETag": '"1"'}, blob
        return 206, {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"}, blob[start:]


@pytest.fixture(name="no_pauses")
def _no_pauses(monkeypatch):
    """The usual number of tries, without the seconds between them."""
    monkeypatch.setattr(resume, "_PAUSES", (0.0,) * len(resume._PAUSES))


@pytest.mark.finding("review-B14")
@pytest.mark.usefixtures("no_pauses")
def test_a_connection_may_break_often_as_long_as_bytes_come(host, registry):
    registry.image(archive(f=os.urandom(3_000_000)))
    Breaking(registry, 400_000)
    assert fetch(host, registry.reference)
    ranges = [headers["range"] for _method, _path, headers in registry.web.asked if "range" in headers]
    assert len(ranges) >= 7, "more than the tries after which it would be given up"


@pytest.mark.finding("review-B14")
def test_a_token_that_runs_out_on_the_way_is_renewed_and_the_download_goes_on(host, registry):
    registry.image(archive(f=os.urandom(1_000_000)))
    breaking = Breaking(registry, 400_000, tokens=2)
    assert fetch(host, registry.reference)
    assert breaking.tokens >= 2
    blobs = [headers for _method, path, headers in registry.web.asked if "/blobs/" in path]
    assert any("range" in headers for headers in blobs)


@pytest.mark.finding("review-B14")
@pytest.mark.usefixtures("no_pauses")
def test_a_token_that_is_refused_again_and_again_is_an_error(host, registry):
    registry.image(archive(f=os.urandom(1_000_000)))
    breaking = Breaking(registry, 400_000)

    def answer(method, path, headers):
        if "range" in headers:
            return 401, {"WWW-Authenticate": f'Bearer realm="{registry.web.url}/token"'}, b""
        return breaking.answer(method, path, headers)

    registry.habit = answer
    with pytest.raises(Unreachable, match="401"):
        fetch(host, registry.reference)
    assert breaking.tokens < 10


@pytest.mark.finding("review-B15")
@pytest.mark.behaviour("B18")
@pytest.mark.parametrize(
    ("said", "asked_again"), [("max-age=600", False), ("", False), ("no-cache", True)], ids=str
)
def test_a_304_renews_how_long_a_source_is_not_asked(host, web, aci, said, asked_again):
    def answer(_method, _path, headers):
        if headers.get("if-none-match") == '"1"':
            return 304, {"Cache-Control": said} if said else {}, b""
        return 200, {"ETag": '"1"', "Cache-Control": "max-age=60"}, aci()

    web.answer = answer
    image = fetch(host, f"{web.url}/a.aci")
    assert fetch(host, f"{web.url}/a.aci", UPDATE).id == image.id
    assert len(web.asked) == 1
    known = index.find_remote(host.paths, parse_reference(f"{web.url}/a.aci").source)
    index.put_remote(host.paths, known.replace(download_time=known.download_time - 60))
    for _again in range(2):
        assert fetch(host, f"{web.url}/a.aci", UPDATE).id == image.id
    assert len(web.asked) == (3 if asked_again else 2)


# Hints that are true.


@pytest.mark.finding("review-B21")
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_credentials_that_would_be_used(host, registry, status):
    registry.habit = lambda *_other: (status, {}, b"")
    with pytest.raises(Unreachable) as caught:
        fetch(host, registry.reference)
    assert f"the dockerAuth document for {registry.web.authority} in auth.d" in caught.value.hint
    with pytest.raises(Unreachable) as caught:
        fetch(host, f"{registry.web.url}/a.aci")
    assert f"the auth document for {registry.web.authority} in auth.d" in caught.value.hint


@pytest.mark.finding("use-N16")
def test_a_registry_of_plain_http_gives_the_word_to_write(host, web, monkeypatch):
    """Its name is not one of this machine by its text, so TLS is required."""
    FakeRegistry(web).image(EMPTY)
    name = f"0x7f000001:{web.server.server_port}"
    with pytest.raises(Unreachable, match="does not speak TLS, but perhaps plain http") as caught:
        fetch(host, f"docker://{name}/app")
    assert "insecure_options: http" in caught.value.hint
    assert fetch(host, f"docker://{name}/app", FetchPolicy("new", ("image", "http")))
