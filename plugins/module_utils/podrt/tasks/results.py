# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of tasks, in a stable schema and without secrets."""

from __future__ import annotations

import json

from ..errors import Corrupt, NotFound, printable, reason_of
from ..pod.lifecycle import open_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..host.paths import PodDir
    from ..stage0.change import Outcome
    from ..stage0.status import PodStatus
    from ..stage0.volumes import VolumeStatus
    from ..store.index import StoredImage

TAIL_LINES = 20


def outcome_result(outcome: Outcome) -> dict[str, object]:
    """The members changed, changes and diff of a result."""
    return {
        "changed": outcome.changed,
        "changes": outcome.to_json(),
        "diff": {"before": _side(outcome, "before"), "after": _side(outcome, "after")},
    }


def _side(outcome: Outcome, side: str) -> str:
    lines = [
        f"{difference.path}: {printable(str(getattr(difference, side)))}"
        for difference in outcome.differences
        if getattr(difference, side) is not None
    ]
    return "".join(line + "\n" for line in lines)


def pod_result(status: PodStatus) -> dict[str, object]:
    """A pod as results show it; times in seconds since 1970, states as podctl list names them."""
    return {
        "name": status.name,
        "uuid": status.uuid,
        "state": status.state.value,
        "pid": status.pid if status.state.value == "running" else None,
        "created_at": status.created,
        "started_at": status.started,
        "exit_code": status.exit_code if status.state.value.startswith("exited") else None,
        "apps": [
            {
                "name": app.name,
                "image": app.image_name,
                "image_id": app.image_id,
                "state": app.state,
                "exit_code": app.exit_code,
                "finished_at": app.finished_at,
            }
            for app in status.apps
        ],
        "networks": [
            {"name": net.net_name, "ip": net.ip, "interface": net.if_name} for net in status.networks
        ],
        "labels": dict(status.manifest.user_labels) if status.manifest else {},
        "problem": status.problem,
    }


def add_output(host: Host, result: dict[str, object], lines: int = TAIL_LINES) -> None:
    """Add stdout_lines and stderr_lines to each app of a pod_result, if the pod still exists."""
    apps = result["apps"]
    try:
        with open_pod(host.paths, str(result["uuid"])) as pod:
            for app in apps if isinstance(apps, list) else ():
                app.update(_lines_of(pod.dir, app["name"], lines, result))
    except NotFound:
        return


def _lines_of(pod: PodDir, app: str, lines: int, result: dict[str, object]) -> dict[str, list[str]]:
    """The last lines of an app; none where they cannot be read, with the reason in the result, once."""
    from ..pod.logs import last_lines  # only tasks that wait need it

    try:
        return last_lines(pod, app, lines)
    except (Corrupt, OSError) as err:
        why = err.message if isinstance(err, Corrupt) else f"cannot read the logs: {reason_of(err)}"
        known = str(result["problem"] or "")
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
    }


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
    return [json.loads(net.raw) for net in status.networks]
