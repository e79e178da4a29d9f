# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Signed messages that gpg makes: the content counts only with one good signature by a key of the policy."""

from __future__ import annotations

import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import signedmessage, simplesigning
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import PublicKey, read_keys
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.signedmessage import content_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.simplesigning import (
    BadSignature,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
    Gpg,
    packet,
)

CONTENT = b'{"critical": {}}'


@pytest.fixture(name="good", scope="module")
def _good(gpg: Gpg) -> str:
    return gpg.make("Team <team@example.com>")


@pytest.fixture(name="other", scope="module")
def _other(gpg: Gpg) -> str:
    return gpg.make("Other <other@example.com>")


def public(gpg: Gpg, *fingerprints: str) -> tuple[PublicKey, ...]:
    return tuple(read_keys(gpg.export(name), "it")[0] for name in fingerprints)


def signed(gpg: Gpg, *fingerprints: str, content: bytes = CONTENT, options: tuple[str, ...] = ()) -> bytes:
    users = [word for name in fingerprints for word in ("--local-user", f"{name}!")]
    return gpg(*options, *users, "--sign", stdin=content)


@pytest.mark.parametrize(
    "options", [(), ("--compress-algo=none",), ("--armor",)], ids=["packed", "plain", "armor"]
)
def test_the_content_comes_with_the_key_that_signed(
    gpg: Gpg, good: str, other: str, options: tuple[str, ...]
) -> None:
    message = signed(gpg, good, options=options)
    assert content_of(public(gpg, other, good), message) == (CONTENT, good)


def test_a_subkey_signs_for_its_key(gpg: Gpg) -> None:
    name = gpg.make("With a subkey")
    gpg("--quick-add-key", name, "ed25519", "sign", "never")
    subkey = gpg.parts(name)[1]
    assert content_of(public(gpg, name), signed(gpg, subkey)) == (CONTENT, name)


def test_the_key_that_would_be_needed_is_named(gpg: Gpg, good: str, other: str) -> None:
    with pytest.raises(BadSignature, match=f"by the key {other.upper()}, which the policy does not have"):
        content_of(public(gpg, good), signed(gpg, other))


def refused(gpg: Gpg, good: str, message: bytes) -> str:
    with pytest.raises(BadSignature) as caught:
        content_of(public(gpg, good), message)
    return str(caught.value)


def test_an_unsigned_message_has_no_content(gpg: Gpg, good: str) -> None:
    assert "no good signature" in refused(gpg, good, gpg("--store", stdin=CONTENT))


def test_a_detached_signature_has_no_content(gpg: Gpg, good: str) -> None:
    assert refused(gpg, good, gpg.sign(good, CONTENT, armor=False))


@pytest.mark.parametrize("message", [b"", b"text", os.urandom(500), b"\0" * 1000], ids=range(4))
def test_noise_is_refused(gpg: Gpg, good: str, message: bytes) -> None:
    assert refused(gpg, good, message)


def test_a_changed_message_is_refused(gpg: Gpg, good: str) -> None:
    message = signed(gpg, good, options=("--compress-algo=none",))
    assert CONTENT in message
    changed = message.replace(CONTENT, CONTENT.replace(b"critical", b"Critical"))
    assert "does not belong to this file" in refused(gpg, good, changed)


def test_every_cut_of_a_message_is_refused(gpg: Gpg, good: str) -> None:
    message = signed(gpg, good)
    for end in range(0, len(message) - 1, 17):
        assert refused(gpg, good, message[:end])


def test_two_messages_are_no_message(gpg: Gpg, good: str, other: str) -> None:
    plain = ("--compress-algo=none",)
    one, two = (signed(gpg, name, options=plain) for name in (good, other))
    assert refused(gpg, good, one + two)
    assert refused(gpg, good, two + one)
    assert refused(gpg, good, one + one)
    assert refused(gpg, good, packet(11, b"b\0\0\0\0\0more") + one)


def test_a_message_of_two_signatures_is_refused(gpg: Gpg, good: str, other: str) -> None:
    assert refused(gpg, good, signed(gpg, good, other))


def test_a_key_that_has_expired_signs_no_more(gpg: Gpg) -> None:
    name = gpg.make("Old", "ed25519", "1d", "--faked-system-time", THEN)
    assert "expired" in refused(gpg, name, signed(gpg, name, options=("--faked-system-time", THEN)))


def test_a_revoked_key_signs_no_more(gpg: Gpg) -> None:
    name = gpg.make("Lost")
    message = signed(gpg, name)
    gpg.revoke(name)
    assert "was revoked" in refused(gpg, name, message)


def test_a_signature_that_has_expired_is_refused(gpg: Gpg, good: str) -> None:
    name = gpg.make("For a day", "ed25519", "never", "--faked-system-time", THEN)
    options = ("--faked-system-time", THEN, "--default-sig-expire", "1d")
    assert "has expired" in refused(gpg, name, signed(gpg, name, options=options))


def test_a_weak_key_and_a_weak_digest_are_refused(gpg: Gpg) -> None:
    weak = gpg.make("Weak", "rsa1024")
    assert "too weak" in refused(gpg, weak, signed(gpg, weak))
    strong = gpg.make("Strong", "rsa2048")
    message = signed(gpg, strong, options=("--digest-algo", "RIPEMD160"))
    assert "weak digest" in refused(gpg, strong, message)


def test_a_signature_of_text_is_refused(gpg: Gpg, good: str) -> None:
    assert "not of a file" in refused(gpg, good, signed(gpg, good, options=("--textmode",)))


def test_a_message_that_unpacks_to_more_than_a_payload_is_refused(gpg: Gpg, good: str) -> None:
    message = signed(gpg, good, content=bytes(64 << 20), options=("--compress-algo=zlib", "-z", "9"))
    assert len(message) < signedmessage.MOST_MESSAGE
    assert refused(gpg, good, message)


def test_a_large_message_is_not_read(gpg: Gpg, good: str) -> None:
    assert "is larger than" in refused(gpg, good, bytes(signedmessage.MOST_MESSAGE + 1))


def test_a_payload_of_the_largest_size_is_whole(gpg: Gpg, good: str) -> None:
    content = os.urandom(simplesigning.MOST_PAYLOAD)
    assert content_of(public(gpg, good), signed(gpg, good, content=content)) == (content, good)
