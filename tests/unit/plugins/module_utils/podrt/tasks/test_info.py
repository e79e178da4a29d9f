# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The pods that pod_info reports."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.status import PodStatus
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.info import gather
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)


def told(lab: Stage0Lab, **options: object) -> list[str]:
    found = gather(lab.host, Fields({"gather": ["pods"], **options}, ""))["pods"]
    assert isinstance(found, list)
    return [pod["uuid"] for pod in found]


def aged(lab: Stage0Lab, uuid: str, created: float) -> str:
    os.utime(lab.paths.pod("exited-garbage", uuid).created, (created, created))
    return uuid


@pytest.mark.finding("use-N2")
def test_a_name_is_the_one_pod_that_it_means_and_its_history_is_what_had_it_before(
    tmp_path: pathlib.Path,
) -> None:
    lab = Stage0Lab(tmp_path)
    try:
        oldest, newest, old = (
            aged(lab, lab.make("stack", "exited-garbage", means=False), created) for created in (1, 3, 2)
        )
        now = lab.running("stack")
        other = lab.running("other")
        assert told(lab, name="stack") == [now]
        assert told(lab, name="stack", history=True) == [now, newest, old, oldest]
        assert told(lab, name=old) == told(lab, name=old.upper()) == [old]
        assert sorted(told(lab)) == sorted([oldest, newest, old, now, other])
        for unknown in ("nosuch", "stac", now[:8], "../stack", ""):
            assert told(lab, name=unknown) == ([] if unknown else told(lab))
    finally:
        lab.stage1.close()


@pytest.mark.finding("use-N2")
def test_a_name_that_means_no_pod_has_a_history_all_the_same(tmp_path: pathlib.Path) -> None:
    lab = Stage0Lab(tmp_path)
    left = lab.make("stack", "exited-garbage", means=False)
    assert (told(lab, name="stack"), told(lab, name="stack", history=True)) == ([], [left])


@pytest.mark.finding("review-B11")
def test_a_pod_that_goes_while_it_is_told_of_has_no_output_and_is_no_failure(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Stage0Lab(tmp_path)
    gone, stays = sorted(lab.make("web", "exited-garbage", means=False) for _pod in range(2))
    looked = info.pod_result

    def look_and_lose(status: PodStatus) -> dict[str, object]:
        if status.uuid == gone:
            os.rename(lab.paths.pod("exited-garbage", gone).path, tmp_path / "gone")
        return looked(status)

    monkeypatch.setattr(info, "pod_result", look_and_lose)
    assert told(lab, tail=20) == [gone, stays]
