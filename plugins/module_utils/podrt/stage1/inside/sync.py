# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages between the starter of a pod and the pod's PID 1 while the pod starts.

A pair of SEQPACKET sockets keeps the messages apart: one read is one frame. When one side ends, the other reads the end
of file; PID 1 exits if that comes before GO. Frames are parsed with care and never trusted: an app that may trace can
write them in the name of PID 1.
"""

from __future__ import annotations

import _socket
import os
from struct import pack, unpack

from ...errors import HostFailure, InvalidSpec, of_kind
from ..pid1.frames import FAILED, LONGEST_FRAME, BadFrame, frame_of, message_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...errors import PodError
    from ..pid1.frames import Message

# From PID 1 to the child of an app, in place of the byte to start: check whether you could.
REHEARSE = b"r"

HIGHEST_STATUS = 255
FD_BYTES = 4


def channel() -> tuple[int, int]:
    """The two ends of a new channel; both are closed at exec unless made inheritable."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def send(fd: int, kind: str, *facts: str | int) -> None:
    """Send a message; texts that are too long are cut. Raises BrokenPipeError when the other side has ended."""
    os.write(fd, frame_of(kind, *facts))


def receive(fd: int) -> Message:
    """Receive the next message, () at the end of file. Raises HostFailure for bytes that are not a message."""
    try:
        frame = os.read(fd, LONGEST_FRAME + 1)
    except ConnectionResetError:
        # The other side ended without having read all of ours; its own messages are still there.
        frame = os.read(fd, LONGEST_FRAME + 1)
    try:
        return message_of(frame) if frame else ()
    except BadFrame as err:
        raise not_understood(str(err)) from None


def passing(fds: Sequence[int]) -> tuple[int, int, bytes]:
    """What goes with a message to pass descriptors. Source: unix(7)."""
    return _socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack(f"{len(fds)}i", *fds)


def passed(data: bytes) -> tuple[int, ...]:
    """The descriptors that came with a message. data: that of the ancillary message."""
    return unpack(f"{len(data) // FD_BYTES}i", data)


def not_understood(why: str) -> HostFailure:
    """The error for bytes that no well-behaved process sends."""
    return HostFailure(
        f"cannot understand what a process of the pod said while it started: {why}",
        "look for an app that may trace others: with CAP_SYS_PTRACE it can speak for them",
    )


def app_has_died() -> HostFailure:
    """The error of the process of an app that has ended without a word."""
    return HostFailure("the process of the app has died", "look for the reason in dmesg")


def send_failure(fd: int, err: PodError) -> None:
    """Send the error of a failed start; error_of gives an equal one on the other side, with long texts cut."""
    facts = [
        word for name, value in err.facts.items() if isinstance(value, (str, int)) for word in (name, value)
    ]
    send(fd, FAILED, err.kind, err.message, err.hint, err.exit_code, *facts)


def error_of(message: Message) -> PodError:
    """The error of a FAILED message, with those of its facts that are text or numbers."""
    kind, text, hint, exit_code, *words = message[1:]
    err = of_kind(str(kind), str(text), str(hint))
    err.facts.update((str(name), value) for name, value in zip(words[::2], words[1::2]))
    if isinstance(err, InvalidSpec):
        err.where = str(err.facts.get("where", ""))
    if exit_code != err.exit_code and 0 < int(exit_code) <= HIGHEST_STATUS:
        err.exit_code = int(exit_code)
    return err
