# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Policies for images of a real registry, signed by skopeo and podman with OpenPGP, and as cosign does."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Untrusted
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, policies
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policies import (
    ImagePolicy,
    Keys,
    keys_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.tests.integration.registry.conftest import Registry
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import serving
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    BUNDLE,
    CosignKey,
    payload,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B27")]
STRICT = FetchPolicy("update")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
_numbers = itertools.count()


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host.here(paths)


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="team", scope="module")
def _team(gpg: Gpg) -> str:
    return gpg.make("Team <team@example.com>")


@pytest.fixture(name="name")
def _name(registry: Registry) -> str:
    """A repository of the test's own."""
    return f"{registry.address}/team{next(_numbers)}/app"


class Signing:
    """skopeo with a home of gpg and a directory of signatures, as registries.d calls it."""

    def __init__(self, folder: pathlib.Path, gpg: Gpg, word: str) -> None:
        self.place = folder / "signatures"
        self._gpg = gpg
        self.configuration = folder / "registries.d"
        self.configuration.mkdir()
        (self.configuration / "default.yaml").write_text(
            f"default-docker:\n  {word}: file://{self.place}\n  {word}-staging: file://{self.place}\n"
        )

    def __call__(self, *words: str) -> None:
        argv = ["skopeo", "--registries.d", str(self.configuration), "--insecure-policy", *words]
        done = subprocess.run(
            argv,
            env={**os.environ, "GNUPGHOME": str(self._gpg.home)},
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()

    def push(self, layout: Layout, name: str, *words: str) -> None:
        """Push the image of a layout, signed as the words say."""
        self(
            "copy", "--quiet", "--dest-tls-verify=false", *words, f"oci:{layout.path}:it", f"docker://{name}"
        )

    def file(self, name: str, digest: str) -> pathlib.Path:
        """The first signature of a manifest."""
        repository = name.partition("/")[2].partition(":")[0]
        return self.place / f"{repository}@{digest.replace(':', '=')}" / "signature-1"


@pytest.fixture(name="signing", params=["lookaside", "sigstore"])
def _signing(request: pytest.FixtureRequest, tmp_path: pathlib.Path, gpg: Gpg) -> Signing:
    return Signing(tmp_path, gpg, request.param)


@pytest.fixture(name="made")
def _made(layout: Layout) -> Callable[..., Layout]:
    """Make the image of a layout, which skopeo calls "it"."""

    def made(content: bytes = b"x") -> Layout:
        found = {
            **layout.image(layer(("f", content))),
            "annotations": {"org.opencontainers.image.ref.name": "it"},
        }
        (layout.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [found]}))
        return layout

    return made


def decide(host: Host, name: str, policy: str, keys: Keys | None = None, lookaside: str = "") -> None:
    policies.store(host.paths, ImagePolicy(name.rpartition("/")[0], policy, keys or Keys(), lookaside))


def fetch(host: Host, name: str, policy: FetchPolicy = STRICT) -> tuple[str, str]:
    """Fetch an image; the signer and the policy that the index has of it."""
    reference = parse_reference(f"docker://{name}")
    fetching.check_may_fetch(host, reference, policy)
    fetching.fetch(host, reference, policy, lambda _line: None)
    image = find.stored(host, reference)
    assert image
    return image.signer, image.policy


def refused(host: Host, name: str) -> str:
    reference = parse_reference(f"docker://{name}")
    for attempt in (
        lambda: fetching.check_may_fetch(host, reference, STRICT),
        lambda: fetching.fetch(host, reference, STRICT, lambda _line: None),
    ):
        with pytest.raises(Untrusted) as caught:
            attempt()
        assert find.stored(host, reference) is None
    return caught.value.message


def digest_of(name: str) -> str:
    registry, _slash, rest = name.partition("/")
    repository, _colon, tag = rest.rpartition(":")
    request = urllib.request.Request(
        f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST}, method="HEAD"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.headers["Docker-Content-Digest"])


# --- policies ---


def test_an_accepted_prefix_needs_no_option_and_a_check_no_content(
    host: Host, signing: Signing, made: Callable[..., Layout], name: str, registry: Registry
) -> None:
    signing.push(made(), f"{name}:v1")
    assert "without a policy for their names" in refused(host, f"{name}:v1")
    decide(host, name, "accept")
    assert fetch(host, f"{name}:v1") == ("", f"accept {name.rpartition('/')[0]}")
    again = registry.during(
        lambda: fetching.fetch(host, parse_reference(f"docker://{name}:v1"), STRICT, print)
    )
    assert again == ["HEAD manifests/v1"]


def test_what_is_rejected_no_option_accepts(
    host: Host, signing: Signing, made: Callable[..., Layout], name: str
) -> None:
    signing.push(made(), f"{name}:v1")
    decide(host, name, "reject")
    assert "rejects it" in refused(host, f"{name}:v1")
    with pytest.raises(Untrusted, match="rejects it"):
        fetch(host, f"{name}:v1", FetchPolicy("new", ("image",)))


# --- skopeo copy --sign-by ---


@pytest.fixture(name="by_team")
def _by_team(host: Host, gpg: Gpg, team: str, signing: Signing, name: str) -> Signing:
    decide(host, name, "signed", keys_of(gpg.export(team), "a test"), f"file://{signing.place}")
    return signing


def test_what_skopeo_has_signed_is_good_by_tag_and_by_digest(
    host: Host, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    by_team.push(made(), f"{name}:v1", "--sign-by", team)
    assert fetch(host, f"{name}:v1") == (team, f"signed {name.rpartition('/')[0]}")
    assert fetch(host, f"{name}@{digest_of(f'{name}:v1')}")[0] == team


def test_signatures_come_from_a_server(
    host: Host, gpg: Gpg, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    by_team.push(made(), f"{name}:v1", "--sign-by", team)
    with serving() as web:

        def answer(_method: str, path: str, _headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            found = by_team.place / path.replace("%3D", "=").removeprefix("/sigs/")
            return (200, {}, found.read_bytes()) if found.is_file() else (404, {}, b"")

        web.answer = answer
        decide(host, name, "signed", keys_of(gpg.export(team), "a test"), f"{web.url}/sigs")
        assert fetch(host, f"{name}:v1")[0] == team


def test_a_moved_tag_is_refused(
    host: Host, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    by_team.push(made(), f"{name}:v1", "--sign-by", team)
    by_team.push(made(), f"{name}:stable")
    message = refused(host, f"{name}:stable")
    assert f"it is for the image {name}:v1, not for {name}:stable" in message


def test_a_tag_that_was_moved_to_an_unsigned_image_is_refused(
    host: Host, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    by_team.push(made(), f"{name}:v1", "--sign-by", team)
    signed = digest_of(f"{name}:v1")
    by_team.push(made(b"changed"), f"{name}:v1")
    assert "and there is none" in refused(host, f"{name}:v1")
    moved = by_team.file(name, digest_of(f"{name}:v1"))
    moved.parent.mkdir()
    shutil.copy(by_team.file(name, signed), moved)
    assert f"it is for the manifest {signed}, and the registry has sent {digest_of(f'{name}:v1')}" in refused(
        host, f"{name}:v1"
    )


def test_the_signature_of_another_repository_is_refused(
    host: Host, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    """The old image of another name, which was signed, comes for this one, with its signature."""
    other = f"{name}-other:v1"
    by_team.push(made(), other, "--sign-by", team)
    by_team.push(made(), f"{name}:v1")
    digest = digest_of(other)
    assert digest == digest_of(f"{name}:v1")
    assert "and there is none" in refused(host, f"{name}:v1")
    replayed = by_team.file(name, digest)
    replayed.parent.mkdir()
    shutil.copy(by_team.file(other, digest), replayed)
    assert f"it is for the image {other}, not for {name}:v1" in refused(host, f"{name}:v1")
    assert fetch(host, other)[0] == team


def test_a_stripped_signature_is_refused_and_the_key_named(
    host: Host, team: str, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    by_team.push(made(), f"{name}:v1", "--sign-by", team)
    by_team.file(name, digest_of(f"{name}:v1")).unlink()
    assert f"asignatureby{team.upper()},andthereisnone" in refused(host, f"{name}:v1").replace(" ", "")


def test_the_key_that_made_the_signature_is_named(
    host: Host, gpg: Gpg, by_team: Signing, made: Callable[..., Layout], name: str
) -> None:
    other = gpg.make(f"Other {next(_numbers)}")
    by_team.push(made(), f"{name}:v1", "--sign-by", other)
    assert f"it is by the key {other.upper()}, which the policy does not have" in refused(host, f"{name}:v1")


@pytest.fixture(name="podman")
def _podman(by_team: Signing, gpg: Gpg) -> Iterator[Callable[..., None]]:
    """podman with a store and a configuration of its own."""
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    base = pathlib.Path(tempfile.mkdtemp(prefix="pm"))  # short, as podman wants it
    configuration = base / ".config" / "containers" / "registries.d"
    configuration.parent.mkdir(parents=True)
    configuration.symlink_to(by_team.configuration)
    store = ["--root", str(base / "root"), "--runroot", str(base / "run"), "--storage-driver", "vfs"]

    def podman(*words: str) -> None:
        done = subprocess.run(
            ["podman", *store, *words],
            env={**os.environ, "GNUPGHOME": str(gpg.home), "HOME": str(base)},
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()

    yield podman
    podman("rmi", "--all", "--force")
    shutil.rmtree(base)


def test_what_podman_has_signed_is_good(
    host: Host, team: str, podman: Callable[..., None], pushed: str, name: str
) -> None:
    podman("pull", "--quiet", "--tls-verify=false", f"{name}:v1")
    podman("push", "--tls-verify=false", f"--sign-by={team}", f"{name}:v1")
    assert fetch(host, f"{name}:v1")[0] == team


# --- cosign ---


class Pushing:
    """Pushes what cosign would push."""

    def __init__(self, name: str) -> None:
        registry, _slash, self.repository = name.partition("/")
        self._base = f"http://{registry}/v2/{self.repository}"

    def blob(self, data: bytes, kind: str) -> dict[str, object]:
        """Push a blob; its descriptor."""
        import hashlib

        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with self._send("POST", f"{self._base}/blobs/uploads/", b"", "") as answer:
            place = str(answer.headers["Location"])
        self._send(
            "PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data, "application/octet-stream"
        ).close()
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def manifest(self, tag: str, kind: str = MANIFEST, **members: object) -> dict[str, object]:
        """Push a manifest; its descriptor."""
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **members}).encode()
        with self._send("PUT", f"{self._base}/manifests/{tag}", data, kind) as answer:
            return {
                "mediaType": kind,
                "digest": str(answer.headers["Docker-Content-Digest"]),
                "size": len(data),
            }

    def attach(self, digest: str, data: bytes, signature: bytes) -> None:
        """Push a payload and its signature for a manifest."""
        annotations = {"dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()}
        config = self.blob(
            b'{"rootfs":{"type":"layers","diff_ids":[]}}', "application/vnd.oci.image.config.v1+json"
        )
        layers = [{**self.blob(data, SIMPLE), "annotations": annotations}]
        self.manifest(f"{digest.replace(':', '-')}.sig", config=config, layers=layers)

    def refer(self, digest: str, bundle: bytes) -> None:
        """Push a bundle, and the index that registries without the API of referrers have instead."""
        empty = self.blob(b"{}", "application/vnd.oci.empty.v1+json")
        found = self.manifest("bundle", artifactType=BUNDLE, config=empty, layers=[self.blob(bundle, BUNDLE)])
        kind = "application/vnd.oci.image.index.v1+json"
        self.manifest(digest.replace(":", "-"), kind, manifests=[{**found, "artifactType": BUNDLE}])

    def _send(self, method: str, url: str, data: bytes, kind: str):  # type: ignore[no-untyped-def]
        headers = {"Content-Type": kind} if kind else {}
        return urllib.request.urlopen(
            urllib.request.Request(url, data=data, headers=headers, method=method), timeout=30
        )


@pytest.fixture(name="key", params=["P-256", "ed25519"])
def _key(request: pytest.FixtureRequest, tmp_path: pathlib.Path, host: Host, name: str) -> CosignKey:
    key = CosignKey(tmp_path, kind=request.param)
    decide(host, name, "signed", keys_of(key.public, "a test"))
    return key


@pytest.fixture(name="pushed")
def _pushed(layout: Layout, made: Callable[..., Layout], name: str) -> str:
    """An unsigned image in the registry; its digest."""
    made()
    subprocess.run(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            f"oci:{layout.path}:it",
            f"docker://{name}:v1",
        ],
        check=True,
        timeout=120,
    )
    return digest_of(f"{name}:v1")


def test_what_cosign_attaches_is_good(host: Host, key: CosignKey, pushed: str, name: str) -> None:
    assert f"needs a signature by sha256:{key.fingerprint}, and there is none" in refused(host, f"{name}:v1")
    data = payload(pushed, name)
    Pushing(name).attach(pushed, data, key.sign(data))
    assert fetch(host, f"{name}:v1") == (key.fingerprint, f"signed {name.rpartition('/')[0]}")


def test_a_bundle_of_cosign_3_is_good(host: Host, key: CosignKey, pushed: str, name: str) -> None:
    Pushing(name).refer(pushed, key.bundle(pushed))
    assert fetch(host, f"{name}:v1")[0] == key.fingerprint


@pytest.mark.parametrize("stated", ["{}:v2", "{}-other", "elsewhere.example.com/app"])
def test_a_payload_for_another_name_is_refused(
    host: Host, key: CosignKey, pushed: str, name: str, stated: str
) -> None:
    data = payload(pushed, stated.format(name))
    Pushing(name).attach(pushed, data, key.sign(data))
    assert f"it is for the image {stated.format(name)}, not for {name}:v1" in refused(host, f"{name}:v1")


def test_a_payload_or_a_bundle_for_another_manifest_is_refused(
    host: Host, key: CosignKey, pushed: str, name: str
) -> None:
    other = f"sha256:{'a' * 64}"
    data = payload(other, name)
    Pushing(name).attach(pushed, data, key.sign(data))
    Pushing(name).refer(pushed, key.bundle(other))
    assert refused(host, f"{name}:v1").count(f"it is for the manifest {other}") == 1


def test_a_signature_by_another_key_is_refused(
    host: Host, key: CosignKey, pushed: str, name: str, tmp_path: pathlib.Path
) -> None:
    other = CosignKey(tmp_path, "other")
    data = payload(pushed, name)
    Pushing(name).attach(pushed, data, other.sign(data))
    Pushing(name).refer(pushed, other.bundle(pushed))
    assert "is by another key, or of other content" in refused(host, f"{name}:v1")
