# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled filters on disk: the program as the kernel takes it, and beside it the digest of its bytes.

A damaged program could allow calls that it was made to refuse, without any error.
"""

from __future__ import annotations

from ..errors import Corrupt
from ..host.digests import sha256
from ..host.files import remove_tree, write_atomically, write_new
from ..host.reading import read_bytes, read_text_or

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir

_DIGEST = ".sha256"


def write(path: str, program: bytes) -> None:
    """Write a program and its digest into a directory that is itself not in place yet. Raises OSError."""
    write_new(path, program)
    write_new(path + _DIGEST, _digest_of(program))


def replace(path: str, program: bytes) -> None:
    """Replace a program and its digest in place. A crash between the two leaves a program that is not intact."""
    write_atomically(path, program)
    write_atomically(path + _DIGEST, _digest_of(program))


def remove(path: str) -> None:
    """Remove a program and its digest, if they are there. Raises OSError."""
    remove_tree(path)
    remove_tree(path + _DIGEST)


def intact(path: str) -> bytes | None:
    """A program that matches its digest; None when it is missing, damaged or without a digest. Raises OSError."""
    try:
        program = read_bytes(path)
        digest = read_text_or(path + _DIGEST, "")
    except (FileNotFoundError, Corrupt):
        return None
    return program if digest.encode() == _digest_of(program) else None


def read(pod: PodDir, app: str) -> bytes:
    """The program of an app, b"" without one. Pods of 0.1.0 have no digests. Raises Corrupt, OSError."""
    path = pod.app_filter(app)
    try:
        program = read_bytes(path, beneath=pod.path)
    except FileNotFoundError:
        return b""
    digest = read_text_or(path + _DIGEST, "", beneath=pod.path)
    if digest and digest.encode() != _digest_of(program):
        raise Corrupt(
            f'the system call filter of app "{app}" is damaged: {path}',
            "remove the pod and prepare it again, with podctl rm and podctl prepare, or with state: absent and started",
            path=path,
        )
    return program


def _digest_of(program: bytes) -> bytes:
    return sha256(program).hexdigest().encode()
