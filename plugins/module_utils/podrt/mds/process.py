# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of the metadata service: one on a host, in the foreground or detached, to its end by a signal."""

from __future__ import annotations

import asyncio
import gc
import os
import resource

from ..contexts import suppress
from ..errors import Conflict, HostFailure, PodError
from ..fields import canonical_json
from ..host.files import OPEN_DIR, make_dirs, write_all
from ..host.locks import FileLock
from ..pod.documents import read_app_manifest, read_manifest
from . import registration
from .doors import open_doors
from .pods import RegisteredPod, Registry
from .registration import ServiceFacts
from .service import MetadataService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.host import Host
    from ..host.paths import Paths
    from ..pod.lifecycle import Pod
    from .doors import Doors
    from .registration import Registration

_FILES = 4096
_WAITING = 128  # connections that are not accepted yet
_COLLECTS = (700, 10, 10)
_LOG_BYTES = 1 << 20
_LOG_MODE = 0o640
_STDERR = 2


def serve(host: Host, port: int, say: Callable[[str], None], *, detach: bool = False) -> None:
    """Serve until a signal asks for the end; detached, return once it serves. Raises Conflict, HostFailure."""
    paths, say = host.paths, _patient(say)
    say("metadata service starting...")
    make_dirs(paths.run, OPEN_DIR)
    lock = FileLock(paths.mds_pid, timeout=0.0)
    try:
        with lock:
            doors = open_doors(paths, port)
            for each in (*doors.queries.sockets, *doors.registrations.sockets):
                each.listen(_WAITING)  # connections wait from now on
            if detach:
                if _is_starter(paths):
                    return
                say = _bounded(paths, say)
            _serve(host, doors, lock, say)
    except Conflict as err:
        raise Conflict("the metadata service runs already", "stop it first", path=paths.mds_pid) from err


def _serve(host: Host, doors: Doors, lock: FileLock, say: Callable[[str], None]) -> None:
    _write_pid(lock)
    with suppress(ValueError, OSError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
    registry = Registry()
    for pod, found in registration.running(host.paths):
        with suppress(OSError, PodError):  # a pod that has ended, or changes
            registry.add(restored(pod, found))
    gc.freeze()
    gc.set_threshold(*_COLLECTS)  # podctl's other commands end before there is garbage
    service = MetadataService(say, registry, ServiceFacts(os.getpid(), doors.port, host.runtime))
    try:
        asyncio.run(service.run((doors.queries, doors.registrations)))
    finally:
        if doors.made:
            with suppress(FileNotFoundError):
                os.unlink(doors.made)
        with suppress(FileNotFoundError):
            lock.remove()


def restored(pod: Pod, found: Registration) -> RegisteredPod:
    """A running pod as it is registered, by what its directory has. Raises Corrupt, OSError."""
    manifest = read_manifest(pod.dir)
    known = RegisteredPod(pod.uuid, found, canonical_json(manifest.to_json()))
    for app in manifest.apps:
        image = read_app_manifest(pod.dir, str(app.name))
        known.add_image(str(app.name), canonical_json(image.to_json()))
    return known


def _write_pid(lock: FileLock) -> None:
    fd = os.open(f"/proc/self/fd/{lock.fd}", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        write_all(fd, f"{os.getpid()}\n".encode())
    finally:
        os.close(fd)


def _is_starter(paths: Paths) -> bool:
    """Fork. Whether this is the process that was called; the other one has no terminal, and its log in a file."""
    try:
        if os.fork():
            return True
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.dup2(null, 1)
        _begin_log(paths)
    except OSError as err:
        raise HostFailure.of("cannot detach the metadata service", err) from err
    return False


def _begin_log(paths: Paths) -> None:
    """Make the file of the log standard error."""
    fd = os.open(
        paths.mds_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, _LOG_MODE
    )
    os.dup2(fd, _STDERR)
    os.close(fd)


def _patient(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say, but a log that takes no more lines ends no service."""

    def patient(text: str) -> None:
        with suppress(OSError):
            say(text)

    return patient


def _bounded(paths: Paths, say: Callable[[str], None]) -> Callable[[str], None]:
    """Say, and begin the file of the log again once it is full; the one before it stays."""

    def bounded(text: str) -> None:
        with suppress(OSError):
            if os.fstat(_STDERR).st_size > _LOG_BYTES:
                os.replace(paths.mds_log, paths.mds_old_log)
                _begin_log(paths)
        say(text)

    return bounded
