# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a registry, including nonsensical ones."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import manifests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import DockerConfig

NAME = "docker://h/a:1"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


def offer(digest, os="linux", architecture="amd64", variant=""):
    platform = {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
    return {"digest": digest, "platform": platform}


def choose(*entries, arch="amd64"):
    document = json.dumps({"manifests": list(entries)}).encode()
    return manifests.choose(manifests.read_manifest(document, NAME), arch, NAME)


@pytest.mark.behaviour("B39")
@pytest.mark.parametrize(
    ("entries", "arch", "wanted"),
    [
        ((offer(A, architecture="arm64"), offer(B)), "amd64", (B, True)),
        ((offer(A, "windows"), offer(B)), "amd64", (B, True)),
        ((offer(A), offer(B)), "amd64", (A, True)),
        (
            (offer(A, architecture="arm", variant="v6"), offer(B, architecture="arm", variant="v7")),
            "armv7l",
            (B, True),
        ),
        (({"digest": A},), "amd64", (A, False)),
        (({"digest": A}, offer(B)), "amd64", (B, True)),
    ],
    ids=["architecture", "os", "first", "variant", "alone without a platform", "another without a platform"],
)
def test_what_fits_is_chosen(entries, arch, wanted):
    assert choose(*entries, arch=arch) == wanted


@pytest.mark.finding("attack-F4")
@pytest.mark.parametrize("entry", [[], {}, 1, "", offer(A)], ids=str)
def test_an_index_names_so_many_manifests_and_no_more(entry):
    assert choose(*[entry] * 999, offer(A)) == (A, True)
    with pytest.raises(Unsupported, match="it names 1001 manifests, and 1000 is the most that is read"):
        choose(*[entry] * 1000, offer(A))


@pytest.mark.finding("attack-F4")
def test_a_manifest_names_so_many_layers_and_no_more():
    config = DockerConfig.from_json({"rootfs": {"diff_ids": [A] * 1001}})

    def layers(count):
        document = json.dumps({"layers": [{"digest": B, "size": 1}] * count}).encode()
        return manifests.layers_of(manifests.read_manifest(document, NAME), config, NAME)

    with pytest.raises(Corrupt, match="has 1000 layers, but its configuration names 1001"):
        layers(1000)
    with pytest.raises(Unsupported, match="it names 1001 layers, and 1000 is the most that is read"):
        layers(1001)


@pytest.mark.finding("case-02")
@pytest.mark.parametrize(
    "odd",
    [
        *(None, 1, "text", [], {}),
        *({"digest": A, "platform": platform} for platform in (1, "linux", [1], {"os": 1}, {"os": None})),
        {"digest": A, "platform": {"os": "linux", "architecture": ["amd64"]}},
        {"digest": A, "platform": {"os": "linux", "architecture": "amd64", "variant": 1}},
        {"digest": "sha512:" + "a" * 128, "platform": {"os": "linux", "architecture": "s390x"}},
        {"digest": 5, "platform": {"os": "linux", "architecture": "s390x"}},
        {"platform": {"os": "unknown", "architecture": "unknown"}},
    ],
    ids=ascii,
)
def test_one_odd_entry_of_an_index_is_no_reason_to_refuse_the_others(odd):
    assert choose(odd, offer(B)) == choose(offer(B), odd) == (B, True)


def test_the_digest_of_what_is_chosen_must_be_one_that_can_be_checked():
    with pytest.raises(Corrupt, match="not a digest that can be checked"):
        choose(offer("sha512:" + "a" * 128), offer(B))


def test_what_does_not_fit_is_not_found_and_what_there_is_is_said():
    with pytest.raises(NotFound, match="h/a:1 is not made for amd64: it offers arm64/v8, s390x"):
        choose(offer(A, architecture="s390x"), offer(B, architecture="arm64", variant="v8"))
    with pytest.raises(NotFound, match="it offers no linux at all"):
        choose({"digest": A}, {"digest": B})


@pytest.mark.parametrize(
    ("config", "offered"),
    [
        ({"architecture": "arm64"}, "arm64"),
        ({"architecture": "amd64", "os": "windows"}, "no linux at all"),
        ({}, "an unnamed architecture"),
    ],
)
def test_a_configuration_for_another_platform_is_refused(config, offered):
    with pytest.raises(NotFound, match=f"not made for amd64: it offers {offered}"):
        manifests.check_platform(DockerConfig.from_json(config), "amd64", NAME)
    manifests.check_platform(DockerConfig.from_json({"architecture": "amd64"}), "amd64", NAME)


@pytest.mark.parametrize(
    "entries",
    [[{}], [{"digest": 5}], [{"digest": "md5:0"}], "text", 5],
    ids=str,
)
def test_an_index_that_makes_no_sense_is_corrupt_and_named(entries):
    document = json.dumps({"manifests": entries}).encode()
    with pytest.raises(Corrupt):
        manifests.choose(manifests.read_manifest(document, NAME), "amd64", NAME)


@pytest.mark.parametrize(
    "manifest",
    [
        {"layers": [{"digest": A, "size": 10**400}]},
        {"layers": [{"digest": A, "size": -1}]},
        {"layers": [{"digest": A, "size": "1"}]},
        {"layers": [{"digest": A}]},
        {"layers": [{"digest": "sha256:1", "size": 1}]},
        {"layers": ["x"]},
        {"layers": []},
    ],
    ids=lambda manifest: json.dumps(manifest)[:40],
)
def test_layers_that_make_no_sense_are_corrupt(manifest):
    config = DockerConfig.from_json({"rootfs": {"diff_ids": [C]}})
    fields = manifests.read_manifest(json.dumps(manifest).encode(), NAME)
    with pytest.raises(Corrupt):
        manifests.layers_of(fields, config, NAME)


@pytest.mark.parametrize(
    ("read", "said"),
    [(manifests.read_manifest, "manifest"), (manifests.read_config, "configuration")],
    ids=["manifest", "configuration"],
)
@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"\xff", b"[" * 100_000, b'"\\ud800"'], ids=lambda data: str(data[:9])
)
def test_a_document_of_another_shape_is_corrupt_and_named(read, said, data):
    with pytest.raises(Corrupt, match=f"the {said} of docker://h/a:1 is not valid: "):
        read(data, NAME)


def test_a_digest_of_a_configuration_is_needed():
    for config in ("text", {}, {"digest": "x"}):
        with pytest.raises(Corrupt):
            manifests.config_digest(
                manifests.read_manifest(json.dumps({"config": config}).encode(), NAME), NAME
            )
