# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl with standard streams that are closed, full or broken, and with arguments that are not text."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, PodHost


def shell(pods: PodHost, redirections: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Call podctl from a shell with redirections."""
    script = f'exec "$0" "$@" {redirections}'
    argv = ["/bin/sh", "-c", script, PODCTL, *pods.where, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(pods: PodHost, closed: str) -> None:
    pods.ok("list")  # the first one warns that there is no data directory
    done = shell(pods, closed, "list")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_error_leaves_the_status_of_an_error(pods: PodHost) -> None:
    assert shell(pods, "2>&-", "status", "abc").returncode == 254


def test_what_apps_say_reaches_no_file_that_took_the_number_of_a_closed_stream(pods: PodHost) -> None:
    words = ("run", "--net=none", pods.image, "--exec=/bin/echo", "--", "into-a-file")
    done = shell(pods, "<&- >&-", *words)
    assert done.returncode == 0, done.stderr
    logs = set((pods.data / "pods").rglob("*.log*"))
    found = [path for path in pods.data.rglob("*") if path.is_file() and not path.is_symlink()]
    holders = [path for path in found if b"into-a-file" in path.read_bytes()]
    assert {path for path in holders if path not in logs} <= set(manifests(pods)), holders


def manifests(pods: PodHost) -> list[pathlib.Path]:
    """The documents that name the app's arguments."""
    return [path for path in pods.data.rglob("*") if path.name in ("pod", "runspec", "manifest")]


@pytest.mark.parametrize(("stream", "status"), [(">", 254), ("2>", 0)])
def test_a_full_disk_is_told_in_one_line(pods: PodHost, stream: str, status: int) -> None:
    pods.ok("list")  # the first one warns that there is no data directory
    done = shell(pods, f"{stream} /dev/full", "list")
    assert done.returncode == status
    wanted = "podctl: cannot write the result: no space left on device\n" if status else ""
    assert done.stderr == wanted


def test_an_error_that_cannot_be_told_keeps_its_status(pods: PodHost) -> None:
    assert shell(pods, "2> /dev/full", "status", "abc").returncode == 254
    assert shell(pods, "2> /dev/full", "list", "--frob").returncode == 254


@pytest.mark.behaviour("C9")
def test_variables_that_are_no_text_are_not_inherited_and_named(pods: PodHost) -> None:
    environ = {**os.environb, b"BAD": b"\xff", b"GOOD": b"good"}
    script = 'echo "${BAD-unset} $GOOD"'
    words = ("run", "--net=none", "--inherit-env", pods.image, "--exec=/bin/sh", "--", "-c", script)
    done = pods.podctl(*words, env=environ)
    assert (done.status, done.texts) == (0, ["unset good"]), done.err
    assert "run: not inheriting the variable BAD: it is not UTF-8\n" in done.err


def test_an_environment_file_that_is_no_text_is_refused(pods: PodHost) -> None:
    path = pods.base / "env"
    path.write_bytes(b"A=\xff\n")
    done = pods.podctl("prepare", f"--set-env-file={path}", pods.image)
    assert done.status == 254
    assert f"prepare: invalid environment file {path}: it is not UTF-8" in done.err


def test_an_argument_that_is_no_text_is_refused_without_a_traceback(pods: PodHost) -> None:
    words = [PODCTL, *pods.where, "prepare", pods.image, "--", b"\xff"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 254
    assert done.stderr.startswith("prepare: error parsing app image arguments: ")
    assert "an app argument must be UTF-8" in done.stderr


@pytest.mark.behaviour("A23", "A24")
def test_a_saved_uuid_can_be_read_whatever_the_umask_is(pods: PodHost) -> None:
    saved = pods.base / "uuid"
    done = subprocess.run(
        [
            PODCTL,
            *pods.where,
            "run",
            "--net=none",
            f"--uuid-file-save={saved}",
            pods.image,
            "--exec=/bin/true",
        ],
        capture_output=True,
        check=False,
        timeout=60,
        umask=0o077,
    )
    assert done.returncode == 0, done.stderr
    assert saved.stat().st_mode & 0o7777 == 0o644
    before = os.stat("/dev/null").st_mode
    assert pods.sh("true", pod_flags=("--net=none", "--uuid-file-save=/dev/null")).status == 0
    assert os.stat("/dev/null").st_mode == before


@pytest.mark.behaviour("A24")
def test_debug_tells_when_the_manifest_is_written(pods: PodHost) -> None:
    assert "prepare: Writing pod manifest\n" in pods.podctl("--debug", "prepare", pods.image).err
    assert "Writing pod manifest" not in pods.podctl("prepare", pods.image).err
