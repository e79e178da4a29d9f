# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user looks at a key and trusts it, or not. Source: behaviours A61."""

from __future__ import annotations

import sys

from ..errors import PodError, printable
from ..image.openpgp import grouped
from .call import write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..image.openpgp import OfferedKeys, PublicKey

_QUESTION = "Are you sure you want to trust this key (yes/no)?"
_ANSWERS = {"yes": True, "no": False}


def show(prefix: str, source: OfferedKeys) -> None:
    """Print what there is to review. Source: behaviours A61."""
    write_error(f'pubkey: prefix: "{printable(prefix)}"\nkey: "{printable(source.location)}"\n')
    for key in source.keys:
        show_key(key)
    if len(source.keys) > 1:
        write_error("pubkey: only the first of these keys is trusted\n")


def show_key(key: PublicKey) -> None:
    """Print one key."""
    tell(f"gpg key fingerprint is: {grouped(key.fingerprint)}")
    for subkey in key.subkeys:
        tell(f"    Subkey fingerprint: {grouped(subkey.fingerprint)}")
    for identity in key.identities:
        tell(f"\t{printable(identity)}")


def tell(line: str) -> None:
    """Print a line for the review."""
    sys.stdout.write(f"{line}\n")


def ask() -> bool:
    """Whether the user trusts the key that was shown. Raises PodError at the end of the input."""
    while True:
        tell(_QUESTION)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise PodError("error reviewing key: error reading input: EOF", "answer yes or no")
        answer = _ANSWERS.get(line.rstrip("\n"))
        if answer is not None:
            return answer
        tell("Please enter 'yes' or 'no'")


def review(prefix: str, source: OfferedKeys) -> bool:
    """Show the keys of a source, and ask the user about the first."""
    show(prefix, source)
    return ask()
