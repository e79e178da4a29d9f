# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The same pod as YAML, as argv and as JSON documents is the same PodSpec, except defaults that differ on purpose."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import grammar
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import FlagSet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.podflags import RUN
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import GLOBAL
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import ImageKey
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.app import APP
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.documents import options_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.option import (
    RATES as RATES_KIND,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.option import (
    Option,
    Options,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.pod import FETCH, POD
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import AppSpec, PodSpec

ROWS = (*POD, *FETCH)
PROFILE = str(pathlib.Path(__file__).resolve().with_name("profile.json"))
VOLUME_NAMES = ["a", "data", "b-2"]
IMAGE = Image(
    ImageID("sha512-" + "ab" * 32),
    ImageManifest(
        ACIdentifier("example.com/web"),
        Labels.of(os="linux", arch="amd64"),
        App(("/bin/web",), "0", "0", ports=(Port(ACName("http"), "tcp", 80),)),
    ),
)

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)
WORD = st.text("abcXYZ09._-", min_size=1, max_size=6)
NAME = st.from_regex(r"[a-z0-9]([a-z0-9]{0,4}[a-z0-9])?", fullmatch=True)
PATH = st.lists(st.text("abc .%+é", min_size=1, max_size=4), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
ADDRESS = st.sampled_from(["10.0.0.1", "::1", "fd00::2"])
IDS = st.integers(0, 2**32 - 2)
CAPS = st.lists(st.sampled_from(["CAP_KILL", "CAP_SYS_ADMIN", "CAP_CHOWN"]), max_size=3)
PAIRS = st.dictionaries(st.sampled_from(["A", "b.c", "_d-e"]), TEXT, max_size=3)
ARGS = st.lists(TEXT.filter(lambda text: text != "---"), max_size=3)
POLICY = st.sampled_from(["refuse", "narrow", "accept"])
PIDS = st.sampled_from([-1, 1, 77, 1 << 22])
MOUNTS = st.lists(
    st.fixed_dictionaries(
        {"volume": st.sampled_from(VOLUME_NAMES), "target": PATH.filter(lambda p: p != "/")},
        optional={"read_only": st.booleans()},
    ),
    max_size=2,
)
RATES = st.dictionaries(
    st.sampled_from(["/dev/sda", "/dev/disk/by-id/a:b"]),
    st.sampled_from(["1", "500", "4294967294"]),
    max_size=2,
)
LIMITS = {
    "memory": st.sampled_from(["64Mi", "1.5G", "20000", "1e5"]),
    "memory_reservation": st.sampled_from(["20000", "8Ki"]),
    "cpu": st.sampled_from(["2", "750m", "0.1"]),
    "cpu_shares": st.integers(2, 262144),
    "network_bandwidth": st.sampled_from(["10M", "1Mi", "125000"]),
    "cpuset_cpus": st.sampled_from(["0", "0-2,4", "3,1,2"]),
    "cpuset_mems": st.sampled_from(["0", "0-1"]),
    "blkio_weight": st.integers(10, 1000),
    **{f"device_{way}_{what}": RATES for way in ("read", "write") for what in ("bps", "iops")},
    "pids_limit": PIDS,
}
# By name, for every option that a spec has.
OF_APP: dict[str, st.SearchStrategy[Any]] = {
    "name": NAME,
    "exec": PATH,
    "args": ARGS,
    "working_dir": PATH,
    "user": WORD,
    "group": WORD,
    "supplementary_gids": st.lists(IDS, min_size=1, max_size=3),
    "environment": PAIRS,
    "mounts": MOUNTS,
    "oom_score_adj": st.integers(-1000, 1000),
    **LIMITS,
    "tmpfs": st.lists(
        st.fixed_dictionaries(
            {"target": st.sampled_from(["/run", "/cache", "/run/lock"])},
            optional={
                "size": st.sampled_from(["16M", "4096", "1g"]),
                "mode": st.sampled_from(["0755", "700"]),
            },
        ),
        max_size=2,
        unique_by=lambda each: each["target"],
    ),
    "ulimits": st.dictionaries(
        st.sampled_from(["nofile", "nproc", "core"]),
        st.integers(-1, 2**63 - 1)
        | st.integers(0, 9).map(lambda soft: {"soft": soft, "hard": soft + 1})
        | st.just({"soft": 7, "hard": -1}),
        max_size=2,
    ),
    "caps_retain": CAPS,
    "caps_remove": CAPS,
    "seccomp": st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["retain", "remove"]),
            "syscalls": st.lists(st.sampled_from(["read", "write", "@rkt/default-whitelist"]), min_size=1),
        },
        optional={"errno": st.sampled_from(["EPERM", "ENOSYS"])},
    ),
    "seccomp_profile": st.just(PROFILE),
    "apparmor": st.sampled_from(["unconfined", "docker-default", "a//&b"]),
    "selinux": st.sampled_from(["u:r:t:s0", "system_u:system_r:container_t:s0:c1,c2"]),
    "no_new_privileges": st.booleans(),
    "privileged": st.booleans(),
    "image_isolators": POLICY,
    "readonly_rootfs": st.booleans(),
    "ports": st.lists(
        st.fixed_dictionaries(
            {"name": NAME, "port": st.integers(1, 65000)},
            optional={"protocol": st.sampled_from(["tcp", "udp", "sctp"]), "count": st.integers(1, 500)},
        ),
        max_size=2,
        unique_by=lambda port: port["name"],
    ),
    "stop_signal": st.sampled_from(["SIGQUIT", "int", "3", "RTMIN+3"]),
    "timezone": st.sampled_from(["local", "Europe/Berlin", "Etc/GMT+5"]),
    "sdnotify": st.booleans(),
    "restart": st.fixed_dictionaries(
        {"policy": st.sampled_from(["no", "on-failure", "always", "unless-stopped"])},
        optional={
            "max_retries": st.integers(0, 100),
            "backoff": st.sampled_from(["500ms", "1s"]),
            "max_backoff": st.sampled_from(["1m30s", "1h"]),
        },
    ),
    "pre_start": ARGS,
    "post_stop": ARGS,
    "user_annotations": PAIRS,
    "user_labels": PAIRS,
}
NOWHERE = Paths(local_config="/nowhere", system_config="/nowhere")
MAP = st.sampled_from([["none"], ["0:1000:1"], ["0:1000:5", "100:0:1"]])
VOLUME = {
    "named": {"volume": NAME, "map": MAP, "copy": st.booleans(), "owner": WORD, "group": WORD},
    "host": {
        "source": PATH.filter(lambda path: "," not in path),
        "recursive": st.booleans(),
        "map": MAP,
        "propagation": st.just("private"),
    },
    "empty": {"mode": st.sampled_from(["0755", "1777", "600"]), "uid": IDS, "gid": IDS},
    "image": {"image": st.sampled_from(["docker://quay.io/a/b:1", "example.com/a"])},
}
DNS = st.fixed_dictionaries(
    {},
    optional={
        "dns": st.lists(ADDRESS, max_size=2),
        "dns_search": st.lists(WORD, max_size=2),
        "dns_options": st.lists(WORD, max_size=2),
        "dns_domain": WORD,
    },
) | st.sampled_from([{"dns": ["host"]}, {"dns": ["none"]}])
HOSTS = st.fixed_dictionaries(
    {},
    optional={
        "hosts_entries": st.lists(
            st.fixed_dictionaries({"ip": ADDRESS, "names": st.lists(WORD, min_size=1, max_size=2)}),
            max_size=2,
            unique_by=lambda entry: entry["ip"],
        )
    },
) | st.just({"hosts_from_host": True})
OF_POD: dict[str, st.SearchStrategy[Any]] = {
    "name": WORD.filter(lambda word: word[0] not in "._-"),
    "mounts": MOUNTS,
    "ports": st.lists(
        st.fixed_dictionaries(
            {"name": st.just("http"), "host_port": st.integers(1, 65535)}, optional={"host_ip": ADDRESS}
        )
        | st.fixed_dictionaries(
            {"port": st.integers(81, 65000), "host_port": st.integers(1, 65000)},
            optional={
                "name": NAME,
                "host_ip": ADDRESS,
                "protocol": st.sampled_from(["tcp", "udp", "sctp"]),
                "count": st.integers(1, 9),
            },
        ),
        max_size=1,
    ),
    "environment": PAIRS,
    "env_file": st.dictionaries(st.sampled_from(["A", "F"]), WORD, max_size=2).map(
        lambda held: [{"content": f"# {name}\n\n{name}={text}"} for name, text in held.items()]
    ),
    "networks": st.lists(st.sampled_from(["default", "blue:B=1;A=2", "red"]), unique=True, max_size=2),
    "hostname": st.sampled_from(["web", "a.b", "my_host"]),
    "mds_register": st.booleans(),
    "ipc": st.sampled_from(["auto", "private", "parent"]),
    "uts": st.sampled_from(["private", "host"]),
    "image_isolators": POLICY,
    "private_users": st.booleans(),
    **LIMITS,
    "cpuset_cpus": st.just("0-8191"),  # all that an app may have
    "cpuset_mems": st.just("0-8191"),
    "sysctls": st.dictionaries(
        st.sampled_from(["kernel.domainname", "net.core.somaxconn"]),
        st.sampled_from(["7", "a b"]),
        max_size=2,
    ),
    "aliases": st.lists(st.sampled_from(["db", "db.example.com"]), unique=True),
    "shm_size": st.sampled_from(["64m", "4096"]),
    "pids_limit": st.just(78),  # not the default, which documents leave out: that depends on the apps
    "no_overlay": st.booleans(),
    "stop_timeout": st.integers(0, 1000),
    "exit_policy": st.sampled_from(["end-pod", "continue"]),
    "log": st.fixed_dictionaries(
        {}, optional={"max_size": st.sampled_from(["10m", "512k", "1"]), "max_files": st.integers(1, 1000)}
    ),
    "labels": PAIRS,
    "pull": st.sampled_from(["never", "new", "update"]),
    "insecure_options": st.lists(st.sampled_from(["image", "tls", "paths", "seccomp"]), unique=True),
}
ONE_BY_ONE = {
    "apps",
    "memory_swap",
    "volumes",
    "dns",
    "dns_search",
    "dns_options",
    "dns_domain",
    "hosts_entries",
    "hosts_from_host",
    "stage1_name",
    "stage1_hash",
    "stage1_path",
    "stage1_url",
    "stage1_from_dir",
}


def add_swap(draw: st.DrawFn, options: dict[str, Any]) -> None:
    """Give some that have a limit of memory one of swap, which requires it."""
    if "memory" in options and draw(st.booleans()):
        options["memory_swap"] = draw(st.sampled_from(["-1", "1.5G", "4Gi"]))


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    apps = draw(
        st.lists(
            st.fixed_dictionaries({"image": st.just("example.com/web")}, optional=OF_APP),
            min_size=1,
            max_size=2,
        )
    )
    for at, app in enumerate(apps):
        app.pop("caps_remove" if "caps_retain" in app else "", None)
        app.pop("privileged" if "caps_retain" in app or "caps_remove" in app else "", None)
        app.pop("seccomp" if "seccomp_profile" in app else "", None)
        if not (app.get("exec") or app.get("args")) and draw(st.booleans()):
            app["command"] = draw(st.lists(WORD, min_size=1, max_size=3))
        add_swap(draw, app)
        app["name"] = f"{app.get('name', 'app')}-{at}"
    volumes = []
    for name in VOLUME_NAMES:
        kind = draw(st.sampled_from(sorted(VOLUME)))
        required = {"name": st.just(name), "kind": st.just(kind)}
        of_kind = dict(VOLUME[kind])
        for member in {"volume", "source", "image"} & of_kind.keys():
            required[member] = of_kind.pop(member)
        read_only = {} if kind == "image" else {"read_only": st.booleans()}
        volumes.append(draw(st.fixed_dictionaries(required, optional={**of_kind, **read_only})))
    rest = draw(st.fixed_dictionaries({}, optional=OF_POD))
    if rest.get("hostname") or rest.get("private_users") or "kernel.domainname" in rest.get("sysctls", {}):
        rest.pop("uts", None)
    add_swap(draw, rest)
    return {**rest, **draw(DNS), **draw(HOSTS), "apps": apps, "volumes": volumes}


def test_every_option_of_a_spec_takes_part() -> None:
    assert OF_APP.keys() | {"image", "memory_swap", "command"} == {row.name for row in APP}
    into = {row.name for row in ROWS if row.into and not str(row.into).startswith("conduct")}
    assert OF_POD.keys() | ONE_BY_ONE == into


def spec_of(options: dict[str, Any]) -> PodSpec:
    return pod_spec(Options(options, "", ROWS))


# --- argv ---


def with_flags(options: dict[str, Any], rows: tuple[Option, ...]) -> dict[str, Any]:
    """The options that podctl has flags for. An empty mapping makes no flag."""
    known = {row.name: row for row in rows}
    found = {
        name: value
        for name, value in options.items()
        if (known[name].flag and value != {}) or name in ("image", "args")
    }
    for name in {"apps", "mounts"} & found.keys() | {"apps"} & options.keys():
        found[name] = [with_flags(each, known[name].options) for each in options[name]]
    # Ports that are given by their numbers have no flag.
    found["ports"] = [port for port in found.get("ports", []) if "port" not in port]
    return found if found["ports"] else {name: held for name, held in found.items() if name != "ports"}


def flags_of(options: dict[str, Any], rows: tuple[Option, ...]) -> Iterator[str]:
    for row in rows:
        if row.flag and row.name in options:
            for text in written(row, options[row.name]):
                yield f"--{row.flag.name}={text}"


def policy_of(value: Any) -> str:
    retries = f":{value['max_retries']}" if "max_retries" in value else ""
    rest = [f"{name.replace('_', '-')}={value[name]}" for name in ("backoff", "max_backoff") if name in value]
    return ",".join([value["policy"] + retries, *rest])


def written(row: Option, value: Any) -> list[str]:
    """The values of the flag of an option. A path is read as if it were the content of the file."""
    if row.name == "volumes":
        return [",".join([each["name"], *keyed(row, each, skipped="name")]) for each in value]
    if row.name == "mounts":
        return [",".join(keyed(row, each)).replace("%", "%25").replace("+", "%2B") for each in value]
    if row.name == "ports":
        return [
            ":".join(filter(None, (each["name"], each.get("host_ip"), str(each["host_port"]))))
            for each in value
        ]
    if row.name in LISTED:
        return LISTED[row.name](row, value)
    if row.kind is RATES_KIND:
        return list(map(":".join, value.items()))
    if isinstance(value, dict) or row.name == "env_file":
        return (
            [each["content"] for each in value]
            if isinstance(value, list)
            else list(map("=".join, value.items()))
        )
    return [",".join(map(str, value)) if isinstance(value, list) else plain(value)]


LISTED: dict[str, Callable[[Option, Any], list[str]]] = {
    "hosts_entries": lambda _row, value: [f"{each['ip']}={name}" for each in value for name in each["names"]],
    "hosts_from_host": lambda _row, value: ["host"] if value else [],
    "restart": lambda _row, value: [policy_of(value)],
    "seccomp": lambda row, value: [",".join([*keyed(row, value), *value["syscalls"]])],
    "tmpfs": lambda row, value: [
        f"{each['target']}:{','.join(keyed(row, each, skipped='target'))}" for each in value
    ],
}


def keyed(row: Option, held: dict[str, Any], skipped: str = "") -> list[str]:
    known = {each.name: each.flag.name for each in row.options if each.flag and each.name != skipped}
    return [f"{known[name]}={plain(value)}" for name, value in held.items() if name in known]


def plain(value: object) -> str:
    if isinstance(value, list):
        return "+".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def argv_of(pod: dict[str, Any]) -> list[str]:
    words = [*flags_of(pod, ROWS)]
    for app in pod["apps"]:
        words += [app["image"], *flags_of(app, APP), "--", *app.get("args", []), "---"]
    return words


@given(pods())
@settings(max_examples=100)
def test_argv_says_what_yaml_says(pod: dict[str, Any]) -> None:
    said = with_flags(pod, ROWS)
    words = FlagSet((*GLOBAL, *RUN)).parse_images(argv_of(said))
    assert grammar.pod_spec(words, grammar.CallerInputs((), str)) == spec_of(said)


# --- JSON ---


def written_out(app: AppSpec, spec: PodSpec) -> AppSpec:
    """An app with all that documents have: the members of the image, and those that the pod has for all apps."""
    image = IMAGE.manifest.app
    assert image
    paths = {mount.path for mount in app.mounts}
    return app.replace(
        image=ImageKey(IMAGE.id),
        exec=app.command[:1] or app.exec or image.exec,
        args=app.command[1:] or app.args,
        command=(),
        user=app.user or image.user,
        group=app.group or image.group,
        ports=app.ports or image.ports,
        supplementary_gids=app.supplementary_gids and tuple(sorted(app.supplementary_gids)),
        environment=tuple({**dict(spec.env_file), **dict(spec.set_env), **dict(app.environment)}.items()),
        mounts=(*app.mounts, *(mount for mount in spec.mounts if mount.path not in paths)),
        isolators=tuple(sorted(app.isolators, key=lambda isolator: isolator.name)),
        user_annotations=app.user_annotations or None,
        user_labels=app.user_labels or None,
        image_isolators="",
    )


def in_rows_order(app: AppSpec) -> AppSpec:
    return app.replace(isolators=tuple(sorted(app.isolators, key=lambda isolator: isolator.name)))


@given(pods())
@settings(max_examples=100)
def test_documents_say_what_yaml_says(pod: dict[str, Any]) -> None:
    for app in pod["apps"][1:]:
        app["ports"] = [{"name": "other", "port": 7}]  # only the first app has the port http
    pod["apps"][0].pop("ports", None)
    for mounting in (pod, *pod["apps"]):
        mounting["mounts"] = [
            {**mount, "target": f"/{at}{'p' if mounting is pod else ''}"}
            for at, mount in enumerate(mounting.get("mounts", []))
        ]
    spec = spec_of({"name": "web", **pod}).settled(NOWHERE)
    built = build_manifest(
        spec, (IMAGE,) * len(spec.apps), "/volumes/{}/data".format, lambda _image: "refuse"
    ).manifest
    manifest = PodManifest.from_json(json.loads(json.dumps(built.to_json())))
    runspec = RunSpec.from_json(json.loads(json.dumps(spec.run.to_json())))
    again = spec_of(options_of((manifest, runspec))).settled(NOWHERE)
    assert again.replace(apps=tuple(map(in_rows_order, again.apps))) == spec.replace(
        apps=tuple(written_out(app, spec) for app in spec.apps),
        mounts=(),
        set_env=(),
        env_file=(),
        image_isolators="",
        policy=FetchPolicy(),  # how images are fetched is no part of a pod
    )
