# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A prepared pod has everything that a start needs; a failed preparation leaves nothing."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.overlayfs import why_no_overlay
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import PodState
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import files as filter_files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import plan, prepare
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import Preparation
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.pod_changes import CreatePod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0 import faults
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)


def wanted(lab: Stage0Lab, **options: object) -> Preparation:
    """The preparation of a new pod, as a plan makes it."""
    [change] = plan.ensure_pod(lab.host, lab.spec(**options), "prepared")
    assert isinstance(change, CreatePod)
    assert change.wanted is not None
    return change.wanted


def rendered(found: Preparation) -> trees.RenderedImage:
    (image,) = found.images
    assert isinstance(image, trees.RenderedImage)
    return image


def prepared(lab: Stage0Lab, **options: object) -> lifecycle.Pod:
    pod = prepare.prepare(lab.host, wanted(lab, **options))
    prepare.commit(pod)
    return lifecycle.open_pod(lab.paths, pod.uuid)


def test_its_documents_are_what_was_wanted(lab: Stage0Lab) -> None:
    found = wanted(lab, hostname="box")
    with prepared(lab, hostname="box") as pod:
        assert pod.state() is PodState.PREPARED
        assert documents.read_manifest(pod.dir) == found.manifest
        assert documents.read_runspec(pod.dir) == found.runspec
        assert pathlib.Path(pod.dir.runtime).read_text() == lab.host.runtime
        assert documents.read_app_manifest(pod.dir, "web") == found.images[0].manifest


def test_an_app_has_its_tree_its_filter_and_a_place_for_its_root(lab: Stage0Lab) -> None:
    with prepared(lab) as pod:
        assert all(os.path.isdir(path) for path in documents.read_lower(pod.dir, "web"))
        assert filter_files.read(pod.dir, "web")
        assert os.listdir(pod.dir.app_root("web")) == []
        assert os.path.samefile(pod.dir.app_stage2_manifest("web"), pod.dir.app_manifest("web"))


def test_the_manifest_of_an_image_is_written_once(lab: Stage0Lab) -> None:
    """The store's own file is what the pod has."""
    image = rendered(wanted(lab))
    with prepared(lab) as pod:
        assert os.path.samefile(pod.dir.app_manifest("web"), lab.paths.image_manifest(image.id))


def test_a_manifest_that_cannot_be_linked_is_copied(lab: Stage0Lab) -> None:
    image = rendered(wanted(lab))
    stored = pathlib.Path(lab.paths.image_manifest(image.id))
    place = pathlib.Path(lab.paths.data) / "manifest"
    said = stored.read_bytes()
    stored.unlink()
    index.link_manifest(lab.paths, image, str(place))
    assert place.read_bytes() == said
    os.link(place, stored)
    with pytest.raises(FileExistsError):
        index.link_manifest(lab.paths, image, str(place))
    assert stored.read_bytes() == said


def test_a_tree_that_was_taken_since_it_was_planned_is_made_again(lab: Stage0Lab) -> None:
    found = wanted(lab)
    tree = rendered(found).tree
    trees.remove_tree(lab.paths, tree)
    with prepare.prepare(lab.host, found) as pod:
        assert trees.is_rendered(lab.paths, tree)
        assert pathlib.Path(pod.dir.app_tree_id("web")).read_text() == tree


def test_an_image_that_was_taken_with_its_tree_is_told(lab: Stage0Lab) -> None:
    found = wanted(lab)
    trees.remove_tree(lab.paths, rendered(found).tree)
    index.remove_image(lab.paths, found.images[0].id)
    with pytest.raises(NotFound, match="no image IDs found"):
        prepare.prepare(lab.host, found)


def test_without_filters_there_is_none(lab: Stage0Lab) -> None:
    with prepared(lab, insecure_options=["image", "seccomp"]) as pod:
        assert not os.path.exists(pod.dir.app_filter("web"))


def test_where_no_overlay_can_be_used_the_root_is_a_copy_and_users_hear_of_it(lab: Stage0Lab) -> None:
    lab.kernel.answers[why_no_overlay] = "nfs in /srv: not supported"
    with prepared(lab) as pod:
        assert os.path.isfile(f"{pod.dir.app_root('web')}/bin/web")
        assert prepare.notes_of_preparation(pod.dir) == (
            'disabling overlay support: "nfs in /srv: not supported"',
        )
        assert not os.path.exists(pod.dir.overlay_prepared)
    lab.kernel.answers[why_no_overlay] = ""
    with prepared(lab) as pod:
        assert prepare.notes_of_preparation(pod.dir) == ()
        assert os.path.exists(pod.dir.overlay_prepared)


def test_as_long_as_it_is_prepared_it_is_held(lab: Stage0Lab) -> None:
    pod = prepare.prepare(lab.host, wanted(lab))
    with lifecycle.open_pod(lab.paths, pod.uuid) as other:
        assert other.state() is PodState.PREPARING
        assert not other.lock()
        prepare.commit(pod)
        assert other.lock()


def test_whoever_makes_a_pod_hears_its_uuid_before_all_else(lab: Stage0Lab) -> None:
    heard: list[str] = []

    def hear(uuid: str) -> None:
        heard.append(uuid)
        assert not os.path.exists(lab.paths.pod("prepare", uuid).manifest)

    with prepare.prepare(lab.host, wanted(lab), hear) as pod:
        assert heard == [pod.uuid]


def failing_anywhere(lab: Stage0Lab, make: Callable[[], lifecycle.Pod]) -> int:
    """Let each effect of making a pod fail, and check that nothing is left of it; returns the number of effects."""
    for number in itertools.count(1):
        trouble = faults.Faults(number)
        try:
            with faults.watched(trouble):
                pod = make()
        except (PodError, OSError):
            assert lab.uuids() == set(), trouble
            continue
        pod.discard()
        if trouble.count < number:
            return number - 1
    raise AssertionError


def test_whatever_fails_nothing_is_left(lab: Stage0Lab) -> None:
    found = wanted(lab)

    def make() -> lifecycle.Pod:
        pod = prepare.prepare(lab.host, found)
        prepare.commit(pod)
        return lifecycle.open_pod(lab.paths, pod.uuid)

    before = os.listdir("/proc/self/fd")
    assert failing_anywhere(lab, make) > 30
    assert set(os.listdir("/proc/self/fd")) <= set(before)  # servers of earlier tests may be closed meanwhile


def test_a_name_that_cannot_be_given_leaves_no_pod(lab: Stage0Lab) -> None:
    with prepared(lab) as pod:
        pathlib.Path(lab.paths.names).write_text("in the way")
        with pytest.raises(OSError, match="File exists"):
            prepare.give_name(lab.host, "web", pod.uuid)
    assert lab.uuids() == set()


def test_a_name_is_given(lab: Stage0Lab) -> None:
    with prepared(lab) as pod:
        prepare.give_name(lab.host, "web", pod.uuid)
        assert lab.meant("web") == pod.uuid


class TestAgain:
    """A new pod from the documents of an old one."""

    def test_it_is_the_same_pod_and_another(self, lab: Stage0Lab) -> None:
        with prepared(lab, hostname="box") as old, prepare.reprepare(lab.host, old) as new:
            assert new.uuid != old.uuid
            assert lab.documents(new.uuid) == lab.documents(old.uuid)
            files = [
                sorted(str(path.relative_to(root)) for path in root.rglob("*"))
                for root in (
                    pathlib.Path(lab.paths.pod("prepared", uuid).path) for uuid in (old.uuid, new.uuid)
                )
            ]
            assert files[0] == files[1]

    def test_it_needs_nothing_of_the_store_but_the_tree(self, lab: Stage0Lab) -> None:
        with prepared(lab) as old:
            shutil.rmtree(lab.paths.cas)
            prepare.reprepare(lab.host, old).close()

    def test_a_tree_that_is_gone_is_told_of(self, lab: Stage0Lab) -> None:
        with prepared(lab) as old:
            shutil.rmtree(lab.paths.trees)
            with pytest.raises(NotFound, match="its rendered image"):
                prepare.reprepare(lab.host, old)
        assert len(lab.uuids()) == 1

    def test_it_is_started_by_the_runtime_of_today(self, lab: Stage0Lab) -> None:
        with prepared(lab) as old:
            host = lab.host.replace(runtime="/srv/later")
            with prepare.reprepare(host, old) as new:
                assert (
                    pathlib.Path(new.dir.path, "../../prepared", new.uuid, "runtime").read_text()
                    == "/srv/later"
                )

    @pytest.mark.parametrize("document", ["pod", "runspec"])
    def test_what_cannot_be_read_is_not_made_again(self, lab: Stage0Lab, document: str) -> None:
        with prepared(lab) as old:
            pathlib.Path(old.dir.path, document).write_text("{")
            with pytest.raises(Corrupt):
                prepare.reprepare(lab.host, old)
        assert len(lab.uuids()) == 1


class TestSources:
    """Sources of host volumes."""

    def test_one_that_is_missing_is_told_by_its_place(self, lab: Stage0Lab) -> None:
        volume = {"name": "data", "kind": "host", "source": f"{lab.base}/missing"}
        options = {"volumes": [volume], "mounts": [{"volume": "data", "target": "/data"}]}
        with pytest.raises(NotFound, match="Failed to stat") as caught:
            prepare.prepare(lab.host, wanted(lab, **options))
        assert caught.value.facts["where"] == "volumes[0].source"
        assert lab.uuids() == set()

    def test_one_that_no_app_mounts_may_be_missing(self, lab: Stage0Lab) -> None:
        volume = {"name": "data", "kind": "host", "source": f"{lab.base}/missing"}
        prepared(lab, volumes=[volume]).close()


class TestDiscard:
    """A discarded pod."""

    def test_one_that_was_moved_meanwhile_is_found(self, stage0: Stage0Lab) -> None:
        pod = lifecycle.create(stage0.paths)
        os.rename(stage0.paths.pod("prepare", pod.uuid).path, stage0.paths.pod("prepared", pod.uuid).path)
        pod.discard()
        assert (stage0.uuids(), pod.fd) == (set(), -1)

    def test_one_that_is_gone_is_fine(self, stage0: Stage0Lab) -> None:
        pod = lifecycle.create(stage0.paths)
        shutil.rmtree(pod.dir.path)
        pod.discard()
        assert pod.fd == -1

    def test_what_cannot_be_removed_is_left_to_the_collection(self, stage0: Stage0Lab) -> None:
        pod = lifecycle.create(stage0.paths)
        pathlib.Path(stage0.paths.pod("garbage", pod.uuid).path).write_text("in the way")
        pod.discard()
        assert (stage0.state(pod.uuid), pod.fd) == ("aborted prepare", -1)


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_pod_whose_beginning_fails_is_not_left_half_made(stage0: Stage0Lab) -> None:
    lifecycle.make_state_dirs(stage0.paths)
    assert failing_anywhere(stage0, lambda: lifecycle.create(stage0.paths)) > 5
