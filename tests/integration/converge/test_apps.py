# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A change that concerns one app of a running pod replaces that app alone."""

from __future__ import annotations

import pathlib
import re
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import SERVE, Host
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import eventually

ALONE = "replace-app"


def app(host: Host, name: str, level: str = "debug", **more: Any) -> dict[str, Any]:
    return {
        "image": host.image,
        "name": name,
        "exec": "/bin/sh",
        "args": ["-c", SERVE],
        "environment": {"LEVEL": level},
        **more,
    }


def pod(host: Host, *apps: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
    return host.pod(check=check, apps=list(apps), **options)


def own(result: dict[str, Any]) -> dict[str, int]:
    """The shells of the apps of a pod, as this machine sees them, by the leaf that each is in."""
    scope = re.escape(result["pod"]["uuid"].replace("-", "\\x2d"))
    found: dict[int, tuple[str, int]] = {}
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            leaf = re.search(f"{scope}.scope/([a-z]+)$", (place / "cgroup").read_text(), re.MULTILINE)
            command = (place / "cmdline").read_bytes()
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if leaf and command.startswith(b"/bin/sh\0-c"):
            found[int(place.name)] = leaf[1], parent
    # What a shell has forked has its words until it executes a program.
    return {name: pid for pid, (name, parent) in found.items() if parent not in found}


def settled(result: dict[str, Any], count: int) -> dict[str, int]:
    assert not result.get("failed"), result
    end = time.monotonic() + 8
    while len(found := own(result)) != count:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def same_pod(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return all(before["pod"][word] == after["pod"][word] for word in ("uuid", "pid"))


def test_one_app_is_replaced_and_the_others_run_on(host: Host) -> None:
    first = pod(host, app(host, "web"), app(host, "db"))
    before = settled(first, 2)
    check = pod(host, app(host, "web", "info"), app(host, "db"), check=True)
    done = pod(host, app(host, "web", "info"), app(host, "db"))
    assert check["changes"] == done["changes"]
    assert [(change["path"], change["impact"]) for change in done["changes"]] == [
        ("apps[0].environment.LEVEL", ALONE)
    ]
    assert same_pod(first, done)
    after = settled(done, 2)
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    assert pod(host, app(host, "web", "info"), app(host, "db"))["changed"] is False


def test_apps_are_added_and_removed_while_the_others_run_on(host: Host) -> None:
    first = pod(host, app(host, "web"))
    before = settled(first, 1)
    more = pod(host, app(host, "web"), app(host, "db"), app(host, "cache"))
    assert {change["impact"] for change in more["changes"]} == {ALONE}
    assert same_pod(first, more)
    three = settled(more, 3)
    assert three["web"] == before["web"]
    assert pod(host, app(host, "web"), app(host, "db"), app(host, "cache"))["changed"] is False
    less = pod(host, app(host, "web"), app(host, "cache"))
    assert same_pod(first, less)
    assert settled(less, 2) == {name: pid for name, pid in three.items() if name != "db"}
    assert [each["name"] for each in less["pod"]["apps"]] == ["web", "cache"]
    assert pod(host, app(host, "web"), app(host, "cache"))["changed"] is False


@pytest.mark.parametrize("fails", ["exit 5", "sleep 2; exit 5"])
@pytest.mark.parametrize("is_new", [False, True], ids=["replaced", "added"])
def test_an_app_that_does_not_stay_up_is_taken_back_alone(host: Host, fails: str, is_new: bool) -> None:
    """The others run on, although the pod would end with an app that fails."""
    good = [] if is_new else [app(host, "web")]
    first = pod(host, *good, app(host, "db"), exit_policy="end-pod")
    before = settled(first, 2 - is_new)
    bad = app(host, "web", args=["-c", fails])
    done = pod(host, bad, app(host, "db"), update={"min_uptime": 4}, exit_policy="end-pod")
    assert (done["failed"], done["rolled_back"], done["error"]) == (True, True, "app-failed"), done
    assert done["msg"] == 'app "web" of pod "web" has ended with status 5'
    after = settled(first, 2 - is_new)
    assert after["db"] == before["db"]
    assert pod(host, *good, app(host, "db"), exit_policy="end-pod")["changed"] is False
    time.sleep(6.2)  # longer than the pod was held
    assert settled(first, 2 - is_new) == after


def test_an_app_that_fails_after_its_trial_ends_the_pod(host: Host) -> None:
    first = pod(host, app(host, "db"), exit_policy="end-pod")
    settled(first, 1)
    late = app(host, "web", args=["-c", "sleep 3.5; exit 5"])
    done = pod(host, app(host, "db"), late, update={"min_uptime": 1}, exit_policy="end-pod")
    assert not done.get("failed"), done
    assert same_pod(first, done)
    eventually(lambda: not own(done), 10)


def test_a_task_that_is_killed_leaves_its_failed_app_to_the_exit_policy(host: Host) -> None:
    first = pod(host, app(host, "db"), exit_policy="end-pod")
    settled(first, 1)
    bad = app(host, "web", args=["-c", "sleep 3; exit 5"])
    options = {
        "name": "web",
        "apps": [app(host, "db"), bad],
        "exit_policy": "end-pod",
        "update": {"min_uptime": 60},
        "insecure_options": ["image"],
    }
    task = host.start("pod_run", "run", options)
    eventually(lambda: len(own(first)) == 2, 10)
    host.kill(task, alone=False)
    eventually(lambda: len(own(first)) == 1, 10)
    time.sleep(1)
    assert list(own(first)) == ["db"]
    again = pod(host, app(host, "db"), exit_policy="end-pod")
    assert same_pod(first, again)
    assert settled(again, 1)["db"] == own(first)["db"]


def test_what_keeps_an_app_from_starting_is_found_before_the_old_one_stops(host: Host) -> None:
    first = pod(host, app(host, "web"), app(host, "db"))
    before = settled(first, 2)
    done = pod(host, app(host, "web", exec="/nowhere"), app(host, "db"))
    assert done["failed"]
    assert settled(first, 2) == before


def test_the_old_files_are_there_when_an_app_is_taken_back(host: Host) -> None:
    writes = f"test -e /mark && echo found it; touch /mark; {SERVE}"
    good = app(host, "web", args=["-c", writes])
    first = pod(host, good, app(host, "db"), exit_policy="continue")
    before = settled(first, 2)
    bad = app(host, "web", args=["-c", "sleep 0.2; exit 5"])
    done = pod(host, bad, app(host, "db"), exit_policy="continue", update={"min_uptime": 2})
    assert (done.get("failed"), done.get("rolled_back")) == (True, True), done
    after = settled(first, 2)
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    again = pod(host, good, app(host, "db"), exit_policy="continue")
    assert again["changed"] is False, again
    log = next(
        pathlib.Path(host.machine.directories["data_dir"]).rglob(f"{first['pod']['uuid']}/logs/web.log")
    )
    assert "found it" in log.read_text()


@pytest.mark.parametrize(
    "options", [{"hostname": "other"}, {"environment": {"ALL": "1"}}, {"state": "restarted"}], ids=str
)
def test_a_change_of_the_pod_replaces_the_pod(host: Host, options: dict[str, Any]) -> None:
    first = pod(host, app(host, "web"), app(host, "db"))
    done = pod(host, app(host, "web", "info"), app(host, "db"), **options)
    assert not same_pod(first, done)


def test_some_apps_are_restarted(host: Host) -> None:
    first = pod(host, app(host, "web"), app(host, "db"))
    before = settled(first, 2)
    done = pod(host, app(host, "web"), app(host, "db"), restart_apps=["web"])
    assert [(change["path"], change["impact"]) for change in done["changes"]] == [
        ("pods.web.apps.web.state", ALONE)
    ]
    after = settled(done, 2)
    assert same_pod(first, done)
    assert (after["db"], after["web"] != before["web"]) == (before["db"], True)
    refused = host.task("pod_run", name="web", restart_apps=["no"])
    assert (refused["failed"], refused["error"]) == (True, "invalid-spec")


def test_a_new_volume_comes_with_its_app_alone(host: Host, tmp_path: pathlib.Path) -> None:
    first = pod(host, app(host, "web"), app(host, "db"))
    before = settled(first, 2)
    mounted = [{"volume": "data", "target": "/mnt"}]
    volumes = [{"name": "data", "kind": "empty"}]
    done = pod(host, app(host, "web", mounts=mounted), app(host, "db"), volumes=volumes)
    assert same_pod(first, done)
    assert settled(done, 2)["db"] == before["db"]
    assert pod(host, app(host, "web", mounts=mounted), app(host, "db"), volumes=volumes)["changed"] is False


def test_an_app_that_does_not_run_after_a_crash_is_started_by_the_next_task(host: Host) -> None:
    """A task that was killed at any moment of a change: the next one brings the pod to what is described."""
    first = pod(host, app(host, "web"), app(host, "db"))
    before = settled(first, 2)
    levels = [f"l{number}" for number in range(6)]
    for number, level in enumerate(levels):
        options = {
            "name": "web",
            "apps": [app(host, "web", level), app(host, "db")],
            "update": {"min_uptime": 0},
            "insecure_options": ["image"],
        }
        task = host.start("pod_run", "run", options)
        time.sleep(0.1 + 0.05 * number)
        host.kill(task, alone=False)
        done = pod(host, app(host, "web", level), app(host, "db"))
        assert not done.get("failed"), done
        assert settled(done, 2)["db"] == before["db"] or done["pod"]["pid"] != first["pod"]["pid"]
        assert pod(host, app(host, "web", level), app(host, "db"))["changed"] is False


@pytest.mark.finding("trial6-1", "trial6-3")
@pytest.mark.parametrize(
    ("options", "place", "why"),
    [
        ({"exec": "/nope"}, "apps[1].exec", "/nope"),
        ({"cpuset_cpus": "4095"}, "apps[1].cpuset_cpus", "no processor 4095"),
        ({"device_read_bps": {"/dev/nodisk": "1M"}}, "apps[1].device_read_bps./dev/nodisk", "No such file"),
        ({"device_write_iops": {"/dev/null": 9}}, "apps[1].device_write_iops./dev/null", "no block device"),
        ({"mounts": ["file:/tmp"]}, "apps[1].mounts", "is a directory in the"),
    ],
)
def test_check_mode_says_what_a_changed_app_lacks_and_where(
    host: Host, tmp_path: pathlib.Path, options: dict[str, Any], place: str, why: str
) -> None:
    (tmp_path / "file").touch()
    volumes = [{"name": "file", "source": str(tmp_path / "file")}]
    keep = app(host, "keep", mounts=["file:/given"])
    first = pod(host, keep, app(host, "chg"), volumes=volumes)
    before = settled(first, 2)
    for check in (True, False):
        done = pod(host, keep, app(host, "chg", **options), volumes=volumes, check=check)
        assert done.get("failed"), done
        assert done["msg"].startswith(f"{place}: "), done["msg"]
        assert why in done["msg"]
    assert own(first) == before


def test_check_mode_knows_the_disks_of_a_pod_that_is_not_there_yet(host: Host) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    limited = app(host, "web", device_read_bps={"/dev/nodisk": "1M"})
    for check in (True, False):
        done = pod(host, limited, check=check)
        assert done.get("failed"), done
        assert done["msg"].startswith("apps[0].device_read_bps./dev/nodisk: "), done["msg"]


@pytest.mark.finding("trial6-3")
def test_check_mode_knows_which_sysctls_there_are(host: Host) -> None:
    of_interface = {"net.ipv4.conf.nodev.forwarding": "1"}
    settled(pod(host, app(host, "web")), 1)
    assert not pod(host, app(host, "web"), check=True, sysctls=of_interface, networks=["none"]).get("failed")
    named = {**of_interface, "net.ipv4.no_such": "1"}
    done = pod(host, app(host, "web"), check=True, sysctls=named, networks=["none"])
    assert done.get("failed"), done
    assert done["msg"].startswith("sysctls.net.ipv4.no_such: "), done["msg"]


@pytest.mark.finding("trial6-3")
@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("net.core.somaxconn", "many", "0x200"),
        ("net.ipv4.tcp_rmem", "4096 some 8192", "4096\t8192 16384"),
        ("net.ipv4.ip_forward", "", "1"),
    ],
)
def test_check_mode_knows_which_sysctls_hold_numbers(host: Host, name: str, wrong: str, right: str) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    for check in (True, False):
        done = pod(host, app(host, "web"), check=check, sysctls={name: wrong}, networks=["none"])
        assert done.get("failed"), done
        assert done["msg"].startswith(f'sysctls.{name}: "{wrong}" is no value of the sysctl'), done["msg"]
    settled(pod(host, app(host, "web"), sysctls={name: right}, networks=["none"]), 1)


@pytest.mark.finding("trial6-2")
def test_the_reason_of_a_failure_is_not_what_another_app_of_the_name_has_said(host: Host) -> None:
    first = pod(host, app(host, "keep"), app(host, "chg"), exit_policy="continue")
    settled(first, 2)
    for script, said in (("echo FIRST; exit 4", True), ("exit 7", False)):
        changed = app(host, "chg", args=["-c", script])
        done = pod(host, app(host, "keep"), changed, exit_policy="continue", update={"min_uptime": 2})
        assert done.get("failed"), done
        assert ("FIRST" in str(done)) is said, done
