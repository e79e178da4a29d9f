# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are built here, as other tools and a real registry see them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import tarball
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import trees
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import BUSYBOX, PodHost

pytestmark = pytest.mark.root
APP = {
    "exec": ["/bin/sh", "-c", "cat /etc/greeting; echo $LEVEL; id -u"],
    "user": "7",
    "group": "8",
    "environment": {"LEVEL": "high"},
    "ports": [{"name": "http", "port": 80, "protocol": "tcp"}],
    "mount_points": [{"name": "data", "path": "/data"}],
}
FILES = [
    {"src": BUSYBOX, "dest": "/bin/sh", "mode": "0755"},
    {"link": "sh", "dest": "/bin/cat"},
    {"link": "sh", "dest": "/bin/id"},
    {"content": "hello\n", "dest": "/etc/greeting"},
    {"content": "w\n", "dest": "/d\u00e9j\u00e0/" + "long" * 30},
]


def build(host, check=False, **options):
    given = {"name": "example.com/greeter", "version": "1", "app": APP, "files": FILES, "files_from": "host"}
    given.update({"format": "oci", "insecure_options": [], **options})
    return run.TASKS["pod_image_build"](host, Fields(given, ""), check)


def skopeo(*words):
    argv = ["skopeo", "--insecure-policy", *words]
    return subprocess.run(argv, check=True, capture_output=True).stdout


@pytest.fixture(name="tag")
def _tag(registry, tmp_path):
    return f"docker://{registry.address}/{tmp_path.name.replace('_', '-').lower()}/greeter:1"


def test_what_is_pushed_is_there_once_and_skopeo_reads_it(host, registry, tag, tmp_path):
    checked = build(host, check=True, push=tag)
    assert not registry.root.joinpath("docker/registry/v2/repositories", *tag.split("/")[3:-1]).exists()
    made = build(host, push=tag)
    assert made["changes"] == checked["changes"]
    found = json.loads(skopeo("inspect", "--tls-verify=false", tag))
    config = json.loads(skopeo("inspect", "--config", "--tls-verify=false", tag))
    assert found["Digest"] == made["image"]["digest"]
    assert config["config"]["Entrypoint"] == APP["exec"]
    assert (config["config"]["User"], config["config"]["Env"]) == ("7:8", ["LEVEL=high"])
    # All that skopeo copies has the digests that it should have.
    skopeo("copy", "--quiet", "--src-tls-verify=false", tag, f"dir:{tmp_path}/copy")
    layer = next(path for path in (tmp_path / "copy").iterdir() if path.read_bytes()[:2] == b"\x1f\x8b")
    with tarfile.open(layer) as archive:
        assert "./etc/greeting" in archive.getnames()
    results = []
    requests = registry.during(lambda: results.append(build(host, push=tag)))
    assert not results[0]["changed"]
    assert results[0]["image"]["digest"] == made["image"]["digest"]
    assert [request.split()[0] for request in requests if "manifests" in request] == ["GET", "GET"]
    assert not [request for request in requests if "blobs" in request]


def test_only_what_the_registry_lacks_is_sent(host, registry, tag):
    build(host, push=tag)
    other = build(host, push=tag, app={**APP, "environment": {"LEVEL": "low"}})
    assert other["changed"]
    heads = registry.during(lambda: build(host, push=tag))
    # Back to the first: the layer and both configurations are there, so that only the manifest is put.
    assert [request.split()[0] for request in heads if "blobs/sha256" in request] == ["HEAD", "HEAD"]


def test_a_layer_that_another_zlib_has_compressed_is_no_change(host, tag, monkeypatch):
    made = build(host, push=tag)
    monkeypatch.setattr(tarball, "_LEVEL", 1)
    again = build(host, push=tag)
    assert (again["changed"], again["image"]["digest"]) == (False, made["image"]["digest"])


def test_podman_runs_what_was_pushed(host, tag, tmp_path):
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    build(host, push=tag)
    reference = tag[len("docker://") :]
    with tempfile.TemporaryDirectory(
        prefix="pm"
    ) as runroot:  # podman refuses a path of more than 50 characters
        stores = ["--root", str(tmp_path / "podman"), "--runroot", runroot, "--storage-driver=vfs"]
        for words in (["pull", "--quiet", "--tls-verify=false", reference], ["image", "inspect", reference]):
            done = subprocess.run(["podman", *stores, *words], check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["Config"]["Entrypoint"] == APP["exec"]
    assert found["Config"]["ExposedPorts"] == {"80/tcp": {}}


def test_a_pod_runs_what_was_pushed(host, tag, tmp_path):
    build(host, push=tag)
    pods = PodHost(tmp_path / "pods", "")
    try:
        pods.ok("fetch", "--insecure-options=image", tag)
        done = pods.podctl("run", "--net=none", "--insecure-options=image", tag)
        assert done.status == 0, done.err
        assert [line.rsplit("]: ", 1)[-1] for line in done.out.splitlines()] == ["hello", "high", "7"]
    finally:
        pods.close()


@pytest.mark.parametrize("form", ["aci", "oci"])
def test_a_pod_runs_what_was_stored(tmp_path, form):
    (tmp_path / "pods").mkdir()
    pods = PodHost(tmp_path / "pods", "")
    try:
        given = {"name": "example.com/greeter", "version": "1", "app": APP, "files": FILES, "format": form}
        places = {"data_dir": str(pods.data), "config_dir": str(pods.base / "etc")}
        made = run.run_task("pod_image_build", {**given, **places, "files_from": "host"}, check=False)
        assert made["changed"]
        reference = f"{'docker://' if form == 'oci' else ''}example.com/greeter:1"
        done = pods.podctl("run", "--net=none", "--pull-policy=never", reference)
        assert done.status == 0, done.err
        assert [line.rsplit("]: ", 1)[-1] for line in done.out.splitlines()] == ["hello", "high", "7"]
    finally:
        pods.close()


def test_an_archive_is_read_by_skopeo_and_by_us_with_the_same_files(host, tmp_path):
    made = build(host, dest=str(tmp_path / "greeter.tar"))
    skopeo("copy", "--quiet", f"oci-archive:{tmp_path}/greeter.tar", f"oci:{tmp_path}/layout:greeter")
    config = json.loads(skopeo("inspect", "--config", f"oci-archive:{tmp_path}/greeter.tar"))
    assert config["config"]["Entrypoint"] == APP["exec"]
    images = [
        fetching.fetch(host, parse_reference(text), FetchPolicy("new", ("image",)), lambda _line: None)
        for text in (f"oci-archive:{tmp_path}/greeter.tar", f"oci:{tmp_path}/layout:greeter")
    ]
    assert images[0].manifest.full_name == "example.com/greeter:1"
    assert images[0].layers == images[1].layers
    root = tmp_path / "root"
    root.mkdir()
    trees.copy_tree(host.paths, trees.tree_of(host.paths, images[0].id), str(root))
    assert (root / "etc/greeting").read_text() == "hello\n"
    assert os.readlink(root / "bin/cat") == "sh"
    assert made["image"]["id"].startswith("sha256:")
    assert pathlib.Path(root / FILES[-1]["dest"][1:]).read_text() == "w\n"
