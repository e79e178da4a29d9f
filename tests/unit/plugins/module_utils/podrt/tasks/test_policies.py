# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The task pod_trust with a policy: present, again, changed, absent, and check mode of all."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import grouped
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policies import policy_for
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_docker
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import serving
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
    Gpg,
    keys,
)

LIBRARY = "docker.io/library"
TEAM = "example.com/team"


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="key", scope="module")
def _key(tmp_path_factory: pytest.TempPathFactory) -> CosignKey:
    return CosignKey(tmp_path_factory.mktemp("keys"))


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host(paths, "amd64", "", "")


def task(host: Host, check: bool = False, **options: object) -> dict[str, Any]:
    return run.TASKS["pod_trust"](host, Fields({"insecure_options": [], **options}, ""), check)


def told(result: dict[str, Any]) -> list[tuple[str, object, object]]:
    return [(each["path"], each["before"], each["after"]) for each in result["changes"]]


def foretold(host: Host, **options: object) -> dict[str, Any]:
    """The result of a task that check mode has foretold, and that finds nothing to do when it runs again."""
    before = tree(host)
    checked = task(host, check=True, **options)
    assert tree(host) == before
    made = task(host, **options)
    assert (made["changes"], made["diff"]) == (checked["changes"], checked["diff"])
    again = task(host, **options)
    assert not again["changed"]
    assert again["policy"] == made["policy"]
    return made


def tree(host: Host) -> dict[str, bytes]:
    folder = pathlib.Path(host.paths.local_config)
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_prefix_is_accepted_rejected_and_left_again(host: Host) -> None:
    made = foretold(host, prefix=LIBRARY, policy="accept")
    assert told(made) == [(f"policy.{LIBRARY}", None, "accept")]
    assert made["policy"] == {
        "prefix": LIBRARY,
        "root": False,
        "policy": "accept",
        "algorithms": [],
        "lookaside": "",
        "path": f"{host.paths.local_config}/trust.d/docker.io,library.json",
    }
    assert (made["trust"], made["fingerprints"]) == (None, [])
    assert told(foretold(host, prefix=LIBRARY, policy="reject")) == [
        (f"policy.{LIBRARY}", "accept", "reject")
    ]
    gone = foretold(host, prefix="index.docker.io/library", policy="accept", state="absent")
    assert (told(gone), gone["policy"]) == ([(f"policy.{LIBRARY}", "reject", None)], None)
    assert tree(host) == {}


def test_a_policy_for_all_images(host: Host) -> None:
    assert told(foretold(host, root=True, policy="reject")) == [("policy.root", None, "reject")]
    assert foretold(host, root=True, policy="reject")["policy"]["root"] is True
    assert told(foretold(host, root=True, policy="reject", state="absent")) == [
        ("policy.root", "reject", None)
    ]


def test_a_policy_of_the_system_is_taken_away_by_one_that_says_nothing(host: Host) -> None:
    place = pathlib.Path(host.paths.system_config, "trust.d")
    place.mkdir(parents=True)
    document = {"rktKind": "imagePolicy", "rktVersion": "v1", "prefix": LIBRARY, "policy": "accept"}
    (place / "it.json").write_text(json.dumps(document))
    same = task(host, prefix=LIBRARY, policy="accept")
    assert (same["changed"], same["policy"]["path"]) == (False, str(place / "it.json"))
    foretold(host, prefix=LIBRARY, policy="accept", state="absent")
    assert policy_for(host.paths, parse_docker("nginx")) is None
    assert told(foretold(host, prefix=LIBRARY, policy="reject")) == [(f"policy.{LIBRARY}", None, "reject")]
    foretold(host, prefix=LIBRARY, policy="reject", state="absent")
    assert policy_for(host.paths, parse_docker("nginx")) is None


def test_a_key_of_cosign_signs(host: Host, key: CosignKey, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cosign.pub"
    path.write_bytes(key.public)
    made = foretold(host, prefix=TEAM, policy="signed", key=key.public.decode(), fingerprint=key.fingerprint)
    assert told(made) == [
        (f"policy.{TEAM}", None, "signed"),
        (f"policy.{TEAM}.keys", None, key.fingerprint),
    ]
    assert (made["fingerprints"], made["policy"]["algorithms"]) == ([key.fingerprint], ["ECDSA P-256"])
    written = f"sha256:{key.fingerprint.upper()}"
    assert not task(host, prefix=TEAM, policy="signed", src=str(path), fingerprint=written)["changed"]
    other = CosignKey(tmp_path, "other", "ed25519")
    changed = foretold(host, prefix=TEAM, policy="signed", key=other.public.decode())
    assert told(changed) == [(f"policy.{TEAM}.keys", key.fingerprint, other.fingerprint)]
    both = foretold(host, prefix=TEAM, policy="signed", key=(key.public + other.public).decode())
    assert sorted(both["fingerprints"]) == sorted((key.fingerprint, other.fingerprint))
    assert told(foretold(host, prefix=TEAM, policy="accept")) == [
        (f"policy.{TEAM}", "signed", "accept"),
        (f"policy.{TEAM}.keys", ", ".join(sorted((key.fingerprint, other.fingerprint))), None),
    ]


def test_a_key_of_openpgp_signs_with_a_place_of_signatures(host: Host, gpg: Gpg) -> None:
    name = gpg.make("Team", "ed25519", "1y")
    options = {"prefix": TEAM, "policy": "signed", "fingerprint": grouped(name)}
    first = {**options, "key": gpg.export(name).decode()}
    made = foretold(host, **first, lookaside="https://example.com/sigs")
    assert told(made)[2] == (f"policy.{TEAM}.lookaside", None, "https://example.com/sigs")
    assert (made["fingerprints"], made["policy"]["algorithms"]) == ([name], ["OpenPGP"])
    assert told(foretold(host, **first)) == [(f"policy.{TEAM}.lookaside", "https://example.com/sigs", None)]
    gpg("--quick-set-expire", name, "2y")
    renewed = foretold(host, **{**options, "key": gpg.export(name).decode()})
    assert [path for path, _before, _after in told(renewed)] == [f"policy.{TEAM}.content"]


def test_the_fingerprint_is_enforced(host: Host, key: CosignKey, tmp_path: pathlib.Path) -> None:
    other = CosignKey(tmp_path, "other")
    for text in (other.public, key.public + other.public):
        for check in (True, False):
            with pytest.raises(Untrusted, match="is not the expected one"):
                task(
                    host,
                    check,
                    prefix=TEAM,
                    policy="signed",
                    key=text.decode(),
                    fingerprint=key.fingerprint,
                )
    assert tree(host) == {}


def test_the_key_of_a_url_is_pinned_and_asked_for_once(host: Host, key: CosignKey) -> None:
    with serving() as web:
        web.answer = lambda *_request: (200, {}, key.public)
        options = {"prefix": TEAM, "policy": "signed", "url": f"{web.url}/cosign.pub"}
        with pytest.raises(InvalidSpec, match="needs the fingerprint"):
            task(host, **options)
        assert web.asked == []
        task(host, **options, fingerprint=key.fingerprint, insecure_options=["http"])
        asked = len(web.asked)
        assert not task(host, **options, fingerprint=key.fingerprint, insecure_options=["http"])["changed"]
        assert (asked, len(web.asked)) == (1, 1)
        with pytest.raises(Untrusted, match="is not the expected one"):
            task(host, **options, fingerprint="a" * 64, insecure_options=["http"])


def test_a_key_that_signs_no_more_is_not_stored(host: Host, gpg: Gpg) -> None:
    old = gpg.make("Old", "ed25519", "1d", "--faked-system-time", THEN)
    with pytest.raises(Untrusted, match="it has expired"):
        task(host, prefix=TEAM, policy="signed", key=gpg.export(old).decode())
    assert tree(host) == {}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"policy": "accept"}, "prefix"),
        ({"prefix": TEAM, "key": "x", "lookaside": "https://example.com"}, "lookaside"),
        ({"policy": "accept", "prefix": LIBRARY, "root": True}, "prefix"),
        ({"policy": "accept", "prefix": "nginx"}, "prefix"),
        ({"policy": "maybe", "prefix": LIBRARY}, "policy"),
        ({"policy": "signed", "prefix": LIBRARY}, "key"),
        ({"policy": "accept", "prefix": LIBRARY, "lookaside": "https://example.com"}, "lookaside"),
        ({"policy": "signed", "prefix": LIBRARY, "key": "x", "src": "/x"}, "src"),
        ({"policy": "signed", "prefix": LIBRARY, "key": "x", "fingerprint": "1234"}, "fingerprint"),
        ({"policy": "signed", "prefix": LIBRARY, "src": "x"}, "src"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_named(
    host: Host, options: dict[str, object], where: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        task(host, **options)
    assert caught.value.where == where
    assert tree(host) == {}


def test_only_signed_takes_a_key(host: Host, key: CosignKey) -> None:
    with pytest.raises(InvalidSpec, match='the policy "accept" takes no key'):
        task(host, prefix=LIBRARY, policy="accept", key=key.public.decode())


def test_a_private_key_is_refused_and_not_shown(host: Host, key: CosignKey) -> None:
    text = key.private.read_text()
    with pytest.raises(InvalidSpec, match="holds a private key") as caught:
        task(host, prefix=LIBRARY, policy="signed", key=text)
    assert text.splitlines()[1] not in f"{caught.value} {caught.value.hint} {caught.value.facts}"
