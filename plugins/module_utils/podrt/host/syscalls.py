# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls that Python 3.9 lacks, one thin wrapper each: no policy, OSError with the path on failure.

The C library wraps the old calls; newer ones are made by number, which is the same on every architecture from 424 on.
Source: the manual page of each call, linux/mount.h, linux/prctl.h.
"""

from __future__ import annotations

import _signal
import errno
import os
import time

from . import clibrary as ctypes
from .machine import architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
_MOUNT_ATTR_IDMAP = 0x00100000

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CLOSE_RANGE_CLOEXEC = 4
# Sets of capabilities stay when the user changes. Source: capabilities(7).
SECBIT_NO_SETUID_FIXUP = 1 << 2

_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_BPF_INSTRUCTION_BYTES = 8
_NR_OPEN_TREE = 428
_NR_MOVE_MOUNT = 429
_NR_CLONE3 = 435
_NR_CLOSE_RANGE = 436
_NR_OPENAT2 = 437
_NR_PIDFD_GETFD = 438
_NR_MOUNT_SETATTR = 442
# Another process that makes a mount namespace can disturb hundreds of tries in a row.
_TRIES_AT_ONCE, _TRIES_SLOWLY, _BETWEEN_TRIES = 128, 2000, 0.001

_SIGACTION_BYTES, _SIGSET_BYTES = 64, 8
_KEYCTL_JOIN_SESSION_KEYRING = 1
_FALLOC_FL_KEEP_SIZE = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_CLONE_INTO_CGROUP = 0x200000000
_LAST_FD = (1 << 32) - 1
_BPF_PROG_LOAD, _BPF_PROG_ATTACH = 5, 8
_BPF_PROG_TYPE_CGROUP_DEVICE, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI = 15, 6, 2

_libc = ctypes.libc()
_libc.syscall.restype = ctypes.c_long
# Of its own, with types: a start calls it for each path of an app, and other pods' for each of their files.
_openat2 = _libc["syscall"]
_openat2.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_openat2.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _CloneArgs(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls"),
            *("set_tid", "set_tid_size", "cgroup"),
        )
    )


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _BpfLoad(ctypes.Structure):
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    )


class _BpfAttach(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    )


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; CLONE_NEWPID is for children forked from now on."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, kind: int) -> None:
    """Join the namespace of a descriptor, or those of the process of a pidfd. kind: CLONE_NEW..., 0 for any."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def fork_into(group: int, spaces: int = 0) -> int:
    """Fork a child, as os.fork, that is in a control group from its birth. group: a descriptor of its directory, in v2.

    spaces: CLONE_NEW..., the namespaces that it gets. To move to the group later, a process would wait until every
    processor has passed a point of rest, which takes from 6 to 30 ms. Source: clone3(2), CLONE_INTO_CGROUP.
    """
    born, birth = os.pipe2(os.O_CLOEXEC)
    # In the child a handler of the parent's signals would run, and leave this function.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = _clone(_CloneArgs(flags=_CLONE_INTO_CGROUP | spaces, exit_signal=_signal.SIGCHLD, cgroup=group))
        if pid == 0:
            os.write(birth, b"b")
            return 0
        os.close(birth)
        birth = -1
        # Linux 6.18 kills it if cgroup.kill was written in this process's group or in that one, ever.
        if not os.read(born, 1):
            os.waitpid(pid, 0)
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        return pid
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        for fd in (born, birth):
            if fd >= 0:
                os.close(fd)


def _clone(arguments: _CloneArgs) -> int:
    """Fork by clone3. Source: Python's C API, PyOS_BeforeFork."""
    # It holds the interpreter's lock over the call, so that the child has it.
    python = ctypes.python()
    python.syscall.restype = ctypes.c_long
    python.PyOS_BeforeFork()
    pid = int(python.syscall(ctypes.c_long(_NR_CLONE3), ctypes.byref(arguments), ctypes.sizeof(arguments)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return _check(pid)


def mount(source: str, target: str, fs_type: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). An empty fs_type or data is passed as NULL. Raises OSError with the target."""
    done = _libc.mount(_path(source), _path(target), _path(fs_type) or None, flags, _path(data) or None)
    _check(done, target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_path(target), ctypes.c_int(flags)), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make new_root the root of this mount namespace; the old one goes to put_old."""
    _check(_libc.pivot_root(_path(new_root), _path(put_old)), new_root)


def open_tree(dir_fd: int, path: str, flags: int) -> int:
    """A descriptor of a mount, or with OPEN_TREE_CLONE of a detached copy of it."""
    return _call(_NR_OPEN_TREE, (dir_fd, _path(path), flags), path)


def move_mount(from_fd: int, to_fd: int, to_path: str = "") -> None:
    """Attach the detached mount from_fd at to_path beneath to_fd, or at to_fd itself."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    _call(_NR_MOVE_MOUNT, (from_fd, b"", to_fd, _path(to_path), flags), to_path)


def mount_setattr(
    fd: int, flags: int, attr_set: int, attr_clear: int = 0, propagation: int = 0, users: int = -1
) -> None:
    """Set and clear attributes of the mount fd; with AT_RECURSIVE of all mounts beneath as well.

    users: a user namespace by whose maps the owners of files are shown; -1 for none.
    """
    if users >= 0:
        attr = _MountAttr(attr_set | _MOUNT_ATTR_IDMAP, attr_clear, propagation, users)
    else:
        attr = _MountAttr(attr_set, attr_clear, propagation, 0)
    _call(_NR_MOUNT_SETATTR, (fd, b"", flags | AT_EMPTY_PATH, ctypes.addressof(attr), ctypes.sizeof(attr)))


def set_fs_ids(uid: int, gid: int) -> None:
    """Own what this thread creates from now on. Source: setfsuid(2), which reports no failure."""
    _libc.setfsgid(ctypes.c_uint(gid))
    _libc.setfsuid(ctypes.c_uint(uid))
    if (_libc.setfsuid(ctypes.c_uint(-1)), _libc.setfsgid(ctypes.c_uint(-1))) != (uid, gid):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def openat2(dir_fd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """open(2) with flags for the resolution of path: RESOLVE_IN_ROOT treats dir_fd as the root, also for links."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    arguments = (_NR_OPENAT2, dir_fd, _path(path), ctypes.byref(how), ctypes.sizeof(how))
    for tried in range(_TRIES_AT_ONCE + _TRIES_SLOWLY):
        fd = int(_openat2(*arguments))
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
        # A rename or mount happened, anywhere, while ".." was resolved.
        if tried > _TRIES_AT_ONCE:
            time.sleep(_BETWEEN_TRIES)
    return _check(fd, path)


def pidfd_getfd(process: int, fd: int) -> int:
    """A copy of a descriptor of another process, which is given by a pidfd."""
    return _call(_NR_PIDFD_GETFD, (process, fd, 0))


def close_range(first: int, last: int = _LAST_FD, flags: int = 0) -> None:
    """Close descriptors first to last, or all from first on; with CLOSE_RANGE_CLOEXEC mark them close-on-exec."""
    _call(_NR_CLOSE_RANGE, (first, last, flags))


def overwrite(address: int, data: bytes) -> None:
    """Write into the memory of this process, which must have that much there and be able to write to it."""
    _libc.memcpy(ctypes.c_void_p(address), ctypes.c_char_p(data), ctypes.c_size_t(len(data)))


def syncfs(fd: int) -> None:
    """Write all dirty data of the file system of a descriptor to disk."""
    _check(_libc.syncfs(fd))


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """prctl(2)."""
    return _check(_libc.prctl(option, value, third, 0, 0))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capabilities of this thread. Each is a mask: bit n is capability n."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    data = (ctypes.c_uint32 * 6)(*(mask & 0xFFFFFFFF for mask in sets), *(mask >> 32 for mask in sets))
    _check(_libc.capset(header, data))


def capget() -> tuple[int, int, int]:
    """The capabilities of this thread: effective, permitted, inheritable."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data))
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def eventfd(initial: int, flags: int) -> int:
    """A counter that can be polled; flags: os.O_CLOEXEC, os.O_NONBLOCK. os.eventfd needs Python 3.10."""
    return _check(_libc.eventfd(ctypes.c_uint(initial), ctypes.c_int(flags)))


def join_session_keyring() -> None:
    """Leave the session keyring of this process for a new, empty one without a name. Source: keyctl(2)."""
    _call(architecture().keyctl, (_KEYCTL_JOIN_SESSION_KEYRING, 0))


def reserve(fd: int, size: int) -> None:
    """Reserve disk space for the first size bytes of a file, whose own size stays. Source: fallocate(2)."""
    fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
    _check(fallocate(fd, _FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size)))


def keep_memory(size: int) -> None:
    """Keep freed memory of up to so many bytes for what is allocated next, as far as the C library can.

    Else each large buffer is mapped, and its pages are cleared, every time that one is needed. Source: mallopt(3).
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, ctypes.c_int(size))
        mallopt(_M_TRIM_THRESHOLD, ctypes.c_int(size))


def load_seccomp(program: bytes) -> None:
    """Put this thread under a compiled filter, an array of struct sock_filter."""
    program_header = _SockFprog(len(program) // _BPF_INSTRUCTION_BYTES, program)
    _check(_libc.prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program_header), 0, 0))


def default_signal(number: int) -> None:
    """Give a signal its default disposition, also one that the C library reserves for its threads."""
    action = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _call(architecture().rt_sigaction, (number, ctypes.addressof(action), 0, _SIGSET_BYTES))


def bpf_load_device(program: bytes) -> int:
    """A descriptor of a program for BPF_CGROUP_DEVICE, an array of struct bpf_insn."""
    code, terms = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    count = len(program) // _BPF_INSTRUCTION_BYTES
    attr = _BpfLoad(_BPF_PROG_TYPE_CGROUP_DEVICE, count, ctypes.addressof(code), ctypes.addressof(terms))
    return _bpf(_BPF_PROG_LOAD, attr)


def bpf_attach_device(group: int, program: int) -> None:
    """Attach a device program to a v2 group, beside those of its ancestors."""
    _bpf(_BPF_PROG_ATTACH, _BpfAttach(group, program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI))


def _bpf(command: int, attr: _BpfLoad | _BpfAttach) -> int:
    return _call(architecture().bpf, (command, ctypes.addressof(attr), ctypes.sizeof(attr)))


def _path(path: str) -> bytes:
    return os.fsencode(path)


def _call(number: int, arguments: Sequence[int | bytes], path: str = "") -> int:
    # A bare int would be passed as 32 bits.
    wrapped = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *wrapped), path)


def _check(result: int, path: str = "") -> int:
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *((path,) if path else ()))
    return result
