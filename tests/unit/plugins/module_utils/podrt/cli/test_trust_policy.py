# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl trust --policy: what decides about docker images."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policies import policy_in
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import PodLab
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.test_trust import (
    SKIP,
    error,
    stored,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import keys

LIBRARY, TEAM = "--prefix=docker.io/library", "--prefix=example.com/team"
FILE = "trust.d/docker.io,library.json"


@pytest.fixture(name="key")
def _key(tmp_path: pathlib.Path) -> CosignKey:
    return CosignKey(tmp_path)


def test_a_policy_is_written_changed_and_removed(lab: PodLab) -> None:
    dry = lab.podctl("trust", LIBRARY, "--policy=accept", "--dry-run")
    assert (dry.status, stored(lab)) == (0, [])
    assert "policy.docker.io/library" in dry.out
    done = lab.podctl("trust", LIBRARY, "--policy=accept")
    assert (done.status, stored(lab)) == (0, [FILE])
    assert f'The policy for docker.io/library is "accept", at "{lab.paths.local_config}/{FILE}"' in done.out
    assert lab.podctl("trust", LIBRARY, "--policy", "reject").status == 0
    held = policy_in(lab.paths.local_config, "docker.io/library")
    assert held and held.policy.policy == "reject"
    assert lab.podctl("trust", LIBRARY, "--policy=none").status == 0
    assert stored(lab) == []
    assert lab.podctl("trust", "--root", "--policy=reject").status == 0
    assert stored(lab) == ["trust.d/default.json"]


def test_the_keys_of_a_policy_are_reviewed(lab: PodLab, key: CosignKey, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cosign.pub"
    path.write_bytes(key.public)
    unseen = lab.podctl("trust", TEAM, "--policy=signed", str(path))
    assert "unable to ask user to review fingerprint due to lack of tty" in error(unseen)
    assert f"ECDSA P-256 key fingerprint is: sha256:{key.fingerprint}\n" in unseen.out
    assert stored(lab) == []
    assert lab.podctl("trust", TEAM, "--policy=signed", SKIP, str(path)).status == 0
    held = policy_in(lab.paths.local_config, "example.com/team")
    assert held and held.policy.keys.fingerprints == (key.fingerprint,)


def test_a_key_of_openpgp_has_a_place_of_signatures(lab: PodLab, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "team.asc"
    with keys() as gpg:
        path.write_bytes(gpg.export(gpg.make("Team <team@example.com>")))
    words = ("trust", TEAM, "--policy=signed", "--lookaside=file:///srv/signatures", SKIP, str(path))
    done = lab.podctl(*words)
    assert (done.status, "gpg key fingerprint is:" in done.out) == (0, True)
    held = policy_in(lab.paths.local_config, "example.com/team")
    assert held and held.policy.lookaside == "file:///srv/signatures"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prefix=example.com", "--lookaside=https://example.com", "x"), "add --policy=signed"),
        (("--policy=accept",), "a policy has no bounds without --prefix"),
        (("--policy=accept", "--root", LIBRARY), "--root and --prefix usage mutually exclusive"),
        (("--policy=maybe", LIBRARY), 'unknown policy "maybe"'),
        (("--policy=accept", "--prefix=nginx"), "is not a prefix of names of docker images"),
        (("--policy=signed", LIBRARY), 'the policy "signed" needs a key'),
        (("--policy=signed", LIBRARY, "a", "b"), "takes one file or URL of keys"),
        (("--policy=signed", LIBRARY, "/nowhere"), "error accessing the key /nowhere"),
        (("--policy=signed", LIBRARY, "http://127.0.0.1:1/k"), "--insecure-allow-http required"),
        (("--policy=accept", LIBRARY, "--lookaside=https://example.com"), "is for the policy signed"),
    ],
)
def test_what_does_not_fit_together_is_refused(lab: PodLab, words: tuple[str, ...], message: str) -> None:
    assert message in error(lab.podctl("trust", *words))
    assert stored(lab) == []
