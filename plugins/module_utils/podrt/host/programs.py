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
    from collections.abc import Mapping, Sequence

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
        f'the program "{name}" is not installed', f"install the package that has {name}; role pod_host does", program=name
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
        _, status = os.waitpid(pid, 0)
        return Completed(_exit_status(status), _content(out), _content(err))
    finally:
        for fd in (given, out, err):
            os.close(fd)


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _exit_status(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
