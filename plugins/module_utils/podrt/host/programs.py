# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that starts a program: nft, gpg's helpers, CNI plugins, systemctl, podctl itself.

posix_spawn instead of subprocess: the module subprocess costs 11 ms at the start of an interpreter.
"""

from __future__ import annotations

import os

from ..errors import Unsupported
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Completed(Value):
    """What a program left: its exit status (128 + n for signal n) and its output."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """The last line it wrote to standard error, for an error message."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.status}"


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


def run(argv: Sequence[str], *, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Completed:
    """Run a program to its end. argv[0] is a path. Input and output go through temporary files in memory.

    Raises OSError when it cannot be started.
    """
    given, out, err = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr"))
    try:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((given, out, err))]
        environment = {"PATH": PATH, "LC_ALL": "C"} if env is None else env
        pid = os.posix_spawn(argv[0], list(argv), environment, file_actions=actions)  # pylint: disable=ansible-bad-function
        _pid, status = os.waitpid(pid, 0)
        return Completed(_exit_status(status), _content(out), _content(err))
    finally:
        for fd in (given, out, err):
            os.close(fd)


def pipe(argv: Sequence[str], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What a filter program writes while a thread feeds it a stream. argv[0] is a path.

    Ends the program when the reader stops early. Raises what the stream raises, and OSError with the program's
    exit status when it failed.
    """
    import threading

    given, feed = os.pipe2(os.O_CLOEXEC)
    out, written = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, written, 1)]
    pid = os.posix_spawn(argv[0], list(argv), {"PATH": PATH, "LC_ALL": "C"}, file_actions=actions)  # pylint: disable=ansible-bad-function
    os.close(given)
    os.close(written)
    failed: list[BaseException] = []
    feeder = threading.Thread(target=_feed, args=(feed, chunks, failed), daemon=True)
    feeder.start()
    try:
        while True:
            chunk = os.read(out, 1 << 18)
            if not chunk:
                break
            yield chunk
    finally:
        os.close(out)
        feeder.join()
        _pid, status = os.waitpid(pid, 0)
    if failed:
        raise failed[0]
    if status:
        raise OSError(_exit_status(status), f"exit status {_exit_status(status)}", argv[0])


def _feed(fd: int, chunks: Iterator[bytes], failed: list[BaseException]) -> None:
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]
    except BrokenPipeError:
        pass  # the program ended early; its exit status says why
    except BaseException as err:
        failed.append(err)
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _exit_status(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
