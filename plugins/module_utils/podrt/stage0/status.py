# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of pods, read without a lock and without failing for one damaged pod."""

from __future__ import annotations

from ..errors import PodError, reason_of
from ..host.reading import kernel_text_or, read_number
from ..jsontext import dumps, loads
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, walk
from ..pod.runspec import FLY, RESTART
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from ..appc.pod import PodManifest, RuntimeApp
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..pod.restart import Restart, RestartCounts
    from ..pod.runspec import RunSpec

    T = TypeVar("T")

# Those that lack documents by nature.
_INCOMPLETE = (
    PodState.EMBRYO,
    PodState.PREPARING,
    PodState.ABORTED_PREPARE,
    PodState.EXITED_DELETING,
    PodState.DELETING,
)
_STARTED = (
    PodState.RUNNING,
    PodState.EXITED,
    PodState.EXITED_GARBAGE,
    PodState.EXITED_DELETING,
    PodState.DELETING,
)
_DEAD = ("Z", "X")
# A pod can move from state to state while it is read.
_LOOKS = 8
LISTED = ("run", "exited-garbage", "prepare", "prepared")


class AppStatus(Value):
    """One app of a pod. state: unknown, created, running or exited. Times in seconds since 1970.

    restart: its restart policy, and restarts what came of it; None without one. Between two starts it is running.
    """

    name: str
    image_name: str
    image_id: str
    state: str
    exit_code: int | None = None
    finished_at: float | None = None
    restart: Restart | None = None
    restarts: RestartCounts | None = None
    created_at: float | None = None
    started_at: float | None = None


class NetStatus(Value):
    """One interface of a pod. raw: the whole record as canonical JSON text."""

    net_name: str
    ip: str
    if_name: str
    raw: str

    def to_json(self) -> object:
        """The whole record."""
        return loads(self.raw)


class PodStatus(Value):
    """One pod. manifest and runspec are None where they cannot be read; problem then says why.

    called: its name where runspec cannot be read. was_stopped: whether a task has stopped it. paused: whether its apps
    are held still, of shown_status.
    """

    uuid: str
    state: PodState
    created: float | None
    started: float | None
    pid: int | None
    apps: tuple[AppStatus, ...]
    networks: tuple[NetStatus, ...]
    manifest: PodManifest | None = None
    runspec: RunSpec | None = None
    problem: str = ""
    was_stopped: bool = False
    called: str = ""
    paused: bool = False

    @property
    def name(self) -> str:
        """The name of the pod, "" if it has none."""
        return self.runspec.name if self.runspec else self.called

    @property
    def exit_code(self) -> int | None:
        """The exit status of a pod: of the first app that failed, 0 if no app did, None if unknown."""
        codes = [app.exit_code for app in self.apps]
        if None in codes:
            return next((code for code in codes if code), None)
        return next((code for code in codes if code), 0)


def list_pods(host: Host, state_dirs: tuple[str, ...] = LISTED) -> tuple[PodStatus, ...]:
    """The status of every pod in these directories, sorted by UUID."""
    statuses = []
    for pod in walk(host.paths, state_dirs):
        try:
            statuses.append(shown_status(host, pod))
        except PodError:
            continue  # removed meanwhile
    return tuple(status for status in statuses if status.state not in (PodState.EMBRYO, PodState.GARBAGE))


def read_status(pod: Pod) -> PodStatus:
    """The status of a pod; each document that cannot be read is a problem. Raises NotFound when the pod is gone."""
    return _read_as(pod, pod.state())


def _read_as(pod: Pod, state: PodState) -> PodStatus:
    problems: list[str] = []
    manifest = _read(problems, "pod manifest", state, lambda: documents.read_manifest(pod.dir))
    runspec = _read(problems, "run spec", state, lambda: documents.read_runspec(pod.dir))
    started = documents.started_at(pod.dir) if state in _STARTED else None
    apps = manifest.apps if manifest else ()
    return PodStatus(
        uuid=pod.uuid,
        state=state,
        created=documents.time_of(pod.dir.created),
        started=started,
        pid=_read(problems, "pid", state, lambda: documents.read_pid(pod.dir)),
        apps=tuple(_app_status(pod, state, app, problems) for app in apps),
        networks=_read(problems, "networks", state, lambda: _networks(pod)) or (),
        manifest=manifest,
        runspec=runspec,
        problem="; ".join(problems),
        was_stopped=documents.time_of(pod.dir.stopped) is not None,
        called="" if runspec else documents.read_outline(pod.dir).name or lookup.name_of(pod.paths, pod.uuid),
    )


def shown_status(host: Host, pod: Pod) -> PodStatus:
    """The status of a pod with what is for people alone. Raises NotFound when the pod is gone.

    It is read again if the pod changes meanwhile, so that one that is being removed is not taken for a damaged one.
    """
    for _look in range(_LOOKS):
        state = pod.state()
        ended = state is PodState.RUNNING and _has_ended(host, pod)
        status = _read_as(pod, PodState.EXITED if ended else state)
        if pod.state() is state:
            break
    if status.state is not PodState.RUNNING:
        return status
    from ..pod.freezer import is_paused  # no plan asks for it

    return status.replace(paused=is_paused(pod.dir))


def _has_ended(host: Host, pod: Pod) -> bool:
    """Whether the first process of a pod in run is gone, so that who holds its lock collects or replaces the pod.

    Of a fly pod, processes of the app may hold the lock longer than the first one. Raises nothing.
    """
    try:
        pids = [read_number(path, beneath=pod.dir.path) for path in (pod.dir.pid, pod.dir.ppid)]
    except (OSError, PodError):
        return False
    known = [pid for pid in pids if pid]
    if not known or any(host.ask(is_alive, pid) for pid in known):
        return False
    return documents.kind_of(pod.dir) != FLY


def is_alive(pid: int) -> bool:
    """Whether there is a process with this PID that is no zombie."""
    words = kernel_text_or(f"/proc/{pid}/stat", "").rpartition(")")[2].split()
    return bool(words) and words[0] not in _DEAD


def _read(problems: list[str], what: str, state: PodState, read: Callable[[], T]) -> T | None:
    """The content of a document; None where it cannot be read, with the reason added to problems."""
    try:
        return read()
    except PodError as err:
        problems.append(err.message + (f" ({err.hint})" if err.hint else ""))
    except FileNotFoundError:
        if state not in _INCOMPLETE:
            problems.append(f"no {what}")
    except OSError as err:
        problems.append(f"cannot read the {what}: {reason_of(err)}")
    return None


def _app_status(pod: Pod, state: PodState, app: RuntimeApp, problems: list[str]) -> AppStatus:
    image, name = app.image, str(app.name)
    code = _read(problems, "status", state, lambda: documents.read_status(pod.dir, name))
    runs = state is PodState.RUNNING and not documents.is_left_out(pod.dir, name)
    app_state = "exited" if code is not None else "running" if runs else "created"
    if code is None and state in _STARTED and state is not PodState.RUNNING:
        app_state = "unknown"
    restart = _read(problems, "restart policy", state, lambda: _policy(app))
    restarts = _read(problems, "restarts", state, lambda: _restarts(pod, name)) if restart else None
    full_name, version = str(image.name or ""), image.labels.get("version")
    return AppStatus(
        name=name,
        image_name=f"{full_name}:{version}" if version else full_name,
        image_id=str(image.id),
        state=app_state,
        exit_code=code,
        created_at=documents.time_of(pod.dir.app_info(name)),
        started_at=documents.time_of(pod.dir.app_env(name)) if app_state != "created" else None,
        finished_at=documents.time_of(pod.dir.app_status(name)) if code is not None else None,
        restart=restart,
        restarts=restarts,
    )


def _policy(app: RuntimeApp) -> Restart | None:
    text = app.annotations.get(RESTART)
    if not text:
        return None
    from ..pod.restart import Restart  # most apps have none

    return Restart.parse(text, RESTART)


def _restarts(pod: Pod, app: str) -> RestartCounts | None:
    from ..pod.restart import read_restarts

    return read_restarts(pod.dir, app)


def _address_of(record: Mapping[str, object]) -> str:
    """The IPv4 address of an interface, or else its first of IPv6, "" without one."""
    held = record.get("addresses")
    return str(record.get("ip") or (held[0] if isinstance(held, list) and held else ""))


def _networks(pod: Pod) -> tuple[NetStatus, ...]:
    """What net-info.json says, with members of later releases. Raises Corrupt, OSError."""
    from ..net.info import read_records  # most pods of a list may have none

    return tuple(
        NetStatus(
            str(record.get("netName", "")),
            _address_of(record),
            str(record.get("ifName", "")),
            dumps(record, sort_keys=True),
        )
        for record in read_records(pod.dir.net_info, beneath=pod.dir.path)
    )
