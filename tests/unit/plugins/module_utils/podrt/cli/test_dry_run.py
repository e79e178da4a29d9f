# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""--dry-run prints changes in the form of the modules, writes nothing, and foretells what the command then does."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import DRY_RUN
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import COMMANDS
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import (
    Answer,
    PodLab,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    make_store,
)

pytestmark = pytest.mark.usefixtures("as_root")
ALL = {"run", "prepare", "start", "stop", "rm", "fetch", "image load", "image rm", "gc", "trust"}
UNCHECKED = "--insecure-options=image"


def snapshot(base: str) -> dict[str, tuple[int, int, int]]:
    """Everything below a directory, directories too: whatever is written there, or was for a moment, shows."""
    found = {}
    for path in [pathlib.Path(base), *pathlib.Path(base).rglob("*")]:
        info = path.lstat()
        found[str(path)] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


def dry(lab: PodLab, *words: str) -> Answer:
    """A dry run, which changes nothing."""
    before = snapshot(os.path.dirname(lab.paths.data))
    answer = lab.podctl(*words, "--dry-run")
    assert snapshot(os.path.dirname(lab.paths.data)) == before
    return answer


def foretold(lab: PodLab, *words: str) -> list[str]:
    """The lines of a dry run that foresees no failure."""
    answer = dry(lab, *words)
    assert (answer.status, answer.err) == (0, "")
    return answer.out.splitlines()


@pytest.fixture(name="image")
def _image(lab: PodLab, tmp_path: pathlib.Path) -> str:
    """The file of an image that the store has."""
    os.makedirs(lab.paths.data)
    make_store(tmp_path)
    return str(tmp_path / "web.aci")


def test_each_command_that_applies_a_plan_has_the_flag() -> None:
    assert {command.name for command in COMMANDS if DRY_RUN in command.flags()} == ALL


@pytest.mark.behaviour("A43")
@pytest.mark.parametrize(
    ("state_dir", "before"),
    [("prepared", "prepared"), ("prepare", "aborted prepare"), ("garbage", "garbage")],
)
def test_rm_foretells_what_goes(lab: PodLab, state_dir: str, before: str) -> None:
    pod = lab.make(state_dir, name="web")
    assert foretold(lab, "rm", "web") == [f"pods.web: {before} -> absent"]
    answer = lab.podctl("rm", "web")
    assert (answer.status, answer.out) == (0, f'"{pod.uuid}"\n')
    assert dry(lab, "rm", "web").status == 254


def test_a_pod_that_no_name_means_goes_by_its_uuid(lab: PodLab) -> None:
    pod = lab.make("prepared")
    assert foretold(lab, "rm", pod.uuid[:8]) == [f"pods.{pod.uuid}: prepared -> absent"]
    old, new = lab.make("prepared", name="web"), lab.make("prepared", name="web")
    assert foretold(lab, "rm", old.uuid, new.uuid) == [
        f"pods.{old.uuid}: prepared -> absent",
        "pods.web: prepared -> absent",
    ]


@pytest.mark.behaviour("A43")
def test_rm_foretells_a_refusal_with_its_words_and_goes_on_with_the_others(lab: PodLab) -> None:
    running, other = lab.make("run", name="web", locked=True), lab.make("prepared")
    foreseen = dry(lab, "rm", running.uuid, other.uuid, "nosuch")
    assert foreseen.out.splitlines() == [
        "pods.web: running -> absent",
        f"pods.{other.uuid}: prepared -> absent",
    ]
    done = lab.podctl("rm", running.uuid, other.uuid, "nosuch")
    assert (foreseen.status, foreseen.err) == (done.status, done.err)
    assert f'pod "{running.uuid}" is currently running' in done.err


@pytest.mark.behaviour("A42")
def test_stop_foretells_what_ends(lab: PodLab) -> None:
    running, unnamed = lab.make("run", name="web", locked=True), lab.make("run", locked=True)
    line = "pods.web.state: running -> stopped"
    assert foretold(lab, "stop", "web") == [line] == foretold(lab, "stop", "--force", running.uuid)
    assert foretold(lab, "stop", unnamed.uuid) == [f"pods.{unnamed.uuid}.state: running -> stopped"]
    assert foretold(lab, "stop", lab.make("run").uuid) == []
    prepared = lab.make("prepared")
    foreseen, done = dry(lab, "stop", prepared.uuid), lab.podctl("stop", prepared.uuid)
    assert (foreseen.status, foreseen.err) == (done.status, done.err)
    assert (done.status, f'pod "{prepared.uuid}" is not running' in done.err) == (254, True)


@pytest.mark.parametrize(("state_dir", "before"), [("prepared", "prepared"), ("run", "exited")])
def test_start_foretells_what_begins(lab: PodLab, state_dir: str, before: str) -> None:
    lab.make(state_dir, name="web")
    assert foretold(lab, "start", "web") == [f"pods.web.state: {before} -> running"]


@pytest.mark.parametrize("name", ["web", "nosuch"])
def test_start_foretells_a_refusal_with_its_words(lab: PodLab, name: str) -> None:
    lab.make("run", name="web", locked=True)
    foreseen, done = dry(lab, "start", name), lab.podctl("start", name)
    assert (foreseen.status, foreseen.out, foreseen.err) == (done.status, done.out, done.err)
    assert done.status == 254


@pytest.mark.behaviour("A44")
@pytest.mark.parametrize(
    ("state_dir", "flags", "line", "place"),
    [
        ("run", (), "exited -> exited garbage", "exited-garbage"),
        ("prepare", ("--mark-only",), "aborted prepare -> garbage", "garbage"),
        ("prepare", (), "aborted prepare -> absent", None),
        ("prepared", ("--expire-prepared=0s",), "prepared -> absent", None),
        ("prepared", (), None, "prepared"),
        ("exited-garbage", (), None, "exited-garbage"),
        ("garbage", (), "garbage -> absent", None),
    ],
)
def test_gc_foretells_what_becomes_of_a_pod(
    lab: PodLab, state_dir: str, flags: tuple[str, ...], line: str | None, place: str | None
) -> None:
    pod = lab.make(state_dir)
    assert foretold(lab, "gc", *flags) == ([f"pods.{pod.uuid}: {line}"] if line else [])
    assert lab.podctl("gc", *flags).status == 0
    left = [state for state in os.listdir(lab.paths.pods) if pod.uuid in os.listdir(lab.paths.state(state))]
    assert left == ([place] if place else [])


@pytest.mark.behaviour("A44")
def test_gc_says_what_it_does_as_rkt_does(lab: PodLab) -> None:
    old, failed, kept = lab.make("garbage"), lab.make("prepare"), lab.make("exited-garbage")
    answer = lab.podctl("gc")
    assert sorted(answer.out.splitlines()) == sorted(
        f'Garbage collecting pod "{pod.uuid}"' for pod in (old, failed)
    )
    assert sorted(answer.err.splitlines()) == sorted(
        (
            f'gc: moving failed prepare "{failed.uuid}" to garbage',
            f'gc: pod "{kept.uuid}" not removed: still within grace period (30m0s)',
        )
    )


@pytest.mark.behaviour("A53")
def test_fetch_foretells_what_the_store_gets(lab: PodLab, image: str) -> None:
    for image_id in index.list_ids(lab.paths):
        index.remove_image(lab.paths, image_id)
    line = f"images.{image}: absent -> present"
    assert foretold(lab, UNCHECKED, "fetch", image, image) == [line]
    assert index.list_ids(lab.paths) == ()
    answer = lab.podctl(UNCHECKED, "fetch", "--full", image)
    assert (answer.status, answer.out.split()) == (0, list(index.list_ids(lab.paths)))
    assert foretold(lab, UNCHECKED, "fetch", image) == []


@pytest.mark.behaviour("A53")
def test_fetch_foretells_a_refusal_with_its_words(lab: PodLab, tmp_path: pathlib.Path) -> None:
    for words in (
        ("fetch", f"{tmp_path}/nosuch.aci"),
        ("fetch", "--pull-policy=never", "example.com/nosuch"),
    ):
        foreseen, done = dry(lab, UNCHECKED, *words), lab.podctl(UNCHECKED, *words)
        assert (foreseen.status, foreseen.err) == (done.status, done.err)
        assert done.status == 254


@pytest.mark.behaviour("A55")
def test_image_rm_foretells_what_the_store_loses(lab: PodLab, image: str) -> None:
    image_id = lab.podctl(UNCHECKED, "fetch", "--full", image).out.strip()
    line = f"{image_id} -> absent"
    assert foretold(lab, "image", "rm", image) == [f"images.{image}: {line}"]
    assert foretold(lab, "image", "rm", f"file://{image}", image_id) == [f"images.{image}: {line}"]
    assert foretold(lab, "image", "rm", image_id[:20], image) == [f"images.{image_id[:20]}: {line}"]
    answer = lab.podctl("image", "rm", image)
    assert answer.out == f'successfully removed aci for image: "{image_id}"\n'
    assert answer.err == "rm: 1 image(s) successfully removed\n"
    foreseen, done = dry(lab, "image", "rm", image), lab.podctl("image", "rm", image)
    assert (foreseen.status, foreseen.out, foreseen.err) == (0, "", done.err)


@pytest.mark.behaviour("A24")
@pytest.mark.parametrize("command", ["run", "prepare"])
def test_run_and_prepare_foretell_a_pod_and_no_value_of_a_variable(
    lab: PodLab, image: str, command: str
) -> None:
    lab.podctl(UNCHECKED, "fetch", image)
    words = ("--set-env=PASSWORD=hunter2", image, "--environment=TOKEN=hunter2", "---", image, "--name=two")
    state = "running" if command == "run" else "prepared"
    net = ("--net=none",) if command == "run" else ()
    answer = dry(lab, UNCHECKED, command, "--pod-name=web", *net, *words)
    assert (answer.status, answer.out) == (0, f"pods.web: absent -> {state}\n")
    assert "hunter2" not in answer.err
    assert dry(lab, UNCHECKED, command, *net, *words).out == f"pods: absent -> {state}\n"
    lab.make("prepared", name="web")
    taken = dry(lab, UNCHECKED, command, "--pod-name=web", *net, *words)
    assert (taken.status, taken.err.splitlines()[0]) == (
        254,
        f'{command}: there is a pod of the name "web" already',
    )


@pytest.mark.parametrize("command", ["run", "prepare"])
def test_an_image_that_is_still_to_be_fetched_is_a_change_of_its_own_once(
    lab: PodLab, image: str, command: str
) -> None:
    for image_id in index.list_ids(lab.paths):
        index.remove_image(lab.paths, image_id)
    lines = foretold(lab, UNCHECKED, command, image, "---", image, "--name=two")
    state = "running" if command == "run" else "prepared"
    assert lines == [f"images.{image}: absent -> present", f"pods: absent -> {state}"]


def test_prepare_refuses_what_prepare_refuses_and_run_what_would_not_run(lab: PodLab, image: str) -> None:
    lab.podctl(UNCHECKED, "fetch", image)
    words = (image, "--exec=/bin/nosuch")
    assert foretold(lab, UNCHECKED, "prepare", *words) == ["pods: absent -> prepared"]
    answer = dry(lab, UNCHECKED, "run", "--net=none", *words)
    assert (answer.status, answer.err.splitlines()[0]) == (
        254,
        'run: Unable to open "/bin/nosuch": No such file or directory',
    )
