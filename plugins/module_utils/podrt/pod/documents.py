# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a pod directory, read and written."""

from __future__ import annotations

import os
import time

from ..appc.alphabet import ALNUM, is_word
from ..appc.image import ImageManifest
from ..appc.pod import PodManifest
from ..errors import Corrupt, InvalidSpec, PodError, Unsupported
from ..fields import NewerFormat, canonical_json, parse_json
from ..host.files import write_new
from ..host.paths import file_of_runtime, podctl_of
from ..host.reading import DOCUMENT, decimal, kernel_text_or, read_bytes, read_number, read_text, read_text_or
from ..value import Value
from .lifecycle import PodState
from .names import NAME
from .runspec import FLY, LONGEST_WAIT, NATIVE, RESTART, STOP_TIMEOUT, RunSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir
    from ..host.host import Host
    from .lifecycle import Pod

IMAGE = "image"
# The annotation of a pod manifest, "true" or "false".
MUTABLE = "coreos.com/rkt/stage1/mutable"
_READY = "ready"
# The entries, as commands of podctl.
_COMMANDS = {
    "run": ("run-prepared", "--detach"),
    "rehearse": ("rehearse",),
    "stop": ("stop",),
    "start-app": ("start-app",),
    "stop-app": ("stop-app",),
    "remove-app": ("remove-app",),
    "mend": ("mend",),
    "gc": ("stage1-gc",),
}
# The modules of a runtime that give it an entry: of this release, and of those before 0.3.0.
_ADDED = {
    "mend": ("stage1/starter/mend.py", "stage1/mend.py"),
    **dict.fromkeys(("start-app", "stop-app", "remove-app"), ("stage1/starter/addition.py",)),
}
_PID_SECONDS = 5.0
_POLL_SECONDS = 0.05


class Outline(Value):
    """The part of a run spec for stopping and removing a pod: its name, "" for none, its stop timeout in seconds, and
    its stage1, "" if it is not recorded.

    All mean the same in every format.
    """

    name: str = ""
    stop_timeout: int = STOP_TIMEOUT
    stage1: str = ""


def write_manifest(pod: PodDir, manifest: PodManifest) -> None:
    """Write the pod manifest into a directory that is being prepared."""
    write_new(pod.manifest, canonical_json(manifest.to_json()))


def read_manifest(pod: PodDir) -> PodManifest:
    """The pod manifest. Raises FileNotFoundError, or Corrupt when it cannot be understood."""
    try:
        return PodManifest.from_json(_parsed(pod, pod.manifest), "pod")
    except InvalidSpec as err:
        raise _unreadable(pod, f"cannot read the manifest of a pod: {err.message}", err) from err


def is_mutable(manifest: PodManifest) -> bool:
    """Whether a pod was made to get apps and lose them, and so stays without one. Source: behaviours C1."""
    return manifest.annotations.get(MUTABLE) == "true"


def has_restarts(pod: PodDir) -> bool:
    """Whether an app of a pod seems to have a restart policy, even if its manifest is damaged. Raises nothing."""
    try:
        return RESTART.encode() in read_bytes(pod.manifest, beneath=pod.path)
    except (OSError, Corrupt):
        return False


def write_runspec(pod: PodDir, runspec: RunSpec) -> None:
    """Write the run spec into a directory that is being prepared."""
    write_new(pod.runspec, canonical_json(runspec.to_json()))


def read_runspec(pod: PodDir) -> RunSpec:
    """The run spec. Raises FileNotFoundError, Corrupt when it cannot be understood, Unsupported for a newer format."""
    try:
        return RunSpec.from_json(_parsed(pod, pod.runspec))
    except InvalidSpec as err:
        raise _unreadable(pod, f"cannot read the run spec of a pod: {err.message}", err) from err


def read_outline(pod: PodDir) -> Outline:
    """The outline of a run spec, even one of a newer format or a damaged one. Raises nothing."""
    try:
        parsed = _parsed(pod, pod.runspec)
    except (OSError, PodError):
        return Outline()
    members = parsed if isinstance(parsed, dict) else {}
    name, seconds = members.get("name"), members.get("stopTimeout")
    stage1 = members.get("stage1")
    return Outline(
        name if isinstance(name, str) and is_word(name, NAME, ALNUM) else "",
        _wait_of(seconds),
        stage1 if isinstance(stage1, str) else "",
    )


def _wait_of(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LONGEST_WAIT:
        return value
    return STOP_TIMEOUT


def _parsed(pod: PodDir, path: str) -> object:
    return parse_json(read_bytes(path, beneath=pod.path), path)


def _unreadable(pod: PodDir, message: str, err: InvalidSpec) -> PodError:
    if isinstance(err, NewerFormat):
        hint = f"{err.hint}; this one can stop, replace and remove the pod"
        return Unsupported(message, hint, path=pod.path)
    return Corrupt(message, "podctl rm removes the pod", path=pod.path)


def read_app_manifest(pod: PodDir, app: str) -> ImageManifest:
    """The image manifest that an app was prepared from. Raises FileNotFoundError or Corrupt."""
    path = pod.app_manifest(app)
    try:
        return ImageManifest.from_json(_parsed(pod, path))
    except InvalidSpec as err:
        raise Corrupt(f'cannot read the image manifest of app "{app}": {err.message}', path=path) from err


def read_lower(pod: PodDir, app: str) -> tuple[str, ...]:
    """The lower directories of an app's root, topmost first. Raises FileNotFoundError."""
    return tuple(read_text(pod.app_lower(app), DOCUMENT, beneath=pod.path).splitlines())


def read_status(pod: PodDir, app: str) -> int | None:
    """The recorded exit status of an app, None when it has not ended or was killed before it could be recorded.

    The file of an app that has not ended is empty. Raises Corrupt, OSError.
    """
    return read_number(pod.app_status(app), beneath=pod.path)


def is_left_out(pod: PodDir, app: str) -> bool:
    """Whether an app of a pod that runs was added, and not started yet: it has no file for its status."""
    return os.path.lexists(pod.control) and not os.path.lexists(pod.app_status(app))


class Ending(Value):
    """The end of an app. exit_code: as recorded, the number of a signal. oom: whether the kernel has killed in it for
    memory. late: whether it was stopped because it was not up in time.
    """

    exit_code: int
    signal: int | None = None
    oom: bool = False
    late: bool = False


def read_ending(pod: PodDir, app: str) -> Ending | None:
    """The end of an app, None when it has not ended, or was killed before it could be recorded.

    Raises Corrupt, OSError.
    """
    code = read_status(pod, app)
    if code is None:
        return None
    words = read_text_or(pod.app_end(app), "", beneath=pod.path).split()
    return Ending(code, code if "signal" in words else None, "oom" in words, "late" in words)


def read_pid(pod: PodDir) -> int | None:
    """The PID of the pod's PID 1, None if it has not been recorded. Raises Corrupt, OSError."""
    pid = read_number(pod.pid, beneath=pod.path)
    return _only_child(pod) if pid is None else pid


def _only_child(pod: PodDir) -> int | None:
    """The child of the process that a stage1 has recorded as the parent of PID 1, once it has one."""
    parent = read_number(pod.ppid, beneath=pod.path)
    if parent is None:
        return None
    words = kernel_text_or(f"/proc/{parent}/task/{parent}/children", "").split()
    return decimal(words[0]) if len(words) == 1 else None


def started_at(pod: PodDir) -> float | None:
    """When the pod was started, in seconds since 1970; None if it was not. Source: behaviours D6."""
    return time_of(pod.pid) or time_of(pod.ppid)


def has_started(pod: PodDir) -> bool:
    """Whether all apps of the pod have been started, now or before it ended. Source: behaviours D8."""
    path = pod.supervisor_status
    try:
        return os.path.islink(path) or read_text_or(path, "", beneath=pod.path) == _READY
    except Corrupt:
        return False


def await_pid(pod: Pod, seconds: float = _PID_SECONDS) -> int | None:
    """Wait for the PID while the pod starts; None when it has ended or takes longer. Source: behaviours D8."""
    end = time.monotonic() + seconds
    while pod.state() is PodState.RUNNING:
        pid = read_pid(pod.dir)
        if pid is not None or time.monotonic() > end:
            return pid
        time.sleep(_POLL_SECONDS)
    return None


def time_of(path: str) -> float | None:
    """The mtime of a marker in seconds, None if it does not exist."""
    try:
        return os.lstat(path).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


def pinned(host: Host, pod: Pod) -> Host:
    """The host with the runtime of the pod, or with the current one where that is gone."""
    try:
        runtime = read_text_or(pod.dir.runtime, host.runtime, beneath=pod.dir.path)
    except Corrupt:
        return host
    return host if not os.path.isfile(podctl_of(host.python, runtime)[-1]) else host.replace(runtime=runtime)


class Stage1(Value):
    """The stage1 of one pod. kind: NATIVE, FLY or IMAGE. root: its root directory.

    runtime, podctl: those that the pod was prepared with. version, entries: see Interface, of an image.
    """

    uuid: str
    kind: str
    root: str
    runtime: str
    podctl: tuple[str, ...]
    version: int = 0
    entries: tuple[tuple[str, str], ...] = ()

    def argv(self, entry: str, *flags: str) -> tuple[str, ...]:
        """The process that is an entry, for this pod."""
        return (*self.podctl, *_COMMANDS[entry], *flags, self.uuid)

    @staticmethod
    def command(entry: str) -> str:
        """The name of an entry for people."""
        return f"podctl {_COMMANDS[entry][0]}"

    def offers(self, entry: str) -> bool:
        """Whether it has an entry that not every stage1 has."""
        if self.kind != NATIVE:
            return entry in dict(self.entries)
        return entry not in _ADDED or any(map(self.has_module, _ADDED[entry]))

    @property
    def shows_drift(self) -> bool:
        """Whether its networks and limits are those that the documents of the pod say."""
        return self.kind == NATIVE

    def has_module(self, name: str) -> bool:
        """Whether the pod's runtime has a module, by its file in podrt: it tells what that runtime does."""
        return os.path.isfile(file_of_runtime(self.runtime, name))


def stage1_of(host: Host, pod: Pod) -> Stage1:
    """The stage1 of a pod. Raises nothing: what cannot be read of a damaged record is left out."""
    runs, kind = pinned(host, pod), kind_of(pod.dir)
    found = Stage1(pod.uuid, kind, pod.dir.stage1_root, runs.runtime, runs.podctl)
    if kind != IMAGE:
        return found
    from .stage1 import read_interface  # few pods have one

    try:
        interface = read_interface(pod.dir)
    except (OSError, PodError):
        return found
    return found.replace(version=interface.version, entries=interface.entries)


def kind_of(pod: PodDir) -> str:
    """The kind of a pod's stage1, by its run spec, or by other files where that is damaged. Raises nothing.

    A pod of a release up to 0.6.0 has no record, and is the runtime's.
    """
    recorded = read_outline(pod).stage1
    if recorded in (NATIVE, FLY):
        return recorded
    return IMAGE if recorded or os.path.lexists(pod.stage1_tree_id) else NATIVE
