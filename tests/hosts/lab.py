# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The common parts of light hosts and virtual machines: their state, their network, their processes, ssh into them.

STATE is $TESTHOST_DIR or ${TMPDIR:-/tmp}/testhosts; $TESTHOST_ROOTFS is a root file system built elsewhere.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

T = TypeVar("T")

HERE = pathlib.Path(__file__).resolve().parent
STATE = os.path.realpath(
    os.environ.get("TESTHOST_DIR") or os.path.join(os.environ.get("TMPDIR", "/tmp"), "testhosts")
)
ROOTFS = os.path.realpath(os.environ.get("TESTHOST_ROOTFS") or STATE + "/rootfs")
KEY = STATE + "/key"
SUBNET = "10.88.0"
GATEWAY = SUBNET + ".1"  # this machine, as hosts see it; they call it "lab"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWPID, CLONE_NEWNET, PR_SET_PDEATHSIG = 0x20000000, 0x40000000, 1
PRIVATELY = ("unshare", "--mount", "--propagation", "private")

# A bridge takes its address from its ports, and neighbours lose it with them: so it has a fixed one.
LAB = f"""
ip link set lo up
ip link add br0 address 02:00:00:00:00:01 type bridge
ip addr add {GATEWAY}/24 dev br0
ip link set br0 up
echo $$ > "$TESTHOST_DIR/lab.pid"
exec sleep infinity
"""

_libc = ctypes.CDLL(None, use_errno=True)


def fail(message: str) -> NoReturn:
    """Exit with an error."""
    sys.exit("testhost: " + message)


def call(name: str, *args: int) -> None:
    """Call a function of libc that returns -1 and sets errno when it fails."""
    if getattr(_libc, name)(*args) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def get(path: str) -> str:
    """The text of a file."""
    return pathlib.Path(path).read_text()


def put(path: str, text: str) -> None:
    """Write a file, and the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pathlib.Path(path).write_text(text)


def wait_for(what: Callable[[], T], seconds: float, complaint: str) -> T:
    """Repeat a call until it is true; exit with the error if that takes too long."""
    end = time.monotonic() + seconds
    while not (got := what()):
        if time.monotonic() > end:
            fail(complaint)
        time.sleep(0.02)
    return got


# --- Processes that outlive a command: each holds a lock on a file with its pid.


def program(file: str, *arguments: str) -> list[str]:
    """The command line of one of the programs here."""
    return [sys.executable, "-B", "-E", "-s", "-S", os.path.abspath(file), *arguments]


def daemon(path: str, *argv: str) -> None:
    """Start argv; it writes its pid to PATH.pid and holds a lock on that file as long as it lives."""
    with open(path + ".pid", "w"), open(path + ".log", "a") as log:
        subprocess.Popen(
            ["flock", "--nonblock", "--no-fork", path + ".pid", *argv],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "TESTHOST_DIR": STATE, "TESTHOST_ROOTFS": ROOTFS},
        )


def holder(path: str) -> int | None:
    """The pid of that process, 0 while it starts, None without a lock: then the file means nothing."""
    try:
        with open(path + ".pid") as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(get(path + ".pid") or 0)
    return None


# --- The network of the lab: a network namespace with a bridge, held by a process that sleeps.


def lab() -> int:
    """The pid of the process that holds the lab's network; starts it if necessary."""
    if not holder(STATE + "/lab"):
        daemon(STATE + "/lab", "unshare", "--net", "sh", "-euc", LAB)
    return wait_for(lambda: holder(STATE + "/lab") or 0, 10, f"no lab network, see {STATE}/lab.log")


def enter_network() -> None:
    """Move this process into the lab's network."""
    call("setns", os.open(f"/proc/{lab()}/ns/net", os.O_RDONLY), CLONE_NEWNET)


def end_lab() -> None:
    """Remove the network, with all links that are still attached."""
    if pid := holder(STATE + "/lab"):
        os.kill(pid, signal.SIGKILL)


# --- Hosts of either kind, and ssh into them.


class Kind:
    """One kind of hosts: a folder of STATE with a folder for each of them, with its description."""

    def __init__(self, folder: str) -> None:
        self.folder = f"{STATE}/{folder}"

    def home(self, name: str, file: str = "") -> str:
        """A host's folder, or a file in it."""
        return f"{self.folder}/{name}/{file}"

    def known(self) -> dict[str, dict[str, str]]:
        """Every host and its description."""
        if not os.path.isdir(self.folder):
            return {}
        names = sorted(name for name in os.listdir(self.folder) if os.path.exists(self.home(name, "host")))
        return {name: json.loads(get(self.home(name, "host"))) for name in names}

    def describe(self, name: str, host: dict[str, str]) -> None:
        """Write the description of a host."""
        put(self.home(name, "host"), json.dumps(host))

    def ssh_config(self) -> str:
        """The configuration for `ssh -F FILE` to reach each of them."""
        put(STATE + "/known_hosts", "testhost " + get(ROOTFS + "/etc/ssh/ssh_host_ed25519_key.pub"))
        connect = " ".join(program(str(HERE / "testhost.py"), "connect"))
        return "".join(
            f"Host {name}\n  User root\n  IdentityFile {KEY}\n  IdentitiesOnly yes\n  HostKeyAlias testhost\n"
            f"  UserKnownHostsFile {STATE}/known_hosts\n  ProxyUseFdpass yes\n"
            f"  ProxyCommand env TESTHOST_DIR={STATE} {connect} {host['IP']}\n"
            for name, host in self.known().items()
        )


def make_key() -> None:
    """The key that every host accepts."""
    if not os.path.exists(KEY):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY], check=True)


def connect(address: str) -> None:
    """For ssh: pass it a socket that is connected to the host from inside the lab's network."""
    enter_network()
    peer = socket.create_connection((address, 22), 10)
    peer.setblocking(True)
    socket.send_fds(socket.socket(fileno=1), [b"x"], [peer.fileno()])
