# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""ACIs with detached signatures by real keys: what counts in the store, and what each refusal says."""

from __future__ import annotations

import gzip
import pathlib
import urllib.parse
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    PodError,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import keystore
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import grouped, read_keys
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
    configure,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
    Gpg,
)

pytestmark = pytest.mark.root
SIGNED = FetchPolicy("update")
Aci = Callable[..., bytes]


@pytest.fixture(name="trusting")
def _trusting(host: Host, gpg: Gpg, good: str) -> Host:
    """The host, which trusts that key for example.com."""
    trust(host, gpg, good)
    return host


def trust(host: Host, gpg: Gpg, fingerprint: str, prefix: str = "example.com") -> None:
    keystore.store(host.paths, prefix, read_keys(gpg.export(fingerprint), "a test")[0])


class Place:
    """Where images of a test are, with their signatures. asked: the paths of the requests for it."""

    def __init__(self, web: Web, folder: pathlib.Path, kind: str) -> None:
        self._web = web
        self._folder = folder
        self._kind = kind
        self.signature: Reply | None = None
        self.image = b""

    def put(self, image: bytes, signature: bytes | None) -> str:
        """Offer an image, compressed or not, and its signature, None for none; returns its reference."""
        self.image = image
        if self._kind == "file":
            (self._folder / "a.aci").write_bytes(image)
            if signature is not None:
                (self._folder / "a.aci.asc").write_bytes(signature)
            return f"{self._folder}/a.aci"
        self.signature = (404, {}, b"") if signature is None else (200, {}, signature)
        self._web.answer = self._answer
        return f"{self._web.url}/a.aci"

    def _answer(self, _method: str, path: str, headers: dict[str, str]) -> Reply:
        if path.partition("?")[0] == "/a.aci.asc":
            assert self.signature
            return self.signature
        if headers.get("if-none-match") == '"1"':
            return 304, {}, b""
        return 200, {"ETag": '"1"'}, self.image

    @property
    def asked(self) -> list[str]:
        return [path for _method, path, _headers in self._web.asked]


@pytest.fixture(name="place", params=["file", "url"])
def _place(request: pytest.FixtureRequest, web: Web, tmp_path: pathlib.Path) -> Place:
    return Place(web, tmp_path, request.param)


@pytest.fixture(name="server")
def _server(web: Web, tmp_path: pathlib.Path) -> Place:
    return Place(web, tmp_path, "url")


def fetch(host: Host, text: str, policy: FetchPolicy = SIGNED) -> list[str]:
    """Fetch an image; the lines."""
    lines: list[str] = []
    fetching.fetch(host, parse_reference(text), policy, lines.append)
    return lines


def refusal(host: Host, text: str, policy: FetchPolicy = SIGNED) -> PodError:
    """The error of a fetch, which leaves nothing in the store."""
    with pytest.raises(PodError) as caught:
        fetch(host, text, policy)
    paths = host.paths
    assert index.list_ids(paths) == ()
    assert files.entries(paths.remotes) == files.entries(paths.workspaces) == []
    assert [path for kind in ("index", "blob") for path in files.files_below(paths.blobs(kind))] == []
    return caught.value


@pytest.mark.behaviour("B24", "B26", "B27")
@pytest.mark.parametrize("armor", [True, False])
def test_a_signed_image_counts_and_tells_who_has_signed_it(
    trusting: Host, place: Place, aci: Aci, gpg: Gpg, good: str, armor: bool
) -> None:
    sent = gzip.compress(aci(), mtime=0)
    text = place.put(sent, gpg.sign(good, sent, armor=armor))
    lines = fetch(trusting, text)
    assert lines[lines.index("signature verified:") :][:2] == [
        "signature verified:",
        "  Team <team@example.com>",
    ]
    (image,) = index.list_images(trusting.paths)
    assert image.signer == good
    if text.startswith("http"):
        assert place.asked == ["/a.aci.asc", "/a.aci"]
    # The signature is of the file as it was sent, and stays known for this content.
    fetch(trusting, place.put(aci(), None), FetchPolicy("update", ("image",)))
    assert [image.signer for image in index.list_images(trusting.paths)] == [good]


@pytest.mark.behaviour("B24")
def test_without_a_signature_the_error_says_where_it_should_be_and_whose(
    trusting: Host, place: Place, aci: Aci, good: str
) -> None:
    text = place.put(aci(), None)
    err = refusal(trusting, text)
    assert isinstance(err, Untrusted)
    assert "insecure_options: image" in err.hint
    if text.startswith("http"):
        assert "error downloading the signature file: cannot fetch" in err.message
        assert "/a.aci.asc: bad HTTP status code: 404" in err.message
        assert place.asked == ["/a.aci.asc"], "the image was not asked for"
    else:
        assert f"error opening signature file {text}.asc: no such file" in err.message
        assert f"for example.com/app are trusted {grouped(good)}" in err.hint
    fetch(trusting, text, FetchPolicy("new", ("image",)))
    assert [image.signer for image in index.list_images(trusting.paths)] == [""]


@pytest.mark.behaviour("B27")
def test_what_a_signature_is_refused_for(trusting: Host, place: Place, aci: Aci, gpg: Gpg, good: str) -> None:
    stranger = gpg.make("a stranger")
    image = aci()
    for signature, reason in (
        (b"no signature", "keystore: no valid signatures found in signature file"),
        (gpg.sign(good, aci(content=b"y")), "it does not belong to this file"),
        (gpg.sign(stranger, image), "openpgp: signature made by unknown entity"),
        (gpg.sign(good, image)[:-80] + b"\n-----END PGP SIGNATURE-----\n", "keystore: no valid signatures"),
    ):
        err = refusal(trusting, place.put(image, signature))
        assert isinstance(err, Untrusted) and reason in err.message, err.message


def test_a_key_that_has_expired_signs_nothing(host: Host, place: Place, aci: Aci, gpg: Gpg) -> None:
    old = gpg.make("old", "ed25519", "seconds=86400", "--faked-system-time", f"{THEN}!")
    trust(host, gpg, old)
    signature = gpg.sign(old, aci(), "--faked-system-time", f"{THEN}!")
    assert "its key has expired" in refusal(host, place.put(aci(), signature)).message


def test_a_key_of_another_prefix_does_not_count(
    trusting: Host, place: Place, aci: Aci, gpg: Gpg, good: str
) -> None:
    image = aci("example.org/app")
    err = refusal(trusting, place.put(image, gpg.sign(good, image)))
    assert "no key is trusted for example.org/app" in err.message
    assert "podctl trust --prefix=example.org/app KEY" in err.hint


@pytest.mark.behaviour("B24")
def test_a_signature_may_be_given(
    trusting: Host, place: Place, aci: Aci, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    given = tmp_path / "given.asc"
    text = place.put(aci(), None)
    policy = SIGNED.replace(signature=str(given))
    assert f"error opening signature file {given}: no such file" in refusal(trusting, text, policy).message
    given.write_bytes(gpg.sign(good, aci()))
    fetch(trusting, text, policy)
    assert "/a.aci.asc" not in place.asked


@pytest.mark.behaviour("B24")
def test_a_signature_may_be_given_by_url(
    trusting: Host, server: Place, aci: Aci, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    url = server.put(aci(), gpg.sign(good, aci()))
    (tmp_path / "b.aci").write_bytes(aci())
    fetch(trusting, f"{tmp_path}/b.aci", SIGNED.replace(signature=f"{url}.asc"))
    assert server.asked == ["/a.aci.asc"]


@pytest.mark.behaviour("B25")
def test_a_deferred_signature_is_asked_for_again_after_the_image(
    trusting: Host, server: Place, aci: Aci, gpg: Gpg, good: str
) -> None:
    text = server.put(aci(), gpg.sign(good, aci()))
    ready, server.signature = server.signature, (202, {}, b"wait")
    err = refusal(trusting, text)
    assert isinstance(err, Unreachable) and "deferred" in err.message
    assert server.asked == ["/a.aci.asc", "/a.aci", "/a.aci.asc"]
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "Downloading ACI":
            server.signature = ready

    fetching.fetch(trusting, parse_reference(text), SIGNED, hear)
    assert "server requested deferring the signature download" in lines
    assert [image.signer for image in index.list_images(trusting.paths)] == [good]


@pytest.mark.behaviour("B24", "B37")
def test_a_signature_is_asked_for_with_the_credentials_and_the_query_of_its_image(
    trusting: Host, server: Place, web: Web, aci: Aci, gpg: Gpg, good: str
) -> None:
    configure(trusting, "auth", domains=[web.authority], type="oauth", credentials={"token": "t"})
    text = server.put(aci(), gpg.sign(good, aci()))
    fetch(trusting, f"{text}?key=1")
    assert [(path, headers.get("authorization")) for _method, path, headers in web.asked] == [
        ("/a.aci.asc?key=1", "Bearer t"),
        ("/a.aci?key=1", "Bearer t"),
    ]
    (source,) = index.sources_of(trusting.paths, index.list_ids(trusting.paths)[0])
    assert "key=1" not in source


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((500, {}, b""), "bad HTTP status code: 500"),
        ((401, {}, b""), "bad HTTP status code: 401"),
        ((200, {}, bytes((1 << 20) + 1)), "larger than 1048576 bytes"),
        ((302, {"Location": "/a.aci.asc"}, b""), "more than 10 redirects"),
    ],
    ids=["500", "401", "large", "circle"],
)
def test_a_server_that_does_not_give_a_signature(
    trusting: Host, server: Place, aci: Aci, reply: Reply, reason: str
) -> None:
    text = server.put(aci(), b"")
    server.signature = reply
    err = refusal(trusting, text)
    assert isinstance(err, Unreachable)
    assert err.message.startswith("error downloading the signature file: ") and reason in err.message
    assert "/a.aci" not in server.asked


def test_what_has_not_changed_costs_one_request_and_what_has_is_verified_again(
    trusting: Host, server: Place, aci: Aci, gpg: Gpg, good: str
) -> None:
    text = server.put(aci(), gpg.sign(good, aci()))
    fetch(trusting, text)
    before = index.list_ids(trusting.paths)
    del server._web.asked[:]
    fetch(trusting, text)
    assert server.asked == ["/a.aci"]
    server._web.answer = lambda _method, path, _headers: (
        (200, {}, gpg.sign(good, aci())) if path.endswith(".asc") else (200, {}, aci(content=b"y"))
    )
    with pytest.raises(Untrusted, match="it does not belong to this file"):
        fetch(trusting, text)
    assert server.asked == ["/a.aci", "/a.aci", "/a.aci.asc"]
    assert index.list_ids(trusting.paths) == before


def test_check_mode_verifies_a_file_and_leaves_nothing(
    trusting: Host, aci: Aci, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    reference = parse_reference(str(file))
    with pytest.raises(Untrusted, match="error opening signature file"):
        fetching.check_may_fetch(trusting, reference, SIGNED)
    pathlib.Path(f"{file}.asc").write_bytes(gpg.sign(good, b"another"))
    with pytest.raises(Untrusted, match="it does not belong to this file"):
        fetching.check_may_fetch(trusting, reference, SIGNED)
    pathlib.Path(f"{file}.asc").write_bytes(gpg.sign(good, aci()))
    fetching.check_may_fetch(trusting, reference, SIGNED)
    assert not pathlib.Path(trusting.paths.data).exists()


def test_check_mode_says_nothing_of_a_url_before_it_is_asked(trusting: Host, web: Web) -> None:
    fetching.check_may_fetch(trusting, parse_reference(f"{web.url}/a.aci"), SIGNED)
    assert web.asked == []


def test_a_signature_that_cannot_be_read_has_an_error_of_its_own(
    trusting: Host, aci: Aci, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "a.aci").write_bytes(aci())
    (tmp_path / "a.aci.asc").mkdir()
    with pytest.raises(Untrusted, match=r"error opening signature file .*: it is a directory"):
        fetch(trusting, f"{tmp_path}/a.aci")


def test_the_place_of_a_signature_keeps_what_the_url_says(host: Host) -> None:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.find import source_of

    source = source_of(host, parse_reference("https://h/a.aci?x=1#part"))
    parts = urllib.parse.urlsplit(source.signature_place())
    assert (parts.path, parts.query, parts.fragment) == ("/a.aci.asc", "x=1", "")
