# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which image of an archive is meant, and what of an archive is believed."""

from __future__ import annotations

import gzip
import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.archives import opened
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.savedimages import (
    LAYERS,
    REF_NAME,
    Blobs,
    config_of,
    digest_of,
    docker_members,
    tar_of,
    write_directory,
)

LOW, HIGH = LAYERS


@pytest.fixture(name="read")
def _read(tmp_path):
    """What an archive of some members gives: its content and its layers' bytes."""

    def read(members, choice="", form="docker-archive", arch="amd64"):
        path = tmp_path / "app.tar"
        if form == "oci":
            write_directory(path, members)
        else:
            path.write_bytes(tar_of(*members))
        reference = parse_reference(f"{form}:{path}" + (f":{choice}" if choice else ""))
        with opened(reference) as archive:
            content = archive.image(arch)
            return content, [b"".join(archive.layer(layer)) for layer in content.layers]

    return read


def docker(*names, layers=LAYERS, files=None, **config):
    paths = [f"{digest_of(data)[7:]}.tar" for data in layers]
    placed = tuple(zip(paths, files or layers))
    return docker_members((list(names) or None, config_of(*layers, **config), paths), files=placed)


def test_docker_archives_are_read(read):
    content, layers = read(docker("example.com/app:1.0"))
    assert layers == [LOW, HIGH]
    assert content.config.cmd == ("/b",)
    assert str(content.reference) == "docker://example.com/app:1.0"
    assert content.layer_ids == (digest_of(HIGH), digest_of(LOW))
    assert content.asked_digest == content.config_digest == digest_of(config_of(LOW, HIGH))


def test_one_without_a_name_is_called_after_its_file_and_by_its_digest(read):
    content, _layers = read(docker())
    assert (content.reference.registry, content.reference.repository) == ("localhost", "app")
    assert content.reference.digest == content.config_digest


def test_layers_of_a_docker_archive_may_be_compressed_and_are_proved_by_their_diff_ids(read):
    packed = (gzip.compress(LOW), HIGH)
    content, layers = read(docker("a:1", files=packed))
    assert layers == list(packed)
    assert [layer.digest for layer in content.layers] == [digest_of(packed[0]), digest_of(HIGH)]
    assert [layer.diff_id for layer in content.layers] == [digest_of(LOW), digest_of(HIGH)]


def test_docker_25_writes_both_forms_and_the_first_counts(read):
    blobs = Blobs()
    config = config_of(LOW)
    entry = blobs.add(json.dumps({"schemaVersion": 2, "manifests": None}).encode(), "manifest.v1+json")
    blobs.held.update({digest_of(config): config, digest_of(LOW): LOW})
    listed = [
        {
            "Config": f"blobs/sha256/{digest_of(config)[7:]}",
            "RepoTags": ["app:1"],
            "Layers": [f"blobs/sha256/{digest_of(LOW)[7:]}"],
        }
    ]
    members = (*blobs.members(entry), ("manifest.json", json.dumps(listed).encode()))
    for form in ("docker-archive", "oci-archive"):
        content, layers = read(members, form=form)
        assert (str(content.reference), layers) == ("docker://registry-1.docker.io/library/app:1", [LOW])


@pytest.mark.parametrize("form", ["oci", "oci-archive"])
@pytest.mark.parametrize("choice", ["", "1.0", "@0"])
def test_oci_layouts_are_read(read, form, choice):
    blobs = Blobs()
    content, layers = read(blobs.members(blobs.image(LOW, HIGH, name="1.0")), choice, form)
    assert layers == [LOW, HIGH]
    assert (content.reference.repository, content.reference.tag) == ("app", "1.0")
    assert content.digest == content.asked_digest != content.config_digest


def test_podman_writes_the_whole_name(read):
    blobs = Blobs()
    members = blobs.members(blobs.image(LOW, name="example.com/app:2"), blobs.image(HIGH, name="b:1"))
    for choice in ("example.com/app:2", "2", "@0"):
        content, layers = read(members, choice, "oci-archive")
        assert (str(content.reference), layers) == ("docker://example.com/app:2", [LOW])


def test_the_same_image_under_two_names_is_no_choice(read):
    blobs = Blobs()
    entry = blobs.image(LOW)
    named = [{**entry, "annotations": {REF_NAME: name}} for name in ("1", "latest")]
    assert read(blobs.members(*named), form="oci")[1] == [LOW]


def test_of_several_platforms_that_of_the_host_is_taken(read):
    blobs = Blobs()
    entries = []
    for arch, data in (("amd64", LOW), ("arm64", HIGH)):
        platform = {"os": "linux", "architecture": arch}
        entries.append({**blobs.image(data, arch=arch), "platform": platform})
    nested = blobs.members(blobs.index(*entries))
    for members in (blobs.members(*entries), nested):
        assert read(members, form="oci-archive")[1] == [LOW]
        assert read(members, form="oci-archive", arch="aarch64")[1] == [HIGH]
    with pytest.raises(NotFound, match="is not made for ppc64le: it offers amd64, arm64"):
        read(nested, form="oci-archive", arch="ppc64le")


def test_an_attestation_beside_an_image_is_not_offered(read):
    blobs = Blobs()
    attestation = {
        **blobs.image(HIGH),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    assert read(blobs.members(blobs.image(LOW), attestation), form="oci-archive")[1] == [LOW]


def test_several_images_are_listed(read):
    both = docker_members(
        (["a:1", "a:2"], config_of(LOW), ["l"]),
        (None, config_of(HIGH), ["h"]),
        files=(("l", LOW), ("h", HIGH)),
    )
    with pytest.raises(InvalidSpec, match=r"has several images: @0 a:1 a:2, @1 \(without a name\)"):
        read(both)
    assert read(both, "@1")[1] == [HIGH]
    assert read(both, "a:2")[1] == [LOW]
    with pytest.raises(NotFound, match=r'has no image "a:3": it has @0 a:1 a:2, @1 \(without a name\)'):
        read(both, "a:3")


def without(members, name):
    return tuple(member for member in members if member[0] != name)


def renamed(members, old, data):
    return tuple((name, data if name == old else what) for name, what in members)


OCI_BLOBS = Blobs()
OCI_ENTRY = OCI_BLOBS.image(LOW, name="1")
OCI = OCI_BLOBS.members(OCI_ENTRY)
MANIFEST = f"blobs/sha256/{OCI_ENTRY['digest'][7:]}"
LAYER = f"blobs/sha256/{digest_of(LOW)[7:]}"
DOCKER = docker("a:1", layers=(LOW,))
CONFIG = f"{digest_of(config_of(LOW))[7:]}.json"


@pytest.mark.parametrize(
    ("form", "members", "kind", "reason"),
    [
        ("oci-archive", without(OCI, "index.json"), NotFound, "is not an OCI layout: it has no index.json"),
        ("docker-archive", OCI, NotFound, "is not a docker archive: it has no manifest.json"),
        ("oci-archive", without(OCI, MANIFEST), NotFound, "lacks the file blobs/sha256/"),
        ("oci-archive", without(OCI, LAYER), NotFound, "lacks the file blobs/sha256/"),
        ("oci-archive", renamed(OCI, MANIFEST, b"{}"), Untrusted, "has another digest"),
        ("oci-archive", renamed(OCI, LAYER, b"short"), Corrupt, "has 5 bytes, not"),
        ("oci-archive", renamed(OCI, "index.json", b"[]"), Corrupt, "is not valid"),
        ("oci-archive", renamed(OCI, "index.json", b'{"manifests": []}'), NotFound, "has no image"),
        ("oci-archive", renamed(OCI, "index.json", b" " * (5 << 20)), Corrupt, "more than the"),
        ("docker-archive", renamed(DOCKER, "manifest.json", b"{}"), Corrupt, "is not valid"),
        ("docker-archive", renamed(DOCKER, "manifest.json", b"[]"), NotFound, "has no image"),
        ("docker-archive", renamed(DOCKER, CONFIG, b"{}"), Untrusted, "has another digest"),
        ("docker-archive", without(DOCKER, CONFIG), NotFound, "lacks the file"),
        ("docker-archive", (("manifest.json", "/etc/passwd"),), Corrupt, "leads out of it"),
    ],
)
def test_what_is_wrong_is_told(read, form, members, kind, reason):
    with pytest.raises(kind) as caught:
        read(members, form=form)
    assert reason in caught.value.message


def test_a_long_chain_of_indexes_is_refused(read):
    blobs = Blobs()
    entry = {**blobs.image(LOW), "platform": {"os": "linux", "architecture": "amd64"}}
    for _depth in range(8):
        entry = {**blobs.index(entry), "platform": {"os": "linux", "architecture": "amd64"}}
    with pytest.raises((Corrupt, Unsupported)):
        read(blobs.members(entry), form="oci-archive")


def test_an_archive_that_is_compressed_as_a_whole_is_refused(tmp_path):
    path = tmp_path / "app.tar.gz"
    path.write_bytes(gzip.compress(tar_of(*DOCKER)))
    with (
        pytest.raises(Unsupported, match=r"the archive as a whole is compressed \(gzip\)"),
        opened(parse_reference(f"docker-archive:{path}")),
    ):
        raise AssertionError
