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
_CALL = """import sys; sys.path.insert(0, sys.argv[1])
from podrt.stage1.inside.program import read_plan
from podrt.stage1.inside.{} import main
main(*read_plan(int(sys.argv[2])))"""
_PACKAGE = "pid1"
# The bytes of the length of the head of the supervisor's plan.
_HEAD = 4
# In the order of their imports.
_MODULES = ("timers", "watch", "states", "logs", "apps", "frames", "starter", "handlers", "pod")
# Modules that the interpreter has loaded and the supervisor does not need: the importer of files, and the lookup of
# codecs, which are in C. Tracebacks are still shown, without lines of source.
_NEEDLESS = (
    *("_frozen_importlib_external", "zipimport", "encodings.aliases"),
    *("encodings.utf_8", "encodings", "codecs", "io", "abc"),
)
# Modules come with the plan, since to look for files would take time, and memory for the life of the process. Needless
# modules go first, so that their memory is used again; the others are loaded one by one.
_SUPERVISE = f"""import _signal, marshal, posix, select, sys, time
for found in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
    found.clear()
for name in {_NEEDLESS}:
    if name in sys.modules:
        sys.modules.pop(name).__dict__.clear()
module = sys.modules['__future__'] = type(sys)('__future__')
module.annotations = None
fd = int(sys.argv[2])
at = {_HEAD} + int.from_bytes(posix.pread(fd, {_HEAD}, 0), 'little')
programs, plan = marshal.loads(posix.pread(fd, at - {_HEAD}, {_HEAD}))
for name, size in programs:
    module = sys.modules[name] = type(sys)(name)
    module.__package__ = '{_PACKAGE}'
    exec(marshal.loads(posix.pread(fd, size, at)), module.__dict__)
    at += size
posix.close(fd)
del found, name, size, programs
module.main(plan)"""
# The bytes before the code in a compiled file. Source: PEP 552.
_COMPILED_HEAD = 16
# Without any variable of the caller. Source: PEP 538.
ENVIRONMENT = {"LC_CTYPE": "C.UTF-8"}


def supervisor_argv(host: Host) -> tuple[str, ...]:
    """The argv that starts the supervisor, without the last word: the descriptor of its plan."""
    return (host.python, "-I", "-S", "-c", _SUPERVISE, "supervisor")


def supervisor_programs() -> tuple[tuple[str, bytes], ...]:
    """The modules of the supervisor and their code, to be executed in this order. Raises OSError."""
    return tuple((f"{_PACKAGE}.{name}", _code_of(name)) for name in _MODULES)


def supervisor_plan(programs: tuple[tuple[str, bytes], ...], plan: SupervisorPlan) -> bytes:
    """The plan that the supervisor reads: the length of the head, the head, and the code of its modules in order."""
    head = (tuple((name, len(code)) for name, code in programs), plan)
    dumped = marshal.dumps(head)  # type: ignore[arg-type]  # typed dicts are dicts
    return b"".join((len(dumped).to_bytes(_HEAD, "little"), dumped, *(code for _name, code in programs)))


def execute_module(module: str, plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become a new interpreter that calls main(plan, fds) of a module of stage1.

    fds: passed on under their numbers, or -1; all others must be close-on-exec. Raises OSError.
    """
    plan_fd = sealed(module, marshal.dumps((plan, fds)))
    for fd in (plan_fd, *fds):
        if fd >= 0:
            os.set_inheritable(fd, True)
    argv = (python(), "-I", "-S", "-c", _CALL.format(module), runtime(), str(plan_fd))
    os.execve(argv[0], argv, ENVIRONMENT)


def read_plan(fd: int) -> tuple[bytes, tuple[int, ...]]:
    """Read the arguments of execute_module, on the other side."""
    plan, fds = marshal.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    os.close(fd)
    return plan, fds


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
    """The compiled code of a module of the supervisor."""
    source = f"{runtime()}/podrt/stage1/pid1/{name}.py"
    compiled = importer.cache_from_source(source)
    if not _is_current(compiled, source):
        from ..pid1 import pod  # importing it compiles all of them, where the cache can be written

        del pod
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
