# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Wanted documents that a pod has already, although in other words."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    EmptyVolume,
    HostVolume,
    NamedVolume,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import create
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import LogPolicy, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.sameness import (
    named_by_place,
    normalized,
)


@pytest.mark.finding("use-N3")
@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        (10_000_000, 10 << 20, True),
        (10_000, 10 << 10, True),
        (1_500_000_000, 3 << 29, True),
        (10_000_000, 11 << 20, False),
        (10, 10 << 20, False),
        (4 << 20, 8 << 20, False),
        (4 << 20, 4_000_000, False),
    ],
)
def test_a_size_as_0_1_0_read_it_is_no_difference(tmp_path, found, wanted, same):
    """There 10M was ten million bytes, and the pod is as its play describes it."""
    before, after = (RunSpec(log=LogPolicy(max_bytes=size)) for size in (found, wanted))
    paths = Paths(data=str(tmp_path))
    with create(paths) as pod:
        compared = normalized(paths, pod, (PodManifest(()), before), (PodManifest(()), after))
    assert compared == ((PodManifest(()), before), (PodManifest(()), before if same else after))


@pytest.mark.parametrize("aliases", [(), ("db",)], ids=["no alias", "an alias"])
def test_a_pod_of_before_there_were_names_has_none_until_something_else_differs(tmp_path, aliases):
    before, after = RunSpec(), RunSpec(names=True, aliases=aliases)
    paths = Paths(data=str(tmp_path))
    with create(paths) as pod:
        _found, compared = normalized(paths, pod, (PodManifest(()), before), (PodManifest(()), after))
    assert (compared[1] == before) == (not aliases)
    assert RunSpec.from_json(after.to_json()) == after
    assert {"names", "aliases"}.isdisjoint(before.to_json())


OLD = HostVolume(ACName("data"), "/var/lib/pods/volumes/work/data", recursive=False)
NEW = NamedVolume(ACName("data"), ACName("work"), source="/var/lib/pods/volumes/work/data")


@pytest.mark.parametrize(
    ("found", "wanted", "named"),
    [
        pytest.param(OLD, NEW, NEW, id="the same volume"),
        pytest.param(OLD, NEW.replace(volume=ACName("other")), NEW, id="another volume"),
        pytest.param(OLD.replace(read_only=True), NEW, NEW.replace(read_only=True), id="read-only"),
        pytest.param(OLD, OLD, OLD, id="a path that is wanted as one"),
        pytest.param(OLD.replace(recursive=None), NEW, OLD.replace(recursive=None), id="never written so"),
        pytest.param(OLD.replace(source="/srv"), NEW, OLD.replace(source="/srv"), id="another place"),
        pytest.param(EmptyVolume(OLD.name), NEW, EmptyVolume(OLD.name), id="another kind"),
    ],
)
def test_a_pod_of_0_2_0_has_named_volumes_by_their_place(tmp_path, found, wanted, named):
    before, after = (PodManifest((), volumes=(volume,)) for volume in (found, wanted))
    with create(Paths(data=str(tmp_path))) as pod:
        compared = normalized(Paths(), pod, (before, RunSpec()), (after, RunSpec()))
    assert compared == ((before.replace(volumes=(named,)), RunSpec()), (after, RunSpec()))


def test_what_is_no_name_of_a_volume_stays_a_place(tmp_path):
    volume = OLD.replace(source="/var/lib/pods/volumes/Work/data")
    before, after = (PodManifest((), volumes=(each,)) for each in (volume, NEW))
    assert named_by_place(Paths(), volume) == "Work"
    with create(Paths(data=str(tmp_path))) as pod:
        assert normalized(Paths(), pod, (before, RunSpec()), (after, RunSpec()))[0][0] == before
