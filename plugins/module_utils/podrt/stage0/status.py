# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of pods, read without a lock and without failing for one bad pod."""

from __future__ import annotations

import json

from ..errors import PodError
from ..host.reading import read_bytes
from ..pod import documents
from ..pod.lifecycle import PodState, walk
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec

_STARTED = (
    PodState.RUNNING,
    PodState.EXITED,
    PodState.EXITED_GARBAGE,
    PodState.EXITED_DELETING,
    PodState.DELETING,
)
LISTED = ("run", "exited-garbage", "prepare", "prepared")


class AppStatus(Value):
    """One app of a pod. state: unknown, created, running or exited. Times in seconds since 1970."""

    name: str
    image_name: str
    image_id: str
    state: str
    exit_code: int | None = None
    finished_at: float | None = None


class NetStatus(Value):
    """One interface of a pod. raw: the whole record as canonical JSON text."""

    net_name: str
    ip: str
    if_name: str
    raw: str


class PodStatus(Value):
    """One pod. manifest and runspec are None where they cannot be read; problem then says why.

    was_stopped: whether it has ended because it was described so.
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

    @property
    def name(self) -> str:
        """What Ansible calls the pod, "" when nothing."""
        return self.runspec.name if self.runspec else ""

    @property
    def exit_code(self) -> int | None:
        """The status of a pod that has ended: of the first app that failed, 0 when none did, None when unknown."""
        codes = [app.exit_code for app in self.apps]
        if None in codes:
            return next((code for code in codes if code), None)
        return next((code for code in codes if code), 0)


def list_pods(host: Host, state_dirs: tuple[str, ...] = LISTED) -> tuple[PodStatus, ...]:
    """Every pod in these directories, sorted by UUID."""
    found = []
    for pod in walk(host.paths, state_dirs):
        try:
            found.append(read_status(pod))
        except PodError:
            continue  # gone while we looked
    return tuple(status for status in found if status.state not in (PodState.EMBRYO, PodState.GARBAGE))


def read_status(pod: Pod) -> PodStatus:
    """What is known of a pod now. Raises NotFound when it has gone."""
    state = pod.state()
    manifest: PodManifest | None = None
    runspec: RunSpec | None = None
    problem = ""
    try:
        manifest = documents.read_manifest(pod.dir)
        runspec = documents.read_runspec(pod.dir)
    except PodError as err:
        problem = err.message
    except OSError:
        problem = (
            ""
            if state in (PodState.EMBRYO, PodState.PREPARING, PodState.ABORTED_PREPARE)
            else "no pod manifest"
        )
    started = documents.time_of(pod.dir.pid) if state in _STARTED else None
    return PodStatus(
        uuid=pod.uuid,
        state=state,
        created=documents.time_of(pod.dir.created),
        started=started,
        pid=documents.read_pid(pod.dir),
        apps=tuple(_app_status(pod, state, app.name, app) for app in manifest.apps) if manifest else (),
        networks=_networks(pod),
        manifest=manifest,
        runspec=runspec,
        problem=problem,
        was_stopped=documents.time_of(pod.dir.stopped) is not None,
    )


def _app_status(pod: Pod, state: PodState, name: str, app: object) -> AppStatus:
    image = getattr(app, "image", None)
    code = documents.read_status(pod.dir, name)
    app_state = "exited" if code is not None else "running" if state is PodState.RUNNING else "created"
    if code is None and state in _STARTED and state is not PodState.RUNNING:
        app_state = "unknown"
    full_name = str(image.name or "") if image else ""
    version = image.labels.get("version") if image else None
    return AppStatus(
        name=name,
        image_name=f"{full_name}:{version}" if version else full_name,
        image_id=str(image.id) if image else "",
        state=app_state,
        exit_code=code,
        finished_at=documents.time_of(pod.dir.app_status(name)) if code is not None else None,
    )


def _networks(pod: Pod) -> tuple[NetStatus, ...]:
    try:
        records = json.loads(read_bytes(pod.dir.net_info, beneath=pod.dir.path))
    except (OSError, ValueError):
        return ()
    return tuple(
        NetStatus(
            str(record.get("netName", "")),
            str(record.get("ip", "")),
            str(record.get("ifName", "")),
            json.dumps(record, sort_keys=True),
        )
        for record in records
        if isinstance(record, dict)
    )
