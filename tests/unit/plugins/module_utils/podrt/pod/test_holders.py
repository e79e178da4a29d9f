# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The owner of a UUID that holds resources of the host, and whether it still needs them."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import holders, lifecycle, lookup


def installations(base: pathlib.Path) -> tuple[Paths, Paths]:
    """Two data directories of one host."""
    run = str(base / "run")
    return Paths(data=str(base / "one"), run=run), Paths(data=str(base / "two"), run=run)


def make(paths: Paths, *, copies: bool = True) -> lifecycle.Pod:
    """A pod that counts as running while the handle is open."""
    pod = lifecycle.create(paths)
    pod.move("run")
    holders.record(paths, pod.uuid)
    if copies:
        os.makedirs(pod.dir.net_confs)
        pathlib.Path(pod.dir.net_confs, "10-default.conf").touch()
    return pod


def test_a_pod_of_another_data_directory_is_known_while_it_runs_and_after_it(tmp_path: pathlib.Path) -> None:
    one, two = installations(tmp_path)
    pod = make(one)
    assert holders.is_live(two, pod.uuid)
    assert [found.uuid for found in holders.running(two)] == [pod.uuid]
    assert list(holders.dead(two)) == []
    pod.close()
    assert not holders.is_live(two, pod.uuid)
    assert list(holders.running(two)) == []
    assert list(holders.dead(two)) == [(one, pod.uuid, "run")]
    assert list(holders.dead(one)) == [(one, pod.uuid, "run")]


def test_of_a_pod_that_runs_only_its_lock_is_asked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _two = installations(tmp_path)
    running, ended = make(one), make(one)
    ended.close()
    looked: list[str] = []

    def look(paths: Paths, uuid: str) -> lifecycle.Pod:
        looked.append(uuid)
        return lifecycle.open_pod(paths, uuid)

    monkeypatch.setattr(holders, "open_pod", look)
    monkeypatch.setattr(holders, "locate", lambda _paths, uuid: looked.append(uuid))
    assert list(holders.dead(one)) == [(one, ended.uuid, "run")]
    assert looked == [ended.uuid]
    running.close()


def test_a_pod_whose_directory_has_gone_needs_nothing(tmp_path: pathlib.Path) -> None:
    one, two = installations(tmp_path)
    with make(one) as pod:
        shutil.rmtree(one.data)
        for paths in (one, two):
            assert not holders.is_live(paths, pod.uuid)
            assert list(holders.dead(paths)) == [(one, pod.uuid, "run")]


def test_what_no_link_explains_is_another_engines(tmp_path: pathlib.Path) -> None:
    one, two = installations(tmp_path)
    with make(one) as pod:
        pass
    holders.forget(one, pod.uuid)
    assert holders.is_live(two, pod.uuid)
    assert not holders.is_live(one, pod.uuid), "its directory is here"
    assert list(holders.dead(two)) == []
    assert list(holders.dead(one)) == [(one, pod.uuid, "run")], "a boot leaves no links"


def test_a_pod_that_has_given_everything_back_is_no_work_for_others(tmp_path: pathlib.Path) -> None:
    one, two = installations(tmp_path)
    with make(one, copies=False) as pod:
        pass
    holders.forget(one, pod.uuid)
    assert list(holders.dead(one)) == list(holders.dead(two)) == []
    assert not os.path.exists(one.holders)


def test_links_are_in_a_directory_of_roots_and_may_be_made_twice(tmp_path: pathlib.Path) -> None:
    one, _two = installations(tmp_path)
    os.umask(os.umask(0))
    with make(one) as pod:
        holders.record(one, pod.uuid)
        assert os.readlink(one.holder(pod.uuid)) == one.data
    assert os.stat(one.holders).st_mode & 0o777 == 0o750
    assert os.stat(one.run).st_mode & 0o777 == 0o755


@pytest.mark.finding("pods-F7")
def test_a_dead_pod_whose_record_is_damaged_is_still_one_that_may_hold_something(
    tmp_path: pathlib.Path,
) -> None:
    one, _two = installations(tmp_path)
    with make(one, copies=False) as pod:
        pass
    assert list(holders.dead(one)) == [(one, pod.uuid, "run")], "its link is there"
    holders.forget(one, pod.uuid)
    assert list(holders.dead(one)) == [], "no file records networks"
    pathlib.Path(pod.dir.net_info).write_text("[]")
    assert list(holders.dead(one)) == [(one, pod.uuid, "run")], "it was in networks"
    os.mkfifo(pod.dir.net_confs)
    assert list(holders.dead(one)) == [(one, pod.uuid, "run")]
    os.unlink(pod.dir.net_confs)
    os.mkdir(pod.dir.net_confs)
    assert list(holders.dead(one)) == [], "it has released everything"


def test_a_holder_is_told_by_its_name_and_its_place(tmp_path: pathlib.Path) -> None:
    one, two = installations(tmp_path)
    with make(one) as pod:
        assert holders.shown(one, pod.uuid) == f"pod {pod.uuid}"
        lookup.set_name(one, "web", pod.uuid)
        assert holders.shown(one, pod.uuid) == 'pod "web"'
        assert holders.shown(two, pod.uuid) == f'pod "web" of {one.data}'
    assert holders.shown(one, "0123abc") == 'container "0123abc" of another engine'
