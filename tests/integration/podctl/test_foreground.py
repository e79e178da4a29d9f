# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl run in the foreground of whatever runs it: shells, nohup, files with a PID, service managers, terminals."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.attachlab import screen, shown
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    SECONDS,
    PodHost,
    eventually,
    write_image,
)

__all__ = ["screen"]

STOPS = "trap 'echo stopped; exit 0' TERM; echo ready; while true; do sleep 0.1; done"
RUN = ("run", "--net=none")

Screen = Callable[..., "subprocess.Popen[bytes]"]


def running(pods: PodHost, script: str = STOPS, *flags: str) -> tuple[str, ...]:
    """The words that run a pod with a script."""
    return (PODCTL, *pods.where, *RUN, *flags, pods.image, "--exec=/bin/sh", "--", "-c", script)


def is_ready(pods: PodHost) -> bool:
    uuids = pods.uuids()
    return bool(uuids) and "ready" in pods.podctl("logs", uuids[0]).out


def ended_in_order(pods: PodHost) -> bool:
    (uuid,) = pods.uuids()
    status = pods.wait(uuid)
    return (status[0], status[-1]) == ("state=exited", "app-busybox=0") and "stopped" in pods.ok("logs", uuid)


def left_behind(pods: PodHost, script: str, words: tuple[str, ...]) -> int:
    """The PID of a podctl that a shell leaves behind when it ends. script: what the shell does with its arguments."""
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words],
        cwd=pods.base,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0
    eventually(lambda: is_ready(pods))
    return int((pods.base / "pid").read_text())


@pytest.mark.behaviour("D11")
@pytest.mark.parametrize(
    "script",
    ['"$@" & echo $! > pid', 'nohup "$@" & echo $! > pid', 'setsid "$@" & echo $! > pid'],
    ids=["background", "nohup", "setsid"],
)
def test_a_pod_outlives_the_shell_that_has_begun_it(pods: PodHost, script: str) -> None:
    """As a service with a file of its PID."""
    pid = left_behind(pods, script, running(pods))
    (uuid,) = pods.uuids()
    assert pods.state(uuid) == "running"
    os.kill(pid, signal.SIGTERM)
    assert ended_in_order(pods)
    eventually(lambda: not pathlib.Path(f"/proc/{pid}/exe").exists())


@pytest.mark.behaviour("D11")
def test_what_the_caller_has_ignored_stays_ignored(pods: PodHost) -> None:
    pid = left_behind(pods, 'nohup "$@" & echo $! > pid', running(pods))
    (uuid,) = pods.uuids()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        os.kill(pid, number)
    assert pods.ok("enter", uuid, "/bin/echo", "on") == "on"
    assert pods.state(uuid) == "running"
    os.kill(pid, signal.SIGTERM)
    assert ended_in_order(pods)


@pytest.mark.behaviour("D11")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_a_program_is_an_orderly_stop(pods: PodHost, number: signal.Signals) -> None:
    process = pods.background(*running(pods)[1 + len(pods.where) :])
    assert process.stdout is not None and "ready" in process.stdout.readline()
    process.send_signal(number)
    assert process.wait(SECONDS) == 0
    assert ended_in_order(pods)


@pytest.mark.behaviour("A28", "D11")
def test_an_app_that_is_stopped_counts_as_zero_whatever_it_says(pods: PodHost) -> None:
    process = pods.background(*running(pods, STOPS.replace("exit 0", "exit 9"))[1 + len(pods.where) :])
    assert process.stdout is not None and "ready" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert ended_in_order(pods)


@pytest.mark.behaviour("A28")
def test_the_status_of_three_apps_is_that_of_the_first_that_fails(pods: PodHost) -> None:
    """The example of rkt's tests: 0, 5 and a later 6."""
    wait = "while ! test -e /shared/go; do sleep 0.05; done"
    apps: list[str] = []
    for name, script in (
        ("first", "exit 0"),
        ("second", "sleep 0.2; exit 5"),
        ("third", f"trap 'exit 6' TERM; {wait}"),
    ):
        apps += [pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", script, "---"]
    assert pods.podctl("run", "--net=none", *apps).status == 5
    codes = [line for line in pods.wait(pods.uuids()[0]) if line.startswith("app-")]
    assert codes == ["app-first=0", "app-second=5", "app-third=0"]


@pytest.mark.behaviour("A30")
def test_a_pod_that_is_killed_takes_podctl_along_by_a_signal(pods: PodHost) -> None:
    process = pods.background(*running(pods)[1 + len(pods.where) :])
    assert process.stdout is not None and "ready" in process.stdout.readline()
    pods.ok("stop", "--force", pods.uuids()[0])
    assert process.wait(SECONDS) == -signal.SIGKILL


@pytest.fixture
def listening(tmp_path: pathlib.Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(SECONDS)
    yield manager
    manager.close()


@pytest.mark.behaviour("C11")
def test_a_service_manager_hears_that_the_apps_are_ready(
    pods: PodHost, tmp_path: pathlib.Path, listening: socket.socket
) -> None:
    env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    done = pods.podctl(*running(pods, "test -z $NOTIFY_SOCKET && echo none")[1 + len(pods.where) :], env=env)
    assert (done.status, done.texts, listening.recv(100)) == (0, ["none"], b"READY=1")
    listening.settimeout(0.1)
    done = pods.podctl("run", "--net=none", pods.image, "--exec=/bin/nosuch", env=env)
    assert done.status == 203
    with pytest.raises(TimeoutError):
        listening.recv(100)


@pytest.fixture
def on_screen(pods: PodHost, screen: tuple[int, int]) -> Iterator[Screen]:
    """Starts podctl as the leader of a session with the screen as its terminal."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(script: str, *flags: str) -> subprocess.Popen[bytes]:
        words = running(pods, script, "--interactive", *flags)
        take = ["/bin/sh", "-c", 'exec setsid -c -w "$@"', "sh", *words]
        begun.append(subprocess.Popen(take, stdin=screen[1], stdout=screen[1], stderr=screen[1]))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


def podctl_of(process: subprocess.Popen[bytes]) -> int:
    """The PID of podctl, which setsid has forked or become."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)):
        if os.getsid(pid) == pid:
            return pid
    raise AssertionError("no leader of a session")


def is_cooked(slave: int) -> bool:
    return bool(termios.tcgetattr(slave)[3] & termios.ICANON)


SIZES = "trap 'stty size' WINCH; stty size; test -t 0 && test -t 1 && test -t 2 && echo terminal; "


@pytest.mark.behaviour("C19")
@pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])
def test_an_app_has_the_size_of_the_terminal_from_the_start_and_its_changes(
    on_screen: Screen, screen: tuple[int, int], users: tuple[str, ...]
) -> None:
    master, slave = screen
    before = termios.tcgetattr(slave)
    process = on_screen(SIZES + 'while true; do read -r line && echo "<$line>" && exit 0; done', *users)
    shown(master, b"31 97\r\nterminal")
    assert not is_cooked(slave)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
    shown(master, b"50 132")
    os.write(master, b"hello\r")
    shown(master, b"<hello>")
    assert process.wait(SECONDS) == 0
    assert termios.tcgetattr(slave) == before


@pytest.mark.behaviour("A28", "C19")
@pytest.mark.parametrize(
    ("end", "status"), [("exit 3", 3), ("kill -9 $$", 9), ("kill -SEGV $$", 11), ("exec /bin/nosuch", 127)]
)
def test_the_terminal_is_as_before_however_the_app_ends(
    pods: PodHost, on_screen: Screen, screen: tuple[int, int], end: str, status: int
) -> None:
    master, slave = screen
    before = termios.tcgetattr(slave)
    process = on_screen(f"echo ready; read -r line; {end}")
    shown(master, b"ready")
    os.write(master, b"\r")
    assert process.wait(SECONDS) == status
    assert termios.tcgetattr(slave) == before
    assert pods.wait(pods.uuids()[0])[-1] == f"app-busybox={status}"


@pytest.mark.behaviour("C19", "D11")
def test_the_keys_of_a_terminal_reach_the_app_and_not_podctl(
    pods: PodHost, on_screen: Screen, screen: tuple[int, int]
) -> None:
    master, _slave = screen
    process = on_screen(
        "trap 'echo interrupted' INT; echo ready; read -r line; read -r line; echo on; exit 4"
    )
    shown(master, b"ready")
    os.write(master, b"\x03")
    shown(master, b"interrupted")
    os.write(master, b"\r\r")
    assert process.wait(SECONDS) == 4


@pytest.mark.behaviour("C19", "D11")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_podctl_on_a_terminal_stops_the_pod_and_restores_it(
    pods: PodHost, on_screen: Screen, screen: tuple[int, int], number: signal.Signals
) -> None:
    master, slave = screen
    before = termios.tcgetattr(slave)
    process = on_screen(STOPS)
    shown(master, b"ready")
    os.kill(podctl_of(process), number)
    shown(master, b"stopped")
    assert process.wait(SECONDS) == 0
    assert termios.tcgetattr(slave) == before
    assert pods.state(pods.uuids()[0]) == "exited"


@pytest.mark.behaviour("C19", "D11")
def test_a_terminal_that_hangs_up_stops_the_pod(pods: PodHost, screen: tuple[int, int]) -> None:
    master, slave = os.openpty()
    words = running(pods, STOPS.replace("echo stopped; ", ""), "--interactive")
    errors = pods.base / "errors"
    with errors.open("w") as file:
        take = ["setsid", "-c", *words]
        process = subprocess.Popen(take, stdin=slave, stdout=slave, stderr=file)
    os.close(slave)
    shown(master, b"ready")
    os.close(master)
    assert process.wait(SECONDS) == 0, errors.read_text()
    assert pods.wait(pods.uuids()[0])[-1] == "app-busybox=0"
    assert [line for line in errors.read_text().splitlines() if line != "Terminated"] == [
        "networking: networking namespace with loopback only"
    ]


@pytest.mark.behaviour("C19", "C11")
@pytest.mark.parametrize("by", ["the image", "a flag"])
def test_an_app_that_says_when_it_is_ready_is_waited_for(
    pods: PodHost, tmp_path: pathlib.Path, listening: socket.socket, by: str
) -> None:
    """The app says READY=1 to its own socket, by the interpreter of the host; then podctl says so to its manager."""
    of_image = "true" if by == "the image" else "false"
    asked = () if by == "the image" else ("--sdnotify",)
    annotation = {"name": "appc.io/executor/supports-systemd-notify", "value": of_image}
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
    image = write_image(tmp_path / "notify.aci", "example.com/notify", app, annotations=[annotation])
    tell = (
        "import os, socket; "
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])"
    )
    libraries = {"usr": ("/usr", "/usr"), "lib": ("/usr/lib", "/lib"), "lib64": ("/usr/lib64", "/lib64")}
    flags = [
        f"--volume={name},kind=host,source={source},readOnly=true"
        for name, (source, _target) in libraries.items()
    ]
    mounts = [f"--mount=volume={name},target={target}" for name, (_source, target) in libraries.items()]
    script = f'while ! test -e /tmp/go; do sleep 0.05; done; /usr/bin/python3 -c "{tell}"; sleep 100'
    process = subprocess.Popen(
        [
            PODCTL,
            *pods.where,
            *RUN,
            *flags,
            *mounts,
            str(image),
            *asked,
            "--exec=/bin/sh",
            "--",
            "-c",
            script,
        ],
        env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: any("running" in line for line in pods.lines()))
    (uuid,) = pods.uuids()
    done = pods.podctl("status", "--wait-ready=500ms", uuid)
    assert (done.status, "error waiting for pod" in done.err) == (254, True), done.err
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(100)
    pods.ok("enter", uuid, "/bin/touch", "/tmp/go")
    pods.ok("status", "--wait-ready=30s", uuid)
    listening.settimeout(SECONDS)
    assert listening.recv(100) == b"READY=1"
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
