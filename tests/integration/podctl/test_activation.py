# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Sockets that a service manager passes to podctl, for apps with socket-activated ports. Source: behaviours C55."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    Done,
    PodHost,
    called,
    write_image,
)

TELLS = (
    'echo "$LISTEN_FDS $LISTEN_FDNAMES $(test "$LISTEN_PID" = $$ && echo me)"; '
    "ls -l /proc/self/fd 2>&- | grep -c socket:; true"
)


def image_with(path: pathlib.Path, name: str, *ports: int) -> str:
    declared = [
        {"name": f"p{port}", "protocol": "tcp", "port": port, "socketActivated": True} for port in ports
    ]
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0", "ports": declared}
    return str(write_image(path / f"{name}.aci", f"example.com/{name}", app))


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    sockets = [socket.socket(), socket.socket()]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
        each.listen()
    yield sockets
    for each in sockets:
        each.close()


def activated(pods: PodHost, sockets: list[socket.socket], *words: str, pid: str = "$$") -> Done:
    """Call podctl as systemd does: with sockets from 3 on."""
    fds = [each.fileno() for each in sockets]
    moves = " ".join(f"{3 + number}<&{fd}" for number, fd in enumerate(fds))
    names = ":".join(f"name{number}" for number in range(len(fds)))
    script = f'export LISTEN_FDS={len(fds)} LISTEN_PID={pid} LISTEN_FDNAMES={names}; exec "$@" {moves}'
    return called(["bash", "-c", script, "bash", PODCTL, *pods.where, *words], pass_fds=fds)


@pytest.mark.behaviour("C55", "B54")
@pytest.mark.parametrize("flags", [(), ("--private-users",)], ids=["host-users", "own-users"])
def test_the_app_with_the_port_gets_the_sockets(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket], flags: tuple[str, ...]
) -> None:
    image = image_with(tmp_path, "web", 80)
    run = ("run", "--net=none", *flags, image, "--exec=/bin/sh", "--", "-c", TELLS)
    done = activated(pods, listening, *run)
    assert (done.status, done.texts) == (0, ["2 name0:name1 me", "2"]), done.err


@pytest.mark.behaviour("C55")
def test_no_other_app_has_the_socket(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket]
) -> None:
    image = image_with(tmp_path, "web", 80)
    words = (
        *("run", "--net=none", image, "--exec=/bin/sh", "--", "-c", TELLS),
        *("---", pods.image, "--exec=/bin/sh", "--", "-c", f"echo other; {TELLS}"),
    )
    done = activated(pods, listening[:1], *words)
    assert done.status == 0, done.err
    by_app = {app: [text for name, text in done.said if name == app] for app in ("web", "busybox")}
    assert by_app["web"] == ["1 name0 me", "1"]
    assert by_app["busybox"][0] == "other"
    assert by_app["busybox"][2] == "0"


@pytest.mark.behaviour("C55")
def test_several_apps_get_theirs_by_the_port(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket]
) -> None:
    ports = [each.getsockname()[1] for each in listening]
    images = [image_with(tmp_path, name, port) for name, port in zip(("one", "two"), ports)]
    apps = [(image, "--exec=/bin/sh", "--", "-c", TELLS) for image in images]
    done = activated(pods, listening, "run", "--net=none", *apps[0], "---", *apps[1])
    assert done.status == 0, done.err
    assert [text for app, text in done.said if app == "one"] == ["1 name0 me", "1"]
    assert [text for app, text in done.said if app == "two"] == ["1 name1 me", "1"]
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    done = activated(pods, [other], "run", "--net=none", *apps[0], "---", *apps[1])
    other.close()
    assert (done.status, "is that of no app" in done.err) == (254, True)


@pytest.mark.behaviour("C55")
def test_sockets_for_nothing_are_told_and_those_of_others_left_alone(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket]
) -> None:
    tell = ("--exec=/bin/sh", "--", "-c", TELLS)
    done = activated(pods, listening, "run", "--net=none", pods.image, *tell)
    assert (done.status, done.texts[-1]) == (0, "0")
    assert "2 sockets are passed in vain" in done.err
    done = activated(pods, listening, "run", "--net=none", image_with(tmp_path, "web", 80), *tell, pid="1")
    assert (done.status, done.texts[-1], "in vain" in done.err) == (0, "0", False)


@pytest.mark.behaviour("C55")
def test_an_app_that_is_started_again_has_its_sockets_again(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket]
) -> None:
    image = image_with(tmp_path, "web", 80)
    script = f"{TELLS}; test -e /once && exit 0; touch /once; exit 1"
    flags = ("--restart=on-failure:2,backoff=10ms", "--exec=/bin/sh", "--", "-c", script)
    done = activated(pods, listening[:1], "run", "--net=none", image, *flags)
    assert [text for text in done.texts if text[:1].isdigit()] == ["1 name0 me", "1"] * 2, done.err


@pytest.mark.behaviour("C55")
def test_what_is_not_a_socket_is_refused(pods: PodHost, tmp_path: pathlib.Path) -> None:
    with (tmp_path / "file").open("w") as file:
        done = activated(pods, [file], "run", "--net=none", image_with(tmp_path, "web", 80))  # type: ignore[list-item]
    assert (done.status, "is not a socket" in done.err) == (254, True)


@pytest.mark.behaviour("C55", "E24")
def test_the_port_of_the_host_is_that_of_the_socket_and_never_forwarded(
    pods: PodHost, tmp_path: pathlib.Path, listening: list[socket.socket]
) -> None:
    ports = [each.getsockname()[1] for each in listening]
    images = [image_with(tmp_path, name, number) for name, number in (("one", 80), ("two", 81))]
    apps = [(image, "--exec=/bin/sh", "--", "-c", TELLS) for image in images]
    mapped = [f"--port=p{number}:{port}" for number, port in zip((81, 80), ports)]
    done = activated(pods, listening, "run", "--net=default", *mapped, *apps[0], "---", *apps[1])
    assert (done.status, done.err) == (0, ""), done.err
    assert [text for app, text in done.said if app == "one"] == ["1 name1 me", "1"]
    assert [text for app, text in done.said if app == "two"] == ["1 name0 me", "1"]
    done = pods.podctl("run", "--net=default", mapped[0], *apps[1])
    assert (done.status, done.texts[-1]) == (0, "0")
    assert f'port "p81" is socket-activated: port {ports[0]} of the host is not forwarded' in done.err
