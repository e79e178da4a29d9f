# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The messages between the starter and PID 1."""

from __future__ import annotations

import marshal
import os
from random import Random

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside import sync
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import frames
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.volumes import MissingSource


def test_messages_stay_apart_and_the_end_is_seen() -> None:
    ours, theirs = sync.channel()
    sync.send(theirs, frames.NAMESPACES)
    sync.send(theirs, frames.STARTED)
    assert [sync.receive(ours), sync.receive(ours)] == [(frames.NAMESPACES,), (frames.STARTED,)]
    os.close(theirs)
    assert sync.receive(ours) == ()
    with pytest.raises(BrokenPipeError):
        sync.send(ours, frames.GO)
    os.close(ours)


def test_the_last_words_arrive_though_what_was_said_before_has_not_been_read() -> None:
    ours, theirs = sync.channel()
    sync.send(ours, frames.GO)
    sync.send(theirs, frames.NOT_EXECUTED, "why", "exec")
    os.close(theirs)
    assert [sync.receive(ours), sync.receive(ours)] == [(frames.NOT_EXECUTED, "why", "exec"), ()]
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


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize("size", [5_000, 70_000, 3_000_000])
def test_texts_of_any_length_arrive_cut_with_their_reason(size: int) -> None:
    ours, theirs = sync.channel()
    long = "\u00e9" * size
    sync.send_failure(theirs, NotFound(f'no user "{long}": there is no such', long, path=long, where=long))
    found = sync.error_of(sync.receive(ours))
    assert found.kind == "not-found"
    assert found.message.startswith('no user "\u00e9')
    assert found.message.endswith('\u00e9": there is no such')
    texts = [found.message, found.hint, *map(str, found.facts.values())]
    assert all(1_000 < len(text) <= frames.LONGEST_TEXT for text in texts)
    assert "\u00e9 [...] " in found.message or "\\xc3 [...] " in found.message
    os.close(ours)
    os.close(theirs)


@pytest.mark.finding("http-F13")
def test_a_zero_byte_in_a_text_makes_no_other_field() -> None:
    frame = frames.frame_of("not-executed", "no\0such\0iprogram", "exec")
    assert frames.message_of(frame) == ("not-executed", "no?such?iprogram", "exec")


@pytest.mark.finding("http-F13")
def test_a_frame_above_the_bound_is_refused_and_not_cut() -> None:
    ours, theirs = sync.channel()
    os.write(theirs, b"started" + b"\0" * 2 * frames.LONGEST_FRAME)
    with pytest.raises(HostFailure, match="it is too long"):
        sync.receive(ours)
    os.close(ours)
    os.close(theirs)


@pytest.mark.finding("http-F13")
def test_what_a_forged_error_says_changes_no_more_than_its_text() -> None:
    forged = (
        "failed",
        *("no-kind", "text", "hint", 0),
        *("self", 1, "message", "x", "kind", "y", "facts", 2),
    )
    found = sync.error_of(frames.message_of(frames.frame_of(*forged)))
    assert (type(found), found.message, found.exit_code) == (HostFailure, "text", HostFailure.exit_code)
    assert found.facts == {"self": 1, "message": "x", "kind": "y", "facts": 2}


PIECES = [
    *(
        b"\0",
        b"\0s",
        b"\0i",
        b"\0i-1",
        b"\0s\xff\xfe",
        b"\0i" + b"9" * 40,
        b"\0i\xd9\xa1",
        b"\0s" + b"x" * 5000,
    ),
    *(kind.encode() for kind in frames._TYPES),
    *(frames.frame_of("failed", "bug", "m", "h", 1, "where", "w"), marshal.dumps(("go", 1)), b"{", b""),
]


@pytest.mark.finding("http-F13")
def test_any_bytes_are_a_message_or_a_bad_frame() -> None:
    random = Random(13)
    good = 0
    for _round in range(20_000):
        frame = b"".join(random.choice(PIECES) for _piece in range(random.randrange(1, 9)))
        if random.random() < 0.3:
            frame += random.randbytes(random.randrange(30))
        try:
            kind, *facts = frames.message_of(frame)
        except frames.BadFrame:
            continue
        good += 1
        assert frames.message_of(frames.frame_of(str(kind), *facts)) == (kind, *facts), frame
        if kind == frames.FAILED:
            assert isinstance(sync.error_of((kind, *facts)), PodError)
    assert good > 500


@pytest.mark.finding("http-F13")
def test_any_bytes_on_the_wire_are_a_message_or_an_error_for_people() -> None:
    random = Random(14)
    ours, theirs = sync.channel()
    for size in (1, 2, 7, 100, 4_096, 61_470, 61_471, 150_000):
        for _round in range(20):
            os.write(theirs, random.randbytes(size))
            with pytest.raises(HostFailure, match="cannot understand what a process of the pod said"):
                sync.receive(ours)
    os.close(ours)
    os.close(theirs)
