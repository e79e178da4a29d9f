# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A step of `make test` that did nothing does not count as done."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.pipeline import run


def status_of(tmp_path: pathlib.Path, script: str, **options: bool) -> tuple[str, str]:
    program = tmp_path / "step"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    step = run.Step("step", str(program), **options)
    step.run()
    return step.status, step.reason


@pytest.fixture(autouse=True)
def _quiet_place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param("echo fine", "ok", id="success"),
        pytest.param("echo bad; exit 3", "FAILED", id="failure"),
        pytest.param("echo 'SKIP: no Python 3.13'; exit 77", "SKIPPED", id="skip with a reason"),
        pytest.param("exit 77", "FAILED", id="skip without a reason"),
        pytest.param("echo 'WARNING: All targets skipped.'", "FAILED", id="nothing tested"),
        pytest.param("echo '=== 3 passed, 1 skipped in 0.10s ==='", "FAILED", id="test skipped"),
        pytest.param("echo '3 passed in 0.10s'", "ok", id="tests passed"),
    ],
)
def test_a_step_is_judged_by_what_it_did(tmp_path: pathlib.Path, script: str, status: str) -> None:
    assert status_of(tmp_path, script)[0] == status


@pytest.mark.parametrize(
    ("said", "status"),
    [("95 passed, 5 deselected", "ok"), ("94 passed, 6 deselected", "FAILED"), ("9 deselected", "FAILED")],
)
def test_a_step_that_repeats_tests_may_leave_out_a_few(
    tmp_path: pathlib.Path, said: str, status: str
) -> None:
    assert status_of(tmp_path, f"echo '{said} in 0.10s'", repeats=True)[0] == status
    assert status_of(tmp_path, f"echo '{said} in 0.10s'")[0] == "ok"


def test_in_ci_nothing_may_be_skipped(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert status_of(tmp_path, "echo 'SKIP: no Python 3.9'; exit 77") == ("FAILED", "no Python 3.9")


def test_the_table_counts_steps_and_tests(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = run.Pipeline([])
    program = tmp_path / "step"
    program.write_text("#!/bin/sh\necho '1 failed, 3 passed in 0.10s'; exit 1\n")
    program.chmod(0o755)
    pipeline.run([run.Step("units", str(program))])
    assert pipeline.report(1.0) == 1
    assert (
        "steps: 0 passed, 1 failed, 0 skipped\ntests: 3 passed, 1 failed, 0 skipped\n"
        in capsys.readouterr().out
    )
