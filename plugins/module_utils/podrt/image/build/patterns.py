# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a directory are left out of an image, by patterns as in a .gitignore. Pure.

A pattern without a slash is of a name at any depth, one with a slash of a path from the directory on. * and ? match no
slash, ** does. What is below a directory that is left out is left out as well, and nothing is let in again.

The controller leaves out the same before it sends files, so this imports nothing of the runtime.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WILD = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PART = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^]/]*\]|.", re.DOTALL)


def exclusion(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path from the directory on, such as cache/a.pyc, is matched itself; those above it are asked before."""
    names = [_compiled(pattern.rstrip("/")) for pattern in patterns if "/" not in pattern.rstrip("/")]
    paths = [_compiled(pattern.strip("/")) for pattern in patterns if "/" in pattern.rstrip("/")]

    def is_excluded(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(found.match(name) for found in names) or any(found.match(path) for found in paths)

    return is_excluded


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (_expression(part) for part in _PART.findall(pattern))
    return re.compile("".join(parts) + r"\Z", re.DOTALL)


def _expression(part: str) -> str:
    if part in _WILD:
        return _WILD[part]
    if len(part) > 1:
        negated = part.startswith("[!")
        listed = part[2 if negated else 1 : -1].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
        return f"[{'^/' if negated else ''}{listed.replace('^', chr(92) + '^')}]"
    return re.escape(part)
