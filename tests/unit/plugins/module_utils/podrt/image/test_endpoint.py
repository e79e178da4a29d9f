# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images by name, which discovery finds on a real HTTPS server, with real keys."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    NotFound,
    PodError,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, keystore
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import (
    OfferedKeys,
    read_keys,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    configure,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.sitelab import Site

pytestmark = pytest.mark.root
NEW, UPDATE, UNSIGNED = FetchPolicy(), FetchPolicy("update"), FetchPolicy("update", ("image",))
Aci = Callable[..., bytes]


def fetch(host: Host, text: str, policy: FetchPolicy = NEW) -> list[str]:
    lines: list[str] = []
    fetching.fetch(host, parse_reference(text), policy, lines.append)
    return lines


def refusal(host: Host, text: str, policy: FetchPolicy = NEW) -> Any:
    with pytest.raises(PodError) as caught:
        fetch(host, text, policy)
    assert index.list_ids(host.paths) == ()
    return caught.value


@pytest.mark.behaviour("B12", "B13", "B17", "B24", "B26", "B27")
def test_a_name_is_discovered_fetched_and_verified(trusting: Host, site: Site, aci: Aci, good: str) -> None:
    site.put(site.image(aci))
    text = f"{site.name}:1.0"
    lines = fetch(trusting, text)
    assert lines[0] == f"searching for app image {site.name}"
    assert "signature verified:" in lines
    assert site.asked == [f"/{site.name}-1.0.aci.asc", f"/{site.name}-1.0.aci"]
    assert site.plain.asked == []
    (image,) = index.list_images(trusting.paths)
    assert (image.signer, image.latest) == (good, False)
    url = f"https://{site.address}/{site.name}-1.0.aci"
    sources = index.sources_of(trusting.paths, image.id)
    assert set(sources) == {parse_reference(text).source, parse_reference(url).source}
    # The store has it from now on, by name as by URL.
    del site.secure.asked[:]
    fetch(trusting, text)
    fetch(trusting, text, FetchPolicy("never"))
    fetch(trusting, url)
    assert site.secure.asked == []


@pytest.mark.behaviour("B4", "B18")
def test_an_update_asks_again_and_loads_only_what_has_changed(trusting: Host, site: Site, aci: Aci) -> None:
    site.template(f"https://{site.address}/{{name}}-1.0.{{ext}}")
    site.put(site.image(aci))
    fetch(trusting, site.name, UPDATE)
    reference = parse_reference(site.name)
    before = find.lookup(trusting, reference)
    assert before is not None and before.latest
    del site.secure.asked[:]
    assert fetching.is_current(trusting, reference, UPDATE, before)
    assert [method for method, path, _headers in site.secure.asked if path.endswith(".aci")] == ["HEAD"]
    fetch(trusting, site.name, UPDATE)
    assert site.asked == [f"/{site.name}-1.0.aci"] * 2
    site.put(site.image(aci, b"y"))
    assert not fetching.is_current(trusting, reference, UPDATE, before)
    lines = fetch(trusting, site.name, UPDATE)
    after = find.lookup(trusting, reference)
    assert after is not None and after.id != before.id
    assert not [line for line in lines if "came from another source" in line]


def test_what_the_name_means_meanwhile_does_not_stay(
    trusting: Host, site: Site, aci: Aci, tmp_path: pathlib.Path
) -> None:
    """The server has not changed, but another image of that name was imported after it."""
    site.template(f"https://{site.address}/{{name}}-1.0.{{ext}}")
    site.put(site.image(aci))
    fetch(trusting, f"{site.name}:1.0", UPDATE)
    (right,) = index.list_ids(trusting.paths)
    (tmp_path / "other.aci").write_bytes(site.image(aci, b"other"))
    fetch(trusting, f"{tmp_path}/other.aci", UNSIGNED)
    found = find.lookup(trusting, parse_reference(f"{site.name}:1.0"))
    assert found is not None and found.id != right
    fetch(trusting, f"{site.name}:1.0", UPDATE)
    found = find.lookup(trusting, parse_reference(f"{site.name}:1.0"))
    assert found is not None and found.id == right


@pytest.mark.behaviour("B12")
def test_a_place_that_refuses_leads_to_the_next_one(trusting: Host, site: Site, aci: Aci) -> None:
    site.template(*(f"https://{site.address}/{place}/{{name}}.{{ext}}" for place in ("a", "b", "c")))
    site.put(site.image(aci), f"/b/{site.name}", signed=False)
    site.put(site.image(aci), f"/c/{site.name}")
    lines = fetch(trusting, f"{site.name}:1.0")
    assert site.asked == [f"/{place}/{site.name}.aci.asc" for place in "abc"] + [f"/c/{site.name}.aci"]
    assert len([line for line in lines if line.endswith("trying the next place")]) == 2


def test_a_place_that_fails_is_the_end(trusting: Host, site: Site, aci: Aci) -> None:
    site.template(*(f"https://{site.address}/{place}/{{name}}.{{ext}}" for place in ("a", "b")))
    site.put(site.image(aci), f"/b/{site.name}")
    site.pages[f"/a/{site.name}.aci.asc"] = (503, {}, b"")
    assert "bad HTTP status code: 503" in refusal(trusting, f"{site.name}:1.0").message
    assert site.asked == [f"/a/{site.name}.aci.asc"]


@pytest.mark.behaviour("B28")
@pytest.mark.parametrize(
    ("asked", "said", "reason"),
    [
        (
            ":1.0",
            {"version": "1.2.0"},
            'for label "version": "1.0" differs from fetched aci label value: "1.2.0"',
        ),
        (":1.0", {"version": ""}, 'requested label "version" not provided by the image manifest'),
        (":1.0,tier=web", {}, 'requested label "tier" not provided by the image manifest'),
        (":1.0", {"arch": "s390x"}, 'differs from fetched aci label value: "s390x"'),
        (":1.0", {"os": "plan9"}, 'requested value for label "os": "linux" differs'),
    ],
)
def test_a_verified_image_must_have_the_labels(
    trusting: Host, site: Site, aci: Aci, asked: str, said: dict[str, str], reason: str
) -> None:
    site.put(site.image(aci, **said))
    err = refusal(trusting, f"{site.name}{asked}")
    assert isinstance(err, Untrusted) and reason in err.message
    if "s390x" not in reason and "plan9" not in reason:
        fetch(trusting, f"{site.name}{asked}", UNSIGNED)  # which is not checked


@pytest.mark.behaviour("B28")
def test_a_verified_image_must_have_the_name_and_may_lack_what_was_not_asked_for(
    trusting: Host, site: Site, aci: Aci
) -> None:
    site.put(aci(f"{site.address}/team/other"))
    err = refusal(trusting, f"{site.name}:1.0")
    assert err.message == (
        f'error when reading the app name: "{site.name}" expected but "{site.address}/team/other" found'
    )
    site.put(aci(site.name, labels=[{"name": "version", "value": "1.0"}]))
    fetch(trusting, f"{site.name}:1.0")


@pytest.mark.behaviour("B27", "B29")
def test_without_a_key_for_the_name_nothing_is_asked_for(host: Host, site: Site, aci: Aci) -> None:
    site.put(site.image(aci))
    err = refusal(host, f"{site.name}:1.0")
    assert isinstance(err, Untrusted)
    assert err.message == f"cannot verify {site.name}: no key is trusted for it"
    assert f"podctl trust --prefix={site.name} " in err.hint and "pod_trust" in err.hint
    assert f"docker://{site.name}:1.0" in err.hint
    with pytest.raises(Untrusted, match="no key is trusted for it"):
        fetching.check_may_fetch(host, parse_reference(f"{site.name}:1.0"), NEW)
    assert site.secure.asked == []
    fetch(host, f"{site.name}:1.0", FetchPolicy("new", ("image",)))


@pytest.mark.behaviour("B29", "B37")
def test_keys_may_be_discovered_with_the_image(host: Host, site: Site, aci: Aci, gpg: Gpg, good: str) -> None:
    finding = NEW.replace(finds_keys=True)
    site.put(site.image(aci))
    assert "no key is trusted for" in refusal(host, f"{site.name}:1.0", finding).message
    site.pages["/team.gpg"] = (200, {}, gpg.export(good))
    # Certificates that are not checked vouch for nothing.
    unchecked = finding.replace(insecure=("tls",))
    assert "no key is trusted for" in refusal(host, f"{site.name}:1.0", unchecked).message
    assert keystore.trusted_for(host.paths, site.name) == ()
    # Nor does plain http, unless it is said that it shall do for keys as well.
    site.pages["/?ac-discovery=1"], kept = (404, {}, b""), site.pages["/?ac-discovery=1"]
    site.plain.answer = lambda _method, path, _headers: kept if path.startswith("/?") else (404, {}, b"")
    plain = finding.replace(insecure=("http",))
    assert "no key is trusted for" in refusal(host, f"{site.name}:1.0", plain).message
    assert keystore.trusted_for(host.paths, site.name) == ()
    site.pages["/?ac-discovery=1"] = kept
    lines = fetch(host, f"{site.name}:1.0", finding)
    url = f"https://{site.address}/team.gpg"
    assert f'Trusting "{url}" for prefix "{site.name}" without fingerprint review.' in lines
    (key,) = keystore.trusted_for(host.paths, site.name)
    assert (key.prefix, key.key.fingerprint) == (site.name, good)
    site.put(site.image(aci, b"y"))
    lines = fetch(host, f"{site.name}:1.0", finding.replace(pull="update"))
    assert f'keys already exist for prefix "{site.name}", not fetching again' in lines


@pytest.mark.behaviour("B29")
@pytest.mark.parametrize("answer", [True, False])
def test_a_user_may_be_asked_about_the_keys_that_are_discovered(
    host: Host, site: Site, aci: Aci, gpg: Gpg, good: str, answer: bool
) -> None:
    site.put(site.image(aci))
    site.pages["/team.gpg"] = (200, {}, gpg.export(good))
    asked: list[tuple[str, str]] = []

    def review(prefix: str, offered: OfferedKeys) -> bool:
        asked.append((prefix, offered.key.fingerprint))
        return answer

    asking = NEW.replace(review=review)
    fetching.check_may_fetch(host, parse_reference(f"{site.name}:1.0"), asking)
    assert asked == []
    if answer:
        url = f"https://{site.address}/team.gpg"
        lines = fetch(host, f"{site.name}:1.0", asking)
        assert f'Trusting "{url}" for prefix "{site.name}" after fingerprint review.' in lines
        fetch(host, f"{site.name}:1.0", asking.replace(pull="update"))
    else:
        err = refusal(host, f"{site.name}:1.0", asking)
        assert f"no key is trusted for {site.name}" in err.message
        assert keystore.trusted_for(host.paths, site.name) == ()
    assert asked == [(site.name, good)]


@pytest.mark.behaviour("B29")
def test_a_user_is_not_asked_about_what_was_to_be_trusted_without(
    host: Host, site: Site, aci: Aci, gpg: Gpg, good: str
) -> None:
    site.put(site.image(aci))
    site.pages["/team.gpg"] = (200, {}, gpg.export(good))

    def review(_prefix: str, _offered: OfferedKeys) -> bool:
        raise AssertionError("nothing is to be asked")

    fetch(host, f"{site.name}:1.0", NEW.replace(finds_keys=True, review=review))


def test_a_key_of_another_owner_is_refused_before_the_image_is_sent(
    host: Host, site: Site, aci: Aci, gpg: Gpg
) -> None:
    stranger = gpg.make("a stranger")
    keystore.store(host.paths, site.name, read_keys(gpg.export(stranger), "a test")[0])
    site.put(site.image(aci))
    assert "openpgp: signature made by unknown entity" in refusal(host, f"{site.name}:1.0").message
    assert site.asked == [f"/{site.name}-1.0.aci.asc"]


@pytest.mark.behaviour("B25")
def test_the_signature_of_a_name_may_be_deferred(trusting: Host, site: Site, aci: Aci) -> None:
    site.put(site.image(aci))
    place = f"/{site.name}-1.0.aci"
    site.pages[f"{place}.asc"] = (202, {}, b"")
    assert "deferred" in refusal(trusting, f"{site.name}:1.0").message
    assert site.asked == [f"{place}.asc", place, f"{place}.asc"]


@pytest.mark.behaviour("B37")
def test_pages_images_and_signatures_are_asked_for_with_the_credentials_of_their_host(
    trusting: Host, site: Site, aci: Aci
) -> None:
    configure(trusting, "auth", domains=[site.address], type="oauth", credentials={"token": "t"})
    site.put(site.image(aci))
    fetch(trusting, f"{site.name}:1.0")
    assert len(site.secure.asked) >= 3
    assert {headers.get("authorization") for _method, _path, headers in site.secure.asked} == {"Bearer t"}


@pytest.mark.behaviour("B12")
def test_plain_http_needs_consent(trusting: Host, site: Site, aci: Aci) -> None:
    site.plain.answer = lambda _method, path, _headers: (
        (200, {}, site.secure.answer("GET", path, {})[2]) if "ac-discovery" in path else (404, {}, b"")
    )
    pages, site.pages = site.pages, {}
    err = refusal(trusting, f"{site.name}:1.0")
    assert isinstance(err, NotFound)
    assert err.message.startswith(f'discovery failed for "{site.name}": no endpoints discovered')
    assert err.hint.startswith(f"for an image of a docker registry write docker://{site.name}:1.0; ")
    assert site.plain.asked == []
    site.plain.answer = lambda _method, path, _headers: pages.get(path, (404, {}, b""))
    site.put(site.image(aci))
    fetch(trusting, f"{site.name}:1.0", NEW.replace(insecure=("http",)))
    assert site.plain.asked


def test_a_server_that_is_away_is_said_to_be(trusting: Host, site: Site) -> None:
    err = refusal(trusting, "127.0.0.254/team/app", UNSIGNED)
    assert isinstance(err, Unreachable)
    assert "no page of its host can be read" in err.message


@pytest.mark.behaviour("B16")
@pytest.mark.parametrize("text", ["app", "team/app:1", "docker.io/library/app", "index.docker.io/app"])
def test_a_name_without_a_host_is_only_looked_up(host: Host, site: Site, text: str) -> None:
    for policy in (NEW, UPDATE, UNSIGNED):
        with pytest.raises(NotFound, match="either image was not found in the store"):
            fetch(host, text, policy)


@pytest.mark.behaviour("B16")
def test_never_asks_nothing(trusting: Host, site: Site, aci: Aci) -> None:
    site.put(site.image(aci))
    err = refusal(trusting, f"{site.name}:1.0", FetchPolicy("never"))
    assert err.message.startswith(f'unable to fetch image "{site.name}:1.0": either image was not found')
    assert site.secure.asked == []
