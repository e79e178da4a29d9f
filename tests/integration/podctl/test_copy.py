# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl cp: docker's grammar, owners, and apps that would lead it elsewhere."""

from __future__ import annotations

import io
import os
import pathlib
import stat
import subprocess
import tarfile

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, PodHost, eventually

WAITS = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
USERS = pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])


def running(pods: PodHost, script: str, *flags: str) -> str:
    """The UUID of a pod that has run a script and waits."""
    uuid = pods.detached(f"{script}; touch /tmp/done; {WAITS}", *flags)
    eventually(lambda: pods.podctl("enter", uuid, "/bin/cat", "/tmp/done").status == 0)
    return uuid


def inside(pods: PodHost, uuid: str, script: str) -> str:
    return pods.podctl("enter", uuid, "/bin/sh", "-c", script).out.strip()


def ended(pods: PodHost, script: str, *pod_flags: str) -> str:
    done = pods.sh(script, pod_flags=("--net=none", *pod_flags))
    assert done.status == 0, done.err
    return pods.uuids()[-1]


@USERS
def test_files_go_in_and_out_of_a_running_pod(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    uuid = running(pods, "mkdir -p /srv/a/b; echo one > /srv/a/b/one; ln -s b /srv/a/link", *users)
    pods.ok("cp", f"{uuid[:8]}:/srv/a", str(tmp_path / "new"))
    assert (tmp_path / "new/b/one").read_text() == "one\n"
    assert os.readlink(tmp_path / "new/link") == "b"
    pods.ok("cp", f"{uuid}:/srv/a", str(tmp_path))
    assert (tmp_path / "a/b/one").exists()
    (tmp_path / "into").mkdir()
    pods.ok("cp", f"{uuid}:srv/a/.", str(tmp_path / "into"))
    assert sorted(os.listdir(tmp_path / "into")) == ["b", "link"]
    found = os.stat(tmp_path / "new/b/one")
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
    (tmp_path / "two").write_text("two")
    os.chmod(tmp_path / "two", 0o640)
    os.chown(tmp_path / "two", 100, 200)
    pods.ok("cp", str(tmp_path / "two"), f"{uuid}:busybox:/srv/a/b")
    assert inside(pods, uuid, "cat /srv/a/b/two; stat -c ' %u:%g %a' /srv/a/b/two") == "two 0:0 640"
    pods.ok("cp", "--archive", str(tmp_path / "two"), f"{uuid}:/srv/three")
    assert inside(pods, uuid, "stat -c '%u:%g' /srv/three") == "100:200"
    pods.ok("cp", str(tmp_path / "new"), f"{uuid}:/srv/a/link")
    assert inside(pods, uuid, "cat /srv/a/b/new/b/one; readlink /srv/a/b/new/link") == "one\nb"
    pods.ok("cp", "--archive", f"{uuid}:/srv/three", str(tmp_path / "three"))
    assert (os.stat(tmp_path / "three").st_uid, os.stat(tmp_path / "three").st_gid) == (100, 200)


@USERS
@pytest.mark.parametrize("roots", [(), ("--no-overlay",)], ids=["overlay", "copy"])
def test_a_pod_that_has_ended_or_was_not_started_yet(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...], roots: tuple[str, ...]
) -> None:
    (tmp_path / "in").write_text("in")
    uuid = ended(pods, "echo out > /out", *users, *roots)
    pods.ok("cp", f"{uuid}:/out", str(tmp_path))
    assert (tmp_path / "out").read_text() == "out\n"
    pods.ok("cp", str(tmp_path / "in"), f"{uuid}:/etc")
    pods.ok("cp", f"{uuid}:/etc/in", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "in"
    assert pods.state(uuid) == "exited"
    script = "cat /etc/in; stat -c ' %u:%g' /etc/in"
    ready = pods.ok("prepare", "--quiet", *users, *roots, pods.image, "--exec=/bin/sh", "--", "-c", script)
    pods.ok("cp", str(tmp_path / "in"), f"{ready}:/etc/in")
    done = pods.podctl("run-prepared", "--net=none", ready)
    assert (done.status, done.texts) == (0, ["in 0:0"]), done.err


def test_archives_go_through_pipes(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = running(pods, "mkdir /srv; echo one > /srv/one; chown 100:200 /srv/one; chmod 4755 /srv/one")
    argv = [PODCTL, *pods.where, "cp"]
    packed = subprocess.run([*argv, f"{uuid}:/srv", "-"], capture_output=True, check=True, timeout=30).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        one = archive.getmember("srv/one")
        assert (archive.getnames(), one.uid, one.gid, one.mode) == (["srv", "srv/one"], 100, 200, 0o4755)
    subprocess.run([*argv, "-", f"{uuid}:/data"], input=packed, check=True, timeout=30)
    assert inside(pods, uuid, "stat -c '%u:%g %a' /data/srv/one") == "100:200 4755"
    done = subprocess.run(
        [*argv, "-", f"{uuid}:/nowhere"], input=packed, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, b'there is no directory "/nowhere" in the app' in done.stderr) == (254, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a", "b"), "one of the two must be in a pod"),
        (("{u}:/a", "{u}:/b"), "one of the two must be in a pod"),
        (("{u}:/nosuch", "{t}"), 'there is no file or directory "/nosuch"'),
        (("{t}/nosuch", "{u}:/"), 'there is no file or directory "{t}/nosuch"'),
        (("{u}:/etc/passwd", "{t}/a/b"), 'there is no file or directory "{t}/a"'),
        (("{u}:/etc/passwd", "{t}/a/"), 'there is no directory "{t}/a/"'),
        (("{u}:/etc", "{t}/file"), 'cannot copy a directory to "{t}/file", which is a file'),
        (("{t}/dir", "{u}:/etc/passwd"), 'cannot copy a directory to "/etc/passwd", which is a file'),
        (("{t}/passwd", "{u}:/etc"), 'cannot overwrite the directory "passwd" by a file'),
        (("{t}/etc", "{u}:/"), 'cannot overwrite "etc/passwd", which is not a directory, by a directory'),
        (("{u}:x:/etc", "{t}"), 'has no app "x"'),
        (("{u}:", "{t}"), "is neither a path nor POD:PATH"),
        (("nosuch:/a", "{t}"), "no matches found"),
    ],
)
def test_wrong_words(pods: PodHost, tmp_path: pathlib.Path, words: tuple[str, str], expected: str) -> None:
    uuid = ended(pods, "mkdir -p /etc/x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "passwd").write_text("x")
    (tmp_path / "etc/passwd").mkdir(parents=True)
    if words[0] == "{t}/passwd":
        pods.ok("cp", str(tmp_path / "dir"), f"{uuid}:/data/passwd")
        words = (words[0], "{u}:/data")
    done = pods.podctl("cp", *(word.format(u=uuid, t=tmp_path) for word in words))
    assert done.status == 254
    assert expected.format(t=tmp_path) in done.err


@USERS
def test_links_of_an_app_lead_nowhere_else(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    """The causes of CVE-2018-15664 and CVE-2019-14271: paths and libraries of an app are never the host's."""
    secret, victim = tmp_path / "secret", tmp_path / "victim"
    secret.write_text("of the host")
    victim.mkdir()
    up = "../" * 30
    uuid = running(
        pods,
        f"ln -s {secret} /abs; ln -s {up}{secret} /rel; ln -s {up}{victim} /dir; ln -s /proc/1/root /magic; "
        f"mkdir -p {victim}; ln -s /proc/self/root{victim} /self; mkdir /tree; ln -s {secret} /tree/l",
        *users,
    )
    (tmp_path / "in").write_text("in")
    for link in ("abs", "rel"):
        done = pods.podctl("cp", "--follow-link", f"{uuid}:/{link}", str(tmp_path / "out"))
        assert (done.status, (tmp_path / "out").exists()) == (254, False)
        pods.ok("cp", f"{uuid}:/{link}", str(tmp_path / "out"))
        assert os.path.islink(tmp_path / "out")
        os.unlink(tmp_path / "out")
    pods.ok("cp", str(tmp_path / "in"), f"{uuid}:/dir/in")
    assert inside(pods, uuid, f"cat {victim}/in") == "in"
    for link in ("magic", "self"):
        assert pods.podctl("cp", f"{uuid}:/{link}{secret}", str(tmp_path / "out")).status == 254
        assert pods.podctl("cp", str(tmp_path / "in"), f"{uuid}:/{link}/in").status == 254
    pods.ok("cp", f"{uuid}:/tree", str(tmp_path / "got"))
    assert os.path.islink(tmp_path / "got/l")
    assert (list(victim.iterdir()), secret.read_text()) == ([], "of the host")


def test_a_copy_into_an_earlier_one_writes_through_no_link(pods: PodHost, tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    uuid = running(pods, f"mkdir /t; ln -s {victim} /t/d; ln -s {victim}/file /t/f")
    pods.ok("cp", f"{uuid}:/t", str(tmp_path))
    inside(pods, uuid, "rm /t/d /t/f; mkdir /t/d; echo evil > /t/d/file; echo evil > /t/f")
    pods.ok("cp", f"{uuid}:/t", str(tmp_path))
    assert (victim / "file").read_text() == "mine"
    assert (tmp_path / "t/d/file").read_text() == "evil\n"


def test_what_arrives_on_the_host_has_no_power(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = running(
        pods, "mkdir /t; echo x > /t/set; chmod 6755 /t/set; mknod /t/pipe p; truncate -s 2G /t/huge"
    )
    script = "import os; os.mknod('{}', 0o20666, os.makedev(1, 3))"
    (upper,) = pods.data.glob(f"pods/run/{uuid}/overlay/*/upper/busybox")
    subprocess.run(["python3", "-c", script.format(upper / "t/null")], check=True)
    done = pods.podctl("cp", f"{uuid}:/t", str(tmp_path))
    assert (done.status, done.err) == (0, "cp: t/null is a device, and left out\n")
    assert stat.S_IMODE(os.stat(tmp_path / "t/set").st_mode) == 0o755
    assert stat.S_ISFIFO(os.stat(tmp_path / "t/pipe").st_mode)
    huge = os.stat(tmp_path / "t/huge")
    assert (huge.st_size, huge.st_blocks) == (2 << 30, 0)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_an_app_that_swaps_a_directory_for_a_link_wins_nothing(
    pods: PodHost, tmp_path: pathlib.Path, direction: str
) -> None:
    """The race of CVE-2018-15664: between a look at a path and its use, the app replaces a part of it."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("of the host")
    swap = (
        f"mkdir -p /w/d /w/e; echo app > /w/d/file; ln -s {victim} /w/l; "
        "(while true; do mv /w/d /w/e/d; mv /w/l /w/d; mv /w/d /w/l; mv /w/e/d /w/d; done) & true"
    )
    uuid = running(pods, swap)
    (tmp_path / "file").write_text("in")
    for turn in range(15):
        if direction == "in":
            pods.podctl("cp", str(tmp_path / "file"), f"{uuid}:/w/d/file")
        else:
            out = tmp_path / f"out{turn}"
            pods.podctl("cp", "--follow-link", f"{uuid}:/w/d/file", str(out))
            assert not out.exists() or out.read_text() in ("app\n", "")
    assert [(path.name, path.read_text()) for path in victim.iterdir()] == [("file", "of the host")]


def test_read_only_volumes_and_the_kernels_files_are_not_written(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "in").write_text("1")
    uuid = pods.ok(
        *("prepare", "--quiet", f"--volume=v,kind=host,source={volume},readOnly=true", pods.image),
        *("--mount=volume=v,target=/v", "--exec=/bin/sh", "--", "-c", f"ln -s /proc/sys/kernel /k; {WAITS}"),
    )
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    eventually(lambda: inside(pods, uuid, "test -e /k && echo yes") == "yes")
    done = pods.podctl("cp", str(tmp_path / "in"), f"{uuid}:/v/x")
    assert (done.status, "read-only file system" in done.err) == (254, True)
    for place in ("/k/hostname", "/proc/1/oom_score_adj"):
        assert pods.podctl("cp", str(tmp_path / "in"), f"{uuid}:{place}").status == 254
    pods.ok("stop", uuid)
    pods.wait(uuid)
    done = pods.podctl("cp", f"{uuid}:/v", str(tmp_path / "out"))
    assert (done.status, "which is there only while the pod runs" in done.err) == (254, True)


@pytest.mark.finding("trial6-11")
def test_a_copy_to_a_read_only_root_says_what_is_read_only(pods: PodHost, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").write_text("1")
    uuid = pods.detached(
        WAITS, "--readonly-rootfs=true", "--volume=v,kind=empty", "--mount=volume=v,target=/v"
    )
    done = pods.podctl("cp", str(tmp_path / "in"), f"{uuid}:/")
    assert (done.status, "the root of the app, or the volume there, is read-only" in done.err) == (254, True)
    assert "choose another data directory" not in done.err
    pods.ok("cp", str(tmp_path / "in"), f"{uuid}:/v")
    assert inside(pods, uuid, "cat /v/in") == "1"


@pytest.mark.finding("trial6-22")
def test_a_flag_of_enter_after_the_uuid_is_told(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    done = pods.podctl("enter", uuid, "--app=zz", "/bin/true")
    assert done.status == 203
    assert done.err.startswith("enter: hint: flags of enter go before the UUID: podctl enter --app=zz ")
    assert 'error looking up "--app=zz"' in done.err
    assert "hint" not in pods.podctl("enter", uuid, "nosuch", "--app=zz").err


def test_an_archive_from_a_pipe_stays_in_the_directory(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = running(pods, "mkdir /into; ln -s /etc /into/link")
    argv = [PODCTL, *pods.where, "cp", "-", f"{uuid}:/into"]

    def sent(*entries: tuple[str, bytes, str]) -> subprocess.CompletedProcess[bytes]:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name, kind, link in entries:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, link
                archive.addfile(entry)
        return subprocess.run(argv, input=data.getvalue(), capture_output=True, timeout=30, check=False)

    assert sent(("../../escaped", tarfile.REGTYPE, "")).returncode == 254
    assert sent(("hard", tarfile.LNKTYPE, "../../../etc/passwd")).returncode == 254
    done = sent(
        ("link/new", tarfile.REGTYPE, ""), ("null", tarfile.CHRTYPE, ""), ("a/b/c", tarfile.REGTYPE, "")
    )
    assert (done.returncode, done.stderr) == (0, b"cp: null is a device, and left out\n")
    assert inside(pods, uuid, "test -f /etc/new && test -f /into/a/b/c && echo yes") == "yes"
    cut = subprocess.run(argv, input=b"x" * 700, capture_output=True, timeout=30, check=False)
    assert cut.returncode == 254
    assert b"Traceback" not in cut.stderr
