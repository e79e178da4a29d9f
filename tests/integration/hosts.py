# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Real systemd hosts for a test session: light ones, or virtual machines with `--hosts vm`.

    def test_x(lab: Lab) -> None:
        web, db = lab.hosts(2)
        lab.ssh(web, "systemctl", "is-system-running")
        lab.ansible_playbook([web, db], "playbooks/site.yml")

Hosts are booted when a test first asks for them and stay for the session; the next test that asks for two gets the
same two, as it finds them. All of them are gone at the end of the session.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# The root file system is the same for every session, and costs 25 seconds.
ROOTFS = CHECKOUT / ".cache" / "testhosts" / "rootfs"
PROGRAMS = {"light": "testhost.py", "vm": "testhost_vm.py"}


class Lab:
    """Some hosts, and the ways into them."""

    def __init__(self, state: pathlib.Path, kind: str) -> None:
        self.state, self.kind, self.names = state, kind, []
        self.config = state / "ssh.conf"
        self.sharing = f"-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={state}/%C"
        self.env = {**os.environ, "TESTHOST_DIR": str(state), "TESTHOST_ROOTFS": str(ROOTFS)}

    def program(self, *words: str, kind: str = "") -> subprocess.CompletedProcess[str]:
        """Run testhost.py, or testhost_vm.py, on this lab."""
        file = CHECKOUT / "tests" / "hosts" / PROGRAMS[kind or self.kind]
        argv = [sys.executable, "-B", str(file), *words]
        return subprocess.run(argv, env=self.env, check=True, text=True, stdout=subprocess.PIPE, timeout=300)

    def hosts(self, count: int) -> tuple[str, ...]:
        """The names of that many running hosts."""
        wanted = tuple(f"{self.kind}{number}" for number in range(1, count + 1))
        if not set(wanted) <= set(self.names):
            self.program("start", *wanted)
            self.names = sorted({*self.names, *wanted})
            self.config.write_text(self.program("ssh-config").stdout)
        return wanted

    def ssh(
        self, host: str, *command: str, check: bool = True, input: str = "", shared: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a host as root. input: its stdin. shared: over the persistent connection of Ansible."""
        options = shlex.split(self.sharing) if shared else []
        argv = ["ssh", "-F", str(self.config), *options, host, shlex.join(command)]
        return subprocess.run(argv, check=check, text=True, capture_output=True, input=input, timeout=280)

    def hang_up(self, *hosts: str) -> None:
        """Close the persistent connections."""
        for host in hosts:
            argv = ["ssh", "-F", str(self.config), *shlex.split(self.sharing), "-O", "exit", host]
            subprocess.run(argv, check=False, capture_output=True)

    def power_cycle(self, host: str) -> None:
        """Power a host off and on again; its disk stays."""
        self.hang_up(host)
        self.program("stop", host)
        self.program("start", host)

    def lab_command(self, *command: str) -> list[str]:
        """The command line that runs a program of this machine where hosts can reach it, at 10.88.0.1."""
        file = CHECKOUT / "tests" / "hosts" / PROGRAMS["light"]
        return [sys.executable, "-B", str(file), "lab", "--", *command]

    def ansible_env(self) -> dict[str, str]:
        """The environment in which Ansible reaches the hosts, with the collection of the checkout."""
        return {
            **self.env,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".cache" / "collections"),
            "ANSIBLE_HOME": str(CHECKOUT / ".cache" / "ansible"),
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {self.config} {self.sharing}",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }

    def ansible_playbook(
        self, hosts: list[str], playbook: str, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """Play a playbook of the checkout on hosts, over ssh."""
        program = pathlib.Path(sys.executable).with_name("ansible-playbook")
        argv = [str(program), "-i", ",".join(hosts) + ",", playbook, *arguments]
        return subprocess.run(
            argv,
            cwd=CHECKOUT,
            env=self.ansible_env(),
            check=False,
            text=True,
            capture_output=True,
            timeout=280,
        )

    def destroy(self) -> None:
        """Remove every host and the network; virtual machines first, since they would outlive the lab."""
        if self.kind == "vm":
            self.program("destroy")
        self.program("destroy", kind="light")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab without hosts yet."""
    # not pytest's own folder for the session: ssh's control sockets need a short path
    with tempfile.TemporaryDirectory(prefix="lab-") as state:
        made = Lab(pathlib.Path(state), request.config.getoption("--hosts"))
        try:
            yield made
        finally:
            made.destroy()
