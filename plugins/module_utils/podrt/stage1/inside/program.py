# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter as stage1 executes it again: for the supervisor, whose code it gets compiled, since to compile it
would cost each pod more than all the rest; and for the processes that enter an app's root, modules of this package.
"""

from __future__ import annotations

import _frozen_importlib_external as importer
import fcntl
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ...host.host import Host
    from ..pid1.record import SupervisorPlan

# The flag of compiled files that are validated by the hash of their source. Source: PEP 552.
_HASH_BASED = 1
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
# A longer text would have to be compiled by each interpreter.
_CALL = """import marshal, posix, sys
fd = int(sys.argv[2])
code, *rest = marshal.loads(posix.pread(fd, posix.fstat(fd).st_size, 0))
type(lambda: 0)(code, globals())(fd, *rest)"""
_PACKAGE = "pid1"
# The bytes of the length of the head of the supervisor's plan.
_SIZE = 4
# The module that is executed and loads the others, in the order of their imports.
_LOADER = "load"
_MODULES = (
    *("timers", "watch", "states", "logs", "apps", "outputs", "frames"),
    *("restarts", "starter", "handlers", "rarely"),
)
# That of pods with leases alone, the main one, and those that are loaded once they are needed.
_OF_LEASES = "leases"
_MAIN = "pod"
_LATE = ("record", "control", "idle")
# Those of the interpreter that go with them, which this process has as well.
EXTENSIONS = ("_socket", "_ctypes")
# The path of the loader in the root of PID 1.
SUPERVISOR = "supervisor.pyc"
# The bytes before the code in a compiled file. Source: PEP 552.
_COMPILED_HEAD = 16
# Without any variable of the caller. Source: PEP 538.
ENVIRONMENT = {"LC_CTYPE": "C.UTF-8"}
# UTF-8 by -X, since a locale is a file that would be mapped for the life of the pod. Source: PEP 540.
SUPERVISOR_ENVIRONMENT = {"LC_ALL": "C"}


def supervisor_argv(host: Host) -> tuple[str, ...]:
    """The argv that starts the supervisor, without the last word: the descriptor of its plan."""
    return (host.python, "-I", "-S", "-X", "utf8", f"/{SUPERVISOR}")


def supervisor_file() -> bytes:
    """The compiled file that is executed as the supervisor. Raises OSError.

    The interpreter would compile a text as well, but what it needs for that is 600 kB of each pod's memory.
    """
    return importer.MAGIC_NUMBER + bytes(_COMPILED_HEAD - len(importer.MAGIC_NUMBER)) + _code_of(_LOADER)


def supervisor_programs() -> tuple[tuple[str, bytes], ...]:
    """The modules of the supervisor and their code, to be loaded in this order. Raises OSError."""
    names = (*_MODULES, _OF_LEASES, _MAIN, *_LATE)
    return tuple((f"{_PACKAGE}.{name}", _code_of(name)) for name in names)


def supervisor_plan(programs: tuple[tuple[str, bytes], ...], plan: SupervisorPlan) -> bytes:
    """The plan that the supervisor reads: the length of its head, the head, and the code of its modules in order."""
    needed = [each for each in programs if plan["leases"] or each[0] != f"{_PACKAGE}.{_OF_LEASES}"]
    parts = tuple((name, len(code)) for name, code in needed)
    head = marshal.dumps((parts, len(needed) - len(_LATE), plan))  # type: ignore[arg-type]  # typed dicts are dicts
    return b"".join((len(head).to_bytes(_SIZE, "little"), head, *(code for _name, code in needed)))


def execute_module(module: str, plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become a new interpreter that calls main(plan, fds) of a module of stage1.

    fds: passed on under their numbers, or -1; all others must be close-on-exec. Raises OSError.
    """
    from ...bundle import bundled_modules  # what becomes an app does without

    name = f"podrt.stage1.inside.{module}"
    plan_fd = sealed(module, marshal.dumps((_begin.__code__, bundled_modules(name), plan, fds)))
    for fd in (plan_fd, *fds):
        if fd >= 0:
            os.set_inheritable(fd, True)
    argv = (python(), "-I", "-S", "-c", _CALL, runtime(), str(plan_fd), name)
    os.execve(argv[0], argv, ENVIRONMENT)


def _begin(fd: int, modules: list[tuple[str, str, bool, bytes]], plan: bytes, fds: tuple[int, ...]) -> None:
    """Load modules and call main of one, in an interpreter that has nothing else of this module. See bundled_modules.

    What is not among the modules is imported from files, in a checkout all.
    """
    import marshal
    import posix
    import sys

    posix.close(fd)
    _program, root, _fd, name = sys.argv
    sys.path.insert(0, root)
    for each, file, is_package, code in modules:
        module = sys.modules[each] = type(sys)(each)
        package, _dot, leaf = each.rpartition(".")
        module.__file__, module.__package__ = file, each if is_package else package
        if is_package:
            module.__path__ = [file.rpartition("/")[0]]
        exec(marshal.loads(code), module.__dict__)
        if package:
            setattr(sys.modules[package], leaf, module)
    modules.clear()  # else some processes would keep it for the life of the pod
    __import__(name)
    sys.modules[name].main(plan, fds)


def sealed(name: str, data: bytes) -> int:
    """A descriptor of a sealed file in memory, which no process can change any more."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def python() -> str:
    """The path of this interpreter, as in Host."""
    return os.path.realpath(sys.executable)


def runtime() -> str:
    """The directory of this runtime."""
    return os.path.abspath(f"{__file__}/../../../..")


def _code_of(name: str) -> bytes:
    """The compiled code of a module of the supervisor, of the bundle where there is one."""
    from ...bundle import bundled_code  # what becomes an app does without

    return bundled_code(f"podrt.stage1.pid1.{name}") or _code_in_files(name)


def _code_in_files(name: str) -> bytes:
    source = f"{runtime()}/podrt/stage1/pid1/{name}.py"
    compiled = importer.cache_from_source(source)
    if not _is_current(compiled, source):
        from ..pid1 import load, pod  # importing them compiles all, where the cache can be written

        del load, pod
    if _is_current(compiled, source):
        with open(compiled, "rb", buffering=0) as file:
            return file.read()[_COMPILED_HEAD:]
    with open(source, "rb") as file:
        return marshal.dumps(compile(file.read(), source, "exec"))


def _is_current(compiled: str, source: str) -> bool:
    """Whether a compiled file belongs to this interpreter and this source. Source: PEP 552."""
    try:
        with open(compiled, "rb", buffering=0) as file:
            head = file.read(_COMPILED_HEAD)
    except OSError:
        return False
    if len(head) < _COMPILED_HEAD or head[:4] != importer.MAGIC_NUMBER:
        return False
    if int.from_bytes(head[4:8], "little") & _HASH_BASED:
        return True
    status = os.stat(source)
    stamp = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    return stamp == (int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:16], "little"))
