# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Processes that are attached to apps, and terminals for them: what tests of podctl attach have in common."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, PodHost

ENABLED = {**os.environ, "RKT_EXPERIMENT_ATTACH": "true"}
ECHOES = 'while read -r line; do echo "got $line"; echo "err $line" >&2; done; echo end'


def prepared(pods: PodHost, script: str, *flags: str) -> str:
    words = ("prepare", "--quiet", pods.image, "--exec=/bin/sh", *flags, "--", "-c", script)
    done = pods.podctl(*words, env=ENABLED)
    assert done.status == 0, done.err
    uuid = done.out.strip()
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    return uuid


Attach = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def attach(pods: PodHost) -> Iterator[Attach]:
    """Starts podctl attach, which ends with the test."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **more: object) -> subprocess.Popen[bytes]:
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        argv = [PODCTL, *pods.where, "attach", *words]
        begun.append(subprocess.Popen(argv, env=ENABLED, **options))  # type: ignore[call-overload]
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()  # type: ignore[union-attr]


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    return process.stdout.readline()


def say(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin
    process.stdin.write(text)
    process.stdin.flush()


@pytest.fixture
def screen() -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    yield master, slave
    os.close(master)
    os.close(slave)


def shown(master: int, wanted: bytes, seconds: float = 20.0) -> bytes:
    """What a screen shows until a text comes."""
    os.set_blocking(master, False)
    data, end = b"", time.monotonic() + seconds
    while wanted not in data or not data:
        assert time.monotonic() < end, data
        try:
            data += os.read(master, 4096)
        except BlockingIOError:
            time.sleep(0.02)
    return data
