# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Plans for trusted keys: what differs, and that a second plan finds nothing to do."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import keystore
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import PublicKey, read_keys
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import trust
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import converge
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
    Gpg,
    keys,
)

Told = list[tuple[str, object, object]]
PREFIXES = pytest.mark.parametrize("prefix", ["", "example.com/team"])


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="key", scope="module")
def _key(gpg: Gpg) -> PublicKey:
    return read_keys(gpg.export(gpg.make("Team <team@example.com>")), "it")[0]


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host(paths, "amd64", "", "")


def files_of(host: Host) -> list[str]:
    base = os.path.dirname(host.paths.data)
    return sorted(str(path.relative_to(base)) for path in pathlib.Path(base).rglob("*"))


def present(host: Host, prefix: str, key: PublicKey, *, apply: bool = True) -> Told:
    outcome, path = converge(host, trust.ensure_key(host, prefix, key), apply=apply)
    assert path.endswith(f"/{key.fingerprint}")
    return [(found.path, found.before, found.after) for found in outcome.differences]


def absent(host: Host, prefix: str, key: PublicKey, *, apply: bool = True) -> Told:
    outcome, _left = converge(host, trust.ensure_no_key(host, prefix, key.fingerprint), apply=apply)
    return [(found.path, found.before, found.after) for found in outcome.differences]


def of_system(host: Host, prefix: str, key: PublicKey) -> pathlib.Path:
    path = pathlib.Path(host.paths.trusted_key(host.paths.system_config, prefix, key.fingerprint))
    path.parent.mkdir(parents=True)
    path.write_bytes(key.armored)
    path.chmod(0o644)
    return path


def counts(host: Host, key: PublicKey) -> bool:
    return key.fingerprint in {
        found.key.fingerprint for found in keystore.trusted_for(host.paths, "example.com/team/x")
    }


@PREFIXES
def test_a_key_comes_once_and_goes_once(host: Host, key: PublicKey, prefix: str) -> None:
    path = f"trust.{prefix or 'root'}.{key.fingerprint}"
    wanted: Told = [(path, None, "trusted")]
    assert present(host, prefix, key, apply=False) == wanted
    assert files_of(host) == []
    assert (present(host, prefix, key), counts(host, key)) == (wanted, True)
    before = files_of(host)
    assert (present(host, prefix, key), files_of(host)) == ([], before)
    assert absent(host, prefix, key, apply=False) == [(path, "trusted", None)]
    assert counts(host, key)
    assert (absent(host, prefix, key), counts(host, key)) == ([(path, "trusted", None)], False)
    assert absent(host, prefix, key) == []


@pytest.mark.behaviour("B31")
@PREFIXES
def test_a_key_of_the_system_is_masked_and_comes_back(host: Host, key: PublicKey, prefix: str) -> None:
    path = f"trust.{prefix or 'root'}.{key.fingerprint}"
    system = of_system(host, prefix, key)
    assert present(host, prefix, key) == []
    assert (absent(host, prefix, key), counts(host, key)) == ([(path, "trusted", "masked")], False)
    assert absent(host, prefix, key) == []
    assert system.read_bytes() == key.armored
    assert (present(host, prefix, key), counts(host, key)) == ([(path, "masked", "trusted")], True)
    assert present(host, prefix, key) == []
    # A local copy of a key of the system becomes a mask, not nothing.
    assert (absent(host, prefix, key), counts(host, key)) == ([(path, "trusted", "masked")], False)
    system.unlink()
    assert absent(host, prefix, key) == []
    assert present(host, prefix, key) == [(path, "masked", "trusted")]


def test_places_are_apart(host: Host, key: PublicKey) -> None:
    present(host, "example.com", key)
    assert absent(host, "", key) == absent(host, "example.com/team", key) == []
    assert counts(host, key)


def test_a_key_that_its_owner_has_changed_is_stored_again(host: Host, gpg: Gpg) -> None:
    fingerprint = gpg.make("renewed", "ed25519", "1y")
    old = read_keys(gpg.export(fingerprint), "it")[0]
    present(host, "", old)
    gpg("--quick-set-expire", fingerprint, "2y")
    new = read_keys(gpg.export(fingerprint), "it")[0]
    ((path, before, after),) = present(host, "", new)
    assert path == f"trust.root.{fingerprint}.content"
    assert before != after
    assert (present(host, "", new), len(present(host, "", old))) == ([], 1)


def test_a_key_of_no_use_is_refused_before_anything_is_written(host: Host, gpg: Gpg) -> None:
    weak = gpg.make("weak", "rsa1024")
    expired = gpg.make("expired", "ed25519", "30d", "--faked-system-time", THEN)
    revoked = gpg.make("revoked")
    gpg.revoke(revoked)
    for fingerprint, reason in (
        (weak, "RSA of 1024 bits"),
        (expired, "has expired"),
        (revoked, "was revoked"),
    ):
        key = read_keys(gpg.export(fingerprint), "it")[0]
        for apply in (False, True):
            with pytest.raises(Untrusted, match=reason):
                present(host, "", key, apply=apply)
        assert files_of(host) == []


def test_without_gpg_keys_are_kept_all_the_same(
    host: Host, key: PublicKey, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(programs, "PATH", str(tmp_path / "bin"))
    assert len(present(host, "", key)) == 1
    assert present(host, "", key) == []
    assert trust.trusted_at(host, "", key.fingerprint) is not None
    assert len(absent(host, "", key)) == 1
    assert trust.trusted_at(host, "", key.fingerprint) is None
