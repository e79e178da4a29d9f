# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of WWW-Authenticate."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.challenge import (
    Challenge,
    parse_challenges,
)


@pytest.mark.behaviour("B39")
@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Bearer realm="https://a/t",service="s"', (("bearer", ("realm", "https://a/t"), ("service", "s")),)),
        ("Bearer realm=https://a/t, Service=s", (("bearer", ("realm", "https://a/t"), ("service", "s")),)),
        (
            'Basic realm="r", Bearer realm="https://a/t",scope="repository:a:pull,push"',
            (
                ("basic", ("realm", "r")),
                ("bearer", ("realm", "https://a/t"), ("scope", "repository:a:pull,push")),
            ),
        ),
        ('Basic realm = "a \\"b\\""', (("basic", ("realm", 'a "b"')),)),
        ("Negotiate, Basic realm=r", (Challenge("negotiate"), ("basic", ("realm", "r")))),
        ('realm="x"', (Challenge("realm"), Challenge("x"))),
        (",,;;", ()),
        ("Bearer 9a=b, -c = d, e", (("bearer", ("9a", "b"), ("-c", "d")), Challenge("e"))),
        ("9Basic -- Basic", (Challenge("basic"),)),
    ],
)
def test_challenges_are_told_apart(header, wanted):
    assert parse_challenges(header) == tuple(
        one if isinstance(one, Challenge) else Challenge(one[0], one[1:]) for one in wanted
    )


@pytest.mark.finding("attack-F6")
@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "header",
    [
        "Bearer " + "a=," * 100_000,
        "Bearer " + 'a="b",' * 50_000,
        "a " * 80_000,
        "a" * 200_000,
        'Bearer realm="' + "x" * 200_000,
        'Bearer realm="' + "\\" * 200_000,
        'Bearer a="' * 40_000,
        "Bearer a" + " " * 200_000,
        "," * 200_000,
        "=" * 200_000,
    ],
    ids=[
        "empty values",
        "values",
        "schemes",
        "letters",
        "open",
        "escaped",
        "quotes",
        "spaces",
        "commas",
        "equals",
    ],
)
def test_a_header_of_any_form_is_read_in_linear_time(header):
    """Each of these takes minutes if all the rest is read again for every character."""
    parse_challenges(header)


@pytest.mark.finding("attack-F6")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("start", ["", "Bearer ", 'Bearer realm="'], ids=["nothing", "scheme", "value"])
def test_a_long_run_of_any_character_is_read_in_linear_time(start):
    """Far more than the longest header that is read at all."""
    for character in map(chr, range(256)):
        parse_challenges(start + character * 65_536)
