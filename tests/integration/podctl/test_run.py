# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl run with real pods: statuses, output, arguments, variables, volumes."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    PodHost,
    eventually,
    write_image,
)


@pytest.mark.behaviour("A26", "A28", "D11")
@pytest.mark.parametrize(
    ("script", "status"), [("true", 0), ("exit 5", 5), ("kill -9 $$", 9), ("exit 254", 254)], ids=str
)
def test_the_status_is_that_of_the_app(pods: PodHost, script: str, status: int) -> None:
    done = pods.sh(script)
    assert done.status == status, done.err
    assert pods.wait(pods.uuids()[0])[-1] == f"app-busybox={status}"


@pytest.mark.behaviour("A11", "C13", "C19")
def test_arguments_arrive_as_they_were_given(pods: PodHost) -> None:
    words = ("-u", "a b", "", "$HOME", "%h", '"', "\\", "--", "--net=x")
    script = 'for word; do printf "<%s>\\n" "$word"; done'
    done = pods.podctl("run", "--net=none", pods.image, "--exec=/bin/sh", "--", "-c", script, "sh", *words)
    assert done.said == [("busybox", f"<{word}>") for word in words]


@pytest.mark.behaviour("A27", "A28")
def test_the_first_failure_ends_the_pod(pods: PodHost) -> None:
    apps: list[str] = []
    for name, script in (("good", "exit 0"), ("bad", "sleep 0.3; exit 5"), ("slow", "sleep 60")):
        apps += [pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", script, "---"]
    done = pods.podctl("run", "--net=none", *apps)
    assert done.status == 5
    codes = dict(line.split("=") for line in pods.wait(pods.uuids()[0]) if line.startswith("app-"))
    assert (codes["app-good"], codes["app-bad"]) == ("0", "5")


@pytest.mark.behaviour("A29")
def test_a_missing_program_is_203(pods: PodHost) -> None:
    done = pods.podctl("run", "--net=none", pods.image, "--exec=/bin/nosuch")
    assert done.status == 203
    assert 'Error: Unable to open "/bin/nosuch": No such file or directory' in done.out + done.err


@pytest.mark.behaviour("A30", "G7")
def test_a_missing_source_of_a_volume_is_1(pods: PodHost) -> None:
    source = f"{pods.base}/nosuch"
    done = pods.podctl(
        "run", "--net=none", f"--volume=v,kind=host,source={source}", "--mount=volume=v,target=/v", pods.image
    )
    assert done.status == 1
    assert f"run: Failed to stat {source}: No such file or directory\n" in done.err


@pytest.mark.behaviour("C7", "C8", "C9")
def test_variables_have_their_order(pods: PodHost) -> None:
    env_file = pods.base / "env"
    env_file.write_text("# a remark\n\n; another\nFILE=file\nSHARED=file\nTOP=file\nSECOND=file\n")
    done = pods.podctl(
        "run",
        "--net=none",
        "--inherit-env",
        f"--set-env-file={env_file}",
        "--set-env=SET=set",
        "--set-env=TOP=set",
        "--set-env=SECOND=set",
        pods.image,
        "--exec=/bin/env",
        "--environment=OWN=earlier",
        "--environment=OWN=own",
        "--environment=TOP=own",
        env={"PATH": os.environ["PATH"], "CALLER": "caller", "IMAGE": "caller"},
    )
    seen = dict(text.partition("=")[::2] for text in done.texts)
    expected = {
        "CALLER": "caller",
        "IMAGE": "image",
        "SHARED": "file",
        "FILE": "file",
        "SET": "set",
        "OWN": "own",
        "TOP": "own",
        "SECOND": "set",
    }
    assert expected.items() <= seen.items()
    assert seen["AC_APP_NAME"] == "busybox"


@pytest.mark.behaviour("A19", "C21", "C22", "C24")
def test_volumes_are_where_they_are_wanted(pods: PodHost) -> None:
    shared = pods.base / "shared"
    shared.mkdir()
    (shared / "file").write_text("hello\n")
    done = pods.sh(
        "cat /host/file; echo new > /host/new; (echo x > /ro/file) 2>/dev/null || echo refused; "
        "touch /empty/x && ls /empty; ls -ld /empty | head -c 10",
        "--mount=volume=host,target=/host",
        "--mount=volume=ro,target=/ro",
        "--mount=volume=empty,target=/empty",
        pod_flags=(
            "--net=none",
            f"--volume=host,kind=host,source={shared}",
            f"--volume=ro,kind=host,source={shared},readOnly=true",
            "--volume=empty,kind=empty,mode=0700",
        ),
    )
    assert done.texts == ["hello", "refused", "x", "drwx------"]
    assert (shared / "new").read_text() == "new\n"


@pytest.mark.behaviour("A22")
@pytest.mark.parametrize("flags", [(), ("--no-overlay",)], ids=["overlay", "no overlay"])
def test_an_app_writes_into_its_own_root(pods: PodHost, flags: tuple[str, ...]) -> None:
    script = "cat /data/shipped; echo changed > /data/shipped; cat /data/shipped"
    for _attempt in range(2):
        done = pods.sh(script, pod_flags=("--net=none", *flags))
        assert done.texts == ["from the image", "changed"], done.err


@pytest.fixture(params=["overlay", "ramfs"])
def unfit(request: pytest.FixtureRequest, pods: PodHost) -> Iterator[PodHost]:
    """A data directory unfit for overlays: one kind refuses the mount, the other the operations of apps in it."""
    pods.data.mkdir()
    if request.param == "overlay":
        for name in ("lower", "upper", "work"):
            (pods.base / name).mkdir()
        where = f"lowerdir={pods.base}/lower,upperdir={pods.base}/upper,workdir={pods.base}/work"
        syscalls.mount("overlay", str(pods.data), "overlay", 0, where)
    else:
        syscalls.mount("ramfs", str(pods.data), "ramfs")
    yield pods
    pods.close()
    syscalls.umount(str(pods.data))


@pytest.mark.behaviour("A22")
def test_files_are_copied_where_no_overlay_can_be(unfit: PodHost) -> None:
    script = "rm -r /data; mkdir /data; ls /data; echo new > /data/shipped; cat /data/shipped"
    done = unfit.sh(script)
    assert 'run: disabling overlay support: "' in done.err
    assert done.texts == ["new"], done.err
    assert [path.name for path in unfit.data.glob(".overlay-*")] == []


@pytest.mark.behaviour("C37")
def test_the_host_name(pods: PodHost) -> None:
    assert pods.sh("hostname", pod_flags=("--net=none", "--hostname=here")).texts == ["here"]
    before = set(pods.uuids())
    found = pods.sh("hostname").texts
    assert found == [f"rkt-{uuid}" for uuid in set(pods.uuids()) - before]


@pytest.mark.behaviour("A23", "G6")
def test_the_uuid_is_saved(pods: PodHost) -> None:
    saved = pods.base / "uuid"
    pods.sh("true", pod_flags=("--net=none", f"--uuid-file-save={saved}"))
    assert saved.read_text() == pods.uuids()[0]
    assert saved.stat().st_mode & 0o777 == 0o644
    done = pods.sh("true", pod_flags=("--net=none", f"--uuid-file-save={pods.base}/no/file"))
    assert done.status == 254
    assert "run: error saving pod UUID to file: " in done.err
    assert len(pods.uuids()) == 1


@pytest.mark.finding("attack-F14")
@pytest.mark.behaviour("A23")
def test_a_uuid_is_saved_through_no_link_and_waits_for_nobody(pods: PodHost) -> None:
    mine, dangling = pods.base / "mine", pods.base / "dangling"
    mine.write_text("mine")
    mine.chmod(0o600)
    (pods.base / "link").symlink_to("mine")
    dangling.symlink_to("made-by-root")
    os.link(mine, pods.base / "other-name")
    os.mkfifo(pods.base / "pipe")
    for name, why in (
        ("link", "it is a symbolic link"),
        ("dangling", "it is a symbolic link"),
        ("other-name", "the file has other names as well"),
        ("pipe", "it is a named pipe or a socket"),
    ):
        done = pods.sh("true", pod_flags=("--net=none", f"--uuid-file-save={pods.base}/{name}"))
        assert done.status == 254
        assert f"run: error saving pod UUID to file: {pods.base}/{name}: {why}\n" in done.err
    reader = os.open(pods.base / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    done = pods.sh("true", pod_flags=("--net=none", f"--uuid-file-save={pods.base}/pipe"))
    os.close(reader)
    assert "it is no regular file" in done.err
    assert (mine.read_text(), mine.stat().st_mode & 0o777) == ("mine", 0o600)
    assert not (pods.base / "made-by-root").exists()
    assert pods.uuids() == []


@pytest.mark.behaviour("A15", "C3")
def test_two_apps_need_two_names(pods: PodHost) -> None:
    done = pods.podctl("run", "--net=none", pods.image, pods.image)
    assert done.status == 254
    assert done.err.startswith("run: error: multiple apps with name busybox\nrun: hint: ")
    assert pods.uuids() == []


@pytest.mark.behaviour("C3")
def test_an_image_without_an_app_needs_a_program(pods: PodHost, tmp_path: pathlib.Path) -> None:
    bare = str(write_image(tmp_path / "bare.aci", "example.com/bare", None))
    done = pods.podctl("run", "--net=none", bare)
    said = "run: error: image example.com/bare has no app section and --exec argument is not provided\n"
    assert (done.status, done.err.startswith(said)) == (254, True), done.err
    assert pods.podctl("run", "--net=none", bare, "--exec=/bin/id", "--", "-u").texts == ["0"]


@pytest.mark.finding("rkt-R4")
@pytest.mark.behaviour("A20", "A21", "B9", "C5")
@pytest.mark.parametrize("form", ["--full", "--full=false"])
def test_a_pod_from_a_manifest(pods: PodHost, form: str) -> None:
    image_id = pods.ok("fetch", form, pods.image)
    app = {"exec": ["/bin/echo", "from the manifest"], "user": "0", "group": "0"}
    manifest = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "one", "image": {"id": image_id}, "app": app}],
    }
    path = pods.base / "pod.json"
    path.write_text(json.dumps(manifest))
    done = pods.podctl("run", "--net=none", f"--pod-manifest={path}")
    assert (done.status, done.said) == (0, [("one", "from the manifest")]), done.err
    path.write_text(json.dumps({**manifest, "apps": []}))
    assert "pod must contain at least one application" in pods.podctl("run", f"--pod-manifest={path}").err


@pytest.mark.behaviour("D11", "D12")
def test_a_signal_to_podctl_is_an_orderly_stop(pods: PodHost) -> None:
    script = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    process = pods.background("run", "--net=none", pods.image, "--exec=/bin/sh", "--", "-c", script)
    assert process.stdout is not None and "ready" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    eventually(lambda: pods.state(pods.uuids()[0]) == "exited")


@pytest.mark.behaviour("A16", "C15", "C16")
def test_users_and_groups(pods: PodHost) -> None:
    done = pods.sh("id -u; id -g; id -G", "--user=worker", "--group=workers", "--supplementary-gids=7,8")
    assert done.texts == ["100", "200", "200 7 8"], done.err


@pytest.mark.behaviour("E2", "E16")
def test_the_default_network_in_a_network_of_its_own(pods: PodHost) -> None:
    script = 'ip link set lo up; exec "$@"'
    words = [
        "run",
        pods.image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "ip -4 addr show dev eth0 | grep -q inet && echo joined",
    ]
    argv = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", PODCTL, *pods.where, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "joined" in done.stdout, done.stderr
    listed = pods.ok("list", "--no-legend").split("\t")[-1]
    assert listed.startswith("default:ip4=")
    rm = ["unshare", "--net", "--mount", PODCTL, *pods.where, "rm", pods.uuids()[0]]
    subprocess.run(rm, check=True, timeout=60, capture_output=True)
