# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task pod_trust with a policy: what decides about docker images below a prefix of names."""

from __future__ import annotations

from ..errors import InvalidSpec, Untrusted
from ..image.policies import SIGNED, ImagePolicy, Keys, keys_of, parse_prefix
from ..stage0 import image_policies
from ..stage0.change import converge, naming_changes
from .results import outcome_result
from .trust import check_pinned, read_offered, source_given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host
    from ..image.policies import StoredPolicy
    from ..stage0.change import Outcome

# Of OpenPGP, and of the SHA-256 of others.
_LENGTHS = (40, 64)


def pod_trust_policy(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge one policy. Raises PodError."""
    prefix = _prefix(options)
    if options.text("state", "present") == "absent":
        gone, _left = converge(host, image_policies.ensure_no_policy(host, prefix), apply=not check)
        return _result(host, prefix, gone)
    wanted = ImagePolicy(
        prefix, options.text("policy"), _keys(host, options, prefix), options.text("lookaside", "")
    )
    outcome, _path = converge(host, image_policies.ensure_policy(host, wanted), apply=not check)
    return _result(host, prefix, outcome)


def _prefix(options: Fields) -> str:
    """The prefix, "" for all images. Raises InvalidSpec."""
    prefix, root = options.text("prefix", ""), options.boolean("root", False)
    if bool(prefix) == root:
        raise InvalidSpec(
            "prefix and root exclude one another" if root else "a policy has no bounds without a prefix",
            "write prefix: docker.io/library for the images of that repository and below it, or root: true for all "
            "docker images",
            where="prefix",
        )
    return parse_prefix(prefix, "prefix") if prefix else ""


def _keys(host: Host, options: Fields, prefix: str) -> Keys:
    """The keys of the task. Raises InvalidSpec, Untrusted."""
    source = source_given(options)
    expected = options.text("fingerprint", "")
    fingerprint = _fingerprint_of(expected) if expected else ""
    if not source:
        return Keys()
    check_pinned(options, source)
    if source == "url" and fingerprint:
        # The key of a URL is not asked for again: the one that is pinned is there.
        stored = image_policies.policy_at(host, prefix)
        if stored and stored.policy.keys.fingerprints == (fingerprint,):
            return stored.policy.keys
    file = read_offered(host, options, source)
    keys = keys_of(file.data, file.location)
    if fingerprint and keys.fingerprints != (fingerprint,):
        found = ", ".join(keys.fingerprints)
        raise Untrusted(
            f"the key of {file.location} is not the expected one: its fingerprint is {found}, not {fingerprint}",
            "ask its owner which is right before you change the task",
            where="fingerprint",
            fingerprint=found,
        )
    return keys


def _fingerprint_of(text: str) -> str:
    digits = "".join(text.split()).replace(":", "").lower().removeprefix("sha256").removeprefix("0x")
    if len(digits) not in _LENGTHS or digits.strip("0123456789abcdef"):
        raise InvalidSpec(
            f'"{text}" is not the fingerprint of a key',
            "write its 40 hex digits, or of a key of cosign the 64 of: openssl pkey -pubin -in cosign.pub -outform DER "
            "| sha256sum",
            where="fingerprint",
        )
    return digits


def _result(host: Host, prefix: str, outcome: Outcome) -> dict[str, object]:
    with naming_changes(outcome.to_json(), "cannot look at the policies"):
        stored = image_policies.policy_at(host, prefix)
    return {
        **outcome_result(outcome),
        "trust": None,
        "fingerprints": list(stored.policy.keys.fingerprints) if stored else [],
        "policy": _shown(stored) if stored else None,
    }


def _shown(stored: StoredPolicy) -> dict[str, object]:
    policy = stored.policy
    return {
        "prefix": policy.prefix,
        "root": not policy.prefix,
        "policy": policy.policy,
        "algorithms": [
            *("OpenPGP" for _key in policy.keys.openpgp),
            *(key.algorithm for key in policy.keys.cosign),
        ],
        "lookaside": policy.lookaside if policy.policy == SIGNED else "",
        "path": stored.path,
    }
