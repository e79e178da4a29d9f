# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The tests of stage1 and of networks that a kernel decides, on a virtual machine: older, with cgroup v2 alone."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sysconfig
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.hosts import CHECKOUT, Lab
from ansible_collections.stagecraft.pods.tests.integration.net.test_same import CNI

# What pytest needs of the environment, which the machine does not have.
PACKAGES = (
    "pytest",
    "_pytest",
    "pluggy",
    "iniconfig",
    "packaging",
    "pygments",
    "py.py",
    "pyseccomp*",
    "pytest_timeout.py",
    "pytest_timeout-*",
)
THERE = "/var/tmp/checkout"
# The tests of networks that have something to prove there.
NETWORKS = ("types", "same", "vlans", "ports6", "sctp", "flannel", "bandwidth", "cycles")
RUN = (
    f"cd {THERE} && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={THERE}/site-packages "
    "unshare --mount --propagation private python3 -m pytest -q -o cache_dir=/var/tmp/cache -m kernel --timeout 240 "
    "--basetemp /var/tmp/pytest tests/integration"
)
# It reports what it would refuse, since the processes of the machine have no labels but that of the kernel.
SELINUX = "lsm=selinux selinux=1 enforcing=0"
LOAD_POLICY = """python3 - <<END
import os
policy = open("/usr/share/selinux/base.policy", "rb").read()
assert os.write(os.open("/sys/fs/selinux/load", os.O_WRONLY), policy) == len(policy)
END"""


@pytest.mark.machine
@pytest.mark.timeout(1200)
def test_what_the_kernel_decides(lab: Lab) -> None:
    (host,) = lab.hosts(1)
    with checkout(lab, host):
        assert_passes(lab, host, f"{RUN}/stage1")


@pytest.mark.machine
@pytest.mark.timeout(1800)
def test_what_the_kernel_decides_of_networks(lab: Lab) -> None:
    (host,) = lab.hosts(1)
    with checkout(lab, host):
        for name in NETWORKS:
            assert_passes(lab, host, f"{RUN}/net/test_{name}.py")


@contextlib.contextmanager
def checkout(lab: Lab, host: str) -> Iterator[None]:
    """Have the tests on a machine, and nothing that they leave in it."""
    sent(lab, host)
    # What the tests of networks do without where a kernel has none of it.
    lab.ssh(host, "modprobe", "--all", "macvlan", "ipvlan", "8021q", "dummy", "sctp", "ifb")
    try:
        yield
    finally:
        # The group of all pods stays until a boot, and the place where CNI's programs have leases, on which tests mount
        # theirs; and a test that compares a host before and after may come next.
        lab.ssh(host, "find", "/sys/fs/cgroup/pods", "-depth", "-type", "d", "-delete", check=False)
        lab.ssh(host, "find", "/var/lib/cni", "-depth", "-type", "d", "-empty", "-delete", check=False)


@pytest.mark.machine
@pytest.mark.timeout(400)
@pytest.mark.behaviour("C54")
def test_what_selinux_decides(lab: Lab) -> None:
    lab.program("start", "--kernel-args", SELINUX, "selinux")
    try:
        lab.config.write_text(lab.program("ssh-config").stdout)
        lab.ssh("selinux", "sh", "-c", LOAD_POLICY)
        sent(lab, "selinux")
        assert_passes(lab, "selinux", f"{RUN}/stage1/test_labels.py -k selinux")
    finally:
        lab.program("destroy", "selinux")


def assert_passes(lab: Lab, host: str, command: str) -> None:
    argv = ["ssh", "-F", str(lab.config), host, command]
    done = subprocess.run(argv, check=False, text=True, capture_output=True, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout, done.stdout


def sent(lab: Lab, host: str) -> None:
    """Send the checkout, pytest, and the programs of CNI that a test compares with."""
    site = pathlib.Path(sysconfig.get_paths()["purelib"])
    found = [path.name for pattern in PACKAGES for path in site.glob(pattern)]
    ours = ("plugins", "tests/integration", "pyproject.toml", "conftest.py")
    for source, names, target in (
        (CHECKOUT, ours, THERE),
        (site, found, f"{THERE}/site-packages"),
        (pathlib.Path(CNI), ("bridge", "host-local", "ipvlan", "loopback", "vlan"), CNI),
    ):
        argv = ["tar", "-c", "--exclude=__pycache__", "-C", str(source), *names]
        packed = subprocess.run(argv, check=True, capture_output=True)
        unpack = f"mkdir -p {target} && tar -x -C {target}"
        subprocess.run(
            ["ssh", "-F", str(lab.config), host, unpack], input=packed.stdout, check=True, timeout=280
        )
