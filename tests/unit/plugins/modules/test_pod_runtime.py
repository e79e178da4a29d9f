# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""pod_runtime on directories of a test: what it removes with the command, and the same report in check mode."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.modules import pod_runtime
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils._glue.test_install import (
    FIRST,
    OTHER,
    RUNTIME,
    packed,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
    privately,
)

OLD = "0" * 32
NEW = "1" * 32
UUID = "5a4f7a52-8b1c-4c5e-9a57-0f1d3b2c4e6f"


class Lab:
    """A host with two runtimes, of which a pod uses the old one."""

    def __init__(self, base: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data, self.podctl, self._capsys = base / "data", base / "bin" / "podctl", capsys
        for name in (OLD, NEW):
            entry = self.runtime(name) / "podrt" / "launch.py"
            entry.parent.mkdir(parents=True)
            entry.touch()
            (self.runtime(name) / "lib").mkdir()
        self.pod = self.data / "pods" / "run" / UUID
        self.pod.mkdir(parents=True)
        (self.pod / "runtime").write_text(str(self.runtime(OLD)))

    def runtime(self, name: str) -> pathlib.Path:
        return self.data / "runtime" / name

    def play(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"data_dir": str(self.data), "podctl": str(self.podctl), "runtime": NEW, **options}
        with patch_module_args({**given, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            pod_runtime.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return result


@pytest.fixture
def lab(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Lab:
    return Lab(tmp_path, capsys)


def paths(result: dict[str, Any]) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_a_runtime_that_loses_its_last_pod_goes_though_the_command_stays_as_it_is(lab: Lab) -> None:
    assert paths(lab.play()) == [str(lab.podctl)]
    assert lab.runtime(OLD).exists()
    (lab.pod / "runtime").unlink()
    foretold = lab.play(check=True)
    assert lab.runtime(OLD).exists()
    done = lab.play()
    assert paths(foretold) == paths(done) == [str(lab.runtime(OLD))]
    assert not lab.runtime(OLD).exists()
    assert lab.play()["changed"] is False


def test_without_the_command_nothing_is_pruned(lab: Lab) -> None:
    (lab.pod / "runtime").unlink()
    assert lab.play(podctl=None)["changed"] is False
    assert lab.runtime(OLD).exists()


def test_pods_that_need_the_runtime_are_named(lab: Lab) -> None:
    result = lab.play(state="absent")
    assert result["failed"] is True
    assert result["pods"] == [UUID]


@pytest.mark.parametrize("option", ["data_dir", "config_dir", "podctl"])
def test_a_relative_path_is_refused_before_anything_is_installed(lab: Lab, option: str) -> None:
    result = lab.play(**{option: "here"})
    assert result["msg"] == f'{option}: "here" is not an absolute path (begin it with /)'
    assert not lab.podctl.exists()


@pytest.mark.root
@pytest.mark.parametrize("cause", ["full", "read-only"])
def test_a_data_directory_that_takes_no_runtime_is_told_with_the_path_and_a_cure(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], cause: str
) -> None:
    archive = packed(tmp_path / "runtime.tar", {**RUNTIME, "podrt/large.py": b"#" * (1 << 20)})
    (tmp_path / "disk").mkdir()

    def install_there() -> None:
        privately()
        syscalls.mount("small", str(tmp_path / "disk"), "tmpfs", 0, "size=64k")
        lab = Lab(tmp_path / "disk", capsys)
        (lab.data / "cas").mkdir()  # as of a data directory that is in use
        if cause == "read-only":
            syscalls.mount("", str(tmp_path / "disk"), "", syscalls.MS_REMOUNT | syscalls.MS_RDONLY, "")
        result = lab.play(runtime=OTHER, archive=archive, libraries=FIRST)
        place, reason, hint = {
            "full": (
                f"{lab.runtime(OTHER)}.new",
                "no space left on device",
                "make room on that file system: podctl image gc removes what no pod uses",
            ),
            "read-only": (
                f"{lab.data}/libraries",
                "read-only file system",
                "that file system is read-only: remount it, or choose another directory",
            ),
        }[cause]
        assert result["msg"] == f"cannot install the runtime: {place}: {reason} ({hint})"
        assert (result["error"], result["hint"]) == ("host-failure", hint)
        assert result["facts"]["path"] == place

    in_child(install_there)
