# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
r"""The life of a pod: the state directory that it is in, and whether its lock is held.

    embryo -> prepare (locked: preparing) -> prepared -> run (locked: running) -> exited-garbage -> gone
                    \                                                             garbage -> gone

Every transition is a rename of the pod's directory followed by a sync of the parents. The lock is an flock on the
directory itself; the supervisor inherits it, so that it is released when the pod's PID 1 ends. Source: rkt
Documentation/devel/pod-lifecycle.md, behaviours D1 to D4.
"""

from __future__ import annotations

import errno
import os
import time

from ..errors import Conflict, HostFailure, NotFound, PodError, hint_for_errno
from ..host.files import entries, make_dirs, remove_tree, rename_synced
from ..host.locks import try_lock
from ..host.paths import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.dirs import PodDir
    from ..host.paths import Paths

# A pod can move to another state directory between two lookups.
_LOOKS = 8
_PROBE_SECONDS = 0.1
_POLL_SECONDS = 0.002


class PodState(str):
    """The states of a pod; the value is what `podctl list` shows.

    As an enumeration of texts, whose import costs a start 3 ms.
    """

    EMBRYO: PodState
    PREPARING: PodState
    ABORTED_PREPARE: PodState
    PREPARED: PodState
    RUNNING: PodState
    EXITED: PodState
    EXITED_DELETING: PodState
    EXITED_GARBAGE: PodState
    DELETING: PodState
    GARBAGE: PodState

    @property
    def value(self) -> str:
        """The text alone."""
        return str(self)

    @property
    def has_ended(self) -> bool:
        """Whether the pod has run, and is still there to be looked at."""
        return self in (PodState.EXITED, PodState.EXITED_DELETING, PodState.EXITED_GARBAGE)


for _name in PodState.__annotations__:
    setattr(PodState, _name, PodState(_name.lower().replace("_", " ")))

# (directory, locked) to state. Source: behaviours D2.
_STATES = {
    ("embryo", False): PodState.EMBRYO,
    ("embryo", True): PodState.EMBRYO,
    ("prepare", False): PodState.ABORTED_PREPARE,
    ("prepare", True): PodState.PREPARING,
    ("prepared", False): PodState.PREPARED,
    ("prepared", True): PodState.PREPARED,
    ("run", False): PodState.EXITED,
    ("run", True): PodState.RUNNING,
    ("exited-garbage", False): PodState.EXITED_GARBAGE,
    ("exited-garbage", True): PodState.EXITED_DELETING,
    ("garbage", False): PodState.GARBAGE,
    ("garbage", True): PodState.DELETING,
}
TERMINAL = frozenset((PodState.EXITED, PodState.ABORTED_PREPARE, PodState.GARBAGE, PodState.EXITED_GARBAGE))


class Pod:
    """A handle on a pod: its UUID, and a descriptor of its directory that stays valid when it is renamed.

    Use it in a with statement. fd may hold the pod's lock.
    """

    def __init__(self, paths: Paths, uuid: str, state_dir: str, fd: int) -> None:
        self.paths = paths
        self.uuid = uuid
        self.state_dir = state_dir
        self.fd = fd

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor, which releases its lock unless another process has inherited it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def dir(self) -> PodDir:
        """The pod's directory where it was last seen."""
        return self.paths.pod(self.state_dir, self.uuid)

    def state(self) -> PodState:
        """The state now. Raises NotFound when the pod is gone."""
        for _look in range(_LOOKS):
            place = locate(self.paths, self.uuid)
            if place is None:
                break
            locked = _is_locked(f"/proc/self/fd/{self.fd}")
            if locate(self.paths, self.uuid) == place:
                self.state_dir = place
                return _STATES[place, locked]
        raise NotFound(f'pod "{self.uuid}" is gone', uuid=self.uuid)

    def lock(self) -> bool:
        """Take the pod's lock unless another process holds it. Returns whether it was taken.

        A process that reads the state of a pod takes its lock for a moment, which does not count.
        """
        end = time.monotonic() + _PROBE_SECONDS
        while not try_lock(self.fd):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def detach(self) -> None:
        """Replace the descriptor by one of a read-only detached mount. Called before the lock, to run the pod.

        PID 1 of the pod inherits it. If the kernel refuses it, a pod cannot be run either.
        """
        from ..host.detached import open_detached  # not needed just to read pods

        try:
            fd = open_detached(self.fd, read_only=True)
        except OSError:
            return
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)

    def move(self, state_dir: str, *, synced: bool = True) -> None:
        """Move the pod's directory to another state directory. Raises Conflict if another process has moved it.

        synced: whether it is there on disk as well when this returns.
        """
        target = self.paths.pod(state_dir, self.uuid).path
        try:
            (rename_synced if synced else os.rename)(self.dir.path, target)
        except FileNotFoundError as err:
            raise Conflict(f'pod "{self.uuid}" has been moved by another process', uuid=self.uuid) from err
        except OSError as err:
            raise HostFailure.of(f'cannot move pod "{self.uuid}" to {state_dir}', err) from err
        self.state_dir = state_dir

    def discard(self) -> None:
        """Remove a pod that was never started, and close the handle, the only one that may hold the lock.

        On failure the rest is left to gc.
        """
        try:
            self.state()  # a move that has failed may have moved it
            self.move("garbage")
            remove_tree(self.dir.path)
        except (OSError, PodError):
            return
        finally:
            self.close()


def make_state_dirs(paths: Paths) -> None:
    """Create the six state directories."""
    for state in STATES:
        make_dirs(paths.state(state))


def create(paths: Paths) -> Pod:
    """Create a pod, locked, in prepare. Raises HostFailure."""
    uuid = new_uuid()
    try:
        make_state_dirs(paths)
        embryo = paths.pod("embryo", uuid)
        os.mkdir(embryo.path, 0o750)
        pod = Pod(paths, uuid, "embryo", os.open(embryo.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as err:
        hint = hint_for_errno(err) or "run as root, or choose another data directory"
        raise HostFailure.of("cannot create a pod", err, hint) from err
    try:
        _begin(pod)
    except BaseException:
        pod.discard()
        raise
    return pod


def _begin(pod: Pod) -> None:
    """Lock a pod and move it from embryo to prepare. What is in there does not survive a power failure either."""
    pod.detach()
    if not pod.lock():
        raise Conflict(f'the new pod "{pod.uuid}" is locked by another process', uuid=pod.uuid)
    pod.move("prepare", synced=False)
    os.close(os.open(pod.dir.created, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))


def new_uuid() -> str:
    """A random UUID, RFC 4122 version 4."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def locate(paths: Paths, uuid: str) -> str | None:
    """The state directory of a pod, None if the pod does not exist."""
    for state_dir in STATES:
        if os.path.isdir(paths.pod(state_dir, uuid).path):
            return state_dir
    return None


def open_pod(paths: Paths, uuid: str) -> Pod:
    """Open a handle on an existing pod. Raises NotFound."""
    for _look in range(_LOOKS):
        state_dir = locate(paths, uuid)
        if state_dir is None:
            break
        try:
            fd = os.open(paths.pod(state_dir, uuid).path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        return Pod(paths, uuid, state_dir, fd)
    raise NotFound(f'no matches found for "{uuid}"', uuid=uuid)


def walk(paths: Paths, state_dirs: tuple[str, ...] = STATES) -> Iterator[Pod]:
    """A handle on every pod in these directories, sorted by UUID; each is closed when the next is requested."""
    uuids = sorted(uuid for state in state_dirs for uuid in entries(paths.state(state)))
    for uuid in dict.fromkeys(uuids):
        try:
            pod = open_pod(paths, uuid)
        except NotFound:
            continue
        with pod:
            yield pod


def seems_to_run(paths: Paths, uuid: str) -> bool:
    """Whether a pod is in run and its lock is held, by one look at it; False where that cannot be told."""
    try:
        return _is_locked(f"{paths.state('run')}/{uuid}")
    except OSError:
        return False


def _is_locked(path: str) -> bool:
    """Whether any open file holds the lock of a directory, those of this process included; False if it is missing.

    A descriptor of its own is opened, since a try on one that holds the lock would change that.
    """
    try:
        probe = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        if err.errno == errno.ENOENT:
            return False
        raise
    try:
        return not try_lock(probe, shared=True)
    finally:
        os.close(probe)
