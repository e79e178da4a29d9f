# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks beside other tasks, and what they say of their options."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.locks import FileLock
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)


@pytest.fixture(name="stage0")
def _stage0(tmp_path: pathlib.Path) -> Iterator[Stage0Lab]:
    made = Stage0Lab(tmp_path)
    yield made
    made.stage1.close()


@pytest.mark.finding("review-B13")
@pytest.mark.parametrize("status", [0, 3])
def test_a_task_waits_for_its_own_pod_when_the_name_means_another_one_meanwhile(
    stage0: Stage0Lab, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    own, other = stage0.make("web"), stage0.running("web", means=False)
    take = lookup.lock_name

    @contextmanager
    def taken_over_at_once(paths: Paths, name: PodName) -> Iterator[FileLock]:
        """The lock of a name, whose next holder gives the name to another pod, and this pod ends."""
        with take(paths, name) as lock:
            yield lock
        lookup.set_name(paths, name, other)
        with lifecycle.open_pod(paths, own) as pod:
            pathlib.Path(pod.dir.app_status("web")).write_text(str(status))
        stage0.stage1.end(own)

    monkeypatch.setattr(lookup, "lock_name", taken_over_at_once)
    options = Fields({"name": "web", "state": "started", "wait": True, "wait_timeout": 1}, "")
    result = run.TASKS["pod_run"](stage0.host, options, False)
    assert result["pod"]["uuid"] == own  # type: ignore[index]
    assert (result["rc"], result.get("failed", False)) == (status, status != 0)
    assert stage0.state(other) == "running"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("rel", 'apps[0].tmpfs[0].target: "rel" is not an absolute path'),
        ({"short": "rel"}, 'apps[0].tmpfs[0].target: "rel" is not an absolute path'),
        ({"short": "/run:size=1"}, "apps[0].tmpfs[0].size: a size of 1 bytes is out of range"),
        ({"short": "/run:mode=9"}, 'apps[0].tmpfs[0].mode: "9" is not an octal mode'),
        ({"short": "/run:uid=9"}, 'apps[0].tmpfs[0]: "uid=9" is no option of a file system in memory'),
    ],
)
def test_a_short_form_of_a_file_system_in_memory_needs_no_other_one_beside_it(
    stage0: Stage0Lab, written: object, said: str
) -> None:
    options = Fields({"name": "web", "apps": [{"image": "example.com/web", "tmpfs": [written]}]}, "")
    with pytest.raises(InvalidSpec) as caught:
        run.TASKS["pod_run"](stage0.host, options, True)
    assert (str(caught.value), bool(caught.value.hint)) == (said, True)
