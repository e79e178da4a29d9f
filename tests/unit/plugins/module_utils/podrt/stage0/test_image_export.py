# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image writes its image into a file, once, and says so beforehand."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import make_aci

pytestmark = pytest.mark.root


class Trial:
    """A host, an image in a file, and where it shall be written."""

    def __init__(self, base: pathlib.Path) -> None:
        paths = Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")
        self.host, self.file, self.out = Host.here(paths), base / "a.aci", base / "out.aci"
        self.file.write_bytes(make_aci())

    def task(self, *, check: bool = False, **options: object) -> dict[str, Any]:
        given = {"name": str(self.file), "insecure_options": ["image"], "dest": str(self.out), **options}
        result: Any = run.TASKS["pod_image"](self.host, Fields(given, ""), check)
        assert result["changed"] == bool(result["changes"])
        return result

    def changes(self, *, check: bool = False, **options: object) -> list[tuple[object, object]]:
        """The changes of the file."""
        found = self.task(check=check, **options)["changes"]
        return [(change["before"], change["after"]) for change in found if change["path"] == "dest"]


@pytest.fixture(name="trial")
def _trial(tmp_path: pathlib.Path) -> Trial:
    return Trial(tmp_path)


def test_it_is_written_once_and_comes_out_as_it_was(trial: Trial) -> None:
    assert trial.changes(check=True) == [(None, "known once fetched")]
    assert not trial.out.exists()
    image_id = trial.task(dest=None)["image"]["id"]
    assert trial.changes(check=True) == trial.changes() == [(None, image_id)]
    assert trial.out.read_bytes() == trial.file.read_bytes()
    assert trial.changes() == trial.changes(check=True) == []
    assert "dest" in trial.task(check=True, dest=f"{trial.out}2")["diff"]["after"]


def test_another_image_or_file_is_replaced(trial: Trial) -> None:
    first = trial.task()["image"]["id"]
    trial.file.write_bytes(make_aci(content=b"other"))
    assert trial.changes(check=True) == [(first, "known once fetched")]
    second = trial.task(dest=None)["image"]["id"]
    assert trial.changes() == [(first, second)]
    trial.out.write_text("something else")
    assert trial.changes(check=True) == trial.changes() == [("another file", second)]
    assert trial.out.read_bytes() == trial.file.read_bytes()


def test_a_file_that_holds_it_already_is_left_alone(trial: Trial) -> None:
    trial.out.write_bytes(trial.file.read_bytes())
    inode = trial.out.stat().st_ino
    assert trial.changes() == []
    assert trial.out.stat().st_ino == inode


@pytest.mark.parametrize("check", [False, True])
def test_a_wrong_place_is_refused_before_anything_is_fetched(trial: Trial, check: bool) -> None:
    for dest in (os.path.dirname(trial.out), "out.aci"):
        with pytest.raises(InvalidSpec) as caught:
            trial.task(dest=dest, check=check)
        assert caught.value.where == "dest"
    assert index.list_images(trial.host.paths) == ()


def test_a_missing_directory_is_said_beforehand(trial: Trial) -> None:
    dest = str(trial.out.parent / "missing" / "out.aci")
    [warning] = trial.task(dest=dest, check=True)["warnings"]
    assert "missing does not exist" in warning
    with pytest.raises(NotFound, match=r"cannot write .*: the directory .*/missing does not exist") as caught:
        trial.task(dest=dest)
    assert caught.value.facts["changes"]  # the image was fetched


def test_a_removed_image_is_not_exported(trial: Trial) -> None:
    with pytest.raises(InvalidSpec, match="dest: an image that is removed is not exported"):
        trial.task(state="absent")
