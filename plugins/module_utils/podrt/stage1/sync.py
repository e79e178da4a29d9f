# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the starter of a pod and the pod's PID 1 tell each other while the pod starts.

A pair of SEQPACKET sockets keeps the messages apart: one read is one marshalled tuple that begins with its kind. When
one side goes, the other reads the end of the conversation; PID 1 dies of that when it comes before GO.
"""

from __future__ import annotations

import _socket
import marshal
import os

from ..errors import of_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..errors import PodError

    Message = tuple[Union[str, int], ...]

# From PID 1: its namespaces are made; every app runs; the start failed, and why.
NAMESPACES = "namespaces"
STARTED = "started"
FAILED = "failed"
# From the child of an app: the app cannot be started, and which field of its description is wrong. PID 1 passes it on
# between the name of the app and its status.
APP_FAILED = "app-failed"
# From PID 1 in a rehearsal: nothing is in the way.
REHEARSED = "rehearsed"
# From the starter: the resolv.conf that the networks gave; the apps may start.
RESOLV = "resolv"
GO = "go"
# From PID 1 to the child of an app in place of the leave to start: look whether you could.
REHEARSE = b"r"

_LONGEST = 1 << 16


def channel() -> tuple[int, int]:
    """The two ends of a conversation; both are closed at exec unless made inheritable."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def send(fd: int, kind: str, *facts: str | int) -> None:
    """Send a message. Raises BrokenPipeError when the other side has gone."""
    os.write(fd, marshal.dumps((kind, *facts)))


def receive(fd: int) -> Message:
    """The next message, () at the end of the conversation."""
    try:
        frame = os.read(fd, _LONGEST)
    except ConnectionResetError:
        # The other side went without having read all that we said; what it said itself is still there.
        frame = os.read(fd, _LONGEST)
    return tuple(marshal.loads(frame)) if frame else ()


def send_failure(fd: int, err: PodError) -> None:
    """Tell why the start failed, so that error_of gives an equal error on the other side."""
    facts = [
        word for name, value in err.facts.items() if isinstance(value, (str, int)) for word in (name, value)
    ]
    send(fd, FAILED, err.kind, err.message, err.hint, err.exit_code, *facts)


def error_of(message: Message) -> PodError:
    """The error that a FAILED message carries, with those of its facts that are text or numbers."""
    kind, text, hint, exit_code, *words = message[1:]
    facts = {str(name): value for name, value in zip(words[::2], words[1::2])}
    err = of_kind(str(kind), str(text), str(hint), **facts)
    if exit_code != err.exit_code:
        err.exit_code = int(exit_code)
    return err
