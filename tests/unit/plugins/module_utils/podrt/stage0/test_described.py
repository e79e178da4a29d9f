# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Every option of pod_run, changed by itself, is one change, whose path is that option's path."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST, POD
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Difference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.compare import differences
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    SourceImage,
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec

KEY = b"k" * 32
BASE = App(
    ("/bin/web", "-v"),
    "0",
    "0",
    environment=(("PATH", "/bin"),),
    ports=(Port(ACName("http"), "tcp", 80), Port(ACName("https"), "tcp", 443)),
)
# What a pod is made with, and what becomes of it, is no part of the pod.
NO_PART = {
    "state",
    "update",
    "update.min_uptime",
    "wait",
    "wait_timeout",
    "tail",
    "pull",
    "data_dir",
    "config_dir",
    "runtime",
    "image_isolators",  # what comes of it is told of the options that could have asked for it
    "apps[0].image_isolators",
    "name",  # another name is another pod
}
VOLUMES = {
    "volumes": [{"name": "work"}, {"name": "more"}],
    "app": {"mounts": [{"volume": "work", "target": "/w"}]},
}
PORT = {"name": "web", "port": 80}
EXPOSED = {"name": "http", "host_port": 8080}
SECCOMP = {"mode": "retain", "syscalls": ["@docker/default-whitelist"]}
HOSTS = {"ip": "10.0.0.1", "names": ["db"]}


def app(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"app": before}, {"app": after}


def volume(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"volumes": [{"name": "work", **before}]}, {"volumes": [{"name": "work", **after}]}


def element(option: str, held: dict[str, Any], **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {option: [held]}, {option: [{**held, **changes}]}


# By the path of the option: the options before, and the changed ones.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "apps[1]": ({}, {"more": [{"image": "example.com/web", "name": "other"}]}),
    "apps[0].image": app({}, {"image": "example.com/other", "name": "web"}),
    "apps[0].name": app({}, {"name": "front"}),
    "apps[0].exec": app({}, {"exec": "/bin/other"}),
    "apps[0].args": app({"args": ["a b"]}, {"args": ["a", "b"]}),
    "apps[0].working_dir": app({}, {"working_dir": "/srv"}),
    "apps[0].user": app({}, {"user": "7"}),
    "apps[0].group": app({"group": "7"}, {"group": "8"}),
    "apps[0].supplementary_gids": app({}, {"supplementary_gids": [1, 2]}),
    "apps[0].environment.LEVEL": app({"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}),
    "apps[0].mounts[1]": (
        VOLUMES,
        {**VOLUMES, "app": {"mounts": [*VOLUMES["app"]["mounts"], {"volume": "more", "target": "/m"}]}},  # type: ignore[call-overload]
    ),
    "apps[0].mounts[0].volume": (
        VOLUMES,
        {**VOLUMES, "app": {"mounts": [{"volume": "more", "target": "/w"}]}},
    ),
    "apps[0].mounts[0].target": (
        VOLUMES,
        {**VOLUMES, "app": {"mounts": [{"volume": "work", "target": "/x"}]}},
    ),
    "apps[0].memory": app({"memory": "64M"}, {"memory": "128M"}),
    "apps[0].cpu": app({}, {"cpu": "750m"}),
    "apps[0].cpu_shares": app({}, {"cpu_shares": 512}),
    "apps[0].oom_score_adj": app({"oom_score_adj": 5}, {}),
    "apps[0].pids_limit": app({}, {"pids_limit": 7}),
    "apps[0].caps_retain": app({}, {"caps_retain": ["CAP_KILL"]}),
    "apps[0].caps_remove": app({"caps_remove": ["CAP_KILL"]}, {"caps_remove": ["CAP_MKNOD"]}),
    "apps[0].seccomp": app({}, {"seccomp": SECCOMP}),
    "apps[0].seccomp.mode": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "mode": "remove"}}),
    "apps[0].seccomp.syscalls": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "syscalls": ["read"]}}),
    "apps[0].seccomp.errno": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "errno": "EPERM"}}),
    "apps[0].no_new_privileges": app({}, {"no_new_privileges": True}),
    "apps[0].readonly_rootfs": app({}, {"readonly_rootfs": True}),
    "apps[0].ports[1]": app({"ports": [PORT]}, {"ports": [PORT, {"name": "admin", "port": 81}]}),
    "apps[0].ports[0].name": app({"ports": [PORT]}, {"ports": [{**PORT, "name": "front"}]}),
    "apps[0].ports[0].port": app({"ports": [PORT]}, {"ports": [{**PORT, "port": 81}]}),
    "apps[0].ports[0].protocol": app({"ports": [PORT]}, {"ports": [{**PORT, "protocol": "udp"}]}),
    "apps[0].ports[0].count": app({"ports": [PORT]}, {"ports": [{**PORT, "count": 2}]}),
    "apps[0].pre_start": app({}, {"pre_start": ["/bin/a"]}),
    "apps[0].post_stop": app({"post_stop": ["/bin/a"]}, {"post_stop": ["/bin/b"]}),
    "apps[0].user_annotations.a.b": app({}, {"user_annotations": {"a.b": "c"}}),
    "apps[0].user_labels.a": app({"user_labels": {"a": "c"}}, {"user_labels": {"a": "d"}}),
    "volumes[0]": ({}, {"volumes": [{"name": "work"}]}),
    "volumes[0].name": ({"volumes": [{"name": "work"}]}, {"volumes": [{"name": "more"}]}),
    "volumes[0].kind": volume({}, {"kind": "host", "source": "/srv"}),
    "volumes[0].volume": volume({"volume": "one"}, {"volume": "two"}),
    "volumes[0].source": volume({"source": "/a"}, {"source": "/b"}),
    "volumes[0].read_only": volume({}, {"read_only": True}),
    "volumes[0].recursive": volume({"source": "/a"}, {"source": "/a", "recursive": False}),
    "volumes[0].mode": volume({}, {"mode": "0700"}),
    "volumes[0].uid": volume({}, {"uid": 7}),
    "volumes[0].gid": volume({"gid": 7}, {"gid": 8}),
    "mounts[0]": (VOLUMES, {**VOLUMES, "mounts": [{"volume": "more", "target": "/m"}]}),
    "mounts[0].volume": tuple(  # type: ignore[dict-item]
        {**VOLUMES, "mounts": [{"volume": name, "target": "/m"}]} for name in ("work", "more")
    ),
    "mounts[0].target": tuple(  # type: ignore[dict-item]
        {**VOLUMES, "mounts": [{"volume": "work", "target": path}]} for path in ("/m", "/n")
    ),
    "ports[1]": ({"ports": [EXPOSED]}, {"ports": [EXPOSED, {**EXPOSED, "host_port": 8081}]}),
    "ports[0].name": element("ports", EXPOSED, name="https"),
    "ports[0].host_port": element("ports", EXPOSED, host_port=8081),
    "ports[0].host_ip": element("ports", EXPOSED, host_ip="127.0.0.1"),
    "environment.LEVEL": ({"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}),
    "networks[0]": ({"networks": ["default"]}, {"networks": ["default:IP=172.16.28.9"]}),
    "networks[1]": ({"networks": ["default"]}, {"networks": ["default", "other"]}),
    "hostname": ({}, {"hostname": "front"}),
    "dns": ({"dns": ["8.8.8.8"]}, {"dns": ["9.9.9.9"]}),
    "dns_search": ({}, {"dns_search": ["example.com"]}),
    "dns_options": ({}, {"dns_options": ["ndots:2"]}),
    "dns_domain": ({"dns": ["8.8.8.8"]}, {"dns": ["8.8.8.8"], "dns_domain": "example.com"}),
    "hosts_entries[0]": ({}, {"hosts_entries": [HOSTS]}),
    "hosts_entries[0].ip": element("hosts_entries", HOSTS, ip="10.0.0.2"),
    "hosts_entries[0].names": element("hosts_entries", HOSTS, names=["db", "base"]),
    "hosts_from_host": ({}, {"hosts_from_host": True}),
    "ipc": ({}, {"ipc": "parent"}),
    "pids_limit": ({}, {"pids_limit": 77}),
    "no_overlay": ({}, {"no_overlay": True}),
    "stop_timeout": ({}, {"stop_timeout": 7}),
    "log.max_size": ({}, {"log": {"max_size": "1Mi"}}),
    "log.max_files": ({"log": {"max_files": 4}}, {"log": {"max_files": 5}}),
    "labels.a": ({"labels": {"a": "b"}}, {"labels": {"a": "c"}}),
    "insecure_options": ({}, {"insecure_options": ["paths"]}),
}


def found(before: dict[str, Any], after: dict[str, Any], count: int = 1) -> list[Difference]:
    """The differences between the pods of two descriptions. app: of the first app; more: further ones."""
    made = []
    for changes in (before, after):
        given = copy.deepcopy(changes)
        first = {"image": "example.com/web", **given.pop("app", {})}
        apps = [first, *given.pop("more", [{**first, "name": f"app-{at}"} for at in range(1, count)])]
        spec = pod_spec(Fields({"name": "web", "apps": apps, **given}, ""))
        images = [image(str(app.image).rpartition(":")[2] or str(app.image)) for app in spec.apps]
        built = build_manifest(spec, images, "/volumes/{}/data".format, lambda: "refuse")
        made.append((spec, (built.manifest, spec.run)))
    return list(differences(made[0][1], made[1][1], KEY, made[1][0]))


def image(name: str) -> SourceImage:
    labels = Labels.of(os="linux", arch="amd64", version="1")
    id_ = ImageID("sha512-" + ("cd" if "other" in name else "ab") * 32)
    return SourceImage(id_, ImageManifest(ACIdentifier("example.com/web"), labels, BASE))


def options(spec: dict[str, Any], within: str = "") -> Iterator[str]:
    """The path of every option, elements of lists of dictionaries as the first one."""
    for name, rule in spec.items():
        path = f"{within}{name}"
        if path != "apps":
            yield path
        if "options" in rule:
            yield from options(rule["options"], f"{path}[0]." if rule["type"] == "list" else f"{path}.")


def test_every_option_has_a_case_or_is_no_part_of_a_pod() -> None:
    """An option without one, such as a new one, fails here."""
    for option in options({**POD, **FETCH, **HOST}):
        cases = [path for path in CASES if path == option or path.startswith((f"{option}.", f"{option}["))]
        assert bool(cases) != (option in NO_PART), option


@pytest.mark.finding("use-N13")
@pytest.mark.parametrize("path", CASES)
def test_an_option_that_is_changed_is_one_change_of_its_path(path: str) -> None:
    before, after = CASES[path]
    assert [difference.path for difference in found(before, after)] == [path]


@pytest.mark.finding("use-N13")
@pytest.mark.parametrize("path", CASES)
def test_what_is_changed_back_is_a_change_of_the_same_option(path: str) -> None:
    """What the description no longer has goes by its name."""
    before, after = CASES[path]
    (difference,) = found(after, before)
    gone = {
        "apps[1]": "apps.other",
        "apps[0].mounts[1]": "apps[0].mounts./m",
        "apps[0].ports[1]": "apps[0].ports.admin",
        "volumes[0]": "volumes.work",
        "mounts[0]": "apps[0].mounts./m",
        "ports[1]": "ports.http",
        "networks[1]": "networks.other",
    }
    assert difference.path == gone.get(path, path)
    (forth,) = found(before, after)
    assert (difference.before, difference.after) == (forth.after, forth.before)


def test_what_all_apps_share_is_one_change() -> None:
    shared = {"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}
    assert [difference.path for difference in found(*shared, count=3)] == ["environment.LEVEL"]
    assert [difference.path for difference in found(shared[0], {}, count=3)] == ["environment.LEVEL"]
    (change,) = found({}, {**VOLUMES, "app": {}, "mounts": [{"volume": "more", "target": "/m"}]}, count=3)[:1]
    assert change.path == "mounts[0]"
