# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods on real hosts: systemd is PID 1, the controller is at the other end of ssh, and the power goes off.

One story a test: the checks of a host depend on the steps before.
"""

from __future__ import annotations

import difflib
import json
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.playbooks.demo import build_aci
from ansible_collections.stagecraft.pods.tests.integration.hosts import Lab

HERE = pathlib.Path(__file__).parent
SITE = "../../../playbooks/site.yml"
LIMIT = 64 * 1024 * 1024
PAGE = "served by a pod"
SCRIPT = """\
echo a start >> /data/starts
echo served by a pod > /data/index.html
echo the pod says hello
exec httpd -f -p 80 -h /data
"""
IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/site",
    "app": {
        "exec": ["/bin/sh", "-c", SCRIPT],
        "user": "0",
        "group": "0",
        "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
        "mountPoints": [{"name": "data", "path": "/data"}],
    },
}
VARIABLES: dict[str, Any] = {
    "ansible_become": False,  # it is root who logs in, and the hosts have no sudo
    "pod_images": [{"name": "/root/site.aci", "insecure_options": ["image"]}],
    "pod_volumes": [{"name": "data", "mode": "0750"}],
    "pods": [
        {
            "name": "web",
            "apps": [{"image": "example.com/site", "name": "site", "memory": "64Mi", "cpu": "500m"}],
            "volumes": [{"name": "data", "volume": "data"}],
            "ports": [{"name": "http", "host_port": 8080}],
        }
    ],
}
# Tasks that have nothing to do with control groups and take a virtual machine a minute: installed packages, the search
# for a Python in every play.
SPARING: dict[str, Any] = {
    "ansible_python_interpreter": "/usr/bin/python3",
    "pod_host_manage_packages": False,
}
# The kernel's values and their files: the app's process knows its groups.
READ_LIMIT = """
main=$(systemctl show -P MainPID pod-web.service)
app=$(pgrep -P "$main" -x httpd)
group=$(sed -n 's/^[0-9]*:memory://p' "/proc/$app/cgroup")
if [ -n "$group" ]; then
    cat "/sys/fs/cgroup/memory$group/memory.limit_in_bytes"
else
    cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$app/cgroup")/memory.max"
fi
"""
# A node for the first disk of the host: names of disks differ.
MAKE_DISK = """
for disk in /sys/block/*; do
    if [ "$(cat "$disk/size")" != 0 ]; then mknod /root/disk b $(tr : ' ' < "$disk/dev"); cat "$disk/dev"; exit; fi
done
"""
# The limits of an app as it sees them itself: with v2 it has one directory, with v1 one a controller.
READ_LIMITS = """
cd /sys/fs/cgroup
if [ -e memory.max ]; then
    cat memory.max memory.swap.max memory.low cpuset.cpus io.max pids.max
else
    cat memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes pids/pids.max
fi
df -k /cache /dev/shm | awk 'NR > 1 {print $2}'
"""
MIB = 1 << 20


class Fleet:
    """Hosts that have an image, plays on them, and questions to one of them."""

    def __init__(self, lab: Lab, folder: pathlib.Path) -> None:
        self.lab = lab
        # One virtual machine: two would slow each other down.
        self.hosts = list(lab.hosts(2 if lab.kind == "light" else 1))
        self.host = self.hosts[0]
        aci = folder / "site.aci"
        build_aci.build(str(aci), "/bin/busybox", json.dumps(IMAGE))
        self.variables = folder / "vars.json"
        self.variables.write_text(json.dumps({**VARIABLES, **(SPARING if lab.kind == "vm" else {})}))
        for host in self.hosts:
            copy = ["scp", "-q", "-F", str(lab.config), str(aci), f"{host}:/root/site.aci"]
            subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)

    def play(self, playbook: str, *arguments: str) -> int:
        """Play on all hosts, successfully. Returns the number of changes."""
        file = str(HERE / playbook)
        done = self.lab.ansible_playbook(self.hosts, file, "-e", f"@{self.variables}", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        counts = re.findall(r"changed=(\d+)", done.stdout)
        assert len(counts) == len(self.hosts)
        return sum(map(int, counts))

    def nothing_to_do(self, playbook: str) -> None:
        """Play again; it changes nothing."""
        file = str(HERE / playbook)
        done = self.lab.ansible_playbook(self.hosts, file, "-e", f"@{self.variables}", "--diff", "-v")
        assert re.findall(r"changed=(\d+)", done.stdout) == ["0"] * len(self.hosts), done.stdout

    def ask(self, *command: str) -> str:
        """The output of a command on the first host."""
        done = self.lab.ssh(self.host, *command, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def snapshot(self) -> list[str]:
        """The state of the first host in which something could be left behind."""
        return self.ask("sh", "-c", (HERE / "snapshot.sh").read_text()).splitlines()

    def pid(self) -> str:
        return self.ask("systemctl", "show", "-P", "MainPID", "pod-web.service")

    def page(self) -> str:
        """The page, as another machine of the network sees it."""
        address = self.ask("hostname", "-I").split()[0]
        argv = self.lab.lab_command(sys.executable, "-c", FETCH, f"http://{address}:8080/")
        return subprocess.run(
            argv, env=self.lab.env, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()


FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"


@pytest.fixture
def fleet(lab: Lab, tmp_path: pathlib.Path) -> Fleet:
    return Fleet(lab, tmp_path)


@pytest.mark.timeout(600)
def test_a_pod_from_a_bare_host_over_a_reboot_and_back_to_a_bare_host(fleet: Fleet) -> None:
    bare = fleet.snapshot()
    if fleet.lab.kind == "light":  # a whole play, and a virtual machine is slow
        assert fleet.play(
            SITE,
            "--check",
            "-e",
            '{"pod_images": [], "pod_volumes": [], "pods": []}',
        )
        assert_same(bare, fleet.snapshot())

    assert fleet.play(SITE)
    pid = _runs_as_a_unit(fleet)
    _is_confined(fleet)
    assert fleet.page() == PAGE

    fleet.lab.hang_up(*fleet.hosts)
    assert fleet.pid() == pid
    fleet.nothing_to_do(SITE)
    assert fleet.pid() == pid

    fleet.lab.power_cycle(fleet.host)
    _comes_up_by_itself(fleet)
    if fleet.lab.kind == "light":
        fleet.nothing_to_do(SITE)

    assert fleet.play("away.yml")
    fleet.lab.hang_up(*fleet.hosts)
    assert_same(bare, fleet.snapshot())


def _runs_as_a_unit(fleet: Fleet) -> str:
    status = fleet.ask("systemctl", "status", "--no-pager", "pod-web.service")
    assert "active (running)" in status
    assert "enabled" in status
    pid = fleet.pid()
    pods = json.loads(fleet.ask("podctl", "list", "--format=json"))
    assert [pod["state"] for pod in pods] == ["running"]
    assert "the pod says hello" in fleet.ask("journalctl", "--no-pager", "-u", "pod-web.service")
    assert fleet.ask("systemctl", "is-active", "pods-gc.timer") == "active"
    return pid


def _is_confined(fleet: Fleet) -> None:
    assert int(fleet.ask("sh", "-c", READ_LIMIT)) == LIMIT
    greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]
    run = ["podctl", "run", "--net=none", "example.com/site", "--exec=/bin/busybox"]
    free = fleet.lab.ssh(fleet.host, *run, "--", *greedy, check=False)
    assert free.returncode == 0, free.stdout + free.stderr
    limited = fleet.lab.ssh(fleet.host, *run, "--memory=32M", "--", *greedy, check=False)
    assert limited.returncode == 9, limited.stdout + limited.stderr
    _has_its_limits(fleet)
    again = ("--restart=on-failure:2,backoff=10ms", "--memory=32M")
    saved = [*run[:2], "--uuid-file-save=/run/greedy", *run[2:]]
    limited = fleet.lab.ssh(fleet.host, *saved, *again, "--", *greedy, check=False)
    assert limited.returncode == 9, limited.stdout + limited.stderr
    # By the events of its group, which are other files on v2.
    ended = fleet.ask("podctl", "status", "--uuid-file=/run/greedy").splitlines()
    assert "last-exit-site=signal 9 (out of memory)" in ended, ended
    assert limited.stdout.count("it was ended by signal 9, and is started again") == 2, limited.stdout
    disk = ["mknod", "/disk", "b", "254", "0"]
    confined = fleet.lab.ssh(fleet.host, *run, "--", *disk, check=False)
    assert "mknod: /disk: Operation not permitted" in confined.stdout + confined.stderr


def _has_its_limits(fleet: Fleet) -> None:
    """An app reads in its own groups what was asked for: on v2 in keyed files as well."""
    device = fleet.ask("sh", "-c", MAKE_DISK)
    of_pod = ["--net=none", "--shm-size=3m", "--device-read-bps=/root/disk:1m"]
    of_app = ["--memory=64Mi", "--memory-swap=96Mi", "--memory-reservation=32Mi", "--cpuset-cpus=0"]
    of_app += ["--device-write-iops=/root/disk:7", "--tmpfs=/cache:size=1m", "--pids-limit=50"]
    run = ["podctl", "run", *of_pod, "example.com/site", "--exec=/bin/sh", *of_app]
    text = fleet.ask(*run, "--", "-c", READ_LIMITS)
    said = [line.split(": ", 1)[1].strip() for line in text.splitlines() if "site[" in line]
    if fleet.lab.kind == "light":
        assert said == [str(64 * MIB), str(32 * MIB), "50", "1024", "3072"]
    else:
        throttled = f"{device} rbps={MIB} wbps=max riops=max wiops=7"
        assert said == [str(64 * MIB), str(32 * MIB), str(32 * MIB), "0", throttled, "50", "1024", "3072"]
    fleet.ask("rm", "/root/disk")


def _comes_up_by_itself(fleet: Fleet) -> None:
    end = time.monotonic() + 60
    while fleet.lab.ssh(fleet.host, "systemctl", "is-active", "pod-web.service", check=False).returncode:
        assert time.monotonic() < end, fleet.ask("journalctl", "--no-pager", "-u", "pod-web.service")
        time.sleep(0.2)
    assert fleet.page() == PAGE
    starts = fleet.ask("cat", "/var/lib/pods/volumes/data/data/starts").splitlines()
    assert len(starts) == 2, "the volume has lost its content"
    assert "the pod says hello" in fleet.ask("journalctl", "--no-pager", "-b", "-u", "pod-web.service")


def assert_same(before: list[str], after: list[str]) -> None:
    """The host is as it was."""
    difference = list(difflib.unified_diff(before, after, "before", "after", lineterm="", n=0))
    assert difference == [], "\n".join(difference)
