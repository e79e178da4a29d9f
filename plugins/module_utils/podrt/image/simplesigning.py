# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a signature of a docker image states: of which manifest it is, and what the image is called. Pure.

A payload is read strictly: a name that is there twice or in another case, or that is not known, refuses it, so that no
two readers can see different statements. Source: containers/image, docs/containers-signature.5.md and
docs/containers-policy.json.5.md ("matchRepoDigestOrExact"); sigstore/cosign, specs/SIGNATURE_SPEC.md.
"""

from __future__ import annotations

from ..errors import InvalidSpec, printable
from ..value import Value
from .reference import DOCKER_HUB, DockerReference, parse_docker

MOST_PAYLOAD = 64 << 10
OPENPGP_TYPE = "atomic container signature"
COSIGN_TYPE = "cosign container image signature"
HUB = "docker.io"
_LONGEST = 512


class BadSignature(Exception):
    """Why a signature does not count; the others of the image may, so that this is an error only if none does."""


class Claim(Value):
    """The statement of a signature. digest: of the manifest. reference: the name of the image, as it was written."""

    digest: str
    reference: str


def canonical_name(reference: DockerReference) -> str:
    """Registry and repository as signatures have them, such as docker.io/library/nginx."""
    registry = HUB if reference.registry == DOCKER_HUB else reference.registry
    return f"{registry}/{reference.repository}"


def full_name(reference: DockerReference) -> str:
    """The same with the tag or the digest."""
    return canonical_name(reference) + (f"@{reference.digest}" if reference.digest else f":{reference.tag}")


def read_claim(payload: bytes, kind: str) -> Claim:
    """Read a payload that is signed. kind: OPENPGP_TYPE or COSIGN_TYPE. Raises BadSignature."""
    whole = members(payload, "the payload", ("critical", "optional"))
    critical = _object(whole["critical"], "critical", ("type", "image", "identity"))
    if whole["optional"] is not None and not isinstance(whole["optional"], dict):
        raise _malformed('"optional" is not an object')
    found = _text(critical["type"], "type")
    if found != kind:
        raise BadSignature(f'it states the type "{printable(found[:_LONGEST])}", not "{kind}"')
    image = _object(critical["image"], "image", ("docker-manifest-digest",))
    identity = _object(critical["identity"], "identity", ("docker-reference",))
    return Claim(
        _text(image["docker-manifest-digest"], "docker-manifest-digest"),
        _text(identity["docker-reference"], "docker-reference"),
    )


def check_claim(
    claim: Claim, asked: DockerReference, digests: tuple[str, ...], *, may_lack_tag: bool = False
) -> None:
    """Raise BadSignature unless a statement is of the image that was asked for and of a manifest that came.

    digests: of the manifest, and of the index that names it. may_lack_tag: whether a repository alone is enough, which
    is all that cosign states.
    """
    if claim.digest not in digests:
        raise BadSignature(
            f"it is for the manifest {printable(claim.digest[:_LONGEST])}, and the registry has sent "
            f"{' in '.join(reversed(digests))}"
        )
    if not _matches(asked, claim.reference, may_lack_tag):
        raise BadSignature(
            f"it is for the image {printable(claim.reference[:_LONGEST])}, not for {full_name(asked)}"
        )


def _matches(asked: DockerReference, stated: str, may_lack_tag: bool) -> bool:
    """Whether a name that was signed is that of the image; a digest is asked for whatever the tag is."""
    try:
        found = parse_docker(stated)
    except InvalidSpec:
        return False
    if (found.registry, found.repository) != (asked.registry, asked.repository):
        return False
    tag = stated.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if not tag and not found.digest:
        return may_lack_tag
    return bool(asked.digest) or (tag == asked.tag and not found.digest)


def members(data: bytes, what: str, names: tuple[str, ...] = ()) -> dict[str, object]:
    """The members of a JSON object, each of them once. names: all that it has, () for any. Raises BadSignature."""
    import json  # only for signatures

    if len(data) > MOST_PAYLOAD:
        raise BadSignature(f"{what} is larger than {MOST_PAYLOAD} bytes")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise BadSignature(f"{what} is not valid: it is no JSON object with each member once") from err
    return _object(value, what, names)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _object(value: object, what: str, names: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _malformed(f'"{what}" is not an object')
    if names and set(value) != set(names):
        raise _malformed(f'"{what}" has other members than {", ".join(names)}')
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f'"{what}" is not a text')
    return value


def _malformed(reason: str) -> BadSignature:
    return BadSignature(f"its payload is not valid: {reason}")
