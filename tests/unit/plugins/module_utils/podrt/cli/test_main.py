# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl as a program: which command is meant, help, and how errors are reported."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import FlagValues, Given
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.help import manual
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.main import entry, host_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import (
    COMMANDS,
    find_command,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import PodLab, write

CHECKOUT = pathlib.Path(__file__).resolve().parents[6]


@pytest.mark.behaviour("A1")
@pytest.mark.parametrize(
    ("words", "name", "count"),
    [
        (("run",), "run", 1),
        (("run-p", "U"), "run-prepared", 1),
        (("sta",), "status", 1),
        (("start",), "start", 1),
        (("sto",), "stop", 1),
        (("l",), "list", 1),
        (("log",), "logs", 1),
        (("im", "l"), "image list", 2),
        (("image", "cat"), "image cat-manifest", 2),
        (("r",), None, 0),
        (("image",), None, 0),
        (("frob",), None, 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_commands_may_be_abbreviated(words: tuple[str, ...], name: str | None, count: int) -> None:
    command, used = find_command(words)
    assert (command.name if command else None, used) == (name, count)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_an_entry_and_a_manual(command: object) -> None:
    assert callable(entry(command))
    assert f"podctl {command.name}" in manual(command)


@pytest.mark.behaviour("A1", "G7")
def test_no_command_is_an_error(lab: PodLab) -> None:
    answer = lab.podctl()
    assert answer.status == 2
    assert answer.err.endswith("\nmissing command\n")
    assert "Commands:" in answer.err


@pytest.mark.behaviour("A1")
def test_an_unknown_command_is_an_error(lab: PodLab) -> None:
    answer = lab.podctl("frob")
    assert (answer.status, answer.err.splitlines()[0]) == (254, 'Error: unknown command "frob" for "podctl"')
    assert 'unknown command "frob" for "podctl image"' in lab.podctl("image", "frob").err


@pytest.mark.finding("use-N23")
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("lst",), "Did you mean this?\n\tlist\n"),
        (("statsu", "x"), "Did you mean this?\n\tstatus\n"),
        (("image", "listt"), "Did you mean this?\n\tlist\n"),
        (("list", "--ful"), "unknown flag: --ful; did you mean --full?"),
    ],
    ids=str,
)
def test_a_slip_is_answered_with_what_was_meant(lab: PodLab, words: tuple[str, ...], meant: str) -> None:
    answer = lab.podctl(*words)
    assert answer.status == 254
    assert meant in answer.err


@pytest.mark.finding("use-N23")
def test_what_is_like_nothing_is_answered_without_a_guess(lab: PodLab) -> None:
    assert "Did you mean" not in lab.podctl("zzz").err
    assert "did you mean" not in lab.podctl("list", "--zzz").err


@pytest.mark.finding("use-N23")
def test_the_version_has_a_flag_too(lab: PodLab) -> None:
    assert lab.podctl("--version").out == lab.podctl("version").out != ""


@pytest.mark.behaviour("A1")
@pytest.mark.parametrize(
    "words", [("help", "run"), ("run", "--help"), ("run", "-h"), ("--help", "run")], ids=" ".join
)
def test_help_is_no_error(lab: PodLab, words: tuple[str, ...]) -> None:
    answer = lab.podctl(*words)
    assert (answer.status, answer.err) == (0, "")
    assert "--set-env=KEY=VALUE" in answer.out


def test_the_help_of_all(lab: PodLab) -> None:
    assert "run-prepared" in lab.podctl("--help").out
    assert "stage1-gc" not in lab.podctl("help").out
    assert "image list" in lab.podctl("image").out


@pytest.mark.behaviour("A2")
def test_a_wrong_flag_shows_the_usage(lab: PodLab) -> None:
    answer = lab.podctl("list", "--frob")
    assert answer.status == 254
    assert answer.err == "Error: unknown flag: --frob\nUsage:\n  podctl list [flags] \n".replace(" \n", "\n")


@pytest.mark.behaviour("A2", "A10")
@pytest.mark.parametrize("verb", ["list", "version", "status", "gc"])
def test_every_command_minds_what_insecure_options_there_are(lab: PodLab, verb: str) -> None:
    answer = lab.podctl(verb, "--insecure-options=image,x")
    wanted = 'Error: invalid argument "image,x" for "--insecure-options" flag: unknown option "x"\nUsage:\n'
    assert (answer.status, answer.out) == (254, "")
    assert answer.err.startswith(wanted)
    assert "--insecure-options" not in lab.podctl("list", "--insecure-options=ALL").err


@pytest.mark.behaviour("A1", "A2")
def test_a_wrong_flag_without_a_command_is_a_wrong_flag(lab: PodLab) -> None:
    answer = lab.podctl("--nope")
    assert answer.status == 254
    assert answer.err.startswith("Error: unknown flag: --nope\n")
    assert "Commands:" in answer.err


@pytest.mark.behaviour("A2")
@pytest.mark.parametrize(
    "words", [("gc", "extra"), ("image", "gc", "x"), ("list", "x"), ("image", "list", "x"), ("version", "x"),
              ("config", "x")], ids=" ".join
)  # fmt: skip
def test_arguments_that_a_command_has_no_use_for_are_refused(lab: PodLab, words: tuple[str, ...]) -> None:
    answer = lab.podctl(*words)
    name = " ".join(words[:-1])
    assert (answer.status, answer.out) == (254, "")
    assert answer.err.startswith(f"Error: {name} takes no arguments\nUsage:\n  podctl {name}")


@pytest.mark.behaviour("A2")
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "x", "--", "a\udcff"), "an app argument must be UTF-8"),
        (("run", "x\udcff"), "an image must be UTF-8"),
        (("run", "x", "--exec=/\udcff"), 'for "--exec" flag: it must be UTF-8'),
        (("run", "--hostname=\udcff", "x"), 'for "--hostname" flag: it must be UTF-8'),
        (("prepare", "--volume=v,kind=host,source=/\udcff", "x"), 'for "--volume" flag: it must be UTF-8'),
        (("prepare", "--set-env=A=\udcff", "x"), 'for "--set-env" flag: it must be UTF-8'),
        (("fetch", "docker://a\udcff"), "an image must be UTF-8"),
        (("image", "rm", "a\udcff"), "an argument must be UTF-8"),
        (("status", "\udcff"), "an argument must be UTF-8"),
    ],
    ids=lambda value: (
        " ".join(value).encode("ascii", "replace").decode() if isinstance(value, tuple) else None
    ),
)
def test_words_that_are_no_text_are_refused_and_named(
    lab: PodLab, words: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    answer = lab.podctl(*words)
    assert answer.status == 254
    assert named in answer.err


@pytest.mark.parametrize("words", [("--fields=",), ("--fields=,",), ("--sort=",)], ids=str)
@pytest.mark.behaviour("A54")
def test_a_list_of_images_needs_a_field(lab: PodLab, words: tuple[str, ...]) -> None:
    answer = lab.podctl("image", "list", *words)
    assert (answer.status, answer.out) == (254, "")
    assert answer.err.startswith("list: no field is given\n")


@pytest.mark.behaviour("A3")
def test_a_flag_of_the_command_may_stand_before_it(lab: PodLab) -> None:
    assert lab.podctl("--format=json", "list").out == "null\n"


@pytest.mark.finding("trial6-21")
@pytest.mark.behaviour("A8")
@pytest.mark.parametrize(
    ("words", "variable"),
    [(("app", "list", "x"), "RKT_EXPERIMENT_APP"), (("attach", "x"), "RKT_EXPERIMENT_ATTACH")],
)
def test_an_experiment_is_named_where_it_is_not_asked_for(
    lab: PodLab, words: tuple[str, ...], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "0", "false", "yes", "tRUE"):
        monkeypatch.setenv(variable, value)
        answer = lab.podctl(*words)
        assert (answer.status, f'unknown command "{words[0]}"' in answer.err) == (254, True)
        assert answer.err.endswith(f"podctl: hint: {variable}=true in the environment enables it\n")
    for value in ("1", "t", "T", "TRUE", "true", "True"):
        monkeypatch.setenv(variable, value)
        assert "unknown command" not in lab.podctl(*words).err
    assert "hint" not in lab.podctl("image", "app").err


@pytest.mark.behaviour("A5")
@pytest.mark.parametrize(
    "words",
    [
        *(("run", "x"), ("prepare", "x"), ("run-prepared", "x"), ("enter", "x"), ("rm", "x"), ("gc",)),
        *(("attach", "x"), ("export", "x", "y.aci"), ("cp", "x:/", "y"), ("pause", "x"), ("unpause", "x")),
    ],
)
def test_some_commands_are_for_root(
    lab: PodLab, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RKT_EXPERIMENT_ATTACH", "true")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    answer = lab.podctl(*words)
    assert (answer.status, answer.err) == (254, f"{words[0]}: cannot run as unprivileged user\n")


@pytest.mark.behaviour("A6", "A7")
def test_an_error_is_one_line_and_its_hint_another(lab: PodLab) -> None:
    answer = lab.podctl("status", "abc")
    assert answer.status == 254
    assert answer.err == (
        'status: problem retrieving pod: no matches found for "abc"\nstatus: hint: podctl list shows all pods\n'
    )


@pytest.mark.behaviour("A7")
def test_debug_shows_every_cause(lab: PodLab) -> None:
    err = lab.podctl("--debug", "status", "abc").err
    assert '\n  └─no matches found for "abc"\n' in err


def test_what_the_system_refuses_is_one_line_without_a_traceback(lab: PodLab, tmp_path: pathlib.Path) -> None:
    write(f"{tmp_path}/file", "")
    answer = lab.podctl(f"--dir={tmp_path}/file", "status", "abc")
    assert answer.status == 254
    assert answer.err == (
        f"status: the operating system refused: {tmp_path}/file/names/abc: not a directory\n"
        "status: hint: --debug shows where\n"
    )
    with pytest.raises(NotADirectoryError):
        lab.podctl("--debug", f"--dir={tmp_path}/file", "status", "abc")


@pytest.mark.behaviour("A2")
def test_the_data_directory(tmp_path: pathlib.Path, lab: PodLab) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert host_of(FlagValues((Given("dir", f"{tmp_path}/link"),))).paths.data == f"{tmp_path}/real"
    write(f"{tmp_path}/etc/paths.d/p.json", '{"rktKind": "paths", "rktVersion": "v1", "data": "/configured"}')
    local = Given("local-config", f"{tmp_path}/etc")
    assert host_of(FlagValues((local,))).paths.data == "/configured"
    assert host_of(FlagValues((local, Given("dir", "/x")))).paths.data == "/x"
    assert lab.podctl("--dir=", "list").err.startswith("list: --dir must not be empty\n")


@pytest.mark.behaviour("A49")
def test_versions(lab: PodLab) -> None:
    version = re.search(r"^version: (\S+)$", (CHECKOUT / "galaxy.yml").read_text(), re.MULTILINE)
    lines = lab.podctl("version").out.splitlines()
    assert len(lines) == 5
    assert lines[:2] == [f"podctl Version: {version[1]}", "appc Version: 0.8.11"]


@pytest.mark.finding("rkt-R7", "attack-F9")
@pytest.mark.behaviour("A50")
def test_the_configuration_is_what_the_documents_say_and_not_what_a_flag_says(lab: PodLab) -> None:
    def documents() -> dict[str, Any]:
        found = json.loads(lab.podctl("config").out)["stage0"]
        return {document["rktKind"]: document for document in found}

    assert documents()["paths"] == {"rktVersion": "v1", "rktKind": "paths", "data": "", "stage1-images": ""}
    assert "limits" not in documents()
    etc, version = lab.paths.local_config, '"rktVersion": "v1"'
    write(f"{etc}/paths.d/p.json", f'{{"rktKind": "paths", {version}, "data": "/cfg/data"}}')
    write(f"{etc}/limits.d/l.json", f'{{"rktKind": "limits", {version}, "unpackedRatio": 5}}')
    assert documents()["paths"]["data"] == "/cfg/data"
    assert documents()["limits"] == {"rktVersion": "v1", "rktKind": "limits", "unpackedRatio": 5}


@pytest.mark.behaviour("A50", "B59")
def test_the_configuration_is_shown_and_an_unreadable_one_is_fatal(lab: PodLab) -> None:
    assert '"rktKind":"paths"' in lab.podctl("config", "--pretty-print=false").out
    write(f"{lab.paths.local_config}/auth.d/a.json", "{")
    os.chmod(f"{lab.paths.local_config}/auth.d/a.json", 0o600)
    answer = lab.podctl("config")
    assert (answer.status, answer.err[:33]) == (254, "config: cannot read configuration")
