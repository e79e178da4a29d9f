# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""list, status, stop, rm, gc, cat-manifest, logs and what they refuse, on pods that no process runs."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.request import EnterRequest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.starter import enter
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import (
    ID,
    PodLab,
    write,
)

WAITED = "status: hint: wait longer; podctl logs UUID shows what its apps do\n"


@pytest.mark.behaviour("A31", "A32", "A36")
def test_a_list_shows_pods_by_uuid_and_leaves_out_what_is_none_yet_or_no_more(lab: PodLab) -> None:
    shown = [lab.make("prepared"), lab.make("run"), lab.make("exited-garbage"), lab.make("prepare")]
    for state in ("embryo", "garbage"):
        lab.make(state)
    rows = [line.split("\t") for line in lab.podctl("list", "--no-legend", "--full").out.splitlines()]
    assert [row[0] for row in rows] == sorted(pod.uuid for pod in shown)
    states = {
        pod.uuid: state
        for pod, state in zip(shown, ("prepared", "exited", "exited garbage", "aborted prepare"))
    }
    assert all(states[row[0]] in row for row in rows)
    assert ID[:19] in rows[0]


@pytest.mark.behaviour("D1")
def test_a_list_makes_the_directories_of_pods(lab: PodLab) -> None:
    lab.podctl("list")
    assert sorted(os.listdir(lab.paths.pods)) == [
        "embryo",
        "exited-garbage",
        "garbage",
        "prepare",
        "prepared",
        "run",
    ]


@pytest.mark.finding("trial6-7")
@pytest.mark.parametrize("words", [("list",), ("image", "list")])
def test_a_list_of_a_directory_that_is_not_there_makes_nothing(
    lab: PodLab, tmp_path: pathlib.Path, words: tuple[str, ...]
) -> None:
    data = f"{tmp_path}/mistyped/data"
    answer = lab.podctl(f"--dir={data}", *words)
    assert (answer.status, len(answer.out.splitlines())) == (0, 1)
    assert answer.err == f'list: there is no data directory "{data}" yet\n'
    assert not os.path.exists(f"{tmp_path}/mistyped")


@pytest.mark.finding("trial6-7")
@pytest.mark.parametrize("words", [("status", "x"), ("cat-manifest", "x"), ("image", "cat-manifest", "x")])
def test_commands_that_only_read_make_nothing(lab: PodLab, words: tuple[str, ...]) -> None:
    assert lab.podctl(*words).status == 254
    assert not os.path.exists(lab.paths.data)


@pytest.mark.behaviour("A38")
def test_a_pod_that_cannot_be_read_is_told_below_the_list(lab: PodLab) -> None:
    pod = lab.make("prepared")
    write(pod.dir.manifest, "{")
    answer = lab.podctl("list")
    assert answer.status == 0
    assert answer.err.startswith(f"1 error(s) encountered when listing pods:\n{pod.uuid}: ")
    assert "-" in answer.out.splitlines()[1].split("\t")


@pytest.mark.behaviour("A37", "A38")
def test_a_list_in_json(lab: PodLab) -> None:
    pod = lab.make("prepared", "web", "db")
    found = json.loads(lab.podctl("list", "--format=json-pretty").out)
    assert [(entry["name"], entry["app_names"]) for entry in found] == [(pod.uuid, ["web", "db"])]
    answer = lab.podctl("list", "--format=yaml")
    assert (answer.status, answer.err.splitlines()[0]) == (254, "list: Invalid format option: yaml")


@pytest.mark.behaviour("A39", "A64", "D5")
def test_a_status_by_a_part_of_the_uuid_or_by_name(lab: PodLab) -> None:
    pod = lab.make("run", "web", "db", name="front")
    write(pod.dir.pid, "77\n")
    write(pod.dir.app_status("web"), "3")
    for text in (pod.uuid, pod.uuid[:13].upper(), "front"):
        lines = lab.podctl("status", text).out.splitlines()
        assert lines[0] == "state=exited"
        assert lines[3:] == ["networks=", "pid=77", "exited=true", "app-web=3", "name=front"]


@pytest.mark.behaviour("A64")
def test_a_name_goes_before_the_beginning_of_a_uuid(lab: PodLab) -> None:
    other = lab.make("run")
    lab.make("prepared", name=other.uuid[:4])
    assert lab.podctl("status", other.uuid[:4]).out.startswith("state=prepared\n")
    assert lab.podctl("status", other.uuid[:5]).out.startswith("state=exited\n")


@pytest.mark.behaviour("A41", "G6")
def test_a_status_by_a_file(lab: PodLab, tmp_path: object) -> None:
    pod = lab.make("prepared")
    write(f"{tmp_path}/uuid", f"  {pod.uuid}\n")
    assert lab.podctl("status", f"--uuid-file={tmp_path}/uuid").out.startswith("state=prepared\n")
    missing = lab.podctl("status", f"--uuid-file={tmp_path}/none")
    assert (missing.status, missing.err) == (
        1,
        f"status: unable to read UUID from file: {tmp_path}/none: no such file or directory\n",
    )


@pytest.mark.slow
@pytest.mark.behaviour("A40", "A63", "D15")
@pytest.mark.parametrize(
    ("flag", "waits"),
    [
        ("--wait", True),
        ("--wait=5s", True),
        ("--wait=false", False),
        ("--wait=0", False),
        ("--wait=-1s", True),
    ],
)
def test_waiting_for_the_end(lab: PodLab, flag: str, waits: bool) -> None:
    pod = lab.make("run", locked=True)
    release = threading.Timer(0.25, pod.close)
    if waits:
        release.start()
    answer = lab.podctl("status", flag, pod.uuid)
    release.join() if waits else pod.close()
    assert answer.out.splitlines()[0] == ("state=exited" if waits else "state=running")


@pytest.mark.finding("trial6-15")
@pytest.mark.behaviour("A40")
def test_waiting_has_a_limit(lab: PodLab) -> None:
    pod = lab.make("run", locked=True)
    begin = time.monotonic()
    answer = lab.podctl("status", "--wait=150ms", pod.uuid)
    begun = f'status: error waiting for pod to finish: after 0.15 s pod "{pod.uuid}" is still running\n'
    assert (answer.status, answer.err) == (254, f"{begun}{WAITED}")
    assert 0.1 < time.monotonic() - begin < 20
    assert lab.podctl("status", "--wait=soon", pod.uuid).status == 254


@pytest.mark.behaviour("A40")
def test_waiting_until_apps_have_been_started(lab: PodLab) -> None:
    pod = lab.make("run", locked=True)
    answer = lab.podctl("status", "--wait-ready=150ms", pod.uuid)
    begun = f'status: error waiting for pod to finish: after 0.15 s pod "{pod.uuid}" is still not ready\n'
    assert (answer.status, answer.err) == (254, f"{begun}{WAITED}")
    os.makedirs(os.path.dirname(pod.dir.supervisor_status))
    os.symlink("ready", pod.dir.supervisor_status)
    assert lab.podctl("status", "--wait-ready=1s", pod.uuid).out.startswith("state=running\n")


@pytest.mark.parametrize("words", [(), ("a", "b")])
def test_a_status_takes_one_pod(lab: PodLab, words: tuple[str, ...]) -> None:
    answer = lab.podctl("status", *words)
    assert (answer.status, answer.err.splitlines()[0]) == (
        254,
        f"Error: status takes one UUID, not {len(words)}",
    )


@pytest.mark.finding("trial6-17")
@pytest.mark.usefixtures("as_root")
def test_a_prepared_pod_without_its_manifest_stays_and_can_be_removed(lab: PodLab) -> None:
    pod = lab.make("prepared")
    os.remove(pod.dir.manifest)
    answer = lab.podctl("run-prepared", pod.uuid)
    assert (answer.status, answer.err) == (
        254,
        f'run-prepared: the manifest of pod "{pod.uuid}" is missing: {pod.dir.manifest}\n'
        f"run-prepared: hint: podctl rm {pod.uuid} removes what is left of it\n",
    )
    assert lab.podctl("rm", pod.uuid).status == 0
    assert not os.path.exists(lab.paths.pod("prepared", pod.uuid).path)


@pytest.mark.behaviour("A42")
def test_stop_says_what_there_is_not_to_stop(lab: PodLab) -> None:
    ended, prepared = lab.make("run"), lab.make("prepared")
    answer = lab.podctl("stop", ended.uuid)
    assert (answer.status, answer.out) == (0, f'pod "{ended.uuid}" is already stopped\n')
    answer = lab.podctl("stop", prepared.uuid, "nosuch")
    assert answer.status == 254
    assert answer.err == (
        f'stop: pod "{prepared.uuid}" is not running\n'
        'stop: problem retrieving pod: no matches found for "nosuch"\n'
        "stop: hint: podctl list shows all pods\n"
        "stop: failed to stop 2 pod(s)\n"
    )


@pytest.mark.finding("trial6-14")
@pytest.mark.behaviour("A43", "G5")
@pytest.mark.usefixtures("as_root")
def test_rm_removes_and_goes_on_after_a_refusal(lab: PodLab) -> None:
    running, prepared = lab.make("run", locked=True), lab.make("prepared")
    answer = lab.podctl("rm", running.uuid, "", prepared.uuid)
    assert (answer.status, answer.out) == (254, f'"{prepared.uuid}"\n')
    assert f'rm: pod "{running.uuid}" is currently running\n' in answer.err
    assert "podctl status --wait UUID; podctl stop --force UUID kills it" in answer.err
    assert "UUID cannot be empty\n" in answer.err
    assert answer.err.endswith("rm: failed to remove one or more pods\n")
    assert not os.path.exists(lab.paths.pod("prepared", prepared.uuid).path)
    assert os.path.exists(running.dir.path)


@pytest.mark.behaviour("A43")
@pytest.mark.usefixtures("as_root")
def test_rm_forgets_the_name(lab: PodLab) -> None:
    lab.make("prepared", name="front")
    assert lab.podctl("rm", "front").status == 0
    assert lab.podctl("status", "front").status == 254


@pytest.mark.behaviour("A44", "D16", "D17")
@pytest.mark.usefixtures("as_root")
def test_gc_tells_what_it_does(lab: PodLab) -> None:
    aborted, prepared, kept = lab.make("prepare"), lab.make("prepared"), lab.make("exited-garbage")
    answer = lab.podctl("gc", "--expire-prepared=0", "--grace-period=90s")
    assert answer.status == 0
    assert sorted(answer.err.splitlines()) == sorted(
        [
            f'gc: moving failed prepare "{aborted.uuid}" to garbage',
            f'gc: moving expired prepared pod "{prepared.uuid}" to garbage',
            f'gc: pod "{kept.uuid}" not removed: still within grace period (1m30s)',
        ]
    )
    assert sorted(answer.out.splitlines()) == sorted(
        f'Garbage collecting pod "{pod.uuid}"' for pod in (aborted, prepared)
    )


@pytest.mark.behaviour("A44", "D16")
@pytest.mark.usefixtures("as_root")
def test_gc_may_only_mark(lab: PodLab) -> None:
    ended = lab.make("run")
    answer = lab.podctl("gc", "--mark-only", "--grace-period=0")
    assert (answer.out, answer.err) == ("", f'gc: moving pod "{ended.uuid}" to garbage\n')
    assert os.path.isdir(lab.paths.pod("exited-garbage", ended.uuid).path)


@pytest.mark.usefixtures("as_root")
def test_gc_refuses_what_is_no_duration(lab: PodLab) -> None:
    assert lab.podctl("gc", "--grace-period=soon").err.startswith('gc: invalid duration "soon"\n')


@pytest.mark.behaviour("A47")
def test_the_manifest_is_indented_unless_asked_otherwise(lab: PodLab) -> None:
    pod = lab.make("prepared")
    assert lab.podctl("cat-manifest", pod.uuid).out.startswith('{\n\t"acKind": "PodManifest"')
    assert lab.podctl("cat-manifest", "--pretty-print=false", pod.uuid).out.startswith(
        '{"acKind":"PodManifest"'
    )


@pytest.mark.behaviour("A45")
@pytest.mark.usefixtures("as_root")
def test_enter_wants_a_running_pod_and_one_app(lab: PodLab) -> None:
    ended, running = lab.make("run"), lab.make("run", "web", "db", locked=True)
    assert lab.podctl("enter", ended.uuid).err == f'enter: pod "{ended.uuid}" isn\'t currently running\n'
    answer = lab.podctl("enter", running.uuid)
    assert (answer.status, answer.err) == (
        254,
        'Pod contains multiple apps:\n\tweb\n\tdb\nenter: specify app using "podctl enter --app= ..."\n',
    )
    assert 'has no app "x"' in lab.podctl("enter", "--app=x", running.uuid).err


@pytest.mark.finding("attack-F2", "use-N21")
@pytest.mark.usefixtures("as_root")
def test_flags_of_enter_become_what_is_entered(lab: PodLab, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[EnterRequest] = []
    monkeypatch.setattr(enter, "enter", lambda _host, _pod, entry: heard.append(entry) or 0)
    monkeypatch.setenv("TERM", "lab")
    uuid = lab.make("run", "web", locked=True).uuid
    flags = [
        "--user=www",
        "--group",
        "/srv",
        "--supplementary-gids=7,8",
        "--workdir=/srv",
        "--env=A=b=c",
        "--env",
        "B=",
    ]
    assert lab.podctl("enter", *flags, uuid, "ls", "--privileged").status == 0
    assert lab.podctl("enter", "--privileged", uuid, "ls").status == 0
    more = (("A", "b=c"), ("B", ""))
    assert heard == [
        EnterRequest("web", ("ls", "--privileged"), "lab", "www", "/srv", (7, 8), "/srv", more),
        EnterRequest("web", ("ls",), "lab", privileged=True),
    ]
    for wrong in ("--supplementary-gids=x", "--workdir=here", "--env=A"):
        assert "invalid argument" in lab.podctl("enter", wrong, uuid, "ls").err
    assert "rkt" in lab.podctl("help", "enter").out


@pytest.mark.behaviour("A25")
@pytest.mark.usefixtures("as_root")
def test_only_a_prepared_pod_can_be_run(lab: PodLab) -> None:
    ended, double = lab.make("run"), lab.make("prepared", "web", "db")
    answer = lab.podctl("run-prepared", ended.uuid)
    assert (answer.status, answer.err.splitlines()[0]) == (
        254,
        f'run-prepared: pod "{ended.uuid}" is not prepared',
    )
    answer = lab.podctl("run-prepared", "--interactive", double.uuid)
    assert answer.err == "run-prepared: interactive option only supports pods with one app\n"
    assert lab.podctl("status", double.uuid).out.startswith("state=prepared\n")
    assert lab.podctl("run-prepared").err.startswith("Error: run-prepared takes one UUID")


def log_line(second: int, stream: str, text: str) -> str:
    return f"2026-01-02T03:04:{second:02d}.000000Z {stream} {text}\n"


def test_logs_are_merged_by_time_and_go_where_they_came_from(lab: PodLab) -> None:
    pod = lab.make("run", "web", "db")
    write(f"{pod.dir.app_log('web')}.1", log_line(1, "stdout", "one"))
    write(pod.dir.app_log("web"), log_line(3, "stderr", "three") + log_line(4, "stdout", "four"))
    write(pod.dir.app_log("db"), log_line(2, "stdout", "two"))
    answer = lab.podctl("logs", pod.uuid)
    assert (answer.out, answer.err) == ("web: one\ndb: two\nweb: four\n", "web: three\n")
    assert lab.podctl("logs", "--app=web", "--tail=2", pod.uuid).out == "four\n"
    assert lab.podctl("logs", "--app=web", "--tail=0", pod.uuid).out == ""
    for text in ("x", "-1", "\u00b2", "9" * 5000):
        assert lab.podctl("logs", f"--tail={text}", pod.uuid).status == 254
    assert 'has no app "x"' in lab.podctl("logs", "--app=x", pod.uuid).err


@pytest.mark.finding("use-N23")
def test_logs_of_a_time_and_with_their_times(lab: PodLab) -> None:
    pod = lab.make("run", "web", "db")
    write(pod.dir.app_log("web"), "".join(log_line(second, "stdout", str(second)) for second in (1, 3, 5)))
    write(pod.dir.app_log("db"), "".join(log_line(second, "stdout", str(second)) for second in (2, 4)))

    def said(*words: str) -> str:
        return lab.podctl("logs", *words, pod.uuid).out.replace("\n", " ")

    day = "2026-01-02T03:04"
    assert said(f"--since={day}:02Z", f"--until={day}:04Z") == "db: 2 web: 3 db: 4 "
    assert said(f"--since={day}:02Z", "--tail=2") == "db: 4 web: 5 "
    assert said("--since=1h") == ""
    assert said("--app=web", "--timestamps", f"--until={day}:01Z") == f"{day}:01.000000Z 1 "
    assert lab.podctl("logs", "--follow", "--until=1h", pod.uuid).status == 254
    assert "invalid time" in lab.podctl("logs", "--since=soon", pod.uuid).err


def test_logs_can_be_followed_through_a_rotation(lab: PodLab) -> None:
    pod = lab.make("run", locked=True)
    log = pod.dir.app_log("web")
    write(log, log_line(1, "stdout", "one"))

    def go_on() -> None:
        with open(log, "a", encoding="utf-8") as file:
            file.write(log_line(2, "stdout", "two"))
        os.rename(log, f"{log}.1")
        write(log, log_line(3, "stdout", "three") + "2026-01-02T03:04:04.000000Z stdo")
        time.sleep(0.3)
        with open(log, "a", encoding="utf-8") as file:
            file.write("ut four\n")
        pod.close()

    writer = threading.Timer(0.3, go_on)
    writer.start()
    answer = lab.podctl("logs", "--follow", pod.uuid)
    writer.join()
    assert answer.out == "one\ntwo\nthree\nfour\n"
