# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures by public keys, checked with the libcrypto that Python's hashlib has loaded, by ctypes.

Python's ssl and hashlib have no function for that. Where this Python has no such library, as with hashlib built in,
the program openssl can do the same. Source: EVP_DigestVerifyInit(3), d2i_X509(3).
"""

from __future__ import annotations

import ctypes

from ..contexts import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_GOOD = 1
_POINTER, _SIZE, _BYTES = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
_FUNCTIONS = {
    "d2i_PUBKEY": (_POINTER, (_POINTER, _POINTER, ctypes.c_long)),
    "EVP_PKEY_free": (None, (_POINTER,)),
    "EVP_MD_CTX_new": (_POINTER, ()),
    "EVP_MD_CTX_free": (None, (_POINTER,)),
    "EVP_sha256": (_POINTER, ()),
    "EVP_DigestVerifyInit": (ctypes.c_int, (_POINTER,) * 5),
    "EVP_DigestVerify": (ctypes.c_int, (_POINTER, _BYTES, _SIZE, _BYTES, _SIZE)),
    "ERR_clear_error": (None, ()),
}


def is_signed(key: bytes, signature: bytes, data: bytes, *, hashed: bool) -> bool | None:
    """Whether a key has made a signature of data; None where this library cannot tell.

    key: a SubjectPublicKeyInfo in DER. hashed: whether the signature is of the SHA-256 of the data, as by ECDSA, or of
    the data themselves, as by Ed25519.
    """
    library = _library()
    if library is None:
        return None
    with _key(library, key) as loaded, _context(library) as context:
        if not loaded or not context:
            return None
        digest = library.EVP_sha256() if hashed else None
        if library.EVP_DigestVerifyInit(context, None, digest, None, loaded) != _GOOD:
            return None
        # Every other answer, negative ones too, is a refusal.
        return bool(library.EVP_DigestVerify(context, signature, len(signature), data, len(data)) == _GOOD)


def _library() -> Any:
    """The library, its functions declared; None where it is not to be found."""
    try:
        import _hashlib

        library = ctypes.CDLL(_hashlib.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, AttributeError, OSError):
        return None
    return library


@contextmanager
def _key(library: Any, key: bytes) -> Iterator[int | None]:
    held = ctypes.create_string_buffer(key, len(key))
    place = _POINTER(ctypes.addressof(held))
    loaded = library.d2i_PUBKEY(None, ctypes.byref(place), len(key))
    try:
        yield loaded
    finally:
        library.EVP_PKEY_free(loaded)
        library.ERR_clear_error()


@contextmanager
def _context(library: Any) -> Iterator[int | None]:
    context = library.EVP_MD_CTX_new()
    try:
        yield context
    finally:
        library.EVP_MD_CTX_free(context)
