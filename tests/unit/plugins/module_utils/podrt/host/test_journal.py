# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Lines for the system's log, by a socket such as the log has."""

from __future__ import annotations

import os
import pathlib
import re
import socket

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import journal
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths


def test_a_line_arrives_as_syslog_writes_it_without_what_could_forge_another(tmp_path: pathlib.Path) -> None:
    paths = Paths(log=str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(paths.log)
        journal.note(paths, "one\n<0>two \x1b[31m\udcff é")
        told = log.recv(4096).decode()
    text = rf"<14>[A-Z][a-z]{{2}} [ 0-9]\d \d\d:\d\d:\d\d stagecraft\.pods\[{os.getpid()}\]: (.*)"
    found = re.fullmatch(text, told)
    assert found
    assert found[1] == "one\\n<0>two \\x1b[31m\\udcff é"


def test_a_host_without_a_log_goes_on_and_so_does_one_whose_log_is_stuck(tmp_path: pathlib.Path) -> None:
    paths = Paths(log=str(tmp_path / "log"))
    journal.note(paths, "to no log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(paths.log)
        for _number in range(2000):
            journal.note(paths, "more than it holds")
        assert log.recv(4096).endswith(b"more than it holds")
