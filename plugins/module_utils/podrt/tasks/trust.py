# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task pod_trust: a key is trusted to sign the images of a prefix, or all images, or it is not."""

from __future__ import annotations

import os

from ..errors import InvalidSpec, Untrusted, printable
from ..image.keystore import Prefix, trusted_for
from ..image.openpgp import fingerprint_of
from ..stage0 import trust
from ..stage0.change import converge, naming_changes
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..image.keysource import OfferedFile
    from ..image.keystore import StoredKey
    from ..image.openpgp import OfferedKeys, PublicKey
    from ..stage0.change import Outcome

_SOURCES = ("key", "src", "url")


def pod_trust(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge one key. Raises PodError."""
    if options.text("lookaside", ""):
        raise InvalidSpec(
            "a place of signatures is of a policy for docker images", "add policy: signed", where="lookaside"
        )
    prefix = _prefix(options)
    source = source_given(options)
    expected = options.text("fingerprint", "")
    fingerprint = fingerprint_of(expected, "fingerprint") if expected else ""
    if options.text("state", "present") == "absent":
        return _absent(host, prefix, fingerprint or _key(host, options, source, "").fingerprint, check=check)
    if not source:
        raise InvalidSpec("a key is missing", f"write one of {', '.join(_SOURCES)}", where="key")
    check_pinned(options, source)
    stored = trust.trusted_at(host, prefix, fingerprint) if source == "url" and fingerprint else None
    # The key of a URL is not asked for again: the one that is pinned is there.
    key = stored.key if stored and stored.key else _key(host, options, source, fingerprint)
    outcome, _path = converge(host, trust.ensure_key(host, prefix, key), apply=not check)
    return _result(host, prefix, key, outcome)


def _absent(host: Host, prefix: str, fingerprint: str, *, check: bool) -> dict[str, object]:
    outcome, _left = converge(host, trust.ensure_no_key(host, prefix, fingerprint), apply=not check)
    with naming_changes(outcome.to_json(), "cannot look at the trusted keys"):
        fingerprints = _fingerprints(host, prefix)
    return {**outcome_result(outcome), "trust": None, "fingerprints": fingerprints, "policy": None}


def _prefix(options: Fields) -> str:
    """The prefix, "" for root keys. Raises InvalidSpec."""
    prefix, root = options.text("prefix", ""), options.boolean("root", False)
    if bool(prefix) == root:
        raise InvalidSpec(
            "prefix and root exclude one another" if root else "trust has no bounds without a prefix",
            "write prefix: example.com/team for the images of that name and below it, or root: true for all",
            where="prefix",
        )
    return Prefix(prefix, "prefix") if prefix else ""


def source_given(options: Fields) -> str:
    """The option that gives the key, "" for none. Raises InvalidSpec for several."""
    given = [name for name in _SOURCES if options.text(name, "")]
    if len(given) > 1:
        raise InvalidSpec("there are several keys", f"write one of {', '.join(_SOURCES)}", where=given[1])
    return given[0] if given else ""


def _key(host: Host, options: Fields, source: str, fingerprint: str) -> PublicKey:
    """The key of the task, which must have this fingerprint, "" for any. Raises InvalidSpec, Untrusted."""
    if not source:
        raise InvalidSpec(
            "the key is not named",
            "write its fingerprint, or its key or src; or policy, for docker images",
            where="fingerprint",
        )
    found = _read(host, options, source)
    if fingerprint and found.key.fingerprint != fingerprint:
        others = [key.fingerprint for key in found.keys]
        at = f"; it has that key as number {others.index(fingerprint) + 1}" if fingerprint in others else ""
        raise Untrusted(
            f"the key of {found.location} is not the expected one: its fingerprint is {found.key.fingerprint}, "
            f"not {fingerprint}{at}",
            "export that key alone" if at else "ask its owner which is right before you change the task",
            where="fingerprint",
            fingerprint=found.key.fingerprint,
        )
    return found.key


def _read(host: Host, options: Fields, source: str) -> OfferedKeys:
    from ..image.openpgp import OfferedKeys, read_keys

    file = read_offered(host, options, source)
    return OfferedKeys(file.location, read_keys(file.data, file.location), file.vouched)


def check_pinned(options: Fields, source: str) -> None:
    """Raise InvalidSpec for a key from a URL without the fingerprint that it must have."""
    if source == "url" and not (
        options.text("fingerprint", "") or options.boolean("skip_fingerprint_review", False)
    ):
        raise InvalidSpec(
            "a key from a URL needs the fingerprint that it must have",
            "write the fingerprint, from another source than the URL; or skip_fingerprint_review: true",
            where="fingerprint",
        )


def read_offered(host: Host, options: Fields, source: str) -> OfferedFile:
    """What the option that gives the key has. source: key, src or url. Raises as read_file."""
    from ..image.keysource import OfferedFile, read_file
    from ..stage0.options.reading import fetch_policy

    value = options.text(source)
    if source == "key":
        return OfferedFile("the option key", value.encode())
    if source == "src" and not os.path.isabs(value):
        raise InvalidSpec(f'"{value}" is not an absolute path', "begin it with /", where="src")
    if source == "url" and not value.startswith(("https://", "http://")):
        raise InvalidSpec(f'"{value}" is not a URL', "begin it with https://", where="url")
    return read_file(host, value, fetch_policy(options))


def _result(host: Host, prefix: str, key: PublicKey, outcome: Outcome) -> dict[str, object]:
    with naming_changes(outcome.to_json(), f"cannot look at key {key.fingerprint}"):
        stored = trust.trusted_at(host, prefix, key.fingerprint)
        fingerprints = _fingerprints(host, prefix)
    return {
        **outcome_result(outcome),
        "trust": _shown(prefix, stored.key, stored) if stored and stored.key else None,
        "fingerprints": fingerprints,
        "policy": None,
    }


def _fingerprints(host: Host, prefix: str) -> list[str]:
    return sorted(key.key.fingerprint for key in trusted_for(host.paths, prefix))


def _shown(prefix: str, key: PublicKey, stored: StoredKey) -> dict[str, object]:
    """A trusted key as the result shows it."""
    return {
        "prefix": prefix,
        "root": not prefix,
        "fingerprint": key.fingerprint,
        "subkeys": [part.fingerprint for part in key.subkeys],
        "identities": [printable(identity) for identity in key.identities],
        "path": stored.path,
    }
