# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Keys and signatures that gpg makes, in a home of the test's own."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

# When what has expired by now was made.
THEN = "20200101T000000"


class Gpg:
    """gpg with a home. Its path is short, since it has the socket of an agent."""

    def __init__(self) -> None:
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="gpg"))

    def close(self) -> None:
        """End the agent and remove the home."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def __call__(self, *words: str, stdin: bytes = b"") -> bytes:
        """Call gpg; its output."""
        argv = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--yes",
            "--quiet",
            "--no-tty",
            "--pinentry-mode",
        ]
        done = subprocess.run(
            [*argv, "loopback", "--passphrase", "", *words],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make(self, identity: str, algorithm: str = "ed25519", expires: str = "never", *options: str) -> str:
        """Make a key; its fingerprint in lower case."""
        before = set(self.fingerprints())
        self(*options, "--quick-generate-key", identity, algorithm, "sign", expires)
        (made,) = set(self.fingerprints()) - before
        return made

    def fingerprints(self) -> list[str]:
        """Those of all primary keys."""
        lines = self("--list-keys", "--with-colons").decode().splitlines()
        return [self.parts(line.split(":")[4])[0] for line in lines if line.startswith("pub:")]

    def parts(self, name: str) -> list[str]:
        """The fingerprints of a key and of its subkeys."""
        lines = self("--list-keys", "--with-colons", name).decode().splitlines()
        return [line.split(":")[9].lower() for line in lines if line.startswith("fp")]

    def export(self, *fingerprints: str, armor: bool = True) -> bytes:
        """The public keys."""
        return b"".join(self(*(["--armor"] if armor else []), "--export", name) for name in fingerprints)

    def sign(self, fingerprint: str, data: bytes, *options: str, armor: bool = True) -> bytes:
        """A detached signature."""
        words = ["--armor"] if armor else []
        return self(*options, *words, "--local-user", f"{fingerprint}!", "--detach-sign", stdin=data)

    def revoke(self, fingerprint: str) -> None:
        """Revoke a key by the certificate that gpg made with it."""
        path = self.home / "openpgp-revocs.d" / f"{fingerprint.upper()}.rev"
        self("--import", stdin=path.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))


@contextlib.contextmanager
def keys() -> Iterator[Gpg]:
    """A Gpg while the context lasts."""
    gpg = Gpg()
    try:
        yield gpg
    finally:
        gpg.close()


def packet(tag: int, body: bytes) -> bytes:
    """A packet in the new format."""
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body
