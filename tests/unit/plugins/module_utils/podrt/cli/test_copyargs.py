# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The two ends of podctl cp, and where a copy lands."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.copyargs import (
    DIRECTORY,
    FILE,
    MISSING,
    CopyEnd,
    Target,
    target_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    PodError,
)


@pytest.mark.parametrize(
    ("word", "pod", "app", "path"),
    [
        ("/a:b", "", "", "/a:b"),
        ("./a:b", "", "", "./a:b"),
        ("dir/a:b", "", "", "dir/a:b"),
        ("a", "", "", "a"),
        ("-", "", "", "-"),
        ("web:/a", "web", "", "/a"),
        ("web:a/b:c", "web", "", "a/b:c"),
        ("web:/a:b", "web", "", "/a:b"),
        ("web:db:/a", "web", "db", "/a"),
        ("web:db:a", "web", "db", "a"),
    ],
)
def test_ends(word: str, pod: str, app: str, path: str) -> None:
    assert CopyEnd.parse(word) == CopyEnd(path, pod, app)


@pytest.mark.parametrize("word", ["", ":", ":/a", "web:", "web:db:"])
def test_ends_that_are_none(word: str) -> None:
    with pytest.raises(InvalidSpec):
        CopyEnd.parse(word)


@pytest.mark.parametrize(
    ("source", "is_directory", "dest", "found", "expected"),
    [
        ("/s/f", False, "/d", MISSING, ("/", "d")),
        ("/s/f", False, "d", MISSING, (".", "d")),
        ("/s/f", False, "w:d", MISSING, ("/", "d")),
        ("/s/f", False, "/x/d", FILE, ("/x", "d")),
        ("/s/f", False, "/x/d", DIRECTORY, ("/x/d", "f")),
        ("/s/d", True, "/x/d", MISSING, ("/x", "d")),
        ("/s/d", True, "/x/d/", MISSING, ("/x", "d")),
        ("/s/d/", True, "/x", DIRECTORY, ("/x", "d")),
        ("/s/d/.", True, "/x", DIRECTORY, ("/x", ".")),
        ("/s/d/.", True, "/x/n", MISSING, ("/x", "n")),
        (".", True, "/x", DIRECTORY, ("/x", ".")),
        ("/s/..", True, "/x", DIRECTORY, ("/x", ".")),
        ("/", True, "/x", DIRECTORY, ("/x", ".")),
    ],
)
def test_where_a_copy_lands(
    source: str, is_directory: bool, dest: str, found: str, expected: tuple[str, str]
) -> None:
    target = target_of(CopyEnd.parse(source), CopyEnd.parse(dest), is_directory=is_directory, found=found)
    assert target == Target(*expected)


@pytest.mark.parametrize(
    ("is_directory", "dest", "found", "error"),
    [
        (True, "/x", FILE, InvalidSpec),
        (False, "/x/", MISSING, NotFound),
        (False, "/x/", FILE, NotFound),
        (True, "/x/.", MISSING, NotFound),
    ],
)
def test_where_none_can_land(is_directory: bool, dest: str, found: str, error: type[PodError]) -> None:
    with pytest.raises(error):
        target_of(CopyEnd("/s"), CopyEnd.parse(dest), is_directory=is_directory, found=found)
