# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Credential helpers: real programs, which get the registry on standard input and may do anything."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    PodError,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import credhelpers, programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.credhelpers import login_of

SERVER = "registry.example.com:5000"


class Helpers:
    """A system directory with helpers."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def write(self, name: str, script: str) -> None:
        file = self.path / f"docker-credential-{name}"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


@pytest.fixture(name="helpers")
def _helpers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Helpers:
    """Beside the system directories, in which a test puts nothing."""
    monkeypatch.setattr(programs, "PATH", f"{tmp_path}:{programs.PATH}")
    return Helpers(tmp_path)


def test_a_helper_gets_the_registry_on_its_input_and_an_environment_of_its_own(
    helpers: Helpers, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the caller")
    helpers.write(
        "own",
        f"""[ "$*" = get ] || exit 3
cat > {tmp_path}/input; env | sed 's/=.*//' | sort > {tmp_path}/names
echo '{{"ServerURL": "x", "Username": "me", "Secret": "p:\u00e9"}}'""",
    )
    assert login_of("own", SERVER) == ("me", "p:\u00e9")
    assert (tmp_path / "input").read_text() == SERVER
    names = set((tmp_path / "names").read_text().split())
    assert {"HOME", "LC_ALL", "PATH"} <= names <= {"HOME", "LC_ALL", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize(
    "script",
    [
        "echo 'credentials not found in native keychain'; exit 1",
        """echo '{"ServerURL": "", "Username": "", "Secret": ""}'""",
        "echo '{}'",
    ],
)
def test_one_that_knows_nothing_is_no_error(helpers: Helpers, script: str) -> None:
    helpers.write("own", script)
    assert login_of("own", SERVER) is None


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("echo hunter2; exit 7", HostFailure, "it has failed with the exit status 7"),
        ("echo hunter2 >&2; kill -9 $$", HostFailure, "it has failed with the exit status 137"),
        ("echo hunter2", HostFailure, "what it prints is not that of a credential helper"),
        ("echo '[\"hunter2\"]'", HostFailure, "what it prints is not that of a credential helper"),
        ("""echo '{"Username": 5, "Secret": "hunter2"}'""", HostFailure, "what it prints is not that"),
        (
            """printf '{"Secret": "hunter2'; head -c 100000 /dev/zero; echo '"}'""",
            HostFailure,
            "is not that of",
        ),
        (
            """echo '{"Username": "<token>", "Secret": "hunter2"}'""",
            Unsupported,
            "which is not exchanged here",
        ),
    ],
)
def test_what_a_helper_prints_is_not_shown(
    helpers: Helpers, script: str, kind: type[PodError], message: str
) -> None:
    helpers.write("own", script)
    with pytest.raises(kind, match=message) as caught:
        login_of("own", SERVER)
    shown = f"{caught.value} {caught.value.hint} {caught.value.facts} {caught.value.__cause__}"
    assert "docker-credential-own" in shown and SERVER in shown
    assert "hunter2" not in shown


def test_one_that_hangs_is_killed(helpers: Helpers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credhelpers, "_SECONDS", 0.3)
    helpers.write("own", "sleep 60")
    begin = time.monotonic()
    with pytest.raises(HostFailure, match=r"docker-credential-own was killed: it has not ended within 0\.3"):
        login_of("own", SERVER)
    assert time.monotonic() - begin < 20


def test_one_that_is_not_there_or_cannot_be_run_is_named(helpers: Helpers) -> None:
    with pytest.raises(Unsupported, match='the program "docker-credential-own" is not installed'):
        login_of("own", SERVER)
    helpers.write("own", "")
    (helpers.path / "docker-credential-own").write_bytes(os.urandom(100))
    with pytest.raises(HostFailure, match=f"cannot run docker-credential-own for {SERVER}"):
        login_of("own", SERVER)
