# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Plans: exactly the changes from the found state to the wanted one, without touching anything."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Generator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import Drift, find_drift
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo, write_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import result_of_addresses
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.limits import (
    ChangedLimit,
    Setting,
    changed_limits,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.strays import Stray, find_strays
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import plan
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Change, converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.drift import is_process
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    archive,
)

Plan = Generator[Change, bool, Any]
WEB = PodName("web")
OTHER: dict[str, Any] = {"app": {"environment": {"LEVEL": "debug"}}}


def made(lab: Stage0Lab, state: str = "started", **options: Any) -> str:
    """Make a pod as a task does."""
    converge(lab.host, plan.ensure_pod(lab.host, lab.spec(**options), state), apply=True)
    return str(lab.meant("web"))


def ended(status: int) -> Callable[[Stage0Lab], None]:
    return lambda lab: lab.stage1.finish(made(lab), status)


def stopped(lab: Stage0Lab) -> None:
    """Make a pod that was asked to stop, and ended with status 0."""
    made(lab)
    made(lab, "stopped")


FOUND: dict[str, Callable[[Stage0Lab], object]] = {
    "none": lambda _lab: None,
    "prepared": lambda lab: made(lab, "prepared"),
    "running": made,
    "ended well": ended(0),
    "failed": ended(3),
    "killed": lambda lab: lab.stage1.end(made(lab)),
    "stopped": stopped,
}
STATES = ("started", "stopped", "prepared", "restarted", "absent")

# The found state of a pod that is as described, and the changes for each of STATES.
AS_DESCRIBED = {
    "none": (
        "create nothing > running: playbook, none",
        "create nothing > prepared: playbook, none",
        "create nothing > prepared: playbook, none",
        "create nothing > running: playbook, none",
        "",
    ),
    "prepared": (
        "start prepared > running: playbook, none",
        "",
        "",
        "start prepared > restarted: playbook, none",
        "remove prepared > nothing: playbook, none",
    ),
    "running": (
        "",
        "stop running > stopped: playbook, restart",
        "",
        "restart running > restarted: playbook, restart",
        "remove running > nothing: playbook, restart",
    ),
    "ended well": (
        "start exited > running: drift, none",
        "",
        "",
        "start exited > restarted: playbook, none",
        "remove exited > nothing: playbook, none",
    ),
    "stopped": (
        "start exited > running: playbook, none",
        "",
        "",
        "start exited > restarted: playbook, none",
        "remove exited > nothing: playbook, none",
    ),
}
AS_DESCRIBED["failed"] = AS_DESCRIBED["killed"] = AS_DESCRIBED["ended well"]
# The same for a pod that differs from its description.
_REPLACED = "replace nothing > fingerprint: playbook, recreate"
OTHERWISE = {
    "none": AS_DESCRIBED["none"],
    "prepared": (
        f"{_REPLACED}; prepared > running: playbook, none",
        _REPLACED,
        _REPLACED,
        f"{_REPLACED}; prepared > running: playbook, none",
        "remove prepared > nothing: playbook, none",
    ),
    "running": (
        _REPLACED,
        f"{_REPLACED}; running > prepared: playbook, restart",
        f"{_REPLACED}; running > prepared: playbook, restart",
        _REPLACED,
        "remove running > nothing: playbook, restart",
    ),
    "ended well": (
        f"{_REPLACED}; exited > running: drift, none",
        _REPLACED,
        _REPLACED,
        f"{_REPLACED}; exited > running: drift, none",
        "remove exited > nothing: playbook, none",
    ),
    "stopped": (
        f"{_REPLACED}; exited > running: playbook, none",
        _REPLACED,
        _REPLACED,
        f"{_REPLACED}; exited > running: playbook, none",
        "remove exited > nothing: playbook, none",
    ),
}
OTHERWISE["failed"] = OTHERWISE["killed"] = OTHERWISE["ended well"]
# The exceptions for a task, which does its work and ends: it is as wanted when it has ended well by itself.
TASKS = {
    ("ended well", "started", True): "",
    ("ended well", "started", False): f"{_REPLACED}; exited > running: playbook, none",
    ("ended well", "restarted", False): f"{_REPLACED}; exited > running: playbook, none",
}


def shown(change: Change) -> str:
    """A change: its type, and for each difference the values, reason and impact."""
    verb = type(change).__name__.replace("Pod", "").lower()
    told = [
        f"{difference.before or 'nothing'} > {(difference.after or 'nothing').partition(':')[0]}: "
        f"{difference.reason}, {difference.impact}"
        for difference in change.differences
    ]
    return f"{verb} {'; '.join(told)}"


def plan_of(lab: Stage0Lab, state: str, *, completes: bool = False, **options: Any) -> Plan:
    if state == "absent":
        return plan.ensure_absent(lab.host, WEB)
    return plan.ensure_pod(lab.host, lab.spec(**options), state, completes=completes)


def planned(lab: Stage0Lab, state: str, *, completes: bool = False, **options: Any) -> list[Change]:
    """The changes of a plan, with nothing applied."""
    return list(plan_of(lab, state, completes=completes, **options))


def snapshot(lab: Stage0Lab) -> list[tuple[str, int, int]]:
    """Every file and directory, with the times of its changes."""
    return [
        (path, os.lstat(path).st_mtime_ns, os.lstat(path).st_ctime_ns)
        for directory, names, leaves in os.walk(lab.base)
        for path in (os.path.join(directory, leaf) for leaf in (*names, *leaves))
    ]


@pytest.mark.parametrize("is_described", [True, False], ids=["as described", "otherwise"])
@pytest.mark.parametrize("found", FOUND)
def test_a_plan_is_exactly_what_is_to_be_done(lab: Stage0Lab, found: str, is_described: bool) -> None:
    FOUND[found](lab)
    before, calls = snapshot(lab), list(lab.stage1.calls)
    options = {} if is_described else OTHER
    wanted = dict(zip(STATES, (AS_DESCRIBED if is_described else OTHERWISE)[found]))
    for_tasks = {state: TASKS.get((found, state, is_described), wanted[state]) for state in STATES}
    for completes, table in ((False, wanted), (True, for_tasks)):
        assert {
            state: " | ".join(map(shown, planned(lab, state, completes=completes, **options)))
            for state in STATES
        } == table
    assert (snapshot(lab), lab.stage1.calls) == (before, calls)


@pytest.mark.parametrize("found", FOUND)
def test_check_mode_foretells_the_run_and_a_second_run_changes_nothing(lab: Stage0Lab, found: str) -> None:
    FOUND[found](lab)
    restore = lab.save()
    for state in STATES:
        for options in ({}, OTHER):
            restore()
            foretold, _warnings = converge(lab.host, plan_of(lab, state, **options), apply=False)
            done, _warnings = converge(lab.host, plan_of(lab, state, **options), apply=True)
            assert (foretold.differences, foretold.foreseen) == (done.differences, ())
            again = planned(lab, state, **options)
            if state != "restarted":
                assert again == []
            assert (lab.meant("web") in lab.stage1.running) is (
                state in ("started", "restarted")
                or (state == "prepared" and not options and found == "running")
            )


def test_where_differences_are_is_told_by_the_paths_of_options(lab: Stage0Lab) -> None:
    def paths(state: str, **options: Any) -> list[str]:
        return [found.path for change in planned(lab, state, **options) for found in change.differences]

    assert paths("started") == ["pods.web"]
    made(lab, "prepared")
    assert paths("started") == ["pods.web.state"]
    assert paths("started", **OTHER) == ["apps[0].environment.LEVEL", "pods.web.state"]
    assert paths("absent") == ["pods.web"]


def test_what_is_left_over_is_removed_and_only_of_that_name(lab: Stage0Lab) -> None:
    left = {lab.make("web", state, means=False) for state in ("prepared", "run", "exited-garbage")}
    other = lab.make("db", "exited-garbage", means=False)
    [change] = planned(lab, "absent")
    assert {difference.path for difference in change.differences} == {f"pods.{uuid}" for uuid in left}
    converge(lab.host, plan.ensure_absent(lab.host, WEB), apply=True)
    assert lab.uuids() == {other}


def test_a_pod_that_is_made_takes_the_place_of_what_is_left_over(lab: Stage0Lab) -> None:
    lab.make("web", "prepared", means=False)
    lab.make("web", "exited-garbage", means=False)
    uuid = made(lab)
    assert lab.uuids() == {uuid}


@pytest.mark.parametrize("document", ["pod", "runspec"])
def test_a_pod_that_cannot_be_read_is_made_again(lab: Stage0Lab, document: str) -> None:
    uuid = made(lab)
    pathlib.Path(lab.paths.pod("run", uuid).path, document).write_text("{")
    [change] = planned(lab, "started")
    [difference] = change.differences
    assert difference.path == "pods.web"
    assert str(difference.before).startswith("unreadable: cannot read the ")
    assert (difference.reason, difference.impact) == ("drift", "recreate")
    assert made(lab) != uuid
    assert (lab.uuids(), lab.stage1.running) == ({lab.meant("web")}, {lab.meant("web")})


class TestImages:
    """Images that are not in the store yet."""

    @pytest.fixture(autouse=True)
    def _new_image(self, lab: Stage0Lab) -> None:
        (lab.base / "new.aci").write_bytes(archive("new"))

    @staticmethod
    def options(lab: Stage0Lab) -> dict[str, Any]:
        return {"app": {"image": str(lab.base / "new.aci")}}

    def test_it_is_fetched_first(self, lab: Stage0Lab) -> None:
        fetched, created = planned(lab, "started", **self.options(lab))
        assert shown(fetched) == "fetchimage nothing > present: playbook, none"
        assert (shown(created), created.wanted) == ("create nothing > running: playbook, none", None)  # type: ignore[attr-defined]

    def test_of_a_pod_whose_image_is_not_there_only_that_is_known(self, lab: Stage0Lab) -> None:
        made(lab)
        _fetched, replaced = planned(lab, "started", **self.options(lab))
        [difference] = replaced.differences
        assert (difference.path, difference.after) == ("apps[0].image", "known once fetched")
        assert (difference.reason, difference.impact) == ("image", "recreate")

    def test_once_it_is_fetched_the_rest_is_known(self, lab: Stage0Lab) -> None:
        uuid = made(lab)
        wanted = plan.ensure_pod(lab.host, lab.spec(**self.options(lab)), "started")
        outcome, _warnings = converge(lab.host, wanted, apply=True)
        found = {difference.path: str(difference.after) for difference in outcome.differences}
        assert "example.com/new" in found["apps[0].image"]
        assert lab.meant("web") != uuid
        assert planned(lab, "started", **self.options(lab)) == []

    def test_an_image_that_two_apps_have_is_fetched_once(self, lab: Stage0Lab) -> None:
        app = {"image": str(lab.base / "new.aci")}
        changes = planned(lab, "started", apps=[{"name": "a", **app}, {"name": "b", **app}])
        assert [type(change).__name__ for change in changes] == ["FetchImage", "CreatePod"]

    def test_what_is_missing_and_may_not_be_fetched_is_refused_before_anything_is_done(
        self, lab: Stage0Lab
    ) -> None:
        uuid = made(lab)
        spec = lab.spec(app={"image": "https://example.com/x.aci"}, pull="never")
        for apply in (False, True):
            wanted = plan.ensure_pod(lab.host, spec, "started")
            if apply:
                with pytest.raises(NotFound):
                    converge(lab.host, wanted, apply=True)
            else:
                outcome, _warnings = converge(lab.host, wanted, apply=False)
                assert len(outcome.foreseen) == 1
        assert (lab.meant("web"), lab.stage1.running) == (uuid, {uuid})

    def test_a_file_that_was_touched_is_the_same_image(self, lab: Stage0Lab) -> None:
        uuid = made(lab, **self.options(lab))
        os.utime(lab.base / "new.aci", (1, 1))
        [change] = planned(lab, "started", **self.options(lab))
        assert change.differences == ()
        assert made(lab, **self.options(lab)) == uuid

    def test_an_image_that_has_changed_is_to_blame_for_what_comes_of_it(self, lab: Stage0Lab) -> None:
        made(lab, **self.options(lab))
        (lab.base / "new.aci").write_bytes(archive("new", workingDirectory="/bin"))
        wanted = plan.ensure_pod(lab.host, lab.spec(**self.options(lab)), "started")
        outcome, _warnings = converge(lab.host, wanted, apply=True)
        assert {difference.reason for difference in outcome.differences} == {"image"}
        assert "apps[0].working_dir" in {difference.path for difference in outcome.differences}


class TestUnits:
    """The unit of a pod, where PID 1 is systemd."""

    @pytest.fixture(autouse=True)
    def _systemd(self, lab: Stage0Lab) -> None:
        lab.boot()

    @staticmethod
    def unit(lab: Stage0Lab) -> pathlib.Path:
        return pathlib.Path(lab.paths.units, "pod-web.service")

    def test_it_comes_with_the_pod_and_starts_it_after_a_boot(self, lab: Stage0Lab) -> None:
        made(lab)
        assert lab.systemd is not None
        assert lab.systemd.seen() == {"pod-web.service": (True, True, True)}
        assert planned(lab, "started") == []

    @pytest.mark.parametrize(
        ("change", "before", "reason"),
        [
            ("Nice=1\n", "enabled, edited", "drift"),
            ("outdated", "enabled, outdated", "runtime"),
            ("disabled", "disabled", "drift"),
            ("unread", "enabled, not loaded", "drift"),
        ],
    )
    def test_what_has_been_done_to_it_is_undone(
        self, lab: Stage0Lab, change: str, before: str, reason: str
    ) -> None:
        uuid = made(lab)
        assert lab.systemd is not None
        if change == "disabled":
            lab.systemd(("systemctl", "disable", "pod-web.service"))
        elif change == "unread":
            pathlib.Path(lab.paths.unread_unit("web")).touch()
        elif change == "outdated":
            made(lab, stop_timeout=9)
            text = self.unit(lab).read_text()
            uuid = made(lab)
            self.unit(lab).write_text(text)
        else:
            self.unit(lab).write_text(self.unit(lab).read_text() + change)
        [settle] = planned(lab, "started")
        [difference] = settle.differences
        assert (difference.path, difference.before, difference.after) == ("pods.web.unit", before, "enabled")
        assert difference.reason == reason
        assert made(lab) == uuid
        assert (planned(lab, "started"), lab.systemd.seen()) == ([], {"pod-web.service": (True, True, True)})

    def test_a_pod_that_is_stopped_or_ends_by_itself_is_not_started_by_a_boot(self, lab: Stage0Lab) -> None:
        made(lab)
        settle, stop = planned(lab, "stopped")
        assert [shown(settle), shown(stop)] == [
            "settleunit enabled > disabled: playbook, none",
            "stop running > stopped: playbook, restart",
        ]
        [settle] = planned(lab, "started", completes=True)
        assert shown(settle) == "settleunit enabled > disabled: playbook, none"

    def test_one_that_is_there_without_its_pod_is_removed(self, lab: Stage0Lab) -> None:
        uuid = made(lab)
        text = self.unit(lab).read_text()
        converge(lab.host, plan.ensure_absent(lab.host, WEB), apply=True)
        self.unit(lab).write_text(text)
        [removed] = planned(lab, "absent")
        assert shown(removed) == "remove left over > nothing: drift, none"
        converge(lab.host, plan.ensure_absent(lab.host, WEB), apply=True)
        assert (self.unit(lab).exists(), uuid in lab.uuids()) == (False, False)

    def test_one_of_another_data_directory_is_left_alone(self, lab: Stage0Lab) -> None:
        self.unit(lab).write_text("# Written by stagecraft.pods for /elsewhere: 0\n[Unit]\n")
        with pytest.raises(Conflict, match="does not belong to a pod in"):
            made(lab)
        assert planned(lab, "absent") == []
        assert (lab.uuids(), self.unit(lab).read_text().count("/elsewhere")) == (set(), 1)

    def test_a_boot_starts_what_a_play_has_started(self, lab: Stage0Lab) -> None:
        uuid = made(lab)
        assert lab.systemd is not None
        lab.systemd.boot()
        assert lab.meant("web") in lab.stage1.running
        assert lab.meant("web") != uuid
        assert planned(lab, "started") == []


class TestDrift:
    """The drift of a running pod."""

    LIMIT = ChangedLimit("/sys/x", Setting("pids.max", "9"), "max", "resource/pids", "")
    STRAY = Stray(1, "web", ("/sys/x",))

    @staticmethod
    def joined(lab: Stage0Lab, **changed: object) -> None:
        """Make a running pod that has joined a network, which is now configured like this."""
        conf = {"name": "lan", "type": "ptp", "ipam": {"type": "host-local", "subnet": "198.18.0.0/24"}}
        place = pathlib.Path(lab.paths.local_config, "net.d", "lan.conf")
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(conf))
        uuid = made(lab, networks=["lan"])
        with lifecycle.open_pod(lab.paths, uuid) as pod:
            os.mkdir(pod.dir.net_confs)
            pathlib.Path(pod.dir.net_confs, "lan.conf").write_text(json.dumps(conf))
            given = result_of_addresses((Assigned(Address.parse("198.18.0.2"), 24),))
            info = NetInfo("lan", f"{pod.dir.net_confs}/lan.conf", ("ptp",), "eth0", given)
            write_net_info(pod.dir.net_info, [info])
        place.write_text(json.dumps({**conf, **changed}))

    @pytest.mark.parametrize(
        ("question", "answer", "path", "before"),
        [
            (changed_limits, (LIMIT,), "pids_limit", "pids.max=max"),
            (find_strays, (STRAY,), "apps[0]", "processes outside of its control group"),
        ],
    )
    def test_it_is_mended_while_the_pod_runs(
        self, lab: Stage0Lab, question: Callable[..., object], answer: object, path: str, before: str
    ) -> None:
        uuid = made(lab)
        lab.kernel.answers[question] = answer
        [mend] = planned(lab, "started")
        [difference] = mend.differences
        assert (difference.path, difference.before) == (path, before)
        assert (difference.reason, difference.impact) == ("drift", "live")
        assert made(lab) == uuid
        assert lab.stage1.calls[-1] == ("mend", uuid)

    def test_what_a_network_has_lost_is_mended_too(self, lab: Stage0Lab) -> None:
        self.joined(lab)
        assert planned(lab, "started", networks=["lan"]) == []
        lab.kernel.answers[find_drift] = Drift(rules=object())  # type: ignore[arg-type]
        [mend] = planned(lab, "started", networks=["lan"])
        assert shown(mend) == "mend missing > as joined: drift, live".replace(
            "missing", "missing: nftables rules"
        )

    def test_a_runtime_that_cannot_mend_restarts(self, lab: Stage0Lab) -> None:
        self.joined(lab)
        os.unlink(f"{lab.host.runtime}/podrt/stage1/starter/mend.py")
        lab.kernel.answers[find_drift] = Drift(rules=object())  # type: ignore[arg-type]
        [restart] = planned(lab, "started", networks=["lan"])
        assert shown(restart) == "restart missing: nftables rules > as joined: drift, restart"

    def test_a_network_that_is_defined_otherwise_by_now_is_joined_again(self, lab: Stage0Lab) -> None:
        self.joined(lab, mtu=1400)
        [restart] = planned(lab, "started", networks=["lan"])
        [difference] = restart.differences
        assert (difference.path, difference.before, difference.after) == ("networks[0]", None, "mtu=1400")
        assert shown(restart).startswith("restart ")

    def test_what_cannot_be_looked_at_is_told_and_no_drift(self, lab: Stage0Lab) -> None:
        uuid = made(lab)
        lab.kernel.answers[find_strays] = PermissionError(1, "not permitted")
        wanted = plan.ensure_pod(lab.host, lab.spec(), "started")
        outcome, left = converge(lab.host, wanted, apply=True)
        assert (outcome.changed, lab.meant("web")) == (False, uuid)
        [warning] = left.warnings
        assert warning.startswith('cannot tell what pod "web" has lost of its processes')

    def test_what_a_pod_that_ends_meanwhile_has_lost_is_none_of_it(self, lab: Stage0Lab) -> None:
        made(lab)
        lab.kernel.answers.update({changed_limits: (self.LIMIT,), is_process: False})
        assert planned(lab, "started") == []


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_pod_whose_image_is_refused_by_now_can_be_stopped(lab: Stage0Lab, state: str) -> None:
    asks = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_ADMIN"]}}
    image = lab.base / "asks.aci"
    image.write_bytes(archive("asks", isolators=[asks]))
    options: dict[str, Any] = {"app": {"image": str(image)}}
    uuid = made(lab, image_isolators="accept", **options)
    if state == "stopped":
        made(lab, "stopped", image_isolators="accept", **options)
    outcome, left = converge(lab.host, plan.ensure_pod(lab.host, lab.spec(**options), "stopped"), apply=True)
    changes = [f"{found.path}: {found.before} > {found.after}" for found in outcome.differences]
    assert changes == (["pods.web.state: running > stopped"] if state == "running" else [])
    (warning,) = left.warnings
    assert warning.startswith('pod "web" is stopped and stays as it is: ')
    assert "CAP_SYS_ADMIN" in warning
    assert (lab.meant("web"), lab.state(uuid)) == (uuid, "exited")
    for other in ("started", "restarted", "prepared"):
        with pytest.raises(Untrusted):
            converge(lab.host, plan.ensure_pod(lab.host, lab.spec(**options), other), apply=True)


def test_no_pod_is_made_of_an_image_that_is_refused_only_to_be_stopped(lab: Stage0Lab) -> None:
    asks = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_ADMIN"]}}
    image = lab.base / "asks.aci"
    image.write_bytes(archive("asks", isolators=[asks]))
    with pytest.raises(Untrusted):
        made(lab, "stopped", app={"image": str(image)})
    assert lab.uuids() == set()
