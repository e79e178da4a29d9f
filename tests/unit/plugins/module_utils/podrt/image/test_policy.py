# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies and the checks that they waive."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import (
    FetchPolicy,
    parse_insecure,
)


@pytest.mark.behaviour("A10")
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("none", ()),
        ("", ()),
        ("image", ("image",)),
        ("TLS,Image", ("image", "tls")),
        ("all-fetch", ("http", "image", "pubkey", "tls")),
        ("all-run,image", ("capabilities", "image", "paths", "seccomp")),
        ("all", ("capabilities", "http", "image", "ondisk", "paths", "pubkey", "seccomp", "tls")),
    ],
)
def test_lists_of_insecure_options(text, wanted):
    assert parse_insecure(text) == wanted


@pytest.mark.behaviour("A10")
@pytest.mark.parametrize(
    ("text", "said"), [("x", 'unknown option "x"'), ("image,IMAGE", 'duplicated option "image"')]
)
def test_wrong_lists(text, said):
    with pytest.raises(InvalidSpec, match=said):
        parse_insecure(text)


def test_a_policy_of_unknown_words_is_invalid():
    with pytest.raises(InvalidSpec, match="pull"):
        FetchPolicy("sometimes")
    with pytest.raises(InvalidSpec, match="unknown option"):
        FetchPolicy(insecure=("everything",))
