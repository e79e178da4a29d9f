# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has come of downloads that were killed or broken, for the next one from the same source (behaviours B22, B23).

    cas/partial/NAME/body      the bytes as they were sent, from the first one on
    cas/partial/NAME/answer    what the server has said of them, and in which boot of this machine

A process writes one while it has a lock on its directory; others download without it. Nothing of it is synced and
nothing of it counts: it is read like the rest of the download, through the same checks. One that fails them is removed.
"""

from __future__ import annotations

import os
import threading
import time

from ..contexts import suppress
from ..errors import Corrupt, PodError, Unreachable
from ..fields import Fields, parse_json
from ..host import files, reading
from ..host.digests import sha512
from ..host.locks import try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from ..host.paths import Paths

    class Heard(Protocol):
        """What is told how far a download is."""

        def begins(self, whole: int | None, had: int) -> None:
            """Its size is known, or not, and so many bytes of it are there."""

        def has(self, count: int) -> None:
            """Bytes have come."""


ABANDONED_SECONDS = 7 * 24 * 3600
# What would be downloaded again in less time is not worth being written down, and what is small waits in memory.
WORTH_SECONDS = 5.0
MOST_WAITING = 4 << 20
# Of all that is kept together.
MOST_BYTES = 16 << 30
# Room that must be left on the file system, as a multiple of the download: the image is unpacked beside it.
_ROOM = 4
_HEADERS = ("etag", "last-modified", "date")
_MOST_ANSWER = 64 << 10
_CHUNK = 256 << 10
_DIGITS = 64
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC
_BOOT = "/proc/sys/kernel/random/boot_id"


class _Unheard:
    """What is told, and does nothing."""

    def begins(self, _whole: int | None, _had: int) -> None:
        """Do nothing."""

    def has(self, _count: int) -> None:
        """Do nothing."""


class Kept:
    """What is kept of a download: this one is nothing, and keeps nothing.

    size: the bytes that are there, headers: those of the answer that they are of, length: that of the whole, if known.
    heard: is told what comes.
    """

    size = 0
    length: int | None = None
    headers: Mapping[str, str] = {}

    def __init__(self, heard: Heard | None = None) -> None:
        self._heard = heard or _Unheard()

    def chunks(self) -> Iterator[bytes]:
        """The bytes that are there. Raises Corrupt, OSError."""
        yield from ()

    def drop(self, why: str = "") -> None:
        """Forget them. why: a line for the user."""

    def begin(self, headers: Mapping[str, str], length: int | None, *, kept: bool) -> None:
        """Note that a body begins, at its first byte. kept: whether a later download can tell that it goes on."""
        self._heard.begins(length, 0)

    def add(self, chunk: bytes) -> None:
        """Note the next bytes."""
        self._heard.has(len(chunk))


class Partial(Kept):
    """What is kept of the download with this key; a context manager that removes it unless the download was broken.

    checked: the digest of the whole is known. Otherwise what was written before the machine crashed is not trusted.
    was_used: whether bytes of an earlier download have been handed on.
    """

    def __init__(
        self,
        paths: Paths,
        key: str,
        tell: Callable[[str], None],
        heard: Heard,
        *,
        checked: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(heard)
        self.was_used = False
        self._paths = paths
        name = f"sha512-{sha512(key.encode()).hexdigest()[:_DIGITS]}"
        self._place, self._answer = paths.partial(name), paths.partial_answer(name)
        self._body_place = paths.partial_body(name)
        self._tell = tell
        self._checked = checked
        self._clock = clock
        self._guard = threading.Lock()  # the stream may be drawn by a thread that outlives the context
        self._lock = self._body = -1
        self._waiting: list[bytes] | None = None
        self._count = 0
        self._began = 0.0

    def __enter__(self) -> Partial:
        with suppress(OSError):
            if self._locked():
                self._body = os.open(self._body_place, os.O_RDWR | _OPEN)
                self._read()
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        with self._guard:
            try:
                if err is None or (isinstance(err, Exception) and not isinstance(err, Unreachable)):
                    self._remove()
                elif self._waiting:
                    self._write_down()
            finally:
                self._waiting = None
                self._close()

    def chunks(self) -> Iterator[bytes]:
        """The bytes that are there, which count as used from now on."""
        self.was_used = True
        self._heard.begins(self.length, self.size)
        at = 0
        while at < self.size:
            with self._guard:
                chunk = os.pread(self._body, min(_CHUNK, self.size - at), at) if self._body >= 0 else b""
            if not chunk:
                raise Corrupt("what was kept of a download has been cut", "try again", path=self._place)
            at += len(chunk)
            yield chunk

    def drop(self, why: str = "") -> None:
        """Forget them; what comes next is written down from its first byte."""
        if why:
            self._tell(why)
        with self._guard:
            self._forget()

    def begin(self, headers: Mapping[str, str], length: int | None, *, kept: bool) -> None:
        """Note what the server says of the body; one that cannot be continued is not kept."""
        super().begin(headers, length, kept=kept)
        with self._guard:
            self._forget()
            self.headers = {name: headers[name] for name in _HEADERS if name in headers}
            self.length = length
            self._began = self._clock()
            if not kept:
                self._remove()
            elif self._lock >= 0 or not os.path.lexists(self._place):
                self._waiting = []

    def add(self, chunk: bytes) -> None:
        """Write the bytes down, or wait until it is clear whether that is worth it."""
        super().add(chunk)
        with self._guard:
            self._add(chunk)

    def _forget(self) -> None:
        self.size = self._count = 0
        self._waiting = None
        try:
            if self._body >= 0:
                os.ftruncate(self._body, 0)
        except OSError:
            self._remove()

    def _add(self, chunk: bytes) -> None:
        self._count += len(chunk)
        if self._waiting is None:
            self._write(chunk)
            return
        self._waiting.append(chunk)
        if self._body >= 0 or self._is_worth_it():
            self._write_down()
        elif self._count >= MOST_WAITING:
            self._waiting = None

    def _is_worth_it(self) -> bool:
        """Whether it takes long, so far or as a whole."""
        elapsed = self._clock() - self._began
        if elapsed >= WORTH_SECONDS:
            return True
        if self._count < MOST_WAITING:
            return False
        return self.length is None or elapsed * self.length >= WORTH_SECONDS * self._count

    def _write_down(self) -> None:
        """Begin to write, with what has waited. A host without room for that goes on without it."""
        waiting, self._waiting = self._waiting or [], None
        try:
            if self._lock < 0:
                sweep(self._paths)
                files.make_dirs(self._place)
                if not self._locked():
                    return
            if not self._has_room():
                self._remove()
                return
            files.write_atomically(self._answer, self._document())
            if self._body < 0:
                self._body = os.open(self._body_place, os.O_RDWR | os.O_CREAT | _OPEN, files.PRIVATE_FILE)
            os.ftruncate(self._body, 0)
            os.lseek(self._body, 0, os.SEEK_SET)
        except OSError:
            self._remove()
        for chunk in waiting:
            self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        if self._body < 0:
            return
        if self._count > MOST_BYTES:
            self._remove()
            return
        try:
            files.write_all(self._body, chunk)
        except OSError:
            self._remove()

    def _has_room(self) -> bool:
        found = os.statvfs(self._place)
        return found.f_bavail * found.f_frsize >= _ROOM * max(self.length or 0, self._count)

    def _document(self) -> bytes:
        import json

        known = {"headers": self.headers, "length": self.length, "boot": _this_boot()}
        return json.dumps(known).encode()

    def _read(self) -> None:
        """What is there of it; nothing, if that cannot be told."""
        try:
            data = reading.read_bytes(self._answer, _MOST_ANSWER)
            told = Fields(parse_json(data, "what is kept of a download"), "")
            within = told.within("headers")
            self.headers = {name: within.text(name) for name in _HEADERS if within.has(name)}
            self.length = told.optional_integer("length")
            boot = told.text("boot", "")
        except PodError:
            return
        if not self._checked and boot != _this_boot():
            return
        # One byte is asked for in any case, so that the server can say that it is the same.
        size = os.fstat(self._body).st_size
        self.size = size if self.length is None else max(min(size, self.length - 1), 0)
        self._count = self.size
        os.ftruncate(self._body, self.size)
        os.lseek(self._body, self.size, os.SEEK_SET)

    def _locked(self) -> bool:
        """Lock its directory; whether it is ours alone, and still in place."""
        self._lock = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        if try_lock(self._lock) and _is_at(self._lock, self._place):
            return True
        self._close()
        return False

    def _remove(self) -> None:
        """Remove it, and keep nothing from now on."""
        self.size, self._waiting = 0, None
        with suppress(OSError):
            if self._lock >= 0:
                files.remove_tree(self._place)
        self._close()

    def _close(self) -> None:
        for fd in (self._body, self._lock):
            if fd >= 0:
                os.close(fd)
        self._body = self._lock = -1


def abandoned(paths: Paths) -> list[str]:
    """The directories of downloads that have not gone on for a week, and the oldest of too many bytes."""
    then, places = time.time() - ABANDONED_SECONDS, _by_age(paths)
    old = [path for changed, path, _size in places if changed < then]
    rest = [(path, size) for changed, path, size in places if changed >= then]
    left = sum(size for _path, size in rest)
    for path, size in rest:
        if left > MOST_BYTES:
            old.append(path)
            left -= size
    return [path for path in old if not _is_in_use(path)]


def sweep(paths: Paths) -> None:
    """Remove what is abandoned."""
    for path in abandoned(paths):
        files.remove_tree(path)


def _by_age(paths: Paths) -> list[tuple[float, str, int]]:
    """When each was written last, its directory and its size; the oldest first."""
    found = []
    for name in files.entries_if_any(paths.partials):
        path = paths.partial(name)
        for what in (paths.partial_body(name), path):
            with suppress(OSError):
                seen = os.lstat(what)
                found.append((seen.st_mtime, path, seen.st_size))
                break
    return sorted(found)


def _is_in_use(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
    except OSError:
        return False
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


def _this_boot() -> str:
    return reading.kernel_text_or(_BOOT, "").strip()
