# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Policies for docker images: which one decides, and how they are kept."""

from __future__ import annotations

import json
import pathlib
import stat

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import policies
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policies import (
    ImagePolicy,
    Keys,
    keys_of,
    parse_prefix,
    policy_for,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_docker
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import keys

_files = iter(range(1000))


@pytest.fixture(name="pem", scope="module")
def _pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return CosignKey(tmp_path_factory.mktemp("keys")).public


def put(place: str, prefix: str, policy: str, /, **members: object) -> pathlib.Path:
    """Write a document as an administrator might."""
    folder = pathlib.Path(place, "trust.d")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{next(_files)}.json"
    document = {"rktKind": "imagePolicy", "rktVersion": "v1", "prefix": prefix, "policy": policy}
    path.write_text(json.dumps({**document, **members}))
    return path


def decided(host: Host, text: str) -> str:
    policy = policy_for(host.paths, parse_docker(text))
    return f"{policy.policy} {policy.prefix}".strip() if policy else ""


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("docker.io", "docker.io"),
        ("index.docker.io/library", "docker.io/library"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io/nginx", "docker.io/nginx"),
        ("example.com/team/app", "example.com/team/app"),
        ("Example.COM/team", "example.com/team"),
        ("Docker.io", "docker.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("localhost/x", "localhost/x"),
        ("[::1]:5000/x", "[::1]:5000/x"),
    ],
)
def test_a_prefix_begins_with_a_registry(text: str, prefix: str) -> None:
    assert parse_prefix(text) == prefix


@pytest.mark.parametrize(
    "text",
    [
        "", "nginx", "library/nginx", "docker://docker.io", "docker.io/", "docker.io//x", "/x", "docker.io/x:1",
        "docker.io/x@sha256:1", "example.com/Team", "example.com/../x", "a b.com", "*.example.com",
        f"example.com/{'x' * 200}",
    ],
)  # fmt: skip
def test_what_begins_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="not a prefix of names of docker images"):
        parse_prefix(text, "prefix")


def test_without_a_policy_nothing_is_said(host: Host) -> None:
    assert decided(host, "nginx") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nginx:1", "accept docker.io/library"),
        ("docker.io/other/x", "reject docker.io"),
        ("example.com/team/app", "reject example.com/team/app"),
        ("example.com/team/app/below@sha256:" + "a" * 64, "reject example.com/team/app"),
        ("example.com/team/apple", "accept example.com/team"),
        ("EXAMPLE.com/team/app", "reject example.com/team/app"),
        ("DOCKER.io/other/x", "reject docker.io"),
        ("Index.Docker.io/other/x", "reject docker.io"),
        ("example.com/teams", "accept"),
        ("example.com:443/team", "accept"),
        ("example.com.evil.org/team", "accept"),
    ],
)
def test_the_most_specific_prefix_decides(host: Host, name: str, expected: str) -> None:
    place = host.paths.local_config
    put(place, "", "accept")
    put(place, "docker.io", "reject")
    put(place, "docker.io/library", "accept")
    put(place, "example.com/team", "accept")
    put(place, "example.com/team/app", "reject")
    assert decided(host, name) == expected


def test_the_local_policy_of_a_prefix_takes_the_place_of_the_systems(host: Host) -> None:
    put(host.paths.system_config, "docker.io", "accept")
    put(host.paths.system_config, "docker.io/library", "reject")
    assert decided(host, "nginx") == "reject docker.io/library"
    put(host.paths.local_config, "docker.io/library", "none")
    assert decided(host, "nginx") == "accept docker.io"
    put(host.paths.local_config, "docker.io", "reject")
    assert decided(host, "nginx") == "reject docker.io"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"policy": "maybe"}, 'unknown policy "maybe"'),
        ({"policy": None}, "policy: missing"),
        ({"policy": "signed"}, 'the policy "signed" needs a key'),
        ({"policy": "signed", "keys": ["no key"]}, "does not hold a public key"),
        ({"policy": "signed", "keys": "text"}, "keys"),
        ({"prefix": "nginx"}, "not a prefix"),
        ({"prefix": None}, "prefix: missing"),
        ({"lookaside": "https://example.com"}, "for the policy signed with a key of OpenPGP"),
        ({"rktKind": "policy"}, 'has kind "policy"'),
    ],
)
def test_a_document_that_is_wrong_is_named_and_nothing_is_decided(
    host: Host, members: dict[str, object], message: str
) -> None:
    path = put(host.paths.local_config, "docker.io", "accept", **members)
    with pytest.raises(InvalidSpec, match=message) as caught:
        decided(host, "example.com/another")
    assert str(path) in caught.value.message


def test_two_policies_of_one_prefix_are_refused(host: Host) -> None:
    put(host.paths.local_config, "docker.io", "accept")
    put(host.paths.local_config, "index.docker.io", "reject")
    with pytest.raises(InvalidSpec, match="is already specified in"):
        decided(host, "nginx")


def test_a_document_that_others_can_write_is_refused(host: Host) -> None:
    put(host.paths.local_config, "docker.io", "accept").chmod(0o666)
    with pytest.raises(InvalidSpec, match="others can change it"):
        decided(host, "nginx")


def test_a_policy_is_stored_and_read_back(host: Host, pem: bytes) -> None:
    policy = ImagePolicy("example.com:5000/team", "signed", keys_of(pem, "it"))
    path = policies.store(host.paths, policy)
    assert path == f"{host.paths.local_config}/trust.d/example.com:5000,team.json"
    assert stat.S_IMODE(pathlib.Path(path).stat().st_mode) == 0o644
    assert policy_for(host.paths, parse_docker("example.com:5000/team/app")) == policy
    stored = policies.policy_in(host.paths.local_config, policy.prefix)
    assert stored == policies.StoredPolicy(path, policy)
    policies.forget(host.paths, policy.prefix)
    policies.forget(host.paths, policy.prefix)
    assert list(pathlib.Path(path).parent.iterdir()) == []


def test_a_policy_for_all_has_a_file(host: Host) -> None:
    assert policies.store(host.paths, ImagePolicy("", "reject")).endswith("/trust.d/default.json")
    assert decided(host, "nginx") == "reject"


def test_a_policy_is_stored_in_the_file_that_an_administrator_has_made(host: Host) -> None:
    path = put(host.paths.local_config, "docker.io", "accept")
    assert policies.store(host.paths, ImagePolicy("docker.io", "reject")) == str(path)
    assert decided(host, "nginx") == "reject docker.io"


def test_the_file_of_another_policy_is_not_replaced(host: Host) -> None:
    path = put(host.paths.local_config, "docker.io", "accept")
    path.rename(path.with_name("example.com.json"))
    with pytest.raises(InvalidSpec, match="is the file of another policy"):
        policies.store(host.paths, ImagePolicy("example.com", "reject"))
    assert decided(host, "nginx") == "accept docker.io"


def test_a_place_that_cannot_be_written_is_named(host: Host) -> None:
    pathlib.Path(host.paths.local_config).write_text("")
    with pytest.raises(HostFailure, match=r"trust\.d"):
        policies.store(host.paths, ImagePolicy("example.com", "reject"))


def test_keys_are_of_openpgp_or_of_cosign(host: Host, pem: bytes) -> None:
    with keys() as gpg:
        fingerprint = gpg.make("Team <team@example.com>")
        armored = gpg.export(fingerprint)
    by_openpgp, by_cosign = keys_of(armored, "it"), keys_of(pem, "it")
    assert (by_openpgp.fingerprints, len(by_cosign.fingerprints)) == ((fingerprint,), 1)
    both = Keys(by_openpgp.openpgp, by_cosign.cosign)
    policy = ImagePolicy("example.com", "signed", both, "https://example.com/signatures")
    policies.store(host.paths, policy)
    assert policy_for(host.paths, parse_docker("example.com/app")) == policy


@pytest.mark.parametrize(
    "place",
    [
        "http:/x",
        "file://host/x",
        "/srv/signatures",
        "ftp://example.com",
        "file:signatures",
        "https://example.com?x=secret",
    ],
)
def test_a_place_of_signatures_is_a_url(pem: bytes, place: str) -> None:
    with keys() as gpg:
        key = keys_of(gpg.export(gpg.make("Team <team@example.com>")), "it")
    with pytest.raises(InvalidSpec, match="is not a place of signatures"):
        ImagePolicy("example.com", "signed", key, place)
    with pytest.raises(InvalidSpec, match="signed with a key of OpenPGP"):
        ImagePolicy("example.com", "signed", keys_of(pem, "it"), place)


def test_a_password_in_the_place_of_signatures_is_refused_and_not_shown() -> None:
    with keys() as gpg:
        key = keys_of(gpg.export(gpg.make("Team <team@example.com>")), "it")
    with pytest.raises(InvalidSpec, match="is not a place of signatures") as caught:
        ImagePolicy("example.com", "signed", key, "https://me:secret@example.com/x")
    assert "secret" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("policy", ["accept", "reject", "none"])
def test_only_signed_takes_a_key(pem: bytes, policy: str) -> None:
    with pytest.raises(InvalidSpec, match=f'"{policy}" takes no key'):
        ImagePolicy("example.com", policy, keys_of(pem, "it"))
