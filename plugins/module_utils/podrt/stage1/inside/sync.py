# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the starter of a pod and the pod's PID 1 tell each other while the pod starts.

A pair of SEQPACKET sockets keeps the messages apart: one read is one frame. When one side goes, the other reads the end
of the conversation; PID 1 dies of that when it comes before GO. Frames are read with care and never believed: an app
that may trace can write them in the name of PID 1.
"""

from __future__ import annotations

import _socket
import os

from ...errors import HostFailure, InvalidSpec, of_kind
from ..pid1.frames import FAILED, LONGEST_FRAME, BadFrame, frame_of, message_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...errors import PodError
    from ..pid1.frames import Message

# From PID 1 to the child of an app in place of the leave to start: look whether you could.
REHEARSE = b"r"

HIGHEST_STATUS = 255


def channel() -> tuple[int, int]:
    """The two ends of a conversation; both are closed at exec unless made inheritable."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def send(fd: int, kind: str, *facts: str | int) -> None:
    """Send a message, its texts cut where they are too long. Raises BrokenPipeError when the other side has gone."""
    os.write(fd, frame_of(kind, *facts))


def receive(fd: int) -> Message:
    """The next message, () at the end of the conversation. Raises HostFailure for what is no message."""
    try:
        frame = os.read(fd, LONGEST_FRAME + 1)
    except ConnectionResetError:
        # The other side went without having read all that we said; what it said itself is still there.
        frame = os.read(fd, LONGEST_FRAME + 1)
    try:
        return message_of(frame) if frame else ()
    except BadFrame as err:
        raise not_understood(str(err)) from None


def not_understood(why: str) -> HostFailure:
    """The error for what cannot have been said by a process that does as it should."""
    return HostFailure(
        f"cannot understand what a process of the pod said while it started: {why}",
        "look for an app that may trace others: with CAP_SYS_PTRACE it can speak for them",
    )


def send_failure(fd: int, err: PodError) -> None:
    """Tell why the start failed, so that error_of gives an equal error on the other side, but for what is too long."""
    facts = [
        word for name, value in err.facts.items() if isinstance(value, (str, int)) for word in (name, value)
    ]
    send(fd, FAILED, err.kind, err.message, err.hint, err.exit_code, *facts)


def error_of(message: Message) -> PodError:
    """The error that a FAILED message carries, with those of its facts that are text or numbers."""
    kind, text, hint, exit_code, *words = message[1:]
    err = of_kind(str(kind), str(text), str(hint))
    err.facts.update((str(name), value) for name, value in zip(words[::2], words[1::2]))
    if isinstance(err, InvalidSpec):
        err.where = str(err.facts.get("where", ""))
    if exit_code != err.exit_code and 0 < int(exit_code) <= HIGHEST_STATUS:
        err.exit_code = int(exit_code)
    return err
