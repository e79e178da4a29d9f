# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The orders of the host to a running pod, see pid1.control. Answers are parsed with care: an app that may trace can
give them in the name of PID 1.
"""

from __future__ import annotations

import _socket
import os
import select

from ...errors import Conflict, HostFailure, Unsupported
from ...host.files import open_beneath
from ...pod.runspec import LONGEST_POLL
from ..inside import sync
from ..pid1 import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.lifecycle import Pod
    from ..pid1.frames import Message

# PID 1 answers at once, unless the machine is very busy.
_SECONDS = 30.0


class Orders:
    """A connection to the first process of a running pod. What was added by it goes with it, unless it is kept."""

    def __init__(self, pod: Pod) -> None:
        """Connect. Raises Unsupported for a pod that takes no orders, Conflict for one that does not run."""
        self._uuid = pod.uuid
        peer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        parent, name = os.path.split(pod.dir.control)
        try:
            directory = open_beneath(parent, pod.dir.path)
            try:
                peer.connect(f"/proc/self/fd/{directory}/{name}")
            finally:
                os.close(directory)
        except FileNotFoundError as err:
            raise Unsupported(
                f'the apps of pod "{pod.uuid}" cannot be changed while it runs: it was started by an older release',
                "restart the pod",
                uuid=pod.uuid,
            ) from err
        except ConnectionRefusedError as err:
            raise self._gone() from err
        except OSError as err:
            raise HostFailure.of(f'cannot reach pod "{pod.uuid}"', err) from err
        self.fd = peer.detach()

    def __enter__(self) -> Orders:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.fd)

    def ask(self, kind: str, *facts: str | int, seconds: float = _SECONDS) -> None:
        """Give an order, and wait until it is carried out. Raises Conflict with the reason where it is refused."""
        try:
            sync.send(self.fd, kind, *facts)
        except OSError as err:
            raise self._gone() from err
        while True:
            message = self.hear(seconds)
            if message[0] == frames.DONE:
                return
            if message[0] == frames.REFUSED:
                raise Conflict(str(message[1]), uuid=self._uuid)
            # What becomes of an app that was added comes whenever it comes.
            if message[0] not in (frames.STARTED, frames.APP_FAILED, frames.FAILED):
                raise sync.not_understood("it is out of turn")

    def hear(self, seconds: float) -> Message:
        """The next message. Raises HostFailure when it takes longer than these seconds, Conflict when the pod ends."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if not poll.poll(min(seconds, LONGEST_POLL) * 1000):
            raise HostFailure(f'pod "{self._uuid}" has not answered within {seconds:g} seconds')
        try:
            message = sync.receive(self.fd)
        except OSError:
            message = ()
        if not message:
            raise self._gone()
        return message

    def _gone(self) -> Conflict:
        return Conflict(f'pod "{self._uuid}" has ended meanwhile', uuid=self._uuid)
