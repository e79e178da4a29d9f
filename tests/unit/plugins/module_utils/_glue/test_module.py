# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a module logs, and what it refuses before there is a runtime."""

from __future__ import annotations

import gc
import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST, POD

# As repr writes them, none of these is found by who looks for it as it is.
CANARY = "canary-7f3a9c"
SECRETS = {
    "LINES": f"one\n{CANARY}\ntwo",
    "BACKSLASH": f"\\{CANARY}\\",
    "QUOTES": f"'{CANARY}\"",
    "INVISIBLE": f"\u200b{CANARY}\u200b",
    "LONE": f"\ud800{CANARY}",
    "TAB": f"\t{CANARY}",
}


class Journal:
    """What reached the log of the host, by any way."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def send(self, **fields: object) -> None:
        self.entries += [f"{name}={value}" for name, value in fields.items()]

    def syslog(self, _level: int, message: str) -> None:
        message.encode()  # as syslog(3) does
        self.entries.append(message)


@pytest.fixture(params=["journal", "syslog"])
def journal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Journal:
    found = Journal()
    monkeypatch.setattr(basic, "has_journal", request.param == "journal")
    monkeypatch.setattr(basic, "journal", found, raising=False)
    monkeypatch.setattr(basic.syslog, "syslog", found.syslog)
    return found


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """The result of pod_run."""
    with patch_module_args(options), pytest.raises(SystemExit):
        run_module("pod_run", {**POD, **FETCH, **HOST})
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_secrets_are_not_logged_however_they_are_spelled(
    journal: Journal, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    app = {"image": "example.com/web", "args": ["shown\nas two lines"], "environment": SECRETS}
    result = run(capsys, name="web", apps=[app], environment=SECRETS, data_dir=str(tmp_path))
    assert result["runtime_missing"] is True
    logged = "\n".join(journal.entries)
    assert "name=web" in logged
    assert "example.com/web" in logged
    assert "canary" not in logged
    assert "canary" not in json.dumps(result)


def test_what_a_task_has_loaded_is_not_gone_through_when_it_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = SimpleNamespace(run_task=lambda *_args, **_options: {"changed": False})
    monkeypatch.setattr(module, "load_tasks", lambda *_args: tasks)
    try:
        assert run(capsys, name="web", state="absent")["changed"] is False
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_a_log_has_one_line_for_a_task(
    journal: Journal, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    run(capsys, name="web", state="absent", hostname="a\nb \ud800", data_dir=str(tmp_path))
    assert journal.entries
    assert [entry for entry in journal.entries if "\n" in entry] == []


@pytest.mark.parametrize("option", ["data_dir", "config_dir"])
def test_a_relative_directory_is_refused_before_anything_is_installed(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(capsys, name="web", state="absent", **{option: "pods/data"})
    assert "runtime_missing" not in result
    assert result["msg"] == f'{option}: "pods/data" is not an absolute path (begin it with /)'
    assert (result["error"], result["facts"], result["changes"]) == ("invalid-spec", {"where": option}, [])
