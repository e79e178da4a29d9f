# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A change of every option, for unit tests that compare pods and for a test on a machine."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.option import NONE, Option
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.pod import (
    FETCH,
    HOST,
    POD,
    impact_of,
)

Changes = dict[str, Any]
# Options that identify the pod, or say where and in which state it is; they change nothing in it.
STAGE1 = {"stage1_name", "stage1_hash", "stage1_path", "stage1_url", "stage1_from_dir"}
# A stage1 is what a plan finds by them, see test_stage1_images.
WHICH = {"restart_apps", "name", "state", "data_dir", "config_dir", "runtime", *STAGE1}
# The names of the two images.
IMAGE, OTHER = "IMAGE", "OTHER"
VOLUMES: Changes = {
    "volumes": [{"name": "work"}, {"name": "more"}],
    "app": {"mounts": [{"volume": "work", "target": "/w"}]},
}
PORT = {"name": "web", "port": 80}
EXPOSED = {"name": "http", "host_port": 8080}
NUMBERED = {"port": 53, "protocol": "udp", "host_port": 5353}
TMPFS = {"target": "/cache", "size": "16M", "mode": "0755"}
SECCOMP = {"mode": "retain", "syscalls": ["@docker/default-whitelist"]}
PROFILE = str(pathlib.Path(__file__).resolve().with_name("profile.json"))
HOSTS = {"ip": "10.0.0.1", "names": ["db"]}


def app(before: Changes, after: Changes) -> tuple[Changes, Changes]:
    return {"app": before}, {"app": after}


def volume(before: Changes, after: Changes) -> tuple[Changes, Changes]:
    return {"volumes": [{"name": "work", **before}]}, {"volumes": [{"name": "work", **after}]}


def element(option: str, held: Changes, **changes: Any) -> tuple[Changes, Changes]:
    return {option: [held]}, {option: [{**held, **changes}]}


def mounts(*held: tuple[str, str]) -> list[Changes]:
    return [{"volume": name, "target": target} for name, target in held]


# By the path of the option: the options before, and the changed ones. app: of the first app; more: further apps.
CASES: dict[str, tuple[Changes, Changes]] = {
    "apps[1]": ({}, {"more": [{"image": IMAGE, "name": "other"}]}),
    "apps[0].image": app({}, {"image": OTHER}),
    "apps[0].name": app({}, {"name": "front"}),
    "apps[0].exec": app({}, {"exec": "/bin/echo"}),
    "apps[0].args": app({"args": ["a b"]}, {"args": ["a", "b"]}),
    "apps[0].command": app(
        {"exec": "", "args": [], "command": ["/bin/sh", "a b"]},
        {"exec": "", "args": [], "command": ["/bin/sh", "a"]},
    ),
    "apps[0].working_dir": app({}, {"working_dir": "/data"}),
    "apps[0].user": app({}, {"user": "7"}),
    "apps[0].group": app({"group": "7"}, {"group": "8"}),
    "apps[0].supplementary_gids": app({}, {"supplementary_gids": [1, 2]}),
    "apps[0].environment.LEVEL": app({"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}),
    "apps[0].mounts[1]": (
        VOLUMES,
        {**VOLUMES, "app": {"mounts": mounts(("work", "/w"), ("more", "/m"))}},
    ),
    "apps[0].mounts[0].volume": (VOLUMES, {**VOLUMES, "app": {"mounts": mounts(("more", "/w"))}}),
    "apps[0].mounts[0].target": (VOLUMES, {**VOLUMES, "app": {"mounts": mounts(("work", "/x"))}}),
    "apps[0].mounts[0].read_only": (
        VOLUMES,
        {**VOLUMES, "app": {"mounts": [{"volume": "work", "target": "/w", "read_only": True}]}},
    ),
    "apps[0].memory": app({"memory": "64M"}, {"memory": "128M"}),
    "apps[0].cpu": app({}, {"cpu": "750m"}),
    "apps[0].cpu_shares": app({}, {"cpu_shares": 512}),
    "apps[0].memory_reservation": app({}, {"memory_reservation": "32M"}),
    "apps[0].cpuset_cpus": app({}, {"cpuset_cpus": "0"}),
    "apps[0].cpuset_mems": app({}, {"cpuset_mems": "0"}),
    "apps[0].network_bandwidth": app({}, {"network_bandwidth": "10M"}),
    "apps[0].blkio_weight": app({}, {"blkio_weight": 300}),
    "apps[0].memory_swap": app({"memory": "64M"}, {"memory": "64M", "memory_swap": "128M"}),
    "apps[0].device_read_bps./dev/vda": app(
        {"device_read_bps": {"/dev/vda": "1m"}}, {"device_read_bps": {"/dev/vda": "2m"}}
    ),
    "apps[0].device_write_bps./dev/vda": app(
        {"device_write_bps": {"/dev/vda": "1m"}}, {"device_write_bps": {"/dev/vda": 1234567}}
    ),
    "apps[0].device_read_iops./dev/vda": app(
        {"device_read_iops": {"/dev/vda": 10}}, {"device_read_iops": {"/dev/vda": 20}}
    ),
    "apps[0].device_write_iops./dev/vda": app(
        {"device_write_iops": {"/dev/vda": 10}}, {"device_write_iops": {"/dev/vda": "20"}}
    ),
    "apps[0].tmpfs[0]": app({}, {"tmpfs": [TMPFS]}),
    "apps[0].tmpfs[0].target": app({"tmpfs": [TMPFS]}, {"tmpfs": [{**TMPFS, "target": "/scratch"}]}),
    "apps[0].tmpfs[0].size": app({"tmpfs": [TMPFS]}, {"tmpfs": [{**TMPFS, "size": "32m"}]}),
    "apps[0].tmpfs[0].mode": app({"tmpfs": [TMPFS]}, {"tmpfs": [{**TMPFS, "mode": "0700"}]}),
    "apps[0].oom_score_adj": app({"oom_score_adj": 5}, {}),
    "apps[0].pids_limit": app({}, {"pids_limit": 7}),
    "apps[0].ulimits.nofile.hard": app(
        {"ulimits": {"nofile": {"soft": 64, "hard": 128}}}, {"ulimits": {"nofile": {"soft": 64, "hard": 256}}}
    ),
    "apps[0].caps_retain": app({}, {"caps_retain": ["CAP_KILL"]}),
    "apps[0].caps_remove": app({"caps_remove": ["CAP_KILL"]}, {"caps_remove": ["CAP_MKNOD"]}),
    "apps[0].seccomp": app({}, {"seccomp": SECCOMP}),
    "apps[0].seccomp.mode": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "mode": "remove"}}),
    "apps[0].seccomp.syscalls": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "syscalls": ["read"]}}),
    "apps[0].seccomp.errno": app({"seccomp": SECCOMP}, {"seccomp": {**SECCOMP, "errno": "EPERM"}}),
    "apps[0].seccomp_profile": app({}, {"seccomp_profile": PROFILE}),
    "apps[0].apparmor": app({}, {"apparmor": "unconfined"}),
    "apps[0].selinux": app({}, {"selinux": "system_u:system_r:container_t:s0"}),
    "apps[0].no_new_privileges": app({}, {"no_new_privileges": True}),
    "apps[0].privileged": app({}, {"privileged": True}),
    "apps[0].image_isolators": app({}, {"image_isolators": "narrow"}),
    "apps[0].readonly_rootfs": app({}, {"readonly_rootfs": True}),
    "apps[0].ports[1]": app({"ports": [PORT]}, {"ports": [PORT, {"name": "admin", "port": 81}]}),
    "apps[0].ports[0].name": app({"ports": [PORT]}, {"ports": [{**PORT, "name": "front"}]}),
    "apps[0].ports[0].port": app({"ports": [PORT]}, {"ports": [{**PORT, "port": 81}]}),
    "apps[0].ports[0].protocol": app({"ports": [PORT]}, {"ports": [{**PORT, "protocol": "udp"}]}),
    "apps[0].ports[0].count": app({"ports": [PORT]}, {"ports": [{**PORT, "count": 2}]}),
    "apps[0].pre_start": app({}, {"pre_start": ["/bin/true"]}),
    "apps[0].post_stop": app({"post_stop": ["/bin/true"]}, {"post_stop": ["/bin/echo"]}),
    "apps[0].stop_signal": app({"stop_signal": "quit"}, {"stop_signal": "SIGINT"}),
    "apps[0].timezone": app({}, {"timezone": "UTC"}),
    "apps[0].sdnotify": app({}, {"sdnotify": True}),
    "apps[0].restart.policy": app({"restart": {"policy": "always"}}, {"restart": {"policy": "on-failure"}}),
    "apps[0].restart.max_retries": app(
        {"restart": {"policy": "always"}}, {"restart": {"policy": "always", "max_retries": 3}}
    ),
    "apps[0].restart.backoff": app(
        {"restart": {"policy": "always"}}, {"restart": {"policy": "always", "backoff": "2s"}}
    ),
    "apps[0].restart.max_backoff": app(
        {"restart": {"policy": "always"}}, {"restart": {"policy": "always", "max_backoff": "2m"}}
    ),
    "apps[0].user_annotations.a.b": app({}, {"user_annotations": {"a.b": "c"}}),
    "apps[0].user_labels.a": app({"user_labels": {"a": "c"}}, {"user_labels": {"a": "d"}}),
    "volumes[0]": ({}, {"volumes": [{"name": "work"}]}),
    "volumes[0].name": ({"volumes": [{"name": "work"}]}, {"volumes": [{"name": "more"}]}),
    "volumes[0].kind": volume({}, {"kind": "host", "source": "/srv"}),
    "volumes[0].volume": volume({"volume": "one"}, {"volume": "two"}),
    "volumes[0].source": volume({"source": "/usr"}, {"source": "/bin"}),
    "volumes[0].read_only": volume({}, {"read_only": True}),
    "private_users": ({}, {"private_users": True}),
    "volumes[0].map": volume({"source": "/usr"}, {"source": "/usr", "map": ["0:5:1"]}),
    "volumes[0].recursive": volume({"source": "/usr"}, {"source": "/usr", "recursive": False}),
    "volumes[0].image": volume({"image": IMAGE}, {"image": OTHER}),
    "volumes[0].propagation": volume({"source": "/srv"}, {"source": "/srv", "propagation": "private"}),
    "volumes[0].copy": volume({"volume": "one"}, {"volume": "one", "copy": False}),
    "volumes[0].owner": volume({}, {"owner": "www"}),
    "volumes[0].group": volume({"group": "www"}, {"group": "7"}),
    "volumes[0].mode": volume({}, {"mode": "0700"}),
    "volumes[0].uid": volume({}, {"uid": 7}),
    "volumes[0].gid": volume({"gid": 7}, {"gid": 8}),
    "mounts[0]": (VOLUMES, {**VOLUMES, "mounts": mounts(("more", "/m"))}),
    "mounts[0].volume": (
        {**VOLUMES, "mounts": mounts(("work", "/m"))},
        {**VOLUMES, "mounts": mounts(("more", "/m"))},
    ),
    "mounts[0].target": (
        {**VOLUMES, "mounts": mounts(("work", "/m"))},
        {**VOLUMES, "mounts": mounts(("work", "/n"))},
    ),
    "mounts[0].read_only": (
        {**VOLUMES, "mounts": mounts(("work", "/m"))},
        {**VOLUMES, "mounts": [{"volume": "work", "target": "/m", "read_only": True}]},
    ),
    "ports[1]": ({"ports": [EXPOSED]}, {"ports": [EXPOSED, {**EXPOSED, "host_port": 8081}]}),
    "ports[0].name": element("ports", EXPOSED, name="https"),
    "ports[0].host_port": element("ports", EXPOSED, host_port=8081),
    "ports[0].host_ip": element("ports", EXPOSED, host_ip="127.0.0.1"),
    "ports[0].port": element("ports", NUMBERED, port=54),
    "ports[0].protocol": element("ports", NUMBERED, protocol="tcp"),
    "ports[0].count": element("ports", NUMBERED, count=3),
    "environment.LEVEL": ({"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}),
    "env_file.LEVEL": ({"env_file": [{"content": "LEVEL=a"}]}, {"env_file": [{"content": "LEVEL=b"}]}),
    "env_file_from": ({}, {"env_file_from": "host"}),
    "networks[0]": ({"networks": ["default"]}, {"networks": ["default:IP=172.16.28.9"]}),
    "networks[1]": ({"networks": ["default"]}, {"networks": ["default", "default-restricted"]}),
    "hostname": ({}, {"hostname": "front"}),
    "dns": ({"dns": ["8.8.8.8"]}, {"dns": ["9.9.9.9"]}),
    "aliases": ({}, {"aliases": ["db.example.com", "db2"]}),
    "dns_search": ({}, {"dns_search": ["example.com"]}),
    "dns_options": ({}, {"dns_options": ["ndots:2"]}),
    "dns_domain": ({"dns": ["8.8.8.8"]}, {"dns": ["8.8.8.8"], "dns_domain": "example.com"}),
    "hosts_entries[0]": ({}, {"hosts_entries": [HOSTS]}),
    "hosts_entries[0].ip": element("hosts_entries", HOSTS, ip="10.0.0.2"),
    "hosts_entries[0].names": element("hosts_entries", HOSTS, names=["db", "base"]),
    "hosts_from_host": ({}, {"hosts_from_host": True}),
    "mds_register": ({}, {"mds_register": True}),
    "ipc": ({}, {"ipc": "parent"}),
    "uts": ({}, {"uts": "host"}),
    "image_isolators": ({}, {"image_isolators": "narrow"}),
    "memory": ({}, {"memory": "256M"}),
    "cpu": ({"cpu": "2"}, {"cpu": "1500m"}),
    "cpu_shares": ({}, {"cpu_shares": 512}),
    "memory_reservation": ({}, {"memory_reservation": "32M"}),
    "cpuset_cpus": ({}, {"cpuset_cpus": "0"}),
    "cpuset_mems": ({}, {"cpuset_mems": "0"}),
    "network_bandwidth": ({"network_bandwidth": "1Mi"}, {"network_bandwidth": "10M"}),
    "blkio_weight": ({}, {"blkio_weight": 300}),
    "memory_swap": ({"memory": "64M"}, {"memory": "64M", "memory_swap": "128M"}),
    "device_read_bps./dev/vda": (
        {"device_read_bps": {"/dev/vda": "1m"}},
        {"device_read_bps": {"/dev/vda": "2m"}},
    ),
    "device_write_bps./dev/vda": (
        {"device_write_bps": {"/dev/vda": "1m"}},
        {"device_write_bps": {"/dev/vda": 1234567}},
    ),
    "device_read_iops./dev/vda": (
        {"device_read_iops": {"/dev/vda": 10}},
        {"device_read_iops": {"/dev/vda": 20}},
    ),
    "device_write_iops./dev/vda": (
        {"device_write_iops": {"/dev/vda": 10}},
        {"device_write_iops": {"/dev/vda": "20"}},
    ),
    "sysctls.net.core.somaxconn": (
        {"sysctls": {"net.core.somaxconn": 1024}},
        {"sysctls": {"net.core.somaxconn": "2048"}},
    ),
    "shm_size": ({}, {"shm_size": "32M"}),
    "pids_limit": ({}, {"pids_limit": 77}),
    "no_overlay": ({}, {"no_overlay": True}),
    "stop_timeout": ({}, {"stop_timeout": 7}),
    "exit_policy": ({}, {"exit_policy": "continue"}),
    "log.max_size": ({}, {"log": {"max_size": "1Mi"}}),
    "log.max_files": ({"log": {"max_files": 4}}, {"log": {"max_files": 5}}),
    "labels.a": ({"labels": {"a": "b"}}, {"labels": {"a": "c"}}),
    "update.min_uptime": ({}, {"update": {"min_uptime": 5}}),
    "wait": ({}, {"wait": True}),
    "wait_timeout": ({}, {"wait_timeout": 60}),
    "tail": ({}, {"tail": 5}),
    "pull": ({}, {"pull": "never"}),
    "insecure_options": ({}, {"insecure_options": ["paths"]}),
}
# An element that the description no longer has is named by its name.
GONE = {
    "apps[0].tmpfs[0]": "apps[0].tmpfs./cache",
    "apps[1]": "apps.other",
    "apps[0].mounts[1]": "apps[0].mounts./m",
    "apps[0].ports[1]": "apps[0].ports.admin",
    "volumes[0]": "volumes.work",
    "mounts[0]": "apps[0].mounts./m",
    "ports[1]": "ports.http",
    "networks[1]": "networks.default-restricted",
}


def given(changes: Changes, images: dict[str, str], count: int = 1) -> dict[str, Any]:
    """Changes as options of a pod. images: for IMAGE and OTHER. count: of equal apps."""
    said = copy.deepcopy(changes)
    first = {"image": IMAGE, "name": "web", **said.pop("app", {})}
    apps = [first, *said.pop("more", [{**first, "name": f"app-{at}"} for at in range(1, count)])]
    for held in said.get("volumes", []):
        held.update({"image": images[held["image"]]} if "image" in held else {})
    return {"name": "web", "apps": [{**one, "image": images[one["image"]]} for one in apps], **said}


def options(rows: Sequence[Option] = (*POD, *FETCH, *HOST), within: str = "") -> Iterator[tuple[str, Option]]:
    """The path of every option, elements of lists as the first one, except groups and short forms."""
    for row in rows:
        path = f"{within}{row.name}"
        if row.name not in ("apps", "update", "log", "short", "content"):
            yield path, row
        if row.options:
            yield from options(row.options, f"{path}[0]." if row.kind.type == "list" else f"{path}.")


def cases_of(option: str) -> list[str]:
    """The paths of the cases of an option."""
    return [path for path in CASES if path == option or path.startswith((f"{option}.", f"{option}["))]


def is_part(path: str) -> bool:
    """Whether the option of a case is part of the pod: a change of it is a change."""
    return impact_of(path) != NONE
