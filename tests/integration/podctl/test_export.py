# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl export: the root of an app as an image again. Source: behaviours A48, A64."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tarfile

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, write_image

APP = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
# An app that adds, changes, links and removes: a file of the image, a directory of it that it makes again.
CHANGES = (
    "echo new > /made; chown 100:200 /made; chmod 4711 /made; ln /made /also; ln -s /etc/shadow /link; mkfifo /pipe; "
    "rm /etc/group; rm -r /data; mkdir /data; echo other > /data/other; nc -l -U /socket & sleep 0.1"
)
ROOTS = [(), ("--no-overlay",), ("--private-users",), ("--private-users", "--no-overlay")]
IDS = ["overlay", "copy", "own-users", "own-users-copy"]


def ended(pods: PodHost, script: str, *pod_flags: str) -> str:
    """The UUID of a pod that has run a script."""
    done = pods.sh(script, pod_flags=("--net=none", *pod_flags))
    assert done.status == 0, done.err
    (uuid,) = pods.uuids()
    return uuid


def members(path: pathlib.Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {member.name: member for member in archive}


def content(path: pathlib.Path, name: str) -> bytes:
    with tarfile.open(path) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@pytest.mark.behaviour("A48", "A64")
@pytest.mark.parametrize("roots", ROOTS, ids=IDS)
def test_an_aci_has_what_the_app_wrote_and_lacks_what_it_removed(
    pods: PodHost, tmp_path: pathlib.Path, roots: tuple[str, ...]
) -> None:
    uuid = ended(pods, CHANGES, *roots)
    out = tmp_path / "out.aci"
    done = pods.podctl("export", uuid[:8], str(out))
    assert (done.status, done.out) == (0, ""), done.err
    assert pods.state(uuid) == "exited"
    assert out.read_bytes()[:2] == b"\x1f\x8b"
    found = members(out)
    made = found["rootfs/also"]  # the first in the order of names; the other one is a link to it
    assert (made.uid, made.gid, made.mode, content(out, "rootfs/also")) == (100, 200, 0o4711, b"new\n")
    assert (found["rootfs/made"].linkname, found["rootfs/link"].linkname) == ("rootfs/also", "/etc/shadow")
    assert found["rootfs/pipe"].isfifo()
    assert (found["rootfs/bin/busybox"].uid, found["rootfs"].uid, found["rootfs/data"].uid) == (0, 0, 0)
    gone = {"rootfs/etc/group", "rootfs/data/shipped", "rootfs/socket"}
    assert not gone & set(found)
    assert "rootfs/data/other" in found
    manifest = json.loads(content(out, "manifest"))
    assert (manifest["name"], manifest["app"]["exec"]) == ("example.com/busybox", ["/bin/sh"])
    again = pods.podctl("run", "--net=none", str(out), "--exec=/bin/cat", "--", "/made", "/data/other")
    assert again.texts == ["new", "other"]


@pytest.mark.behaviour("A48")
def test_an_oci_archive_is_loaded_again(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = ended(pods, CHANGES, "--private-users")
    out = tmp_path / "out.tar"
    pods.ok("export", uuid, str(out))
    names = set(members(out))
    assert {"oci-layout", "index.json", "manifest.json"} <= names
    (listed,) = json.loads(content(out, "manifest.json"))
    (layer,) = listed["Layers"]
    nested = tmp_path / "layer.tar"
    nested.write_bytes(content(out, layer))
    found = members(nested)
    assert (found["./also"].uid, found["./also"].gid) == (100, 200)
    assert "./etc/group" not in found
    config = json.loads(content(out, listed["Config"]))
    assert config["config"]["Entrypoint"] == ["/bin/sh"]
    key = pods.ok("image", "load", str(out)).split()[0]
    again = pods.podctl("run", "--net=none", key, "--exec=/bin/cat", "--", "/made")
    assert again.texts == ["new"], again.err
    second = tmp_path / "named"
    pods.ok("export", "--format=oci", uuid, str(second))
    assert second.read_bytes() == out.read_bytes()


@pytest.mark.behaviour("A48")
def test_refusals_are_rkts(pods: PodHost, tmp_path: pathlib.Path) -> None:
    out = str(tmp_path / "out.aci")
    uuid = ended(pods, "true")

    def refused(*words: str) -> str:
        done = pods.podctl("export", *words)
        assert done.status == 254
        return done.err.splitlines()[0]

    assert refused(uuid, "out.zip") == "export: extension must be .aci (given out.zip)"
    assert refused("--format=zip", uuid, out) == "export: Invalid format option: zip"
    assert refused("nosuch", out) == 'export: problem retrieving pod: no matches found for "nosuch"'
    assert refused("--app=x", uuid, out) == f'export: pod "{uuid}" has no app "x"'
    pods.ok("export", uuid, out)
    assert refused(uuid, out) == "export: output ACI file exists (try --overwrite)"
    pods.ok("export", "--overwrite", uuid, out)
    prepared = pods.ok("prepare", "--quiet", pods.image)
    running = pods.detached("sleep 100")
    for other in (prepared, running):
        assert refused(other, f"{out}2.aci") == "export: pod is not exited. Only exited pods can be exported"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.aci"]


@pytest.mark.behaviour("A48")
def test_one_of_several_apps_is_named(pods: PodHost, tmp_path: pathlib.Path) -> None:
    apps = [
        (pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", f"echo {name} > /who")
        for name in ("a", "b")
    ]
    assert pods.podctl("run", "--net=none", *apps[0], "---", *apps[1]).status == 0
    (uuid,) = pods.uuids()
    done = pods.podctl("export", uuid, str(tmp_path / "b.aci"))
    assert (done.status, done.err.splitlines()) == (
        254,
        [
            "Pod contains multiple apps:",
            "\ta",
            "\tb",
            'export: specify app using "podctl export --app= ..."',
        ],
    )
    pods.ok("export", "--app=b", uuid, str(tmp_path / "b.aci"))
    assert content(tmp_path / "b.aci", "rootfs/who") == b"b\n"


@pytest.mark.behaviour("A48")
def test_a_copied_root_with_a_mount_left_in_it_is_refused(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = ended(pods, "true", "--no-overlay")
    place = pods.data / "pods" / "run" / uuid / "stage1/rootfs/opt/stage2/busybox/rootfs/data"
    subprocess.run(["mount", "-t", "tmpfs", "left", place], check=True)
    try:
        done = pods.podctl("export", uuid, str(tmp_path / "out.aci"))
    finally:
        subprocess.run(["umount", place], check=True)
    expected = (
        "pod has remaining mountpoints. Only pods using overlayfs or with no mountpoints can be exported"
    )
    assert (done.status, done.err.splitlines()[0]) == (254, f"export: {expected}")


@pytest.mark.behaviour("A48")
def test_a_hostile_root_is_packed_as_it_is_or_refused(pods: PodHost, tmp_path: pathlib.Path) -> None:
    odd = "-rf\n\x1b[31m\udcff"
    uuid = ended(
        pods, "mkdir -p /a/b; ln -s / /a/b/up; ln -s /proc/self/root/etc /a/host; truncate -s 1G /huge"
    )
    upper = next(pods.data.glob(f"pods/run/{uuid}/overlay/*/upper/busybox"))
    (upper / "a" / odd).write_text("odd")
    out = tmp_path / "out.aci"
    pods.ok("export", uuid, str(out))
    found = members(out)
    assert f"rootfs/a/{odd}" in found
    assert (found["rootfs/a/b/up"].linkname, found["rootfs/huge"].size) == ("/", 1 << 30)
    assert not [name for name in found if name.startswith(("rootfs/a/host/", "rootfs/a/b/up/"))]
    assert out.stat().st_size < 64 << 20
    deep = upper
    for _level in range(200):
        deep /= "d"
    deep.mkdir(parents=True)
    done = pods.podctl("export", "--overwrite", uuid, str(out))
    assert (done.status, "is beneath more than 128 directories" in done.err) == (254, True)
    assert members(out).keys() == found.keys()


def test_an_export_keeps_the_pod_and_gc_waits(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = ended(pods, "true")
    pipe = tmp_path / "out.aci"
    pods.ok("export", uuid, str(pipe))
    assert [entry.name for entry in os.scandir(pods.data / "pods" / "run")] == [uuid]
    assert not os.path.ismount(pods.data / "pods" / "run" / uuid / "stage1/rootfs/opt/stage2/busybox/rootfs")
    pods.ok("rm", uuid)


@pytest.mark.behaviour("A48")
def test_an_image_with_dependencies_stands_alone_once_exported(pods: PodHost, tmp_path: pathlib.Path) -> None:
    base = write_image(tmp_path / "base.aci", "example.com/base", None)
    pods.ok("fetch", str(base))
    top = tmp_path / "top.aci"
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/top",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "app": APP,
        "dependencies": [{"imageName": "example.com/base"}],
        "pathWhitelist": ["/bin/busybox", "/bin/sh", "/bin/rm", "/bin/cat", "/bin/echo", "/etc/passwd"],
    }
    (tmp_path / "manifest").write_text(json.dumps(manifest))
    (tmp_path / "rootfs").mkdir()
    with tarfile.open(top, "w") as archive:
        archive.add(tmp_path / "manifest", "manifest")
        archive.add(tmp_path / "rootfs", "rootfs")
    done = pods.podctl(
        "run", "--net=none", str(top), "--exec=/bin/sh", "--", "-c", "rm /etc/passwd; echo x > /new"
    )
    assert done.status == 0, done.err
    (uuid,) = pods.uuids()
    out = tmp_path / "out.aci"
    pods.ok("export", uuid, str(out))
    exported = json.loads(content(out, "manifest"))
    assert not {"dependencies", "pathWhitelist"} & set(exported)
    assert "rootfs/etc/passwd" not in members(out)
    pods.ok("image", "rm", "example.com/base")
    assert pods.podctl("run", "--net=none", str(out), "--exec=/bin/cat", "--", "/new").texts == ["x"]
