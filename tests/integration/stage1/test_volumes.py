# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Volumes at paths of apps. The tests that mount already run in their own mount namespace."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import remove_tree
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import Dns, HostsFile
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    StageLab,
    eventually,
    until,
)


def host(source: object, **more: object) -> dict[str, object]:
    return {"name": "v", "kind": "host", "source": str(source), **more}


def at(path: str, volume: str = "v") -> list[dict[str, str]]:
    return [{"volume": volume, "path": path}]


@pytest.fixture
def source(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory of the host with a mounted file system beneath it."""
    found = tmp_path / "source"
    (found / "sub").mkdir(parents=True)
    (found / "file").write_text("of the host\n")
    subprocess.run(["mount", "-t", "tmpfs", "lab", found / "sub"], check=True, timeout=10)
    (found / "sub" / "deep").write_text("below\n")
    yield found
    subprocess.run(["umount", "-l", found / "sub"], check=True, timeout=10)


@pytest.mark.behaviour("C24")
def test_a_directory_comes_with_what_is_mounted_in_it(stage: StageLab, source: pathlib.Path) -> None:
    script = "cat /v/file /v/sub/deep; echo new > /v/new"
    assert stage.run(script, volumes=[host(source)], mounts=at("/v")).lines == ["of the host", "below"]
    assert (source / "new").read_text() == "new\n"


@pytest.mark.behaviour("C24")
def test_a_directory_can_come_alone(stage: StageLab, source: pathlib.Path) -> None:
    done = stage.run("cat /v/file; ls -A /v/sub", volumes=[host(source, recursive=False)], mounts=at("/v"))
    assert done.lines == ["of the host"]


@pytest.mark.behaviour("C24", "C21")
def test_read_only_holds_for_what_is_mounted_in_it(stage: StageLab, source: pathlib.Path) -> None:
    script = "exec 2>&1; touch /v/x; touch /v/sub/x; cat /v/sub/deep"  # one stream, for the order
    done = stage.run(script, volumes=[host(source, readOnly=True)], mounts=at("/v"))
    assert [line.endswith("Read-only file system") for line in done.lines] == [True, True, False]
    (source / "sub" / "still").write_text("the host's own mount is as it was")


@pytest.mark.behaviour("C21")
@pytest.mark.parametrize(
    ("volume", "point", "written"),
    [(None, False, True), (None, True, False), (False, True, True), (True, False, False)],
)
def test_the_volume_decides_and_else_the_mount_point_of_its_name(
    stage: StageLab, tmp_path: pathlib.Path, volume: bool | None, point: bool, written: bool
) -> None:
    said = {} if volume is None else {"readOnly": volume}
    points = [{"name": "v", "path": "/v", "readOnly": point}]
    done = stage.run(
        "touch /v/x && echo written", volumes=[host(tmp_path, **said)], mounts=at("/v"), mountPoints=points
    )
    assert ("written" in done.lines) is written


def test_one_mount_alone_can_be_read_only(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    mounts = [*at("/w"), {"volume": "v", "path": "/r", "readOnly": True}]
    script = "touch /w/x && echo written; touch /r/y 2>/dev/null || echo refused; ls /r"
    for volume in (
        host(tmp_path / "empty"),
        {"name": "v", "kind": "empty", "mode": "0755", "uid": 0, "gid": 0},
    ):
        assert stage.run(script, volumes=[volume], mounts=mounts).lines == ["written", "refused", "x"]


@pytest.mark.behaviour("C24", "C28")
def test_files_devices_and_sockets_can_be_volumes(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    os.mknod(tmp_path / "disk", 0o20666, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        volumes = [
            {**host(tmp_path / "file"), "name": "file"},
            {**host(tmp_path / "disk", readOnly=True), "name": "disk"},
            {**host(tmp_path / "s"), "name": "socket"},
        ]
        mounts = [*at("/f/file", "file"), *at("/dev/disk", "disk"), *at("/run/s", "socket")]
        script = "cat /f/file; head -c 3 /dev/disk | wc -c; test -S /run/s && echo socket; stat -c %a /f"
        assert stage.run(script, volumes=volumes, mounts=mounts).lines == [
            "of the host",
            "3",
            "socket",
            "755",
        ]


@pytest.mark.behaviour("C28", "C35")
@pytest.mark.parametrize(("read_only", "said"), [(True, "refused"), (False, "written")])
def test_a_device_is_used_as_its_volume_says(
    stage: StageLab, tmp_path: pathlib.Path, read_only: bool, said: str
) -> None:
    os.mknod(tmp_path / "fuse", 0o20666, os.makedev(10, 229))
    script = """(exec 3>/dev/here) 2>/dev/null && echo written || echo refused
    (exec 3</dev/here) && echo read; mknod /k c 10 229 2>/dev/null || echo not made"""
    done = stage.run(script, volumes=[host(tmp_path / "fuse", readOnly=read_only)], mounts=at("/dev/here"))
    assert done.lines == [said, "read", "not made"]


@pytest.mark.behaviour("C22")
def test_an_empty_volume_has_its_mode_and_owner_and_is_shared(stage: StageLab) -> None:
    volume = {"name": "v", "kind": "empty", "mode": "0123", "uid": 9991, "gid": 9992}
    scripts = {
        "one": "stat -c '%a %u %g' /v; echo x > /v/x",
        "two": f"{until('test -s /w/x')}; cat /w/x",
    }
    paths = {"one": "/v", "two": "/w"}
    apps = {name: {"exec": ["sh", "-c", text], "mounts": at(paths[name])} for name, text in scripts.items()}
    pod = stage.pod(apps, volumes=[volume])
    assert sorted(pod.call().said) == [("one", "123 9991 9992"), ("two", "x")]
    assert pathlib.Path(pod.dir.volume("v")).stat().st_mode & 0o7777 == 0o123


@pytest.mark.behaviour("C23")
def test_an_implicit_volume_of_a_docker_image_is_filled(stage: StageLab) -> None:
    data = stage.tree / "data"
    (data / "dir").mkdir(mode=0o711)
    (data / "dir" / "link").symlink_to("../shipped")
    os.chown(data / "dir" / "link", 5, 6, follow_symlinks=False)
    (stage.tree / "alias").symlink_to("/data")
    volume = {"name": "v", "kind": "empty"}
    script = "stat -L -c '%a %u %g' /alias; cat /alias/dir/link; stat -c '%u %g' /alias/dir/link; stat -c %a /alias/dir"
    filled = stage.run(script, volumes=[volume], mounts=at("/alias"), prefill=["v"])
    assert filled.lines == ["750 11 12", "from the image", "5 6", "711"]
    assert stage.run("ls -A /alias", volumes=[volume], mounts=at("/alias")).lines == []


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C23")
@pytest.mark.parametrize(
    ("path", "shown"),
    [("/dev", ["shipped"]), ("/to-sys", ["shipped"]), ("/run", []), ("/outer/inner", ["of-the-image"])],
)
def test_what_is_mounted_in_the_root_is_not_what_the_image_has(
    stage: StageLab, tmp_path: pathlib.Path, path: str, shown: list[str]
) -> None:
    for name in ("dev", "sys"):
        (stage.tree / name).mkdir()
        (stage.tree / name / "shipped").touch()
    (stage.tree / "to-sys").symlink_to("sys")
    (stage.tree / "outer" / "inner").mkdir(parents=True)
    (stage.tree / "outer" / "inner" / "of-the-image").touch()
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "of-the-host").touch()
    volumes = [{"name": "v", "kind": "empty"}, {**host(tmp_path / "outer"), "name": "outer"}]
    mounts = [*at(path), *at("/outer", "outer")]
    done = stage.run(f"find {path}/ -type f -o -type c", volumes=volumes, mounts=mounts, prefill=["v"])
    assert (done.status, done.lines) == (0, [f"{path}/{name}" for name in shown]), done.err


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C23")
def test_a_directory_of_any_depth_is_copied(stage: StageLab) -> None:
    deep = stage.tree / "data"
    at_depth = os.open(deep, os.O_RDONLY)
    for _level in range(1500):
        os.mkdir("d", dir_fd=at_depth)
        below = os.open("d", os.O_RDONLY, dir_fd=at_depth)
        os.close(at_depth)
        at_depth = below
    os.utime(f"/proc/self/fd/{at_depth}", (7, 7))
    os.close(at_depth)
    script = """find /data -type d | wc -l
    cd /data; i=0; while test $i -lt 1500; do cd d; i=$((i+1)); done; stat -c %Y ."""
    done = stage.run(script, volumes=[{"name": "v", "kind": "empty"}], mounts=at("/data"), prefill=["v"])
    for made in (str(deep), *(pod.dir.volume("v") for pod in stage.pods)):
        remove_tree(made)  # deeper than what removes the directories of tests can go
    assert done.lines == ["1501", "7"], done.err


@pytest.mark.finding("case-08")
@pytest.mark.behaviour("C23")
def test_files_of_many_names_are_one_file_in_the_volume_too(stage: StageLab) -> None:
    data = stage.tree / "data"
    (data / "dir").mkdir()
    (data / "a").write_text("x" * 4096)
    os.link(data / "a", data / "b")
    os.link(data / "a", data / "dir" / "c")
    (data / "link").symlink_to("a")
    os.link(data / "link", data / "dir" / "link", follow_symlinks=False)
    os.link(data / "a", stage.tree / "outside")
    volume = {"name": "v", "kind": "empty"}
    script = "cd /data; stat -c %h a b dir/c link dir/link /outside; test a -ef dir/c && readlink dir/link"
    done = stage.run(script, volumes=[volume], mounts=at("/data"), prefill=["v"])
    assert done.lines == ["3", "3", "3", "2", "2", "4", "a"]


def several(paths: dict[str, str]) -> dict[str, object]:
    """Volumes at paths, by name, all to be filled."""
    return {
        "volumes": [{"name": name, "kind": "empty"} for name in paths],
        "mounts": [mount for name, path in paths.items() for mount in at(path, name)],
        "prefill": list(paths),
    }


@pytest.mark.finding("a4-F6")
def test_a_directory_of_the_image_fills_one_volume(stage: StageLab) -> None:
    """Only the one that the app sees is filled; links multiply no content."""
    names = [f"l{number}" for number in range(8)]
    for name in names:
        (stage.tree / name).symlink_to("data")
    pod = stage.sh(
        "cat /data/shipped /l3/shipped", **several({"v": "/data", **{name: f"/{name}" for name in names}})
    )
    done = pod.call()
    assert (done.status, done.lines) == (0, ["from the image"] * 2), done.err
    told = "volumes of app main stay empty, since another is at the same directory of the image: "
    assert f"stage1: warning: {told}/l6, /l5, /l4, /l3, /l2 and 3 more\n" in done.err
    held = [os.listdir(pod.dir.volume(name)) for name in ("v", *names)]
    assert sorted(held) == [[]] * 8 + [["shipped"]]


@pytest.mark.finding("a4-F6")
@pytest.mark.behaviour("C23")
def test_a_volume_in_a_volume_is_filled_too(stage: StageLab) -> None:
    (stage.tree / "data" / "in").mkdir()
    (stage.tree / "data" / "in" / "deep").write_text("deep\n")
    done = stage.run("cat /data/shipped /data/in/deep", **several({"outer": "/data", "inner": "/data/in"}))
    assert (done.lines, done.err) == (["from the image", "deep"], "")


@pytest.mark.finding("a4-F6")
@pytest.mark.parametrize("way", ["nested", "hard links"])
def test_no_image_multiplies_its_files_in_volumes(stage: StageLab, way: str) -> None:
    """Neither by volumes in volumes nor by hard links of one file in several."""
    places = (
        ["/data" + "/d" * depth for depth in range(8)] if way == "nested" else [f"/h{n}" for n in range(8)]
    )
    for place in places:
        os.makedirs(f"{stage.tree}{place}", exist_ok=True)
    with open(f"{stage.tree}{places[-1]}/big", "wb") as big:
        big.truncate(300 << 20)
    for place in places[:-1] if way == "hard links" else ():
        os.link(f"{stage.tree}{places[-1]}/big", f"{stage.tree}{place}/big")
    pod = stage.sh("echo ran", **several({f"v{number}": place for number, place in enumerate(places)}))
    done = pod.call()
    assert (done.status, done.lines) == (254, [])
    assert "cannot fill the volumes of an app: its image has the same files in several of them" in done.err
    sizes = [
        os.stat(f"{where}/{name}").st_size
        for where, _d, names in os.walk(pod.dir.volume("v0") + "/..")
        for name in names
    ]
    assert sum(sizes) < 7 * (300 << 20)


@pytest.mark.finding("a4-F10")
@pytest.mark.behaviour("C23")
def test_devices_of_the_image_are_left_out_of_volumes(stage: StageLab) -> None:
    os.mknod(stage.tree / "data" / "null", 0o20666, os.makedev(1, 3))
    os.mknod(stage.tree / "data" / "disk", 0o60666, os.makedev(7, 250))
    os.mkfifo(stage.tree / "data" / "pipe")
    done = stage.run("ls /data", **several({"v": "/data"}))
    assert (done.status, done.lines) == (0, ["pipe", "shipped"]), done.err
    told = "stage1: warning: device nodes of the image are left out of the volumes of app main: "
    assert done.err.startswith(told)
    assert sorted(done.err[len(told) :].strip().split(", ")) == ["/data/disk", "/data/null"]


@pytest.mark.behaviour("C25")
@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/away/v", "/etc/v"),
        ("/up/v", "/v"),
        ("relative/v", "/relative/v"),
        ("/data/../../../v", "/v"),
        ("/dangling/v", "/made/here/v"),
        ("/etc//v/", "/etc/v"),
    ],
)
def test_targets_stay_in_the_root_of_the_app(
    stage: StageLab, tmp_path: pathlib.Path, path: str, seen: str
) -> None:
    (stage.tree / "away").symlink_to("/etc")
    (stage.tree / "up").symlink_to("../../../../..")
    (stage.tree / "dangling").symlink_to("made/here")
    (tmp_path / "file").write_text("of the host\n")
    done = stage.run(f"cat {seen}", volumes=[host(tmp_path / "file")], mounts=at(path))
    assert done.lines == ["of the host"], done.err


@pytest.mark.behaviour("C25")
def test_a_loop_of_links_is_an_error(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (stage.tree / "loop").symlink_to("loop")
    done = stage.run("true", volumes=[host(tmp_path)], mounts=at("/loop/v"))
    assert done.status == 254
    assert "too many levels of symbolic links" in done.err


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C25")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "nothing can be mounted over the root of an app"),
        ("/all", "nothing can be mounted over the root of an app"),
        ("/dev/null", "a directory can only be mounted on a directory, and a file only on a file"),
        ("/etc/passwd", "a directory can only be mounted on a directory, and a file only on a file"),
        ("/" + "x" * 300, "file name too long"),
    ],
    ids=["root", "link to the root", "device", "file", "long name"],
)
def test_where_nothing_can_be_mounted_the_reason_is_told(stage: StageLab, path: str, said: str) -> None:
    (stage.tree / "all").symlink_to("/")
    done = stage.run("echo ran", volumes=[{"name": "v", "kind": "empty"}], mounts=at(path))
    assert (done.status, done.lines) == (254, [])
    assert done.err.count("\n") == 1
    assert done.err.endswith(f": {said}\n")


@pytest.mark.behaviour("C25", "C38")
def test_volumes_win_over_what_is_built_in(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    done = stage.run("cat /etc/hosts", volumes=[host(tmp_path / "mine")], mounts=at("/etc/hosts"))
    assert done.lines == ["mine"]
    done = stage.run("ls /dev/shm", volumes=[host(tmp_path)], mounts=at("/dev/shm"))
    assert "mine" in done.lines


@pytest.mark.behaviour("C25", "C33", "C37", "C38", "C40")
def test_names_come_by_precedence(stage: StageLab, tmp_path: pathlib.Path) -> None:
    """A volume, then what the pod asks for, then the image; a name server of the pod goes before a volume."""
    (stage.tree / "etc" / "resolv.conf").write_text("of the image\n")
    (stage.tree / "etc" / "hostname").write_text("of the image\n")
    show = "tail -n1 /etc/resolv.conf; tail -n1 /etc/hosts; cat /etc/hostname"
    plain = HOST_NET.replace(hostname="own")
    assert stage.run(show, plain.replace(dns=Dns("none"))).lines[::2] == ["of the image", "own"]
    custom = plain.replace(
        dns=Dns("custom", ("10.0.0.9",)), hosts=HostsFile("custom", (("10.0.0.2", ("db",)),))
    )
    assert stage.run(show, custom).lines == ["nameserver 10.0.0.9", "10.0.0.2 db", "own"]
    (tmp_path / "mine").write_text("mine\n")
    mounts = [mount for name in ("resolv.conf", "hosts", "hostname") for mount in at(f"/etc/{name}")]
    volumes = [host(tmp_path / "mine")]
    assert stage.run(show, custom, volumes=volumes, mounts=mounts).lines == [
        "nameserver 10.0.0.9",
        "mine",
        "mine",
    ]
    quiet = plain.replace(dns=Dns("none"))
    assert stage.run(show, quiet, volumes=volumes, mounts=mounts).lines == ["mine", "mine", "mine"]


@pytest.mark.behaviour("C26")
def test_sys_is_there_only_when_nothing_is_mounted_in_it(stage: StageLab) -> None:
    empty = {"name": "v", "kind": "empty"}
    assert stage.run("ls -A /sys", volumes=[empty], mounts=at("/sys")).lines == []
    done = stage.run("ls /sys", volumes=[host("/sys/class")], mounts=at("/sys/class"))
    assert done.lines == ["class"]


@pytest.mark.behaviour("C20")
def test_nested_targets_do_not_hide_each_other(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "seen").touch()
    volumes = [{**host(tmp_path / "outer"), "name": "outer"}, {**host(tmp_path / "other"), "name": "inner"}]
    mounts = [*at("/m/inner", "inner"), *at("/m", "outer")]
    assert stage.run("ls /m /m/inner", volumes=volumes, mounts=mounts).lines[-1] == "seen"


@pytest.mark.behaviour("C29")
def test_odd_characters_in_paths_do_not_matter(tmp_path: pathlib.Path) -> None:
    base = tmp_path / "odd:one,two\\three four"
    base.mkdir()
    lab = StageLab(base)
    try:
        assert lab.run("cat /data/shipped; touch /new").lines == ["from the image"]
    finally:
        lab.close()


@pytest.mark.behaviour("C30")
def test_later_mounts_of_the_host_show_up_and_those_of_the_app_do_not(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    shared = tmp_path / "shared"
    (shared / "late").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "lab", shared], check=True, timeout=10)
    subprocess.run(["mount", "--make-shared", shared], check=True, timeout=10)
    try:
        (shared / "late").mkdir()
        script = f"echo up; {until('test -e /v/late/x')}; echo seen"
        pod = stage.sh(script, volumes=[host(shared)], mounts=at("/v"))
        process = pod.start()
        pod.wait_ready()
        subprocess.run(["mount", "-t", "tmpfs", "lab", shared / "late"], check=True, timeout=10)
        (shared / "late" / "x").touch()
        eventually(lambda: process.poll() is not None)
        assert "stdout seen" in pod.log()
    finally:
        subprocess.run(["umount", "-l", shared], check=True, timeout=10)


@pytest.mark.finding("pods-F5")
@pytest.mark.behaviour("C30")
@pytest.mark.parametrize(
    "more", [{"readOnly": True}, {"readOnly": True, "recursive": False}, {"recursive": False}]
)
def test_no_later_mount_is_a_writable_place_in_what_is_not(
    stage: StageLab, tmp_path: pathlib.Path, more: dict[str, object]
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "lab", shared], check=True, timeout=10)
    subprocess.run(["mount", "--make-shared", shared], check=True, timeout=10)
    try:
        (shared / "late").mkdir()
        script = f"{until('test -e /go/on')}; ls -A /v/late | wc -l; grep -c /late /proc/self/mountinfo"
        (tmp_path / "go").mkdir()
        volumes = [{**host(shared), **more}, {**host(tmp_path / "go"), "name": "go"}]
        mounts = [*at("/v"), {"volume": "go", "path": "/go"}]
        pod = stage.sh(script, volumes=volumes, mounts=mounts)
        process = pod.start()
        pod.wait_ready()
        subprocess.run(["mount", "-t", "tmpfs", "lab", shared / "late"], check=True, timeout=10)
        (shared / "late" / "x").touch()
        (tmp_path / "go" / "on").touch()
        eventually(lambda: process.poll() is not None)
        assert [line.split()[-1] for line in pod.log().splitlines()] == ["0", "0"]
    finally:
        subprocess.run(["umount", "-l", shared], check=True, timeout=10)


@pytest.fixture
def propagating(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory whose mounts propagate, like all of a host with systemd."""
    found = tmp_path / "shared"
    found.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "lab", found], check=True, timeout=10)
    subprocess.run(["mount", "--make-shared", found], check=True, timeout=10)
    yield found
    subprocess.run(["umount", "-l", found], check=True, timeout=10)


@pytest.mark.finding("pods-F5")
@pytest.mark.behaviour("C30")
@pytest.mark.parametrize("overlay", [True, False])
def test_one_kind_of_mount_alone_takes_part_in_what_the_host_mounts(
    propagating: pathlib.Path, overlay: bool
) -> None:
    for name in ("live", "still", "alone"):
        (propagating / name).mkdir()
    (propagating / "file").touch()
    os.mknod(propagating / "device", 0o20666, os.makedev(1, 5))
    given = {"live": {}, "still": {"readOnly": True}, "alone": {"recursive": False}, "file": {}, "device": {}}
    volumes = [{**host(propagating / name), "name": name, **more} for name, more in given.items()]
    volumes.append({"name": "empty", "kind": "empty"})
    mounts = [mount for volume in volumes for mount in at(f"/v/{volume['name']}", str(volume["name"]))]
    spec = HOST_NET.replace(overlay=overlay, hosts=HostsFile("host"), dns=Dns("host"))
    lab = StageLab(propagating)
    try:
        script = "cd /proc; cat self/mountinfo 1/mountinfo | cut -d' ' -f5 | sort -u; echo; "
        script += "grep -h ' master:' self/mountinfo 1/mountinfo | cut -d' ' -f5"
        done = lab.run(script, spec, volumes=volumes, mounts=mounts)
        every, following = done.text.split("\n\n")
        assert {f"/v/{volume['name']}" for volume in volumes} <= set(every.splitlines())
        assert following.splitlines() == ["/v/live", f"{lab.pods[0].dir.app_root('main')}/v/live"]
    finally:
        lab.close()
