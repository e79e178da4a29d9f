# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What named volumes begin with, owners by name, images as volumes, and the propagation of mounts of the host."""

from __future__ import annotations

import json
import os
import pathlib
import struct
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    LabPod,
    StageLab,
    eventually,
    until,
)

# CAP_NET_BIND_SERVICE, permitted and effective, in version 2.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
SIZES = "cd /data; for name in $(ls -A); do stat -c '%n %a %u %g %h' $name; done"
BOTH = pytest.mark.parametrize("users", ["users of the host", "own users"])
OWN = pytest.mark.parametrize("users", ["own users"])
MARKED = ["data", "mounted", "volume.json"]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """The directory of a named volume, which only root can reach."""
    found = tmp_path / "volumes" / "pages"
    (found / "data").mkdir(parents=True)
    found.parent.chmod(0o700)
    (found / "volume.json").write_text(json.dumps({"format": 1, "labels": {}}))
    return found


def named(place: pathlib.Path, **more: object) -> dict[str, object]:
    source = str(place / "data")
    return {"name": "v", "kind": "host", "source": source, "recursive": False, "volume": "pages", **more}


def at(path: str) -> list[dict[str, str]]:
    return [{"volume": "v", "path": path}]


def ship(stage: StageLab) -> None:
    """Put files of every kind at /data of the image."""
    data = stage.tree / "data"
    (data / "dir").mkdir(mode=0o711)
    (data / "tool").write_text("#!/bin/sh\n")
    os.chown(data / "tool", 100, 200)
    (data / "tool").chmod(0o4755)
    os.setxattr(data / "tool", "security.capability", CAPABILITY)
    os.setxattr(data / "dir", "user.note", b"of the image")
    os.link(data / "shipped", data / "again")
    (data / "link").symlink_to("shipped")


@BOTH
@pytest.mark.behaviour("C23")
def test_an_empty_named_volume_gets_the_content_of_the_image_once(
    stage: StageLab, place: pathlib.Path
) -> None:
    ship(stage)
    show = f"cat /data/link; stat -c '%a %u %g' /data; {SIZES}"
    done = stage.run(show, volumes=[named(place)], mounts=at("/data"))
    assert done.lines[:2] == ["from the image", "750 11 12"], done.err
    assert sorted(done.lines[2:]) == [
        "again 644 0 0 2",
        "dir 711 0 0 2",
        "link 777 0 0 1",
        "shipped 644 0 0 2",
        "tool 4755 100 200 1",
    ]
    data = place / "data"
    assert [(data / "tool").stat().st_uid, data.stat().st_uid, data.stat().st_gid] == [100, 11, 12]
    assert os.getxattr(data / "tool", "security.capability") == CAPABILITY
    assert os.getxattr(data / "dir", "user.note") == b"of the image"
    assert sorted(os.listdir(place)) == MARKED
    assert (place / "mounted").stat().st_uid == 0
    emptied = stage.run("rm -r /data/*; ls /data", volumes=[named(place)], mounts=at("/data"))
    assert (emptied.status, emptied.lines) == (0, []), emptied.err
    assert stage.run("ls -A /data", volumes=[named(place)], mounts=at("/data")).lines == []


@OWN
def test_a_capability_in_an_empty_volume_is_one_of_the_pods_own_users(stage: StageLab) -> None:
    ship(stage)
    pod = stage.sh("true", volumes=[{"name": "v", "kind": "empty"}], mounts=at("/data"), prefill=["v"])
    done = pod.call()
    assert done.status == 0, done.err
    first = int(pathlib.Path(pod.dir.private_users).read_text().split(":")[0])
    value = os.getxattr(pathlib.Path(pod.dir.volume("v")) / "tool", "security.capability")
    assert struct.unpack("<IIIIII", value) == (0x03000001, 1 << 10, 0, 0, 0, first)


def test_a_volume_with_files_or_without_copying_stays_as_it_is(stage: StageLab, place: pathlib.Path) -> None:
    left = stage.run("ls -A /data", volumes=[named(place, copy=False)], mounts=at("/data"))
    assert (left.status, left.lines, sorted(os.listdir(place))) == (0, [], ["data", "volume.json"]), left.err
    (place / "data" / "own").touch()
    assert stage.run("ls -A /data", volumes=[named(place)], mounts=at("/data")).lines == ["own"]


def test_attributes_that_were_asked_for_stay(stage: StageLab, place: pathlib.Path) -> None:
    asked = {"format": 1, "labels": {}, "mode": 0o700, "uid": 7}
    (place / "volume.json").write_text(json.dumps(asked))
    os.chown(place / "data", 7, 8)
    (place / "data").chmod(0o700)
    done = stage.run("stat -c '%a %u %g' /data; ls /data", volumes=[named(place)], mounts=at("/data"))
    assert done.lines == ["700 7 12", "shipped"], done.err


@pytest.mark.parametrize("left", ["copying", "copied"])
def test_what_a_crash_has_left_of_the_copy_is_completed(
    stage: StageLab, place: pathlib.Path, left: str
) -> None:
    """Before it was complete it is made again; after that the rest is moved, beside what has been."""
    (place / left).mkdir()
    (place / left / "half").write_text("of a crash")
    if left == "copied":
        (place / "data" / "first").write_text("moved before")
    done = stage.run("ls /data", volumes=[named(place)], mounts=at("/data"))
    expected = ["shipped"] if left == "copying" else ["first", "half"]
    assert (done.lines, sorted(os.listdir(place))) == (expected, MARKED), done.err


def test_a_volume_on_a_file_system_of_its_own_is_not_filled(stage: StageLab, place: pathlib.Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "lab", place / "data"], check=True, timeout=10)
    try:
        done = stage.run("ls -A /data", volumes=[named(place)], mounts=at("/data"))
    finally:
        subprocess.run(["umount", "-l", place / "data"], check=True, timeout=10)
    assert (done.status, done.lines) == (0, []), done.err
    assert "is not filled from the image of app main: it is on a file system of its own" in done.err
    assert sorted(os.listdir(place)) == MARKED


def test_one_of_several_pods_that_begin_together_fills_a_volume(stage: StageLab, place: pathlib.Path) -> None:
    pods = [stage.sh("ls /data", volumes=[named(place)], mounts=at("/data")) for _each in range(3)]
    said = [process.communicate(timeout=30) for process in [pod.start() for pod in pods]]
    assert all("shipped" in out for out, _err in said), said
    assert sorted(os.listdir(place)) == MARKED


def test_a_link_in_place_of_a_volume_is_not_filled(stage: StageLab, place: pathlib.Path) -> None:
    (place / "data").rmdir()
    (place / "elsewhere").mkdir()
    (place / "data").symlink_to("elsewhere")
    done = stage.run("ls -A /data", volumes=[named(place)], mounts=at("/data"))
    assert (done.status, done.lines, os.listdir(place / "elsewhere")) == (0, [], []), done.err
    assert "a link is in place of its directory" in done.err


@BOTH
@pytest.mark.behaviour("C22", "C15")
def test_owners_of_volumes_are_names_of_the_image(stage: StageLab, place: pathlib.Path) -> None:
    show = "stat -c '%u %g' /data"
    empty = {"name": "v", "kind": "empty", "owner": "worker", "group": "workers"}
    assert stage.run(show, volumes=[empty], mounts=at("/data")).lines == ["100 200"]
    by_path = {"name": "v", "kind": "empty", "owner": "/data", "group": "5"}
    assert stage.run(show, volumes=[by_path], mounts=at("/data")).lines == ["11 5"]
    held = named(place, owner="worker", group="7", copy=False)
    assert stage.run(show, volumes=[held], mounts=at("/data")).lines == ["100 7"]
    assert (place / "data").stat().st_uid == 100
    os.chown(place / "data", 1, 1)
    assert stage.run(show, volumes=[held], mounts=at("/data")).lines == ["1 1"]


def test_a_name_that_the_image_lacks_is_an_error(stage: StageLab) -> None:
    done = stage.run("true", volumes=[{"name": "v", "kind": "empty", "owner": "www"}], mounts=at("/data"))
    assert (done.status, '"www" user not found' in done.err) == (254, True), done.err


def image_pod(stage: StageLab, script: str, layers: list[pathlib.Path]) -> LabPod:
    volume = {"name": "v", "kind": "image", "image": "lab/other", "id": "sha512-" + "1" * 128}
    pod = stage.sh(script, volumes=[volume], mounts=at("/other"))
    os.makedirs(pod.dir.image_volume("v"))
    pathlib.Path(pod.dir.volume_lower("v")).write_text("\n".join(map(str, layers)))
    return pod


@BOTH
@pytest.mark.parametrize("count", [1, 2])
def test_an_image_is_a_volume_of_another_app(stage: StageLab, tmp_path: pathlib.Path, count: int) -> None:
    layers = [tmp_path / f"layer{number}" for number in range(count)]
    for number, layer in enumerate(layers):
        layer.mkdir()
        (layer / f"file{number}").write_text(f"of layer {number}\n")
        (layer / "same").write_text(f"{number}\n")
    os.mknod(layers[0] / "null", 0o20666, os.makedev(1, 3))
    script = """exec 2>&1; cat /other/file* /other/same; stat -c '%u %g' /other/same
    touch /other/new; (: < /other/null) 2>/dev/null || echo no device
    grep ' /other ' /proc/self/mountinfo | grep -o 'ro,nosuid,nodev'"""
    done = image_pod(stage, script, layers).call()
    files = [f"of layer {number}" for number in range(count)]
    assert done.lines[: count + 2] == [*files, "0", "0 0"], done.err
    assert done.lines[count + 2].endswith("Read-only file system")
    assert done.lines[count + 3 :] == ["no device", "ro,nosuid,nodev"]


@pytest.mark.behaviour("C30")
@pytest.mark.parametrize(("propagation", "seen"), [("private", False), ("rslave", True)])
def test_later_mounts_of_the_host_appear_as_the_volume_says(
    stage: StageLab, tmp_path: pathlib.Path, propagation: str, seen: bool
) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    subprocess.run(["mount", "--bind", source, source], check=True, timeout=10)
    subprocess.run(["mount", "--make-shared", source], check=True, timeout=10)
    volume = {"name": "v", "kind": "host", "source": str(source), "propagation": propagation}
    script = f"touch /v/up; {until('test -e /v/go')}; ls /v/sub"
    pod = stage.sh(script, volumes=[volume], mounts=at("/v"))
    try:
        process = pod.start()
        eventually((source / "up").exists)
        subprocess.run(["mount", "-t", "tmpfs", "lab", source / "sub"], check=True, timeout=10)
        (source / "sub" / "later").touch()
        (source / "go").touch()
        assert ("later" in process.communicate(timeout=30)[0]) is seen
    finally:
        subprocess.run(["umount", "-R", "-l", source], check=True, timeout=10)


@OWN
def test_later_mounts_of_the_host_have_no_map(stage: StageLab, tmp_path: pathlib.Path) -> None:
    volume = {"name": "v", "kind": "host", "source": str(tmp_path), "propagation": "rslave"}
    done = stage.run("true", volumes=[volume], mounts=at("/v"))
    assert (done.status, "the pod has its own users" in done.err) == (254, True), done.err


@pytest.mark.behaviour("C24")
@pytest.mark.parametrize(
    ("volume", "point", "comes"), [(None, False, False), (None, None, True), (True, False, True)]
)
def test_what_is_mounted_in_a_volume_comes_as_the_mount_point_says(
    stage: StageLab, tmp_path: pathlib.Path, volume: bool | None, point: bool | None, comes: bool
) -> None:
    """Where the volume says nothing. Source: behaviours, ruling 9."""
    (tmp_path / "source" / "sub").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "lab", tmp_path / "source" / "sub"], check=True, timeout=10)
    (tmp_path / "source" / "sub" / "deep").touch()
    said = {} if volume is None else {"recursive": volume}
    points = [{"name": "v", "path": "/v", **({} if point is None else {"recursive": point})}]
    held = {"name": "v", "kind": "host", "source": str(tmp_path / "source"), **said}
    try:
        done = stage.run("ls /v/sub", volumes=[held], mounts=at("/v"), mountPoints=points)
    finally:
        subprocess.run(["umount", "-l", tmp_path / "source" / "sub"], check=True, timeout=10)
    assert (done.status, done.lines) == (0, ["deep"] if comes else []), done.err


def test_one_volume_can_be_at_two_paths(stage: StageLab, tmp_path: pathlib.Path) -> None:
    volume = {"name": "v", "kind": "host", "source": str(tmp_path)}
    done = stage.run("echo x > /one/x; cat /two/x", volumes=[volume], mounts=[*at("/one"), *at("/two/")])
    assert done.lines == ["x"], done.err
