# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_gc: removes ended pods and unneeded images. Check mode reports the very same list and bytes."""

from __future__ import annotations

from ..appc.quantity import parse_size
from ..errors import InvalidSpec, PodError
from ..stage0 import gc
from ..stage0.change import Change, Difference, Outcome, converge, naming_changes
from ..stage0.references import in_use
from ..store import gc as store_gc
from ..store.bounds import Bounds
from ..value import Value
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host


class _Collected(Value):
    """The removals of a collection or its check. pods: UUIDs of removed pods. failures: of the other removals."""

    differences: tuple[Difference, ...]
    pods: tuple[str, ...]
    images: tuple[str, ...]
    bytes: int
    failures: tuple[PodError, ...] = ()


def collect(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """The result of pod_gc. Raises the first failure, with all others and the changes, after everything else."""
    policy = gc.GcPolicy(
        float(options.integer("grace_period", int(gc.GRACE_PERIOD))),
        float(options.integer("expire_prepared", int(gc.EXPIRE_PREPARED))),
    )
    done = _collect_pods(host, policy, check=check)
    if options.boolean("images", False):
        older_than = host.clock.time() - options.integer("image_grace_period", 86400)
        with naming_changes(_outcome(done).to_json(), "cannot collect images"):
            stored = _collect_store(
                host, older_than, _bounds(options), done.pods if check else (), check=check
            )
        done = _Collected(
            done.differences + stored.differences,
            done.pods,
            stored.images,
            done.bytes + stored.bytes,
            done.failures + stored.failures,
        )
    if done.failures:
        raise _failure(done)
    return {
        **outcome_result(_outcome(done)),
        "pods": list(done.pods),
        "images": list(done.images),
        "bytes": done.bytes,
    }


def _collect_pods(host: Host, policy: gc.GcPolicy, *, check: bool) -> _Collected:
    outcome, _left = converge(host, gc.ensure_collected(host, policy, measure=True), apply=not check)
    done = [change for change in outcome.changes if isinstance(change, gc.CollectPod) and change.differences]
    return _Collected(
        outcome.differences,
        tuple(change.verdict.uuid for change in done if change.verdict.action != "mark"),
        (),
        sum(change.bytes for change in done),
        outcome.failures,
    )


def _bounds(options: Fields) -> Bounds:
    """What may stay in the store. Raises InvalidSpec."""
    most, size = options.optional_integer("max_images"), options.optional_text("max_bytes")
    if most is not None and most < 0:
        raise InvalidSpec("must not be negative", where="max_images")
    return Bounds(most, None if size is None else parse_size(size, "max_bytes"))


def _collect_store(
    host: Host, older_than: float, bounds: Bounds, gone: tuple[str, ...], *, check: bool
) -> _Collected:
    failures: tuple[PodError, ...] = ()
    if check:
        plan = store_gc.unreferenced(host.paths, *in_use(host, gone), older_than, bounds)
    else:
        try:
            plan = store_gc.collect(host.paths, lambda: in_use(host), older_than, bounds)
        except store_gc.Incomplete as err:
            plan, failures = err.removed, (err,)
    differences = tuple(
        Difference(f"{item.kind}.{item.name}", f"{item.bytes} bytes", None, "drift") for item in plan.items
    )
    return _Collected(differences, (), plan.images, plan.bytes, failures)


def _failure(done: _Collected) -> PodError:
    """One error for all failures, of the first one's kind, with the changes that were made."""
    err = done.failures[0]
    err.message = "; ".join(failure.message for failure in done.failures)
    err.facts["changes"] = _outcome(done).to_json()
    return err


def _outcome(done: _Collected) -> Outcome:
    return Outcome((Change("what nothing needs", done.differences),))
