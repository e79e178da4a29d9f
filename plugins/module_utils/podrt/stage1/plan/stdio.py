# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the standard files of an app are: annotations of the app, as rkt has them. Pure. Source: behaviours A8, A.3."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.labels import Labels

NULL, LOG, STREAM, TTY = "null", "log", "stream", "tty"
NAMES = ("stdin", "stdout", "stderr")
_PREFIX = "coreos.com/rkt/stage2/"
_INPUT, _OUTPUT = (NULL, STREAM, TTY), (LOG, NULL, STREAM, TTY)


class Stdio(Value):
    """The modes of an app's standard files."""

    stdin: str = NULL
    stdout: str = LOG
    stderr: str = LOG

    @property
    def has_tty(self) -> bool:
        """Whether one of them is a terminal."""
        return TTY in self.row()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What can be attached to, in rkt's words."""
        streams = tuple(name for name, mode in zip(NAMES, self.row()) if mode == STREAM)
        terminal = ("tty-in",) * (self.stdin == TTY) + ("tty-out",) * (TTY in (self.stdout, self.stderr))
        return (*streams, *terminal)


def annotation_of(name: str) -> str:
    """The annotation that has the mode of one of NAMES."""
    return _PREFIX + name


def check_mode(name: str, mode: str) -> str:
    """The mode. Raises InvalidSpec with rkt's words."""
    known = _INPUT if name == NAMES[0] else _OUTPUT
    if mode not in known:
        raise InvalidSpec(f'invalid {name} mode "{mode}"', f"use {', '.join(known)}")
    return mode


def stdio_of(annotations: Labels) -> Stdio:
    """The modes that the annotations of an app have. Raises InvalidSpec."""
    found = {name: annotations.get(annotation_of(name)) for name in NAMES}
    return Stdio().replace(**{name: check_mode(name, mode) for name, mode in found.items() if mode})
