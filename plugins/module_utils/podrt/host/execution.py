# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup of an app's program in its root, and the reasons why it cannot start. Source: behaviours C12, C14, A29."""

from __future__ import annotations

import _signal
import errno
import os
import stat
import struct

from ..errors import InvalidSpec, NotFound, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class AppRoot(Protocol):
        """The root of an app, mounted or not; paths are the app's."""

        def owner(self, path: str) -> tuple[int, int]:
            """The user and the group of a path in the app, a final link not followed. Raises OSError."""

        def look(self, path: str) -> os.stat_result:
            """The state of a path, links followed. Raises OSError."""

        def may_execute(self, path: str) -> bool:
            """Whether a path is executable, as far as is known."""

        def open(self, path: str) -> int:
            """Open a path to read it; never blocks on a FIFO. Raises OSError."""

        def read(self, path: str) -> bytes:
            """The content of a small regular file. Raises OSError."""


EXEC_FAILED = 203
CHDIR_FAILED = 200
_DEFAULT_SEARCH = ("/bin", "/usr/bin")
# Links of an image can make the lookup in each of them as long as it likes.
_MOST_DIRECTORIES = 128
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_PT_INTERP = 3
_HEAD_BYTES = 4096
_TABLE_BYTES = 1 << 16
_CLASS_64 = 2


def program_path(root: AppRoot, name: str, search: str | None, working_directory: str) -> str:
    """The path of the program that the app's exec names; a path need not exist, a bare name must.

    Raises NotFound, InvalidSpec.
    """
    if not name:
        raise InvalidSpec('an "exec" must not be empty', "try --exec=BINARY", where="exec")
    if name.startswith("/"):
        return name
    if "/" in name:
        return os.path.join(working_directory, name)
    searched = list(dict.fromkeys(search.split(":") if search else (working_directory, *_DEFAULT_SEARCH)))
    for directory in searched[:_MOST_DIRECTORIES]:
        path = os.path.join(working_directory, directory, name)
        if _is_program(root, path):
            return path
    hint = "give the absolute path of the program"
    if len(searched) > _MOST_DIRECTORIES:
        hint += (
            f": only the first {_MOST_DIRECTORIES} of the {len(searched)} directories of PATH are searched"
        )
    raise NotFound(f'error looking up "{name}"', hint, program=name)


def complaint(path: str, root: AppRoot | None = None) -> str:
    """Why a path cannot be executed, "" if no reason is found.

    root: that of the app, by default that of this process. Names the missing file: the program, or the interpreter that
    it needs.
    """
    for _step in range(4):
        wrong, needed = _look(root or _HERE, path)
        if wrong or not needed:
            return wrong
        path = needed
    return ""


def why_no_process(err: OSError) -> str:
    """Why no process could be forked for an app: the kernel's reason does not name the limit. Source: fork(2)."""
    if err.errno != errno.EAGAIN:
        return err.strerror or str(err)
    return "it has as many processes as its pids_limit or that of the pod allows, or its user as many as it may have"


def why_not(path: str, err: OSError) -> str:
    """The reason why execve failed, for users."""
    if err.errno == errno.ENOEXEC:
        return f'"{printable(path)}" has an unsupported file type'
    if err.errno in (errno.EACCES, errno.EPERM):
        return f'"{printable(path)}" is not executable'
    return f'Unable to open "{printable(path)}": {err.strerror}'


def pass_on(status: int) -> int:
    """Pass on the end of a child, as of wait(2): return its exit code, or end by the same signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
        return 128 + number
    return os.WEXITSTATUS(status)


def _is_program(root: AppRoot, path: str) -> bool:
    try:
        mode = root.look(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


class _Here:
    """The root of this process, with this process's rights."""

    look = staticmethod(os.stat)

    def owner(self, path: str) -> tuple[int, int]:
        """Unused: no users are looked up here."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), path)

    def may_execute(self, path: str) -> bool:
        """Source: access(2)."""
        return os.access(path, os.X_OK, effective_ids=True)

    def open(self, path: str) -> int:
        """Source: open(2)."""
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self, path: str) -> bytes:
        """Unused: no tables are looked up here."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), path)


_HERE = _Here()


def _look(root: AppRoot, path: str) -> tuple[str, str]:
    """The reason why a file cannot be executed, and the interpreter that it needs, "" for none."""
    try:
        if not stat.S_ISREG(root.look(path).st_mode) or not root.may_execute(path):
            return f'"{printable(path)}" is not executable', ""
        fd = root.open(path)
    except PermissionError:
        return "", ""  # an executable file need not be readable
    except OSError as err:
        return f'Unable to open "{printable(path)}": {err.strerror}', ""
    try:
        return "", _interpreter(fd)
    finally:
        os.close(fd)


def _interpreter(fd: int) -> str:
    """The interpreter that a file names, "" for none. Only blanks and tabs end the name.

    Source: Linux fs/binfmt_script.c.
    """
    head = os.pread(fd, _HEAD_BYTES, 0)
    if head.startswith(_SCRIPT):
        words = head[2:].split(b"\n", 1)[0].replace(b"\t", b" ").split(b" ")
        return _path(next(filter(None, words), b""))
    if head.startswith(_ELF) and len(head) > 64:
        try:
            return _elf_interpreter(fd, head)
        except (struct.error, OverflowError):
            return ""  # it is not valid, and the kernel will say so
    return ""


def _elf_interpreter(fd: int, head: bytes) -> str:
    """The file that the program header PT_INTERP names. Source: elf(5)."""
    wide, order = head[4] == _CLASS_64, "<" if head[5] == 1 else ">"
    start = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
    table = os.pread(fd, min(size * count, _TABLE_BYTES), start)
    for at in range(0, len(table) - size + 1, size or 1):
        if struct.unpack_from(order + "I", table, at)[0] == _PT_INTERP:
            offset = struct.unpack_from(order + ("Q" if wide else "I"), table, at + (8 if wide else 4))[0]
            length = struct.unpack_from(order + ("Q" if wide else "I"), table, at + (32 if wide else 16))[0]
            return _path(os.pread(fd, min(length, _HEAD_BYTES), offset))
    return ""


def _path(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0", 1)[0])
