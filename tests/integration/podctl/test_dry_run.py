# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""--dry-run prints what the command then does, in the words of the modules' changes, and changes nothing."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import CHECKOUT, PodHost

RUNTIME = str(CHECKOUT / "plugins" / "module_utils")


def tree(base: pathlib.Path) -> dict[str, tuple[int, int, int]]:
    """All that is below a directory, but for directories that are empty and for locks."""
    found = {}
    for path in base.rglob("*"):
        info = path.lstat()
        if not path.is_dir() and not path.name.endswith(".lock") and path.parent.name != "locks":
            found[str(path.relative_to(base))] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


def dry(pods: PodHost, *words: str) -> list[str]:
    """The lines of a dry run, which changes nothing."""
    before = tree(pods.base)
    count = 2 if words[0] == "image" else 1
    lines = pods.ok(*words[:count], "--dry-run", *words[count:]).splitlines()
    assert tree(pods.base) == before
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
    impact = f" ({change['impact']})" if change["impact"] != "none" else ""
    return f"{change['path']}: {before} -> {after}{impact}"


def named(pods: PodHost, state: str = "running") -> str:
    """The UUID of a pod of the name web, which sleeps."""
    uuid = pods.ok("prepare", "--pod-name=web", pods.image, "--exec=/bin/sleep", "--", "1000")
    if state == "running":
        pods.ok("run-prepared", "--net=none", "--detach", uuid)
    return uuid


def test_fetch_and_run_foretell_images_and_pods(pods: PodHost) -> None:
    image = f"images.{pods.image}: absent -> present"
    assert dry(pods, "fetch", pods.image) == [image]
    assert dry(pods, "fetch", pods.image) == foretold(
        pods, "pod_image", name=pods.image, insecure_options=["image"]
    )
    assert dry(pods, "run", "--net=none", pods.image) == [image, "pods: absent -> running"]
    assert dry(pods, "prepare", "--pod-name=web", pods.image) == [image, "pods.web: absent -> prepared"]
    pods.ok("fetch", pods.image)
    assert dry(pods, "fetch", pods.image) == []
    words = ("--net=none", "--pod-name=web", pods.image, "--exec=/bin/sleep", "--", "1000")
    app = {"image": pods.image, "exec": "/bin/sleep", "args": ["1000"]}
    task = {"name": "web", "networks": ["none"], "apps": [app], "insecure_options": ["image"]}
    assert dry(pods, "run", *words) == ["pods.web: absent -> running"] == foretold(pods, "pod_run", **task)
    assert pods.uuids() == []


def test_start_stop_and_rm_foretell_what_becomes_of_a_pod(pods: PodHost) -> None:
    uuid = named(pods, "prepared")
    assert dry(pods, "start", "web") == ["pods.web.state: prepared -> running"]
    assert foretold(pods, "pod_run", name="web", state="started") == dry(pods, "start", "web")
    assert dry(pods, "rm", uuid[:8]) == ["pods.web: prepared -> absent"]
    assert foretold(pods, "pod_run", name="web", state="absent") == dry(pods, "rm", "web")
    pods.ok("run-prepared", "--net=none", "--detach", uuid)
    assert dry(pods, "stop", "web") == ["pods.web.state: running -> stopped (restart)"]
    assert foretold(pods, "pod_run", name="web", state="stopped") == dry(pods, "stop", uuid)
    assert pods.state(uuid) == "running"
    pods.ok("stop", "--force", "web")
    pods.ok("status", "--wait=30s", uuid)
    assert dry(pods, "stop", "web") == []
    assert dry(pods, "start", "web") == ["pods.web.state: exited -> running"]
    pods.ok("start", "web")
    assert dry(pods, "stop", "web") == ["pods.web.state: running -> stopped (restart)"]


def test_gc_and_image_rm_foretell_what_goes(pods: PodHost) -> None:
    pods.ok("run", "--net=none", pods.image, "--exec=/bin/true")
    (uuid,) = pods.uuids()
    assert dry(pods, "gc") == [f"pods.{uuid}: exited -> exited garbage"] == foretold(pods, "pod_gc")
    at_once = {"grace_period": 0, "expire_prepared": 0}
    everything = dry(pods, "gc", "--grace-period=0s")
    assert everything == [f"pods.{uuid}: exited -> absent"] == foretold(pods, "pod_gc", **at_once)
    image_id = pods.ok("fetch", "--full", pods.image)
    (line,) = dry(pods, "image", "rm", image_id)
    assert line.startswith(f"images.{image_id}: {image_id}") and line.endswith(" -> absent")
    assert pods.ok("image", "list", "--no-legend")


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


@pytest.fixture(autouse=True)
def _quiet_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
