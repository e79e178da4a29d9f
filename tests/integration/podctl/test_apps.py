# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl app: apps are added to a pod that runs, started, stopped and removed, as rkt did it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    cgroups_of,
    eventually,
    write_image,
)

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"


@pytest.fixture(autouse=True)
def experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKT_EXPERIMENT_APP", "true")


@pytest.fixture
def sandbox(pods: PodHost) -> Iterator[str]:
    """The UUID of a pod without apps, that runs."""
    uuid = pods.sandbox()
    yield uuid
    pods.podctl("stop", "--force", uuid)


def states(pods: PodHost, uuid: str) -> list[list[str]]:
    return [line.split() for line in pods.ok("app", "list", "--no-legend", uuid).splitlines()]


@pytest.mark.behaviour("A8")
def test_the_commands_are_there_only_where_the_variable_says_so(
    pods: PodHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "app sandbox" in pods.ok("help")
    for value in ("", "false", "yes"):
        monkeypatch.setenv("RKT_EXPERIMENT_APP", value)
        assert "app sandbox" not in pods.ok("help")
        done = pods.podctl("app", "list", "x")
        assert (done.status, 'unknown command "app"' in done.err) == (254, True)


@pytest.mark.behaviour("A8")
@in_own_network
def test_a_sandbox_forwards_ports_to_the_apps_that_come(pods: PodHost) -> None:
    port = "--port=web:tcp:8080:127.0.0.1:9080"
    uuid = pods.sandbox(port, "--user-label=of=lab", "--user-annotation=note=two=three", net="default")
    manifest = json.loads(pods.ok("cat-manifest", uuid))
    assert (manifest["userLabels"], manifest["userAnnotations"]) == ({"of": "lab"}, {"note": "two=three"})
    (exposed,) = manifest["ports"]
    assert (exposed["name"], exposed["hostPort"], exposed["hostIP"]) == ("web", 9080, "127.0.0.1")
    pods.ok("fetch", pods.image)
    serves = "while true; do echo served | nc -l -p 8080; done"
    pods.ok("app", "add", uuid, pods.image, "--name=web", "--exec=/bin/sh", "--", "-c", serves)
    pods.ok("app", "start", uuid, "--app=web")
    eventually(lambda: answer(("127.0.0.1", 9080)) == b"served\n")
    done = pods.podctl("app", "sandbox", "--net=default", port)
    assert (done.status, "127.0.0.1:9080" in done.err) == (1, True), done.err
    pods.ok("stop", "--force", uuid)
    pods.wait(uuid)
    pods.ok("gc", "--grace-period=0s")
    assert answer(("127.0.0.1", 9080)) == b""


def answer(address: tuple[str, int]) -> bytes:
    """What a server says, b"" without one."""
    try:
        with socket.create_connection(address, 2) as connection:
            return connection.recv(100)
    except OSError:
        return b""


@pytest.mark.behaviour("A8", "D21")
@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--port=web:8080"], 254, "--port invalid format"),
        (["--port=web:icmp:80:0.0.0.0:80"], 254, 'invalid protocol "icmp"'),
        (["--port=web:tcp:80:any:80"], 254, 'could not parse IP "any"'),
        (["--port=web:tcp:80:0.0.0.0:65536"], 254, "65536 is not a port number"),
        (["--port=a:tcp:80:0.0.0.0:80", "--port=b:tcp:81:127.0.0.1:80"], 1, "already mapped to pod port a"),
        (
            ["--net=host", "--port=web:tcp:80:0.0.0.0:80"],
            254,
            "--port flag does not work with 'host' networking",
        ),
        (["--stage1-name=fly"], 1, "only the stage1 native changes the apps of a running pod"),
        (
            ["--stage1-name=fly", "--stage1-path=/x"],
            254,
            "flags --stage1-path and --stage1-name are mutually exclusive",
        ),
    ],
)
def test_a_sandbox_is_refused(pods: PodHost, flags: list[str], status: int, said: str) -> None:
    """As with rkt: what a flag refuses ends with the status of flags, other failures with that of these commands."""
    done = pods.podctl("app", "sandbox", *flags)
    assert (done.status, said in done.err) == (status, True), done.err
    assert not pods.uuids()


@pytest.mark.behaviour("A8", "D21")
def test_a_sandbox_has_the_stage1_that_rkt_named(pods: PodHost) -> None:
    uuid = pods.sandbox("--stage1-name=coreos.com/rkt/stage1-coreos:1.30.0")
    assert states(pods, uuid) == []
    pods.ok("stop", "--force", uuid)


@pytest.mark.behaviour("A8", "C1", "D25")
def test_an_app_is_added_started_stopped_and_removed(pods: PodHost, sandbox: str) -> None:
    manifest = json.loads(pods.ok("cat-manifest", sandbox))
    assert {"name": "coreos.com/rkt/stage1/mutable", "value": "true"} in manifest["annotations"]
    assert states(pods, sandbox) == []
    pods.ok("fetch", pods.image)
    assert pods.ok("app", "add", sandbox, pods.image, "--name=web", "--exec=/bin/sh", "--", "-c", WAITS) == ""
    assert states(pods, sandbox) == [["web", "created"]]
    assert pods.ok("app", "start", sandbox, "--app=web") == ""
    assert states(pods, sandbox) == [["web", "running"]]
    told = pods.ok("app", "status", sandbox, "--app=web").splitlines()
    assert told[:2] == ["name=web", "state=running"]
    assert json.loads(pods.ok("app", "status", sandbox, "--app=web", "--format=json"))["state"] == "running"
    assert pods.ok("enter", "--app=web", sandbox, "/bin/echo", "inside") == "inside"
    eventually(lambda: "ready" in pods.ok("logs", sandbox))
    assert pods.ok("app", "stop", sandbox, "--app=web") == ""
    assert states(pods, sandbox) == [["web", "exited"]]
    assert "exit_code=0" in pods.ok("app", "status", sandbox, "--app=web").splitlines()
    assert pods.ok("app", "start", sandbox, "--app=web") == ""
    assert pods.ok("app", "rm", sandbox, "--app=web") == ""
    assert states(pods, sandbox) == []
    left = [str(path) for path in pathlib.Path(pods.data, "pods", "run", sandbox).rglob("*web*")]
    assert left == []
    assert not [group for group in cgroups_of([sandbox]) if os.path.exists(f"{group}/web")]
    assert pods.state(sandbox) == "running"


@pytest.mark.behaviour("A8", "C17", "D12")
@pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])
def test_an_app_of_a_docker_image_is_added_like_any_and_stopped_in_the_time_of_its_pod(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    """Its working directory is made by the process that builds its root in the running pod."""
    uuid = pods.sandbox("--stop-timeout=1", *users)
    repository = [{"name": "appc.io/docker/repository", "value": "lab"}]
    ignores = "pwd; ls -ldn .; trap '' TERM; echo ready; while true; do sleep 0.1; done"
    app = {"exec": ["/bin/sh", "-c", ignores], "user": "7", "group": "8", "workingDirectory": "/srv/x"}
    image = str(write_image(tmp_path / "docker.aci", "example.com/docker", app, annotations=repository))
    pods.ok("fetch", "--insecure-options=image", image)
    pods.ok("app", "add", "--insecure-options=image", uuid, image, "--name=web")
    pods.ok("app", "start", uuid, "--app=web")
    eventually(lambda: "ready" in pods.ok("logs", uuid))
    where, shown, _ready = (line.removeprefix(": ") for line in logged(pods, uuid))
    assert (where, shown.split()[:4]) == ("/srv/x", ["drwxr-xr-x", "2", "0", "0"])
    before = time.monotonic()
    pods.ok("app", "stop", uuid, "--app=web")
    assert 0.9 < time.monotonic() - before < 8
    pods.ok("stop", "--force", uuid)


@pytest.mark.behaviour("A8", "A17")
def test_a_volume_comes_with_an_app(pods: PodHost, sandbox: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "given").write_text("from the host\n")
    pods.ok("fetch", pods.image)
    volume = f"--mnt-volume=name=data,kind=host,source={tmp_path},target=/mnt"
    script = f"cat /mnt/given; {WAITS}"
    pods.ok("app", "add", sandbox, pods.image, "--name=web", volume, "--exec=/bin/sh", "--", "-c", script)
    pods.ok("app", "start", sandbox, "--app=web")
    eventually(lambda: "from the host" in pods.ok("logs", sandbox))
    assert f"mounts={tmp_path}:/mnt:(read_only:false)" in pods.ok("app", "status", sandbox, "--app=web")


@pytest.mark.behaviour("A17")
def test_the_values_of_a_volume_of_an_app_are_decoded_and_come_once(
    pods: PodHost, sandbox: str, tmp_path: pathlib.Path
) -> None:
    pods.ok("fetch", pods.image)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "given").write_text("from the host\n")
    volume = f"--mnt-volume=name=data,kind=host,source={tmp_path}/a%20b,target=/x%2Cy%2B1"
    script = f"cat /x,y+1/given; {WAITS}"
    add = ("app", "add", sandbox, pods.image, "--name=web")
    pods.ok(*add, volume, "--exec=/bin/sh", "--", "-c", script)
    pods.ok("app", "start", sandbox, "--app=web")
    eventually(lambda: "from the host" in pods.ok("logs", sandbox))
    for wrong, said in (
        ("name=a,name=b,kind=empty,target=/x", "label name with multiple values"),
        ("name=a,kind=empty,target=/x,target=/y", "label target with multiple values"),
        ("name=a,kind=empty", "lacks a name or a target"),
        ("name=a,kind=host,source=/a%2Cb,target=/x", "has a comma in a value of the volume"),
        ("name=a,kind=empty,target=/x%zz", "invalid URL escape"),
    ):
        done = pods.podctl("app", "add", sandbox, pods.image, "--name=db", f"--mnt-volume={wrong}")
        assert (done.status, said in done.err) == (254, True), done.err


@pytest.mark.behaviour("A45", "A48")
def test_a_pod_without_apps_says_so(pods: PodHost, sandbox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKT_EXPERIMENT_ATTACH", "true")
    for words in (
        ("enter", sandbox, "true"),
        ("enter", "--app=web", sandbox, "true"),
        ("attach", sandbox),
        ("cp", f"{sandbox}:/etc/passwd", "/nowhere/x"),
    ):
        done = pods.podctl(*words)
        assert (done.status, "pod contains zero apps\n" in done.err) == (254, True), done.err
        assert "multiple" not in done.err


@pytest.mark.behaviour("A8", "C20")
def test_a_volume_of_the_pod_is_mounted_by_another_app(
    pods: PodHost, sandbox: str, tmp_path: pathlib.Path
) -> None:
    pods.ok("fetch", pods.image)
    (tmp_path / "given").write_text("from the host\n")
    volumes = (
        "--mnt-volume=name=shared,kind=empty,mode=0750,uid=100,target=/mine",
        f"--mnt-volume=name=host,kind=host,source={tmp_path},readOnly=true,target=/host",
    )
    writes = f"echo from web > /mine/file; {WAITS}"
    pods.ok("app", "add", sandbox, pods.image, "--name=web", *volumes, "--exec=/bin/sh", "--", "-c", writes)
    pods.ok("app", "start", sandbox, "--app=web")
    eventually(lambda: "ready" in pods.ok("logs", sandbox))
    mounts = ("--mount=volume=shared,target=/theirs", "--mount=volume=host,target=/from")
    reads = f"cat /theirs/file /from/given; touch /from/x || echo read-only; {WAITS}"
    pods.ok("app", "add", sandbox, pods.image, "--name=db", *mounts, "--exec=/bin/sh", "--", "-c", reads)
    pods.ok("app", "start", sandbox, "--app=db")
    eventually(lambda: "read-only" in pods.ok("logs", sandbox))
    assert {"from web", "from the host"} <= {line.rpartition(": ")[2] for line in logged(pods, sandbox)}
    # It stays as long as an app mounts it.
    pods.ok("app", "rm", sandbox, "--app=web")
    assert pods.ok("enter", "--app=db", sandbox, "/bin/cat", "/theirs/file") == "from web"
    pods.ok("app", "rm", sandbox, "--app=db")
    assert json.loads(pods.ok("cat-manifest", sandbox)).get("volumes") in (None, [])
    done = pods.podctl("app", "add", sandbox, pods.image, "--name=db", "--mount=volume=shared,target=/x")
    assert (done.status, 'volume "shared" not found' in done.err) == (254, True), done.err


def logged(pods: PodHost, uuid: str) -> list[str]:
    return [re.sub(r".* (stdout|stderr) ", ": ", line) for line in pods.ok("logs", uuid).splitlines()]


@pytest.mark.behaviour("A8")
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("app", "add"), 254, "must provide the pod UUID and an IMAGEID"),
        (("app", "add", "UUID", "IMAGE", "---", "IMAGE"), 254, "must give only one app"),
        (("app", "rm"), 1, "must provide the pod UUID"),
        (("app", "rm", "UUID"), 1, "must provide the app to remove"),
        (("app", "rm", "UUID", "--app=no"), 1, 'nonexistent app "no"'),
        (("app", "start", "UUID", "--app=no"), 1, 'nonexistent app "no"'),
        (("app", "stop", "UUID", "--app=no"), 1, 'nonexistent app "no"'),
        (("app", "status", "UUID", "--app=no"), 1, 'cannot find app "no" in the pod'),
        (("app", "start", "ffffffff", "--app=no"), 1, "problem retrieving pod"),
        (("app", "list"), 1, "takes one UUID, not 0"),
        (("app", "list", "UUID", "--app=no"), 254, "unknown flag"),
        (("app", "list", "ffffffff"), 1, "problem retrieving pod"),
        (("app", "status", "UUID"), 1, "app status takes --app=APP"),
        (("app", "status", "--app=no"), 1, "takes one UUID, not 0"),
        (("app", "status", "ffffffff", "--app=no"), 1, "problem retrieving pod"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_rkt(
    pods: PodHost, sandbox: str, words: tuple[str, ...], status: int, says: str
) -> None:
    named = {"UUID": sandbox, "IMAGE": pods.image}
    done = pods.podctl(*(named.get(word, word) for word in words))
    assert (done.status, says in done.err) == (status, True), done.err


@pytest.mark.behaviour("A8")
def test_a_pod_that_is_not_a_sandbox_keeps_its_apps(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    done = pods.podctl("app", "stop", uuid, "--app=busybox")
    assert (done.status, "immutable pod" in done.err) == (1, True), done.err
    assert states(pods, uuid) == [["busybox", "running"]]


@pytest.mark.behaviour("A8")
def test_an_app_that_does_not_come_up_fails_alone(pods: PodHost, sandbox: str) -> None:
    pods.ok("fetch", pods.image)
    pods.ok("app", "add", sandbox, pods.image, "--name=good", "--exec=/bin/sh", "--", "-c", WAITS)
    pods.ok("app", "start", sandbox, "--app=good")
    pods.ok("app", "add", sandbox, pods.image, "--name=bad", "--exec=/nowhere")
    done = pods.podctl("app", "start", sandbox, "--app=bad")
    assert (done.status, "/nowhere" in done.err) == (1, True), done.err
    assert dict(map(tuple, states(pods, sandbox)))["good"] == "running"
