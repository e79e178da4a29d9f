# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Data directories of earlier releases: they are read, and the plays that made them find nothing to do."""

from __future__ import annotations

import json
import pathlib
import tarfile
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden"
PLACE = b"/var/tmp/stagecraft.pods-golden"


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


RELEASES = sorted((path.parent.name for path in GOLDEN.glob("*/plays.json")), key=_numbers)

pytestmark = pytest.mark.root


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(release: str, tmp_path: pathlib.Path) -> pathlib.Path:
    """The data directory of a release, moved here."""
    with tarfile.open(GOLDEN / release / "data.tar.xz") as archive:
        for member in archive:
            archive.extract(member, tmp_path)
    for path in [*(tmp_path / "data/pods").rglob("*"), *(tmp_path / "data/names").rglob("*")]:
        if path.is_file() and not path.is_symlink() and PLACE in (content := path.read_bytes()):
            path.write_bytes(content.replace(PLACE, bytes(tmp_path)))
    return tmp_path


@pytest.fixture
def plays(release: str, place: pathlib.Path) -> list[tuple[str, dict[str, Any]]]:
    """The tasks of a release, on the directories that were moved."""
    directories = {"data_dir": f"{place}/data", "config_dir": f"{place}/etc"}
    found = json.loads((GOLDEN / release / "plays.json").read_text())
    return [(play["module"], {**play["options"], **directories}) for play in found]


def test_there_are_golden_files() -> None:
    assert RELEASES[0] == "0.1.0"


@pytest.mark.finding("use-N11")
@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_the_same_play_changes_nothing(plays: list[tuple[str, dict[str, Any]]], check: bool) -> None:
    results = [run_task(module, options, check=check) for module, options in plays]
    assert [result["changes"] for result in results] == [[]] * len(plays)
    assert not any(result["changed"] for result in results)


def test_every_pod_and_image_is_shown(release: str, place: pathlib.Path) -> None:
    directories = {"data_dir": f"{place}/data", "config_dir": f"{place}/etc"}
    pods: Any = run_task("pod_info", directories, check=False)["pods"]
    of_all = {("prepared", "prepared"), ("plain", "prepared"), ("ended", "exited")}
    later = {("inside", "prepared")} if _numbers(release) >= (0, 7) else set()
    later |= {("joined", "prepared")} if _numbers(release) >= (0, 8) else set()
    assert {(pod["name"], pod["state"]) for pod in pods} == of_all | later
    assert all(app["image_id"].startswith("sha512-") for pod in pods for app in pod["apps"])
