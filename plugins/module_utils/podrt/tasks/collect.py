# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_gc: what has ended, and what nothing needs. In check mode the very same list and bytes, and nothing removed."""

from __future__ import annotations

import time

from ..errors import PodError
from ..host.files import disk_usage, read_text_or
from ..host.paths import STATES
from ..pod import documents
from ..pod.lifecycle import locate, walk
from ..stage0 import gc
from ..store import gc as store_gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.fields import Fields
    from ..host.host import Host

    Used = tuple[frozenset[str], frozenset[str]]


def collect(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """The result of pod_gc. Raises the first failure, once everything else has been done."""
    policy = gc.GcPolicy(
        float(options.integer("grace_period", int(gc.GRACE_PERIOD))),
        float(options.integer("expire_prepared", int(gc.EXPIRE_PREPARED))),
    )
    verdicts = [verdict for verdict in gc.judge(host, policy) if verdict.action != "keep"]
    removed = [verdict.uuid for verdict in verdicts if _removes(verdict.action)]
    freed = sum(
        disk_usage(host.paths.pod(locate(host.paths, uuid) or "garbage", uuid).path) for uuid in removed
    )
    changes = [
        _change(
            f"pods.{verdict.uuid}",
            verdict.state.value,
            None if _removes(verdict.action) else "exited garbage",
        )
        for verdict in verdicts
    ]
    failures = [] if check else gc.collect(host, policy, _nobody, _nobody)
    images: list[str] = []
    if options.boolean("images", False):
        older_than = time.time() - options.integer("image_grace_period", 86400)
        images, bytes_freed = _collect_images(host, older_than, set(removed), check=check)
        changes += [_change(f"images.{image}", "present", None) for image in images]
        freed += bytes_freed
    if failures:
        raise failures[0]
    return {
        "changed": bool(changes),
        "changes": changes,
        "diff": {
            side: "".join(f"{c['path']}: {c[side]}\n" for c in changes if c[side])
            for side in ("before", "after")
        },
        "pods": removed,
        "images": images,
        "bytes": freed,
    }


def _removes(action: str) -> bool:
    """Whether the pod is gone afterwards; a marked one stays for its grace period."""
    return action != "mark"


def _collect_images(host: Host, older_than: float, gone: set[str], *, check: bool) -> tuple[list[str], int]:
    if check:
        plan = store_gc.unreferenced(host.paths, *in_use(host, gone), older_than)
    else:
        plan = store_gc.collect(host.paths, lambda: in_use(host, set()), older_than)
    return [str(image) for image in plan.images], plan.bytes


def in_use(host: Host, gone: set[str]) -> Used:
    """The trees and images that pods need, but for pods that will be gone."""
    trees: set[str] = set()
    images: set[str] = set()
    for pod in walk(host.paths, STATES):
        if pod.uuid in gone:
            continue
        try:
            manifest = documents.read_manifest(pod.dir)
        except (OSError, PodError):
            continue
        for app in manifest.apps:
            images.add(str(app.image.id))
            trees.add(read_text_or(pod.dir.app_tree_id(app.name), ""))
    return frozenset(trees), frozenset(images)


def _change(path: str, before: str, after: str | None) -> dict[str, object]:
    return {"path": path, "before": before, "after": after, "reason": "drift", "impact": "none"}


def _nobody(_line: str) -> None:
    """Progress goes nowhere: a task has one result."""
