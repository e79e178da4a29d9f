# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Named volumes: their differences and the reasons, and what can be done about a damaged one."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    HostVolume,
    NamedVolume,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.locks import FileLock
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import gc, volumes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Outcome, converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.volumes import VolumeSpec
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    manifest,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.test_gc import (
    changing_no_attribute,
)

pytestmark = pytest.mark.root
WORK = VolumeSpec(ACName("work"), 0o750, 100, 200, (("team", "red"),))


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    return Host(Paths(data=str(tmp_path / "data")), "amd64", "", "")


def ensure(host: Host, spec: VolumeSpec) -> Outcome:
    return converge(host, volumes.ensure_volume(host, spec), apply=True)[0]


def remove(host: Host, *, purge_data: bool = False) -> Outcome:
    plan = volumes.ensure_no_volume(host, WORK.name, purge_data=purge_data)
    return converge(host, plan, apply=True)[0]


def told(outcome: Outcome) -> list[tuple[str, str | None, str | None, str]]:
    return [(found.path, found.before, found.after, found.reason) for found in outcome.differences]


def document(host: Host) -> pathlib.Path:
    return pathlib.Path(host.paths.volume("work")) / "volume.json"


def test_what_somebody_did_by_hand_is_drift_and_what_the_playbook_says_anew_is_not(host: Host) -> None:
    ensure(host, WORK)
    data = host.paths.volume_data("work")
    os.chmod(data, 0o700)
    os.chown(data, 5, 200)
    assert told(ensure(host, WORK)) == [
        ("volumes.work.mode", "0700", "0750", "drift"),
        ("volumes.work.uid", "5", "100", "drift"),
    ]
    assert not ensure(host, WORK).changed
    assert told(ensure(host, WORK.replace(mode=0o711))) == [("volumes.work.mode", "0750", "0711", "playbook")]


def test_what_was_asked_for_is_remembered_also_when_it_is_so_already(host: Host) -> None:
    """The playbook follows a change made by hand; when that is undone later, it is drift."""
    ensure(host, WORK)
    data = host.paths.volume_data("work")
    os.chmod(data, 0o700)
    assert not ensure(host, WORK.replace(mode=0o700)).changed
    os.chmod(data, 0o750)
    assert [reason for *_other, reason in told(ensure(host, WORK.replace(mode=0o700)))] == ["drift"]


def test_a_volume_of_an_older_version_is_no_change(host: Host) -> None:
    ensure(host, WORK)
    document(host).write_text('{"format":1,"labels":{"team":"red"}}')
    assert not ensure(host, WORK).changed
    assert json.loads(document(host).read_text())["mode"] == 0o750


@pytest.mark.parametrize("text", ["", '{"format":1,"lab', "[]", '{"labels":7}', None], ids=str)
def test_a_damaged_volume_is_told_of_and_hides_no_other(host: Host, text: str | None) -> None:
    ensure(host, WORK)
    ensure(host, VolumeSpec(ACName("other")))
    damage(host, text)
    other, work = volumes.list_volumes(host, count=True)
    assert (other.name, other.problem) == ("other", "")
    assert (work.name, work.mode, work.uid) == ("work", 0o750, 100)
    assert "volume.json" in work.problem


def damage(host: Host, text: str | None) -> None:
    if text is None:
        document(host).unlink()
    else:
        document(host).write_text(text)


@pytest.mark.parametrize("text", ["", None])
def test_a_damaged_volume_is_put_right_with_its_data(host: Host, text: str | None) -> None:
    ensure(host, WORK)
    kept = pathlib.Path(host.paths.volume_data("work")) / "kept"
    kept.touch()
    damage(host, text)
    ((path, before, after, reason),) = told(ensure(host, WORK))
    assert (path, after, reason) == ("volumes.work", "as described", "drift")
    assert before is not None and before.startswith("unreadable: ")
    assert kept.exists()
    assert volumes.list_volumes(host)[0].labels == WORK.labels
    assert not ensure(host, WORK).changed


@pytest.mark.finding("attack4-F9")
@pytest.mark.parametrize("apply", [False, True], ids=["check", "run"])
def test_no_empty_directory_takes_the_place_of_data_that_is_lost(host: Host, apply: bool) -> None:
    """Such as a mount point whose disk is not mounted: a database would start from scratch."""
    ensure(host, WORK)
    data = host.paths.volume_data("work")
    shutil.rmtree(data)
    assert volumes.list_volumes(host)[0].problem == "its directory data is missing"
    with pytest.raises(Conflict, match='the data of volume "work" is lost: its directory data is missing'):
        converge(host, volumes.ensure_volume(host, WORK), apply=apply)
    assert not os.path.lexists(data)
    assert remove(host).changed
    assert ensure(host, WORK).changed
    assert os.path.isdir(data)


@pytest.mark.parametrize("text", ["", None])
def test_a_damaged_volume_can_be_removed_and_keeps_its_data_unless_told(host: Host, text: str | None) -> None:
    ensure(host, WORK)
    (pathlib.Path(host.paths.volume_data("work")) / "data").touch()
    damage(host, text)
    with pytest.raises(Conflict, match="holds data"):
        remove(host)
    assert remove(host, purge_data=True).changed
    assert not os.path.exists(host.paths.volume("work"))
    assert not remove(host).changed


def test_a_volume_is_in_use_by_a_pod_that_names_it(host: Host) -> None:
    """Wherever that pod thinks that it is."""
    ensure(host, WORK)
    ensure(host, WORK.replace(name=ACName("other")))
    with lifecycle.create(host.paths) as pod:
        volume = NamedVolume(ACName("v"), ACName("work"), source=f"{host.paths.data}/elsewhere")
        documents.write_manifest(pod.dir, manifest().replace(volumes=(volume,)))
        documents.write_runspec(pod.dir, RunSpec(name="user"))
    used = {status.name: status.used_by for status in volumes.list_volumes(host)}
    assert used == {"work": ("user",), "other": ()}
    with pytest.raises(Conflict, match="in use by pod user"):
        remove(host, purge_data=True)


@pytest.mark.finding("review-B4")
def test_a_volume_is_in_use_by_whichever_way_the_pod_has_named_it(host: Host, tmp_path: pathlib.Path) -> None:
    ensure(host, WORK)
    (tmp_path / "link").symlink_to("data")
    source = f"{tmp_path}/link/volumes/work/data"
    with lifecycle.create(host.paths) as pod:
        volume = HostVolume(ACName("v"), source)
        documents.write_manifest(pod.dir, manifest().replace(volumes=(volume,)))
        documents.write_runspec(pod.dir, RunSpec(name="user"))
    assert [status.used_by for status in volumes.list_volumes(host)] == [("user",)]
    with pytest.raises(Conflict, match="in use by pod user"):
        remove(host, purge_data=True)
    assert os.path.isdir(source)


@pytest.mark.finding("attack4-F9")
@pytest.mark.parametrize("inside", ["", "sub", "sub/dir"])
def test_a_volume_is_in_use_by_a_pod_that_mounts_a_part_of_it(host: Host, inside: str) -> None:
    ensure(host, WORK)
    data = host.paths.volume_data("work")
    other = f"{data}-not"
    for number, source in enumerate((os.path.join(data, inside).rstrip("/"), other)):
        os.makedirs(source, exist_ok=True)
        with lifecycle.create(host.paths) as pod:
            made = manifest().replace(volumes=(HostVolume(ACName("v"), source),))
            documents.write_manifest(pod.dir, made)
            documents.write_runspec(pod.dir, RunSpec(name=f"user{number}"))
    assert [status.used_by for status in volumes.list_volumes(host)] == [("user0",)]
    for apply in (False, True):
        with pytest.raises(Conflict, match="in use by pod user0"):
            converge(host, volumes.ensure_no_volume(host, WORK.name, purge_data=True), apply=apply)


@pytest.mark.finding("attack4-F9")
def test_a_volume_may_be_in_use_by_what_runs_and_cannot_be_read(host: Host) -> None:
    ensure(host, WORK)
    with lifecycle.create(host.paths) as pod:
        documents.write_manifest(pod.dir, manifest())
        documents.write_runspec(pod.dir, RunSpec(name="user"))
        pod.move("run")
        pathlib.Path(pod.dir.manifest).write_text("{")
        with pytest.raises(Conflict, match=f"may be in use: what pod {pod.uuid} mounts cannot be read"):
            remove(host, purge_data=True)
    assert remove(host, purge_data=True).changed, "one that has ended uses nothing"


@pytest.mark.finding("pods-F11")
def test_a_file_in_the_place_of_the_data_is_data(host: Host) -> None:
    ensure(host, WORK)
    data = pathlib.Path(host.paths.volume_data("work"))
    data.rmdir()
    data.touch()
    with pytest.raises(Conflict, match="holds data"):
        remove(host)
    assert remove(host, purge_data=True).changed
    assert not os.path.exists(host.paths.volume("work"))


@pytest.mark.finding("pods-F12")
def test_a_volume_is_removed_whatever_an_app_has_protected_in_it(host: Host) -> None:
    ensure(host, WORK)
    data = pathlib.Path(host.paths.volume_data("work"))
    (data / "dir").mkdir()
    (data / "dir" / "log").touch()
    subprocess.run(["chattr", "+a", data / "dir" / "log"], check=True, timeout=10)
    subprocess.run(["chattr", "+i", data / "dir", data], check=True, timeout=10)
    assert remove(host, purge_data=True).changed
    assert os.listdir(host.paths.volumes) == []


@pytest.mark.finding("pods-F12")
def test_what_is_left_of_a_volume_that_cannot_be_removed_is_told(host: Host) -> None:
    ensure(host, WORK)
    kept = pathlib.Path(host.paths.volume_data("work")) / "kept"
    kept.touch()
    subprocess.run(["chattr", "+i", kept], check=True, timeout=10)
    with changing_no_attribute(), pytest.raises(HostFailure, match="kept: it is immutable") as caught:
        remove(host, purge_data=True)
    (left,) = pathlib.Path(host.paths.volumes).iterdir()
    assert caught.value.hint == f"what is left of it is in {left}, and gc tries again"
    assert (left / "data" / "kept").exists()
    ensure(host, WORK)
    assert remove(host, purge_data=True).changed
    assert os.listdir(host.paths.volumes) == []


def collected(host: Host, *, mark_only: bool = False) -> tuple[PodError, ...]:
    """The failures of a collection."""
    return converge(host, gc.ensure_collected(host, gc.GcPolicy(mark_only=mark_only)), apply=True)[0].failures


def test_gc_removes_what_is_left_of_a_volume(host: Host) -> None:
    ensure(host, WORK)
    kept = pathlib.Path(host.paths.volume_data("work")) / "kept"
    kept.touch()
    subprocess.run(["chattr", "+i", kept], check=True, timeout=10)
    with changing_no_attribute():
        with pytest.raises(HostFailure):
            remove(host, purge_data=True)
        (left,) = pathlib.Path(host.paths.volumes).iterdir()
        (failure,) = collected(host)
        assert f"cannot remove {left}, which is left of a volume" in failure.message
        assert left.exists()
    ensure(host, WORK.replace(name=ACName("other")))
    assert collected(host, mark_only=True) == ()
    assert left.exists()
    assert collected(host) == ()
    assert os.listdir(host.paths.volumes) == ["other"]


def test_gc_leaves_a_volume_alone_that_is_being_made_or_removed(host: Host) -> None:
    ensure(host, WORK)
    aside = pathlib.Path(host.paths.volumes) / ".work.0123456789ab"
    aside.mkdir()
    with FileLock(host.paths.volumes, shared=True):
        assert collected(host) == ()
        assert aside.exists()
        assert ensure(host, WORK.replace(name=ACName("other"))).changed, "and others may work meanwhile"
    assert collected(host) == ()
    assert sorted(os.listdir(host.paths.volumes)) == ["other", "work"]


def test_gc_makes_no_directory_of_volumes(host: Host) -> None:
    assert collected(host) == ()
    assert not os.path.lexists(host.paths.volumes)


@pytest.mark.finding("pods-F11")
def test_a_volume_in_which_an_app_moves_directories_hides_no_other(host: Host) -> None:
    ensure(host, WORK)
    ensure(host, WORK.replace(name=ACName("quiet")))
    data = pathlib.Path(host.paths.volume_data("work"))
    for number in range(30):
        (data / f"a/{number}/b/c").mkdir(parents=True)
        for file in range(30):
            (data / f"a/{number}/b/c/{file}").touch()
    (data / "elsewhere").mkdir()
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", MOVE, data]) as mover:
        try:
            for _again in range(50):
                found = {status.name: status for status in volumes.list_volumes(host, count=True)}
                assert (found["quiet"].bytes is None, found["quiet"].problem) == (False, "")
                busy = found["work"]
                assert (busy.bytes is None) == busy.problem.startswith("cannot count its bytes: ")
        finally:
            mover.kill()


MOVE = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for number in range(30):
        os.rename(f"a/{number}/b", f"elsewhere/{number}")
        os.rename(f"elsewhere/{number}", f"a/{number}/b")
"""
