# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image pins what its name means, and says what it would do."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import pins
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import make_aci

pytestmark = pytest.mark.root


class Trial:
    """A host, and an image in a file."""

    def __init__(self, base: pathlib.Path) -> None:
        paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self.host, self.file = Host.here(paths), base / "a.aci"

    def task(self, *, check: bool = False, **options: object) -> list[tuple[object, object]]:
        """The changes that pod_image makes, or would make, of anything but the image itself."""
        given = Fields({"name": str(self.file), "insecure_options": ["image"], **options}, "")
        result: Any = run.TASKS["pod_image"](self.host, given, check)
        assert result["changed"] == bool(result["changes"])
        return [(each["before"], each["after"]) for each in result["changes"] if "pinned" in each["path"]]

    def pinned(self) -> list[str]:
        return [str(image_id) for image_id in pins.pinned(self.host.paths).values()]


@pytest.fixture(name="trial")
def _trial(tmp_path: pathlib.Path) -> Trial:
    trial = Trial(tmp_path)
    trial.file.write_bytes(make_aci())
    return trial


def test_a_pin_is_set_kept_and_ended_as_check_mode_says(trial: Trial) -> None:
    for before, after in (("false", "true"), ("true", "false")):
        wanted = after == "true"
        assert trial.task(pinned=wanted, check=True) == [(before, after)]
        assert trial.pinned() == ([] if wanted else trial.pinned())
        assert trial.task(pinned=wanted) == [(before, after)]
        assert len(trial.pinned()) == int(wanted)
        assert trial.task(pinned=wanted) == trial.task() == trial.task(pinned=wanted, check=True) == []
        assert len(trial.pinned()) == int(wanted)


def test_a_pin_follows_its_name_without_a_change_of_its_own(trial: Trial) -> None:
    trial.task(pinned=True)
    first = trial.pinned()
    trial.file.write_bytes(make_aci(content=b"other"))
    assert trial.task(pinned=True) == []
    assert len(trial.pinned()) == 1 and trial.pinned() != first


def test_a_pin_goes_with_its_image_or_alone(trial: Trial) -> None:
    trial.task(pinned=True)
    assert trial.task(state="absent", check=True) == trial.task(state="absent") == []
    assert trial.pinned() == []
    trial.task(pinned=True)
    left = pins.pinned(trial.host.paths)
    trial.task(state="absent")
    for source, image_id in left.items():
        pins.pin(trial.host.paths, source, image_id)
    assert trial.task(state="absent", check=True) == trial.task(state="absent") == [("true", "false")]
    assert trial.task(state="absent") == []
