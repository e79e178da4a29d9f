# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed messages of OpenPGP, which hold what is signed: the form of signatures that are kept beside a registry.

gpg gives out the content whatever it finds, and ends with 0 for keys that have expired. What counts is the list of its
status lines: one message, with one good signature. Source: GnuPG's doc/DETAILS; containers/image,
docs/containers-signature.5.md.
"""

from __future__ import annotations

from .openpgp import HASHES, grouped
from .signature import ONCE, REFUSED, open_message
from .simplesigning import MOST_PAYLOAD, BadSignature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .openpgp import PublicKey

MOST_MESSAGE = 256 << 10
_KEY_MISSING = "9"
_BINARY = "00"


def content_of(keys: Sequence[PublicKey], message: bytes) -> tuple[bytes, str]:
    """What one of these keys has signed, and the fingerprint of that key.

    Raises BadSignature with the reason, which names the key that would be needed; HostFailure, Unsupported.
    """
    if len(message) > MOST_MESSAGE:
        raise BadSignature(f"it is larger than {MOST_MESSAGE} bytes")
    content, lines = open_message(keys, message, MOST_PAYLOAD)
    told: dict[str, list[list[str]]] = {}
    for line in lines:
        word, _space, rest = line.partition(" ")
        told.setdefault(word, []).append(rest.split(" "))
    # KEY-ID KEY-ALGORITHM HASH-ALGORITHM CLASS SECONDS REASON FINGERPRINT
    for words in told.get("ERRSIG", ()):
        if words[5:6] == [_KEY_MISSING]:
            raise BadSignature(
                f"it is by the key {(words[6:7] or words)[0].upper()}, which the policy does not have"
            )
    for word, reason in REFUSED.items():
        if word in told:
            raise BadSignature(reason)
    if [len(told.get(word, ())) for word in (*ONCE, "PLAINTEXT")] != [1, 1, 1, 1]:
        raise BadSignature("gpg finds no good signature in it, or several")
    return content, _signer(keys, told["VALIDSIG"][0])


def _signer(keys: Sequence[PublicKey], valid: list[str]) -> str:
    """The key of a VALIDSIG, if it and the digest are good enough. Raises BadSignature."""
    # FINGERPRINT DATE SECONDS EXPIRES VERSION RESERVED KEY-ALGORITHM HASH-ALGORITHM CLASS PRIMARY-FINGERPRINT
    for key in keys if len(valid) >= 10 else ():
        for part in key.parts:
            if (part.fingerprint, key.fingerprint) != (valid[0].lower(), valid[9].lower()):
                continue
            weakness = key.primary.weakness or part.weakness
            if weakness:
                raise BadSignature(f"its key {grouped(part.fingerprint)} is too weak: {weakness}")
            if valid[7] not in map(str, HASHES) or valid[8] != _BINARY:
                raise BadSignature("it is of a weak digest, or not of a file")
            return key.fingerprint
    raise BadSignature("gpg finds that it is of another key")
