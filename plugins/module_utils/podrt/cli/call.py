# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of podctl: its words, its host, and its output."""

from __future__ import annotations

import os
import sys

from ..errors import printable
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..errors import PodError
    from ..host.host import Host
    from .flags import FlagValues, Words

PROGRAM = "podctl"


class Call(Value):
    """The input of a command. prefix: of its lines on standard error. Source: behaviours A6."""

    prefix: str
    words: Words
    host: Host

    @property
    def options(self) -> FlagValues:
        """The flags that belong to no image."""
        return self.words.options

    @property
    def debug(self) -> bool:
        """Whether --debug is set."""
        return self.options.on("debug")

    @property
    def dry_run(self) -> bool:
        """Whether what would change is to be printed, and nothing to be changed."""
        return self.options.on("dry-run")

    def say(self, text: str) -> None:
        """Print a line for people on standard error."""
        say(self.prefix, text)

    def debug_line(self, text: str) -> None:
        """Print a line for people, with --debug only."""
        if self.debug:
            self.say(text)

    def complain(self, err: PodError) -> None:
        """Report an error and go on."""
        complain(self.prefix, err, debug=self.debug)

    def warn_without_data(self) -> bool:
        """Whether there is a data directory; says so if there is not: --dir may be mistyped."""
        if os.path.lexists(self.host.paths.data):
            return True
        self.say(f'there is no data directory "{self.host.paths.data}" yet')
        return False

    @staticmethod
    def tell(text: str) -> None:
        """Print a line of the result on standard output."""
        sys.stdout.write(f"{printable(text)}\n")

    @staticmethod
    def tell_json(value: object, how: str) -> None:
        """Print the result in one of output.FORMATS on standard output. Raises InvalidSpec."""
        from .output import as_json

        sys.stdout.write(f"{as_json(value, how)}\n")


def say(prefix: str, text: str) -> None:
    """Print a line for people on standard error; goes on if it cannot be written."""
    write_error(f"{prefix}: {printable(text)}\n")


def write_error(text: str) -> None:
    """Write lines, which may begin with a tab, to standard error."""
    try:
        sys.stderr.write(printable(text, keep="\n\t"))
    except BrokenPipeError:
        raise
    except OSError:
        return  # such as a full disk, which cannot be reported anywhere


def complain(prefix: str, err: PodError, *, debug: bool) -> None:
    """Print a line for an error and one for its hint, with debug one for each cause. Source: behaviours A7."""
    say(prefix, err.message)
    cause, indent = err.__cause__, "  "
    while debug and cause is not None:
        write_error(f"{indent}\u2514\u2500{printable(str(cause))}\n")
        cause, indent = cause.__cause__, indent + "  "
    if err.hint:
        say(prefix, f"hint: {err.hint}")


def can_ask() -> bool:
    """Whether a user can answer a question."""
    return os.isatty(0) and os.isatty(2)
