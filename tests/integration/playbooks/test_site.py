# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The playbook site and the role, on the test's own machine."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT, Machine
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    CosignKey,
)

SITE = CHECKOUT / "playbooks" / "site.yml"
CANARY = "canary-7f3a9c"


def play(machine: Machine, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Play the playbook site, without changing the packages or the systemd of this machine."""
    given = {
        "ansible_become": False,
        "ansible_facts": {"os_family": "Debian", "service_mgr": "none"},
        "pod_host_data_dir": str(machine.data),
        "pod_host_config_dir": machine.directories["config_dir"],
        "pod_host_podctl": str(machine.base / "podctl"),
        "pod_host_manage_packages": False,
        "pod_host_gc": False,
        **variables,
    }
    return machine.playbook(SITE, "-e", json.dumps(given), *arguments)


def changed(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stdout + done.stderr
    [count] = re.findall(r"changed=(\d+)", done.stdout)
    return int(count)


MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"pods": [{"name": "web", "app": [{"image": CANARY}]}]}, 'pods, entry "web": unknown key "app"'),
    ({"pod_volumes": [{"name": "a", "owner": CANARY}]}, 'pod_volumes, entry "a": unknown key "owner"'),
    ({"pod_images": [{"name": "a", "tag": CANARY}]}, 'pod_images, entry "a": unknown key "tag"'),
    (
        {"pods": [{"name": "a"}, {"name": "b"}, {"name": "a"}]},
        'pods, entry "a": there is another entry of this name',
    ),
    ({"pods": [{"environment": {"A": CANARY}}]}, "pods[0]: an entry needs a name"),
    ({"pod_networks": {"name": CANARY}}, "pod_networks: it has to be a list of entries"),
    ({"pod_images": CANARY}, "pod_images: it has to be a list of entries"),
    ({"pods": 7}, "pods: it has to be a list of entries"),
    ({"pod_volumes": [{"name": "a", "mode": 420}]}, 'pod_volumes, entry "a": the mode must be a string'),
)


@pytest.mark.parametrize(("variables", "sentence"), MISTAKES, ids=[sentence for _given, sentence in MISTAKES])
def test_an_entry_that_would_not_do_what_it_says_is_refused_before_anything_is_done(
    bare_machine: Machine, variables: dict[str, Any], sentence: str
) -> None:
    done = play(bare_machine, "-v", **variables)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert CANARY not in done.stdout + done.stderr
    assert not bare_machine.data.exists()


def test_a_site_converges_and_its_podctl_finds_what_is_there(bare_machine: Machine, aci: str) -> None:
    site = {
        "pod_images": [{"name": aci, "insecure_options": ["image"]}],
        "pod_volumes": [{"name": "work", "mode": "0750"}],
        "pod_networks": [{"name": "br", "subnets": ["10.78.0.0/24"]}],
        "pods": [
            {
                "name": "web",
                "apps": [{"image": "example.com/sleeper", "args": ["080"], "environment": {"A": CANARY}}],
                "networks": ["br"],
            }
        ],
    }
    first = play(bare_machine, "-v", **site)
    assert changed(first)
    assert CANARY not in first.stdout + first.stderr
    assert changed(play(bare_machine, **site)) == 0
    podctl = str(bare_machine.base / "podctl")
    listed = json.loads(bare_machine.run(podctl, "list", "--format=json").stdout)
    assert [pod["state"] for pod in listed] == ["running"]
    elsewhere = bare_machine.run(podctl, f"--dir={bare_machine.base}/else", "list", "--no-legend").stdout
    assert elsewhere == ""
    _refuses_while_a_pod_runs(bare_machine)
    gone = {one: [{"name": site[one][0]["name"], "state": "absent"}] for one in ("pod_networks", "pods")}
    assert changed(play(bare_machine, **gone)) == 2
    assert changed(play(bare_machine, **gone)) == 0
    bare_machine.clean()


def _refuses_while_a_pod_runs(machine: Machine) -> None:
    done = play(machine, "--check", pod_host_state="absent")
    assert done.returncode != 0
    assert "pods need the runtime" in done.stdout


def test_the_role_trusts_what_it_is_told(bare_machine: Machine, tmp_path: pathlib.Path) -> None:
    key = CosignKey(tmp_path)
    trust = [
        {"prefix": "docker.io/library", "policy": "accept"},
        {
            "prefix": "example.com/team",
            "policy": "signed",
            "key": key.public.decode(),
            "fingerprint": key.fingerprint,
        },
        {"root": True, "policy": "reject"},
    ]
    place = pathlib.Path(bare_machine.directories["config_dir"], "trust.d")
    foretold = changed(play(bare_machine, "--check", pod_host_trust=trust))
    assert not place.exists()
    assert changed(play(bare_machine, pod_host_trust=trust)) == foretold
    assert changed(play(bare_machine, pod_host_trust=trust)) == 0
    assert sorted(path.name for path in place.iterdir()) == [
        "default.json", "docker.io,library.json", "example.com,team.json"
    ]  # fmt: skip
    ended = [{**entry, "state": "absent"} for entry in trust]
    assert changed(play(bare_machine, pod_host_trust=ended)) == 1
    assert list(place.iterdir()) == []
    refused = play(bare_machine, pod_host_trust=[{"prefix": "docker.io", "rule": "accept"}])
    assert refused.returncode != 0
    assert "rule" in refused.stdout


def test_check_mode_of_absent_says_what_the_run_does(bare_machine: Machine, aci: str) -> None:
    play(bare_machine, pod_images=[{"name": aci, "insecure_options": ["image"]}])
    podctl = bare_machine.base / "podctl"
    bare_machine.run(str(podctl), "prepare", "--quiet", "example.com/sleeper")
    assert len(bare_machine.uuids()) == 1
    foretold = changed(play(bare_machine, "--check", pod_host_state="absent"))
    assert podctl.exists()
    assert changed(play(bare_machine, pod_host_state="absent")) == foretold
    assert not podctl.exists()
    assert list((bare_machine.data / "runtime").iterdir()) == []


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_relative_directory_is_refused_before_anything_is_installed(
    bare_machine: Machine, asynchronous: bool
) -> None:
    task: dict[str, Any] = {"pod_volume": {"name": "work", "data_dir": "pods-of-a-test"}}
    if asynchronous:
        task.update({"async": 60, "poll": 1})
    played = bare_machine.play(task, {"pod_runtime": {"data_dir": "pods-of-a-test"}})
    for result in played.results:
        assert result["failed"], result
        assert 'data_dir: "pods-of-a-test" is not an absolute path' in result["msg"]
    assert not pathlib.Path(CHECKOUT, "pods-of-a-test").exists()
    assert "Traceback" not in played.text


def test_a_task_may_be_asynchronous_on_a_bare_machine_too(bare_machine: Machine) -> None:
    task = {"pod_volume": {"name": "work"}, "async": 60, "poll": 1}
    first, again = bare_machine.play(task, task).results
    assert first["changed"], first
    assert not first.get("failed"), first
    assert first["volume"]["name"] == "work"
    assert again["changed"] is False
    assert (bare_machine.data / "fingerprint.key").stat().st_mode & 0o777 == 0o600
