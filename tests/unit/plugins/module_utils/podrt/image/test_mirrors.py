# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors of a registry are asked first, and images keep their names."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    log_in,
    serving,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
)

pytestmark = pytest.mark.root
NEW, UPDATE = FetchPolicy("new", ("image",)), FetchPolicy("update", ("image",))
HERE, THERE = archive(here=b"1"), archive(there=b"2")


@pytest.fixture(name="mirror")
def _mirror() -> Iterator[Web]:
    with serving() as web:
        yield web


def use(host: Host, registry: str, *mirrors: str, name: str = "m") -> None:
    """Configure mirrors."""
    place = pathlib.Path(host.paths.local_config, "registries.d")
    place.mkdir(parents=True, exist_ok=True)
    document = {"rktKind": "registryMirrors", "rktVersion": "v1", "registry": registry, "mirrors": mirrors}
    (place / f"{name}.json").write_text(json.dumps(document))


def fetch(host: Host, web: Web, policy: FetchPolicy = NEW) -> tuple[list[str], list[str]]:
    """The lines that a fetch tells, and the files in the root of the image."""
    lines: list[str] = []
    image = fetching.fetch(host, parse_reference(f"docker://{web.authority}/app"), policy, lines.append)
    return lines, sorted(path.name for lower in image.lower for path in pathlib.Path(lower).iterdir())


def test_a_mirror_that_has_the_image_is_the_only_one_that_is_asked(host: Host, web: Web, mirror: Web) -> None:
    FakeRegistry(web).image(THERE)
    FakeRegistry(mirror).image(HERE)
    use(host, web.authority, mirror.authority)
    assert fetch(host, web)[1] == ["here"]
    assert web.asked == []
    reference = parse_reference(f"docker://{web.authority}/app")
    found = find.lookup(host, reference)
    assert found is not None and str(found.manifest.name).startswith(web.authority.replace(":", "-")[:9])
    del mirror.asked[:]
    assert fetching.is_current(host, reference, UPDATE, found)
    fetch(host, web, UPDATE)
    assert [method for method, _path, _headers in mirror.asked] == ["HEAD", "HEAD"]
    assert web.asked == []


def test_one_that_lacks_it_or_is_away_is_passed_over(host: Host, web: Web, mirror: Web) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{taken.getsockname()[1]}"
        FakeRegistry(web).image(THERE)
        FakeRegistry(mirror)
        use(host, web.authority, away, mirror.authority)
        lines, names = fetch(host, web)
    assert names == ["there"]
    assert len([line for line in lines if line.endswith("; trying the next place")]) == 2
    assert not [path for _method, path, _headers in mirror.asked if "blobs" in path]


def test_where_none_has_it_the_error_is_of_the_registry(host: Host, web: Web, mirror: Web) -> None:
    FakeRegistry(web)
    FakeRegistry(mirror)
    use(host, web.authority, mirror.authority)
    with pytest.raises(NotFound, match=rf"docker://{web.authority}/app:latest is not in its registry"):
        fetch(host, web)


def test_a_mirror_may_have_a_path(host: Host, web: Web, mirror: Web) -> None:
    FakeRegistry(web)
    registry = FakeRegistry(mirror)
    registry.image(HERE)
    answer = mirror.answer
    mirror.answer = lambda method, path, headers: (
        answer(method, path.replace("/v2/hub/", "/v2/"), headers)
        if path.startswith("/v2/hub/app/")
        else (404, {}, b"")
    )
    use(host, web.authority, f"{mirror.authority}/hub")
    assert fetch(host, web)[1] == ["here"]


def locked(place: Web) -> None:
    """Have a registry ask who we are."""
    answer = place.answer
    place.answer = lambda method, path, headers: (
        answer(method, path, headers)
        if "authorization" in headers
        else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    )


def test_each_place_gets_its_own_credentials(host: Host, web: Web, mirror: Web) -> None:
    for place in (web, mirror):
        FakeRegistry(place).image(HERE if place is mirror else THERE)
        locked(place)
    use(host, web.authority, mirror.authority)
    log_in(host, web.authority, "me", "of the registry")
    assert fetch(host, web)[1] == ["there"]
    assert all("authorization" not in headers for _method, _path, headers in mirror.asked)
    log_in(host, mirror.authority, "me", "of the mirror")
    assert fetch(host, web, UPDATE)[1] == ["here"]
    given = {headers.get("authorization") for place in (web, mirror) for _m, _p, headers in place.asked}
    assert len(given) == 3  # none, and two that differ


def test_the_digest_that_was_asked_for_is_that_of_a_mirror_too(host: Host, web: Web, mirror: Web) -> None:
    FakeRegistry(web)
    registry = FakeRegistry(mirror)
    registry.image(HERE)
    digest = f"sha256:{'ab' * 32}"
    registry.manifests[digest] = registry.manifests["latest"]
    use(host, web.authority, mirror.authority)
    reference = parse_reference(f"docker://{web.authority}/app@{digest}")
    with pytest.raises(Untrusted, match="has another digest"):
        fetching.fetch(host, reference, NEW, lambda _line: None)


@pytest.mark.parametrize("mirror", ["", "a b", "https://mirror.example.com", "mirror.example.com/UPPER"])
def test_what_is_no_mirror_is_told_with_its_place(host: Host, web: Web, mirror: str) -> None:
    use(host, web.authority, mirror)
    with pytest.raises(InvalidSpec, match="is not a mirror of") as caught:
        fetch(host, web)
    assert "registries.d" in caught.value.hint


def test_a_registry_has_one_list_in_a_directory(host: Host, web: Web) -> None:
    use(host, web.authority, "a.example.com")
    use(host, web.authority, "b.example.com", name="other")
    with pytest.raises(InvalidSpec, match=r"mirrors of the registry .* is already specified"):
        fetch(host, web)
