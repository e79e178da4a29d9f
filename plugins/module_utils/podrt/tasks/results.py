# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of tasks, in a stable schema and without secrets."""

from __future__ import annotations

from ..errors import Corrupt, InvalidSpec, NotFound, printable, reason_of
from ..pod.lifecycle import PodState, open_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypedDict

    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir
    from ..host.host import Host
    from ..image.reference import ImageReference
    from ..stage0.change import Changes, Outcome
    from ..stage0.status import AppStatus, PodStatus
    from ..stage0.volumes import VolumeStatus
    from ..store.index import StoredImage

    class AppResult(TypedDict, total=False):
        """An app of a pod; the lines where they were asked for."""

        name: str
        image: str
        image_id: str
        state: str
        exit_code: int | None
        finished_at: float | None
        restart: dict[str, object] | None
        stdout_lines: list[str]
        stderr_lines: list[str]

    class PodResult(TypedDict):
        """A pod."""

        name: str
        uuid: str
        state: str
        pid: int | None
        created_at: float | None
        started_at: float | None
        exit_code: int | None
        apps: list[AppResult]
        networks: list[dict[str, str]]
        ports: list[dict[str, object]]
        labels: dict[str, str]
        problem: str

    class OutcomeResult(TypedDict):
        """What a task did, or would do."""

        changed: bool
        changes: Changes
        diff: dict[str, str]


TAIL_LINES = 20


def outcome_result(outcome: Outcome) -> OutcomeResult:
    """The members changed, changes and diff of a result."""
    return {
        "changed": outcome.changed,
        "changes": outcome.to_json(),
        "diff": {
            "before": _side((difference.path, difference.before) for difference in outcome.differences),
            "after": _side((difference.path, difference.after) for difference in outcome.differences),
        },
    }


def _side(values: Iterable[tuple[str, str | None]]) -> str:
    return "".join(f"{path}: {printable(value)}\n" for path, value in values if value is not None)


def pod_result(status: PodStatus) -> PodResult:
    """A pod as results show it; times in seconds since 1970, states as podctl list names them."""
    return {
        "name": status.name,
        "uuid": status.uuid,
        "state": status.state.value,
        "pid": status.pid if status.state is PodState.RUNNING else None,
        "created_at": status.created,
        "started_at": status.started,
        "exit_code": status.exit_code if status.state.has_ended else None,
        "apps": [
            {
                "name": app.name,
                "image": app.image_name,
                "image_id": app.image_id,
                "state": app.state,
                "exit_code": app.exit_code,
                "finished_at": app.finished_at,
                "restart": restart_result(app),
            }
            for app in status.apps
        ],
        "networks": [
            {"name": net.net_name, "ip": net.ip, "interface": net.if_name} for net in status.networks
        ],
        "ports": list(_ports(status.manifest)) if status.manifest and status.manifest.ports else [],
        "labels": dict(status.manifest.user_labels) if status.manifest else {},
        "problem": status.problem,
    }


def _ports(manifest: PodManifest) -> Iterator[dict[str, object]]:
    """The host ports of a pod; nothing from one that no app has, as damage may leave it."""
    from ..net.rules import exposed_targets  # few pods have ports

    try:
        for exposed, protocol, first, count in exposed_targets(manifest):
            yield {
                "name": str(exposed.name),
                "protocol": protocol,
                "host_ip": exposed.host_ip or "",
                "host_port": exposed.host_port,
                "port": first,
                "count": count,
            }
    except InvalidSpec:
        return


def restart_result(app: AppStatus) -> dict[str, object] | None:
    """The restarts of an app as results and podctl show them, None without a policy; times in seconds since 1970."""
    if app.restart is None:
        return None
    from ..pod.restart import RestartCounts

    last = app.restarts or RestartCounts()
    return {
        "policy": app.restart.policy,
        "restarts": last.count,
        "last_exit_code": last.exit_code,
        "last_signal": last.signal,
        "last_oom": last.oom,
        "last_started_at": last.started_at,
        "last_finished_at": last.finished_at,
        "next_start_at": last.next_at,
        "waiting_process_lost": last.lost,
    }


def add_output(host: Host, result: PodResult, lines: int = TAIL_LINES) -> None:
    """Add stdout_lines and stderr_lines to each app of a pod_result, if the pod still exists."""
    try:
        with open_pod(host.paths, result["uuid"]) as pod:
            for app in result["apps"]:
                found = _lines_of(pod.dir, app["name"], lines, result)
                app["stdout_lines"], app["stderr_lines"] = found["stdout_lines"], found["stderr_lines"]
    except NotFound:
        return


def _lines_of(pod: PodDir, app: str, lines: int, result: PodResult) -> dict[str, list[str]]:
    """The last lines of an app; none where they cannot be read, with the reason in the result, once."""
    from ..pod.logs import last_lines  # only tasks that wait need it

    try:
        return last_lines(pod, app, lines)
    except (Corrupt, OSError) as err:
        why = err.message if isinstance(err, Corrupt) else f"cannot read the logs: {reason_of(err)}"
        known = result["problem"]
        if why not in known:
            result["problem"] = "; ".join(filter(None, (known, why)))
        return {"stdout_lines": [], "stderr_lines": []}


def image_result(image: StoredImage) -> dict[str, object]:
    """An image as results show it."""
    return {
        "id": str(image.id),
        "name": image.manifest.full_name,
        "labels": dict(image.manifest.labels.pairs),
        "size": image.size,
        "import_time": image.import_time,
        "last_used": image.last_used,
        "signer": image.signer or None,
        "policy": image.policy or None,
    }


def fetch_result(outcome: Outcome, reference: ImageReference) -> dict[str, object]:
    """What it took to get an image: bytes that were downloaded, and seconds; zeros where nothing was fetched."""
    mine = [fetched for fetched in outcome.fetched if fetched.reference == str(reference)]
    return _cost(sum(fetched.bytes for fetched in mine), sum(fetched.seconds for fetched in mine))


def fetches_result(outcome: Outcome) -> list[dict[str, object]]:
    """The images that a pod needed and that were fetched, in that order, with what it took."""
    return [
        {"reference": fetched.reference, **_cost(fetched.bytes, fetched.seconds)}
        for fetched in outcome.fetched
    ]


def _cost(count: int, seconds: float) -> dict[str, object]:
    return {"bytes": count, "seconds": round(seconds, 3)}


def volume_result(volume: VolumeStatus) -> dict[str, object]:
    """A volume as results show it."""
    return {
        "name": volume.name,
        "path": volume.path,
        "mode": f"{volume.mode:04o}",
        "uid": volume.uid,
        "gid": volume.gid,
        "labels": dict(volume.labels),
        "used_by": list(volume.used_by),
        "bytes": volume.bytes,
        "problem": volume.problem,
    }


def network_details(status: PodStatus) -> list[object]:
    """The records of the networks, as the plugins wrote them."""
    return [net.to_json() for net in status.networks]
