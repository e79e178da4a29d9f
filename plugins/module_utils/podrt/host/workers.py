# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in forked processes, for what threads would slow down by taking turns at the interpreter.

A worker may be killed at any moment, and is when the work fails or its parent dies: it may only make what does not
count until the parent has put it in place. It is forked from a process without threads of its own, has copies of all
that the parent has, and never returns from the function that it runs. Source: fork(2), unix(7), prctl(2).
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket

from ..errors import Bug, HostFailure, known, of_kind
from ..jsontext import dumps, loads
from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    # A document for the parent, and descriptors that it gets copies of.
    Tell = Callable[[dict[str, object], Sequence[int]], None]

_LONGEST = 128 << 10  # of a message: what a socket takes at once, less its overhead
_MOST_FDS, _FD_BYTES = 4, 4
_MOST_CAUSES = 8
_KEPT_MEMORY = 16 << 20
_MOST_TEXT = 4000
_ERROR = "error"
_NUMBER = 4  # bytes


def at_once(count: int) -> int:
    """The number of workers for so many pieces of work: one more than processors, since each waits now and then."""
    return min(count, (os.cpu_count() or 1) + 1)


class WorkQueue:
    """Numbers, each for one process alone: they share the offset of a file that holds them.

    Source: read(2), "BUGS": since Linux 3.14 a read and its change of the offset are one step.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._fd = os.memfd_create("queue", os.MFD_CLOEXEC)
        os.write(self._fd, b"".join(number.to_bytes(_NUMBER, "little") for number in numbers))
        os.lseek(self._fd, 0, os.SEEK_SET)

    def __enter__(self) -> WorkQueue:
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        os.close(self._fd)

    def __iter__(self) -> Iterator[int]:
        while True:
            number = os.read(self._fd, _NUMBER)
            if not number:
                return
            yield int.from_bytes(number, "little")


class Message:
    """What a worker has told. fds: the receiver's own."""

    def __init__(self, document: dict[str, object], fds: Sequence[int]) -> None:
        self.document = document
        self.fds = fds


class Workers:
    """Processes that do the same work at the same time; a context manager that ends them all.

    what: they, in an error. work: it is called in each, and tells the parent what it has done.
    """

    def __init__(self, what: str, work: Callable[[Tell], None]) -> None:
        self._what = what
        self._work = work
        self._pids: dict[int, int] = {}
        self._sockets: dict[int, socket.socket] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        for sock in self._sockets.values():
            sock.close()
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)  # it has not been reaped, so the number is its own
        for pid in self._pids.values():
            os.waitpid(pid, 0)

    @property
    def pids(self) -> Iterable[int]:
        """Those that have not ended."""
        return self._pids.values()

    def start(self) -> None:
        """Fork another one. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        # An interrupt that came to a worker before it ignores it would lead it through the parent's own code.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if not pid:
                _run(self._what, self._work, theirs, parent)
            self._pids[ours.fileno()] = pid  # before an interrupt can come
            self._sockets[ours.fileno()] = ours
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def messages(self) -> Iterator[list[Message]]:
        """What they tell, all that is there at once, until all have ended well.

        Descriptors belong to the receiver. Raises the error of the first that fails, after what came before it.
        """
        poll = select.poll()
        for number in self._sockets:
            poll.register(number, select.POLLIN)
        while self._sockets:
            told: list[Message] = []
            failure: Exception | None = None
            for number, _event in poll.poll():
                message = _received(self._sockets[number])
                if message is None:
                    poll.unregister(number)
                    failure = failure or self._ended(number)
                elif _ERROR in message.document:
                    failure = failure or _error(message.document[_ERROR])
                else:
                    told.append(message)
            if told:
                yield told
            if failure:
                raise failure

    def _ended(self, number: int) -> Exception | None:
        """Reap a worker that has nothing more to tell; return the error if it was killed."""
        self._sockets.pop(number).close()
        status = os.waitstatus_to_exitcode(os.waitpid(self._pids.pop(number), 0)[1])
        if not status:
            return None
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return HostFailure(
            f"a process for {self._what} has failed: it {how}",
            "the host may be out of memory; try again" if status == -signal.SIGKILL else "try again",
        )


def _run(what: str, work: Callable[[Tell], None], sock: socket.socket, parent: int) -> None:
    """Be a worker. Never returns."""
    status = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return  # it has died before it could be told to kill us
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # a terminal sends it to all, and the parent ends its workers
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        gc.freeze()  # what the parent has made is not looked at, which would copy its pages
        syscalls.keep_memory(_KEPT_MEMORY)

        def tell(document: dict[str, object], fds: Sequence[int] = ()) -> None:
            socket.send_fds(sock, [dumps(document).encode()], fds)

        try:
            work(tell)
            status = 0
        except BaseException as err:
            tell({_ERROR: _described(err, what)})
    finally:
        os._exit(status)


def _received(sock: socket.socket) -> Message | None:
    """The next message, None at the end. socket.recv_fds ignores its flags."""
    room = socket.CMSG_SPACE(_MOST_FDS * _FD_BYTES)
    data, ancillary, _flags, _address = sock.recvmsg(_LONGEST, room, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    fds = [fd for _level, _kind, packed in ancillary for fd in memoryview(packed).cast("i")]
    document = loads(data)
    return Message(document if isinstance(document, dict) else {}, fds)


def _described(err: BaseException, doing: str) -> dict[str, object]:
    """An exception as a document."""
    if isinstance(err, OSError):
        name = err.filename if isinstance(err.filename, str) else ""
        return {"errno": err.errno or 0, "reason": err.strerror or str(err), "path": name}
    failure = known(f"{doing} failed", err if isinstance(err, Exception) else RuntimeError(repr(err)))
    causes = [_traceback(err)] if isinstance(failure, Bug) else []
    cause = failure.__cause__
    while cause is not None and not causes[_MOST_CAUSES:]:
        causes.append(str(cause)[:_MOST_TEXT])
        cause = cause.__cause__
    return {
        "kind": failure.kind,
        "message": failure.message,
        "hint": failure.hint,
        "facts": failure.facts,
        "causes": causes,
    }


def _traceback(err: BaseException) -> str:
    import traceback  # only for bugs

    return "".join(traceback.format_exception(type(err), err, err.__traceback__))[-_MOST_TEXT:]


def _error(told: object) -> Exception:
    """The exception that a worker has described."""
    document = told if isinstance(told, dict) else {}
    if "errno" in document:
        path = document["path"]
        return OSError(document["errno"], document["reason"], *((path,) if path else ()))
    kind, message, hint = document["kind"], document["message"], document["hint"]
    failure = Bug(message, hint) if kind == Bug.kind else of_kind(kind, message, hint, **document["facts"])
    last: BaseException = failure
    for text in document["causes"]:
        last.__cause__ = _Cause(text)
        last = last.__cause__
    return failure


class _Cause(Exception):
    """A cause of an error in a worker: its text."""
