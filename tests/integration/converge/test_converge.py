# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tasks converge a machine: real images, real pods, real networks."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import SERVE, Host
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import write_image
from ansible_collections.stagecraft.pods.tests.integration.stage1.test_labels import has_apparmor, has_selinux

CANARY = "canary-7f3a9c"
KILLS = 50
# The duration of a task that replaces a pod, in seconds.
LONGEST = 0.5


def port(*host_ports: int) -> list[dict[str, Any]]:
    return [{"name": "http", "host_port": number} for number in host_ports]


def mounts(*volumes: str) -> list[dict[str, str]]:
    return [{"volume": name, "target": f"/{name}"} for name in volumes]


def paths(result: dict[str, Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_the_second_run_changes_nothing(host: Host) -> None:
    first = host.pod()
    again = host.pod()
    assert (first["changed"], again["changed"]) == (True, False)
    assert again["pod"]["uuid"] == first["pod"]["uuid"]
    assert again["pod"]["pid"] == first["pod"]["pid"]
    assert again["pod"]["state"] == "running"


@pytest.mark.parametrize(
    ("options", "place", "why"),
    [
        (
            {"map": ["0:0:1"]},
            "volumes[0].map",
            "ID 0 of the host's files cannot be given to a user of the pod",
        ),
        ({"map": ["65000:1000:1000"]}, "volumes[0].map", "a map up to ID 65999 is out of range"),
        ({"propagation": "rslave"}, "volumes[0].propagation", "the pod has its own users"),
    ],
)
def test_check_mode_knows_which_volumes_the_users_of_a_pod_can_be_given(
    host: Host, options: dict[str, Any], place: str, why: str
) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    volumes = [{"name": "data", "source": "/srv", **options}]
    for check in (True, False):
        done = host.pod(private_users=True, check=check, volumes=volumes, app={"mounts": mounts("data")})
        assert done.get("failed"), done
        assert done["msg"].startswith(f"{place}: "), done["msg"]
        assert why in done["msg"]


@pytest.mark.parametrize(
    ("option", "value", "what"), [("user", "65536", "user"), ("group", "70000", "group")]
)
def test_check_mode_knows_which_users_a_pod_with_its_own_has(
    host: Host, option: str, value: str, what: str
) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    for check in (True, False):
        done = host.pod(private_users=True, check=check, app={option: value})
        assert done.get("failed"), done
        assert done["msg"].startswith(f"apps[0].{option}: {what} {value} is out of range ("), done["msg"]
    assert not host.pod(check=True, app={option: value}).get("failed")


def test_info_has_what_the_kernel_applied(host: Host, tmp_path: pathlib.Path) -> None:
    (tmp_path / "given").mkdir()
    volumes = [{"name": "data", "source": str(tmp_path / "given"), "read_only": True}]
    app = {"mounts": mounts("data"), "tmpfs": [{"target": "/run", "size": "1M"}], "oom_score_adj": 300}
    done = host.pod(private_users=True, pids_limit=300, volumes=volumes, app=app)
    assert not done.get("failed"), done
    (pod,) = host.task("pod_info", gather=["pods"])["pods"]
    (rights,) = pod["rights"]
    assert rights["root"] >= 0x80000
    assert rights["uid_map"] == rights["gid_map"] == [[0, rights["root"], 65536]]
    assert rights["oom_score_adj"] == 300
    seen = {mount["path"]: (mount["type"], "ro" in mount["options"]) for mount in rights["mounts"]}
    assert seen["/"][0] == "overlay" and seen["/data"][1]
    assert seen["/run"] == ("tmpfs", False)
    assert not [path for path in seen if path.startswith(("/proc", "/sys", "/dev"))]
    assert rights["pid"] > pod["pid"]
    assert rights["seccomp"]
    # Where a kernel has a module, an app without a label of its own has that of its starter: see stage1/test_labels.
    assert (bool(rights["apparmor"]), bool(rights["selinux"])) == (has_apparmor(), has_selinux())
    assert "CAP_CHOWN" in rights["capabilities"] and "CAP_SYS_ADMIN" not in rights["capabilities"]
    assert {"app": "", "isolator": "resource/pids", "file": "pids.max", "value": "302"} in pod["limits"]


def test_check_mode_says_what_the_run_does(host: Host) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    for options in (
        {},
        {"level": "info"},
        {"level": "info", "state": "stopped"},
        {"level": "info", "hostname": "x"},
    ):
        before = host.machine.snapshot()
        foretold = host.pod(check=True, **options)
        assert host.machine.snapshot() == before
        done = host.pod(**options)
        assert foretold["changes"] == done["changes"]
        assert host.pod(check=True, **options)["changed"] is False


def test_one_field_changed_is_the_named_change_and_a_new_pod(host: Host) -> None:
    old = host.pod("debug")["pod"]
    changed = host.pod("DEBUG")
    assert paths(changed) == ["apps[0].environment.LEVEL"]
    (change,) = changed["changes"]
    assert (change["reason"], change["impact"]) == ("playbook", "recreate")
    assert change["before"].startswith("fingerprint:") and change["before"] != change["after"]
    assert changed["pod"]["uuid"] != old["uuid"]
    assert os.listdir(host.machine.data / "pods" / "run") == [changed["pod"]["uuid"]]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"app": {"memory": "64M"}}, "apps[0].memory"),
        ({"app": {"caps_remove": ["CAP_MKNOD"]}}, "apps[0].caps_remove"),
        ({"volumes": [{"name": "v", "source": "/tmp"}]}, "volumes[0]"),
        ({"hosts_entries": [{"ip": "10.0.0.1", "names": ["db"]}]}, "hosts_entries[0]"),
        ({"stop_timeout": 3}, "stop_timeout"),
        ({"labels": {"team": "red"}}, "labels.team"),
    ],
)
def test_what_is_added_and_what_is_taken_away_is_noticed(
    host: Host, options: dict[str, Any], path: str
) -> None:
    host.pod()
    assert path in paths(host.pod(check=True, **options))
    host.pod(**options)
    gone = {"volumes[0]": "volumes.v"}  # by its name, since the description no longer has it
    assert gone.get(path, path) in paths(host.pod(check=True))


def test_absent_leaves_nothing(host: Host) -> None:
    host.pod()
    host.absent()
    before = host.machine.snapshot()
    host.task("pod_volume", name="work")
    host.pod(
        volumes=[{"name": "work", "volume": "work"}, {"name": "tmp"}],
        ports=[{"name": "http", "host_port": 8099}],
        app={"memory": "64M", "mounts": [{"volume": "work", "target": "/work"}]},
    )
    assert host.machine.snapshot() != before
    assert host.absent()["changed"] is True
    assert host.machine.snapshot() == before
    assert host.absent()["changed"] is False


def test_states(host: Host) -> None:
    prepared = host.pod(state="prepared")["pod"]
    assert prepared["state"] == "prepared"
    started = host.pod()["pod"]
    assert (started["uuid"], started["state"]) == (prepared["uuid"], "running")
    assert host.pod(state="prepared")["changed"] is False
    restarted = host.pod(state="restarted")["pod"]
    assert restarted["state"] == "running"
    assert restarted["pid"] != started["pid"]
    assert host.pod(state="stopped")["pod"]["state"] == "exited"
    assert host.pod(state="stopped")["changed"] is False
    again = host.pod()
    (change,) = again["changes"]
    assert (change["reason"], change["impact"]) == ("playbook", "none")
    assert again["pod"]["state"] == "running"


@pytest.mark.parametrize("state", ["prepared", "stopped"])
def test_a_replacement_that_does_not_run_says_that_what_ran_ends(host: Host, state: str) -> None:
    host.pod("debug")
    foretold = host.pod("info", check=True, state=state)
    done = host.pod("info", state=state)
    assert foretold["changes"] == done["changes"]
    assert paths(done) == ["apps[0].environment.LEVEL", "pods.web.state"]
    assert (done["changes"][1]["after"], done["changes"][1]["impact"]) == ("prepared", "restart")
    assert done["pod"]["state"] == "prepared"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ({"app": {"args": ["-c", SERVE]}}, {"app": {"args": ["-c", *SERVE.split(" ")]}}, "apps[0].args"),
        ({"ports": port(8097, 8098)}, {"ports": port(8097)}, "ports.http"),
        ({"ports": port(8097, 8098)}, {"ports": port(8097, 8099)}, "ports[1].host_port"),
        ({"ports": port(8097, 8098)}, {"ports": port(8098, 8097)}, ""),
        ({"app": {"supplementary_gids": [1, 2]}}, {"app": {"supplementary_gids": [2, 1]}}, ""),
        (
            {"volumes": [{"name": "a"}, {"name": "b"}], "mounts": mounts("a", "b")},
            {"volumes": [{"name": "b"}, {"name": "a"}], "mounts": mounts("b", "a")},
            "",
        ),
    ],
)
def test_what_differs_is_noticed_and_an_order_that_means_nothing_is_not(
    host: Host, before: dict[str, Any], after: dict[str, Any], path: str
) -> None:
    first = host.pod(**before)
    assert not first.get("failed"), first
    then = host.pod(**after)
    assert paths(then) == ([path] if path else [])
    assert (then["pod"]["uuid"] == first["pod"]["uuid"]) is not bool(path)


def test_a_pod_that_was_killed_is_started_again(host: Host) -> None:
    pod = host.pod()["pod"]
    host.machine.run("kill", "-9", str(inner_pid(host, pod["uuid"])))
    wait_for(lambda: host.task("pod_info", gather=["pods"])["pods"][0]["state"] == "exited")
    again = host.pod()
    assert paths(again) == ["pods.web.state"]
    assert again["changes"][0]["reason"] == "drift"
    assert again["pod"]["state"] == "running"


def inner_pid(host: Host, uuid: str) -> int:
    return int((host.machine.data / "pods" / "run" / uuid / "pid").read_text())


def wait_for(what: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def of_a_newer_release(host: Host, uuid: str) -> None:
    """Make the run spec of a pod one of a future release."""
    path = host.machine.data / "pods" / "run" / uuid / "runspec"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 7, "dns": "something else"}))


@pytest.mark.finding("review-B8")
def test_a_running_pod_of_a_newer_release_is_replaced(host: Host) -> None:
    old = host.pod(ports=port(8099))["pod"]
    of_a_newer_release(host, old["uuid"])
    foretold = host.pod(check=True, ports=port(8099))
    done = host.pod(ports=port(8099))
    assert foretold["changes"] == done["changes"], done
    assert (done["changed"], done["pod"]["state"]) == (True, "running")
    assert done["pod"]["uuid"] != old["uuid"]
    assert os.listdir(host.machine.data / "pods" / "run") == [done["pod"]["uuid"]]
    assert host.pod(ports=port(8099))["changed"] is False


@pytest.mark.finding("review-B8")
def test_a_pod_of_a_newer_release_is_not_run_again_when_its_replacement_fails_and_the_next_task_mends_it(
    host: Host,
) -> None:
    old = host.pod()["pod"]
    of_a_newer_release(host, old["uuid"])
    failed = host.pod("bad", app={"args": ["-c", "exit 3"]}, update={"min_uptime": 3})
    assert (failed["error"], failed["rolled_back"]) == ("app-failed", False)
    assert "bringing the old pod back failed as well" in failed["msg"] and "format 7" in failed["msg"]
    (left,) = host.task("pod_info", gather=["pods"])["pods"]
    assert (left["uuid"], left["name"], left["state"]) == (old["uuid"], "web", "exited")
    assert host.pod()["pod"]["state"] == "running"
    assert host.absent()["changed"] is True
    assert host.task("pod_info", gather=["pods"])["pods"] == []


def test_a_task_that_ends_is_run_once_and_tells_its_status_and_last_words(host: Host) -> None:
    options: dict[str, Any] = {"wait": True, "app": {"args": ["-c", "echo out; echo err >&2; exit $CODE"]}}
    failed = host.pod(**{**options, "app": {**options["app"], "environment": {"CODE": "3"}}})
    assert (failed["failed"], failed["rc"]) == (True, 3)
    assert 'app "app" of pod "web" has ended with status 3: err' in failed["msg"]
    assert (failed["error"], failed["changed"]) == ("app-failed", True)
    told = {"app": "app", "exit_code": 3, "stage": "run", "last_lines": ["err"]}
    assert failed["facts"] == told
    done = host.pod(**{**options, "app": {**options["app"], "environment": {"CODE": "0"}}})
    assert (done["changed"], done["rc"]) == (True, 0)
    (app,) = done["pod"]["apps"]
    assert (app["stdout_lines"], app["stderr_lines"]) == (["out"], ["err"])
    again = host.pod(**{**options, "app": {**options["app"], "environment": {"CODE": "0"}}})
    assert (again["changed"], again["rc"]) == (False, 0)


@pytest.mark.parametrize(
    ("options", "message", "kind", "where"),
    [
        ({"app": {"exec": "/bin/missing"}}, "/bin/missing", "invalid-spec", "apps[0].exec"),
        ({"app": {"exec": "missing"}}, 'error looking up "missing"', "invalid-spec", "apps[0].exec"),
        ({"app": {"user": "no-such-user"}}, '"no-such-user" user not found', "invalid-spec", "apps[0].user"),
        (
            {"app": {"group": "no-such-group"}},
            '"no-such-group" group not found',
            "invalid-spec",
            "apps[0].group",
        ),
        (
            {"app": {"working_dir": "/nowhere"}},
            'cannot use the working directory "/nowhere"',
            "invalid-spec",
            "apps[0].working_dir",
        ),
        ({"networks": ["nowhere"]}, "networks not found: nowhere", "not-found", "networks[0]"),
    ],
)
@pytest.mark.finding("use-N13")
def test_what_would_stop_a_new_pod_is_found_while_the_old_one_runs(
    host: Host, options: dict[str, Any], message: str, kind: str, where: str
) -> None:
    old = host.pod("good", ports=port(8099))["pod"]
    before = host.machine.snapshot()
    failed = host.pod("good", ports=port(8099), **options)
    assert failed["failed"] is True
    assert message in failed["msg"]
    assert (failed["error"], failed["facts"]["where"]) == (kind, where)
    assert failed["facts"]["stage"] == "prepare"  # the image and net.d are checked before any start
    assert "rolled_back" not in failed
    assert failed["changes"] == []
    (pod,) = host.task("pod_info", gather=["pods"])["pods"]
    assert (pod["uuid"], pod["pid"], pod["state"]) == (old["uuid"], old["pid"], "running")
    assert host.machine.snapshot() == before


def test_an_app_that_fails_again_and_again_is_not_taken_for_one_that_is_up(host: Host) -> None:
    loops = {"args": ["-c", "echo it cannot be; exit 5"], "restart": {"policy": "always", "backoff": "50ms"}}
    old = host.pod()["pod"]
    failed = host.pod(app=loops, update={"min_uptime": 3})
    assert (failed["error"], failed["rolled_back"]) == ("app-failed", True)
    assert "has ended with status 5: it cannot be (restarts: " in failed["msg"]
    assert failed["facts"]["exit_code"] == 5
    (pod,) = host.task("pod_info", gather=["pods"])["pods"]
    assert (pod["state"], pod["apps"][0]["restart"]) == ("running", None)
    assert pod["uuid"] != old["uuid"]
    host.absent()
    waited = host.pod(app=loops, wait=True, wait_timeout=2)
    assert (waited["failed"], waited["error"], waited["rc"]) == (True, "timeout", None)
    assert 'app "app" was started again ' in waited["msg"]
    assert waited["msg"].endswith("and has ended last with status 5")
    told = waited["pod"]["apps"][0]["restart"]
    assert (told["policy"], told["last_exit_code"]) == ("always", 5)
    assert told["restarts"] >= 2
    same = {"args": loops["args"], "restart": {"policy": "always", "backoff": "0.05s", "max_retries": 0}}
    assert host.pod(app=same)["changed"] is False


def test_a_new_pod_that_does_not_come_up_brings_the_old_one_back_with_its_files(host: Host) -> None:
    volume = {"volumes": [{"name": "v"}], "mounts": mounts("v")}
    write = "test -e /v/kept && echo again; touch /v/kept /kept; trap 'exit 0' TERM; sleep 1000 & wait"
    old = host.pod("good", app={"args": ["-c", write]}, **volume)["pod"]
    fails = {"pre_start": ["/bin/sh", "-c", "echo it cannot be; exit 5"], "args": ["-c", write]}
    failed = host.pod("good", app=fails, **volume)
    assert (failed["failed"], failed["rolled_back"]) == (True, True)
    assert "the pre-start handler ended with status 5" in failed["msg"]
    assert (failed["error"], failed["facts"]["stage"]) == ("app-failed", "start")
    assert (failed["facts"]["app"], failed["facts"]["last_lines"]) == (
        "app",
        ["Error: the pre-start handler ended with status 5"],
    )
    (app,) = failed["facts"]["apps"]
    assert (app["name"], app["exit_code"], app["stdout_lines"]) == ("app", 5, ["it cannot be"])
    (pod,) = host.task("pod_info", gather=["pods"])["pods"]
    assert (pod["state"], pod["name"]) == ("running", "web")
    (change,) = failed["changes"]
    assert (change["path"], change["before"], change["after"]) == ("pods.web.uuid", old["uuid"], pod["uuid"])
    directory = host.machine.data / "pods" / "run" / pod["uuid"]
    assert (directory / "sharedVolumes" / "v" / "kept").exists()
    assert list(directory.glob("overlay/*/upper/app/kept"))
    wait_for(lambda: "again" in (directory / "logs" / "app.log").read_text())
    assert host.pod("good", app={"args": ["-c", write]}, **volume)["changed"] is False


@pytest.mark.finding("use-N4")
@pytest.mark.parametrize(
    ("app", "facts"),
    [
        ({"args": ["-c", "echo no database >&2; exit 3"]}, {"exit_code": 3, "last_lines": ["no database"]}),
        ({"exec": "/bin/false", "args": []}, {"exit_code": 1}),
        ({"exec": "/bin/true", "args": []}, {"exit_code": 0}),
        ({"args": ["-c", "sleep 0.3; kill -9 $$"]}, {"signal": 9}),
        (
            {"args": ["-c", "sleep 0.2; exec tail -c 99m /dev/zero"], "memory": "8M"},
            {"signal": 9, "oom": True},
        ),
    ],
    ids=["exits with 3", "false", "true", "killed", "out of memory"],
)
def test_a_new_pod_that_does_not_stay_up_gives_way_to_the_old_one(
    host: Host, app: dict[str, Any], facts: dict[str, Any]
) -> None:
    volume = {"volumes": [{"name": "v"}], "mounts": mounts("v"), "ports": port(8099)}
    write = "test -e /v/kept && echo again; touch /v/kept; while true; do echo hello | nc -l -p 80; done"
    good = {**volume, "app": {"args": ["-c", write]}, "stop_timeout": 0}
    old = host.pod(**good)["pod"]
    del good["app"]
    failed = host.pod(**good, app=app, update={"min_uptime": 3})
    assert (failed["failed"], failed["error"], failed["rolled_back"]) == (True, "app-failed", True)
    assert {**failed["facts"], "apps": ...} == {"app": "app", "stage": "run", "apps": ..., **facts}
    (pod,) = host.task("pod_info", gather=["pods"])["pods"]
    assert (pod["state"], pod["name"]) == ("running", "web")
    (change,) = failed["changes"]
    assert (change["path"], change["before"], change["after"]) == ("pods.web.uuid", old["uuid"], pod["uuid"])
    directory = host.machine.data / "pods" / "run" / pod["uuid"]
    wait_for(lambda: "again" in (directory / "logs" / "app.log").read_text())
    wait_for(lambda: answer(host, "8099") == "hello\n")
    assert host.pod(**good, app={"args": ["-c", write]})["changed"] is False
    assert os.listdir(host.machine.data / "pods" / "run") == [pod["uuid"]]


def answer(host: Host, number: str) -> str:
    """The answer of a port of the host."""
    return host.machine.run("busybox", "nc", "-w", "2", "127.0.0.1", number, check=False).stdout


@pytest.mark.finding("use-N4")
def test_without_a_word_a_new_pod_has_two_seconds_to_fail(host: Host) -> None:
    host.pod()
    failed = host.pod("late", app={"args": ["-c", "sleep 1.2; exit 3"]}, update={})
    assert (failed["error"], failed["rolled_back"]) == ("app-failed", True)


def test_a_new_pod_stays_up_as_long_as_one_app_runs(host: Host) -> None:
    host.pod()
    second = {"image": host.image, "name": "once", "exec": "/bin/true"}
    app = {"image": host.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
    done = host.task(
        "pod_run", name="web", apps=[app, second], insecure_options=["image"], update={"min_uptime": 0.5}
    )
    assert not done.get("failed"), done
    assert (done["changed"], done["pod"]["state"]) == (True, "running")
    assert [app["exit_code"] for app in done["pod"]["apps"]] == [None, 0]


def test_how_long_a_pod_must_stay_up_is_no_part_of_it_and_asked_of_replacements_alone(host: Host) -> None:
    fails = {"args": ["-c", "exit 3"]}
    first = host.pod(app=fails, update={"min_uptime": 5})
    assert first.get("failed") is None
    wait_for(lambda: host.task("pod_info", gather=["pods"])["pods"][0]["exit_code"] == 3)
    host.absent()
    old = host.pod(update={"min_uptime": 5})["pod"]
    assert host.pod(update={"min_uptime": 1.5})["changed"] is False
    ended = host.pod(app={"args": ["-c", "exit 0"]}, update={"min_uptime": 5}, wait=True)
    assert (ended["rc"], "rolled_back" in ended) == (0, False)
    assert ended["pod"]["uuid"] != old["uuid"]


def test_a_restarted_pod_that_does_not_stay_up_fails_the_task_and_is_tried_once_more(host: Host) -> None:
    once = "test -e /v/up && exit 3; touch /v/up; " + SERVE
    volume = {"name": "v", "source": str(host.machine.data.parent)}
    options = {"app": {"args": ["-c", once]}, "volumes": [volume], "mounts": mounts("v")}
    assert host.pod(**options)["pod"]["state"] == "running"
    failed = host.pod(**options, state="restarted", update={"min_uptime": 1})
    assert (failed["error"], failed["facts"]["exit_code"]) == ("app-failed", 3)


def test_check_mode_foretells_what_would_stop_the_run(host: Host) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    missing = {"volumes": [{"name": "v", "source": "/nowhere"}], "mounts": mounts("v")}
    for options, message in (
        (missing, "Failed to stat /nowhere"),
        ({"app": {"image": "/nowhere.aci"}}, "/nowhere.aci"),
        ({"app": {"image": "docker://127.0.0.1:1/none:1"}, "pull": "never"}, "unable to fetch docker image"),
        ({"app": {"image": "nothing"}}, '"nothing"'),
    ):
        foretold = host.pod(check=True, **options)
        assert foretold["changed"] is True
        assert ["this would fail now" in line and message in line for line in foretold["warnings"]] == [True]
        assert host.pod(**options)["failed"] is True
    refused = host.pod(check=True, app={"image": "docker://127.0.0.1:1/none:1"}, insecure_options=[])
    assert refused["error"] == "untrusted"


def test_a_pod_that_ends_at_once_is_told_of(host: Host) -> None:
    def warned() -> bool:
        warnings = host.pod(app={"args": ["-c", "exit 3"]})["warnings"]
        return any('pod "web" has ended already, with status 3' in line for line in warnings)

    wait_for(warned)  # whether it has ended by then depends on milliseconds


def test_an_image_file_that_was_touched_is_the_same_image(host: Host) -> None:
    pod = host.pod()["pod"]
    os.utime(host.image)
    assert host.pod(check=True)["changed"] is False
    assert host.pod()["changed"] is False
    assert host.task("pod_image", name=host.image, insecure_options=["image"])["changed"] is False
    assert host.pod()["pod"]["uuid"] == pod["uuid"]


def test_an_image_that_changes_is_to_blame_for_what_comes_of_it(host: Host) -> None:
    def image(marker: str) -> str:
        app = {
            "exec": ["/bin/sh"],
            "user": "0",
            "group": "0",
            "environment": [{"name": "OF", "value": marker}],
        }
        more = {"marker": (0o644, marker.encode())}
        return str(write_image(pathlib.Path(host.image), "example.com/busybox", app, more))

    image("one")
    first = host.pod("a")["pod"]["apps"][0]["image_id"]
    image("two")
    foretold = host.pod("b", check=True)
    done = host.pod("b")
    reasons = {change["path"]: change["reason"] for change in done["changes"]}
    assert reasons == {
        f"images.{host.image}": "image",
        "apps[0].image": "image",
        "apps[0].environment.LEVEL": "playbook",
        "apps[0].environment.OF": "image",
    }
    # Whether the image makes the same root is known once it is fetched.
    assert {"apps[0].environment.LEVEL", "apps[0].image"} < set(paths(foretold))
    (fetched,) = [change for change in done["changes"] if change["path"] == f"images.{host.image}"]
    assert (fetched["before"], fetched["after"]) == (first, done["pod"]["apps"][0]["image_id"])


def test_tasks_about_one_name_wait_for_each_other(host: Host) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    app = {"image": host.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
    options = {"name": "web", "apps": [app], "insecure_options": ["image"]}
    both = [host.start("pod_run", "run", options) for _other in range(2)]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert len({result["pod"]["uuid"] for result in results}) == 1
    assert len(host.task("pod_info", gather=["pods"])["pods"]) == 1
    assert not os.listdir(host.machine.data / "locks") or "name-web" not in os.listdir(
        host.machine.data / "locks"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"app": {"image": "docker://127.0.0.1:1/none:1"}}, "127.0.0.1:1"),
        ({"app": {"image": "/nowhere.aci"}}, "/nowhere.aci"),
        (
            {"volumes": [{"name": "v", "volume": "gone"}], "mounts": [{"volume": "v", "target": "/v"}]},
            'there is no volume "gone"',
        ),
        ({"mounts": [{"volume": "v", "target": "/v"}]}, 'volume "v" not found'),
        ({"app": {"memory": "12X"}}, "apps[0].memory"),
        ({"app": {"environment": {"A": True}}}, "apps[0].environment.A"),
        ({"app": {"name": "Not_Valid"}}, "apps[0].name"),
        ({"app": {"user": "no-such-user"}}, '"no-such-user" user not found'),
        ({"networks": ["nowhere"]}, "networks not found: nowhere"),
        ({"ports": [{"name": "https", "host_port": 1}]}, 'port name "https" could not be found in any apps'),
        ({"ports": [{"name": "http", "host_port": 70000}]}, "ports[0]"),
    ],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(
    host: Host, options: dict[str, Any], message: str
) -> None:
    host.pod()
    host.absent()
    before = host.machine.snapshot()
    failed = host.pod(**options)
    assert failed["failed"] is True
    assert message in failed["msg"]
    assert host.machine.snapshot() == before


@pytest.mark.behaviour("B27")
def test_an_image_that_nobody_signed_is_refused_unless_told(host: Host) -> None:
    failed = host.pod(insecure_options=[])
    assert (failed["failed"], failed["error"]) == (True, "untrusted")
    assert host.task("pod_info", gather=["images"])["images"] == []


@pytest.mark.behaviour("B52")
@pytest.mark.parametrize("damage", ["escape", "truncated"])
def test_a_hostile_or_broken_archive_is_refused(host: Host, tmp_path: pathlib.Path, damage: str) -> None:
    image = pathlib.Path(host.image)
    broken = tmp_path / "broken.aci"
    data = image.read_bytes()
    escaping = data.replace(b"rootfs/data/shipped", b"rootfs/../../escape")
    broken.write_bytes(data[: len(data) // 2] if damage == "truncated" else escaping)
    failed = host.task("pod_image", name=str(broken), insecure_options=["image"])
    assert (failed["failed"], failed["error"]) == (True, "corrupt")
    assert host.task("pod_info", gather=["images"])["images"] == []
    assert not list(host.machine.data.rglob("escape"))


def test_a_port_in_use_is_refused_before_anything_is_touched(host: Host) -> None:
    ports = [{"name": "http", "host_port": 8099}]
    host.pod(ports=ports)
    failed = host.task(
        "pod_run",
        name="other",
        apps=[{"image": host.image, "exec": "/bin/true"}],
        ports=ports,
        insecure_options=["image"],
    )
    assert (failed["failed"], failed["error"]) == (True, "conflict")
    assert "host port tcp 0.0.0.0:8099 is in use by pod" in failed["msg"]
    assert [pod["name"] for pod in host.task("pod_info", gather=["pods"])["pods"]] == ["web"]


def test_values_of_variables_show_up_nowhere(host: Host) -> None:
    shown = [host.pod(CANARY), host.pod(CANARY + "2"), host.task("pod_info"), host.pod("x", check=True)]
    assert CANARY not in json.dumps(shown)


def test_volumes_keep_their_data_unless_told(host: Host) -> None:
    made = host.task("pod_volume", name="work", mode="0750", uid=100)
    path = pathlib.Path(made["volume"]["path"])
    (path / "kept").write_text("data")
    assert host.task("pod_volume", name="work", mode="0750", uid=100)["changed"] is False
    assert paths(host.task("pod_volume", name="work", mode="0700", uid=100)) == ["volumes.work.mode"]
    refused = host.task("pod_volume", name="work", state="absent")
    assert "holds data" in refused["msg"]
    assert (path / "kept").read_text() == "data"
    assert host.task("pod_volume", name="work", state="absent", purge_data=True)["changed"] is True
    assert not path.exists()


def test_a_volume_in_use_stays(host: Host) -> None:
    host.task("pod_volume", name="work")
    host.pod(volumes=[{"name": "work", "volume": "work"}])
    assert "in use by pod web" in host.task("pod_volume", name="work", state="absent", purge_data=True)["msg"]


def test_gc_foretells_exactly_what_it_frees(host: Host) -> None:
    host.task("pod_image", name=host.image, insecure_options=["image"])
    everything = {"grace_period": 0, "expire_prepared": 0, "images": True, "image_grace_period": 0}
    foretold = host.task("pod_gc", check=True, **everything)
    done = host.task("pod_gc", **everything)
    assert foretold == done
    assert done["images"]
    assert host.task("pod_gc", **everything)["changed"] is False


def test_gc_leaves_what_runs(host: Host) -> None:
    pod = host.pod()["pod"]
    everything = {"grace_period": 0, "expire_prepared": 0, "images": True, "image_grace_period": 0}
    assert host.task("pod_gc", **everything)["changed"] is False
    assert host.pod()["pod"]["uuid"] == pod["uuid"]


@pytest.mark.timeout(600)
def test_a_task_killed_at_any_moment_is_made_up_for_by_the_next(host: Host) -> None:
    """kill -9 at moments all over a task, then converge: always the wanted state, and no leftovers in the end.

    Every other time only the module is killed, while the podctl that it has started goes on, else both are.
    """
    host.pod()
    host.absent()
    before = host.machine.snapshot()
    chance = random.Random(7)
    moments = [LONGEST * (number + chance.random()) / KILLS for number in range(KILLS)]
    chance.shuffle(moments)
    ports = [{"name": "http", "host_port": 8099}]
    cut_off = 0
    for number in range(KILLS):
        options = {"ports": ports, "name": "web", "stop_timeout": 2, "insecure_options": ["image"]}
        app = {
            "image": host.image,
            "name": "app",
            "exec": "/bin/sh",
            "args": ["-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
        }
        app["environment"] = {"NUMBER": str(number)}
        victim = host.start("pod_run", "run", {**options, "apps": [app]})
        time.sleep(moments[number])
        cut_off += host.kill(victim, alone=bool(number % 2))
        if number % 5 == 0:
            result = host.task("pod_run", apps=[app], **options)
            assert not result.get("failed"), result
            assert result["pod"]["state"] == "running"
    assert cut_off > KILLS // 2
    host.absent()
    host.task("pod_gc", grace_period=0, expire_prepared=0)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: host.machine.snapshot() == before)
    assert host.machine.snapshot() == before


def test_a_forwarded_port_leads_to_the_pod(host: Host) -> None:
    serve = "while true; do echo hello | nc -l -p 80; done"
    host.pod(ports=[{"name": "http", "host_port": 8099}], app={"args": ["-c", serve]}, stop_timeout=0)
    wait_for(
        lambda: (
            "hello" in host.machine.run("busybox", "nc", "-w", "2", "127.0.0.1", "8099", check=False).stdout
        )
    )


@pytest.mark.finding("attack-F1")
def test_an_image_that_asks_for_the_host_changes_nothing_without_consent(
    host: Host, tmp_path: pathlib.Path
) -> None:
    isolators = [
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}
    ]
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0", "isolators": isolators}
    evil = {"image": str(write_image(tmp_path / "evil.aci", "example.com/evil", app))}
    host.task("pod_image", name=evil["image"], insecure_options=["image"])
    before = host.machine.snapshot()
    for check in (True, False):
        refused = host.pod(check=check, app=evil)
        assert (refused["failed"], refused["error"], refused["changed"]) == (True, "untrusted", False)
        assert refused["facts"]["beyond"] == {"app": {isolators[0]["name"]: ["CAP_SYS_ADMIN"]}}
        assert "image_isolators: accept" in refused["hint"]
        assert host.machine.snapshot() == before
    narrowed = host.pod(app=evil, image_isolators="narrow")
    assert any("CAP_SYS_ADMIN" in warning for warning in narrowed["warnings"])
    assert host.pod(app=evil, image_isolators="narrow")["changed"] is False
    path = "apps[0].caps_retain"
    assert paths(host.pod(check=True, app={**evil, "image_isolators": "accept"})) == [path]
    # The operator's own isolator is consent, and the pod keeps running.
    own = host.pod(app={**evil, "caps_retain": ["CAP_CHOWN"]})
    assert (own["changed"], own["warnings"]) == (False, [])


@pytest.mark.finding("http-F4")
def test_an_image_names_its_way_into_no_volume_of_another_app(host: Host, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of-a")
    points = [{"name": "keys", "path": "/steal"}, {"name": "a-data", "path": "/steal2"}]
    thief = {"exec": ["/bin/sh"], "user": "0", "group": "0", "mountPoints": points}
    owner = {**thief, "mountPoints": [{"name": "data", "path": "/data"}]}
    of_a = {"image": str(write_image(tmp_path / "a.aci", "example.com/owner", owner)), "name": "a"}
    of_b = {"image": str(write_image(tmp_path / "b.aci", "example.com/thief", thief)), "name": "b"}
    for made in (of_a, of_b):
        host.task("pod_image", name=made["image"], insecure_options=["image"])
    words = "echo seen: $(ls /steal /steal2); while true; do sleep 1; done"
    options = {
        "volumes": [{"name": "keys", "source": str(secret)}],
        "apps": [
            {
                **of_a,
                "args": ["-c", f"touch /data/x; {words}"],
                "mounts": [{"volume": "keys", "target": "/keys"}],
            },
            {**of_b, "args": ["-c", f"sleep 1; {words}"]},
        ],
    }
    foretold, run = host.pod(check=True, **options), host.pod(**options)
    assert foretold["warnings"] == run["warnings"]
    assert any('of app "b" does not get the volume of that name' in line for line in run["warnings"])
    log = host.machine.data / "pods" / "run" / run["pod"]["uuid"] / "logs" / "b.log"
    wait_for(lambda: "seen:" in log.read_text())
    assert log.read_text().split("seen:")[1].strip() == "/steal: /steal2:"
    assert host.pod(**options)["changed"] is False


@pytest.mark.finding("http-F10")
def test_a_damaged_image_is_foretold_and_mended_while_a_pod_lives_on_it(host: Host) -> None:
    pod = host.pod()["pod"]
    (tree,) = (host.machine.data / "tree").glob("deps-*")
    (layer,) = (host.machine.data / "tree" / "layers").iterdir()
    seen = layer / "rootfs" / "bin" / "busybox"
    inode = seen.stat().st_ino
    options: dict[str, Any] = {"name": host.image, "insecure_options": ["image"]}
    for damage in (
        lambda: (tree / "stack").write_bytes(b"\x00{"),
        (tree / "stack").unlink,
        (tree / "layers").unlink,
        (tree / "rendered").unlink,
    ):
        damage()
        foretold = host.task("pod_image", check=True, **options)
        mended = host.task("pod_image", **options)
        assert foretold["changed"] is mended["changed"] is True
        assert paths(foretold) == paths(mended)
        assert host.task("pod_image", **options)["changed"] is False
        assert (tree / "stack").read_text().startswith("layers/")
        assert seen.stat().st_ino == inode, "the pod uses these files"
    again = host.pod()
    assert (again["changed"], again["pod"]["uuid"], again["pod"]["state"]) == (False, pod["uuid"], "running")


def test_an_app_is_stopped_with_the_signal_that_its_task_names(host: Host) -> None:
    script = "trap 'echo asked by quit; exit 0' QUIT; trap 'echo asked by term; exit 0' TERM; echo ready; "
    app = {"args": ["-c", script + "while true; do sleep 0.1; done"]}
    for signal_name, said in ({"stop_signal": "quit"}, "quit"), ({}, "term"):
        host.pod(app={**app, **signal_name})
        wait_for(lambda: "ready" in output(host))
        host.pod(app={**app, **signal_name}, state="stopped")
        assert output(host) == ["ready", f"asked by {said}"]


def output(host: Host) -> list[str]:
    (pod,) = host.task("pod_info", gather=["pods"], name="web", tail=20)["pods"]
    lines: list[str] = pod["apps"][0]["stdout_lines"]
    return lines
