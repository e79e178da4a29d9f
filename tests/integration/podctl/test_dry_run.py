# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""--dry-run prints what the command then does, in the words of the modules' changes, and changes nothing."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    CHECKOUT,
    PodHost,
    eventually,
)

RUNTIME = str(CHECKOUT / "plugins" / "module_utils")


def tree(base: pathlib.Path) -> dict[str, tuple[int, int, int]]:
    """All that is below a directory, directories and locks too: what was there for a moment shows as well."""
    found = {}
    for path in base.rglob("*"):
        info = path.lstat()
        found[str(path.relative_to(base))] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


def dry(pods: PodHost, *words: str) -> list[str]:
    """The lines of a dry run, which changes nothing."""
    before = tree(pods.base)
    count = 2 if words[0] == "image" else 1
    lines = pods.ok(*words[:count], "--dry-run", *words[count:]).splitlines()
    assert tree(pods.base) == before
    return lines


def ended(pods: PodHost, uuid: str) -> list[str]:
    """The status of a pod that has ended and has given back its networks, which goes on in the background."""
    lines = pods.wait(uuid)
    place = pods.data / "pods" / "run" / uuid
    eventually(lambda: not list((pods.base / "leases").rglob("*.*.*.*")) and not list(place.glob("net/*")))
    seen: list[dict[str, tuple[int, int, int]]] = []

    def is_still() -> bool:
        time.sleep(0.3)
        seen.append(tree(pods.base))
        return len(seen) > 1 and seen[-1] == seen[-2]

    eventually(is_still)
    return lines


def foretold(pods: PodHost, task: str, **options: object) -> list[str]:
    """The changes that a task reports in check mode, as lines of a dry run."""
    places = {"data_dir": str(pods.data), "config_dir": str(pods.base / "etc")}
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "tests/integration/task.py"), task, "check", RUNTIME],
        input=json.dumps({**options, **places}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [line_of(change) for change in json.loads(done.stdout)["changes"]]


def line_of(change: dict[str, str]) -> str:
    before, after = (change[key] if change[key] is not None else "absent" for key in ("before", "after"))
    return f"{change['path']}: {before} -> {after}"


def named(pods: PodHost, state: str = "running") -> str:
    """The UUID of a pod of the name web, which sleeps."""
    uuid = pods.ok("prepare", "--pod-name=web", pods.image, "--exec=/bin/sleep", "--", "1000")
    if state == "running":
        pods.ok("run-prepared", "--net=none", "--detach", uuid)
    return uuid


@pytest.mark.behaviour("A53")
def test_fetch_foretells_the_image_that_it_gets(pods: PodHost) -> None:
    task = {"name": pods.image, "insecure_options": ["image"]}
    line = f"images.{pods.image}: absent -> present"
    assert dry(pods, "fetch", pods.image) == [line] == foretold(pods, "pod_image", **task)
    assert not (pods.data / "cas" / "index").exists()
    pods.ok("fetch", pods.image)
    assert len(pods.ok("image", "list", "--no-legend").splitlines()) == 1
    assert dry(pods, "fetch", pods.image) == [] == foretold(pods, "pod_image", **task)


@pytest.mark.parametrize("fetched", [False, True])
def test_run_foretells_images_and_a_pod(pods: PodHost, fetched: bool) -> None:
    if fetched:
        pods.ok("fetch", pods.image)
    app = {"image": pods.image, "exec": "/bin/true", "environment": {"TOKEN": "hunter2"}}
    task = {"name": "web", "networks": ["none"], "apps": [app], "insecure_options": ["image"]}
    words = ("--net=none", "--pod-name=web", pods.image, "--exec=/bin/true", "--environment=TOKEN=hunter2")
    lines = dry(pods, "run", *words)
    image = [] if fetched else [f"images.{pods.image}: absent -> present"]
    assert lines == [*image, "pods.web: absent -> running"] == foretold(pods, "pod_run", **task)
    assert pods.uuids() == []
    assert dry(pods, "run", *words[:1], *words[2:]) == [*image, "pods: absent -> running"]
    pods.ok("run", *words)
    assert pods.state("web") == "exited"
    assert len(pods.ok("image", "list", "--no-legend").splitlines()) == 1


def test_prepare_foretells_images_and_a_pod(pods: PodHost) -> None:
    app = {"image": pods.image}
    task = {"name": "web", "state": "prepared", "apps": [app], "insecure_options": ["image"]}
    lines = dry(pods, "prepare", "--pod-name=web", pods.image)
    image = f"images.{pods.image}: absent -> present"
    assert lines == [image, "pods.web: absent -> prepared"] == foretold(pods, "pod_run", **task)
    pods.ok("prepare", "--pod-name=web", pods.image)
    assert pods.state("web") == "prepared"


def test_start_foretells_what_then_runs(pods: PodHost) -> None:
    uuid = named(pods, "prepared")
    task = {"name": "web", "state": "started"}
    assert dry(pods, "start", "web") == ["pods.web.state: prepared -> running"]
    assert dry(pods, "start", "web") == foretold(pods, "pod_run", **task)
    pods.ok("start", "web")
    assert pods.state(uuid) == "running"
    pods.ok("stop", "--force", "web")
    ended(pods, uuid)
    assert dry(pods, "start", "web") == ["pods.web.state: exited -> running"]
    assert dry(pods, "start", "web") == foretold(pods, "pod_run", **task)
    pods.ok("start", "web")
    assert (pods.state("web"), pods.state(uuid)) == ("running", "exited garbage")


@pytest.mark.behaviour("A42")
def test_stop_foretells_what_then_ends(pods: PodHost) -> None:
    uuid = named(pods)
    task = {"name": "web", "state": "stopped"}
    assert dry(pods, "stop", "web") == ["pods.web.state: running -> stopped"]
    assert dry(pods, "stop", uuid) == foretold(pods, "pod_run", **task)
    assert pods.state(uuid) == "running"
    assert pods.ok("stop", "--force", "web") == f'"{uuid}"'
    assert "state=exited" in ended(pods, uuid)
    assert dry(pods, "stop", "web") == [] == foretold(pods, "pod_run", **task)


@pytest.mark.behaviour("A43")
@pytest.mark.parametrize("state", ["prepared", "exited"])
def test_rm_foretells_what_then_goes(pods: PodHost, state: str) -> None:
    uuid = named(pods, "prepared" if state == "prepared" else "running")
    if state == "exited":
        pods.ok("stop", "--force", uuid)
        ended(pods, uuid)
    line = f"pods.web: {state} -> absent"
    assert dry(pods, "rm", uuid[:8]) == [line] == foretold(pods, "pod_run", name="web", state="absent")
    assert dry(pods, "rm", "web") == [line]
    assert pods.ok("rm", "web") == f'"{uuid}"'
    assert pods.uuids() == []
    assert foretold(pods, "pod_run", name="web", state="absent") == []


@pytest.mark.behaviour("A44")
def test_gc_foretells_what_then_goes(pods: PodHost) -> None:
    pods.ok("run", "--net=none", pods.image, "--exec=/bin/true")
    (uuid,) = pods.uuids()
    at_once = {"grace_period": 0, "expire_prepared": 0}
    everything = dry(pods, "gc", "--grace-period=0s")
    assert everything == [f"pods.{uuid}: exited -> absent"] == foretold(pods, "pod_gc", **at_once)
    assert dry(pods, "gc") == [f"pods.{uuid}: exited -> exited garbage"] == foretold(pods, "pod_gc")
    pods.ok("gc")
    assert pods.state(uuid) == "exited garbage"
    assert dry(pods, "gc") == [] == foretold(pods, "pod_gc")
    left = [f"pods.{uuid}: exited garbage -> absent"]
    assert dry(pods, "gc", "--grace-period=0s") == left == foretold(pods, "pod_gc", **at_once)
    assert pods.ok("gc", "--grace-period=0s") == f'Garbage collecting pod "{uuid}"'
    assert pods.uuids() == []


@pytest.mark.behaviour("A55")
def test_image_rm_foretells_what_then_goes(pods: PodHost) -> None:
    image_id = pods.ok("fetch", "--full", pods.image)
    for text in (pods.image, image_id, "example.com/busybox:1.0"):
        lines = dry(pods, "image", "rm", text)
        assert lines == [f"images.{text}: {image_id} -> absent"]
        assert lines == foretold(pods, "pod_image", name=text, state="absent")
    assert dry(pods, "image", "rm", pods.image, image_id) == dry(pods, "image", "rm", pods.image)
    pods.ok("image", "rm", pods.image)
    assert pods.ok("image", "list", "--no-legend") == ""


def on_a_running_pod(pods: PodHost) -> tuple[str, ...]:
    return ("rm", "--dry-run", named(pods))


def of_a_name_that_is_taken(pods: PodHost) -> tuple[str, ...]:
    named(pods, "prepared")
    return ("run", "--dry-run", "--pod-name=web", pods.image)


def without_its_volume(pods: PodHost) -> tuple[str, ...]:
    pods.ok("fetch", pods.image)
    return (
        *("run", "--dry-run", "--volume=v,kind=host,source=/nowhere/at/all"),
        *(pods.image, "--mount=volume=v,target=/v"),
    )


def of_what_runs(pods: PodHost) -> tuple[str, ...]:
    named(pods)
    return ("start", "--dry-run", "web")


def of_what_never_ran(pods: PodHost) -> tuple[str, ...]:
    return ("stop", "--dry-run", named(pods, "prepared"))


FAILING = [on_a_running_pod, of_a_name_that_is_taken, without_its_volume, of_what_runs, of_what_never_ran]


@pytest.mark.parametrize("arrange", FAILING)
def test_what_would_fail_fails_with_the_same_words_and_status(
    pods: PodHost, arrange: Callable[[PodHost], tuple[str, ...]]
) -> None:
    words = arrange(pods)
    before = tree(pods.base)
    foreseen = pods.podctl(*words)
    assert tree(pods.base) == before
    real = pods.podctl(*(word for word in words if word != "--dry-run"))
    assert foreseen.status == real.status != 0
    assert foreseen.err.splitlines()[0] == real.err.splitlines()[0]
