# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Signatures that are made by a secret key of the host; the task's tests have more."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.signing import (
    secret_key_of,
    sign,
    signer_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys


@pytest.fixture(name="key", scope="module")
def _key(gpg: Gpg) -> str:
    return gpg.make("Builder <builder@example.com>")


def test_all_of_a_large_file_is_signed(gpg: Gpg, key: str, tmp_path: pathlib.Path) -> None:
    """python-gnupg closes a file that it has opened itself, while it still reads it."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    sign(str(gpg.home), key, "", str(path), f"{path}.asc")
    gpg("--verify", f"{path}.asc", str(path))
    assert signer_of(str(gpg.home), str(path), f"{path}.asc") == key


@pytest.mark.root
def test_a_file_of_another_user_is_not_signed(gpg: Gpg, key: str, tmp_path: pathlib.Path) -> None:
    """Its owner could change it between the build and the signature."""
    path = tmp_path / "planted"
    path.write_bytes(b"evil")
    os.chown(path, 1234, 1234)
    with pytest.raises(Conflict, match="it belongs to the user 1234"):
        sign(str(gpg.home), key, "", str(path), f"{path}.asc")
    assert not os.path.exists(f"{path}.asc")


@pytest.mark.parametrize("text", ["fingerprint", "upper", "user", "address"])
def test_a_key_is_found_by_all_that_gpg_takes(gpg: Gpg, key: str, text: str) -> None:
    wanted = {"fingerprint": key, "upper": key.upper(), "user": "Builder", "address": "builder@example.com"}[
        text
    ]
    assert secret_key_of(str(gpg.home), wanted) == key


def test_a_public_key_is_not_enough(gpg: Gpg, key: str, tmp_path: pathlib.Path) -> None:
    with keys() as other:
        other("--import", stdin=gpg.export(key))
        with pytest.raises(NotFound, match="has no secret key"):
            secret_key_of(str(other.home), key)


def test_no_signature_is_left_of_a_key_that_cannot_sign(gpg: Gpg, key: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    with pytest.raises(HostFailure, match="cannot sign"):
        sign(str(gpg.home), "0" * 40, "", str(path), f"{path}.asc")
    with pytest.raises(InvalidSpec, match="the passphrase holds a line break"):
        sign(str(gpg.home), key, "a\nb", str(path), f"{path}.asc")
    with pytest.raises(HostFailure, match="cannot sign"):
        sign(str(gpg.home), key, "", str(tmp_path / "absent"), f"{path}.asc")
    assert not (tmp_path / "f.asc").exists()


def test_a_signature_of_something_else_has_no_signer(gpg: Gpg, key: str, tmp_path: pathlib.Path) -> None:
    path, home = tmp_path / "f", str(gpg.home)
    path.write_bytes(b"x")
    (tmp_path / "f.asc").write_bytes(gpg.sign(key, b"y"))
    assert signer_of(home, str(path), f"{path}.asc") == ""
    (tmp_path / "f.asc").write_bytes(b"no signature")
    assert signer_of(home, str(path), f"{path}.asc") == ""
    assert signer_of(home, str(path), f"{path}.none") == ""
