# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Image files of the controller, sent by real plays to a machine without a registry."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.plugin_utils.sending import PIECE
from ansible_collections.stagecraft.pods.tests.integration.playbooks.conftest import BUSYBOX
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import Machine
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

NAME = "docker://registry.example.com/team/sleeper:1.4"
TRUSTING: dict[str, Any] = {"insecure_options": ["image"]}


@pytest.fixture(scope="module", name="saved")
def _saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pathlib.Path]]:
    """The same image of busybox as skopeo saves it in both formats."""
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    base = tmp_path_factory.mktemp("saved")
    layout = Layout(base / "layout")
    busybox = pathlib.Path(BUSYBOX).read_bytes()
    files = layer(("bin", None), ("bin/busybox", busybox), ("bin/sh", "busybox"), ("tmp", None))
    layout.write_index(
        layout.image(files, Cmd=["/bin/sh", "-c", "echo it sleeps; exec busybox sleep 1000000"])
    )
    found = {"docker": base / "docker.tar", "oci": base / "oci.tar"}
    for target in (f"docker-archive:{found['docker']}:{NAME[9:]}", f"oci-archive:{found['oci']}:1.4"):
        argv = ["skopeo", "--insecure-policy", "copy", "--quiet", f"oci:{layout.path}:it", target]
        subprocess.run(argv, check=True, capture_output=True)
    yield found


def staged(machine: Machine) -> list[str]:
    return sorted(path.name for path in (machine.data / "cas" / "staging").glob("*/*"))


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_an_image_that_was_sent_runs_by_its_docker_reference_without_a_registry(
    bare_machine: Machine, saved: dict[str, pathlib.Path], form: str
) -> None:
    machine, task = bare_machine, {"src": "saved.tar", "name": NAME, **TRUSTING}
    (machine.base / "files").mkdir()
    shutil.copy(saved[form], machine.base / "files" / "saved.tar")  # beside the playbook
    predicted = machine.task("pod_image", check=True, **task)
    assert (predicted["changed"], predicted["image"], predicted["sent_bytes"]) == (True, None, 0)
    assert not machine.data.exists()
    done = machine.task("pod_image", **task)
    assert done["changed"]
    assert done["sent_bytes"] == saved[form].stat().st_size
    assert done["image"]["name"] == "registry.example.com/team/sleeper:1.4"
    assert not (machine.data / "cas" / "staging").exists() or staged(machine) == []
    for check in (False, True):
        again = machine.task("pod_image", check=check, **task)
        assert (again["changed"], again["sent_bytes"]) == (False, 0)
        assert again["image"]["id"] == done["image"]["id"]
    pod = {"name": "web", "networks": ["none"], "apps": [{"image": NAME}], "update": {"min_uptime": 0}}
    run = machine.task("pod_run", **pod, pull="never")
    assert run["pod"]["state"] == "running"
    assert run["pod"]["apps"][0]["image_id"] == done["image"]["id"]
    assert not machine.task("pod_run", **pod)["changed"]
    machine.clean()


def test_a_layout_is_sent_without_the_layers_that_the_host_has(
    bare_machine: Machine, tmp_path: pathlib.Path
) -> None:
    """Two versions in one directory of the controller, as skopeo copies them there."""
    machine = bare_machine
    base = layer(("base", os.urandom(4 << 20)))
    for version in (1, 2):
        layout = Layout(tmp_path / f"made{version}")
        layout.write_index(layout.image(base, layer((f"own{version}", os.urandom(2 << 20))), Cmd=["/x"]))
        target = f"oci:{tmp_path}/versions:{version}"
        argv = ["skopeo", "--insecure-policy", "copy", "--quiet", f"oci:{layout.path}:it", target]
        subprocess.run(argv, check=True, capture_output=True)
    task = {"src": f"{tmp_path}/versions", **TRUSTING}
    sent = []
    for version in (1, 2):
        done = machine.task("pod_image", name=f"docker://registry.example.com/team/app:{version}", **task)
        assert done["changed"] and done["image"]["name"].endswith(f"app:{version}")
        sent.append(done["sent_bytes"])
    # The base and what is the first one's own, then what is the second one's.
    assert 6 << 20 < sent[0] < 8 << 20
    assert 2 << 20 < sent[1] < 4 << 20
    machine.clean()


def test_a_broken_transfer_goes_on_where_it_ended(bare_machine: Machine, tmp_path: pathlib.Path) -> None:
    machine = bare_machine
    # Six pieces that do not compress: two rounds.
    root = tmp_path / "image" / "rootfs"
    root.mkdir(parents=True)
    (root / "data").write_bytes(os.urandom(5 * PIECE + 1000))
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/big"}
    (tmp_path / "image" / "manifest").write_text(json.dumps(manifest))
    file = tmp_path / "big.aci"
    with tarfile.open(file, "w") as archive:
        archive.add(tmp_path / "image" / "manifest", "manifest")
        archive.add(root, "rootfs")
    size = file.stat().st_size
    machine.task("pod_info")  # brings the runtime
    break_after_some_pieces(machine, file)
    first = [name for name in staged(machine) if name != "content"]
    assert 0 < len(first) < 6
    rest = machine.task("pod_image", src=str(file), **TRUSTING)
    assert rest["changed"]
    assert rest["sent_bytes"] == size - PIECE * len(first)
    assert rest["image"]["name"] == "example.com/big"
    assert staged(machine) == []
    again = machine.task("pod_image", src=str(file), **TRUSTING)
    assert (again["changed"], again["sent_bytes"]) == (False, 0)


def break_after_some_pieces(machine: Machine, file: pathlib.Path) -> None:
    """Kill a play once the host has taken over its first pieces."""
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [{"stagecraft.pods.pod_image": {"src": str(file), **TRUSTING, **machine.directories}}],
        }
    ]
    (machine.base / "broken.yml").write_text(json.dumps(play))
    argv, options = machine.playbook_command(machine.base / "broken.yml")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        end = time.monotonic() + 60
        while not any(name != "content" for name in staged(machine)) and time.monotonic() < end:
            time.sleep(0.005)
    finally:
        # Ansible's workers have sessions of their own; all processes of the machine are those of the play.
        while pids := list(map(str, machine.processes())):
            machine.run("kill", "-KILL", *pids, check=False)
        process.wait()


def test_many_hosts_get_it_at_the_same_time(machine: Machine, saved: dict[str, pathlib.Path]) -> None:
    options = {
        "src": str(saved["oci"]),
        "name": NAME,
        "data_dir": f"{machine.base}/{{{{ inventory_hostname }}}}",
        **TRUSTING,
    }
    told = "{{ [image.changed, image.sent_bytes, image.image.id] | to_json }}"
    play = {
        "hosts": "many",
        "gather_facts": False,
        "tasks": [
            {"stagecraft.pods.pod_image": options, "register": "image"},
            {"ansible.builtin.copy": {"content": told, "dest": f"{options['data_dir']}/told"}},
        ],
    }
    (machine.base / "many.yml").write_text(json.dumps([play]))
    hosts = [f"host{number}" for number in range(4)]
    (machine.base / "many.ini").write_text("\n".join(["[many]", *hosts, ""]))
    rounds = []
    for _round in range(2):
        done = machine.playbook(
            machine.base / "many.yml", "-i", str(machine.base / "many.ini"), "--forks", "4"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rounds.append([json.loads((machine.base / host / "told").read_text()) for host in hosts])
    size, [image_id] = saved["oci"].stat().st_size, {answer[2] for answer in rounds[0]}
    assert rounds == [[[True, size, image_id]] * 4, [[False, 0, image_id]] * 4]


def test_mistakes_are_told_before_anything_is_sent(machine: Machine, tmp_path: pathlib.Path) -> None:
    (tmp_path / "plain.aci").write_text("no image" * 100)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"src": "nowhere.aci"}, "src: cannot read nowhere.aci: Could not find or access 'nowhere.aci'"),
        ({"src": str(tmp_path)}, f"src: {tmp_path} is a directory, and no OCI layout"),
        ({"src": f"{tmp_path}/plain.aci"}, f"src: {tmp_path}/plain.aci is not an image"),
        ({"src": f"{tmp_path}/plain.aci", "signature": "no.asc"}, "signature: cannot read no.asc"),
        (
            {"src": f"{tmp_path}/plain.aci", "state": "absent"},
            "src: an image is removed by what it is called",
        ),
        ({"pinned": True}, "one of the following is required: name, src"),
    ]
    played = machine.play(*({"pod_image": options} for options, _message in mistakes))
    for result, (options, message) in zip(played.results, mistakes):
        assert result["failed"], options
        assert message in result["msg"]
        assert "Traceback" not in json.dumps(result)
        assert not result.get("changed")


def test_an_asynchronous_task_cannot_send(machine: Machine, aci: str) -> None:
    task = {"stagecraft.pods.pod_image": {"src": aci, **TRUSTING}, "async": 60, "poll": 1}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
    (machine.base / "async.yml").write_text(json.dumps(play))
    done = machine.playbook(machine.base / "async.yml")
    assert done.returncode != 0
    assert "src: an asynchronous task cannot send a file" in done.stdout + done.stderr
