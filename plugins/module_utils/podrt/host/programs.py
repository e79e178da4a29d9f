# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that starts a program: nft, gpg's helpers, CNI plugins, systemctl, podctl itself (see forked).

posix_spawn instead of subprocess: the module subprocess costs 11 ms at the start of an interpreter.
"""

from __future__ import annotations

import os
import time

from ..errors import HostFailure, Unsupported
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# nft, systemctl and the like take a fraction of a second; an overloaded host gets this much.
SECONDS = 60.0
_MOST_OUTPUT = 16 << 20
_LOOK_SECONDS = 0.25
# Of address space, of which threads take much: several times the need of zstd for the largest window.
_FILTER_MEMORY = 1 << 30
_STALL_SECONDS = 300.0
_F_SETPIPE_SZ, _PIPE_BYTES = 1031, 1 << 20  # fcntl.F_SETPIPE_SZ, from Python 3.10 on
_PIECE = 1 << 18
_KILLED = 9


class Completed(Value):
    """The result of a program: its exit status (128 + n for signal n) and its output."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """The last line of its stderr, for an error message."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.status}"

    @property
    def complaints(self) -> str:
        """All lines of its stderr in one, for a program whose last line has not the reason."""
        return " ".join(self.stderr.decode(errors="replace").split()) or self.complaint


def find(name: str) -> str:
    """The path of a program. Raises Unsupported naming it."""
    for directory in PATH.split(":"):
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise Unsupported(
        f'the program "{name}" is not installed',
        f"install the package that has {name}; role pod_host does",
        program=name,
    )


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    called: str = "",
    forked: bool = False,
) -> Completed:
    """Run a program to its end. argv[0] is a path, or the name of a program in PATH.

    Input and output go through temporary files in memory.

    seconds: then it is killed with its whole process group. called: its name in errors, by default that of its file.
    forked: whether podctl of this very runtime may be a fork of this process, since no process of it stays behind.
    Raises OSError if it cannot be started, HostFailure if it does not end in time or prints more than 16 MiB.
    """
    return begin(argv, stdin=stdin, env=env, called=called, forked=forked).wait(seconds)


def begin(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    called: str = "",
    forked: bool = False,
) -> Running:
    """Start a program whose end is awaited later, see run. Raises OSError."""
    stdin_fd, out, err = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr"))
    try:
        os.write(stdin_fd, stdin)
        os.lseek(stdin_fd, 0, os.SEEK_SET)
        environment = {"PATH": PATH, "LC_ALL": "C"} if env is None else env
        pid = _start(argv, environment, (stdin_fd, out, err), forked)
    except BaseException:
        os.close(out)
        os.close(err)
        raise
    finally:
        os.close(stdin_fd)
    return Running(pid, called or os.path.basename(argv[0]), out, err)


def _start(argv: Sequence[str], env: Mapping[str, str], files: tuple[int, int, int], forked: bool) -> int:
    """Start a program with these standard files, in a process group of its own; returns its PID. Raises OSError."""
    if forked:
        from .forked import is_podctl, start

        if is_podctl(argv):
            return start(argv, env, files)
    path = argv[0] if "/" in argv[0] else find(argv[0])
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)]
    return os.posix_spawn(path, [path, *argv[1:]], env, file_actions=actions, setpgroup=0)  # pylint: disable=ansible-bad-function


class Running:
    """A program that runs, to be awaited once, or ended."""

    def __init__(self, pid: int, name: str, out: int, err: int) -> None:
        self._pid, self._name, self._out, self._err = pid, name, out, err

    def wait(self, seconds: float = SECONDS) -> Completed:
        """Wait for its end, see run. Raises HostFailure."""
        pid, self._pid = self._pid, 0
        try:
            status = _await(pid, self._name, seconds, (self._out, self._err))
            return Completed(exit_status(status), _content(self._out), _content(self._err))
        finally:
            os.close(self._out)
            os.close(self._err)

    def end(self) -> None:
        """Kill it with its process group, unless it was awaited."""
        if self._pid:
            _kill_group(self._pid)
            self.wait()


def _await(pid: int, name: str, seconds: float, outputs: tuple[int, int]) -> int:
    """Wait for the end of a program. Returns the status of wait(2). Beyond its limits, kills it; raises HostFailure."""
    import select  # an idle task starts no program

    end = time.monotonic() + seconds
    poll = select.poll()
    process = os.pidfd_open(pid)
    poll.register(process, select.POLLIN)
    wrong = "nothing waits for it any more"
    try:
        has_ended = False
        while not has_ended:
            has_ended = bool(poll.poll(max(0.0, min(_LOOK_SECONDS, end - time.monotonic())) * 1000))
            if any(os.fstat(fd).st_size > _MOST_OUTPUT for fd in outputs):
                wrong = f"it has printed more than {_MOST_OUTPUT >> 20} MiB"
                break
            if time.monotonic() >= end and not has_ended:
                wrong = f"it has not ended within {seconds:g} seconds"
                break
        else:
            wrong = ""
    finally:
        os.close(process)
        if wrong:
            _kill_group(pid)
        status = os.waitpid(pid, 0)[1]
    if wrong:
        raise HostFailure(
            f"{name} was killed: {wrong}",
            "the host may be overloaded; try again",
            program=name,
            seconds=seconds,
        )
    return status


def _kill_group(pid: int) -> None:
    """Kill a program and its process group. It has not been reaped, so the number is still its own."""
    try:
        os.killpg(pid, _KILLED)
    except ProcessLookupError:
        return


def pipe(argv: Sequence[str], chunks: Iterator[bytes], *, memory: int = _FILTER_MEMORY) -> Iterator[bytes]:
    """The output of a filter program that is fed a stream. argv[0] is a path. memory: the limit of its address space
    in bytes.

    Kills the program when the reader stops early or the stream has an error, which is raised. Raises OSError with the
    program's exit status and complaint if it failed, and HostFailure if it has done nothing for 300 seconds.
    """
    import resource

    stdin_fd, feed = os.pipe2(os.O_CLOEXEC)
    out, stdout_fd = os.pipe2(os.O_CLOEXEC)
    complaints = os.memfd_create("stderr", os.MFD_CLOEXEC)
    for fd in (feed, out):
        _widen(fd)
    actions = [
        (os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin_fd, stdout_fd, complaints))
    ]
    try:
        pid = os.posix_spawn(argv[0], list(argv), {"PATH": PATH, "LC_ALL": "C"}, file_actions=actions)  # pylint: disable=ansible-bad-function
    except BaseException:
        for fd in (feed, out, complaints):
            os.close(fd)
        raise
    finally:
        os.close(stdin_fd)
        os.close(stdout_fd)
    ended = False
    try:
        # Before it gets any input; it has not been reaped, so the number is its own even if it has ended already.
        resource.prlimit(pid, resource.RLIMIT_AS, (memory, memory))
        yield from _through(_Feed(feed, chunks), out, os.path.basename(argv[0]))
        ended = True
    finally:
        os.close(out)
        if not ended:
            os.kill(pid, _KILLED)
        _pid, status = os.waitpid(pid, 0)
        completed = Completed(exit_status(status), b"", _content(complaints))
        os.close(complaints)
    if completed.status:
        raise OSError(completed.status, completed.complaint, argv[0])


def _widen(fd: int) -> None:
    """Let a pipe hold more, so that its ends take turns less often; past the limit of a user it stays as it is."""
    import fcntl

    try:
        fcntl.fcntl(fd, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:
        return


class _Feed:
    """The standard input of a program, closed once the stream has ended or the program does not want more."""

    def __init__(self, fd: int, chunks: Iterator[bytes]) -> None:
        self.fd = fd
        self._chunks = chunks
        self._rest = memoryview(b"")
        os.set_blocking(fd, False)

    def write(self) -> None:
        """Write as much as fits. Raises the errors of the stream."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        try:
            if self._rest:
                self._rest = self._rest[os.write(self.fd, self._rest) :]
                return
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass  # the program ended early; its exit status says why
        self.close()

    def close(self) -> None:
        """Close it, if it is open."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _through(feed: _Feed, out: int, name: str) -> Iterator[bytes]:
    """What a program makes of a stream."""
    import select

    poll = select.poll()
    poll.register(out, select.POLLIN)
    poll.register(feed.fd, select.POLLOUT)
    try:
        while True:
            ready = dict(poll.poll(_STALL_SECONDS * 1000))
            if not ready:
                raise HostFailure(
                    f"{name} was killed: it has done nothing for {_STALL_SECONDS:g} seconds",
                    "try again",
                    program=name,
                )
            if out in ready:
                chunk = os.read(out, _PIECE)
                if not chunk:
                    return
                yield chunk
            elif feed.fd >= 0:
                number = feed.fd
                feed.write()
                if feed.fd < 0:
                    poll.unregister(number)
    finally:
        feed.close()


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def exit_status(status: int) -> int:
    """The exit status of a status of wait(2): 128 + n for signal n."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
