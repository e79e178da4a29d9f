# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached signatures of images, made by a secret key in the GNUPGHOME of a user of this host.

A passphrase goes to gpg through a pipe. Without one gpg fails on a key that has one, rather than to ask for it.
Source: gpg(1).
"""

from __future__ import annotations

import io
import os

from ..errors import Conflict, Corrupt, HostFailure, InvalidSpec, NotFound, Unsupported
from ..host import files
from ..host.reading import open_regular, read_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOPBACK = ["--pinentry-mode", "loopback"]
_OPEN_FILE = 0o644


def secret_key_of(home: str, wanted: str) -> str:
    """The fingerprint of the one secret key that a text means, in lower case: a fingerprint, a key ID or a user ID.

    Raises NotFound, InvalidSpec if it means several, HostFailure, Unsupported.
    """
    found = [str(key["fingerprint"]).lower() for key in _gpg(home).list_keys(True, keys=[wanted])]
    if not found:
        raise NotFound(
            f'cannot sign: {home} has no secret key "{wanted}"',
            "import the key there, or name another gnupg_home",
        )
    if len(set(found)) > 1:
        raise InvalidSpec(
            f'"{wanted}" means several secret keys of {home}: {", ".join(sorted(set(found)))}',
            "write the fingerprint of one",
            where="sign_key",
        )
    return found[0]


def signer_of(home: str, path: str, signature: str) -> str:
    """The fingerprint of the key of a home that has signed a file, "" for none and for a signature that is not good."""
    try:
        data = read_bytes(signature)
    except (OSError, Corrupt):
        return ""
    return _signer(home, path, data)


def _signer(home: str, path: str, signature: bytes) -> str:
    verdict = _gpg(home).verify_file(io.BytesIO(signature), path)
    return str(verdict.pubkey_fingerprint or "").lower() if verdict.valid else ""


def sign(home: str, fingerprint: str, passphrase: str, path: str, signature: str) -> None:
    """Sign a file; the signature is armoured, and replaces an earlier one. Raises HostFailure, Unsupported."""
    extra = ["--local-user", fingerprint, *([] if passphrase else _LOOPBACK)]
    try:
        fd = open_regular(path)
        try:
            _check_owner(fd, path)
            # Of a path, python-gnupg 0.5 closes the file while a thread still reads it, and signs what was read.
            with open(fd, "rb", closefd=False) as file:
                made = _gpg(home).sign_file(
                    file, passphrase=passphrase or None, detach=True, extra_args=extra
                )
        finally:
            os.close(fd)
        if not made.data:
            raise HostFailure(
                f"cannot sign {path} with the key {fingerprint}: {made.status or 'gpg made no signature'}",
                "check the passphrase, and that the key has not expired"
                if passphrase
                else "a key with a passphrase needs the option passphrase; check that it has not expired",
            )
        if _signer(home, path, made.data) != fingerprint:
            raise HostFailure(
                f"cannot sign {path} with the key {fingerprint}: the signature that gpg made is not good",
                "try again",
            )
        files.write_atomically(signature, made.data, _OPEN_FILE)
    except ValueError as err:
        raise InvalidSpec("the passphrase holds a line break", "write one line", where="passphrase") from err
    except OSError as err:
        raise HostFailure.of(f"cannot sign {path}", err) from err


def _check_owner(fd: int, path: str) -> None:
    """Raise Conflict for a file of another user, who could change it before it is signed."""
    owner = os.fstat(fd).st_uid
    if owner != os.geteuid():
        raise Conflict(
            f"cannot sign {path}: it belongs to the user {owner}, who could change it meanwhile",
            "remove it, so that it is written again, or give it to root",
            path=path,
        )


def _gpg(home: str) -> Any:
    """A python-gnupg with the keys of a home. Raises NotFound, HostFailure, Unsupported."""
    from ..host.programs import PATH, find

    try:
        import gnupg
    except ImportError as err:
        raise Unsupported(
            f"signatures need the Python library python-gnupg: {err}",
            "it travels with the runtime: install that again with the module pod_runtime, in a checkout by make venv",
        ) from err
    if not os.path.isdir(home):
        raise NotFound(f"cannot sign: the directory {home} of keys does not exist", "name another gnupg_home")
    try:
        program = find("gpg")
        return gnupg.GPG(
            gpgbinary=program, gnupghome=home, env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": home}
        )
    except (ValueError, OSError) as err:
        raise HostFailure(f"cannot use gpg with the keys of {home}", str(err)) from err
