# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases that stop a reader are in no comment, docstring, message or page. Source: docs/devel/glossary.md."""

from __future__ import annotations

import pathlib
import re

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("plugins", "docs", "roles", "playbooks", "tests", "benchmarks")
# What releases have left, and the lists of phrases.
ASIDE = ("tests/golden/", "docs/devel/glossary.md", "tests/unit/test_english.py", "tests/output")
KINDS = (".py", ".md", ".rst", ".yml", ".toml", ".sh")
# In quotes, backquotes or an expression it is a name, such as that of the user nobody.
WORD = r"(?<![\w'\"`:=@/.-])(%s)(?![\w'\"`:/-])"
# Of Jinja.
EXPRESSION = re.compile(r"{{|{%|^ *- [\w.]+ is none$")
REFUSED = {
    WORD % "[Ww]ho(?:m|mso)?ever|[Ww]hom": "the caller, the user, the process that ...",
    WORD % "(?:[Nn]o|[Ss]ome|[Aa]ny)body|someone|anyone": "no process, another user, any user ...",
    WORD % "anew": "again, from the start",
    WORD % "(?:is|are|was|were) none": "is not a ..., is not valid, there is no ...",
    WORD % "can not": "cannot",
    WORD % "to be had": "available",
    WORD % "be that": "even if",
    WORD % "hence|thereby": "so, therefore",
    WORD % "hides? behind": "is masqueraded",
}


def texts() -> list[pathlib.Path]:
    """The files of the checkout that people wrote."""
    found = [path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*") if path.suffix in KINDS]
    return sorted(path for path in found if not str(path.relative_to(CHECKOUT)).startswith(ASIDE))


@pytest.mark.parametrize("phrase", REFUSED, ids=list(REFUSED.values()))
def test_no_phrase_that_stops_a_reader(phrase: str) -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(phrase, line) and not EXPRESSION.search(line)
    ]
    assert found == [], f"write: {REFUSED[phrase]}"


def test_the_list_is_that_of_the_glossary() -> None:
    page = (CHECKOUT / "docs" / "devel" / "glossary.md").read_text()
    assert [better for better in REFUSED.values() if f"| {better} |" not in page] == []
