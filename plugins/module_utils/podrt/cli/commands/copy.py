# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl cp: files from and to the root of an app, whether it runs or not. Source: docker-cp(1)."""

from __future__ import annotations

import errno
import os
import stat

from ...contexts import contextmanager
from ...errors import Conflict, HostFailure, InvalidSpec, NotFound
from ...host import files, syscalls
from ...image.build import tarball
from ...stage0.copies.packed import Packing
from ...stage0.copies.unpacked import Landing, Unpacking
from ...stage1.opened import opened_root
from ...store import stream
from ..copyargs import DIRECTORY, FILE, MISSING, PIPE, CopyEnd, target_of
from ..flags import UsageError
from ..podargs import chosen_app, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...stage1.opened import OpenedRoot
    from ..call import Call

_INPUT, _OUTPUT, _CHUNK = 0, 1, 1 << 18
_PATH = os.O_PATH | os.O_CLOEXEC
_IN_APP = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_MISSING = (errno.ENOENT, errno.ENOTDIR)


def cp(call: Call) -> int:
    """Copy files from an app or into one."""
    if len(call.words.arguments) != 2:
        raise UsageError("cp takes what to copy, and where to")
    source, dest = map(CopyEnd.parse, call.words.arguments)
    if bool(source.pod) is bool(dest.pod):
        raise InvalidSpec(
            "one of the two must be in a pod, and the other one not: POD:PATH or POD:APP:PATH",
            f"between pods, use podctl cp POD:PATH {PIPE} | podctl cp {PIPE} POD:PATH",
        )
    inner = source if source.pod else dest
    with resolve(call, inner.pod) as pod, opened_root(pod, chosen_app(call, pod, inner.app)) as root:
        if source.pod:
            _copy_out(call, root, source, dest)
        else:
            _copy_in(call, root, source, dest)
    return 0


def _copy_out(call: Call, root: OpenedRoot, source: CopyEnd, dest: CopyEnd) -> None:
    if dest.is_pipe and os.isatty(_OUTPUT):
        raise InvalidSpec("cannot write an archive to a terminal", "use a pipe or a file")
    with _opened(source, lambda flags: _open_inside(root, source.path, flags), call) as fd:
        _refuse_volume(root, fd, source.path)
        if os.fstat(fd).st_dev in root.kernel:
            raise InvalidSpec(
                f'"{source.path}" is in a file system of the kernel, such as /proc, and cannot be copied',
                "podctl enter UUID cat PATH shows a file of it",
            )
        # What reads a pipe may not know sparse files.
        packing = Packing(root.users, call.say, root.kernel, sparse=not dest.is_pipe)
        if dest.is_pipe:
            name = "." if source.means_content else source.name
            for chunk in _archive(packing, fd, name):
                files.write_all(_OUTPUT, chunk)
            return
        found = _kind(lambda: os.open(dest.path, _PATH))
        target = target_of(source, dest, is_directory=_is_directory(fd), found=found)
        with _directory(lambda: os.open(target.directory, _PATH | os.O_DIRECTORY), target.directory) as top:
            landing = Landing(top, keep_owners=call.options.on("archive"))
            Unpacking(landing, call.say).take(_archive(packing, fd, target.name))


def _copy_in(call: Call, root: OpenedRoot, source: CopyEnd, dest: CopyEnd) -> None:
    found = _kind(lambda: _open_inside(root, dest.path, 0))
    if source.is_pipe:
        if found != DIRECTORY:
            raise NotFound(f'there is no directory "{dest.path}" in the app', "an archive needs one")
        _land(call, root, dest.path, stream.decompressed(_input()), keep_owners=True)
        return
    with _opened(source, lambda flags: os.open(source.path, _PATH | flags), call) as fd:
        target = target_of(source, dest, is_directory=_is_directory(fd), found=found)
        chunks = _archive(Packing(None, call.say, sparse=True), fd, target.name)
        _land(call, root, target.directory, chunks, keep_owners=call.options.on("archive"))


def _land(
    call: Call, root: OpenedRoot, directory: str, chunks: Iterator[bytes], *, keep_owners: bool
) -> None:
    with _directory(lambda: _open_inside(root, directory, os.O_DIRECTORY), directory) as fd:
        _refuse_volume(root, fd, directory)
    landing = Landing(root.fd, f"/{directory}", True, root.users, keep_owners)
    Unpacking(landing, call.say).take(chunks)


def _archive(packing: Packing, fd: int, name: str) -> Iterator[bytes]:
    """The archive of the file of a descriptor, under a name."""
    try:
        yield from tarball.gathered(packing.members(fd, "", name))
        yield tarball.END
    except OSError as err:
        raise HostFailure.of("cannot read what is copied", err) from err


def _input() -> Iterator[bytes]:
    while chunk := os.read(_INPUT, _CHUNK):
        yield chunk


def _open_inside(root: OpenedRoot, path: str, flags: int) -> int:
    return syscalls.openat2(root.fd, f"/{path}", _PATH | flags, _IN_APP)


@contextmanager
def _opened(end: CopyEnd, open_it: Callable[[int], int], call: Call) -> Iterator[int]:
    """The descriptor of what is copied: of a link itself, unless it is written as a directory or is to be followed."""
    follows = call.options.on("follow-link") or end.must_be_directory
    flags = (0 if follows else os.O_NOFOLLOW) | (os.O_DIRECTORY if end.must_be_directory else 0)
    with _directory(lambda: open_it(flags), end.path) as fd:
        yield fd


@contextmanager
def _directory(open_it: Callable[[], int], path: str) -> Iterator[int]:
    """A descriptor, and what is missing as an error that names it."""
    try:
        fd = open_it()
    except OSError as err:
        if err.errno in _MISSING:
            raise NotFound(f'there is no file or directory "{path}"', "check the path") from err
        raise HostFailure.of(f'cannot open "{path}"', err) from err
    try:
        yield fd
    finally:
        os.close(fd)


def _kind(open_it: Callable[[], int]) -> str:
    """What is at a destination."""
    try:
        fd = open_it()
    except OSError as err:
        if err.errno in _MISSING:
            return MISSING
        raise HostFailure.of("cannot look at the destination", err) from err
    try:
        return DIRECTORY if _is_directory(fd) else FILE
    finally:
        os.close(fd)


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _refuse_volume(root: OpenedRoot, fd: int, path: str) -> None:
    """Raise Conflict for a path in a volume that is mounted only while the pod runs."""
    top, place = (os.readlink(f"/proc/self/fd/{number}") for number in (root.fd, fd))
    inside = place[len(top.rstrip("/")) :]
    if any(f"{inside}/".startswith(f"{volume.rstrip('/')}/") for volume in root.covered):
        raise Conflict(
            f'"{path}" is in a volume, which is there only while the pod runs', "copy from the volume itself"
        )


ENTRIES: dict[str, Callable[[Call], int]] = {"cp": cp}
