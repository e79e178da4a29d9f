# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding an app's program in its root, and saying why one cannot be started. Source: behaviours C12, C14, A29."""

from __future__ import annotations

import _signal
import errno
import os
import stat
import struct

from ..errors import InvalidSpec, NotFound
from . import roots

EXEC_FAILED = 203
CHDIR_FAILED = 200
_DEFAULT_SEARCH = ("/bin", "/usr/bin")
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_PT_INTERP = 3
_HEAD_BYTES = 4096
_TABLE_BYTES = 1 << 16
_CLASS_64 = 2


def program_path(root: int, name: str, search: str | None, working_directory: str) -> str:
    """Where the app finds what its exec names; a path need not exist, a bare name must.

    Raises NotFound, InvalidSpec.
    """
    if not name:
        raise InvalidSpec('an "exec" must not be empty', "try --exec=BINARY", where="exec")
    if name.startswith("/"):
        return name
    if "/" in name:
        return os.path.join(working_directory, name)
    directories = search.split(":") if search else (working_directory, *_DEFAULT_SEARCH)
    for directory in directories:
        path = os.path.join(working_directory, directory, name)
        if _is_program(root, path):
            return path
    raise NotFound(f'error looking up "{name}"', "give the absolute path of the program", program=name)


def complaint(path: str) -> str:
    """Why this process cannot execute a path, "" when nothing is seen to be wrong.

    Names the file that is missing: the program, or the interpreter that it needs.
    """
    for _step in range(4):
        wrong, needed = _look(path)
        if wrong or not needed:
            return wrong
        path = needed
    return ""


def why_not(path: str, err: OSError) -> str:
    """What execve's refusal means for a user."""
    if err.errno == errno.ENOEXEC:
        return f'"{_shown(path)}" has an unsupported file type'
    if err.errno in (errno.EACCES, errno.EPERM):
        return f'"{_shown(path)}" is not executable'
    return f'Unable to open "{_shown(path)}": {err.strerror}'


def pass_on(status: int) -> int:
    """What a child's end, as wait(2) gives it, means for this process: an exit code, or the same signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (number,))
        os.kill(os.getpid(), number)
        return 128 + number
    return os.WEXITSTATUS(status)


def _is_program(root: int, path: str) -> bool:
    try:
        fd = roots.open_path(root, path)
    except OSError:
        return False
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def _look(path: str) -> tuple[str, str]:
    """What is wrong with a file, and which interpreter it needs."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not os.access(path, os.X_OK, effective_ids=True):
            return f'"{_shown(path)}" is not executable', ""
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return "", ""  # what may be executed need not be readable
    except OSError as err:
        return f'Unable to open "{_shown(path)}": {err.strerror}', ""
    try:
        return "", _interpreter(fd)
    finally:
        os.close(fd)


def _shown(path: str) -> str:
    """A path with what cannot be seen made visible: a script with lines of CR LF needs "/bin/sh\\r"."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


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
            return ""  # it is none; the kernel will say so
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
