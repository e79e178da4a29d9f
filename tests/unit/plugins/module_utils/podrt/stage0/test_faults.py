# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Whatever fails midway, and wherever a task is killed: the next task recovers, and healthy pods keep running."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import of_kind
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import plan
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.images import ensure_image
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.faults import (
    ALWAYS,
    KILLED,
    ONCE,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    archive,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.trials import (
    Plan,
    Scenario,
    Step,
    Trials,
)

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import ImageReference

WEB = PodName("web")
# A part of the old pod's description that differs in the new one's.
OTHER: dict[str, Any] = {"app": {"environment": {"LEVEL": "debug"}}, "stop_timeout": 7}


def described(state: str, min_uptime: float = 0.0, **options: Any) -> Callable[[Stage0Lab], Plan]:
    """A plan of ensure_pod."""
    return lambda lab: plan.ensure_pod(lab.host, lab.spec(**options), state, min_uptime=min_uptime)


def absent(lab: Stage0Lab) -> Plan:
    return plan.ensure_absent(lab.host, WEB)


def made(state: str, **options: Any) -> Step:
    return lambda lab: converge(lab.host, described(state, **options)(lab), apply=True)


def systemd(lab: Stage0Lab) -> None:
    lab.boot()


def ended(lab: Stage0Lab) -> None:
    lab.stage1.finish(str(lab.meant("web")), 3)


def no_start(lab: Stage0Lab) -> None:
    """Let the next start of a pod fail."""
    lab.stage1.leaving["run-prepared"] = of_kind("not-found", "no such user"), "start"


def starts_late(lab: Stage0Lab) -> None:
    """Let the next start time out; the pod runs all the same."""
    lab.stage1.late.add("run-prepared")


def fails_soon(lab: Stage0Lab) -> None:
    """Let an app of the next pod fail, which ends its pod some time later."""
    before = lab.stage1.running

    def fail() -> None:
        for uuid in lab.stage1.running - before:
            lab.stage1.fail_app(uuid, 3)
            lab.clock.after(9, partial(lab.stage1.end, uuid))

    lab.clock.after(1, fail)


def new_image(lab: Stage0Lab, **app: Any) -> None:
    """Make an image file that no store has."""
    (lab.base / "new.aci").write_bytes(archive("new", **app))


def other_image(lab: Stage0Lab) -> None:
    new_image(lab, environment=[{"name": "VERSION", "value": "2"}])


def new(lab: Stage0Lab) -> tuple[ImageReference, FetchPolicy]:
    app = lab.spec(app={"image": str(lab.base / "new.aci")})
    return app.apps[0].image, app.policy


def on_new(state: str) -> Callable[[Stage0Lab], Plan]:
    return lambda lab: described(state, app={"image": str(lab.base / "new.aci")})(lab)


def made_on_new(lab: Stage0Lab) -> None:
    converge(lab.host, on_new("started")(lab), apply=True)


SCENARIOS = {
    "made and started": Scenario((), described("started")),
    "made": Scenario((), described("prepared")),
    "first start fails": Scenario((), described("started"), no_start),
    "started": Scenario((made("prepared"),), described("started")),
    "started again": Scenario((made("started"), ended), described("started")),
    "replaced": Scenario((made("started"),), described("started", **OTHER)),
    "rolled back": Scenario((made("started"),), described("started", **OTHER), no_start),
    "starts late": Scenario((made("started"),), described("started", **OTHER), starts_late),
    "does not stay up": Scenario((made("started"),), described("started", 2.0, **OTHER), fails_soon),
    "replaced, not started": Scenario((made("started"),), described("stopped", **OTHER)),
    "replaced while prepared": Scenario(
        (made("prepared"),), described("started", **OTHER), litter=("prepared",)
    ),
    "restarted": Scenario((made("started"),), described("restarted")),
    "not restarted": Scenario((made("started"),), described("restarted"), no_start),
    "stopped": Scenario((made("started"),), described("stopped")),
    "removed": Scenario((made("started"),), absent),
    "fetched": Scenario((new_image,), lambda lab: ensure_image(lab.host, *new(lab)), store=True),
    "fetched and made": Scenario((new_image,), on_new("started"), store=True),
    "image changed": Scenario((new_image, made_on_new, other_image), on_new("started"), store=True),
    "unit made": Scenario((systemd,), described("started")),
    "unit of one that ended": Scenario((systemd, made("started"), ended), described("started")),
    "unit replaced": Scenario((systemd, made("started")), described("started", **OTHER)),
    "unit rolled back": Scenario((systemd, made("started")), described("started", **OTHER), no_start),
    "unit does not stay": Scenario(
        (systemd, made("started")), described("started", 2.0, **OTHER), fails_soon
    ),
    "unit restarted": Scenario((systemd, made("started")), described("restarted")),
    "unit stopped": Scenario((systemd, made("started")), described("stopped")),
    "unit removed": Scenario((systemd, made("started")), absent),
}


# One of each kind, for every run.
_QUICK = (
    "made and started",
    "fetched and made",
    "started again",
    "replaced",
    "rolled back",
    "starts late",
    "does not stay up",
    "replaced, not started",
    "restarted",
    "stopped",
    "removed",
    "unit replaced",
    "unit removed",
)


@pytest.mark.parametrize("scenario", _QUICK)
def test_the_next_task_makes_up_for_a_fault(lab: Stage0Lab, scenario: str) -> None:
    assert Trials(lab, SCENARIOS[scenario]).problems(3, KILLED, ONCE, ALWAYS) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [ONCE, KILLED])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_next_task_makes_up_for_a_fault_anywhere(lab: Stage0Lab, scenario: str, how: str) -> None:
    assert Trials(lab, SCENARIOS[scenario]).problems(5, how) == []
