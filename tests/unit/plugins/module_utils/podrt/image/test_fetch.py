# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a source is asked, for files, URLs, names and keys. Docker: tests/integration/registry."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import tarfile
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    InvalidSpec,
    NotFound,
    Unreachable,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.meaning import Meanings
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy, Note
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.sources.file import fingerprint
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, layers, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import log_in

pytestmark = pytest.mark.root
NEW = FetchPolicy("new", ("image",))
UPDATE = FetchPolicy("update", ("image",))
NEVER = FetchPolicy("never", ("image",))


def fetch(host, text, policy=NEW, lines=None):
    lines = [] if lines is None else lines
    return fetching.fetch(host, parse_reference(text), policy, lines.append)


@pytest.mark.behaviour("B17")
def test_a_file_is_read_every_time_and_its_content_is_its_id(host, tmp_path, aci):
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    lines = []
    image = fetch(host, str(file), NEVER, lines)
    assert image.id == f"sha512-{hashlib.sha512(aci()).hexdigest()[:64]}"
    assert lines == [f"using image from file {file}"]
    assert find.lookup(host, parse_reference(str(file))) is not None
    file.write_bytes(aci(content=b"other"))
    assert find.lookup(host, parse_reference(str(file))) is None
    assert fetch(host, str(file)).id != image.id


@pytest.mark.behaviour("B48")
def test_the_store_is_written_by_its_owner_alone(host, tmp_path, aci):
    """Whatever the umask; what an image says of its own files counts only within its layers."""
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    os.chmod(tmp_path, 0o755)
    old = os.umask(0)
    try:
        fetch(host, str(file))
    finally:
        os.umask(old)
    found = [*pathlib.Path(host.paths.data).rglob("*")]
    assert len(found) > 10
    shared = [path for path in found if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert shared == []
    assert {path.lstat().st_uid for path in found} == {os.geteuid()}


@pytest.mark.behaviour("B48")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_is_told_to_become_root(host, tmp_path, aci):
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    fetch(host, str(file))
    for path in (*reversed(tmp_path.parents), tmp_path):
        if path.stat().st_uid == os.geteuid() and path.name.startswith(("pytest", tmp_path.name)):
            path.chmod(0o755)
    other = tmp_path / "b.aci"
    other.write_bytes(aci(content=b"other"))
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            fetch(host, str(other))
        except HostFailure as err:
            os.write(write_end, err.hint.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        assert told.read() == "the store is root's: become root"


def test_a_file_that_is_missing_or_none_is_said_to_be(host, tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        fetch(host, f"{tmp_path}/missing.aci")
    with pytest.raises(InvalidSpec, match="not a file"):
        fetch(host, str(tmp_path))


@pytest.mark.behaviour("B27")
def test_what_cannot_be_verified_is_untrusted(host):
    text = "docker://example.com/x"
    with pytest.raises(Untrusted, match="--insecure-options=image") as told:
        fetching.check_may_fetch(host, parse_reference(text), FetchPolicy())
    with pytest.raises(Untrusted) as raised:
        fetch(host, text, FetchPolicy())
    assert (raised.value.message, raised.value.hint) == (told.value.message, told.value.hint)


@pytest.mark.parametrize("policy", [FetchPolicy(), NEW, NEVER], ids=str)
def test_a_file_that_is_missing_is_said_to_be_before_anything_else(host, policy, tmp_path):
    assert find.lookup(host, parse_reference(f"{tmp_path}/nope")) is None
    with pytest.raises(NotFound, match="no such file"):
        fetching.check_may_fetch(host, parse_reference(f"{tmp_path}/nope"), policy)
    with pytest.raises(NotFound, match="no such file"):
        fetch(host, f"{tmp_path}/nope", policy)


@pytest.mark.behaviour("B16")
def test_a_name_or_a_key_comes_from_the_store(host, tmp_path, aci):
    (tmp_path / "a.aci").write_bytes(aci(labels=[{"name": "version", "value": "1"}]))
    image = fetch(host, str(tmp_path / "a.aci"))
    assert fetch(host, "example.com/app:1", NEVER).id == image.id
    assert fetch(host, image.id[:20], FetchPolicy("never")).id == image.id
    for text, said in (
        ("example.com/app:2", "either image was not found"),
        ("sha512-00ff", "no image IDs found"),
    ):
        with pytest.raises(NotFound, match=said):
            fetch(host, text, NEVER)


@pytest.mark.behaviour("B20", "B51")
def test_a_dependency_must_be_in_the_store(host, tmp_path, aci):
    (tmp_path / "top.aci").write_bytes(aci("top", dependencies=[{"imageName": "base"}]))
    (tmp_path / "base.aci").write_bytes(aci("base"))
    with pytest.raises(NotFound, match="top needs base"):
        fetch(host, str(tmp_path / "top.aci"))
    assert index.list_images(host.paths) == ()  # nothing unusable is left
    fetch(host, str(tmp_path / "base.aci"))
    assert fetch(host, str(tmp_path / "top.aci")).id == fetch(host, "top").id


@pytest.mark.behaviour("B51")
def test_images_that_depend_on_each_other_are_refused_and_what_was_there_stays(host, tmp_path, aci):
    (tmp_path / "a.aci").write_bytes(aci("a"))
    (tmp_path / "b.aci").write_bytes(aci("b", dependencies=[{"imageName": "a"}]))
    (tmp_path / "a2.aci").write_bytes(aci("a", dependencies=[{"imageName": "b"}]))
    kept = {fetch(host, str(tmp_path / name)).id for name in ("a.aci", "b.aci")}
    with pytest.raises(InvalidSpec, match="depends on itself"):
        fetch(host, str(tmp_path / "a2.aci"))
    assert {image.id for image in index.list_images(host.paths)} == kept


def without_base(host, tmp_path, aci):
    """An image in the store whose dependency has gone."""
    (tmp_path / "top.aci").write_bytes(aci("top", dependencies=[{"imageName": "base"}]))
    (tmp_path / "base.aci").write_bytes(aci("base"))
    base = fetch(host, str(tmp_path / "base.aci"))
    top = fetch(host, str(tmp_path / "top.aci"))
    index.remove_image(host.paths, base.id)
    return top


@pytest.mark.parametrize("how", ["key", "name", "file"])
def test_what_is_stored_is_found_though_it_cannot_be_used_any_more(host, tmp_path, aci, how):
    top = without_base(host, tmp_path, aci)
    (tmp_path / "top.aci").unlink()
    reference = parse_reference({"key": top.id, "name": "top", "file": f"{tmp_path}/top.aci"}[how])
    assert find.stored(host, reference).id == find.stored_id(host, reference) == top.id
    if how != "file":
        assert find.lookup(host, reference) is None
        with pytest.raises(NotFound, match="top needs base"):
            fetching.check_may_fetch(host, reference, NEW)


def test_nothing_stored_is_none(host, tmp_path):
    for text in ("top", "sha512-00ff", f"{tmp_path}/nope", "docker://example.com/x"):
        assert find.stored(host, parse_reference(text)) is None
        assert find.stored_id(host, parse_reference(text)) is None


def test_an_image_whose_manifest_is_damaged_is_known_by_its_id_and_mended_by_a_fetch(host, tmp_path, aci):
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    image = fetch(host, str(file))
    pathlib.Path(host.paths.image_manifest(image.id)).write_text("{")
    for text in (image.id, str(file), "example.com/app"):
        assert find.stored_id(host, parse_reference(text)) == image.id
        assert find.lookup(host, parse_reference(text)) is None
    with pytest.raises(Corrupt):
        find.stored(host, parse_reference(image.id))
    assert fetch(host, str(file)) and find.stored(host, parse_reference(image.id)).id == image.id


def test_an_aci_whose_layer_and_archive_are_gone_is_fetched_again(host, tmp_path, aci):
    (tmp_path / "a.aci").write_bytes(aci())
    image = fetch(host, str(tmp_path / "a.aci"))
    shutil.rmtree(host.paths.layer(layers.layer_name(image.id)).path)
    assert find.lookup(host, parse_reference("example.com/app"))
    os.unlink(host.paths.blob(image.id))
    assert find.lookup(host, parse_reference("example.com/app")) is None
    assert fetch(host, str(tmp_path / "a.aci")).id == image.id


@pytest.mark.behaviour("B18")
def test_a_url_is_asked_as_its_policy_says(host, web, aci):
    url, body = f"{web.url}/a.aci", aci()

    def answer(_method, _path, headers):
        return (304, {}, b"") if headers.get("if-none-match") == '"1"' else (200, {"ETag": '"1"'}, body)

    web.answer = answer
    with pytest.raises(NotFound, match="unable to fetch image from URL"):
        fetch(host, url, NEVER)
    assert web.asked == []
    image = fetch(host, url)
    assert fetch(host, url).id == fetch(host, url, NEVER).id == image.id
    assert len(web.asked) == 1
    assert fetch(host, url, UPDATE).id == image.id
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert [method for method, _other, _other in web.asked] == ["GET", "GET", "HEAD"]
    web.answer = lambda *_other: (200, {"ETag": '"2"'}, aci(content=b"new"))
    assert not fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert fetch(host, url, UPDATE).id != image.id


@pytest.mark.behaviour("B18")
def test_a_time_of_last_modification_does_where_there_is_no_etag(host, web, aci):
    url, body, time = f"{web.url}/a.aci", aci(), "Wed, 01 Jan 2025 00:00:00 GMT"

    def answer(_method, _path, headers):
        known = headers.get("if-modified-since") == time
        return (304, {}, b"") if known else (200, {"Last-Modified": time}, body)

    web.answer = answer
    image = fetch(host, url)
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert fetch(host, url, UPDATE).id == image.id
    assert [method for method, _other, _other in web.asked] == ["GET", "HEAD", "GET"]
    web.answer = lambda *_other: (200, {"Last-Modified": time}, body)  # a server that ignores conditions
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    web.answer = lambda *_other: (200, {"Last-Modified": time.replace("2025", "2026")}, aci(content=b"new"))
    assert not fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert fetch(host, url, UPDATE).id != image.id


@pytest.mark.behaviour("B17", "B18")
def test_within_max_age_nothing_is_asked(host, web, aci):
    web.answer = lambda *_other: (200, {"Cache-Control": "public, max-age=600"}, aci())
    image = fetch(host, f"{web.url}/a.aci")
    lines = []
    fetch(host, f"{web.url}/a.aci", UPDATE, lines)
    assert lines == [f"image for {web.url}/a.aci isn't expired, not fetching."]
    assert fetching.is_current(host, parse_reference(f"{web.url}/a.aci"), UPDATE, image)
    assert len(web.asked) == 1


@pytest.mark.behaviour("B19")
@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_another_status_is_an_error(host, web, status):
    web.answer = lambda *_other: (status, {}, b"")
    with pytest.raises(Unreachable, match=f"bad HTTP status code: {status}"):
        fetch(host, f"{web.url}/a.aci")


@pytest.mark.behaviour("B21")
def test_ten_redirects_are_followed_and_no_more(host, web, aci):
    def answer(_method, path, _headers):
        number = int(path[1:].partition(".")[0])
        return (302, {"Location": f"/{number - 1}.aci"}, b"") if number else (200, {}, aci())

    web.answer = answer
    assert fetch(host, f"{web.url}/10.aci")
    with pytest.raises(Unreachable, match="more than 10 redirects"):
        fetch(host, f"{web.url}/11.aci")


def test_a_broken_connection_is_taken_up_where_it_broke(host, web, aci):
    body = aci(content=os.urandom(3_000_000))

    def answer(_method, _path, headers):
        if "range" not in headers:
            return 200, {"ETag": '"1"'}, body
        start = int(headers["range"].partition("=")[2].rstrip("-"))
        said = {"ETag": '"1"', "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        return 206, said, body[start:]

    web.answer, web.breaks_after = answer, 1_000_000
    image = fetch(host, f"{web.url}/a.aci")
    assert image.id == f"sha512-{hashlib.sha512(body).hexdigest()[:64]}"
    assert [headers.get("if-range") for _other, _other, headers in web.asked] == [None, '"1"']


@pytest.mark.slow
def test_a_server_that_is_away_for_a_moment_is_tried_again(host, web, aci):
    body, tries = aci(content=os.urandom(3_000_000)), []

    def answer(_method, _path, headers):
        if "range" not in headers:
            return 200, {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}, body
        tries.append(headers["if-range"])
        if len(tries) < 3:
            raise ConnectionResetError
        start = int(headers["range"].partition("=")[2].rstrip("-"))
        return 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:]

    web.answer, web.breaks_after = answer, 1_000_000
    image = fetch(host, f"{web.url}/a.aci")
    assert image.id == f"sha512-{hashlib.sha512(body).hexdigest()[:64]}"
    assert tries == ["Wed, 01 Jan 2025 00:00:00 GMT"] * 3


def test_a_connection_that_breaks_for_good_leaves_nothing(host, web, aci):
    def answer(*_other):
        web.breaks_after = 50_000
        return 200, {}, aci(content=bytes(100_000))

    web.answer = answer
    with pytest.raises(Unreachable, match="cannot resume"):
        fetch(host, f"{web.url}/a.aci")
    assert os.listdir(f"{host.paths.cas}/tmp") == []


@pytest.mark.parametrize("source", ["file", "url", "key"])
def test_what_a_killed_fetch_left_goes_with_the_next_one_though_that_has_nothing_to_make(
    host, web, aci, tmp_path, source
):
    """It may have been killed when all was in place already, before it could remove its workspace."""
    (tmp_path / "a.aci").write_bytes(aci())
    web.answer = lambda *_other: (200, {}, aci())
    image = fetch(host, f"{web.url}/a.aci")
    text = {"file": f"{tmp_path}/a.aci", "url": f"{web.url}/a.aci", "key": str(image.id)}[source]
    left = pathlib.Path(host.paths.cas, "tmp", "0123456789abcdef")
    left.mkdir()
    (left / "blob").write_bytes(b"x")
    assert fetch(host, text).id == image.id
    assert not left.exists()


def cut_after_an_entry(archive: bytes) -> bytes:
    """A tar that ends between two of its entries."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        return archive[: read.getmembers()[-1].offset]


@pytest.mark.finding("http-F5")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("by", ["url", "file"])
def test_an_archive_that_is_cut_between_two_entries_is_not_whole(host, web, aci, tmp_path, pack, by):
    body = aci(content=b"deny all")
    path = tmp_path / "a.aci"
    path.write_bytes(pack(cut_after_an_entry(body)))
    web.answer = lambda *_other: (200, {}, path.read_bytes())
    with pytest.raises(Corrupt, match="is cut: the blocks of zeros at the end of a tar archive are missing"):
        fetch(host, f"{web.url}/a.aci" if by == "url" else str(path))
    path.write_bytes(pack(body.rstrip(b"\0") + bytes(512 + -len(body.rstrip(b"\0")) % 512)))
    assert fetch(host, f"{web.url}/a.aci" if by == "url" else str(path)), "one block is enough"


@pytest.mark.finding("http-F14")
@pytest.mark.parametrize("name", ["sha512-00", "a/../../../x", "a.aci", "example.com/app"])
def test_a_name_that_means_something_else_is_said_to(host, aci, tmp_path, name):
    (tmp_path / "x.aci").write_bytes(aci(name))
    lines = []
    image = fetch(host, f"{tmp_path}/x.aci", lines=lines)
    notes = [line for line in lines if isinstance(line, Note)]
    assert bool(notes) is (name != "example.com/app")
    assert all(f"use its ID {image.id}" in note for note in notes)


@pytest.mark.finding("http-F14")
def test_no_change_is_no_answer_to_a_question_without_a_condition(host, web):
    web.answer = lambda *_other: (304, {}, b"")
    with pytest.raises(Unreachable, match="bad HTTP status code: 304"):
        fetch(host, f"{web.url}/a.aci")


def test_what_is_no_image_is_corrupt(host, web):
    web.answer = lambda *_other: (200, {}, b"<html>sign in</html>" * 100)
    with pytest.raises(Corrupt):
        fetch(host, f"{web.url}/a.aci")


def registry(web, token="", login="", challenge="", config=()):
    """Let the server be a registry with one image, which wants a token or a login, or neither."""
    described = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}, "config": dict(config)}
    config = json.dumps(described).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": digest}, "layers": []}).encode()
    wanted = f"Bearer {token}" if token else f"Basic {base64.b64encode(login.encode()).decode()}"
    usual = 'Bearer realm="REALM",service="s",scope="repository:app:pull"' if token else 'Basic realm="r"'
    challenge = (challenge or usual).replace("REALM", f"{web.url}/token")

    def answer(_method, path, headers):
        if path.startswith("/token"):
            return 200, {}, json.dumps({"token": token}).encode()
        if (token or login) and headers.get("authorization") != wanted:
            return 401, {"WWW-Authenticate": challenge}, b""
        return 200, {}, config if "/blobs/" in path else manifest

    web.answer = answer
    return f"docker://{web.authority}/app"


@pytest.mark.behaviour("B39")
def test_a_registry_may_want_a_token(host, web):
    reference = registry(web, token="secret")
    log_in(host, "other.example.com", "other", "secret")
    log_in(host, web.authority)
    assert fetch(host, reference)
    tokens = [(path, headers["authorization"]) for _other, path, headers in web.asked if "/token" in path]
    assert tokens == [("/token?service=s&scope=repository%3Aapp%3Apull", "Basic bWU6cHc=")]


@pytest.mark.behaviour("B37", "B39", "B57")
def test_a_registry_may_want_a_login(host, web):
    reference = registry(web, login="me:pw")
    with pytest.raises(Unreachable, match="bad HTTP status code: 401"):
        fetch(host, reference)
    log_in(host, web.authority)
    assert fetch(host, reference)


@pytest.mark.finding("attack-F6")
def test_a_challenge_has_a_largest_size(host, web):
    reference = registry(web, token="secret", challenge=f"Bearer realm=REALM, x={'-' * 8192}")
    with pytest.raises(Unreachable, match="sends a challenge of more than 8192 bytes"):
        fetch(host, reference)


@pytest.mark.behaviour("B39")
def test_of_several_challenges_that_for_a_token_is_met(host, web):
    reference = registry(web, token="secret", challenge='Basic realm="r", Bearer realm=REALM, service=s')
    log_in(host, web.authority)
    assert fetch(host, reference)
    assert any("/token" in path for _other, path, _other in web.asked)


def test_a_challenge_that_does_not_say_where_to_go_is_the_registrys_fault(host, web):
    reference = registry(web, token="secret", challenge="Bearer service=s")
    with pytest.raises(Unreachable, match="does not say from where"):
        fetch(host, reference)


def test_an_index_may_hold_an_index_and_need_not_name_the_platform(host, web):
    documents = {}

    def document(value):
        data = json.dumps(value).encode()
        documents[f"sha256:{hashlib.sha256(data).hexdigest()}"] = data
        return {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}

    def serve(architecture, indexes):
        config = {"architecture": architecture, "os": "linux", "rootfs": {"diff_ids": []}}
        found = document({"config": document(config), "layers": []})
        for _depth in range(indexes):
            found = document({"manifests": [found]})
        documents["latest"] = documents[found["digest"]]
        web.answer = lambda _method, path, _headers: (200, {}, documents[path.rpartition("/")[2]])
        return f"docker://{web.authority}/{architecture}{indexes}"

    here = {"aarch64": "arm64", "i386": "386"}.get(host.arch, host.arch)
    for depth in (1, 3):
        assert fetch(host, serve(here, depth))
    with pytest.raises(Unsupported, match="too many indexes name each other"):
        fetch(host, serve(here, 4))
    with pytest.raises(NotFound, match=f"is not made for {host.arch}: it offers sparc"):
        fetch(host, serve("sparc", 1))


def test_what_the_first_try_met_is_said_rather_than_that_there_is_no_tls(host, web):
    web.answer = lambda *_other: (400, {}, b"")
    with pytest.raises(Unreachable, match="bad HTTP status code: 400"):
        fetch(host, f"docker://{web.authority}/app")

    def reset(*_other):
        raise ConnectionResetError

    web.answer = reset
    with pytest.raises(Unreachable, match=r"cannot fetch http://.*(reset|closed connection)"):
        fetch(host, f"docker://{web.authority}/app")


@pytest.mark.behaviour("B42", "B54")
def test_what_is_left_out_of_an_image_is_told(host, web):
    lines = []
    fetch(host, registry(web, config={"ExposedPorts": {"9/dccp": {}}}), lines=lines)
    assert "the port 9/dccp is left out: a pod knows tcp, udp and sctp" in lines


def test_a_url_is_told_without_its_query(host, web, aci):
    web.answer = lambda *_other: (200, {}, aci())
    lines = []
    fetch(host, f"{web.url}/a.aci?sig=secret", lines=lines)
    records = [path.read_text() for path in pathlib.Path(f"{host.paths.cas}/remote").iterdir()]
    assert len(records) == 1
    assert "secret" not in "".join((*lines, *records, *os.listdir(f"{host.paths.cas}/remote")))
    web.answer = lambda *_other: (200, {}, b"no image" * 1000)
    with pytest.raises(Corrupt) as caught:
        fetch(host, f"{web.url}/a.aci?sig=secret", UPDATE)
    assert "secret" not in str(caught.value)


@pytest.mark.finding("http-F8")
def test_a_file_is_compared_no_further_than_an_image_may_grow(host, tmp_path, aci):
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    image = fetch(host, str(file))
    assert find.source_of(host, parse_reference(str(file))).gives(image)
    (tmp_path / "etc/limits.d").mkdir(parents=True)
    bound = '{"rktKind": "limits", "rktVersion": "v1", "unpackedBytes": 100}'
    (tmp_path / "etc/limits.d/l.json").write_text(bound)
    assert not find.source_of(host, parse_reference(str(file))).gives(image)


@pytest.mark.finding("a4-F7")
@pytest.mark.parametrize(
    ("failure", "stays"), [(KeyboardInterrupt(), True), (OSError(28, "no space"), False)]
)
def test_an_interrupted_fetch_leaves_the_image_to_others(host, tmp_path, aci, monkeypatch, failure, stays):
    """Another process may be about to use it; an image that cannot be rendered is of no use."""

    (tmp_path / "a.aci").write_bytes(aci())

    def fail(*_given):
        raise failure

    monkeypatch.setattr(trees, "render", fail)
    with pytest.raises((KeyboardInterrupt, HostFailure)):
        fetch(host, str(tmp_path / "a.aci"))
    assert bool(index.list_ids(host.paths)) is stays


@pytest.mark.finding("a4-F10")
def test_a_file_that_was_replaced_in_place_is_read_again_whatever_its_times_say(tmp_path):
    path = tmp_path / "a.aci"
    path.write_bytes(b"AAAA")
    os.utime(path, ns=(5, 5))
    before = fingerprint(str(path))
    time.sleep(0.02)
    path.write_bytes(b"BBBB")
    os.utime(path, ns=(5, 5))
    assert fingerprint(str(path)) != before


def name_of(host, image):
    return index.find_by_name(host.paths, image.manifest.name, Labels()).id


@pytest.mark.finding("a4-F1")
@pytest.mark.behaviour("B10")
def test_a_name_that_gets_another_meaning_from_another_source_is_told(host, tmp_path, aci):
    for name, content, moves in (("a", b"good", False), ("b", b"evil", True), ("b", b"evil again", False)):
        file, lines = tmp_path / f"{name}.aci", []
        file.write_bytes(aci(content=content))
        before = index.meanings(host.paths)
        image = fetch(host, str(file), lines=lines)
        assert name_of(host, image) == image.id
        notes = [line for line in lines if isinstance(line, Note)]
        assert bool(notes) is moves
        if moves:
            old = before[image.manifest.name]
            assert f'"{image.manifest.name}" meant {old} until now, and means {image.id} now' in notes[0]


@pytest.mark.finding("a4-F1")
def test_another_tag_of_a_repository_is_no_other_source(host, tmp_path, aci):
    sources = ("cimd:docker:v=0:reg:5000/team/app:1", "cimd:docker:v=0:reg:5000/team/app@sha256:" + "0" * 64)
    file = tmp_path / "a.aci"
    for number, (source, told) in enumerate(
        ((sources[0], False), (sources[1], False), (sources[0] + "/x:1", True))
    ):
        meanings = Meanings(host.paths, source)
        file.write_bytes(aci(content=str(number).encode()))
        image = fetch(host, str(file))
        os.unlink(index._remote_path(host.paths, parse_reference(str(file)).source))
        index.put_remote(host.paths, index.Remote(source, image.id))
        assert bool(meanings.has_moved(image)) is told
