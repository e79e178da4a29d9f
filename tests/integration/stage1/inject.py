# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A system call in the name of another process, for state that the kernel only tells the process itself. Tests of
tracers have it in their pods, and import it without any other module of this package.

For x86-64. Source: ptrace(2), syscall(2).
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_GETREGS, _SETREGS, _SINGLESTEP, _DETACH, _SEIZE, _INTERRUPT = 12, 13, 9, 17, 0x4206, 0x4207
_CONT, _SYSCALL_STEP, _GETEVENTMSG, _TRACE_FORK, _EVENT_FORK, _WALL = 7, 24, 0x4201, 2, 1, 0x40000000
_R10, _R9, _R8, _RAX, _RDX, _RSI, _RDI, _ORIG_RAX, _RIP = 7, 8, 9, 10, 12, 13, 14, 15, 16
_SYSCALL = b"\x0f\x05"
# A handler may have ended before its parent was seized.
_PASSED_ON = (signal.SIGCHLD,)


def call_in(pid: int, number: int, *arguments: int) -> int:
    """Have a process make a system call, and go on where it was. Returns the result of the call."""
    _ptrace(_SEIZE, pid, 0)
    try:
        _ptrace(_INTERRUPT, pid, 0)
        os.waitpid(pid, _WALL)
        saved, used = (ctypes.c_ulonglong * 27)(), (ctypes.c_ulonglong * 27)()
        _ptrace(_GETREGS, pid, ctypes.addressof(saved))
        ctypes.memmove(used, saved, ctypes.sizeof(saved))
        used[_RAX], used[_ORIG_RAX], used[_RIP] = number, 2**64 - 1, _instruction(pid)
        for register, value in zip((_RDI, _RSI, _RDX, _R10, _R8, _R9), (*arguments, *[0] * 6)):
            used[register] = value % 2**64
        _ptrace(_SETREGS, pid, ctypes.addressof(used))
        _ptrace(_SINGLESTEP, pid, 0)
        os.waitpid(pid, _WALL)
        _ptrace(_GETREGS, pid, ctypes.addressof(used))
        _ptrace(_SETREGS, pid, ctypes.addressof(saved))
        return ctypes.c_longlong(used[_RAX]).value
    finally:
        release(pid)


def hold(pid: int) -> int:
    """Stop a process. Returns its PID."""
    _ptrace(_SEIZE, pid, 0)
    _ptrace(_INTERRUPT, pid, 0)
    os.waitpid(pid, _WALL)
    return pid


def hold_next_child(pid: int, number: int = 1) -> int:
    """Wait until a process has forked so many children from now on, and stop the last one before it does anything.

    Returns the child's PID.
    """
    _ptrace(_SEIZE, pid, _TRACE_FORK)
    while True:
        event = os.waitpid(pid, _WALL)[1] >> 8
        while event in _PASSED_ON:
            _ptrace(_CONT, pid, event)
            event = os.waitpid(pid, _WALL)[1] >> 8
        assert event == signal.SIGTRAP | _EVENT_FORK << 8, hex(event)
        child = ctypes.c_ulong()
        _ptrace(_GETEVENTMSG, pid, ctypes.addressof(child))
        os.waitpid(child.value, _WALL)
        number -= 1
        if not number:
            release(pid)
            return child.value
        release(child.value)
        _ptrace(_CONT, pid, 0)


def step_until(pid: int, asked: Callable[[], bool]) -> None:
    """Let a stopped process go on from system call to system call until a condition is true."""
    while not asked():
        _ptrace(_SYSCALL_STEP, pid, 0)
        os.waitpid(pid, _WALL)


def release(pid: int) -> None:
    """Let a stopped process go on."""
    _ptrace(_DETACH, pid, 0)


def _ptrace(request: int, pid: int, data: int) -> None:
    if _LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, ctypes.c_void_p(data)) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}: {os.strerror(ctypes.get_errno())}")


def _instruction(pid: int) -> int:
    """The address of an instruction "syscall" in the code of a process: the vDSO has some."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            start, end = (int(text, 16) for text in line.split()[0].split("-"))
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                memory.seek(start)
                return start + memory.read(end - start).index(_SYSCALL)
    raise AssertionError
