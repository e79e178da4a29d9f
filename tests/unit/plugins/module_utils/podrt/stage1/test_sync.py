# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What starter and PID 1 tell each other."""

from __future__ import annotations

import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1 import sync
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.supervisor import starter
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.volumes import MissingSource


def test_messages_stay_apart_and_the_end_is_seen() -> None:
    ours, theirs = sync.channel()
    sync.send(theirs, sync.NAMESPACES)
    sync.send(theirs, sync.STARTED)
    assert [sync.receive(ours), sync.receive(ours)] == [(sync.NAMESPACES,), (sync.STARTED,)]
    os.close(theirs)
    assert sync.receive(ours) == ()
    with pytest.raises(BrokenPipeError):
        sync.send(ours, sync.GO)
    os.close(ours)


def test_the_last_words_arrive_though_what_was_said_before_has_not_been_read() -> None:
    ours, theirs = sync.channel()
    sync.send(ours, sync.GO)
    sync.send(theirs, sync.FAILED, "why")
    os.close(theirs)
    assert [sync.receive(ours), sync.receive(ours)] == [(sync.FAILED, "why"), ()]
    os.close(ours)


@pytest.mark.parametrize(
    "err",
    [
        NotFound("no user", "give a number"),
        HostFailure.of("cannot mount", OSError(13, "Permission denied", "/x")),
        InvalidSpec("nonsense", where="apps[0]"),
        MissingSource("Failed to stat /x: No such file or directory"),
    ],
    ids=lambda err: type(err).__name__,
)
def test_an_error_arrives_as_what_it_was(err: PodError) -> None:
    ours, theirs = sync.channel()
    sync.send_failure(theirs, err)
    found = sync.error_of(sync.receive(ours))
    assert (found.kind, found.message, found.hint, found.exit_code) == (
        err.kind,
        err.message,
        err.hint,
        err.exit_code,
    )
    assert isinstance(found, PodError)
    assert found.facts == err.facts
    os.close(ours)
    os.close(theirs)


def test_the_supervisor_speaks_the_same_words() -> None:
    assert (starter.STARTED, starter.FAILED) == (sync.STARTED, sync.FAILED)
    assert (starter.APP_FAILED, starter.GO) == (sync.APP_FAILED, sync.GO)
