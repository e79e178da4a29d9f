# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, JSON and lines as rkt prints them. Pure. Source: behaviours A31 to A39, A54."""

from __future__ import annotations

from ..appc.volumes import EmptyVolume, HostVolume, NamedVolume
from ..errors import InvalidSpec, printable
from ..jsontext import dumps
from ..pod.lifecycle import PodState
from .durations import format_age, format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..appc.pod import Mounted, RuntimeApp
    from ..host.paths import Paths
    from ..stage0.status import AppStatus, NetStatus, PodStatus

FORMATS = ("json", "json-pretty")
_TAB = 8
_SHORT_UUID = 8
_SHORT_ID = len("sha512-") + 12
# The directories of pods in these states.
_DIRECTORIES = {
    PodState.PREPARING: "prepare",
    PodState.ABORTED_PREPARE: "prepare",
    PodState.PREPARED: "prepared",
    PodState.EXITED_DELETING: "exited-garbage",
    PodState.EXITED_GARBAGE: "exited-garbage",
}
_HAVE_NETWORKS = (PodState.RUNNING, PodState.EXITED)
_HAVE_STATUS = (
    PodState.RUNNING,
    PodState.DELETING,
    PodState.EXITED_DELETING,
    PodState.EXITED,
    PodState.EXITED_GARBAGE,
)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Cells padded with tabs to columns of multiples of eight. Source: Go text/tabwriter with padding 1."""
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = len(rows[0]) if rows else 0
    widths = [max(len(row[column]) + 1 for row in rows) for column in range(columns - 1)]
    lines = []
    for row in rows:
        padded = [cell + "\t" * (-(-width // _TAB) - len(cell) // _TAB) for cell, width in zip(row, widths)]
        lines.append("".join((*padded, row[-1])) + "\n")
    return "".join(lines)


def has_names(pods: Sequence[PodStatus]) -> bool:
    """Whether a list has a last column for names; a host without names has exactly rkt's columns."""
    return any(pod.name for pod in pods)


def list_rows(pods: Sequence[PodStatus], now: float, *, full: bool, names: bool = False) -> list[list[str]]:
    """The rows of `podctl list`: one per app, with the cells of the pod in the first."""
    rows = []
    for pod in pods:
        head = pod.uuid if full else pod.uuid[:_SHORT_UUID]
        tail = [
            f"{pod.state.value} (paused)" if pod.paused else pod.state.value,
            _when(pod.created, now, full),
            _when(pod.started, now, full),
            networks(pod.networks),
            *((pod.name,) if names else ()),
        ]
        for index, app in enumerate(pod.apps or (None,)):
            first = index == 0
            rows.append(
                [head if first else "", *_app_cells(app, full), *(tail if first else [""] * len(tail))]
            )
    return rows


def list_header(*, full: bool, names: bool = False) -> list[str]:
    """The header of `podctl list`."""
    return [
        "UUID",
        "APP",
        "IMAGE NAME",
        *(["IMAGE ID"] if full else []),
        "STATE",
        "CREATED",
        "STARTED",
        "NETWORKS",
        *(["NAME"] if names else []),
    ]


def _app_cells(app: AppStatus | None, full: bool) -> list[str]:
    if app is None:
        return ["-"] * (3 if full else 2)
    return [app.name, app.image_name, *([app.image_id[:_SHORT_ID]] if full else [])]


def _when(then: float | None, now: float, full: bool) -> str:
    if then is None:
        return ""
    return format_time(then) if full else format_age(then, now)


def networks(found: Sequence[NetStatus]) -> str:
    """NAME:ip4=ADDRESS, joined by commas; ip6 for a pod that has no other."""
    return ", ".join(f"{net.net_name}:ip{6 if ':' in net.ip else 4}={net.ip}" for net in found if net.ip)


def status_lines(pod: PodStatus) -> list[str]:
    """The lines of `podctl status`: rkt's, then those of restarts, and last the name of a pod that has one."""
    return [*_status_lines(pod), *restart_lines(pod), *((f"name={pod.name}",) if pod.name else ())]


def restart_lines(pod: PodStatus) -> list[str]:
    """How often each app with a restart policy was started again, how it ended last, and when it starts next."""
    lines = []
    for app in pod.apps:
        found = app.restarts
        if found is None:
            continue
        lines.append(f"restarts-{app.name}={found.count}")
        if found.finished_at is not None:
            how = f"signal {found.signal}" if found.exit_code is None else str(found.exit_code)
            lines.append(f"last-exit-{app.name}={how}{' (out of memory)' if found.oom else ''}")
        lines += [f"next-start-{app.name}={format_time(found.next_at)}"] if found.next_at is not None else []
    return lines


def _status_lines(pod: PodStatus) -> list[str]:
    lines = [f"state={pod.state.value}"]
    lines += [f"created={format_time(pod.created)}"] if pod.created is not None else []
    lines += [f"started={format_time(pod.started)}"] if pod.started is not None else []
    if pod.state in _HAVE_NETWORKS:
        lines.append(f"networks={networks(pod.networks)}")
    if pod.state not in _HAVE_STATUS:
        return lines
    running = pod.state is PodState.RUNNING
    lines += [f"pid={pod.pid}"] if pod.pid is not None else []
    lines.append(f"exited={'false' if running else 'true'}")
    lines += ["paused=true"] if pod.paused else []
    if not running:
        lines += [f"app-{app.name}={app.exit_code}" for app in pod.apps if app.exit_code is not None]
    return lines


def as_json(value: object, how: str) -> str:
    """A value in one of FORMATS. Raises InvalidSpec."""
    if how not in FORMATS:
        raise InvalidSpec(f"Invalid format option: {how}", f"use {' or '.join(FORMATS)}")
    if how == "json-pretty":
        import json  # which has a way to indent

        return _visible(json.dumps(value, indent="\t", ensure_ascii=False))
    return _visible(dumps(value, separators=(",", ":"), ensure_ascii=False))


def _visible(text: str) -> str:
    """The same JSON with invisible characters, which only its strings have, escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character in "\n\t" or character.isprintable() else dumps(character)[1:-1]
        for character in text
    )


def pod_json(pod: PodStatus, paths: Paths) -> dict[str, object]:
    """A pod as in JSON, without empty members. Source: behaviours A37."""
    manifest = pod.manifest
    return _said(
        name=pod.uuid,
        pod_name=pod.name,
        state=pod.state.value,
        paused=pod.paused or None,
        networks=[net.to_json() for net in pod.networks],
        app_names=[app.name for app in pod.apps],
        apps=[app_json(pod, app, paths) for app in pod.apps],
        created_at=_seconds(pod.created),
        started_at=_seconds(pod.started),
        user_annotations=dict(manifest.user_annotations) if manifest else {},
        user_labels=dict(manifest.user_labels) if manifest else {},
    )


def app_lines(pod: PodStatus, status: AppStatus, paths: Paths) -> list[str]:
    """The lines of `podctl app status`."""
    app = pod.manifest.app(status.name) if pod.manifest else None
    described = app.app if app else None
    lines = [f"name={status.name}", f"state={status.state}", f"image_id={status.image_id}"]
    created, started = _times(pod, status)
    times = (("created_at", created), ("started_at", started), ("finished_at", status.finished_at))
    lines += [f"{name}={format_time(then)}" for name, then in times if then is not None]
    lines += [f"exit_code={status.exit_code}"] if status.exit_code is not None else []
    mounts = [
        f"{mount.get('host_path', '')}:{mount.get('container_path', '')}"
        f":(read_only:{str(mount.get('read_only', False)).lower()})"
        for mount in (_mounts_json(pod, app, paths) if app else [])
    ]
    lines += [f"mounts={','.join(mounts)}"] if mounts else []
    for name, pairs in (
        ("user_annotations", described.user_annotations if described else ()),
        ("user_labels", described.user_labels if described else ()),
    ):
        told = ",".join(f"{key}:{value}" for key, value in pairs or ())
        lines += [f"{name}={told}"] if told else []
    return lines


def _times(pod: PodStatus, status: AppStatus) -> tuple[float | None, float | None]:
    """When an app was created and started; with its pod, where there is no more to tell."""
    started = None if status.state == "created" else status.started_at or pod.started
    return status.created_at or pod.created, started


def app_json(pod: PodStatus, status: AppStatus, paths: Paths) -> dict[str, object]:
    """An app as JSON, as in rkt."""
    app = pod.manifest.app(status.name) if pod.manifest else None
    described = app.app if app else None
    created, started = _times(pod, status)
    return _said(
        name=status.name,
        state=status.state,
        created_at=_nanoseconds(created),
        started_at=_nanoseconds(started),
        finished_at=_nanoseconds(status.finished_at),
        exit_code=status.exit_code,
        image_id=status.image_id,
        restart=_restart_json(status),
        mounts=_mounts_json(pod, app, paths) if app else [],
        user_annotations=dict(described.user_annotations) if described else {},
        user_labels=dict(described.user_labels) if described else {},
    )


def _restart_json(app: AppStatus) -> dict[str, object] | None:
    """The restarts of an app; times in nanoseconds, as the others of an app."""
    if app.restart is None or app.restarts is None:
        return None
    found = app.restarts
    return {
        "policy": app.restart.policy,
        "restarts": found.count,
        **_said(
            last_exit_code=found.exit_code,
            last_signal=found.signal,
            last_oom=found.oom or None,
            last_started_at=_nanoseconds(found.started_at),
            last_finished_at=_nanoseconds(found.finished_at),
            next_start_at=_nanoseconds(found.next_at),
        ),
    }


def _mounts_json(pod: PodStatus, app: RuntimeApp, paths: Paths) -> list[dict[str, object]]:
    if pod.manifest is None:
        return []
    return [_mount_json(pod, mount, paths) for mount in pod.manifest.mounted(app)]


def _mount_json(pod: PodStatus, mount: Mounted, paths: Paths) -> dict[str, object]:
    volume = mount.volume
    source = volume.source if isinstance(volume, (HostVolume, NamedVolume)) else ""
    if isinstance(volume, EmptyVolume):
        source = paths.pod(_DIRECTORIES.get(pod.state, "run"), pod.uuid).volume(mount.name)
    return {
        "name": mount.name,
        "container_path": mount.path,
        "host_path": source,
        "read_only": mount.read_only,
    }


def _said(**members: object) -> dict[str, object]:
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}


def _seconds(then: float | None) -> int | None:
    return None if then is None else int(then)


def _nanoseconds(then: float | None) -> int | None:
    return None if then is None else int(then * 1e9)


def format_size(count: int) -> str:
    """A number of bytes for people: 1.2MiB. Source: go-humanize IBytes."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f}{unit}" if unit != "B" and size < 10 else f"{size:.0f}{unit}"
