# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Keys as packets: what is read of them, what is kept, and what is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import openpgp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import (
    NotOpenPgp,
    read_keys,
    read_signatures,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    Gpg,
    packet,
)

PHOTO, THIRD_PARTY = 17, b"another"


def tags(data: bytes) -> list[int]:
    return [found.tag for found in openpgp._packets(data, "it")]


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa3072", "dsa2048", "nistp384"])
@pytest.mark.parametrize("armor", [True, False])
def test_a_key_is_read_as_gpg_reads_it(gpg: Gpg, algorithm: str, armor: bool) -> None:
    fingerprint = gpg.make(f"{algorithm} {armor} \u00e9", algorithm)
    gpg("--quick-add-key", fingerprint, "rsa2048", "sign", "never")
    gpg("--quick-add-uid", fingerprint, "another name")
    (key,) = read_keys(gpg.export(fingerprint, armor=armor), "it")
    assert [part.fingerprint for part in key.parts] == gpg.parts(fingerprint)
    assert set(key.identities) == {f"{algorithm} {armor} \u00e9", "another name"}
    assert [part.weakness for part in key.parts] == ["", ""]
    assert key.packets == gpg.export(fingerprint, armor=False)
    assert read_keys(key.armored, "it") == (key,)


@pytest.mark.behaviour("A61")
def test_fingerprints_are_shown_in_groups_and_read_in_any_form() -> None:
    digits = "8b86de38890ddb7291867b025210bd8888182190"
    shown = "8B86 DE38 890D DB72 9186  7B02 5210 BD88 8818 2190"
    assert openpgp.grouped(digits) == shown
    for text in (digits, shown, digits.upper(), f"0x{digits}", ":".join(digits)):
        assert openpgp.fingerprint_of(text) == digits
    for text in ("", digits[-16:], digits + "0", "z" * 40, "\u0663" * 40):
        with pytest.raises(InvalidSpec):
            openpgp.fingerprint_of(text)


def test_photos_and_signatures_of_others_are_not_kept(gpg: Gpg, good: str) -> None:
    fingerprint = gpg.make("popular")
    bare = gpg.export(fingerprint, armor=False)
    gpg("--local-user", good, "--quick-sign-key", fingerprint)
    signed = gpg.export(fingerprint, armor=False)
    assert tags(signed) == [*tags(bare), openpgp.SIGNATURE]
    own = next(found.raw for found in openpgp._packets(bare, "it") if found.tag == openpgp.SIGNATURE)
    noise = (
        packet(PHOTO, b"\xff" * 5000) + own + packet(12, b"\6") + packet(10, b"PGP") + packet(21, b"\0" * 9)
    )
    (key,) = read_keys(signed + noise, "it")
    assert key.packets == bare
    assert key.fingerprint == fingerprint


def test_revocations_are_kept_and_those_by_other_keys_too(gpg: Gpg) -> None:
    fingerprint = gpg.make("revoked")
    before = read_keys(gpg.export(fingerprint), "it")[0].packets
    gpg.revoke(fingerprint)
    sent = gpg.export(fingerprint, armor=False)
    assert read_keys(sent, "it")[0].packets == sent != before
    foreign = sent.replace(bytes.fromhex(fingerprint[-16:]), THIRD_PARTY + b"x")
    assert len(tags(read_keys(foreign, "it")[0].packets)) == 3  # the key, a revocation, its name


@pytest.mark.behaviour("A62")
def test_of_several_keys_the_first_is_the_one(gpg: Gpg, good: str) -> None:
    other = gpg.make("another")
    for data in (
        gpg.export(other, good),
        gpg.export(other, good, armor=False),
    ):
        found = read_keys(data, "it")
        assert [key.fingerprint for key in found] == [other, good]
        assert good not in str(read_keys(found[0].armored, "it"))


@pytest.mark.parametrize("armor", [True, False])
def test_a_secret_key_is_refused_wherever_it_is(gpg: Gpg, good: str, armor: bool) -> None:
    secret = gpg(*(["--armor"] if armor else []), "--export-secret-keys", good)
    assert b"PRIVATE" in secret or not armor
    for data in (secret, gpg.export(good, armor=armor) + secret):
        with pytest.raises(NotOpenPgp, match="holds a secret key"):
            read_keys(data, "it")
    renamed = secret.replace(b"PRIVATE", b"PUBLIC")
    with pytest.raises(NotOpenPgp, match="holds a secret key"):
        read_keys(renamed, "it")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not hold a public key"),
        (b"<html>not found</html>", "does not hold a public key"),
        (packet(13, b"a name"), "does not hold a public key"),
        (packet(2, b"\x04" * 30), "does not hold a public key"),
        (packet(6, b"\x06" * 30), "is not of version 4"),
        (packet(6, b"\x03" * 30), "is not of version 4"),
        (packet(6, b"\x04"), "is not of version 4"),
        (packet(6, b"\x04" * 30) + packet(11, b"data"), "packets that are not those of a public key"),
        (packet(6, b"\x04" * 30) + packet(13, b"x" * 600_000), "is larger than"),
        (packet(6, b"\x04" * 30) + b"\x00", "is damaged"),
        (packet(6, b"\x04" * 30)[:-1], "is damaged"),
        (b"\xc6\xe0" + b"x" * 64, "is damaged"),  # a length in parts
        (b"\x9b" + b"x" * 64, "is damaged"),  # a length that is not told
        (b"\xc6" * 30_000, "is damaged"),
        (packet(12, b"") * 20_001, "is damaged"),
        (b"\xc6" * ((4 << 20) + 1), "is larger than"),
        (b"-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----", "not a public key block"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n", "has no end"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\na\n-----END PGP PUBLIC KEY BLOCK-----", "is damaged"),
    ],
)
def test_what_is_no_public_key_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(NotOpenPgp, match=reason):
        read_keys(data, "it")


def test_armour_may_have_headers_other_text_and_carriage_returns(gpg: Gpg, good: str) -> None:
    wanted = read_keys(gpg.export(good), "it")
    lines = gpg.export(good).splitlines()
    lines[1:1] = [b"Version: 1", b"Comment: =x"]
    for data in (
        b"\n".join([b"a key:", b"", *lines, b"", b"bye"]),
        b"\r\n".join(lines),
        b"  " + b"\n".join(lines),
    ):
        assert read_keys(data, "it") == wanted
    # RFC 9580 has made the checksum optional.
    assert read_keys(b"\n".join(line for line in lines if not line.startswith(b"=")), "it") == wanted


@given(data=st.binary(max_size=300), at=st.integers(0, 300))
def test_any_bytes_are_read_or_refused(data: bytes, at: int) -> None:
    start = packet(6, b"\x04\0\0\0\0\x16" + b"x" * 40)
    for whole in (data, b"\x99" + data, start + data, start[:at] + data + start[at:]):
        for read in (read_keys, read_signatures):
            try:
                assert read(whole, "it")
            except NotOpenPgp:
                continue


def test_every_byte_of_a_key_and_of_a_signature_may_be_damaged(gpg: Gpg, good: str) -> None:
    key, signature = gpg.export(good, armor=False), gpg.sign(good, b"x", armor=False)
    for whole, read in ((key, read_keys), (signature, read_signatures)):
        for at in range(len(whole)):
            for cut in (whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :], whole[:at], os.urandom(at)):
                try:
                    assert read(cut, "it")
                except NotOpenPgp:
                    continue
