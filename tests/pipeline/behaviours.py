# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which promises of docs/compatibility.md does no test prove?

A promise is a bullet that begins with its id, such as `- B22 ...`. A test proves it by the marker
`@pytest.mark.behaviour("B22")`, a test in YAML by a comment `# behaviour: B22 B23`.
"""

from __future__ import annotations

import ast
import pathlib
import re
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PROMISE = re.compile(r"^\s*[-*]\s+[`*]*([A-Z]+\d+[a-z]?)\b")
YAML_CITATION = re.compile(r"#\s*behaviours?:\s*(.+)")
FOLDERS = ("tests", "extensions", "benchmarks")


def promised(text: str) -> list[str]:
    """The ids in their order in docs/compatibility.md."""
    return [found[1] for line in text.splitlines() if (found := PROMISE.match(line))]


def _cited_in_python(text: str) -> list[str]:
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    marks = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "behaviour")
    return [arg.value for mark in marks for arg in mark.args if isinstance(arg, ast.Constant)]


def cited(checkout: pathlib.Path = CHECKOUT) -> dict[str, list[str]]:
    """Every id that a test cites, with the files that cite it."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in FOLDERS for path in (checkout / folder).rglob("*")):
        for one in _cited_in(path):
            found.setdefault(one, []).append(str(path.relative_to(checkout)))
    return found


def _cited_in(path: pathlib.Path) -> list[str]:
    if path.suffix == ".py":
        return _cited_in_python(path.read_text())
    if path.suffix in (".yml", ".yaml"):
        return " ".join(YAML_CITATION.findall(path.read_text())).replace(",", " ").split()
    return []


def main() -> int:
    """Print the ids that no test cites, then the count."""
    ids = promised((CHECKOUT / "docs" / "compatibility.md").read_text())
    proofs = cited()
    missing = [one for one in ids if one not in proofs]
    for start in range(0, len(missing), 15):
        print(" ".join(missing[start : start + 15]))
    print(f"{len(ids) - len(missing)} of {len(ids)} behaviours are cited by tests, {len(missing)} are not")
    return 0


if __name__ == "__main__":
    sys.exit(main())
