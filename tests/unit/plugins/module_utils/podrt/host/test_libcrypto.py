# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Signatures that openssl has made, checked by the library of hashlib."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import libcrypto
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.publickeys import read_pem
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
)

DATA = b"what is signed"


@pytest.mark.parametrize(("kind", "hashed"), [("P-256", True), ("ed25519", False)])
def test_a_signature_is_good_for_its_key_and_its_data_alone(
    tmp_path: pathlib.Path, kind: str, hashed: bool
) -> None:
    key, other = CosignKey(tmp_path, "one", kind), CosignKey(tmp_path, "two", kind)
    (der,), (another,) = ([found.der for found in read_pem(each.public, "it")] for each in (key, other))
    signature = key.sign(DATA)
    assert libcrypto.is_signed(der, signature, DATA, hashed=hashed) is True
    assert libcrypto.is_signed(der, signature, DATA + b".", hashed=hashed) is False
    assert libcrypto.is_signed(another, signature, DATA, hashed=hashed) is False
    for wrong in (b"", b"\0", signature[:-1], bytes(len(signature)), signature + b"\0"):
        assert libcrypto.is_signed(der, wrong, DATA, hashed=hashed) is False


def test_what_is_no_key_is_left_to_others() -> None:
    assert libcrypto.is_signed(b"no key", b"x", DATA, hashed=True) is None
