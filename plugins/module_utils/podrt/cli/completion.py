# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The completion script of a shell, made from the table of commands. Pure. Source: behaviours A51."""

from __future__ import annotations

from .call import PROGRAM
from .table import GLOBAL, enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .flags import Flag

# Words before the current one are read until they name a command. Where a word is neither a command nor a flag, bash
# completes files.
_BASH = """# bash completion of {program}: source it, or put it into /etc/bash_completion.d
_{program}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} name= i
    local -A flags=(
{flags}
    )
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -* ]] && continue
        name="${{name:+$name }}${{COMP_WORDS[i]}}"
        [[ $name == @({groups}) ]] || break
    done
    COMPREPLY=()
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{globals} ${{flags[${{name:-none}}]}}" -- "$word")
        [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2> /dev/null
    elif [[ -z $name ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{commands}" -- "$word")
{subcommands}
    fi
}}
complete -o default -F _{program} {program}
"""


def bash() -> str:
    """The script for bash."""
    shown = [command for command in enabled() if not command.hidden]
    groups = sorted({command.name.split(" ")[0] for command in shown if " " in command.name})
    return _BASH.format(
        program=PROGRAM,
        flags="\n".join(f'        ["{command.name}"]="{_words(command.flags())}"' for command in shown),
        globals=_words(GLOBAL),
        groups="|".join(groups),
        commands=" ".join([*(command.name for command in shown if " " not in command.name), *groups, "help"]),
        subcommands="\n".join(
            f"    elif [[ $name == {group} ]]; then\n"
            f'        mapfile -t COMPREPLY < <(compgen -W "{_below(group)}" -- "$word")'
            for group in groups
        ),
    )


def _below(group: str) -> str:
    return " ".join(
        command.name.split(" ")[1] for command in enabled() if command.name.startswith(f"{group} ")
    )


def _words(flags: Iterable[Flag]) -> str:
    """Flags as they are typed; a value follows the = of those that need one."""
    return " ".join(
        f"--{flag.name}{'' if flag.bare is not None else '='}" for flag in flags if not flag.hidden
    )
