# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl run as a service of systemd in every form that its users write: the examples of rkt's manual."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.systemd.unitlab import HOME, Units, units

__all__ = ["units"]

pytestmark = pytest.mark.light
PODCTL = "/usr/local/bin/podctl"
RUN = ("run", "--insecure-options=image", "--net=none", f"{HOME}/shell.aci", "--exec=/bin/sh")
CURSOR = "/run/cursor"  # of the journal, where a test began: the unit of all has one name
STOPS = "trap 'echo stopped; exit 0' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture
def host(units: Units) -> Iterator[Units]:
    units.ask("sh", "-c", f"rm -f {CURSOR}; journalctl --quiet --lines=0 --cursor-file={CURSOR}")
    yield units
    units.ask("sh", "-c", "systemctl stop job.service; systemctl reset-failed job.service")
    units.ask("sh", "-c", "rm -f /run/systemd/system/job.service; systemctl daemon-reload")
    units.ask(
        "sh", "-c", "podctl list --full --no-legend | grep running | cut -f1 | xargs -r podctl stop --force"
    )
    units.ask("podctl", "gc", "--grace-period=0s")


def property_of(host: Units, name: str) -> str:
    return host.ask("systemctl", "show", "-P", name, "job.service")


def await_log(host: Units, text: str) -> None:
    """Wait for a line of the app: those of systemd have the whole command."""
    look = f"journalctl -u job.service --after-cursor=$(cat {CURSOR}) --no-pager -o cat | grep -qx {text}"
    host.ssh("sh", "-c", f"for turn in $(seq 300); do {look} && exit; sleep 0.1; done; exit 1")


def states(host: Units) -> list[str]:
    lines = host.ask("podctl", "list", "--no-legend").splitlines()
    return [[word for word in line.split("\t") if word][3] for line in lines]


@pytest.mark.timeout(300)
@pytest.mark.behaviour("A28", "D11")
@pytest.mark.parametrize(("script", "status"), [("echo said", 0), ("echo said; exit 7", 7)])
def test_systemd_run_ends_with_the_status_of_the_pod(host: Units, script: str, status: int) -> None:
    words = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--unit=job", PODCTL, *RUN)
    done = host.ssh(*words, "--", "-c", script, check=False)
    assert (done.returncode, "said" in done.stdout) == (status, True), done.stderr
    assert states(host) == ["exited"]


@pytest.mark.timeout(300)
@pytest.mark.behaviour("C11", "D11")
@pytest.mark.parametrize("kind", ["simple", "notify"])
def test_a_transient_service_is_stopped_in_order(host: Units, kind: str) -> None:
    flags = (f"--service-type={kind}", "--property=KillMode=mixed", "--unit=job")
    host.ssh("systemd-run", "--quiet", *flags, PODCTL, *RUN, "--", "-c", STOPS)
    if kind == "simple":
        await_log(host, "ready")
    assert property_of(host, "ActiveState") == "active"
    assert states(host) == ["running"]
    group = property_of(host, "ControlGroup")
    host.ssh("systemctl", "stop", "job.service")
    await_log(host, "stopped")
    assert host.ask("systemctl", "is-failed", "job.service") == "inactive"
    assert states(host) == ["exited"]
    assert host.ask("sh", "-c", f"ls -d /sys/fs/cgroup/*{group} /sys/fs/cgroup{group} 2>&-") == ""


@pytest.mark.timeout(300)
@pytest.mark.behaviour("D11")
def test_a_service_with_a_pid_file_is_one_whose_shell_has_ended(host: Units) -> None:
    run = " ".join((PODCTL, *RUN, "--", "-c", '"while :; do sleep 0.1; done"'))
    lines = (
        "[Service]",
        "Type=forking",
        "PIDFile=/run/job.pid",
        f"ExecStart=/bin/sh -c '{run} & echo $$! > /run/job.pid'",
        "KillMode=mixed",
        "Restart=always",
    )
    host.ssh("tee", "/run/systemd/system/job.service", input="".join(f"{line}\n" for line in lines))
    host.ssh("systemctl", "daemon-reload")
    host.ssh("systemctl", "start", "job.service")
    pid = property_of(host, "MainPID")
    assert host.ask("cat", "/run/job.pid") == pid
    runs = "podctl list --no-legend | grep -q running"
    host.ssh("sh", "-c", f"for turn in $(seq 300); do {runs} && exit; sleep 0.1; done; exit 1")
    host.ssh("kill", "-9", pid)
    again = f"test $(systemctl show -P MainPID job) -gt 0 && test $(systemctl show -P MainPID job) != {pid} && {runs}"
    host.ssh("sh", "-c", f"for turn in $(seq 300); do {again} && exit; sleep 0.1; done; exit 1")
    host.ssh("systemctl", "stop", "job.service")
    assert property_of(host, "Result") == "success"
    assert sorted(states(host)) == ["exited", "exited"]


@pytest.mark.timeout(300)
@pytest.mark.behaviour("C32")
@pytest.mark.parametrize(
    ("who", "of_pod", "of_app"),
    [
        ("root", [], []),
        ("user", [], ["--user=7", "--group=7"]),
        ("root of its own users", ["--private-users"], []),
    ],
)
def test_what_an_app_logs_by_the_socket_is_in_the_journal(
    host: Units, who: str, of_pod: list[str], of_app: list[str]
) -> None:
    words = ("podctl", *RUN[:3], *of_pod, RUN[3], "--exec=/bin/busybox", *of_app)
    host.ssh(*words, "--", "logger", "-t", "of-app", f"logged as {who}")
    look = f"journalctl --quiet --no-pager -o cat -t of-app | grep -qx 'logged as {who}'"
    host.ssh("sh", "-c", f"for turn in $(seq 100); do {look} && exit; sleep 0.1; done; exit 1")
