# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods as units: one owner, no leftovers, and after a boot exactly the requested state."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.playbooks.demo import build_aci
from ansible_collections.stagecraft.pods.tests.integration.hosts import CHECKOUT, Lab

IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/shell",
    "app": {"exec": ["/bin/sh"], "user": "0", "group": "0"},
}
# systemd is the same on a virtual machine, and slow.
pytestmark = pytest.mark.light
SERVE_ON = "while :; do sleep 0.1; done"
SERVE = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


TASK = pathlib.Path(__file__).parents[1] / "task.py"
HOME = "/root"


class Units:
    """Tasks on one host of the lab, and questions to it."""

    def __init__(self, lab: Lab, aci: pathlib.Path) -> None:
        self.lab = lab
        self.host = lab.hosts(3)[2]  # the first two are bare before and after each user
        copy = ["scp", "-q", "-F", str(lab.config), str(aci), str(TASK), f"{self.host}:{HOME}"]
        subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)

    def module(self, module: str, /, **options: Any) -> None:
        """Run a module like Ansible."""
        words = ("all", "-i", f"{self.host},", "-m", f"stagecraft.pods.{module}", "-a", json.dumps(options))
        subprocess.run(
            [str(pathlib.Path(sys.executable).with_name("ansible")), *words],
            cwd=CHECKOUT,
            env=self.lab.ansible_env(),
            stdin=subprocess.DEVNULL,
            check=True,
            capture_output=True,
            timeout=280,
        )

    def task(self, module: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of a task on the installed runtime. Ansible does the same, but takes longer."""
        runtime = shlex.quote(options.get("data_dir", "/var/lib/pods")) + "/runtime/*"
        words = f"python3 {HOME}/{TASK.name} {module} {'check' if check else 'run'}"
        done = self.ssh("sh", "-c", f"{words} {runtime} {runtime}/lib", input=json.dumps(options))
        return {"failed": False, **json.loads(done.stdout)}

    def pod(self, name: str, script: str = SERVE, *, check: bool = False, **options: Any) -> dict[str, Any]:
        app = {"image": f"{HOME}/shell.aci", "name": "app", "args": ["-c", script], **options.pop("app", {})}
        given = {"insecure_options": ["image"], "networks": ["none"], "stop_timeout": 2}
        given.update({"update": {"min_uptime": 0}, **options})
        return self.task("pod_run", check=check, name=name, apps=[app], **given)

    def absent(self, name: str, **options: Any) -> dict[str, Any]:
        return self.task("pod_run", name=name, state="absent", **options)

    def clean(self) -> None:
        """Remove every pod."""
        for pod in self.task("pod_info", gather=["pods"])["pods"]:
            self.absent(pod["name"])

    def ssh(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        return self.lab.ssh(self.host, *command, shared=True, **options)

    def ask(self, *command: str) -> str:
        """The output of a command on the host, with any exit status."""
        return self.ssh(*command, check=False).stdout.strip()

    def units(self) -> dict[str, str]:
        """Every unit of a pod that is on the host, and whether it is enabled."""
        listed = self.ask("systemctl", "list-unit-files", "--no-legend", "pod-*.service")
        return {words[0]: words[1] for words in map(str.split, listed.splitlines())}

    def wait_for_end(self, unit: str) -> None:
        """Wait until a unit has ended: one that still releases its resources is not active either."""
        over = f"systemctl is-active {unit} | grep -qxE 'inactive|failed'"
        self.ask("sh", "-c", f"for turn in $(seq 300); do {over} && exit; sleep 0.1; done")

    def failed(self) -> str:
        return self.ask("systemctl", "list-units", "--failed", "--no-legend", "--plain", "pod-*")


@pytest.fixture
def units(lab: Lab, tmp_path: pathlib.Path) -> Iterator[Units]:
    aci = tmp_path / "shell.aci"
    build_aci.build(str(aci), "/bin/busybox", json.dumps(IMAGE))
    found = Units(lab, aci)
    found.module("pod_runtime", podctl="/usr/local/bin/podctl")
    yield found
    found.clean()


@pytest.mark.timeout(300)
def test_a_boot_starts_what_is_to_run_and_nothing_else(units: Units) -> None:
    runs = {"volumes": [{"name": "r", "source": "/srv"}], "mounts": [{"volume": "r", "target": "/srv"}]}
    job = units.pod("job", "echo a run >> /srv/runs", wait=True, **runs)
    assert (job["rc"], job["pod"]["state"]) == (0, "exited")
    failing = units.pod("failing", "echo last words >&2; exit 7", wait=True)
    assert (failing["failed"], failing["rc"], failing["error"]) == (True, 7, "app-failed")
    assert failing["msg"].endswith("last words")
    units.pod("web")
    units.pod("idle")
    stopped = units.pod("idle", state="stopped")
    assert {change["path"]: change["after"] for change in stopped["changes"]} == {
        "pods.idle.unit": "disabled",
        "pods.idle.state": "stopped",
    }
    units.pod("spare", state="prepared")
    assert {name: how for name, how in units.units().items() if name != "pod-failing.service"} == {
        "pod-job.service": "disabled",
        "pod-web.service": "enabled",
        "pod-idle.service": "disabled",
    }

    units.lab.power_cycle(units.host)
    units.ask("systemctl", "is-system-running", "--wait")
    assert units.ask("systemctl", "is-active", "pod-web.service") == "active"
    assert units.ask("cat", "/srv/runs") == "a run"
    pods = units.task("pod_info", gather=["pods"])["pods"]
    assert {pod["name"]: pod["state"] for pod in pods if pod["state"] != "exited garbage"} == {
        "job": "exited",
        "failing": "exited",
        "web": "running",
        "idle": "exited",
        "spare": "prepared",
    }
    assert units.pod("idle", state="stopped")["changed"] is False
    assert units.pod("job", "echo a run >> /srv/runs", wait=True, **runs)["changed"] is False
    units.clean()
    assert units.units() == {}
    assert units.failed() == ""


@pytest.mark.timeout(300)
def test_a_restart_has_one_owner_and_a_boot_obeys_its_policy(units: Units) -> None:
    """The supervisor starts apps again, and systemd a pod whose supervisor was killed."""

    def found(name: str) -> dict[str, Any]:
        [pod] = units.task("pod_info", gather=["pods"], name=name)["pods"]
        return dict(pod)

    def restarts(*names: str) -> list[str]:
        return [units.ask("systemctl", "show", "-P", "NRestarts", f"pod-{name}.service") for name in names]

    policies = {"always": "always", "unless": "unless-stopped", "failing": "on-failure", "plain": "no"}
    for name, policy in policies.items():
        made = units.pod(name, app={"restart": {"policy": policy, "backoff": "50ms"}})
        assert not made["failed"], made
    uuids = {name: found(name)["uuid"] for name in policies}
    pid = units.ask("sh", "-c", "pgrep -P $(cat /run/pods/pids/always.pid) -f trap").split()[-1]
    units.ssh("kill", "-9", pid)
    again_once = "podctl status always | grep -q restarts-app=1"
    units.ask("sh", "-c", f"for turn in $(seq 100); do {again_once} && exit; sleep 0.1; done")
    again = found("always")
    assert (again["uuid"], again["apps"][0]["restart"]["restarts"]) == (uuids["always"], 1)
    assert again["apps"][0]["restart"]["last_signal"] == 9
    assert restarts("always") == ["0"]

    for name in ("failing", "plain"):
        units.ssh("sh", "-c", f"kill -9 $(cat /run/pods/pids/{name}.pid)")
    units.wait_for_end("pod-plain.service")
    back = "systemctl is-active pod-failing | grep -qx active"
    back += " && test $(systemctl show -P NRestarts pod-failing) = 1"
    units.ask("sh", "-c", f"for turn in $(seq 200); do {back} && exit; sleep 0.1; done")
    assert restarts("failing", "plain") == ["1", "0"]
    assert found("failing")["uuid"] != uuids["failing"]
    assert units.ask("systemctl", "is-active", "pod-plain.service") == "failed"

    for name in ("always", "unless", "failing"):
        units.ssh("podctl", "stop", name)
        units.wait_for_end(f"pod-{name}.service")
    assert restarts("always", "unless") == ["0", "0"]
    assert units.units()["pod-unless.service"] == "disabled"
    units.lab.power_cycle(units.host)
    units.ask("systemctl", "is-system-running", "--wait")
    active = {name: units.ask("systemctl", "is-active", f"pod-{name}.service") for name in policies}
    assert active == {"always": "active", "unless": "inactive", "failing": "active", "plain": "active"}
    units.ssh("podctl", "start", "unless")
    assert units.units()["pod-unless.service"] == "enabled"


@pytest.mark.timeout(300)
@pytest.mark.finding("use-N4")
def test_a_pod_that_does_not_come_up_leaves_no_unit(units: Units) -> None:
    failed = units.pod("broken", app={"exec": "/bin/missing"})
    assert (failed["error"], failed["facts"]["where"]) == ("invalid-spec", "apps[0].exec")
    assert "/bin/missing" in failed["msg"]
    broken = units.pod("broken", app={"pre_start": ["/bin/sh", "-c", "exit 5"]})
    # The reason is the pod's own, not a line of the journal.
    assert (broken["error"], broken["facts"]["stage"], broken["facts"]["app"]) == (
        "app-failed",
        "start",
        "app",
    )
    assert (units.units(), units.failed()) == ({}, "")
    assert units.task("pod_info", gather=["pods"])["pods"] == []

    units.pod("web")
    pid = units.ask("systemctl", "show", "-P", "MainPID", "pod-web.service")
    refused = units.pod("web", app={"exec": "/bin/missing"})
    assert "/bin/missing" in refused["msg"]
    assert units.ask("systemctl", "show", "-P", "MainPID", "pod-web.service") == pid
    rolled_back = units.pod("web", app={"pre_start": ["/bin/sh", "-c", "exit 5"]})
    assert rolled_back["rolled_back"] is True
    assert "status 5" in rolled_back["msg"]
    for script in ("exit 3", "sleep 0.5; exit 3"):
        failed = units.pod("web", script, update={"min_uptime": 2})
        assert (failed["error"], failed["rolled_back"], failed["facts"]["exit_code"]) == (
            "app-failed",
            True,
            3,
        )
    assert units.ask("systemctl", "is-active", "pod-web.service") == "active"
    assert units.units() == {"pod-web.service": "enabled"}
    assert units.pod("web")["changed"] is False

    units.ask("systemctl", "stop", "pod-web.service")
    removed = units.ssh("podctl", "rm", "web", check=False)
    assert removed.returncode == 0, removed.stderr
    assert (units.units(), units.failed()) == ({}, "")
    assert units.absent("web")["changed"] is False


@pytest.mark.timeout(300)
def test_a_unit_has_one_owner_and_is_kept_as_it_was_written(units: Units) -> None:
    first = units.pod("web")
    path = "/etc/systemd/system/pod-web.service"
    for spoil, before in (
        (f"echo '# mine' >> {path}", "enabled, edited"),
        ("systemctl --quiet disable pod-web.service", "disabled"),
        (f"rm {path}", "absent"),
    ):
        units.ask("sh", "-c", spoil)
        foretold = units.pod("web", check=True)
        (change,) = foretold["changes"]
        assert (change["path"], change["before"], change["after"]) == ("pods.web.unit", before, "enabled")
        assert (change["reason"], change["impact"]) == ("drift", "none")
        repaired = units.pod("web")
        assert repaired["changes"] == foretold["changes"]
        assert repaired["pod"]["pid"] == first["pod"]["pid"]
        assert units.units() == {"pod-web.service": "enabled"}

    units.ask("systemctl", "restart", "pod-web.service")
    assert units.pod("web")["changed"] is False

    units.module("pod_runtime", data_dir="/srv/other pods")
    other = units.pod("web", data_dir="/srv/other pods")
    assert (other["failed"], other["error"]) == (True, "conflict")
    assert "does not belong to a pod in /srv/other pods" in other["msg"]
    assert units.ask("systemctl", "is-active", "pod-web.service") == "active"
    units.absent("web")
    assert units.pod("web", data_dir="/srv/other pods")["pod"]["state"] == "running"
    units.absent("web", data_dir="/srv/other pods")
    assert units.units() == {}


@pytest.mark.finding("use-N1", "use-N18")
@pytest.mark.timeout(300)
def test_podctl_stops_starts_and_enters_a_pod_that_is_a_unit_through_its_unit(units: Units) -> None:
    name, unit = "My_App.v2", "pod-My_App.v2.service"
    script = SERVE
    ports = {
        "networks": ["default"],
        "ports": [{"name": "http", "host_port": 8080}],
        "app": {"ports": [{"name": "http", "port": 80}]},
    }
    first = units.pod(name, script, **ports)
    assert not first["failed"], first
    for turn in range(3):
        assert units.ask("systemctl", "is-active", unit) == "active", turn
        inside = f"podctl enter {name} /bin/sh -c ': came in; {SERVE_ON}' < /dev/null > /dev/null 2>&1"
        units.ask(
            "sh",
            "-c",
            f"{inside} & until systemctl status --full {unit} | grep 'came in'; do sleep 0.1; done",
        )
        stopped = units.ssh("podctl", "stop", name)
        assert stopped.stdout.startswith('"'), turn
        units.ask("podctl", "status", "--wait=20s", name)
        units.wait_for_end(unit)
        assert units.ask("systemctl", "show", "-P", "Result", unit) == "success", turn
        assert units.ask("sh", "-c", "ls /var/lib/cni/networks/default | grep -v lock") == "", turn
        assert units.ask("nft", "list", "ruleset") == "", turn
        started = units.ssh("podctl", "start", name, check=False)
        assert started.returncode == 0, started.stderr
    assert units.ask("systemctl", "show", "-P", "MainPID", unit) == str(
        units.task("pod_info", gather=["pods"], name=name)["pods"][0]["pid"]
    )
    assert units.pod(name, script, **ports)["changed"] is False
    units.pod(name, script, state="stopped", **ports)
    prepared = units.pod(name, script, state="prepared", labels={"of": "another"}, **ports)
    uuid = prepared["pod"]["uuid"]
    refused = units.ssh("podctl", "run-prepared", uuid, check=False)
    assert (refused.returncode, f'is the unit of "{name}"' in refused.stderr) == (254, True)
    detached = units.ssh("podctl", "run-prepared", "--detach", uuid, check=False)
    assert detached.returncode == 0, detached.stderr
    assert units.ask("systemctl", "is-active", unit) == "active"
    units.ssh("podctl", "stop", "--force", name)
    units.ask("podctl", "status", "--wait=20s", name)
    units.wait_for_end(unit)
    removed = units.ssh("podctl", "rm", name, check=False)
    assert removed.returncode == 0, removed.stderr
    assert (units.units(), units.failed()) == ({}, "")


@pytest.mark.timeout(300)
def test_an_app_that_is_added_to_a_unit_writes_to_its_journal(units: Units) -> None:
    def pod(*scripts: str) -> dict[str, Any]:
        image = f"{HOME}/shell.aci"
        apps = [
            {"image": image, "name": f"app{number}", "args": ["-c", script]}
            for number, script in enumerate(scripts)
        ]
        given = {"insecure_options": ["image"], "networks": ["none"], "update": {"min_uptime": 0}}
        return units.task("pod_run", name="web", apps=apps, **given)

    says = "echo {} says hello; " + SERVE
    first = pod(says.format("the first"))
    pid = units.ask("systemctl", "show", "-P", "MainPID", "pod-web.service")
    for scripts in (("the first", "an added one"), ("the first", "another one")):
        more = pod(*(says.format(words) for words in scripts))
        assert (more["failed"], more["pod"]["uuid"]) == (False, first["pod"]["uuid"]), more
    assert units.ask("systemctl", "show", "-P", "MainPID", "pod-web.service") == pid
    told = ["the first says hello", "an added one says hello", "another one says hello"]
    wait = f"until journalctl -u pod-web.service | grep -q '{told[-1]}'; do sleep 0.1; done"
    units.ask("timeout", "30", "sh", "-c", shlex.quote(wait))
    journal = units.ask("journalctl", "--no-pager", "-o", "cat", "-u", "pod-web.service").splitlines()
    assert [line for line in journal if line in told] == told
