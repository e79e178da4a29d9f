# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What users of docker know of their images: Entrypoint and Cmd, and a working directory that is not there."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import APPLETS, BUSYBOX
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

FILES = layer(
    ("bin", None),
    ("etc", None),
    ("bin/busybox", pathlib.Path(BUSYBOX).read_bytes()),
    *((f"bin/{applet}", "busybox") for applet in APPLETS.split()),
    ("etc/plain", b"a file\n"),
)
PRINTS = 'echo "$@"; pwd; trap "exit 0" TERM; while true; do sleep 0.1; done'


def image_of(tmp_path: pathlib.Path, name: str = "image", **config: object) -> str:
    """A docker image in an OCI layout."""
    layout = Layout(tmp_path / name)
    layout.write_index(layout.image(FILES, **config))
    return f"oci:{layout.path}:it"


def run(host: Host, image: str, *, check: bool = False, **app: object) -> dict[str, Any]:
    given = {"image": image, "name": "app", **app}
    return host.task(
        "pod_run",
        check=check,
        name="web",
        apps=[given],
        networks=["none"],
        update={"min_uptime": 0},
        insecure_options=["image"],
    )


def said(host: Host, pod: dict[str, Any], lines: int) -> list[str]:
    """The first lines of the app."""
    log = pathlib.Path(host.machine.data, "pods", "run", pod["uuid"], "logs", "app.log")
    for _try in range(200):
        found = log.read_text().splitlines() if log.exists() else []
        if len(found) >= lines:
            break
        host.machine.run("sleep", "0.05")
    return found[:lines]


@pytest.mark.behaviour("B41", "B44")
def test_a_command_replaces_the_cmd_and_keeps_the_entrypoint(host: Host, tmp_path: pathlib.Path) -> None:
    image = image_of(tmp_path, Entrypoint=["/bin/sh", "-c", PRINTS, "x"], Cmd=["of", "the image"])
    first = run(host, image)["pod"]
    assert [line.rpartition(" ")[2] for line in said(host, first, 1)] == ["image"]
    foretold, done = run(host, image, check=True, command=["mine"]), run(host, image, command=["mine"])
    for result in (foretold, done):
        (change,) = result["changes"]
        assert (change["path"], change["impact"], change["reason"]) == (
            "apps[0].command",
            "recreate",
            "playbook",
        )
    assert [line.rpartition(" ")[2] for line in said(host, done["pod"], 1)] == ["mine"]
    assert run(host, image, command=["mine"])["changed"] is False
    assert run(host, image)["changed"] is True  # back to the Cmd
    (change,) = run(host, image, args=["more"])["changes"]
    assert change["path"] == "apps[0].args"


@pytest.mark.behaviour("B44")
def test_an_image_without_an_entrypoint_runs_the_command_alone(host: Host, tmp_path: pathlib.Path) -> None:
    image = image_of(tmp_path, Cmd=["/bin/false"])
    done = run(host, image, command=["/bin/sh", "-c", PRINTS, "x", "alone"])
    assert [line.rpartition(" ")[2] for line in said(host, done["pod"], 1)] == ["alone"]
    aci = run(host, host.image, command=["/bin/sh", "-c", PRINTS, "x", "also"])
    assert [line.rpartition(" ")[2] for line in said(host, aci["pod"], 1)] == ["also"]


@pytest.mark.parametrize("other", [{"exec": "/bin/sh"}, {"args": ["x"]}], ids=["exec", "args"])
def test_a_command_stands_alone(host: Host, other: dict[str, object]) -> None:
    refused = run(host, host.image, check=True, command=["/bin/true"], **other)
    assert (refused["error"], refused["facts"]["where"]) == ("invalid-spec", "apps[0].command")
    assert f"command does not go with {next(iter(other))}" in refused["msg"]
    assert "keeps its Entrypoint" in refused["hint"]


@pytest.mark.behaviour("C17")
@pytest.mark.parametrize("private_users", [False, True], ids=["host", "private users"])
def test_a_missing_working_directory_of_a_docker_image_is_made(
    host: Host, tmp_path: pathlib.Path, private_users: bool
) -> None:
    script = "ls -ldn /srv /srv/deep .; pwd; trap 'exit 0' TERM; while true; do sleep 0.1; done"
    image = image_of(tmp_path, Cmd=["/bin/sh", "-c", script], WorkingDir="/srv/deep", User="7:8")
    for more in ({}, {"readonly_rootfs": True}):
        app = {"image": image, "name": "app", **more}
        wanted = {"name": "web", "apps": [app], "private_users": private_users, "networks": ["none"]}
        wanted.update({"update": {"min_uptime": 0}, "insecure_options": ["image"]})
        assert not host.task("pod_run", check=True, **wanted).get("failed")
        done = host.task("pod_run", **wanted)
        assert not done.get("failed"), done
        found = [line.split() for line in said(host, done["pod"], 4)]
        assert [words[-1] for words in found] == [".", "/srv", "/srv/deep", "/srv/deep"], found
        assert all({"drwxr-xr-x", "0"} <= {*words} and "7" not in words for words in found[:3]), found


@pytest.mark.behaviour("C17")
def test_what_is_no_place_for_a_working_directory_is_said(host: Host, tmp_path: pathlib.Path) -> None:
    image = image_of(tmp_path, Cmd=["/bin/sh", "-c", PRINTS])
    old = run(host, image)["pod"]
    blocked = run(host, image, working_dir="/etc/plain/x")
    assert (blocked["error"], blocked["facts"]["where"]) == ("invalid-spec", "apps[0].working_dir")
    assert run(host, image, check=True, working_dir="/etc/plain/x")["msg"] == blocked["msg"]
    source = tmp_path / "volume"
    source.mkdir()
    mounts = [f"{source}:/data:ro"]
    refused = run(host, image, working_dir="/data/new", mounts=mounts)
    assert 'cannot make the working directory "/data/new": Read-only file system' in refused["msg"], refused
    assert (refused["error"], refused["facts"]["where"]) == ("invalid-spec", "apps[0].working_dir")
    assert run(host, image)["pod"]["pid"] == old["pid"]
    done = run(host, image, working_dir="/data/new", mounts=[f"{source}:/data"])
    assert not done.get("failed"), done
    made = (source / "new").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (0, 0, 0o755)
