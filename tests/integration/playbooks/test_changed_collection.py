# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A collection that changes while Ansible runs from it, as by an upgrade in another terminal."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT, SECONDS

PARTS = ("galaxy.yml", "meta", "plugins", "requirements")


@pytest.fixture
def collection(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the collection."""
    made = tmp_path / "collections" / "ansible_collections" / "stagecraft" / "pods"
    made.mkdir(parents=True)
    for part in PARTS:
        source = CHECKOUT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, made / part)
    return made


def play(base: pathlib.Path, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of the tasks of one run of Ansible; a failed task does not end it."""
    names = [f"task{number}" for number in range(len(tasks))]
    steps: list[dict[str, Any]] = [
        {"name": name, "register": name, "ignore_errors": True, **task} for name, task in zip(names, tasks)
    ]
    answers = {"content": f"{{{{ [{', '.join(names)}] | to_json }}}}", "dest": str(base / "answers.json")}
    steps.append({"name": "keep", "ansible.builtin.copy": answers})
    (base / "play.json").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": steps}])
    )
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(base / "collections"),
        "ANSIBLE_HOME": str(base / "home"),
        "LC_ALL": "C.UTF-8",
        "PATH": os.environ["PATH"],
        "HOME": str(base),
    }
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "-i", "localhost,", "-c", "local", str(base / "play.json")]
    argv += ["-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(
        argv, env=env, cwd=base, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads((base / "answers.json").read_text())
    return found


def test_a_run_keeps_the_runtime_that_it_began_with_and_brings_no_other(
    tmp_path: pathlib.Path, collection: pathlib.Path
) -> None:
    def info(name: str) -> dict[str, Any]:
        return {"stagecraft.pods.pod_info": {"gather": [], "data_dir": str(tmp_path / name)}}

    changed = collection / "plugins" / "module_utils" / "podrt" / "errors.py"
    change = {"ansible.builtin.lineinfile": {"path": str(changed), "line": "# of another release"}}
    first, _changed, again, elsewhere = play(tmp_path, info("one"), change, info("one"), info("two"))
    assert not first.get("failed"), first
    assert not again.get("failed"), again
    assert len(list((tmp_path / "one" / "runtime").iterdir())) == 1
    assert elsewhere["failed"]
    assert "has been changed since Ansible was started" in elsewhere["msg"]
    assert not (tmp_path / "two" / "runtime").exists()
    [after] = play(tmp_path, info("two"))
    assert not after.get("failed"), after
    before, now = (next((tmp_path / name / "runtime").iterdir()).name for name in ("one", "two"))
    assert before != now
