# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Public keys in PEM: which are read, and what they have signed, by the library and by the program."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import libcrypto
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import publickeys
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.publickeys import read_pem
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
    openssl,
)


@pytest.mark.parametrize(("kind", "algorithm"), [("P-256", "ECDSA P-256"), ("ed25519", "Ed25519")])
def test_a_key_is_read_as_openssl_writes_it(tmp_path: pathlib.Path, kind: str, algorithm: str) -> None:
    made = CosignKey(tmp_path, kind=kind)
    (key,) = read_pem(made.public, "it")
    assert key.algorithm == algorithm
    assert key.pem.encode() == made.public
    assert key.fingerprint == made.fingerprint
    assert read_pem(b"a comment\n" + made.public.replace(b"\n", b"\r\n"), "it") == (key,)


def test_several_keys_are_in_their_order(tmp_path: pathlib.Path) -> None:
    made = [CosignKey(tmp_path, name, "ed25519") for name in ("one", "two")]
    found = read_pem(b"".join(key.public for key in made) + made[0].public, "it")
    assert [key.fingerprint for key in found] == [key.fingerprint for key in made]


@pytest.mark.parametrize("kind", ["P-256", "ed25519"])
@pytest.mark.parametrize("by_program", [False, True], ids=["library", "program"])
def test_a_signature_is_good_for_its_data_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str, by_program: bool
) -> None:
    if by_program:  # as where hashlib is built in
        monkeypatch.setattr(libcrypto, "_library", lambda: None)
    made, other = CosignKey(tmp_path, "one", kind), CosignKey(tmp_path, "two", kind)
    (key,), (another,) = read_pem(made.public, "it"), read_pem(other.public, "it")
    signature = made.sign(b"data")
    assert publickeys.is_signed(key, signature, b"data")
    assert not publickeys.is_signed(key, signature, b"date")
    assert not publickeys.is_signed(another, signature, b"data")
    assert not publickeys.is_signed(key, b"", b"data")


@pytest.mark.parametrize(
    ("kind", "message"), [("P-384", "another kind: ECDSA P-384"), ("RSA", "another kind: RSA")]
)
def test_a_key_of_another_kind_is_named(tmp_path: pathlib.Path, kind: str, message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        read_pem(CosignKey(tmp_path, kind=kind).public, "it")


def test_a_private_key_is_refused_and_not_shown(tmp_path: pathlib.Path) -> None:
    text = CosignKey(tmp_path).private.read_bytes()
    with pytest.raises(InvalidSpec, match="holds a private key") as caught:
        read_pem(text, "it")
    assert text.splitlines()[1].decode() not in str(caught.value) + caught.value.hint


def test_a_point_that_is_not_on_the_curve_is_no_key(tmp_path: pathlib.Path) -> None:
    der = openssl("pkey", "-pubin", "-outform", "DER", stdin=CosignKey(tmp_path).public)
    bent = publickeys.VerifyingKey("ECDSA P-256", der[:-1] + bytes([der[-1] ^ 1]))
    with pytest.raises(InvalidSpec, match="no point of P-256"):
        read_pem(bent.pem.encode(), "it")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"key",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n",
        b"-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"x" * (publickeys.MOST_KEYS + 1),
    ],
    ids=["empty", "no-block", "no-end", "no-base64", "no-key", "certificate", "large"],
)
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidSpec):
        read_pem(text, "it")
