# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which change of a running pod concerns some of its apps alone."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import plan
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.alone import (
    AppChanges,
    apps_between,
    changes_of_apps,
    impact_on_apps,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import (
    Difference,
    converge,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.status import PodStatus
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

NONE = RunSpec(networks=(NetworkRequest("none"),))
NET = RunSpec(networks=(NetworkRequest("default"),))
DATA = {"name": "data", "kind": "empty"}
HOST = {"name": "data", "kind": "host", "source": "/srv"}
AT = [{"volume": "data", "path": "/data"}]
HTTP = [{"name": "http", "protocol": "tcp", "port": 80}]
TRACE = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_PTRACE"]}}
POST = [{"name": "post-stop", "exec": ["/clean"]}]


def one(name: str, exec_: str = "/run", mounts: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": {"id": "sha512-" + "0" * 64},
        "mounts": list(mounts),
        "app": {"exec": [exec_], "user": "0", "group": "0", **more},
    }


def manifest(*apps: dict[str, Any], **more: Any) -> PodManifest:
    given = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": list(apps), **more}
    return PodManifest.from_json(given)


BOTH = manifest(one("web"), one("db"))


@pytest.mark.parametrize(
    ("before", "after", "gone", "come"),
    [
        pytest.param(BOTH, BOTH, "", "", id="the same"),
        pytest.param(BOTH, manifest(one("web", "/new"), one("db")), "web", "web", id="another program"),
        pytest.param(BOTH, manifest(one("web"), one("db"), one("log")), "", "log", id="one more"),
        pytest.param(BOTH, manifest(one("db")), "web", "", id="one less"),
        pytest.param(BOTH, manifest(one("db"), one("log")), "web", "log", id="one for another"),
        pytest.param(BOTH, manifest(one("db"), one("web")), "", "", id="in another order"),
        pytest.param(
            BOTH,
            manifest(one("web", mounts=AT), one("db"), volumes=[DATA]),
            "web",
            "web",
            id="with a volume of its own",
        ),
        pytest.param(
            manifest(one("web", mounts=AT), one("db"), volumes=[HOST]),
            manifest(one("web", mounts=AT), one("db"), volumes=[{**HOST, "source": "/other"}]),
            "web",
            "web",
            id="its volume is elsewhere",
        ),
        pytest.param(
            manifest(one("web", mounts=AT), one("db", mounts=AT), one("log"), volumes=[DATA]),
            manifest(one("web", mounts=AT), one("db"), one("log"), volumes=[DATA]),
            "db",
            "db",
            id="a shared volume, without one of its users",
        ),
    ],
)
def test_the_apps_that_make_the_difference(
    before: PodManifest, after: PodManifest, gone: str, come: str
) -> None:
    found = apps_between((before, NONE), (after, NONE), frozenset())
    assert found == AppChanges(tuple(gone.split()), tuple(come.split()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((BOTH, NONE), (BOTH, NONE.replace(hostname="other")), id="hostname"),
        pytest.param(
            (BOTH, NONE),
            (manifest(one("web"), one("db"), annotations=[{"name": "a", "value": "b"}]), NONE),
            id="annotations",
        ),
        pytest.param((BOTH, NONE), (manifest(one("web", "/a"), one("db", "/b")), NONE), id="all apps"),
        pytest.param((BOTH, NONE), (manifest(one("other")), NONE), id="no app stays"),
        pytest.param(
            (manifest(one("web", mounts=AT), one("db"), volumes=[DATA]), NONE),
            (manifest(one("web", mounts=AT), one("db"), volumes=[{**DATA, "mode": "0700"}]), NONE),
            id="an empty volume that is there",
        ),
        pytest.param(
            (manifest(one("web", ports=HTTP), one("db"), ports=[{"name": "http", "hostPort": 80}]), NET),
            (
                manifest(
                    one("web", ports=[{**HTTP[0], "port": 81}]),
                    one("db"),
                    ports=[{"name": "http", "hostPort": 80}],
                ),
                NET,
            ),
            id="where a port leads to",
        ),
        pytest.param(
            (BOTH, NONE),
            (
                manifest(
                    one("web", isolators=[{"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "9"}}]),
                    one("db"),
                ),
                NONE,
            ),
            id="sysctls",
        ),
    ],
)
def test_what_all_apps_share_concerns_the_pod(
    before: tuple[PodManifest, RunSpec], after: tuple[PodManifest, RunSpec]
) -> None:
    assert apps_between(before, after, frozenset()) is None


def test_an_app_on_another_tree_is_another_app() -> None:
    assert apps_between((BOTH, NONE), (BOTH, NONE), frozenset({"db"})) == AppChanges(("db",), ("db",))
    assert apps_between((BOTH, NONE), (BOTH, NONE), frozenset({"db", "web"})) is None


def test_a_difference_that_would_have_made_another_pod_replaces_an_app() -> None:
    drift = (Difference("a", 1, 2, "image", "recreate"), Difference("b", 1, 2, "playbook", "none"))
    assert [each.impact for each in impact_on_apps(drift)] == ["replace-app", "none"]


def running(lab: Stage0Lab, **options: Any) -> tuple[PodStatus, PodDir]:
    """A pod that runs, with two apps."""
    apps = [{"name": name, "image": f"{lab.store}/web.aci"} for name in ("web", "db")]
    converge(lab.host, plan.ensure_pod(lab.host, lab.spec(apps=apps, **options), "started"), apply=True)
    found = plan.find_named(lab.host, PodName("web"))
    assert found is not None
    return found, lab.paths.pod("run", found.uuid)


def joins(lab: Stage0Lab, found: PodStatus, app: dict[str, Any], **more: Any) -> bool:
    """Whether a pod of this plain app, and of another one as it has it, may run on."""
    assert found.manifest is not None
    assert found.runspec is not None
    document = found.manifest.to_json()
    plain: Any = document["apps"][0]  # type: ignore[index, call-overload]
    changed = {**plain, **{key: value for key, value in app.items() if key not in ("app", "name", "image")}}
    changed["app"] = {**plain["app"], **app["app"]}
    after = PodManifest.from_json({**document, "apps": [changed, document["apps"][1]], **more})  # type: ignore[index, call-overload]
    before = (found.manifest, found.runspec)
    return changes_of_apps(lab.host, found, before, (after, found.runspec), ()) is not None


def test_an_app_that_may_trace_joins_a_pod_that_reckons_with_it(lab: Stage0Lab) -> None:
    found, place = running(lab)
    tracer = one("web", isolators=[TRACE])
    assert joins(lab, found, one("web", "/new"))
    assert not joins(lab, found, tracer)
    pathlib.Path(place.traced).write_text("")
    assert joins(lab, found, tracer)


def test_a_post_stop_handler_needs_one_that_was_there(lab: Stage0Lab) -> None:
    found, _place = running(lab)
    assert not joins(lab, found, one("web", eventHandlers=POST))


def test_a_device_needs_to_be_one_of_the_pod(lab: Stage0Lab) -> None:
    found, _place = running(lab)
    for source, joined in (("/dev/zero", False), ("/tmp", True), ("/nowhere", True)):
        volumes = [{**HOST, "source": source}]
        assert joins(lab, found, one("web", mounts=AT), volumes=volumes) is joined, source


def test_a_pod_without_a_socket_for_orders_is_replaced(lab: Stage0Lab) -> None:
    found, place = running(lab)
    pathlib.Path(place.control).unlink()
    assert not joins(lab, found, one("web", "/new"))


def test_a_pod_that_does_not_run_is_replaced(lab: Stage0Lab) -> None:
    found, _place = running(lab)
    lab.stage1.end(found.uuid)
    ended = plan.find_named(lab.host, PodName("web"))
    assert ended is not None
    assert not joins(lab, ended, one("web", "/new"))
