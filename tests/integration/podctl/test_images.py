# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""fetch and image, on a file."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import tarfile
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    image_manifest,
    write_image,
)


@pytest.mark.behaviour("A53", "A54", "A55", "G1", "G4")
def test_an_image_is_fetched_listed_and_removed(pods: PodHost) -> None:
    key = pods.ok("fetch", pods.image)
    assert re.fullmatch(r"sha512-[0-9a-f]{32}", key)
    whole = pods.ok("fetch", "--full", pods.image)
    assert re.fullmatch(r"sha512-[0-9a-f]{64}", whole) and whole.startswith(key)
    header, row = pods.ok("image", "list").splitlines()
    assert [cell for cell in header.split("\t") if cell] == ["ID", "NAME", "SIZE", "IMPORT TIME", "LAST USED"]
    assert row.split("\t")[0] == whole[:19]
    assert pods.ok("image", "list", "--fields=name", "--no-legend") == "example.com/busybox:1.0"
    assert json.loads(pods.ok("image", "list", "--format=json"))[0]["id"] == whole
    assert '"name": "example.com/busybox"' in pods.ok("image", "cat-manifest", whole)
    done = pods.podctl("image", "rm", key, "example.com/busybox", "example.com/nosuch")
    assert (done.status, done.out) == (0, f'successfully removed aci for image: "{whole}"\n')
    assert 'rm: cannot find aci satisfying name: "example.com/nosuch" and labels: ' in done.err
    assert done.err.endswith("rm: 1 image(s) successfully removed\n")
    assert pods.ok("image", "list", "--format=json") == "null"


@pytest.mark.behaviour("A53", "A54", "A65")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fetch",), "fetch: must provide at least one image"),
        (("fetch", "x", "--", "y"), "fetch: unable to parse arguments: app arguments unsupported"),
        (("image", "list", "--fields=x"), 'list: unknown field "x"'),
        (("image", "list", "--order=x"), 'list: wrong sort order "x"'),
    ],
)
def test_what_is_refused(pods: PodHost, words: tuple[str, ...], message: str) -> None:
    done = pods.podctl(*words)
    assert (done.status, done.err.splitlines()[0]) == (254, message)


@pytest.mark.behaviour("A59", "B16")
def test_an_image_that_is_nowhere(pods: PodHost) -> None:
    done = pods.podctl("run", "--pull-policy=never", "example.com/nosuch")
    assert done.status == 254
    assert "either image was not found in the store" in done.err
    assert "run: no image IDs found\n" in pods.podctl("run", "sha512-abcd").err


def test_an_image_file_that_is_not_there_is_said_to_be(pods: PodHost) -> None:
    for options in ((), ("--insecure-options=none",)):
        done = pods.podctl("run", *options, "./nope")
        assert (done.status, done.err.splitlines()[0]) == (
            254,
            f"run: cannot open the image file {pathlib.Path.cwd()}/nope: no such file",
        )


@pytest.mark.behaviour("A55", "A57")
@pytest.mark.parametrize("how", ["key", "name", "file"])
def test_an_image_is_shown_and_removed_whose_file_and_dependency_are_gone(
    pods: PodHost, tmp_path: pathlib.Path, how: str
) -> None:
    top = tmp_path / "top.aci"
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/top",
        "dependencies": [{"imageName": "example.com/busybox"}],
    }
    with tarfile.open(top, "w") as archive:
        member = tarfile.TarInfo("manifest")
        data = json.dumps(manifest).encode()
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo("rootfs")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    pods.ok("fetch", pods.image)
    key = pods.ok("fetch", "--full", str(top))
    pods.ok("image", "rm", "example.com/busybox")
    top.unlink()
    words = {"key": key, "name": "example.com/top", "file": str(top)}[how]
    assert '"name": "example.com/top"' in pods.ok("image", "cat-manifest", words)
    assert pods.ok("image", "rm", words) == f'successfully removed aci for image: "{key}"'
    assert pods.ok("image", "list", "--format=json") == "null"


@pytest.mark.behaviour("A55")
def test_an_image_whose_manifest_is_damaged_is_listed_not_and_removed(pods: PodHost) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    (manifest,) = (pods.data / "cas/imageManifest").rglob("sha512-*")
    manifest.write_text('{"acKind": "ImageManifest"')
    assert pods.ok("image", "list", "--format=json") == "null"
    done = pods.podctl("image", "cat-manifest", key)
    assert (done.status, done.out) == (254, "")
    assert "is damaged" in done.err
    assert pods.ok("image", "rm", key[:20]) == f'successfully removed aci for image: "{key}"'
    assert os.listdir(pods.data / "cas/index") == []


@pytest.mark.behaviour("B1", "B17")
def test_how_an_image_was_found_is_told_to_who_wants_to_know_all(pods: PodHost) -> None:
    assert pods.podctl("prepare", pods.image).err == ""
    assert f"image: using image from file {pods.image}\n" in pods.podctl("--debug", "prepare", pods.image).err
    found = pods.podctl("--debug", "prepare", "example.com/busybox:1.0").err
    assert "image: using image from local store for image name example.com/busybox:1.0\n" in found
    key = pods.ok("fetch", pods.image)
    assert "image: using image from the store with hash sha512-" in pods.podctl("--debug", "prepare", key).err


@pytest.fixture
def url(pods: PodHost) -> Iterator[str]:
    """The URL of the image on a server that sends a maximum age."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = pathlib.Path(pods.image).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "max-age=600")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_words: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/busybox.aci"
    server.shutdown()
    server.server_close()


@pytest.mark.finding("rkt-R8")
@pytest.mark.behaviour("B17", "B18")
def test_what_debug_tells_of_a_url_is_what_scripts_look_for(pods: PodHost, url: str) -> None:
    first = pods.podctl("--debug", "fetch", url).err
    assert f'image: remote fetching from URL "{url}"\nimage: fetching image from {url}\n' in first
    fresh = f"image: image for {url} isn't expired, not fetching.\n"
    for policy in ("--no-store", "--pull-policy=update"):
        assert pods.podctl("--debug", "fetch", policy, url).err == fresh
        assert pods.podctl("fetch", policy, url).err == ""
    stored = f"image: using image from local store for url {url}\n"
    assert pods.podctl("--debug", "fetch", "--pull-policy=new", url).err == stored


@pytest.mark.finding("rkt-R10")
@pytest.mark.behaviour("B36", "B58")
def test_a_default_stage1_that_is_configured_is_used_or_an_error(pods: PodHost) -> None:
    place = pods.base / "etc/stage1.d/s.json"
    place.parent.mkdir(parents=True)
    document = {"rktKind": "stage1", "rktVersion": "v1"}
    place.write_text(json.dumps({**document, "name": "example.com/s", "version": "1", "location": "/s.aci"}))
    for command in ("run", "prepare"):
        done = pods.podctl(command, pods.image, "--exec=/bin/true")
        assert (done.status, "/s.aci" in done.err) == (254, True), done.err
    pods.ok("run", "--net=none", "--stage1-name=native", pods.image, "--exec=/bin/true")
    place.write_text(json.dumps({**document, "location": "s.aci"}))
    done = pods.podctl("run", pods.image)
    assert (done.status, "a relative path" in done.err) == (254, True)


@pytest.mark.behaviour("A56", "A65")
def test_images_and_trees_are_collected_unless_pods_need_them(pods: PodHost) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    uuid = pods.ok("prepare", key)
    # Any pod may still need its image, so images of pods in all states stay.
    assert pods.podctl("image", "gc").err == ""
    assert pods.podctl("image", "gc", "--grace-period=0").err == ""
    pods.ok("rm", uuid)
    assert pods.podctl("image", "gc").err.startswith('gc: removed treestore "deps-sha512-')
    assert (
        pods.podctl("image", "gc", "--grace-period=0").err
        == f'gc: successfully removed aci for image: "{key}"\n'
    )
    assert pods.ok("image", "list", "--format=json") == "null"


@pytest.mark.finding("rkt-R6")
@pytest.mark.behaviour("A57")
@pytest.mark.parametrize("how", ["key", "beginning", "name", "name and version"])
def test_the_manifest_of_an_image_is_printed(pods: PodHost, how: str) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    name = "example.com/busybox"
    image = {"key": key, "beginning": key[:12], "name": name, "name and version": f"{name}:1.0"}[how]
    with tarfile.open(pods.image) as archive:
        member = archive.extractfile("manifest")
        assert member is not None
        wanted = json.load(member)
    pretty = pods.ok("image", "cat-manifest", image)
    assert pretty == json.dumps(json.loads(pretty), indent="\t", ensure_ascii=False)
    plain = pods.ok("image", "cat-manifest", "--pretty-print=false", image)
    assert "\n" not in plain
    assert plain == json.dumps(wanted, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(pretty) == wanted


@pytest.mark.finding("rkt-R6")
@pytest.mark.behaviour("A57")
def test_the_manifest_is_printed_as_the_image_spells_it(pods: PodHost) -> None:
    """As rkt prints it: labels in their order, quantities as written, unknown members."""
    isolators = [
        {"name": "resource/memory", "value": {"request": "26214400", "limit": "64M"}},
        {"name": "resource/cpu", "value": {"limit": "800m", "request": "50m"}},
    ]
    app = {"group": "0", "user": "0", "exec": ["/x"], "isolators": isolators, "extra": None}
    image = write_image(pods.base / "spelled.aci", "example.com/spelled", app)
    key = pods.ok("fetch", image)
    with tarfile.open(image) as archive:
        member = archive.extractfile("manifest")
        assert member is not None
        sent = json.load(member)
    plain = pods.ok("image", "cat-manifest", "--pretty-print=false", key)
    assert plain == json.dumps(sent, separators=(",", ":"))


@pytest.mark.behaviour("A57", "A59")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Error: image cat-manifest takes one image"),
        (("a", "b"), "Error: image cat-manifest takes one image"),
        (("sha512-ab",), "cat-manifest: no image IDs found"),
        (("sha512-a",), "cat-manifest: image ID too short"),
        (
            ("example.com/no:1",),
            'cat-manifest: cannot find aci satisfying name: "example.com/no" and labels: ["version":"1"] in',
        ),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_printed(pods: PodHost, words: tuple[str, ...], message: str) -> None:
    done = pods.podctl("image", "cat-manifest", *words)
    assert (done.status, done.out) == (254, "")
    assert done.err.startswith(message)


@pytest.mark.behaviour("B46")
def test_the_store_is_laid_out_as_rkt_had_it(pods: PodHost) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    cas = pods.data / "cas"
    digits = key.removeprefix("sha512-")
    assert digits == hashlib.sha512(pathlib.Path(pods.image).read_bytes()).hexdigest()[:64]
    for kind in ("blob", "imageManifest"):
        (place,) = [path for path in (cas / kind).rglob("*") if path.is_file()]
        assert place == cas / kind / "sha512" / digits[:2] / key
    assert (cas / "blob/sha512" / digits[:2] / key).read_bytes() == pathlib.Path(pods.image).read_bytes()
    manifest = json.loads((cas / "imageManifest/sha512" / digits[:2] / key).read_text())
    assert manifest["app"]["ports"][0]["count"] == 1  # the store's own is complete
    kinds = ["blob", "imageManifest", "imagelocks", "index", "remote", "tmp", "treestorelocks"]
    assert sorted(os.listdir(cas)) == kinds
    assert os.listdir(cas / "tmp") == []
    assert key in os.listdir(cas / "imagelocks")
    assert os.listdir(cas / "index") == [key]
    assert json.loads((cas / "index" / key).read_text())["name"] == "example.com/busybox"
    (remote,) = (cas / "remote").iterdir()
    assert json.loads(remote.read_text())["imageID"] == key
    trees = [path.name for path in (pods.data / "tree").iterdir() if path.name != "layers"]
    assert os.listdir(cas / "treestorelocks") == trees
    assert trees == [f"deps-sha512-{hashlib.sha512(key.encode()).hexdigest()[:64]}"]
    pods.ok("image", "rm", key)
    for kind in ("blob", "imageManifest", "index", "remote"):
        assert [path for path in (cas / kind).rglob("*") if path.is_file()] == []


@pytest.mark.finding("a4-F1")
@pytest.mark.behaviour("B10", "B11")
def test_what_is_fetched_again_is_what_its_name_means_again(pods: PodHost, tmp_path: pathlib.Path) -> None:
    other = str(tmp_path / "other.aci")
    write_image(pathlib.Path(other), "example.com/busybox", None)
    keys = []
    for file, moves in ((pods.image, False), (other, True), (pods.image, True), (pods.image, False)):
        done = pods.podctl("fetch", "--full", file)
        assert done.status == 0
        assert ('the name "example.com/busybox" meant sha512-' in done.err) is moves
        assert done.err.count(" until now") == moves
        keys.append(done.out.strip())
        listed = json.loads(pods.ok("image", "list", "--format=json", "--sort=importtime"))
        assert listed[-1]["id"] == keys[-1]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.finding("a4-F8")
@pytest.mark.parametrize("together", [False, True])
def test_the_removal_of_what_others_depend_on_is_told(
    pods: PodHost, tmp_path: pathlib.Path, together: bool
) -> None:
    document = image_manifest("example.com/app", None)
    document["dependencies"] = [{"imageName": "example.com/busybox"}]
    data = json.dumps(document).encode()
    with tarfile.open(tmp_path / "app.aci", "w") as archive:
        entry = tarfile.TarInfo("manifest")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo("rootfs")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    keys = [pods.ok("fetch", "--full", file) for file in (pods.image, str(tmp_path / "app.aci"))]
    done = pods.podctl("image", "rm", *(keys if together else keys[:1]))
    assert done.status == 0
    assert (
        "other images depend on what is removed, and need it for new pods: example.com/app" in done.err
    ) is (not together)


@pytest.mark.behaviour("A54", "A65", "G4")
def test_a_list_of_images_is_sorted_by_what_is_asked_for(pods: PodHost, tmp_path: pathlib.Path) -> None:
    for name in ("b", "a", "c"):
        pods.ok("fetch", str(write_image(tmp_path / f"{name}.aci", f"example.com/{name}", None)))
    names = ("image", "list", "--fields=name", "--no-legend")
    listed = [f"example.com/{name}:1.0" for name in ("b", "a", "c")]
    assert pods.ok(*names).splitlines() == listed
    assert pods.ok(*names, "--order=desc").splitlines() == listed[::-1]
    assert pods.ok(*names, "--sort=name").splitlines() == sorted(listed)
    assert pods.ok(*names, "--sort=name,importtime", "--order=desc").splitlines() == sorted(listed)[::-1]
    row = pods.ok("image", "list", "--no-legend", "--sort=name").splitlines()[0]
    key, name, size, imported, used = re.split(r"\t+", row)
    assert re.fullmatch(r"sha512-[0-9a-f]{12}", key) and name == "example.com/a:1.0"
    assert re.fullmatch(r"[0-9.]+[KM]iB", size)
    assert all(re.fullmatch(r"now|\d+ seconds? ago", each) for each in (imported, used))
    row = pods.ok("image", "list", "--no-legend", "--sort=name", "--full").splitlines()[0]
    key, _name, size, imported, used = re.split(r"\t+", row)
    assert re.fullmatch(r"sha512-[0-9a-f]{64}", key) and size.isdigit()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? [+-]\d{4} \w+"
    assert all(re.fullmatch(time, each) for each in (imported, used))


@pytest.mark.behaviour("A59", "B9")
def test_the_beginning_of_an_id_that_two_images_have_is_ambiguous(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    seen: dict[str, str] = {}
    for number in range(400):
        path = write_image(tmp_path / f"{number}.aci", f"example.com/n{number}", None)
        start = hashlib.sha512(path.read_bytes()).hexdigest()[:2]
        if start in seen:
            break
        seen[start] = str(path)
    assert pods.podctl("fetch", seen[start], str(path)).status == 0
    for words in (("image", "cat-manifest"), ("run", "--net=none")):
        done = pods.podctl(*words, f"sha512-{start}")
        assert (done.status, f'ambiguous image ID: "sha512-{start}"' in done.err) == (254, True), done.err
