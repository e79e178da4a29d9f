# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image depends on comes with it, from where discovery finds it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
    PodError,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.trees import RenderedImage
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.sitelab import Site

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B20")]
NEW, UPDATE, NEVER = FetchPolicy(), FetchPolicy("update"), FetchPolicy("never")
Aci = Callable[..., bytes]


def fetch(host: Host, text: str, policy: FetchPolicy = NEW) -> RenderedImage:
    return fetching.fetch(host, parse_reference(text), policy, lambda _line: None)


def refusal(host: Host, text: str, policy: FetchPolicy = NEW) -> PodError:
    with pytest.raises(PodError) as caught:
        fetch(host, text, policy)
    assert os.listdir(host.paths.workspaces) == []
    return caught.value


def named(name: str) -> dict[str, str]:
    return {"imageName": name}


class Chain:
    """Images of one site that depend on others there."""

    def __init__(self, site: Site, aci: Aci) -> None:
        self._site, self._aci = site, aci
        site.template(f"https://{site.address}/{{name}}.{{ext}}")

    def name(self, last: str) -> str:
        return f"{self._site.address}/team/{last}"

    def put(self, last: str, *needs: str, signed: bool = True) -> str:
        """Offer an image that needs others; its name."""
        name = self.name(last)
        dependencies = [named(self.name(needed)) for needed in needs]
        self._site.put(self._aci(name, last.encode(), dependencies=dependencies), f"/{name}", signed)
        return name


@pytest.fixture(name="chain")
def _chain(site: Site, aci: Aci) -> Chain:
    return Chain(site, aci)


def names_in(host: Host) -> set[str]:
    return {str(image.manifest.name).rpartition("/")[2] for image in index.list_images(host.paths)}


def test_what_an_image_needs_is_discovered_and_verified_each_once(
    trusting: Host, site: Site, chain: Chain
) -> None:
    chain.put("base")
    chain.put("left", "base")
    chain.put("right", "base")
    rendered = fetch(trusting, chain.put("app", "left", "right"))
    assert len(rendered.lower) == 4
    assert names_in(trusting) == {"app", "left", "right", "base"}
    assert all(image.signer for image in index.list_images(trusting.paths))
    images = [path for path in site.asked if path.endswith(".aci")]
    assert sorted(images) == sorted(set(images)) and len(images) == 4
    del site.secure.asked[:]
    fetch(trusting, chain.name("app"))
    assert site.secure.asked == []


def test_what_is_there_already_is_not_fetched(trusting: Host, site: Site, chain: Chain) -> None:
    fetch(trusting, chain.put("base"))
    app = chain.put("app", "base")
    del site.secure.asked[:]
    fetch(trusting, app, UPDATE)
    assert [path for path in site.asked if path.endswith(".aci")] == [f"/{app}.aci"]


@pytest.mark.behaviour("B27")
def test_a_dependency_without_a_good_signature_stops_it_all(trusting: Host, chain: Chain) -> None:
    chain.put("base", signed=False)
    err = refusal(trusting, chain.put("app", "base"))
    assert isinstance(err, Untrusted) and chain.name("base") in err.message
    assert names_in(trusting) == set()


@pytest.mark.behaviour("B24")
def test_the_signature_that_is_given_is_not_that_of_a_dependency(
    trusting: Host, site: Site, chain: Chain, tmp_path: pathlib.Path
) -> None:
    chain.put("base")
    app = chain.put("app", "base")
    signature = tmp_path / "app.asc"
    signature.write_bytes(site.pages.pop(f"/{app}.aci.asc")[2])
    fetch(trusting, app, NEW.replace(signature=str(signature)))
    assert names_in(trusting) == {"app", "base"}


def test_one_that_is_nowhere_is_said_to_be(trusting: Host, chain: Chain) -> None:
    err = refusal(trusting, chain.put("app", "gone"))
    assert chain.name("gone") in err.message
    assert names_in(trusting) == set()


def test_a_name_without_a_host_must_be_in_the_store(
    trusting: Host, aci: Aci, site: Site, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "app.aci").write_bytes(aci("app", dependencies=[named("base")]))
    err = refusal(trusting, f"{tmp_path}/app.aci", FetchPolicy("new", ("image",)))
    assert isinstance(err, NotFound) and "needs base, which is not in the store" in err.message
    assert site.secure.asked == []


@pytest.mark.behaviour("B51")
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_ends(trusting: Host, chain: Chain, length: int) -> None:
    for number in range(length):
        chain.put(f"app{number}", f"app{(number + 1) % length}")
    err = refusal(trusting, chain.name("app0"))
    assert isinstance(err, InvalidSpec) and "depends on itself" in err.message
    assert names_in(trusting) == set()


def test_a_chain_has_a_bound(trusting: Host, chain: Chain) -> None:
    for number in range(20):
        chain.put(f"app{number}", f"app{number + 1}")
    err = refusal(trusting, chain.name("app0"))
    assert isinstance(err, Corrupt) and "one too many" in err.message


@pytest.mark.slow
def test_so_has_what_one_image_needs(trusting: Host, site: Site, chain: Chain) -> None:
    for number in range(70):
        chain.put(f"part{number}")
    err = refusal(trusting, chain.put("app", *(f"part{number}" for number in range(70))))
    assert isinstance(err, Corrupt) and "one too many" in err.message
    assert len([path for path in site.asked if path.endswith(".aci")]) == 65


@pytest.mark.behaviour("B16")
def test_never_fetches_none(
    trusting: Host, site: Site, aci: Aci, tmp_path: pathlib.Path, chain: Chain
) -> None:
    chain.put("base")
    path = tmp_path / "app.aci"
    path.write_bytes(aci("example.com/app", dependencies=[named(chain.name("base"))]))
    err = refusal(trusting, str(path), FetchPolicy("never", ("image",)))
    assert isinstance(err, NotFound) and err.message.endswith("(the image example.com/app needs it)")
    assert site.secure.asked == []


def test_check_mode_knows_that_it_would_be_fetched(
    trusting: Host, site: Site, aci: Aci, tmp_path: pathlib.Path, chain: Chain
) -> None:
    chain.put("base")
    path = tmp_path / "app.aci"
    path.write_bytes(aci("example.com/app", dependencies=[named(chain.name("base"))]))
    reference = parse_reference(str(path))
    fetching.check_dependencies(trusting, reference, NEW)
    with pytest.raises(NotFound, match="which is not in the store"):
        fetching.check_dependencies(trusting, reference, NEVER)
    assert site.secure.asked == []


def test_a_file_whose_dependency_is_discovered(
    trusting: Host, aci: Aci, tmp_path: pathlib.Path, chain: Chain
) -> None:
    chain.put("base")
    path = tmp_path / "app.aci"
    path.write_bytes(aci("example.com/app", dependencies=[named(chain.name("base"))]))
    fetch(trusting, str(path), FetchPolicy("new", ("image",)))
    assert names_in(trusting) == {"app", "base"}
