# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The text of units, and the state of an installed one."""

from __future__ import annotations

import configparser
import contextlib
import pathlib
import shlex
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import canonical_json
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.files import write_new
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import units
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0 import faults
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakesystemd import (
    FakeSystemd,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

SPEC = RunSpec("web", stop_timeout=7)


def host(data: str, unit_dir: pathlib.Path) -> Host:
    return Host(Paths(data=data, units=str(unit_dir)), "amd64", "/srv/runtime", "/usr/bin/python3")


@pytest.fixture
def unit_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "system" / "multi-user.target.wants").mkdir(parents=True)
    return tmp_path / "system"


@pytest.fixture
def pod(tmp_path: pathlib.Path) -> Iterator[lifecycle.Pod]:
    with lifecycle.create(Paths(data=str(tmp_path / "data"))) as made:
        documents.write_runspec(made.dir, SPEC)
        yield made


@pytest.mark.parametrize("data", ["/var/lib/pods", '/srv/my pods/100% "real"/$HOME/back\\slash'])
def test_a_unit_starts_its_pod_from_its_own_directories(data: str, unit_dir: pathlib.Path) -> None:
    here = host(data, unit_dir)
    unit = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(units.unit_text(here, SPEC))
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(unit["Service"]["ExecStart"])]
    assert words == [*here.podctl, "start", "web"]
    assert unit["Service"]["TimeoutStopSec"] == "17"
    assert unit["Service"]["PIDFile"] == "/run/pods/pids/web.pid"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_a_unit_is_absent_as_described_edited_or_outdated(unit_dir: pathlib.Path, pod: lifecycle.Pod) -> None:
    here = host(pod.paths.data, unit_dir)
    assert str(units.read_unit_status(here, pod)) == "absent"
    text, file = units.unit_text(here, SPEC), unit_dir / "pod-web.service"
    file.write_text(text)
    assert str(units.read_unit_status(here, pod)) == "disabled"
    (unit_dir / "multi-user.target.wants" / "pod-web.service").symlink_to(file)
    assert str(units.read_unit_status(here, pod)) == "enabled"
    file.write_text(text + "Nice=1\n")
    assert str(units.read_unit_status(here, pod)) == "enabled, edited"
    file.write_text(units.unit_text(here, SPEC.replace(stop_timeout=8)))
    assert str(units.read_unit_status(here, pod)) == "enabled, outdated"


def test_a_unit_of_another_data_directory_is_nobody_elses(unit_dir: pathlib.Path, pod: lifecycle.Pod) -> None:
    here = host(pod.paths.data, unit_dir)
    (unit_dir / "pod-web.service").write_text(units.unit_text(host("/srv/other", unit_dir), SPEC))
    assert not units.is_installed(here, "web")
    with pytest.raises(Conflict, match="does not belong to a pod in"):
        units.read_unit_status(here, pod)
    (unit_dir / "pod-web.service").write_text("[Unit]\nDescription=by hand\n")
    with pytest.raises(Conflict):
        units.install(here, pod, boot=True)
    assert (unit_dir / "pod-web.service").read_text() == "[Unit]\nDescription=by hand\n"


@pytest.mark.finding("review-B4")
def test_a_unit_written_for_a_link_to_the_data_directory_is_of_that_directory(
    unit_dir: pathlib.Path, pod: lifecycle.Pod, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "link").symlink_to("data")
    older = host(str(tmp_path / "link"), unit_dir)
    (unit_dir / "pod-web.service").write_text(units.unit_text(older, SPEC))
    here = host(pod.paths.data, unit_dir)
    assert units.is_installed(here, "web")
    assert units.read_unit_status(here, pod).text == "outdated"
    assert not units.is_installed(host(str(tmp_path / "other"), unit_dir), "web")


class TestLoaded:
    """systemd gets to know a changed unit, even if the writer was killed before the reload."""

    @pytest.fixture
    def systemd(self, stage0: Stage0Lab) -> FakeSystemd:
        stage0.host = stage0.host.replace(programs=faults.Door(stage0.programs))
        return stage0.boot()

    @staticmethod
    def install(lab: Stage0Lab, uuid: str, trouble: faults.Faults) -> None:
        with (
            contextlib.suppress(faults.Killed),
            faults.watched(trouble),
            lifecycle.open_pod(lab.paths, uuid) as pod,
        ):
            units.install(lab.host, pod, boot=None)

    @staticmethod
    def effects(install: Callable[[faults.Faults], None]) -> int:
        """The number of the effect that reloads all units."""
        counted = faults.Faults()
        install(counted)
        return [what for what, _lines in counted.places].index("before systemctl daemon-reload") + 1

    @pytest.mark.finding("heart-4")
    def test_a_unit_that_was_written_and_not_read_is_read_when_it_is_next_looked_at(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        self.install(stage0, uuid, faults.Faults())
        longer = stage0.make("web")
        with lifecycle.open_pod(stage0.paths, longer) as pod:
            write_new(pod.dir.runspec, canonical_json(RunSpec("web", stop_timeout=77).to_json()))
        again = stage0.save()
        number = self.effects(lambda trouble: self.install(stage0, longer, trouble))
        again()
        self.install(stage0, longer, faults.Faults(number, faults.KILLED))
        path = pathlib.Path(stage0.host.paths.unit("web"))
        assert "TimeoutStopSec=87" in path.read_text()
        assert systemd.loaded["pod-web.service"] != path.read_text()
        with lifecycle.open_pod(stage0.paths, longer) as pod:
            assert str(units.read_unit_status(stage0.host, pod)) == "disabled, not loaded"
        self.install(stage0, longer, faults.Faults())
        assert systemd.loaded["pod-web.service"] == path.read_text()
        with lifecycle.open_pod(stage0.paths, longer) as pod:
            assert str(units.read_unit_status(stage0.host, pod)) == "disabled"

    def test_a_unit_that_is_gone_is_forgotten_when_it_is_next_removed(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        self.install(stage0, uuid, faults.Faults())
        again = stage0.save()
        number = self.effects(lambda trouble: self.remove(stage0, trouble))
        again()
        self.remove(stage0, faults.Faults(number, faults.KILLED))
        assert set(systemd.loaded) == {"pod-web.service"}
        self.remove(stage0, faults.Faults())
        assert systemd.loaded == {}
        calls = len(systemd.calls)
        self.remove(stage0, faults.Faults())
        assert len(systemd.calls) == calls

    @staticmethod
    def remove(lab: Stage0Lab, trouble: faults.Faults) -> None:
        with contextlib.suppress(faults.Killed), faults.watched(trouble):
            units.remove(lab.host, "web")
