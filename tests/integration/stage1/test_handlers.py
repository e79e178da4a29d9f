# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The rights of event handlers: those of their app, and none that could prevent the pod's end."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import mask_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    StageLab,
    eventually,
    finish,
    groups_of,
)

EVENTS = ("pre-start", "post-stop")
QUICK = RunSpec(networks=HOST_NET.networks, stop_timeout=1)


def handler(event: str, script: str) -> dict[str, object]:
    return {"name": event, "exec": ["/bin/sh", "-c", script]}


@pytest.mark.behaviour("C18", "C35")
@pytest.mark.parametrize("event", EVENTS)
def test_a_handler_opens_no_device_that_its_app_may_not(stage: StageLab, event: str) -> None:
    # A device that any process which may create its node can open everywhere else.
    look = "mknod /fuse c 10 229 2>/dev/null; (exec 3< /fuse) 2>/dev/null && echo opened || echo refused"
    done = stage.run("true", eventHandlers=[handler(event, look)])
    assert done.lines == ["refused"], done.err


@pytest.mark.behaviour("C18", "C44")
@pytest.mark.parametrize("event", EVENTS)
def test_a_handler_has_no_more_memory_than_its_app(stage: StageLab, event: str) -> None:
    eater = "head -c 67108864 /dev/zero | tail -c 67108864 > /dev/null && echo survived; true"
    limit = [{"name": "resource/memory", "value": {"limit": "16M"}}]
    done = stage.run("true", eventHandlers=[handler(event, eater)], isolators=limit)
    assert "survived" not in done.lines


@pytest.mark.behaviour("C18", "C49")
@pytest.mark.parametrize("event", EVENTS)
def test_a_handler_has_the_filter_of_its_app(stage: StageLab, event: str) -> None:
    refused = {"errno": "EPERM", "set": ["mkdir", "mkdirat"]}
    filtered = [{"name": "os/linux/seccomp-remove-set", "value": refused}]
    look = "grep -w Seccomp: /proc/self/status; mkdir /new 2>&1 | grep -o 'not permitted'"
    done = stage.run("true", eventHandlers=[handler(event, look)], isolators=filtered)
    assert [line.split("\t")[-1] for line in done.lines] == ["2", "not permitted"], done.text


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C18")
@pytest.mark.parametrize("no_new_privs", [False, True])
def test_a_handler_has_the_bounds_of_its_app(stage: StageLab, no_new_privs: bool) -> None:
    """Also of an app that is another user, and that has no filter."""
    fields = "CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp"
    look = f"grep -E '^({fields}):' /proc/self/status; grep -E 'files|core' /proc/self/limits | tr -s ' '"
    isolators = [
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_CHOWN"]}},
        {"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}},
        {"name": "os/linux/no-new-privileges", "value": no_new_privs},
    ]
    handlers = [handler(event, look) for event in EVENTS]
    pod = stage.sh(f"sleep 0.2; {look}; sleep 0.2", eventHandlers=handlers, isolators=isolators)
    done = pod.call(prefix=["/bin/sh", "-c", 'ulimit -S -n 123; exec "$@"', "sh"])
    assert len(done.lines) == 24
    before, app, after = done.lines[:8], done.lines[8:16], done.lines[16:]
    assert before == app == after
    assert f"NoNewPrivs:\t{int(no_new_privs)}" in app
    assert "Max open files 123 " in " ".join(app)


@pytest.mark.behaviour("C18")
def test_what_a_post_stop_leaves_behind_does_not_keep_the_pod(stage: StageLab) -> None:
    script = "(while :; do echo more; done) & exit 0"
    pod = stage.sh("true", QUICK, eventHandlers=[handler("post-stop", script)])
    started = time.monotonic()
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    pod.wait_ended()
    assert time.monotonic() - started < 25
    assert pod.statuses() == {"main": 0}


@pytest.mark.behaviour("C18")
def test_a_post_stop_that_cannot_be_started_is_told_in_the_log_and_the_pod_goes_on(stage: StageLab) -> None:
    apps = {
        "one": {"exec": ["sleep", "3"], "eventHandlers": [handler("post-stop", "true")]},
        "two": {"exec": ["sleep", "60"]},
    }
    pod = stage.pod(apps)
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    bound = next(
        iter(filter(pathlib.Path.exists, (pathlib.Path(g) / "pids.max" for g in groups_of(pod.uuid))))
    )
    bound.write_text("1")
    eventually(lambda: "post-stop handler could not be started" in pod.log("one"))
    assert pod.state() == "running"
    bound.write_text("max")
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    pod.wait_ended()
    assert pod.statuses() == {"one": 0, "two": 0}


@pytest.mark.finding("attack-F3")
@pytest.mark.parametrize("user", ["root", "worker"])
@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.hosts_users
def test_a_handler_that_may_trace_finds_no_more_rights_in_what_waits_for_it(
    stage: StageLab, user: str, filtered: bool
) -> None:
    """It could write to that process's memory, and so get its rights."""
    isolators: list[dict[str, object]] = [
        {
            "name": "os/linux/capabilities-retain-set",
            "value": {"set": ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]},
        },
    ]
    if not filtered:
        isolators.append({"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}})
    look = "grep -E '^(Uid|CapInh|CapPrm|CapEff|CapBnd|CapAmb):' /proc/{}/status"
    attack = "sleep 0.2; " + look.format("$PPID") + "; mkdir /made; chmod 777 /made"
    app: dict[str, object] = {"user": user, "group": "root", "workingDirectory": "/made"}
    more = {"eventHandlers": [handler("pre-start", attack)], "isolators": isolators}
    done = stage.run(f"{look.format('self')}; pwd; grep Seccomp: /proc/self/status", **app, **more)
    assert len(done.lines) == 14, done.text + done.err
    assert done.lines[:6] == done.lines[6:12]
    assert done.lines[12:] == ["/made", f"Seccomp:\t{2 if filtered else 0}"]
    rights = dict(line.split(":\t") for line in done.lines[:6])
    assert int(rights["CapBnd"], 16) == mask_of(("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"))
    assert int(rights["CapPrm"], 16) == (int(rights["CapBnd"], 16) if user == "root" else 0)


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C18")
@pytest.mark.parametrize(
    "ignores", ["", "trap '' TERM; "], ids=["that can be stopped", "that has to be killed"]
)
def test_a_pre_start_without_an_end_does_not_keep_who_starts_the_pod(stage: StageLab, ignores: str) -> None:
    apps = {
        "one": {"exec": ["sleep", "60"]},
        "two": {"exec": ["sleep", "60"], "eventHandlers": [handler("pre-start", f"{ignores}sleep 60")]},
    }
    pod = stage.pod(apps, QUICK)
    done = pod.call(detach=True, seconds=3)
    said = (
        'app-failed: app "two" could not be started: its pre-start handler has not ended within 2 seconds\n'
    )
    assert (done.status, done.err) == (254, said)
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C11")
def test_an_app_that_never_says_that_it_is_ready_does_not_either(stage: StageLab) -> None:
    notifies = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    pod = stage.sh("trap 'echo asked to end; exit 0' TERM; sleep 60 & wait", annotations=notifies)
    done = pod.call(detach=True, seconds=3)
    said = 'app-failed: app "main" could not be started: it has not said READY=1 within 2 seconds\n'
    assert (done.status, done.err) == (254, said)
    assert "asked to end" in pod.log()
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.finding("pods-F12")
def test_a_pod_whose_first_process_is_held_is_ended_all_the_same(stage: StageLab) -> None:
    pod = stage.sh("true", eventHandlers=[handler("pre-start", "sleep 60")])
    process = pod.start(detach=True, seconds=3)
    os.kill(pod.pid(), signal.SIGSTOP)
    done = finish(process)
    assert (done.status, done.err) == (254, "host-failure: the pod has not started within 3 seconds\n")
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C18")
def test_nobody_waits_for_the_apps_of_a_pod_in_the_foreground(stage: StageLab) -> None:
    pod = stage.sh("echo begun", eventHandlers=[handler("pre-start", "sleep 3")])
    done = pod.call(seconds=1)
    assert (done.status, done.lines) == (0, ["begun"])
