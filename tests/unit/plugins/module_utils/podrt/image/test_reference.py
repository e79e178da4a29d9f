# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that name images."""

from __future__ import annotations

import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import (
    AppcName,
    ArchiveURL,
    DockerReference,
    ImageKey,
    LocalFile,
    SavedImage,
    escape,
    names_of_registry,
    parse_docker,
    parse_reference,
    parse_saved,
    unescape,
)

HUB = "registry-1.docker.io"
DIGEST = "sha256:" + "0f" * 32


@pytest.mark.behaviour("B1", "B2", "B3", "B5")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sha512-ab", ImageKey("sha512-ab")),
        ("/srv/images/a.tar", LocalFile("/srv/images/a.tar")),
        ("file:///srv/a.aci", LocalFile("/srv/a.aci")),
        ("file:///srv/a%20b.aci", LocalFile("/srv/a b.aci")),
        ("http://example.com/a.aci", ArchiveURL("http://example.com/a.aci")),
        ("https://example.com/a.aci?x=y", ArchiveURL("https://example.com/a.aci?x=y")),
        ("example.com/app", AppcName("example.com/app")),
        ("example.com/app:1.0", AppcName("example.com/app", Labels.of(version="1.0"))),
        ("app,os=linux,arch=amd64", AppcName("app", Labels.of(os="linux", arch="amd64"))),
        ("app:1,channel=beta", AppcName("app", Labels.of(version="1", channel="beta"))),
        ("cimd:appc:v=0:app?b=2&a=1", AppcName("app", Labels.of(a="1", b="2"))),
        ("cimd:docker:v=0:busybox", DockerReference(HUB, "library/busybox", "latest")),
        ("cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2Fa.aci", ArchiveURL("https://example.com/a.aci")),
        ("cimd:aci-archive:v=0:file%3A%2F%2F%2Fa.aci", LocalFile("/a.aci")),
    ],
)
def test_each_kind_is_recognised_and_its_text_means_the_same(text, wanted):
    found = parse_reference(text)
    assert found == wanted
    if "?x=y" not in text:  # a query is not shown
        assert parse_reference(str(found)) == found


@pytest.mark.parametrize("text", ["https://h.com/a.aci?sig=secret", "https://h.com/a.aci?sig=secret#part"])
def test_the_query_of_a_url_is_neither_shown_nor_remembered(text):
    found = parse_reference(text)
    assert found.url == text
    assert str(found) == "https://h.com/a.aci"
    assert "secret" not in found.source
    assert found.source != parse_reference("https://h.com/a.aci?sig=other").source


@pytest.mark.parametrize("text", ["https://me:secret@h.com/a.aci", "https://me@h.com/a.aci"])
def test_a_url_that_holds_a_password_is_refused_without_showing_it(text):
    with pytest.raises(InvalidSpec, match=r"https://h.com/a.aci holds a user or a password") as caught:
        parse_reference(text)
    assert "secret" not in str(caught.value)
    assert "auth.d" in caught.value.hint


@pytest.mark.behaviour("B38")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("docker://busybox", DockerReference(HUB, "library/busybox", "latest")),
        ("docker:busybox:1.36", DockerReference(HUB, "library/busybox", "1.36")),
        ("docker://team/app", DockerReference(HUB, "team/app", "latest")),
        ("docker://docker.io/busybox", DockerReference(HUB, "library/busybox", "latest")),
        ("docker://quay.io/team/app:v1", DockerReference("quay.io", "team/app", "v1")),
        ("docker://localhost/app", DockerReference("localhost", "app", "latest")),
        ("docker://127.0.0.1:5000/a/b/c:d", DockerReference("127.0.0.1:5000", "a/b/c", "d")),
        (f"docker://quay.io/app:v1@{DIGEST}", DockerReference("quay.io", "app", "", DIGEST)),
    ],
)
def test_docker_references(text, wanted):
    found = parse_reference(text)
    assert found == wanted
    assert parse_reference(str(found)) == found
    assert parse_reference(found.source) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " app",
        "Not/An/Image",
        "app:",
        "app:1:2",
        "app:1,version=2",
        "app,label",
        "http://example.com/a.tar",
        "https:///a.aci",
        "file://host/a.aci",
        "docker://",
        "docker://UPPER/case",
        "docker://a@sha256:12",
        "docker://a@",
        "docker://a:",
        "docker://a/../b",
        "docker://a:b/../../c",
        "cimd:docker:v=1:a",
        "cimd:other:v=0:a",
        "app\0",
        "app\udcff",
        "docker://app\udcff",
        "/\udcff.aci",
    ],
)
def test_what_names_no_image_is_invalid_and_the_place_is_said(text):
    with pytest.raises(InvalidSpec) as caught:
        parse_reference(text, "apps[0].image")
    assert caught.value.where == "apps[0].image"


@pytest.mark.finding("review-B18")
@pytest.mark.parametrize("wrong", ["%", "%f", "%+1", "%-1", "% 1", "%0x", "%zz", "%ff", "%ed%a0%80"])
@pytest.mark.parametrize(
    "text",
    [
        "file:///srv/{}/a.aci",
        "cimd:appc:v=0:app?{}=1",
        "cimd:appc:v=0:app?a={}",
        "cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2F{}%2Fa.aci",
        "cimd:aci-archive:v=0:file%3A%2F%2F%2F{}%2Fa.aci",
    ],
)
def test_an_escape_is_a_percent_sign_with_two_hex_digits_and_makes_utf8(text: str, wrong: str) -> None:
    with pytest.raises(InvalidSpec, match="invalid URL escape") as caught:
        parse_reference(text.format(wrong), "name")
    assert caught.value.where == "name"


@pytest.mark.finding("review-B18")
@pytest.mark.parametrize(
    "text", ["", "a b", "100%", "%f", "%25", "+", "\u00fc\U0001f980", "".join(map(chr, range(1, 128)))]
)
def test_what_is_escaped_is_read_back(text: str) -> None:
    assert unescape(escape(text)) == text


@pytest.mark.behaviour("B1")
def test_fetch_takes_a_key_for_a_name():
    assert parse_reference("sha512-ab", keys=False) == AppcName("sha512-ab")


@pytest.mark.behaviour("B2")
def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    (tmp_path / "a:b").touch()
    here = os.getcwd()
    assert parse_reference("there") == LocalFile(f"{here}/there")
    assert parse_reference("a:b") == LocalFile(f"{here}/a:b")
    assert parse_reference("./missing") == LocalFile(f"{here}/missing")
    assert parse_reference("missing.aci") == LocalFile(f"{here}/missing.aci")
    assert parse_reference("missing") == AppcName("missing")


def test_a_task_names_files_by_absolute_paths_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "redis").touch()
    assert parse_reference("redis", relative=False) == AppcName("redis")
    assert parse_reference("/a.aci", relative=False) == LocalFile("/a.aci")
    assert parse_reference("file:///a.aci", relative=False) == LocalFile("/a.aci")
    for text in ("./redis", "redis.aci", "../redis.aci"):
        with pytest.raises(InvalidSpec) as caught:
            parse_reference(text, relative=False)
        assert "absolute path" in caught.value.hint


@pytest.mark.behaviour("B4")
def test_the_order_of_labels_does_not_make_another_source():
    assert (
        parse_reference("a,x=1,y=2").source
        == parse_reference("a,y=2,x=1").source
        == "cimd:appc:v=0:a?x=1&y=2"
    )


@pytest.mark.behaviour("B36")
def test_docker_hub_is_known_by_all_its_names() -> None:
    assert names_of_registry("quay.io") == ("quay.io",)
    hub = names_of_registry("docker.io")
    assert set(hub) == {"registry-1.docker.io", "docker.io", "index.docker.io"}
    assert {names_of_registry(name) for name in hub} == {hub}
    assert {parse_docker(f"{name}/nginx").registry for name in hub} == {hub[0]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("docker-archive:/a.tar", SavedImage("docker-archive", "/a.tar")),
        ("docker-archive:/a.tar:app", SavedImage("docker-archive", "/a.tar", "app")),
        ("docker-archive:/a.tar:h:5000/app:1", SavedImage("docker-archive", "/a.tar", "h:5000/app:1")),
        ("oci-archive:/a.tar:@1", SavedImage("oci-archive", "/a.tar", "@1")),
        ("oci:/srv/layout:latest", SavedImage("oci", "/srv/layout", "latest")),
        ("oci:/srv/a@1:@0", SavedImage("oci", "/srv/a@1", "@0")),
        ("oci:/srv/a@1.5", SavedImage("oci", "/srv/a@1.5")),
        ("oci:/srv/a@", SavedImage("oci", "/srv/a@")),
        ("oci:/srv/a@123456", SavedImage("oci", "/srv/a@123456")),
    ],
)
def test_a_saved_image_is_read_and_its_text_means_the_same(text, wanted):
    found = parse_saved(text)
    assert found == wanted
    assert str(found) == text
    assert parse_saved(str(found)) == found


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("oci:///srv//a/../b", "oci:/srv/b"),
        ("oci:/srv/layout/", "oci:/srv/layout"),
        ("docker-archive:/a.tar@12", "docker-archive:/a.tar:@12"),
    ],
)
def test_other_spellings_of_a_saved_image_mean_the_same(text, plain):
    assert str(parse_saved(text)) == plain


def test_a_relative_path_of_a_saved_image_is_for_callers_that_have_a_directory():
    with pytest.raises(InvalidSpec, match="invalid image string"):
        parse_saved("oci:layout:x")
    assert parse_saved("oci:layout:x", relative=True) == SavedImage("oci", os.path.abspath("layout"), "x")


@pytest.mark.parametrize(
    "text",
    [
        "oci:",
        "oci",
        "oci::x",
        "oci:/a:",
        "oci:/a:@",
        "oci:/a:@x",
        "oci:/a:@-1",
        "oci:/a:@12345",
        "oci:@1",
        "zip:/a",
    ],
)
def test_a_saved_image_that_is_not_valid_is_refused(text):
    with pytest.raises(InvalidSpec):
        parse_saved(text)


@pytest.mark.parametrize(
    "fields", [("tar", "/a"), ("oci", "a"), ("oci", ""), ("oci", "/a:b"), ("oci", "/a@1"), ("oci", "/a", "@")]
)
def test_a_saved_image_has_a_text_or_is_not_made(fields):
    with pytest.raises(InvalidSpec):
        SavedImage(*fields)


def test_each_saved_image_has_its_own_source():
    texts = ["oci:/a", "oci:/a:x", "oci:/a:@0", "oci:/a%3Fx", "oci-archive:/a", "docker-archive:/a"]
    assert len({parse_saved(text).source for text in texts}) == len(texts)
    assert parse_saved("oci:/a b:x").source == "cimd:oci:v=0:%2Fa%20b?x"
