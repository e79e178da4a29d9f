# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The completion script, as bash runs it."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import completion, main
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import enabled


def completed(*words: str) -> list[str]:
    """The completions of the last word."""
    script = completion.bash() + (
        'COMP_WORDS=(podctl "$@"); COMP_CWORD=$#; _podctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.behaviour("A51")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["fet"], ["fetch"]),
        (["im"], ["image"]),
        (["image", "cat"], ["cat-manifest"]),
        (["run", "--pull"], ["--pull-policy="]),
        (["--debug", "image", "rm", "--dry"], ["--dry-run"]),
        (["--di"], ["--dir="]),
        (["stop", "--dir"], ["--dir="]),
        (["run", "./imag"], []),
        (["nothing", "--dry"], []),
    ],
)
def test_words_are_completed(words: list[str], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_every_command_and_flag_that_help_shows_is_there() -> None:
    shown = [command for command in enabled() if not command.hidden]
    assert set(completed("")) == {command.name.split(" ")[0] for command in shown} | {"help"}
    for command in shown:
        found = {word.rstrip("=") for word in completed(*command.name.split(" "), "--")}
        assert {f"--{flag.name}" for flag in command.flags() if not flag.hidden} <= found, command.name


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.invoke(["completion", "tcsh"]) == 254
    assert "completion takes the name of a shell: bash" in capsys.readouterr().err
    assert main.invoke(["completion", "bash"]) == 0
    assert capsys.readouterr().out == completion.bash()
