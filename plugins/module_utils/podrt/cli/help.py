# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The help texts, made from the table of commands. Pure."""

from __future__ import annotations

from .call import PROGRAM
from .table import GLOBAL, enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag
    from .table import Command


def overview(group: str = "") -> str:
    """The list of commands. group: only those that begin with this word."""
    shown = [command for command in enabled() if not command.hidden and command.name.startswith(group)]
    width = max(len(command.name) for command in shown)
    lines = [f"  {command.name:{width}}  {command.summary}" for command in shown]
    head = [
        f"{PROGRAM} runs pods, without a daemon.",
        "",
        "Usage:",
        f"  {PROGRAM} [flags] COMMAND [flags] [ARGUMENTS]",
        "",
        "Commands:",
    ]
    tail = ["", "Global flags:", *_flag_lines(GLOBAL), "", f"{PROGRAM} help COMMAND tells about a command."]
    return "\n".join((*head, *lines, *tail)) + "\n"


def usage(command: Command) -> str:
    """The usage line of a command."""
    words = " ".join(
        filter(None, (PROGRAM, command.name, "[flags]" if command.flags() else "", command.arguments))
    )
    return f"Usage:\n  {words}\n"


def manual(command: Command) -> str:
    """The whole help of a command."""
    parts = [f"{command.summary[0].upper()}{command.summary[1:]}.", "", usage(command)]
    if command.flags():
        parts += ["Flags:", *_flag_lines(command.flags()), ""]
    return "\n".join((*parts, "Global flags:", *_flag_lines(GLOBAL))) + "\n"


def _flag_lines(flags: Sequence[Flag]) -> list[str]:
    shown = [
        (_spelling(flag), flag.help) for flag in sorted(flags, key=lambda flag: flag.name) if not flag.hidden
    ]
    width = min(max(len(spelling) for spelling, _help in shown), 36)
    return [f"      {spelling:{width}}  {text}" for spelling, text in shown]


def _spelling(flag: Flag) -> str:
    if not flag.value:
        return f"--{flag.name}"
    return f"--{flag.name}[={flag.value}]" if flag.bare is not None else f"--{flag.name}={flag.value}"
