# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What is left out of an image, as .gitignore has it."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.patterns import exclusion


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*.pyc", ["a.pyc", "deep/down/a.pyc"], ["a.py", "a.pyc.txt"]),
        (".git", [".git", "sub/.git"], [".gitignore", "x.git"]),
        (".git/", [".git", "sub/.git"], [".gitignore"]),
        ("cache/*", ["cache/a", "cache/.b"], ["cache", "a/cache/b", "cache/a/b"]),
        ("/build", ["build"], ["sub/build"]),
        ("**/tmp/x", ["tmp/x", "a/tmp/x", "a/b/tmp/x"], ["atmp/x"]),
        ("var/**", ["var/a", "var/a/b"], ["var", "xvar/a"]),
        ("file?", ["file1"], ["file", "file12"]),
        ("[ab]c", ["ac", "bc"], ["cc"]),
        ("[!ab]c", ["cc"], ["ac", "bc"]),
        ("[^", ["[^"], ["^"]),
        ("a.b+c", ["a.b+c"], ["axb+c", "a.bbc"]),
        ("line\nbreak", ["line\nbreak"], ["line"]),
    ],
    ids=str,
)
def test_a_pattern_matches_as_in_a_gitignore(pattern: str, matched: list[str], others: list[str]) -> None:
    is_excluded = exclusion([pattern])
    assert [path for path in (*matched, *others) if is_excluded(path)] == matched


def test_without_patterns_nothing_is_left_out() -> None:
    assert not exclusion([])("anything")
