# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that only command lines have: variables of the caller, annotations, and those of enter. Pure."""

from __future__ import annotations

import os

from ..appc.app import check_environment, check_gids
from ..appc.names import ACIdentifier
from ..errors import InvalidSpec
from ..stage0.options import texts
from .flags import is_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..stage0.spec import Pairs


def parse_variable(text: str) -> tuple[str, str]:
    """KEY=VALUE of an environment. Raises InvalidSpec."""
    pair = texts.pair(text)
    check_environment((pair,), "")
    return pair


def valid_variables(variables: Iterable[tuple[str, str]]) -> Pairs:
    """Those variables of a process that are valid in appc, which a shell's exported functions are not."""
    found = []
    for pair in variables:
        try:
            check_environment((pair,), "")
        except InvalidSpec:
            continue
        found.append(pair)
    return tuple(found)


def not_text(variables: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The names of those variables that are not UTF-8."""
    return tuple(name for name, value in variables if not is_text(name + value))


def parse_annotation(text: str) -> tuple[str, str]:
    """--annotation KEY=VALUE. Raises InvalidSpec with rkt's words."""
    try:
        key, value = texts.pair(text)
        return ACIdentifier(key), value
    except InvalidSpec as err:
        raise InvalidSpec("invalid format of --annotation flag", "write an identifier, = and a text") from err


def parse_gids(text: str) -> tuple[int, ...]:
    """--supplementary-gids 1,2. Raises InvalidSpec with rkt's words."""
    found = tuple(texts.integers((text,)))
    check_gids(found, "")
    return found


def parse_working_dir(text: str) -> str:
    """--workdir PATH. Raises InvalidSpec."""
    if not os.path.isabs(text):
        raise InvalidSpec(f'"{text}" is not an absolute path')
    return text
