# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Detached signatures by real keys: what is accepted, and everything that is not."""

from __future__ import annotations

import base64
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import keystore, openpgp, signature
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.signature import problem_of, verify
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
    Gpg,
    packet,
)

CHECKOUT = pathlib.Path(__file__).resolve().parents[6]
NAME = "example.com/team/app"
DATA = b"an archive\n" * 100_000


@pytest.fixture(name="archive")
def _archive(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "app.aci"
    path.write_bytes(DATA)
    return str(path)


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )


def key_of(gpg: Gpg, *fingerprints: str) -> openpgp.PublicKey:
    return openpgp.read_keys(gpg.export(*fingerprints), "a test")[0]


def trust(paths: Paths, gpg: Gpg, fingerprint: str, prefix: str = "example.com/team") -> None:
    keystore.store(paths, prefix, key_of(gpg, fingerprint))


def refusal(paths: Paths, archive: str, sent: bytes) -> Untrusted:
    """The error of a signature; nothing is left of the check."""
    with pytest.raises(Untrusted) as caught:
        verify(paths, NAME, archive, sent)
    assert not os.path.isdir(paths.workspaces) or os.listdir(paths.workspaces) == []
    return caught.value


@pytest.mark.behaviour("B27")
@pytest.mark.parametrize("armor", [True, False])
@pytest.mark.parametrize("algorithm", ["ed25519", "rsa2048", "nistp256"])
def test_a_good_signature_is_of_the_key_that_made_it(
    paths: Paths, gpg: Gpg, archive: str, algorithm: str, armor: bool
) -> None:
    fingerprint = gpg.make(f"{algorithm} {armor}", algorithm)
    trust(paths, gpg, fingerprint)
    found = verify(paths, NAME, archive, gpg.sign(fingerprint, DATA, armor=armor))
    assert (found.fingerprint, found.prefix) == (fingerprint, "example.com/team")
    assert found.identities == (f"{algorithm} {armor}",)
    assert os.listdir(paths.workspaces) == []


def test_a_subkey_signs_for_its_key(paths: Paths, gpg: Gpg, archive: str) -> None:
    fingerprint = gpg.make("with a subkey")
    gpg("--quick-add-key", fingerprint, "rsa2048", "sign", "never")
    key = key_of(gpg, fingerprint)
    assert len(key.subkeys) == 1
    trust(paths, gpg, fingerprint)
    sent = gpg.sign(key.subkeys[0].fingerprint, DATA)
    assert key.subkeys[0].key_id in openpgp.read_signatures(sent, "it")[0].signers
    assert verify(paths, NAME, archive, sent).fingerprint == fingerprint


@pytest.mark.behaviour("B27")
def test_an_unknown_signer_is_named_with_the_keys_that_are_trusted(
    paths: Paths, gpg: Gpg, good: str, archive: str
) -> None:
    other = gpg.make("a stranger")
    sent = gpg.sign(other, DATA)
    alone = refusal(paths, archive, sent)
    assert (
        f"openpgp: signature made by unknown entity: it needs the key {other[-16:].upper()}" in alone.message
    )
    assert f"no key is trusted for {NAME}" in alone.message
    trust(paths, gpg, good)
    err = refusal(paths, archive, sent)
    assert openpgp.grouped(good) in err.message
    assert err.facts == {"image": NAME, "signers": [other[-16:]], "trusted": [good]}


def test_a_key_of_another_prefix_does_not_count(paths: Paths, gpg: Gpg, good: str, archive: str) -> None:
    for prefix in ("example.com/teams", "example.com/team/app/x", "example.com/tea"):
        trust(paths, gpg, good, prefix)
    assert "unknown entity" in refusal(paths, archive, gpg.sign(good, DATA)).message


def test_a_signature_of_another_file_is_refused(paths: Paths, gpg: Gpg, good: str, archive: str) -> None:
    trust(paths, gpg, good)
    err = refusal(paths, archive, gpg.sign(good, DATA + b"x"))
    assert f"the signature by the key {good[-16:].upper()} is not accepted: it does not belong" in err.message


@pytest.mark.behaviour("B27")
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "has none"),
        (b"<html>404</html>", "has none"),
        (b"\x99" * 40, "is damaged"),
        (b"\xc2\xff\xff\xff\xff\xff", "is damaged"),
        (packet(11, b"b\0\0\0\0\0hello"), "has other packets"),
        (b"x" * ((1 << 20) + 1), "is larger than"),
        (packet(2, b"\x04\x00"), "of a version that is not known"),
        (packet(2, b"\x09" * 40), "of a version that is not known"),
        (b"-----BEGIN PGP SIGNATURE-----\n\n!!!\n", "has no end"),
        (b"-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n", "armour"),
        (b"-----BEGIN PGP MESSAGE-----\n\nabcd\n-----END PGP MESSAGE-----\n", "not a signature"),
    ],
)
def test_what_is_no_signature_is_refused(paths: Paths, archive: str, sent: bytes, reason: str) -> None:
    err = refusal(paths, archive, sent)
    assert reason in err.message
    if "larger" not in reason:
        assert "keystore: no valid signatures found in signature file" in err.message


def test_a_signature_of_a_hundred_megabytes_costs_nothing(paths: Paths, archive: str) -> None:
    begun = time.monotonic()
    refusal(paths, archive, b"\xc2" * 100_000_000)
    assert time.monotonic() - begun < 1


def test_packets_beside_a_signature_are_refused(paths: Paths, gpg: Gpg, good: str, archive: str) -> None:
    trust(paths, gpg, good)
    sent = gpg.sign(good, DATA, armor=False)
    for more in (packet(11, b"b\0\0\0\0\0hello"), packet(13, b"Team"), packet(60, b"")):
        assert "has other packets" in refusal(paths, archive, sent + more).message
    assert "is damaged" in refusal(paths, archive, sent + b"\n").message
    assert "more than 16" in refusal(paths, archive, sent * 17).message


def test_of_several_signatures_the_first_by_a_trusted_key_decides(
    paths: Paths, gpg: Gpg, good: str, archive: str
) -> None:
    other = gpg.make("a second signer")
    trust(paths, gpg, good)
    mine, foreign = (gpg.sign(name, DATA, armor=False) for name in (good, other))
    bad = gpg.sign(good, b"other", armor=False)
    assert verify(paths, NAME, archive, foreign + mine).fingerprint == good
    assert verify(paths, NAME, archive, mine + bad).fingerprint == good
    assert "does not belong" in refusal(paths, archive, bad + mine).message
    texts = gpg.sign(other, DATA) + gpg.sign(good, DATA)
    assert verify(paths, NAME, archive, texts).fingerprint == good


def test_a_signature_that_claims_another_signer_is_refused(
    paths: Paths, gpg: Gpg, good: str, archive: str
) -> None:
    """The issuer is not hashed in all signatures: gpg has only the key that is claimed, and it does not fit."""
    other = gpg.make("a claimant")
    trust(paths, gpg, good)
    sent = gpg.sign(other, DATA, armor=False)
    for one, another in ((other, good), (other[-16:], good[-16:])):
        sent = sent.replace(bytes.fromhex(one), bytes.fromhex(another))
    assert "is not accepted" in refusal(paths, archive, sent).message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--digest-algo", "SHA1"), "its digest is SHA-1"),
        (("--digest-algo", "RIPEMD160"), "its digest is RIPEMD-160"),
        (("--textmode",), "it is not a signature of a file"),
        (("--faked-system-time", THEN, "--default-sig-expire", "1d"), "it has expired"),
    ],
)
def test_weak_and_old_signatures_are_refused(
    paths: Paths, gpg: Gpg, archive: str, options: tuple[str, ...], reason: str
) -> None:
    fingerprint = gpg.make(f"for {reason}", "rsa2048", "never", "--faked-system-time", "20190101T000000")
    trust(paths, gpg, fingerprint)
    assert verify(paths, NAME, archive, gpg.sign(fingerprint, DATA)).fingerprint == fingerprint
    assert reason in refusal(paths, archive, gpg.sign(fingerprint, DATA, *options)).message


def test_gpg_is_asked_for_the_digest_as_well(paths: Paths, gpg: Gpg, good: str, archive: str) -> None:
    """What gpg has verified counts, not what was read of the packet before."""
    lines = ["NEWSIG", "GOODSIG x y", f"VALIDSIG {good.upper()} d 1 0 4 0 22 2 00 {good.upper()}"]
    key = keystore.TrustedKey(key_of(gpg, good), "", "")
    sent = openpgp.read_signatures(gpg.sign(good, DATA), "it")[0]
    with pytest.raises(Untrusted, match="weak digest"):
        signature._judge(NAME, lines, sent, key)
    lines[2] = lines[2].replace("22 2 00", "22 10 00")
    signature._judge(NAME, lines, sent, key)
    for more in (
        "NEWSIG",
        "GOODSIG x y",
        "EXPKEYSIG x y",
        "REVKEYSIG x y",
        "BADSIG x y",
        "ERRSIG x",
        "EXPSIG x y",
    ):
        with pytest.raises(Untrusted):
            signature._judge(NAME, [*lines, more], sent, key)
    with pytest.raises(Untrusted, match="another key"):
        signature._judge(NAME, [*lines[:2], lines[2][:-40] + "0" * 40], sent, key)
    weak = openpgp.KeyPart("1" * 40, "RSA of 1024 bits")
    by_subkey = [*lines[:2], lines[2].replace(f"VALIDSIG {good.upper()}", f"VALIDSIG {weak.fingerprint}")]
    with pytest.raises(Untrusted, match="another key"):
        signature._judge(NAME, by_subkey, sent, key)
    with pytest.raises(Untrusted, match="RSA of 1024 bits"):
        signature._judge(NAME, by_subkey, sent, key.replace(key=key.key.replace(subkeys=(weak,))))


def test_a_key_that_has_expired_signs_nothing_any_more(paths: Paths, gpg: Gpg, archive: str) -> None:
    then = ("--faked-system-time", THEN)
    fingerprint = gpg.make("expired", "ed25519", "30d", *then)
    key = key_of(gpg, fingerprint)
    assert problem_of(key) == "it has expired"
    keystore.store(paths, "example.com", key)  # when it had not
    sent = gpg.sign(fingerprint, DATA, *then)
    assert "its key has expired" in refusal(paths, archive, sent).message


def test_a_key_that_was_revoked_signs_nothing_any_more(paths: Paths, gpg: Gpg, archive: str) -> None:
    fingerprint = gpg.make("revoked")
    sent = gpg.sign(fingerprint, DATA)
    trust(paths, gpg, fingerprint)
    assert verify(paths, NAME, archive, sent).fingerprint == fingerprint
    gpg.revoke(fingerprint)
    trust(paths, gpg, fingerprint)
    assert problem_of(key_of(gpg, fingerprint)) == "it was revoked"
    assert "its key was revoked" in refusal(paths, archive, sent).message


@pytest.mark.parametrize("algorithm", ["rsa1024", "dsa1024"])
def test_a_weak_key_signs_nothing(paths: Paths, gpg: Gpg, archive: str, algorithm: str) -> None:
    fingerprint = gpg.make(f"weak {algorithm}", algorithm)
    trust(paths, gpg, fingerprint)
    sent = gpg.sign(fingerprint, DATA, "--digest-algo", "SHA256")
    assert "of 1024 bits" in refusal(paths, archive, sent).message
    assert (problem_of(key_of(gpg, fingerprint)) or "").startswith("it is too weak")


def test_a_key_without_a_signature_of_its_own_is_of_no_use(gpg: Gpg, good: str) -> None:
    key = key_of(gpg, good)
    assert problem_of(key) == ""
    bare = key.replace(packets=next(iter(openpgp._packets(key.packets, "it"))).raw)
    assert "no user ID" in (problem_of(bare) or "")


def test_a_name_in_a_key_cannot_speak_for_gpg(paths: Paths, gpg: Gpg, archive: str) -> None:
    """Latin-1 ends a line at the second byte of this letter."""
    forged = "\u00c5[GNUPG:] NEWSIG \u00c5[GNUPG:] GOODSIG 0123 x \u00c5[GNUPG:] VALIDSIG " + "0 " * 9 + "0"
    fingerprint = gpg.make(forged)
    trust(paths, gpg, fingerprint)
    assert "does not belong" in refusal(paths, archive, gpg.sign(fingerprint, b"other")).message
    found = verify(paths, NAME, archive, gpg.sign(fingerprint, DATA))
    assert found.identities == (forged,)


# --- gpg and the host ---


def test_an_archive_that_cannot_be_read_has_an_error_of_its_own(
    paths: Paths, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    trust(paths, gpg, good)
    sent = gpg.sign(good, DATA)
    with pytest.raises(HostFailure, match="no such file"):
        verify(paths, NAME, str(tmp_path / "nosuch"), sent)
    with pytest.raises(Corrupt, match="not a regular file"):
        verify(paths, NAME, str(tmp_path), sent)


def test_nothing_of_the_user_matters(
    paths: Paths, gpg: Gpg, good: str, archive: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".gnupg").mkdir(parents=True, mode=0o700)
    (home / ".gnupg" / "gpg.conf").write_text("no-such-option\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GNUPGHOME", str(home / ".gnupg"))
    trust(paths, gpg, good)
    assert verify(paths, NAME, archive, gpg.sign(good, DATA)).fingerprint == good
    assert sorted(os.listdir(home / ".gnupg")) == ["gpg.conf"]


def test_without_gpg_there_is_no_verdict(
    paths: Paths, gpg: Gpg, good: str, archive: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    trust(paths, gpg, good)
    sent = gpg.sign(good, DATA)
    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    with pytest.raises(Unsupported, match='"gpg" is not installed') as caught:
        verify(paths, NAME, archive, sent)
    assert "gnupg2" in caught.value.hint
    assert problem_of(key_of(gpg, good)) is None


def test_without_the_library_the_runtime_is_incomplete(
    paths: Paths, gpg: Gpg, good: str, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(paths, gpg, good)
    monkeypatch.setitem(sys.modules, "gnupg", None)
    with pytest.raises(Unsupported, match="python-gnupg"):
        verify(paths, NAME, archive, gpg.sign(good, DATA))


@pytest.fixture(name="slow")
def _slow(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A gpg that does nothing for a long time."""
    program = tmp_path / "bin" / "gpg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec /bin/sleep 300\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "PATH", str(program.parent))
    return str(program.parent)


@pytest.mark.usefixtures("slow")
def test_gpg_has_an_end(
    paths: Paths, gpg: Gpg, good: str, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(paths, gpg, good)
    monkeypatch.setattr(signature, "_SECONDS", 0.3)
    with pytest.raises(HostFailure, match="gpg was killed"):
        verify(paths, NAME, archive, gpg.sign(good, DATA))
    assert os.listdir(paths.workspaces) == []


CHECK = """
import sys
sys.path.insert(0, sys.argv[1])
from podrt.host import programs
from podrt.host.paths import Paths
from podrt.image.signature import verify
programs.PATH = sys.argv[2]
paths = Paths(data=sys.argv[3], local_config=sys.argv[4], system_config="/nonexistent")
verify(paths, sys.argv[5], sys.argv[6], sys.stdin.buffer.read())
"""


def test_what_a_killed_check_leaves_is_swept_by_the_next(
    paths: Paths, gpg: Gpg, good: str, archive: str, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(paths, gpg, good)
    sent = gpg.sign(good, DATA)
    argv = [sys.executable, "-c", CHECK, str(CHECKOUT / "plugins" / "module_utils"), slow, paths.data]
    argv += [paths.local_config, NAME, archive]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin
    process.stdin.write(sent)
    process.stdin.close()
    end = time.monotonic() + 30
    while not (os.path.isdir(paths.workspaces) and os.listdir(paths.workspaces)):
        assert time.monotonic() < end
        time.sleep(0.01)
    (left,) = os.listdir(paths.workspaces)
    assert os.stat(f"{paths.workspaces}/{left}").st_mode & 0o777 == 0o700
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert os.listdir(paths.workspaces) == [left]
    monkeypatch.undo()
    assert verify(paths, NAME, archive, sent).fingerprint == good
    assert os.listdir(paths.workspaces) == []


def test_armour_is_that_of_gpg(gpg: Gpg, good: str) -> None:
    key = key_of(gpg, good)
    lines = key.armored.splitlines()
    assert lines[0] == b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
    assert base64.b64decode(b"".join(lines[2:-2])) == key.packets
    assert gpg("--show-keys", "--with-colons", stdin=key.armored).decode().count(good.upper()) == 1
