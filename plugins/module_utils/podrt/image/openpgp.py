# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys and detached signatures as packets: what they are and whose, without any cryptography. Pure.

gpg decides whether a signature is good, see image.signature. It gets from here one signature packet, and keys without
what a signature does not need: photos, signatures of others, packets of other kinds. So keys can be kept and listed
where gpg is not installed, and the same key has the same file whatever was sent around it.

Source: RFC 4880 sections 4, 5 and 6; RFC 9580 for what it calls the same.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Bounds, in bytes, of a file with keys, of what is kept of a key, and of a file with signatures.
MOST_KEYS, MOST_KEPT, MOST_SIGNATURES = 4 << 20, 512 << 10, 1 << 20
_MOST_PACKETS = 20_000
_MOST_SIGNERS = 16

SIGNATURE, KEY, SUBKEY, USER_ID = 2, 6, 14, 13
_SECRETS = (5, 7)
# A marker, trust of a local keyring, a photo, padding: not kept, nor are signatures of a photo.
_MARKER, _TRUST, _ATTRIBUTE, _PADDING = 10, 12, 17, 21
_IGNORED = (_MARKER, _TRUST, _PADDING)
_VERSION = 4
_FINGERPRINT_DIGITS, _ID_DIGITS = 40, 16
_REVOCATIONS = (0x20, 0x28, 0x30)
_ISSUER, _ISSUER_FINGERPRINT = 16, 33
# Algorithms whose strength is that of their first number, and the least bits of it.
_BY_BITS = {1: "RSA", 2: "RSA", 3: "RSA", 16: "Elgamal", 17: "DSA", 20: "Elgamal"}
_LEAST_BITS = 2048
# Digests that are not broken, by their numbers. Source: RFC 9580 section 9.5.
HASHES = {8: "SHA-256", 9: "SHA-384", 10: "SHA-512", 11: "SHA-224", 12: "SHA3-256", 14: "SHA3-512"}
_WEAK_HASHES = {1: "MD5", 2: "SHA-1", 3: "RIPEMD-160"}

_BEGIN, _END, _DASHES = b"-----BEGIN PGP ", b"-----END PGP ", b"-----"
_KEY_BLOCK, _SIGNATURE_BLOCK = b"PUBLIC KEY BLOCK", b"SIGNATURE"
_LINE = 64


class Packet(Value):
    """A packet. raw: with its header."""

    tag: int
    body: bytes
    raw: bytes


class KeyPart(Value):
    """A primary key or a subkey: 40 digits of its fingerprint, and why it is too weak to be trusted, or ""."""

    fingerprint: str
    weakness: str = ""

    @property
    def key_id(self) -> str:
        """The last 16 digits."""
        return self.fingerprint[-_ID_DIGITS:]


class PublicKey(Value):
    """A public key with its subkeys. identities: its user IDs. packets: what is kept of it."""

    primary: KeyPart
    subkeys: tuple[KeyPart, ...] = ()
    identities: tuple[str, ...] = ()
    packets: bytes = b""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key, which stands for the whole."""
        return self.primary.fingerprint

    @property
    def parts(self) -> tuple[KeyPart, ...]:
        """The primary key and the subkeys."""
        return (self.primary, *self.subkeys)

    @property
    def armored(self) -> bytes:
        """The key as the text that is stored."""
        return _armored(self.packets, _KEY_BLOCK)


class OfferedKeys(Value):
    """The keys of a file or of a URL. location: as it may be shown. vouched: whether TLS vouches for the server."""

    location: str
    keys: tuple[PublicKey, ...]
    vouched: bool = False

    @property
    def key(self) -> PublicKey:
        """The first key, which is the one that is stored. Source: behaviours A62."""
        return self.keys[0]


class SignaturePacket(Value):
    """A signature packet. signers: the key IDs that it names. hash: the number of its digest. kind: its type."""

    signers: tuple[str, ...]
    hash: int
    kind: int
    raw: bytes

    @property
    def weakness(self) -> str:
        """Why the signature is not accepted from any key, or ""."""
        if self.hash not in HASHES:
            return f"its digest is {_WEAK_HASHES.get(self.hash, f'number {self.hash}')}, which can be forged"
        return "" if self.kind == 0 else "it is not a signature of a file"


class NotOpenPgp(InvalidSpec):
    """A file does not hold what it should."""


def fingerprint_of(text: str, where: str = "") -> str:
    """A fingerprint as people write it, as 40 lower-case digits. Raises InvalidSpec."""
    digits = "".join(text.split()).replace(":", "").lower().removeprefix("0x")
    if not is_fingerprint(digits):
        raise InvalidSpec(
            f'"{text}" is not the fingerprint of a key',
            "write its 40 hex digits; a shorter ID of a key can be forged",
            where=where,
        )
    return digits


def is_fingerprint(text: str) -> bool:
    """Whether a text is the name of a file that holds a key: 40 lower-case hex digits."""
    return len(text) == _FINGERPRINT_DIGITS and not text.strip("0123456789abcdef")


def grouped(fingerprint: str) -> str:
    """A fingerprint as rkt and gpg show it: groups of four, a wider space in the middle. Source: behaviours A61."""
    groups = [fingerprint[at : at + 4].upper() for at in range(0, len(fingerprint), 4)]
    half = len(groups) // 2
    return f"{' '.join(groups[:half])}  {' '.join(groups[half:])}"


def read_keys(data: bytes, what: str) -> tuple[PublicKey, ...]:
    """The keys of a file, armoured or binary, in their order; at least one. what: the file, for errors.

    Raises NotOpenPgp, also for a secret key anywhere in the file and for a first key that is not of version 4.
    """
    if len(data) > MOST_KEYS:
        raise NotOpenPgp(f"{what} is larger than {MOST_KEYS} bytes", "export the one key that is needed")
    found: list[list[Packet]] = []
    for packet in _packets(_bare(data, _KEY_BLOCK, what), what):
        if packet.tag in _SECRETS:
            raise NotOpenPgp(f"{what} holds a secret key, which is not stored", _export_hint())
        if packet.tag == KEY:
            found.append([])
        if packet.tag not in _IGNORED:
            if not found:
                raise _no_keys(what)
            found[-1].append(packet)
    if not found:
        raise _no_keys(what)
    keys = [_public_key(packets, what) for packets in found]
    if keys[0] is None:
        raise NotOpenPgp(
            f"the key of {what} is not of version {_VERSION}",
            "make a key that every gpg of your hosts can read",
        )
    return tuple(filter(None, keys))


def read_signatures(data: bytes, what: str) -> tuple[SignaturePacket, ...]:
    """The signatures of a file, armoured or binary; at least one, and nothing else. Raises NotOpenPgp.

    Source: behaviours B27 for the message of a file without any.
    """
    if len(data) > MOST_SIGNATURES:
        raise NotOpenPgp(
            f"{what} is larger than {MOST_SIGNATURES} bytes", "is it the signature, or the image?"
        )
    try:
        packets = list(_packets(_bare(data, _SIGNATURE_BLOCK, what), what))
    except NotOpenPgp as err:
        raise _no_signatures(err.reason) from err
    others = sorted({packet.tag for packet in packets} - {SIGNATURE})
    if others or not packets:
        raise _no_signatures(f"{what} has other packets than signatures" if others else f"{what} has none")
    if len(packets) > _MOST_SIGNERS:
        raise _no_signatures(f"{what} has more than {_MOST_SIGNERS} signatures")
    found = [_signature(packet) for packet in packets]
    signatures = tuple(signature for signature in found if signature)
    if not signatures:
        raise _no_signatures(f"the signatures of {what} are of a version that is not known")
    return signatures


def _no_keys(what: str) -> NotOpenPgp:
    return NotOpenPgp(f"{what} does not hold a public key", _export_hint())


def _export_hint() -> str:
    return "write the public key with: gpg --armor --export FINGERPRINT"


def _no_signatures(reason: str) -> NotOpenPgp:
    return NotOpenPgp(
        f"keystore: no valid signatures found in signature file: {reason}",
        "make it with: gpg --armor --detach-sign IMAGE.aci",
    )


# --- from bytes to packets ---


def _bare(data: bytes, block: bytes, what: str) -> bytes:
    """The binary form of a file: that of all its armoured blocks, or the file itself. Raises NotOpenPgp."""
    if data[:1] and data[0] & 0x80:
        return data
    import binascii  # only for keys and signatures

    bare = bytearray()
    inside: list[bytes] | None = None
    for line in map(bytes.strip, data.splitlines()):
        if inside is None:
            if line.startswith(_BEGIN) and line.endswith(_DASHES):
                _check_block(line[len(_BEGIN) : -len(_DASHES)], block, what)
                inside = []
        elif line.startswith(_END):
            try:
                bare += binascii.a2b_base64(b"".join(_base64_lines(inside)))
            except binascii.Error as err:
                raise NotOpenPgp(f"the armour of {what} is damaged: {err}", "copy the file again") from err
            inside = None
        else:
            inside.append(line)
    if inside is not None:
        raise NotOpenPgp(f"the armour of {what} has no end", "copy the file again")
    return bytes(bare)


def _check_block(found: bytes, block: bytes, what: str) -> None:
    if found == block:
        return
    if b"PRIVATE" in found or b"SECRET" in found:
        raise NotOpenPgp(f"{what} holds a secret key, which is not stored", _export_hint())
    shown = found[:_LINE].decode("ascii", "replace").lower()
    raise NotOpenPgp(f'{what} is a "{shown}", not a {block.decode().lower()}')


def _base64_lines(lines: list[bytes]) -> list[bytes]:
    """The lines of a block after its headers and before its checksum, which RFC 9580 has made optional."""
    if b"" in lines:
        lines = lines[lines.index(b"") + 1 :]
    return [line for line in lines if not line.startswith(b"=")]


def _packets(data: bytes, what: str) -> Iterator[Packet]:
    """The packets of a binary file. Raises NotOpenPgp."""
    at = count = 0
    while at < len(data):
        count += 1
        header, length = _header(data, at)
        end = at + header + length
        if not header or length < 0 or end > len(data) or count > _MOST_PACKETS:
            raise NotOpenPgp(f"{what} is damaged, or not what gpg has written", "copy the file again")
        yield Packet(_tag(data[at]), data[at + header : end], data[at:end])
        at = end


def _tag(first: int) -> int:
    return first & 0x3F if first & 0x40 else (first & 0x3F) >> 2


def _header(data: bytes, at: int) -> tuple[int, int]:
    """The lengths of a packet's header and body; 0 for the header of none, -1 for a body that does not tell.

    Lengths in parts are for the data of messages, which neither keys nor signatures have.
    """
    first = data[at]
    if not first & 0x80:
        return 0, -1
    if first & 0x40:
        size, length = _new_length(data, at + 1)
        return 1 + size, length
    kind = first & 3
    if kind == 3:
        return 1, -1
    size = 1 << kind
    field = data[at + 1 : at + 1 + size]
    return 1 + size, int.from_bytes(field, "big") if len(field) == size else -1


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """The size of a length of the new format, or of a subpacket, and the length; -1 where it is damaged or in parts."""
    first = data[at] if at < len(data) else 0xE0
    if first < 192:
        return 1, first
    if first < 224:
        return 2, ((first - 192) << 8) + data[at + 1] + 192 if at + 1 < len(data) else -1
    if first == 255 and at + 5 <= len(data):
        return 5, int.from_bytes(data[at + 1 : at + 5], "big")
    return 1, -1


# --- from packets to keys and signatures ---


def _public_key(packets: list[Packet], what: str) -> PublicKey | None:
    """The key of its packets, the primary one first; None for one of another version. Raises NotOpenPgp."""
    primary = _part(packets[0])
    if primary is None:
        return None
    subkeys: list[KeyPart] = []
    identities: list[str] = []
    kept = bytearray(packets[0].raw)
    keeping = True
    for packet in packets[1:]:
        if packet.tag == SIGNATURE:
            if keeping and _is_own(packet, primary):
                kept += packet.raw
            continue
        part = _part(packet) if packet.tag == SUBKEY else None
        keeping = part is not None or packet.tag == USER_ID
        if part:
            subkeys.append(part)
        elif packet.tag == USER_ID:
            identities.append(packet.body.decode(errors="replace"))
        elif packet.tag not in (SUBKEY, _ATTRIBUTE):
            raise NotOpenPgp(f"{what} has packets that are not those of a public key", _export_hint())
        if keeping:
            kept += packet.raw
    if len(kept) > MOST_KEPT:
        raise NotOpenPgp(
            f"the key of {what} is larger than {MOST_KEPT} bytes", "export it without old signatures"
        )
    return PublicKey(primary, tuple(subkeys), tuple(identities), bytes(kept))


def _part(packet: Packet) -> KeyPart | None:
    body = packet.body
    if len(body) < 8 or body[0] != _VERSION or len(body) > 0xFFFF:
        return None
    import hashlib  # only for keys

    # The fingerprint is what it is; that gpg finds the same key by it is checked when a signature is.
    framed = b"\x99" + len(body).to_bytes(2, "big") + body
    digest = hashlib.sha1(framed, usedforsecurity=False).hexdigest()
    algorithm = _BY_BITS.get(body[5])
    bits = int.from_bytes(body[6:8], "big")
    weak = algorithm is not None and bits < _LEAST_BITS
    return KeyPart(digest, f"{algorithm} of {bits} bits" if weak else "")


def _is_own(packet: Packet, primary: KeyPart) -> bool:
    """Whether a signature in a key is of the key itself, or a revocation, which another key may be allowed to make."""
    signature = _signature(packet)
    return signature is not None and (
        signature.kind in _REVOCATIONS or primary.key_id in signature.signers or not signature.signers
    )


def _signature(packet: Packet) -> SignaturePacket | None:
    """A signature of version 3 or 4, None for others and for damaged ones."""
    body = packet.body
    if len(body) > 17 and body[0] == 3:
        return SignaturePacket((body[7:15].hex(),), body[16], body[2], packet.raw)
    if len(body) < 10 or body[0] != 4:
        return None
    hashed_end = 6 + int.from_bytes(body[4:6], "big")
    rest = hashed_end + 2
    rest_end = rest + int.from_bytes(body[hashed_end:rest], "big")
    if rest_end > len(body):
        return None
    signers = (*_signers(body[6:hashed_end]), *_signers(body[rest:rest_end]))
    return SignaturePacket(tuple(dict.fromkeys(signers)), body[3], body[1], packet.raw)


def _signers(area: bytes) -> Iterator[str]:
    """The key IDs in an area of subpackets, which ends where it is damaged."""
    at = 0
    while at < len(area):
        size, length = _new_length(area, at)
        if area[at] >= 224 and area[at] < 255:  # two octets reach further here than in a packet's header
            size, length = 2, ((area[at] - 192) << 8) + (area[at + 1] if at + 1 < len(area) else 0) + 192
        start, end = at + size, at + size + length
        if length < 1 or end > len(area):
            return
        kind, value = area[start] & 0x7F, area[start + 1 : end]
        if kind == _ISSUER and len(value) == 8:
            yield value.hex()
        elif kind == _ISSUER_FINGERPRINT and len(value) == 21 and value[0] == _VERSION:
            yield value[1:].hex()[-_ID_DIGITS:]
        at = end


# --- armour ---


def _armored(data: bytes, block: bytes) -> bytes:
    """Bytes in armour, as gpg writes it."""
    import binascii

    text = binascii.b2a_base64(data, newline=False)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    check = b"=" + binascii.b2a_base64(_crc24(data).to_bytes(3, "big"), newline=False)
    whole = [_BEGIN + block + _DASHES, b"", *lines, check, _END + block + _DASHES, b""]
    return b"\n".join(whole)


def _crc24(data: bytes) -> int:
    """The checksum of armour. Source: RFC 4880 section 6.1."""
    table = []
    for byte in range(256):
        value = byte << 16
        for _bit in range(8):
            value = (value << 1) ^ (0x1864CFB if value & 0x800000 else 0)
        table.append(value & 0xFFFFFF)
    crc = 0xB704CE
    for byte in data:
        crc = ((crc << 8) & 0xFFFFFF) ^ table[(crc >> 16) ^ byte]
    return crc
