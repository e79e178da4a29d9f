# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Docker images with signatures of every kind: only what a policy's key has signed counts."""

from __future__ import annotations

import base64
import json
import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, policies
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policies import (
    ImagePolicy,
    Keys,
    keys_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    log_in,
    serving,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    BUNDLE,
    CosignKey,
    payload,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    OCI,
    OCI_INDEX,
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg

pytestmark = pytest.mark.root
STRICT = FetchPolicy("update")
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
NO_KEYS = Keys()
SIGNATURE = "dev.cosignproject.cosign/signature"


@pytest.fixture(name="registry")
def _registry(web: Web) -> FakeRegistry:
    registry = FakeRegistry(web)
    registry.image(archive(f=b"x"))
    return registry


@pytest.fixture(name="key", scope="module", params=["P-256", "ed25519"])
def _key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CosignKey:
    return CosignKey(tmp_path_factory.mktemp("keys"), kind=request.param)


@pytest.fixture(name="other", scope="module")
def _other(tmp_path_factory: pytest.TempPathFactory) -> CosignKey:
    return CosignKey(tmp_path_factory.mktemp("other"))


@pytest.fixture(name="team", scope="module")
def _team(gpg: Gpg) -> str:
    return gpg.make("Team <team@example.com>")


def decide(
    host: Host, registry: FakeRegistry, policy: str, keys: Keys = NO_KEYS, lookaside: str = ""
) -> None:
    policies.store(host.paths, ImagePolicy(registry.web.authority, policy, keys, lookaside))


def trust(host: Host, registry: FakeRegistry, key: CosignKey) -> None:
    decide(host, registry, "signed", keys_of(key.public, "a test"))


def fetch(host: Host, reference: str, policy: FetchPolicy = STRICT) -> list[str]:
    said: list[str] = []
    fetching.fetch(host, parse_reference(reference), policy, said.append)
    return said


def refused(host: Host, reference: str, policy: FetchPolicy = STRICT) -> str:
    """Why it is refused, both by a fetch and by a check; nothing of it counts."""
    parsed = parse_reference(reference)
    with pytest.raises(Untrusted) as caught:
        fetch(host, reference, policy)
    assert find.stored(host, parsed) is None
    assert not list(pathlib.Path(host.paths.data).rglob("cas/tmp/*"))
    with pytest.raises(Untrusted) as foretold:
        fetching.check_may_fetch(host, parsed, policy)
    assert foretold.value.message == caught.value.message
    return caught.value.message


def top(registry: FakeRegistry, tag: str = "latest") -> str:
    return digest_of(registry.manifests[tag])


def trust_of(host: Host, registry: FakeRegistry) -> tuple[str, str]:
    """The signer and the policy that the index has of the image."""
    image = find.stored(host, parse_reference(registry.reference))
    assert image
    return image.signer, image.policy


def attach(registry: FakeRegistry, digest: str, *signed: tuple[bytes, bytes]) -> None:
    """Attach payloads with their signatures to a manifest, as cosign does."""
    layers = [
        {**registry.blob(data, SIMPLE), "annotations": {SIGNATURE: base64.b64encode(signature).decode()}}
        for data, signature in signed
    ]
    config = registry.blob(b"{}", "application/vnd.oci.image.config.v1+json")
    registry.manifest(f"{digest.replace(':', '-')}.sig", mediaType=OCI, config=config, layers=layers)


def sign(registry: FakeRegistry, key: CosignKey, digest: str, name: str = "") -> tuple[bytes, bytes]:
    data = payload(digest, name or f"{registry.web.authority}/app")
    return data, key.sign(data)


# --- policies ---


def test_without_a_policy_an_image_is_refused_and_the_policy_named(
    host: Host, registry: FakeRegistry
) -> None:
    with pytest.raises(Untrusted, match="without a policy for their names") as caught:
        fetch(host, registry.reference)
    assert "pod_trust" in caught.value.hint
    assert registry.web.asked == []
    fetch(host, registry.reference, FetchPolicy("new", ("image",)))


def test_an_accepted_prefix_needs_no_option(host: Host, registry: FakeRegistry) -> None:
    decide(host, registry, "accept")
    fetching.check_may_fetch(host, parse_reference(registry.reference), STRICT)
    fetch(host, registry.reference)
    assert trust_of(host, registry) == ("", f"accept {registry.web.authority}")


@pytest.mark.parametrize("insecure", [(), ("image",)])
def test_what_is_rejected_no_option_accepts(
    host: Host, registry: FakeRegistry, insecure: tuple[str, ...]
) -> None:
    decide(host, registry, "reject")
    assert "rejects it" in refused(host, registry.reference, FetchPolicy("new", insecure))
    assert registry.web.asked == []


def test_an_option_waives_a_signature(host: Host, registry: FakeRegistry, other: CosignKey) -> None:
    trust(host, registry, other)
    fetch(host, registry.reference, FetchPolicy("new", ("image",)))
    assert trust_of(host, registry) == ("", "")


def test_an_image_that_came_unverified_is_verified_by_the_next_fetch(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    fetch(host, registry.reference, FetchPolicy("update", ("image",)))
    trust(host, registry, key)
    with pytest.raises(Untrusted):
        fetch(host, registry.reference)
    attach(registry, top(registry), sign(registry, key, top(registry)))
    fetch(host, registry.reference)
    assert trust_of(host, registry) == (key.fingerprint, f"signed {registry.web.authority}")
    before = len(registry.web.asked)
    fetch(host, registry.reference)
    assert registry.asked()[before:] == ["HEAD manifests/latest"]


def test_an_image_that_came_unverified_is_not_current(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    fetch(host, registry.reference, FetchPolicy("update", ("image",)))
    reference = parse_reference(registry.reference)
    image = find.stored(host, reference)
    assert image and fetching.is_current(host, reference, STRICT, image)
    trust(host, registry, key)
    assert not fetching.is_current(host, reference, STRICT, image)
    assert fetching.is_current(host, reference, FetchPolicy("update", ("image",)), image)
    attach(registry, top(registry), sign(registry, key, top(registry)))
    fetch(host, registry.reference)
    image = find.stored(host, reference)
    assert image and fetching.is_current(host, reference, STRICT, image)
    decide(host, registry, "reject")
    assert not fetching.is_current(host, reference, STRICT, image)
    decide(host, registry, "accept")
    assert fetching.is_current(host, reference, STRICT, image)


def test_a_policy_that_cannot_be_read_accepts_nothing(host: Host, registry: FakeRegistry) -> None:
    decide(host, registry, "accept")
    path = pathlib.Path(host.paths.local_config, "trust.d", "more.json")
    path.write_text("{")
    with pytest.raises(InvalidSpec, match=r"more\.json"):
        fetch(host, registry.reference)
    assert find.stored(host, parse_reference(registry.reference)) is None


# --- cosign ---


@pytest.mark.parametrize("tag", ["", ":latest"], ids=["repository", "tag"])
def test_an_attached_signature_is_good(host: Host, registry: FakeRegistry, key: CosignKey, tag: str) -> None:
    trust(host, registry, key)
    attach(registry, top(registry), sign(registry, key, top(registry), f"{registry.web.authority}/app{tag}"))
    fetching.check_may_fetch(host, parse_reference(registry.reference), STRICT)
    assert find.stored(host, parse_reference(registry.reference)) is None
    assert f"signature verified: by the key {key.fingerprint}" in fetch(host, registry.reference)
    assert trust_of(host, registry) == (key.fingerprint, f"signed {registry.web.authority}")


def test_one_good_signature_among_others_is_enough(
    host: Host, registry: FakeRegistry, key: CosignKey, other: CosignKey
) -> None:
    trust(host, registry, key)
    digest = top(registry)
    good, bad = sign(registry, key, digest), sign(registry, other, digest)
    attach(registry, digest, (good[0], b"noise"), good, bad, (b"{}", key.sign(b"{}")))
    fetch(host, registry.reference)


@pytest.mark.parametrize("asks", ["index", "manifest"])
def test_an_index_or_the_manifest_that_it_leads_to_is_signed(
    host: Host, registry: FakeRegistry, key: CosignKey, asks: str
) -> None:
    trust(host, registry, key)
    chosen = registry.image(archive(f=b"y"), tag="one")
    entry = {**chosen, "platform": {"os": "linux", "architecture": "amd64"}}
    registry.manifest("latest", mediaType=OCI_INDEX, manifests=[entry])
    digest = top(registry) if asks == "index" else top(registry, "one")
    attach(registry, digest, sign(registry, key, digest))
    fetch(host, registry.reference)


@pytest.mark.parametrize("by_api", [True, False], ids=["api", "tag"])
def test_a_bundle_is_good(host: Host, registry: FakeRegistry, key: CosignKey, by_api: bool) -> None:
    trust(host, registry, key)
    refer(registry, top(registry), key.bundle(top(registry)), by_api=by_api)
    fetch(host, registry.reference)


def refer(registry: FakeRegistry, digest: str, bundle: bytes, *, by_api: bool = True) -> None:
    """Let a manifest with a bundle refer to another one."""
    layers = [registry.blob(bundle, BUNDLE)]
    found = registry.manifest(f"bundle{len(registry.manifests)}", artifactType=BUNDLE, layers=layers)
    index = {"schemaVersion": 2, "manifests": [{**found, "artifactType": BUNDLE}]}
    if not by_api:
        registry.manifest(digest.replace(":", "-"), **index)
        return
    body = json.dumps(index).encode()
    registry.habit = lambda _method, path, _headers: (
        (200, {"Content-Type": OCI_INDEX}, body) if path.endswith(f"/referrers/{digest}") else None
    )


def test_the_key_that_would_be_needed_is_in_the_error(
    host: Host, registry: FakeRegistry, key: CosignKey, other: CosignKey
) -> None:
    trust(host, registry, other)
    message = refused(host, registry.reference)
    assert f"needs a signature by sha256:{other.fingerprint}, and there is none" in message
    attach(registry, top(registry), sign(registry, key, top(registry)))
    message = refused(host, registry.reference)
    assert "a signature of cosign is by another key, or of other content" in message


def test_nothing_of_a_refused_image_is_downloaded(
    host: Host, registry: FakeRegistry, other: CosignKey
) -> None:
    trust(host, registry, other)
    refused(host, registry.reference)
    (layer,) = json.loads(registry.manifests["latest"])["layers"]
    assert not [asked for asked in registry.asked() if layer["digest"] in asked]


def test_a_moved_tag_is_refused(host: Host, registry: FakeRegistry, key: CosignKey) -> None:
    trust(host, registry, key)
    name = f"{registry.web.authority}/app"
    digest = top(registry)
    attach(registry, digest, sign(registry, key, digest, f"{name}:v1"))
    assert f"it is for the image {name}:v1, not for {name}:latest" in refused(host, registry.reference)
    fetch(host, f"docker://{name}@{digest}")


def test_the_signature_of_another_repository_is_refused(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    trust(host, registry, key)
    digest = top(registry)
    attach(registry, digest, sign(registry, key, digest, f"{registry.web.authority}/another"))
    assert f"it is for the image {registry.web.authority}/another" in refused(host, registry.reference)


def test_a_replayed_digest_of_another_name_is_refused(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    """The old, signed image of one name comes for another, with its signature."""
    trust(host, registry, key)
    digest = top(registry)
    attach(registry, digest, sign(registry, key, digest))
    reference = f"docker://{registry.web.authority}/other:latest"
    message = refused(host, reference)
    assert f"it is for the image {registry.web.authority}/app, not for" in message
    fetch(host, registry.reference)


@pytest.mark.parametrize("bundled", [False, True], ids=["attached", "bundle"])
def test_a_payload_for_another_digest_is_refused(
    host: Host, registry: FakeRegistry, key: CosignKey, bundled: bool
) -> None:
    """The registry sends another image than the one that was signed, with the signature of that one."""
    trust(host, registry, key)
    signed = top(registry)
    registry.image(archive(f=b"changed"))
    if bundled:
        refer(registry, top(registry), key.bundle(signed))
    else:
        attach(registry, top(registry), sign(registry, key, signed))
    assert f"it is for the manifest {signed}, and the registry has sent {top(registry)}" in refused(
        host, registry.reference
    )


def test_a_stripped_signature_is_refused(host: Host, registry: FakeRegistry, key: CosignKey) -> None:
    trust(host, registry, key)
    digest = top(registry)
    attach(registry, digest, sign(registry, key, digest))
    del registry.manifests[f"{digest.replace(':', '-')}.sig"]
    assert "there is none" in refused(host, registry.reference)


def test_an_attestation_is_no_signature(host: Host, registry: FakeRegistry, key: CosignKey) -> None:
    trust(host, registry, key)
    refer(registry, top(registry), key.bundle(top(registry), "https://spdx.dev/Document"))
    assert "it is an attestation of the type https://spdx.dev/Document" in refused(host, registry.reference)


def test_a_payload_that_was_changed_after_it_was_signed_is_refused(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    trust(host, registry, key)
    digest = top(registry)
    data, signature = sign(registry, key, digest)
    attach(registry, digest, (data.replace(b"null", b"{}"), signature))
    assert "by another key, or of other content" in refused(host, registry.reference)


def test_what_is_kept_of_signatures_may_be_damaged(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    trust(host, registry, key)
    digest = top(registry)
    data, signature = sign(registry, key, digest)
    attach(registry, digest, (data, signature))
    registry.blobs[digest_of(data)] = data + b" "
    assert "is missing, or has another digest" in refused(host, registry.reference)
    registry.manifests[f"{digest.replace(':', '-')}.sig"] = b"<html>"
    assert "what the registry has of signatures is not valid" in refused(host, registry.reference)


def test_a_registry_that_fails_is_no_registry_without_signatures(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    trust(host, registry, key)
    registry.habit = lambda _method, path, _headers: (503, {}, b"") if path.endswith(".sig") else None
    with pytest.raises(Unreachable, match="503"):
        fetch(host, registry.reference)
    assert find.stored(host, parse_reference(registry.reference)) is None


def test_signatures_are_asked_for_with_the_credentials_of_the_registry(
    host: Host, registry: FakeRegistry, key: CosignKey
) -> None:
    trust(host, registry, key)
    digest = top(registry)
    attach(registry, digest, sign(registry, key, digest))

    def habit(_method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        if path.startswith("/token"):
            return (200, {}, b'{"token": "t"}') if "authorization" in headers else (401, {}, b"")
        if headers.get("authorization") != "Bearer t":
            return 401, {"WWW-Authenticate": f'Bearer realm="{registry.web.url}/token",service="s"'}, b""
        return None

    registry.habit = habit
    with pytest.raises(Unreachable, match="401"):
        fetch(host, registry.reference)
    log_in(host, registry.web.authority)
    registry.web.asked.clear()
    fetch(host, registry.reference)
    # One token does for the image and for its signatures.
    assert len([path for _method, path, _headers in registry.web.asked if path.startswith("/token")]) == 1


# --- OpenPGP ---


def message(gpg: Gpg, team: str, digest: str, name: str) -> bytes:
    data = payload(digest, name, "atomic container signature")
    return gpg("--local-user", team, "--sign", stdin=data)


class Beside:
    """A directory of signatures, by its path or by a server of its own. url: what a policy calls it."""

    def __init__(self, folder: pathlib.Path, web: Web | None) -> None:
        self.folder = folder
        self.url = f"file://{folder}" if web is None else f"{web.url}/lookaside"
        if web:
            web.answer = self._answer

    def _answer(self, _method: str, path: str, _headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        found = self.folder / path.replace("%3D", "=").removeprefix("/lookaside/")
        return (200, {}, found.read_bytes()) if found.is_file() else (404, {}, b"")

    def put(self, digest: str, *messages: bytes, repository: str = "app") -> None:
        place = self.folder / f"{repository}@{digest.replace(':', '=')}"
        place.mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(messages, 1):
            (place / f"signature-{number}").write_bytes(each)


@pytest.fixture(name="beside", params=["file", "http"])
def _beside(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Beside]:
    if request.param == "file":
        yield Beside(tmp_path / "a place", None)
        return
    with serving() as web:
        yield Beside(tmp_path / "a place", web)


@pytest.fixture(name="by_openpgp")
def _by_openpgp(host: Host, registry: FakeRegistry, gpg: Gpg, team: str, beside: Beside) -> Beside:
    decide(host, registry, "signed", keys_of(gpg.export(team), "a test"), beside.url)
    return beside


def test_a_signature_beside_the_registry_is_good(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, by_openpgp: Beside
) -> None:
    name = f"{registry.web.authority}/app:latest"
    by_openpgp.put(top(registry), b"noise", message(gpg, team, top(registry), name))
    fetching.check_may_fetch(host, parse_reference(registry.reference), STRICT)
    assert f"signature verified: by the key {team}" in fetch(host, registry.reference)


@pytest.mark.parametrize("name", ["app:v1", "app", "other:latest"], ids=["moved-tag", "no-tag", "repository"])
def test_a_signature_of_another_name_is_refused(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, by_openpgp: Beside, name: str
) -> None:
    place = registry.web.authority
    by_openpgp.put(top(registry), message(gpg, team, top(registry), f"{place}/{name}"))
    assert f"it is for the image {place}/{name}, not for {place}/app:latest" in refused(
        host, registry.reference
    )


def test_no_signature_of_openpgp_names_the_key(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, by_openpgp: Beside
) -> None:
    found = refused(host, registry.reference).replace(" ", "")
    assert f"asignatureby{team.upper()},andthereisnone" in found
    other = gpg.make(f"Other {os.urandom(4).hex()}")
    name = f"{registry.web.authority}/app:latest"
    by_openpgp.put(top(registry), message(gpg, other, top(registry), name))
    assert f"it is by the key {other.upper()}, which the policy does not have" in refused(
        host, registry.reference
    )


def test_the_signature_of_another_manifest_is_refused(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, by_openpgp: Beside
) -> None:
    signed = top(registry)
    registry.image(archive(f=b"changed"))
    by_openpgp.put(top(registry), message(gpg, team, signed, f"{registry.web.authority}/app:latest"))
    assert f"it is for the manifest {signed}" in refused(host, registry.reference)


def test_a_signature_of_cosign_is_not_one_of_openpgp(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, by_openpgp: Beside
) -> None:
    data = payload(top(registry), f"{registry.web.authority}/app:latest")
    by_openpgp.put(top(registry), gpg("--local-user", team, "--sign", stdin=data))
    assert 'it states the type "cosign container image signature"' in refused(host, registry.reference)


def test_a_file_that_is_no_signature_is_passed_over(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, tmp_path: pathlib.Path
) -> None:
    beside = Beside(tmp_path / "place", None)
    decide(host, registry, "signed", keys_of(gpg.export(team), "a test"), beside.url)
    name = f"{registry.web.authority}/app:latest"
    beside.put(top(registry), b"", b"", b"", message(gpg, team, top(registry), name))
    first, second, third = (
        tmp_path / "place" / f"app@{top(registry).replace(':', '=')}" / f"signature-{number}"
        for number in (1, 2, 3)
    )
    for path in (first, second, third):
        path.unlink()
    os.mkfifo(first)
    second.mkdir()
    third.write_bytes(bytes(1 << 20))
    fetch(host, registry.reference)


def test_a_directory_that_cannot_be_asked_is_not_one_without_signatures(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str
) -> None:
    with serving() as web:
        web.answer = lambda *_request: (500, {}, b"")
        decide(host, registry, "signed", keys_of(gpg.export(team), "a test"), web.url)
        with pytest.raises(Unreachable, match="500"):
            fetch(host, registry.reference)
    assert find.stored(host, parse_reference(registry.reference)) is None


def extend(registry: FakeRegistry, *signatures: object, says: str = "1") -> None:
    """Give the registry the extension for signatures."""

    def habit(_method: str, path: str, _headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        if path == "/v2/":
            return 200, {"X-Registry-Supports-Signatures": says}, b"{}"
        if path == f"/extensions/v2/app/signatures/{top(registry)}":
            return 200, {}, json.dumps({"signatures": list(signatures)}).encode()
        return None

    registry.habit = habit


def test_an_extension_of_the_registry_has_signatures(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str
) -> None:
    decide(host, registry, "signed", keys_of(gpg.export(team), "a test"))
    assert "signatures beside it need the option lookaside" in refused(host, registry.reference)
    data = message(gpg, team, top(registry), f"{registry.web.authority}/app:latest")
    good = {
        "schemaVersion": 2,
        "name": f"{top(registry)}@1",
        "type": "atomic",
        "content": base64.b64encode(data).decode(),
    }
    extend(registry, 1, {"schemaVersion": 2, "type": "atomic", "content": "!"}, {**good, "type": "other"})
    refused(host, registry.reference)
    extend(registry, good, says="0")
    refused(host, registry.reference)
    extend(registry, {**good, "content": "AAAA"}, good)
    fetch(host, registry.reference)


def test_a_policy_may_have_keys_of_both_kinds(
    host: Host, registry: FakeRegistry, gpg: Gpg, team: str, key: CosignKey
) -> None:
    both = Keys(keys_of(gpg.export(team), "a test").openpgp, keys_of(key.public, "a test").cosign)
    decide(host, registry, "signed", both)
    attach(registry, top(registry), sign(registry, key, top(registry)))
    fetch(host, registry.reference)
