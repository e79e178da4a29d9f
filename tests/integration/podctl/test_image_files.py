# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""image export, extract, render and verify."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pathlib
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.commands import image_files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, image_manifest

NAME = "example.com/top"


@pytest.fixture
def top(pods: PodHost, tmp_path: pathlib.Path) -> str:
    """An image in the store that depends on the busybox image, and has a file of its own."""
    document = {**image_manifest(NAME, None), "dependencies": [{"imageName": "example.com/busybox"}]}
    path = tmp_path / "top.aci"
    with tarfile.open(path, "w") as archive:
        for name, data in (("manifest", json.dumps(document).encode()), ("rootfs/own", b"mine")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        root = tarfile.TarInfo("rootfs")
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
    pods.ok("fetch", pods.image)
    return pods.ok("fetch", "--full", str(path))


def a_layer_file(pods: PodHost, name: str) -> pathlib.Path:
    (found,) = pods.data.rglob(name)
    return found


@pytest.mark.behaviour("A57")
def test_an_exported_image_is_the_archive_that_was_fetched(pods: PodHost, tmp_path: pathlib.Path) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    out = tmp_path / "out.aci"
    pods.ok("image", "export", "example.com/busybox", str(out))
    assert out.read_bytes() == pathlib.Path(pods.image).read_bytes()
    assert f"sha512-{hashlib.sha512(out.read_bytes()).hexdigest()}".startswith(key)
    assert out.stat().st_mode & 0o7777 == 0o644
    done = pods.podctl("image", "export", key, str(out))
    assert (done.status, done.err.splitlines()[0]) == (
        254,
        "export: output ACI file exists (try --overwrite)",
    )
    out.write_bytes(b"old")
    pods.ok("image", "export", "--overwrite", key, str(out))
    assert out.read_bytes() == pathlib.Path(pods.image).read_bytes()
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.aci"]


def flip_archive(pods: PodHost, key: str) -> None:
    (blob,) = (pods.data / "cas/blob").rglob(f"{key[:40]}*")
    data = bytearray(blob.read_bytes())
    data[-20000] ^= 1
    blob.write_bytes(data)


@pytest.mark.behaviour("A57", "A58")
def test_a_damaged_archive_is_found_and_is_not_exported(pods: PodHost, tmp_path: pathlib.Path) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    flip_archive(pods, key)
    for words in (("verify", key), ("export", key, f"{tmp_path}/out.aci")):
        done = pods.podctl("image", *words)
        assert done.status == 254 and f"the stored archive of image {key}" in done.err
        assert "is damaged" in done.err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.behaviour("A57")
def test_extract_gives_the_images_own_files_and_render_those_of_its_dependencies_too(
    pods: PodHost, top: str, tmp_path: pathlib.Path
) -> None:
    own, whole, alone = (tmp_path / name for name in ("own", "whole", "alone"))
    pods.ok("image", "extract", top, str(own))
    assert json.loads((own / "manifest").read_text())["name"] == NAME
    assert sorted(os.listdir(own)) == ["manifest", "rootfs"] and os.listdir(own / "rootfs") == ["own"]
    pods.ok("image", "render", NAME, str(whole))
    assert (whole / "rootfs/own").read_bytes() == b"mine"
    assert (whole / "rootfs/data/shipped").read_bytes() == b"from the image\n"
    assert os.readlink(whole / "rootfs/bin/true") == "busybox"
    pods.ok("image", "render", "--rootfs-only", NAME, str(alone))
    assert sorted(os.listdir(alone)) == ["bin", "data", "etc", "own", "tmp"]


@pytest.mark.behaviour("A57")
@pytest.mark.parametrize("command", ["extract", "render"])
def test_a_directory_is_replaced_only_if_asked_to(
    pods: PodHost, tmp_path: pathlib.Path, command: str
) -> None:
    key, out = pods.ok("fetch", pods.image), tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    done = pods.podctl("image", command, key, str(out))
    assert done.status == 254 and f"{command}: output directory exists (try --overwrite)\n" in done.err
    assert os.listdir(out) == ["old"]
    pods.ok("image", command, "--overwrite", key, str(out))
    assert sorted(os.listdir(out)) == ["manifest", "rootfs"]
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out"]
    done = pods.podctl("image", command, "--overwrite", key, "/")
    assert done.status == 254 and "cannot write an image to /" in done.err
    done = pods.podctl("image", command, key, str(tmp_path / "none/out"))
    assert done.status == 254 and "no such file or directory" in done.err


@pytest.mark.behaviour("A57")
def test_what_is_replaced_stays_if_the_new_one_cannot_take_its_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "old").write_text("old")

    def fails(*_given: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def fill(aside: str) -> None:
        pathlib.Path(aside, "new").write_text("new")

    monkeypatch.setattr(image_files.files, "rename_synced", fails)
    with pytest.raises(HostFailure, match="cannot write"):
        image_files._appear(str(place), fill)
    assert os.listdir(place) == ["old"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.behaviour("A58", "B50")
def test_one_bit_that_differs_in_a_tree_is_found_and_mended(pods: PodHost) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    assert pods.ok("image", "verify", key) == (f'successfully verified checksum for image: "{key}" ("{key}")')
    shipped = a_layer_file(pods, "shipped")
    status = shipped.stat()
    shipped.write_bytes(b"From the image\n")
    os.utime(shipped, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = pods.podctl("image", "verify", "example.com/busybox")
    assert done.status == 0
    assert "tree cache verification failed for image example.com/busybox: " in done.err
    assert done.err.endswith(" differs from what was unpacked;  rebuilding...\n")
    assert f'for image: "example.com/busybox" ("{key}")' in done.out
    assert a_layer_file(pods, "shipped").read_bytes() == b"from the image\n"
    assert pods.podctl("image", "verify", key).err == ""


@pytest.mark.behaviour("A57", "A10")
def test_a_damaged_tree_is_rendered_as_it_is_only_if_the_check_is_waived(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    key = pods.ok("fetch", pods.image)
    a_layer_file(pods, "shipped").write_bytes(b"changed")
    pods.ok("--insecure-options=image,ondisk", "image", "render", key, f"{tmp_path}/waived")
    assert (tmp_path / "waived/rootfs/data/shipped").read_bytes() == b"changed"
    done = pods.podctl("image", "render", key, f"{tmp_path}/checked")
    assert done.status == 0 and "render: warning: tree cache is in a bad state: " in done.err
    assert (tmp_path / "checked/rootfs/data/shipped").read_bytes() == b"from the image\n"


@pytest.mark.behaviour("A58")
def test_a_tree_is_not_mended_beneath_a_pod(pods: PodHost) -> None:
    uuid = pods.ok("prepare", pods.image)
    shipped = a_layer_file(pods, "shipped")
    shipped.write_bytes(b"changed")
    done = pods.podctl("image", "verify", "example.com/busybox")
    assert done.status == 254 and "pods use what is damaged of image sha512-" in done.err
    assert shipped.read_bytes() == b"changed"
    pods.ok("rm", uuid)
    assert pods.podctl("image", "verify", "example.com/busybox").status == 0


@pytest.mark.behaviour("A58")
def test_an_image_without_a_tree_needs_no_verification(pods: PodHost) -> None:
    key = pods.ok("fetch", pods.image)
    pods.ok("image", "gc")  # the image is new, and its tree is used by no pod
    assert pods.ok("image", "verify", key) == f'image "{key}" not rendered; no verification needed'
    done = pods.podctl("image", "verify", "example.com/nosuch", key)
    assert done.status == 254 and "not rendered" in done.out
    assert 'verify: cannot find aci satisfying name: "example.com/nosuch"' in done.err
