# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file has a detached signature by a key that is trusted for the name of an image.

gpg decides, in a keyring of its own that has the one key that the signature names, and nothing else of the host: no
agent, no network, no configuration. It says good of keys that have expired, and python-gnupg keeps the last of several
answers, so what counts is the list of gpg's status lines: one good signature, and nothing besides.
Source: behaviours B27, B31; GnuPG's doc/DETAILS.
"""

from __future__ import annotations

import io
import os

from ..contexts import contextmanager, suppress
from ..errors import HostFailure, Unsupported, Untrusted, first_of
from ..host.files import write_new
from ..host.reading import open_regular
from ..store.workspace import Workspace, signature_in
from ..value import Value
from . import keystore
from .openpgp import HASHES, NotOpenPgp, grouped, read_signatures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from ..host.paths import Paths
    from .keystore import TrustedKey
    from .openpgp import KeyPart, PublicKey, SignaturePacket

    Matched = tuple[SignaturePacket, TrustedKey]

# Reading an archive takes a fraction of this even from a slow disk.
_SECONDS, _BYTES_PER_SECOND = 60.0, 5_000_000
_MEMORY = 1 << 30
_STATUS = "[GNUPG:] "
ONCE = ("NEWSIG", "GOODSIG", "VALIDSIG")
# Status lines that refuse a signature, and why. Source: GnuPG's doc/DETAILS.
REFUSED = {
    "BADSIG": "it does not belong to this file, or the file was changed",
    "ERRSIG": "gpg cannot check it",
    "EXPSIG": "it has expired",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "NODATA": "it is damaged",
    "UNEXPECTED": "it is damaged",
    "FAILURE": "gpg cannot check it",
}
# The validity of a key in gpg's lists.
_PROBLEMS = {"r": "it was revoked", "e": "it has expired", "i": "gpg finds it invalid"}
_OPTIONS = (
    "--no-options",
    "--no-autostart",
    "--disable-dirmngr",
    "--no-auto-key-retrieve",
    "--no-auto-key-locate",
    "--no-auto-check-trustdb",
    "--trust-model=always",
    "--no-random-seed-file",
    "--no-permission-warning",
    "--lock-never",
    "--exit-on-status-write-error",
)


class Signer(Value):
    """The key that has signed a file. prefix: why it may, a prefix of image names or "" for all of them."""

    fingerprint: str
    identities: tuple[str, ...]
    prefix: str


def verify(paths: Paths, name: str, archive: str, signature: bytes) -> Signer:
    """Find the trusted key that has signed an image, or raise Untrusted.

    name: of the image, from its manifest. archive: the path of the file as it was sent, a regular file that no other
    user can write, since gpg opens it by this path. signature: the content of the signature file, armoured or not.

    Raises Corrupt and InvalidSpec for the files of keys, Unsupported without gpg, HostFailure.
    """
    return _verdict(name, archive, check_signer(paths, name, signature), lambda: _workspace(paths))


def foresee(paths: Paths, name: str, archive: str, signature: bytes) -> Signer:
    """As verify, but leaves nothing in the data directory, as check mode needs it."""
    return _verdict(name, archive, check_signer(paths, name, signature), _aside)


def check_signer(paths: Paths, name: str, signature: bytes) -> Matched:
    """The first signature that names a key that is trusted for an image, which it may not be of. Raises as verify."""
    packet, key, part = _matched(name, keystore.trusted_for(paths, name), _signatures(name, signature))
    if part.weakness:
        raise _too_weak(name, packet, part)
    if packet.weakness:
        raise _refused(name, packet, packet.weakness)
    return packet, key


def problem_of(key: PublicKey) -> str | None:
    """Why nothing that a key signs would be accepted, "" if it would, None where gpg is not installed.

    Leaves nothing in the data directory, as check mode needs it. Raises HostFailure.
    """
    if key.primary.weakness:
        return f"it is too weak: {key.primary.weakness}"
    try:
        with _aside() as home, _keyring(home, _SECONDS) as gpg:
            _import(gpg, key)
            listed = gpg.list_keys()
    except Unsupported:
        return None
    except OSError as err:
        raise HostFailure.of(f"cannot check the key {key.fingerprint}", err) from err
    found = next((entry for entry in listed if entry["fingerprint"].lower() == key.fingerprint), None)
    if found is None:
        return "gpg finds no user ID in it that the key itself has signed"
    return _PROBLEMS.get(found["trust"], "")


def _verdict(
    name: str, archive: str, matched: Matched, home: Callable[[], AbstractContextManager[str]]
) -> Signer:
    packet, key = matched
    _judge(name, _asked(key.key, packet, archive, home), packet, key)
    return Signer(key.key.fingerprint, key.key.identities, key.prefix)


@contextmanager
def _workspace(paths: Paths) -> Iterator[str]:
    with Workspace(paths) as workspace:
        yield workspace.path


def _aside() -> AbstractContextManager[str]:
    """A directory that is not in the data directory, which check mode leaves as it is."""
    import tempfile

    return tempfile.TemporaryDirectory(prefix="podrt-gpg-")


def _signatures(name: str, signature: bytes) -> tuple[SignaturePacket, ...]:
    try:
        return read_signatures(signature, "the signature")
    except NotOpenPgp as err:
        raise Untrusted(f"cannot verify {name}: {err.reason}", err.hint, image=name) from err


def _matched(
    name: str, trusted: Sequence[TrustedKey], signatures: Sequence[SignaturePacket]
) -> tuple[SignaturePacket, TrustedKey, KeyPart]:
    """The first signature that names a trusted key, that key, and its part. Source: behaviours B27 for the message."""
    for packet in signatures:
        for key in trusted:
            for part in key.key.parts:
                if part.key_id in packet.signers:
                    return packet, key, part
    signers = [signer.upper() for packet in signatures for signer in packet.signers]
    made = f"it needs the key {first_of(signers, 4)}" if signers else "it does not say of which key it is"
    raise Untrusted(
        f"cannot verify {name}: openpgp: signature made by unknown entity: {made}, and {trusted_text(name, trusted)}",
        f"if you trust that key: podctl trust --prefix={name} KEY, or the module pod_trust",
        image=name,
        signers=[signer.lower() for signer in signers],
        trusted=[key.key.fingerprint for key in trusted],
    )


def trusted_text(name: str, trusted: Sequence[TrustedKey]) -> str:
    """The keys that are trusted for an image, in words."""
    if not trusted:
        return f"no key is trusted for {name}"
    return f"for {name} are trusted {first_of([grouped(key.key.fingerprint) for key in trusted], 4)}"


def _judge(name: str, lines: Sequence[str], packet: SignaturePacket, key: TrustedKey) -> None:
    """Raise Untrusted unless gpg has found exactly one good signature, by this key, of a digest that is not broken."""
    told: dict[str, list[list[str]]] = {}
    for line in lines:
        word, _space, rest = line.partition(" ")
        told.setdefault(word, []).append(rest.split(" "))
    for word, reason in REFUSED.items():
        if word in told:
            raise _refused(name, packet, reason)
    if [len(told.get(word, ())) for word in ONCE] != [1, 1, 1]:
        raise _refused(name, packet, "gpg finds no good signature in it")
    # FINGERPRINT DATE SECONDS EXPIRES VERSION RESERVED KEY-ALGORITHM HASH-ALGORITHM CLASS PRIMARY-FINGERPRINT
    valid = told["VALIDSIG"][0]
    part = next((part for part in key.key.parts if part.fingerprint == valid[0].lower()), None)
    if part is None or len(valid) < 10 or valid[9].lower() != key.key.fingerprint:
        raise _refused(name, packet, "gpg finds that it is of another key")
    if part.weakness:  # a signature may name several parts, of which gpg has taken this one
        raise _too_weak(name, packet, part)
    if valid[7] not in map(str, HASHES) or valid[8] != "00":
        raise _refused(name, packet, "gpg finds that it is of a weak digest, or not of a file")


def _too_weak(name: str, packet: SignaturePacket, part: KeyPart) -> Untrusted:
    return _refused(name, packet, f"its key {grouped(part.fingerprint)} is too weak: {part.weakness}")


def _refused(name: str, packet: SignaturePacket, reason: str) -> Untrusted:
    signers = ", ".join(packet.signers).upper()
    return Untrusted(
        f"cannot verify {name}: the signature by the key {signers} is not accepted: {reason}",
        "ask for a good signature of this very file",
        image=name,
        signers=list(packet.signers),
    )


# --- gpg ---


def _asked(
    key: PublicKey, packet: SignaturePacket, archive: str, home: Callable[[], AbstractContextManager[str]]
) -> list[str]:
    """The status lines of gpg for one signature of a file, by a keyring of one key. home: makes its directory.

    Raises HostFailure, Unsupported.
    """
    try:
        seconds = _SECONDS + _size(archive) / _BYTES_PER_SECOND
        with home() as place, _keyring(place, seconds) as gpg:
            _import(gpg, key)
            write_new(signature_in(place), packet.raw)
            # Not by its parameter for the data, which would put the signature into /tmp.
            result = gpg.verify_file(io.BytesIO(), extra_args=[signature_in(place), os.path.abspath(archive)])
    except OSError as err:
        raise HostFailure.of(f"cannot verify the signature of {archive}", err) from err
    # Not the members of the result: they are of the last signature, and "valid" for keys that have expired.
    return _status_lines(result)


def _size(archive: str) -> int:
    """The size of a file that can be read. Raises Corrupt for anything but a regular file, OSError."""
    fd = open_regular(archive)
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def _status_lines(result: Any) -> list[str]:
    told: str = getattr(result, "stderr", "") or ""
    return [line[len(_STATUS) :] for line in told.split("\n") if line.startswith(_STATUS)]


def open_message(keys: Sequence[PublicKey], message: bytes, most: int) -> tuple[bytes, list[str]]:
    """The content of a signed message of at most so many bytes, and gpg's status lines, by a keyring of these keys.

    The content is there whether the signature is good or not. Leaves nothing. Raises HostFailure, Unsupported.
    """
    try:
        with _aside() as home, _keyring(home, _SECONDS) as gpg:
            for key in keys:
                _import(gpg, key)
            result = gpg.decrypt(message, extra_args=[f"--max-output={most}"])
    except OSError as err:
        raise HostFailure.of("cannot verify a signature", err) from err
    return result.data or b"", _status_lines(result)


def _import(gpg: Any, key: PublicKey) -> None:
    """Put a key into the keyring. What gpg does not take it does not find later, so there is no error here."""
    with suppress(BrokenPipeError):
        gpg.import_keys(key.packets)


@contextmanager
def _keyring(home: str, seconds: float) -> Iterator[Any]:
    """A python-gnupg with a keyring in a directory that the caller removes, which only its user can read.

    seconds: for each run of gpg. Raises Unsupported, HostFailure.
    """
    from ..host.programs import PATH, find

    try:
        program = find("gpg")
    except Unsupported as err:
        raise Unsupported(
            'cannot verify signatures: the program "gpg" is not installed',
            "install the package gnupg, or gnupg2 on Red Hat's family; role pod_host does",
            program="gpg",
        ) from err
    try:
        gpg = _bounded(seconds)(
            gpgbinary=program,
            gnupghome=home,
            options=list(_OPTIONS),
            env={"PATH": PATH, "LC_ALL": "C", "HOME": home},
        )
    except ValueError as err:
        raise HostFailure(
            "gpg cannot be used: it refuses the options that signatures need", str(err)
        ) from err
    # In this encoding every byte is a character, and LF alone ends a line: Latin-1 has another one, which is a part of
    # letters in UTF-8, so that a user ID could forge a status line.
    gpg.encoding = "cp437"
    yield gpg


def _bounded(seconds: float) -> Callable[..., Any]:
    """The class of python-gnupg, whose gpg is killed when it takes too much time or memory. Raises Unsupported."""
    import resource
    import threading

    try:
        import gnupg
    except ImportError as err:
        raise Unsupported(
            f"signatures need the Python library python-gnupg: {err}",
            "it travels with the runtime: install that again with the module pod_runtime, in a checkout by make venv",
        ) from err

    class BoundedGPG(gnupg.GPG):  # type: ignore[misc]
        def _collect_output(self, process: Any, *arguments: Any, **named: Any) -> Any:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            late: list[bool] = []

            def end() -> None:
                late.append(True)
                process.kill()

            watch = threading.Timer(seconds, end)
            watch.daemon = True
            watch.start()
            try:
                status = super()._collect_output(process, *arguments, **named)
            finally:
                watch.cancel()
            if late:
                raise HostFailure(
                    f"gpg was killed: it has not ended within {seconds:g} seconds",
                    "the host may be overloaded; try again",
                    program="gpg",
                )
            return status

    return BoundedGPG
