# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which keys count for a name, where they are, and which files make that no key counts."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    InvalidSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import keystore
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.keystore import Prefix, trusted_for
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import PublicKey, read_keys
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg

Keys = dict[str, PublicKey]
NAME = "example.com/team/app"


@pytest.fixture(name="some", scope="module")
def _some(gpg: Gpg) -> Keys:
    return {name: read_keys(gpg.export(gpg.make(name)), name)[0] for name in ("one", "two", "three")}


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )


def put(paths: Paths, system: bool, prefix: str, fingerprint: str, data: bytes) -> pathlib.Path:
    """A file of keys, written by hand."""
    base = paths.system_config if system else paths.local_config
    path = pathlib.Path(paths.trusted_key(base, prefix, fingerprint))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)
    return path


def found(paths: Paths, name: str = NAME) -> dict[str, str]:
    """The prefixes of the keys that count, by the names in them."""
    return {key.key.identities[0]: key.prefix for key in trusted_for(paths, name)}


@pytest.mark.behaviour("B30")
@pytest.mark.parametrize(
    ("prefix", "below"), [("", "root.d"), ("example.com/team", "prefix.d/example.com/team")]
)
def test_a_key_is_a_file_of_its_fingerprint(paths: Paths, some: Keys, prefix: str, below: str) -> None:
    one = some["one"]
    old = os.umask(0o077)
    try:
        path = keystore.store(paths, prefix, one)
    finally:
        os.umask(old)
    assert path == f"{paths.local_config}/trustedkeys/{below}/{one.fingerprint}"
    assert pathlib.Path(path).read_bytes() == one.armored
    assert one.armored.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    modes = {
        str(entry.relative_to(paths.local_config)): entry.stat().st_mode & 0o7777
        for entry in pathlib.Path(paths.local_config).rglob("*")
    }
    assert modes.pop(f"trustedkeys/{below}/{one.fingerprint}") == 0o644
    assert set(modes.values()) == {0o755}
    assert os.stat(paths.local_config).st_mode & 0o7777 == 0o755


@pytest.mark.behaviour("B32")
def test_only_the_local_directory_is_written(paths: Paths, some: Keys) -> None:
    one = some["one"].fingerprint
    keystore.store(paths, "example.com", some["one"])
    keystore.mask(paths, "", one)
    keystore.forget(paths, "example.com", one)
    keystore.forget(paths, "nosuch.org", one)
    assert not os.path.exists(paths.system_config)
    assert os.listdir(f"{paths.local_config}/trustedkeys/prefix.d/example.com") == []
    assert os.path.getsize(f"{paths.local_config}/trustedkeys/root.d/{one}") == 0


@pytest.mark.behaviour("B32")
def test_a_key_is_for_names_that_equal_its_prefix_or_are_below(paths: Paths, some: Keys) -> None:
    keystore.store(paths, "", some["one"])
    keystore.store(paths, "example.com/team", some["two"])
    keystore.store(paths, NAME, some["three"])
    assert found(paths) == {"one": "", "two": "example.com/team", "three": NAME}
    assert found(paths, f"{NAME}/debug") == {"one": "", "two": "example.com/team", "three": NAME}
    assert found(paths, "example.com/team") == {"one": "", "two": "example.com/team"}
    for name in (
        "example.com/teams",
        "example.com",
        "example.co",
        "team",
        "x/example.com/team",
        "example.com/tea",
    ):
        assert found(paths, name) == {"one": ""}, name
    assert found(paths, "") == {"one": ""}


@pytest.mark.behaviour("B31")
def test_keys_of_both_directories_count_and_the_local_file_takes_precedence(paths: Paths, some: Keys) -> None:
    one, two = some["one"], some["two"]
    system = put(paths, True, "", one.fingerprint, one.armored)
    put(paths, True, "example.com", two.fingerprint, two.armored)
    assert found(paths) == {"one": "", "two": "example.com"}
    assert trusted_for(paths, NAME)[0].path == str(system)
    local = keystore.store(paths, "", one)
    assert {key.path for key in trusted_for(paths, NAME)} >= {local}


@pytest.mark.behaviour("B31")
@pytest.mark.parametrize("prefix", ["", "example.com", NAME])
def test_an_empty_file_masks_the_key_of_the_system(paths: Paths, some: Keys, prefix: str) -> None:
    one, two = some["one"], some["two"]
    for key in (one, two):
        put(paths, True, prefix, key.fingerprint, key.armored)
    keystore.mask(paths, prefix, one.fingerprint)
    assert found(paths) == {"two": prefix}
    keystore.forget(paths, prefix, one.fingerprint)
    assert found(paths) == {"one": prefix, "two": prefix}


@pytest.mark.behaviour("B31")
def test_a_mask_takes_away_what_was_loaded_before_it(paths: Paths, some: Keys) -> None:
    """Root keys are first, then the prefixes of the system, then the local ones, shorter ones first."""
    one = some["one"]
    put(paths, True, "", one.fingerprint, one.armored)
    keystore.mask(paths, "example.com/team", one.fingerprint)
    assert (found(paths), found(paths, "example.com/other")) == ({}, {"one": ""})
    keystore.store(paths, NAME, one)
    assert found(paths) == {"one": NAME}
    keystore.forget(paths, NAME, one.fingerprint)
    put(paths, True, NAME, one.fingerprint, one.armored)
    assert found(paths) == {}


@pytest.mark.behaviour("B31")
@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("prefix", ["", "example.com"])
def test_a_file_of_another_name_fails_all(paths: Paths, some: Keys, system: bool, prefix: str) -> None:
    one, two = some["one"], some["two"]
    keystore.store(paths, "example.com", two)
    for name in (two.fingerprint[::-1], one.fingerprint.upper(), one.fingerprint[-16:], "README"):
        path = put(paths, system, prefix, name, one.armored)
        with pytest.raises(Corrupt, match="fingerprint mismatch") as caught:
            trusted_for(paths, NAME)
        assert caught.value.facts["path"] == str(path)
        path.unlink()
    path = put(paths, system, prefix, "README", b"")
    with pytest.raises(Corrupt, match="fingerprint mismatch"):
        trusted_for(paths, NAME)


@pytest.mark.parametrize(
    "data", [b"\n", b"x", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", b"\xc6" * (5 << 20)]
)
def test_a_damaged_file_fails_all(paths: Paths, some: Keys, data: bytes) -> None:
    keystore.store(paths, "", some["two"])
    put(paths, False, "", some["one"].fingerprint, data)
    with pytest.raises(Corrupt):
        trusted_for(paths, NAME)


def test_a_secret_key_fails_all(paths: Paths, gpg: Gpg, some: Keys) -> None:
    one = some["one"].fingerprint
    put(paths, True, "", one, gpg("--armor", "--export-secret-keys", one))
    with pytest.raises(Corrupt, match="secret key"):
        trusted_for(paths, NAME)


def test_a_link_is_neither_a_key_nor_a_mask(paths: Paths, some: Keys, tmp_path: pathlib.Path) -> None:
    one = some["one"]
    aside = tmp_path / "key"
    aside.write_bytes(one.armored)
    put(paths, True, "", one.fingerprint, one.armored)
    for target in (str(aside), "/dev/null", "/nonexistent"):
        path = pathlib.Path(paths.trusted_key(paths.local_config, "", one.fingerprint))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        with pytest.raises(Corrupt, match="symbolic link"):
            trusted_for(paths, NAME)
        path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    with pytest.raises(Corrupt, match="symbolic link"):
        trusted_for(paths, NAME)
    with pytest.raises(Corrupt):
        keystore.store(paths, "", one)
    assert not (tmp_path / one.fingerprint).exists()


@pytest.mark.root
@pytest.mark.parametrize(
    "what", ["", "trustedkeys", "trustedkeys/prefix.d", "trustedkeys/prefix.d/example.com", "key"]
)
def test_what_others_can_change_is_refused(paths: Paths, some: Keys, what: str) -> None:
    one = some["one"]
    path = keystore.store(paths, "example.com", one)
    place = path if what == "key" else os.path.join(paths.local_config, what).rstrip("/")
    os.chmod(place, 0o777)
    with pytest.raises(InvalidSpec, match=f"{place} is not used as configuration: others can change it"):
        trusted_for(paths, NAME)
    os.chmod(place, 0o755)
    os.chown(place, 1000, 0)
    with pytest.raises(InvalidSpec, match="belongs to another user"):
        trusted_for(paths, NAME)
    if what not in ("", "key"):
        with pytest.raises(InvalidSpec, match="belongs to another user"):
            keystore.store(paths, "example.com", some["two"])


def test_what_a_killed_writer_leaves_is_no_key(paths: Paths, some: Keys) -> None:
    one = some["one"]
    put(paths, False, "", f"{one.fingerprint}.0123456789ab.tmp", one.armored[:100])
    assert found(paths) == {}
    put(paths, False, "", "notes.tmp", b"")
    with pytest.raises(Corrupt):
        trusted_for(paths, NAME)


def test_directories_are_those_of_longer_prefixes(paths: Paths, some: Keys) -> None:
    keystore.store(paths, NAME, some["one"])
    pathlib.Path(paths.trusted_keys(paths.local_config, ""), "old").mkdir(parents=True)
    assert found(paths, "example.com") == {}


@pytest.mark.parametrize(
    "name",
    ["a/../../../root.d", "a//b", "a/./b", "/etc", "..", f"{'a' * 256}/b", "a\0b", "example.com/../one.org"],
)
def test_a_name_that_is_no_path_has_root_keys_alone(paths: Paths, some: Keys, name: str) -> None:
    """appc allows "a//b" and "a/../b" as names, which an image gives itself."""
    keystore.store(paths, "", some["one"])
    for prefix in ("one.org", "a", "b", "a/b", "root.d"):
        keystore.store(paths, prefix, some["two"])
    assert found(paths, name) == {"one": ""}
    with pytest.raises(InvalidSpec):
        Prefix(name, "prefix")


@pytest.mark.behaviour("A60")
def test_a_prefix_has_no_scheme() -> None:
    with pytest.raises(InvalidSpec) as caught:
        Prefix("https://example.com", "prefix")
    assert caught.value.on_argv == "--prefix must not contain a URL scheme, omit https://"
    assert (caught.value.where, caught.value.hint) == ("prefix", "omit https://")
    for text in ("", "Example.com", "example.com/", "/x", "a b"):
        with pytest.raises(InvalidSpec):
            Prefix(text, "prefix")
    assert Prefix("example.com/team") == "example.com/team"


def test_a_directory_that_cannot_be_made_has_an_error(paths: Paths, some: Keys) -> None:
    pathlib.Path(paths.local_config).write_text("")
    with pytest.raises(HostFailure, match="cannot write the trusted key"):
        keystore.store(paths, "example.com", some["one"])
