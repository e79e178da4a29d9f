# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The contract of stage0 and stage1: the documents, the runtime that is called, and the names of entries."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import open_pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.start import stop
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import CHECKOUT, PodHost

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"
FACTS = """
echo "hostname=$(hostname)"
echo "ipc=$(ls -l /proc/self/ns/ipc)"
echo "dns=$(grep -c nameserver /etc/resolv.conf)"
echo "hosts=$(grep names-it /etc/hosts)"
echo "guarded=$(grep -c ' /proc/sys ' /proc/mounts)"
echo "filter=$(grep ^Seccomp: /proc/self/status)"
echo "capabilities=$(grep ^CapBnd: /proc/self/status)"
"""
# A launch.py that records its arguments, then runs the runtime's own.
NOTING = """
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "own.py")
os.execv(sys.executable, [sys.executable, "-I", "-S", own, *sys.argv[1:]])
"""


def facts(texts: list[str]) -> dict[str, str]:
    """The facts that an app printed, the last word of each."""
    found = dict(text.partition("=")[::2] for text in texts)
    return {name: value.split()[-1] if value else "" for name, value in found.items()}


def own_capabilities() -> str:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[-1] for line in lines if line.startswith("CapBnd:"))


@pytest.mark.behaviour("D25")
def test_what_a_pod_was_told_reaches_stage1_by_its_documents(pods: PodHost) -> None:
    words = ("prepare", pods.image, "--exec=/bin/sh", "--", "-c", FACTS)
    plain, told = pods.ok(*words), pods.ok(*words)
    done = pods.podctl("run-prepared", "--net=none", "--dns=192.0.2.53", plain)
    assert facts(done.texts) == {
        "hostname": f"rkt-{plain}",
        "ipc": facts(done.texts)["ipc"],
        "dns": "1",
        "hosts": "",
        "guarded": "1",
        "filter": "2",
        "capabilities": "00000000a80425fb",  # the default of 14
    }
    assert facts(done.texts)["ipc"] != os.readlink("/proc/self/ns/ipc")
    flags = ("--hostname=told", "--ipc=parent", "--dns=192.0.2.53", "--dns=192.0.2.54")
    insecure = "--insecure-options=capabilities,paths,seccomp"
    entry = "--hosts-entry=192.0.2.7=names-it"
    done = pods.podctl("run-prepared", "--net=none", *flags, entry, insecure, told)
    assert facts(done.texts) == {
        "hostname": "told",
        "ipc": os.readlink("/proc/self/ns/ipc"),
        "dns": "2",
        "hosts": "names-it",
        "guarded": "0",
        "filter": "0",
        "capabilities": own_capabilities(),
    }
    runspec = json.loads((pods.data / "pods/run" / told / "runspec").read_text())
    assert (runspec["hostname"], runspec["ipc"]) == ("told", "parent")
    assert runspec["insecure"] == ["capabilities", "paths", "seccomp"]
    assert runspec["dns"]["nameservers"] == ["192.0.2.53", "192.0.2.54"]


@pytest.mark.behaviour("D25", "A10", "C50")
@pytest.mark.parametrize(
    ("at_prepare", "at_run", "mode"),
    [
        ("image", "seccomp", "0"),
        ("image,seccomp", "none", "2"),
        ("all", "all-run", "0"),
        ("all", "paths", "2"),
    ],
)
def test_the_last_word_on_system_calls_is_that_of_run_prepared(
    pods: PodHost, at_prepare: str, at_run: str, mode: str
) -> None:
    words = (pods.image, "--exec=/bin/grep", "--", "^Seccomp:", "/proc/self/status")
    uuid = pods.ok("prepare", f"--insecure-options={at_prepare}", *words)
    done = pods.podctl("run-prepared", f"--insecure-options={at_run}", "--net=none", uuid)
    assert (done.status, done.texts) == (0, [f"Seccomp:\t{mode}"]), done.err


class OldRuntime:
    """A copy of the runtime that records how it is called."""

    def __init__(self, base: pathlib.Path) -> None:
        self.path = base / "old"
        self._log = base / "calls"
        self._log.touch()
        shutil.copytree(
            CHECKOUT / "plugins/module_utils/podrt",
            self.path / "podrt",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        (self.path / "lib").symlink_to(sysconfig.get_paths()["purelib"])
        launch = self.path / "podrt/launch.py"
        launch.rename(launch.with_name("own.py"))
        launch.write_text(NOTING.format(log=str(self._log)))

    def ok(self, pods: PodHost, *words: str) -> str:
        argv = [os.path.realpath(sys.executable), "-I", "-S", str(self.path / "podrt/launch.py")]
        done = subprocess.run(
            [*argv, *pods.where, *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        self._log.write_text("")
        return done.stdout.strip()

    def calls(self) -> list[list[str]]:
        """The arguments of the calls since the last one by the test itself."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]


def prepared_by(pods: PodHost, old: OldRuntime) -> str:
    uuid = old.ok(pods, "prepare", pods.image, "--exec=/bin/sh", "--", "-c", WAITS)
    assert (pods.data / "pods/prepared" / uuid / "runtime").read_text() == str(old.path)
    return uuid


def host_of(pods: PodHost) -> Host:
    return Host.here(
        Paths(
            data=str(pods.data),
            local_config=f"{pods.base}/etc",
            system_config=f"{pods.base}/lib",
            run=f"{pods.base}/run",
        )
    )


@pytest.mark.behaviour("D26")
def test_the_entries_of_stage1_are_those_of_the_runtime_that_prepared_the_pod(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    old = OldRuntime(tmp_path)
    uuid = prepared_by(pods, old)
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    host = host_of(pods)
    where = [f"--dir={host.paths.data}", f"--local-config={host.paths.local_config}"]
    where.append(f"--system-config={host.paths.system_config}")
    with open_pod(host.paths, uuid) as pod:
        stop(host, pod)
    assert old.calls() == [[*where, "stop", uuid]]
    assert pods.state(uuid) == "exited"
    pods.ok("rm", uuid)
    assert old.calls()[1:] == [[*where, "stage1-gc", uuid]]


@pytest.mark.behaviour("D26")
def test_gc_calls_each_pods_own_runtime_and_this_one_when_that_is_gone(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    old = OldRuntime(tmp_path)
    uuids = [prepared_by(pods, old) for _number in range(2)]
    for uuid in uuids:
        pods.ok("run-prepared", "--detach", "--net=none", uuid)
        pods.ok("stop", "--force", uuid)
        pods.wait(uuid)
    pods.podctl("gc")
    (pods.data / "pods/exited-garbage" / uuids[1] / "runtime").write_text(f"{tmp_path}/gone")
    said = pods.ok("gc", "--grace-period=0")
    assert sorted(said.splitlines()) == sorted(f'Garbage collecting pod "{uuid}"' for uuid in uuids)
    assert [words[-2:] for words in old.calls()] == [["stage1-gc", uuids[0]]]
    assert pods.uuids() == []


@pytest.mark.behaviour("D26")
def test_entering_and_stopping_are_entries_too(pods: PodHost) -> None:
    uuid = pods.detached(WAITS, "--name=web")
    assert pods.podctl("enter", "--app=web", uuid, "/bin/echo", "--", "-x").out == "-- -x\n"
    assert pods.ok("stop", uuid) == f'"{uuid}"'
    assert pods.wait(uuid)[0] == "state=exited"
    pods.sh("true")
    again = pods.detached("trap '' TERM; echo ready; while true; do sleep 0.1; done")
    pods.ok("status", "--wait-ready=10s", again)
    pods.ok("stop", "--force", again)
    assert pods.wait(again)[0] == "state=exited"


def prefixes(text: str) -> set[str]:
    return {line.partition(": ")[0] for line in text.splitlines() if re.match(r"[a-z0-9-]+: ", line)}


@pytest.mark.behaviour("G8", "A6", "E2", "E4", "E6")
def test_who_speaks_is_said_first(pods: PodHost) -> None:
    net_d = pods.base / "etc/net.d"
    net_d.mkdir(parents=True, exist_ok=True)
    ipam = {"type": "host-local", "subnet": "10.9.8.0/24"}
    (net_d / "10-default.conf").write_text(json.dumps({"name": "default", "type": "ptp", "ipam": ipam}))
    assert prefixes(pods.podctl("run", "--net=none").err) == {"run"}
    assert prefixes(pods.podctl("run", "nosuch").err) == {"run"}
    done = pods.sh("true")
    assert (done.status, done.err) == (0, "networking: networking namespace with loopback only\n")
    done = pods.podctl("--debug", "run", "--net=none", pods.image, "--exec=/bin/true")
    assert f"image: using image from file {pods.image}\n" in done.err
    assert prefixes(done.err) == {"image", "networking", "run"}
    done = pods.podctl("run", "--net=lan,wan", pods.image, "--exec=/bin/true")
    assert (done.status, done.err.splitlines()[:2]) == (
        254,
        [
            f'networking: overriding "default" network with one from {net_d}',
            "stage1: failed to setup network: networks not found: lan, wan",
        ],
    )
    assert prefixes(done.err) == {"networking", "stage1"}
    uuid = pods.ok("prepare", pods.image, "--exec=/bin/true")
    done = pods.podctl("run-prepared", "--net=lan", uuid)
    assert "stage1: failed to setup network: networks not found: lan\n" in done.err
    assert "run-prepared: " not in done.err
    assert prefixes(pods.podctl("run-prepared", uuid).err) == {"run-prepared"}


@pytest.mark.finding("attack-F10")
def test_a_damaged_filter_is_named_and_preparing_again_heals(pods: PodHost) -> None:
    words = (pods.image, "--exec=/bin/grep", "--", "^Seccomp:", "/proc/self/status")
    uuid = pods.ok("prepare", *words)
    damaged = [
        *(pods.data / "filters").iterdir(),
        pods.data / "pods/prepared" / uuid / "appsinfo/busybox/filter",
    ]
    for path in damaged:
        path.write_bytes(path.read_bytes().replace(b"\x06\0\0\0\x01\0\x05\0", b"\x06\0\0\0\0\0\xff\x7f"))
    done = pods.podctl("run-prepared", "--net=none", uuid)
    assert (done.status, done.texts) == (254, [])
    assert str(damaged[-1]) in done.err.replace("/run/", "/prepared/")
    assert "prepare it again" in done.err
    done = pods.podctl("run", "--net=none", *words)
    assert (done.status, done.texts) == (0, ["Seccomp:\t2"]), done.err
