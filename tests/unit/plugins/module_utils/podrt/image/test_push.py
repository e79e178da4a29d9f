# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pushing to registries with habits that the one of the integration tests does not have."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unreachable, Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.content import Blob, blob_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.push import (
    RemoteRepository,
    repository_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import DockerReference
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
)

DATA = b"some layer"
BLOB = blob_of(DATA)


@pytest.fixture(name="repository")
def _repository(host: Host, web: Web) -> RemoteRepository:
    return repository_of(host, DockerReference(web.authority, "team/app", "1"), FetchPolicy())


def answering(web: Web, **by_method: Reply) -> None:
    web.answer = lambda method, path, _headers: (
        (200, {}, b"") if path == "/v2/" else by_method.get(method, (404, {}, b""))
    )


def put(repository: RemoteRepository) -> None:
    repository.put(BLOB, lambda: iter((DATA,)))


@pytest.mark.parametrize("place", ["/v2/team/app/up?state=a", "{}/v2/team/app/up?state=a", "up?state=a"])
def test_a_blob_goes_where_the_registry_says(repository: RemoteRepository, web: Web, place: str) -> None:
    answering(web, POST=(202, {"Location": place.format(web.url)}, b""), PUT=(201, {}, b""))
    put(repository)
    method, path, headers = web.asked[-1]
    assert method == "PUT"
    assert path.endswith(f"/up?state=a&digest={BLOB.digest}")
    assert (web.bodies[-1], headers["content-type"]) == (DATA, "application/octet-stream")


def test_a_blob_that_is_there_is_not_sent(repository: RemoteRepository, web: Web) -> None:
    answering(web, HEAD=(200, {}, b""))
    put(repository)
    assert [method for method, path, _headers in web.asked if path != "/v2/"] == ["HEAD"]


def test_a_registry_that_refuses_head_gets_the_blob(repository: RemoteRepository, web: Web) -> None:
    answering(web, HEAD=(405, {}, b""), POST=(202, {"Location": "/up"}, b""), PUT=(201, {}, b""))
    put(repository)
    assert web.asked[-1][1] == f"/up?digest={BLOB.digest}"


@pytest.mark.parametrize(
    "answers",
    [
        {"HEAD": (403, {}, b"")},
        {"POST": (202, {}, b"")},
        {"POST": (202, {"Location": "http://["}, b""), "PUT": (201, {}, b"")},
        {"POST": (202, {"Location": "x.elsewhere.example:443/up"}, b""), "PUT": (201, {}, b"")},
        {"POST": (404, {}, b"")},
        {"POST": (202, {"Location": "/up"}, b""), "PUT": (400, {}, b"")},
    ],
    ids=["head", "nowhere", "no url", "a name appended to ours", "post", "put"],
)
def test_a_blob_that_is_not_taken_is_an_error(
    repository: RemoteRepository, web: Web, answers: dict[str, Reply]
) -> None:
    answering(web, **answers)
    with pytest.raises(
        Unreachable, match=rf"cannot push docker://{web.authority}/team/app:1: bad HTTP status"
    ):
        put(repository)


def test_a_manifest_must_be_stored_as_it_is(repository: RemoteRepository, web: Web) -> None:
    answering(web, PUT=(201, {"Docker-Content-Digest": "sha256:" + "0" * 64}, b""))
    with pytest.raises(Untrusted, match="stored sha256:"):
        repository.tag(b"{}")
    answering(web, PUT=(201, {}, b""))
    assert repository.tag(b"{}") == blob_of(b"{}").digest
    assert web.asked[-1][2]["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    answering(web, PUT=(413, {}, b""))
    with pytest.raises(Unreachable, match="413"):
        repository.tag(b"{}")


def test_what_a_tag_means_is_read_as_far_as_it_can_be(repository: RemoteRepository, web: Web) -> None:
    assert repository.image() is None
    layer = {"digest": "sha256:a", "size": 5}
    manifest = json.dumps({"config": {"digest": "sha256:c"}, "layers": [layer]}).encode()
    answering(web, GET=(200, {}, manifest))
    found = repository.image()
    assert found and (found.digest, found.config, found.layer) == (
        blob_of(manifest).digest,
        "sha256:c",
        Blob("sha256:a", 5),
    )
    for other in (
        b"{}",
        b"<html>",
        json.dumps({"config": 5}).encode(),
        json.dumps({"layers": [layer, layer]}).encode(),
    ):
        answering(web, GET=(200, {}, other))
        found = repository.image()
        assert found and (found.layer, found.digest) == (None, blob_of(other).digest)
    answering(web, GET=(500, {}, b""))
    with pytest.raises(Unreachable, match="500"):
        repository.image()
