# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys of cosign, ECDSA P-256 and Ed25519, as PEM files have them, and what they have signed.

Each kind of key has one form in DER, a head and a point, so that nothing is parsed. Source: RFC 5480, RFC 8410.
"""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, Unsupported
from ..host.digests import sha256
from ..value import Value

MOST_KEYS = 64 << 10
ECDSA, ED25519 = "ECDSA P-256", "Ed25519"
_HEADS = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"): (ECDSA, 64),
    bytes.fromhex("302a300506032b6570032100"): (ED25519, 32),
}
# The object identifiers of other keys, for the message.
_OTHERS = {
    "2a864886f70d010101": "RSA",
    "2b81040022": "ECDSA P-384",
    "2b81040023": "ECDSA P-521",
    "2b6571": "Ed448",
}
_BLOCK = "PUBLIC KEY"
_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"
_LINE = 64
_MOST = 32
# The curve of P-256: y^2 = x^3 - 3x + b modulo p. Source: FIPS 186-4, D.1.2.3.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_SECONDS = 30.0


class VerifyingKey(Value):
    """A public key. algorithm: ECDSA or ED25519. der: its SubjectPublicKeyInfo."""

    algorithm: str
    der: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of its DER form, 64 digits: openssl pkey -pubin -outform DER | sha256sum."""
        return sha256(self.der).hexdigest()

    @property
    def pem(self) -> str:
        """The key as the text that is stored."""
        import binascii

        text = binascii.b2a_base64(self.der, newline=False).decode()
        lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
        return "\n".join((f"{_BEGIN}{_BLOCK}{_DASHES}", *lines, f"{_END}{_BLOCK}{_DASHES}", ""))


def is_pem(data: bytes) -> bool:
    """Whether a file is in PEM, and not an armoured key of OpenPGP."""
    return _BEGIN.encode() in data and b"-----BEGIN PGP " not in data


def read_pem(data: bytes, what: str) -> tuple[VerifyingKey, ...]:
    """The keys of a file, in their order; at least one. what: the file, for errors. Raises InvalidSpec."""
    if len(data) > MOST_KEYS:
        raise InvalidSpec(f"{what} is larger than {MOST_KEYS} bytes", "name a file with the one key")
    found = [_key(der, what) for der in _blocks(data.decode("ascii", "replace"), what)]
    if not found or len(found) > _MOST:
        raise InvalidSpec(
            f"{what} holds {'no public key' if not found else f'more than {_MOST} keys'}",
            "write the file cosign.pub that cosign generate-key-pair made",
        )
    return tuple(dict.fromkeys(found))


def is_signed(key: VerifyingKey, signature: bytes, data: bytes) -> bool:
    """Whether a key has made a signature of data. Raises Unsupported without a library and the program openssl."""
    from ..host import libcrypto  # ctypes

    hashed = key.algorithm == ECDSA
    verdict = libcrypto.is_signed(key.der, signature, data, hashed=hashed)
    return _asked(key, signature, data) if verdict is None else verdict


def _asked(key: VerifyingKey, signature: bytes, data: bytes) -> bool:
    """The verdict of the program openssl. Raises Unsupported, HostFailure."""
    import tempfile

    from ..host.files import write_new
    from ..host.programs import find, run

    try:
        program = find("openssl")
    except Unsupported as err:
        raise Unsupported(
            'cannot verify signatures of cosign: this Python has no libcrypto, and the program "openssl" is not '
            "installed",
            "install the package openssl",
            program="openssl",
        ) from err
    try:
        with tempfile.TemporaryDirectory(prefix="podrt-openssl-") as home:
            paths = [f"{home}/{name}" for name in ("key", "signature", "data")]
            for path, content in zip(paths, (key.pem.encode(), signature, data)):
                write_new(path, content)
            if key.algorithm == ECDSA:
                words = ["dgst", "-sha256", "-verify", paths[0], "-signature", paths[1], paths[2]]
            else:
                words = ["pkeyutl", "-verify", "-pubin", "-inkey", paths[0], "-rawin", "-in", paths[2]]
                words += ["-sigfile", paths[1]]
            return run([program, *words], seconds=_SECONDS).status == 0
    except OSError as err:
        raise HostFailure.of("cannot verify a signature of cosign", err) from err


def _blocks(text: str, what: str) -> list[bytes]:
    """The content of the blocks of a file. Raises InvalidSpec."""
    import binascii

    found: list[bytes] = []
    inside: list[str] | None = None
    for line in map(str.strip, text.splitlines()):
        if inside is None:
            if line.startswith(_BEGIN) and line.endswith(_DASHES):
                _check_block(line[len(_BEGIN) : -len(_DASHES)], what)
                inside = []
        elif line.startswith(_END):
            try:
                found.append(binascii.a2b_base64("".join(inside)))
            except (binascii.Error, ValueError) as err:
                raise InvalidSpec(f"{what} is damaged: {err}", "copy the file again") from err
            inside = None
        else:
            inside.append(line)
    if inside is not None:
        raise InvalidSpec(f"{what} is damaged: it has no end", "copy the file again")
    return found


def _check_block(block: str, what: str) -> None:
    if block == _BLOCK:
        return
    if "PRIVATE" in block:
        raise InvalidSpec(
            f"{what} holds a private key, which is not stored",
            "write the public key, the file cosign.pub",
        )
    raise InvalidSpec(f'{what} is a "{block[:_LINE].lower()}", not a public key')


def _key(der: bytes, what: str) -> VerifyingKey:
    for head, (algorithm, size) in _HEADS.items():
        if der.startswith(head) and len(der) == len(head) + size:
            if algorithm == ECDSA and not _is_on_curve(der[len(head) :]):
                raise InvalidSpec(f"the key of {what} is damaged: it is no point of P-256", "copy it again")
            return VerifyingKey(algorithm, der)
    kind = next((name for oid, name in _OTHERS.items() if oid in der[:_LINE].hex()), "")
    raise InvalidSpec(
        f"the key of {what} is of another kind{f': {kind}' if kind else ''}",
        f"keys of the kinds {ECDSA} and {ED25519} are supported; cosign generate-key-pair makes the first",
    )


def _is_on_curve(point: bytes) -> bool:
    x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    return x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0
