# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The directories of an installation are the same by any path and any front door."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import main
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import FlagValues, Given
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import find_paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run


def configure(config: pathlib.Path, **members: str) -> None:
    (config / "paths.d").mkdir(parents=True, exist_ok=True)
    document = {"rktKind": "paths", "rktVersion": "v1", **members}
    (config / "paths.d" / "p.json").write_text(json.dumps(document))


@pytest.mark.finding("review-B4")
def test_podctl_and_tasks_follow_a_link_to_the_same_place(tmp_path: pathlib.Path) -> None:
    (tmp_path / "big" / "pods").mkdir(parents=True)
    link = tmp_path / "pods"
    link.symlink_to("big/pods")
    etc = tmp_path / "etc"
    configure(etc, leases=str(link / "leases"))
    podctl = main.host_of(FlagValues((Given("dir", str(link)), Given("local-config", str(etc))))).paths
    task = run._paths(Fields({"data_dir": str(link), "config_dir": str(etc)}, ""))
    assert podctl == task
    assert (podctl.data, podctl.leases) == (f"{tmp_path}/big/pods", f"{tmp_path}/big/pods/leases")


@pytest.mark.finding("review-B4")
def test_what_is_configured_and_what_is_usual_are_followed_as_well(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    configure(tmp_path / "etc", data=str(tmp_path / "link"))
    assert find_paths(local_config=str(tmp_path / "etc")).data == f"{tmp_path}/real"
    for name in ("data", "local_config", "system_config", "leases"):
        monkeypatch.setattr(Paths, name, str(tmp_path / "link"))
    found = find_paths()
    assert {found.data, found.local_config, found.system_config, found.leases} == {f"{tmp_path}/real"}


@pytest.mark.behaviour("E12")
def test_leases_are_where_cni_keeps_them_unless_configured(tmp_path: pathlib.Path) -> None:
    assert find_paths(local_config=str(tmp_path)).leases == "/var/lib/cni/networks"
    configure(tmp_path, leases="relative")
    with pytest.raises(InvalidSpec, match="directory of leases must be an absolute path"):
        find_paths(local_config=str(tmp_path))
