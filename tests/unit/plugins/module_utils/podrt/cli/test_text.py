# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Text of images, registries, archives and apps: visible where people read it, unchanged where programs do."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.call import complain, say
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.commands.logs import for_terminal
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.output import table
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    NotFound,
    PodError,
    printable,
    reason_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import failure
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import (
    ID,
    PodLab,
    write,
)

# A terminal title, a forged row, a bell, C1, DEL, a change of direction, a line separator, half a character.
EVIL = "1\x1b]0;pwn\x07\nFAKE\tROW\x9b31m\x7f\u202e\u2066\u2028\u2029\x85\udcff"


def is_clean(text: str) -> bool:
    """Whether a terminal shows these lines as they are; tables are made of tabs and newlines."""
    return all(character.isprintable() or character in "\n\t" for character in text)


@pytest.mark.finding("attack-F13")
def test_everything_but_visible_characters_is_escaped() -> None:
    shown = printable(EVIL)
    assert shown.isprintable()
    assert shown == ("1\\x1b]0;pwn\\x07\\nFAKE\\tROW\\x9b31m\\x7f\\u202e\\u2066\\u2028\\u2029\\x85\\udcff")
    assert printable(shown) == shown
    assert printable("größer 日本 \N{WHITE HEAVY CHECK MARK}") == "größer 日本 \N{WHITE HEAVY CHECK MARK}"
    assert all(printable(chr(code)).isprintable() for code in range(0x10000))


@pytest.mark.finding("attack-F13")
def test_a_label_forges_no_row_of_a_list(lab: PodLab) -> None:
    pod = lab.make("run")
    image = RuntimeImage(ImageID(ID), ACIdentifier("example.com/a"), Labels.of(version=EVIL[:-1]))
    app = RuntimeApp(ACName("web"), image, App(("/x",), "0", "0"))
    os.unlink(pod.dir.manifest)
    documents.write_manifest(pod.dir, PodManifest((app,)))
    write(pod.dir.net_info, json.dumps([{"netName": EVIL[:-1], "ip": EVIL[:-1], "ifName": "eth0"}]))
    listed = lab.podctl("list", "--no-legend").out
    assert listed.count("\n") == 1 and is_clean(listed)
    assert "\\x1b]0;pwn" in listed
    status = lab.podctl("status", pod.uuid).out
    assert is_clean(status) and "\nFAKE" not in status
    found = json.loads(lab.podctl("list", "--format=json").out)
    assert found[0]["networks"][0]["netName"] == EVIL[:-1]


@pytest.mark.finding("attack-F13")
def test_a_line_for_people_stays_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    say("image", f"fetching {EVIL}")
    err = NotFound(f"no {EVIL}", f"try {EVIL}")
    err.__cause__ = ValueError(EVIL)
    complain("fetch", err, debug=True)
    said = capfd.readouterr().err
    assert is_clean(said) and said.count("\n") == 4 and "\t" not in said


@pytest.mark.finding("attack-F13")
def test_a_cell_keeps_its_column() -> None:
    lines = table([["NAME", "STATE"], [EVIL, "running"]]).splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[-1] == "running"


@pytest.mark.finding("attack-F13")
def test_the_result_of_a_task_tells_so_as_well() -> None:
    result = failure(NotFound(f"no {EVIL}", f"try {EVIL}"))
    assert str(result["msg"]).isprintable()
    assert result["msg"] == f"no {printable(EVIL)} (try {printable(EVIL)})"


@pytest.mark.finding("attack-F13")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain", "plain"),
        ("a\tb", "a\tb"),
        ("\x1b[1;32mINFO\x1b[0m up", "INFO up"),
        ("with CR\r", "with CR"),
        ("\r[  1.0] other[9]: forged", "\\r[  1.0] other[9]: forged"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("bytes \udcff", "bytes \\udcff"),
    ],
)
def test_what_apps_have_said_on_a_terminal(said: str, shown: str) -> None:
    assert for_terminal(said) == shown


@pytest.mark.finding("attack-F13")
def test_logs_pass_bytes_unchanged_into_a_pipe_and_escape_them_on_a_terminal(lab: PodLab) -> None:
    pod = lab.make("run")
    os.mkdir(pod.dir.logs)
    said = b"\r\x1b]0;x\x07 \xff\x9b \xc3\xa4"
    pathlib.Path(pod.dir.app_log("web")).write_bytes(b"2026-01-01T00:00:00.000000Z stdout " + said + b"\n")
    before, (reader, writer) = os.dup(1), os.pipe()
    os.dup2(writer, 1)
    try:
        assert lab.podctl("logs", pod.uuid).status == 0
    finally:
        os.dup2(before, 1)
        os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == said + b"\n"
    terminal, slave = os.openpty()
    os.dup2(slave, 1)
    try:
        assert lab.podctl("logs", pod.uuid).status == 0
    finally:
        os.dup2(before, 1)
        os.close(slave)
        os.close(before)
    assert os.read(terminal, 1000) == rb"\r\x1b]0;x\x07 \udcff\udc9b " + "ä\r\n".encode()
    os.close(terminal)


@pytest.mark.finding("rkt-R9")
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (2, "no such file or directory"),
        (13, "permission denied"),
        (5, "input/output error"),
        (28, "no space left on device"),
    ],
)
def test_the_kernel_s_reasons_are_written_as_rkt_writes_them(code: int, text: str) -> None:
    err = OSError(code, os.strerror(code), "/x")
    assert reason_of(err) == text
    assert HostFailure.of("cannot read it", err).message == f"cannot read it: /x: {text}"
    assert HostFailure.of("cannot read it", err).facts["error"] == os.strerror(code)


@pytest.mark.finding("review-B22")
def test_the_result_is_utf_8_whatever_the_locale(lab: PodLab) -> None:
    pod = lab.make("run")
    image = RuntimeImage(ImageID(ID), ACIdentifier("example.com/a"), Labels.of(version="\N{SNOWMAN}"))
    os.unlink(pod.dir.manifest)
    documents.write_manifest(
        pod.dir, PodManifest((RuntimeApp(ACName("web"), image, App(("/x",), "0", "0")),))
    )
    launch = pathlib.Path(sys.modules[PodError.__module__].__file__ or "").with_name("launch.py")
    for words in (("cat-manifest", pod.uuid), ("list",)):
        done = subprocess.run(
            (sys.executable, launch, f"--dir={lab.paths.data}", *words),
            capture_output=True,
            check=True,
            env={"PYTHONIOENCODING": "latin-1", "PATH": os.environ["PATH"]},
        )
        assert "\N{SNOWMAN}" in done.stdout.decode()
        assert done.stderr == b""


@pytest.mark.finding("use-N23")
def test_a_terminal_shows_no_password_unless_asked(lab: PodLab) -> None:
    document = {
        "rktKind": "auth",
        "rktVersion": "v1",
        "domains": ["example.com"],
        "type": "basic",
        "credentials": {"user": "ada", "password": "countess"},
    }
    docker = {
        "rktKind": "dockerAuth",
        "rktVersion": "v1",
        "registries": ["registry.example.com"],
        "credentials": {"user": "ada", "password": "lovelace"},
    }
    write(f"{lab.paths.local_config}/auth.d/a.json", json.dumps(document))
    write(f"{lab.paths.local_config}/auth.d/b.json", json.dumps(docker))
    for path in ("a", "b"):
        os.chmod(f"{lab.paths.local_config}/auth.d/{path}.json", 0o600)
    launch = pathlib.Path(sys.modules[PodError.__module__].__file__ or "").with_name("launch.py")
    where = (f"--dir={lab.paths.data}", f"--local-config={lab.paths.local_config}")

    def on_terminal(*words: str) -> str:
        terminal, slave = os.openpty()
        subprocess.run(
            (sys.executable, launch, *where, f"--system-config={lab.paths.system_config}", "config", *words),
            stdout=slave,
            check=True,
        )
        os.close(slave)
        text = os.read(terminal, 65536).decode()
        os.close(terminal)
        return text

    hidden = on_terminal()
    assert "ada" in hidden and "countess" not in hidden and "lovelace" not in hidden
    shown = on_terminal("--show-secrets")
    assert "countess" in shown and "lovelace" in shown
    assert "countess" in lab.podctl("config").out
