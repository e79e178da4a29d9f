# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""From the words of `run` to a PodSpec: what each flag sets, and which combinations are refused."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Capabilities,
    CpuShares,
    Memory,
    OomScoreAdj,
    Pids,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import Mount
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import FlagSet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.grammar import (
    CallerInputs,
    pod_spec,
    run_spec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.podflags import (
    PREPARE,
    RUN,
    RUN_PREPARED,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import GLOBAL
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    Dns,
    HostsFile,
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options import reading
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import (
    AppSpec,
    PodSpec,
)

FILES = {"/env": "# c\nFILE=1\n", "/twice": "A=1\nA=2\n"}
AROUND = CallerInputs((("CALLER", "x"), ("BAD%%", "y")), FILES.__getitem__)


def spec_of(*words: str) -> PodSpec:
    return pod_spec(FlagSet((*GLOBAL, *RUN)).parse_images(words), AROUND)


def app_of(*words: str) -> AppSpec:
    return spec_of("example.com/a", *words).apps[0]


def refusal(*words: str) -> str:
    with pytest.raises(PodError) as caught:
        spec_of(*words)
    return caught.value.message


def test_an_image_alone_is_a_pod() -> None:
    assert spec_of("example.com/a:1.0") == PodSpec(apps=(AppSpec(parse_reference("example.com/a:1.0")),))


@pytest.mark.behaviour("A11", "C2")
@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--exec=/bin/x y",), "exec", ("/bin/x y",)),
        (("--", "-a", "--net=x"), "args", ("-a", "--net=x")),
        (("--name=web",), "name", ACName("web")),
        (("--working-dir=/w",), "working_directory", "/w"),
        (("--user=u",), "user", "u"),
        (("--group=9",), "group", "9"),
        (("--supplementary-gids=1,2", "--supplementary-gids=3"), "supplementary_gids", (1, 2, 3)),
        (("--environment=A=1", "--environment=A=2"), "environment", (("A", "2"),)),
        (("--readonly-rootfs=true",), "read_only_root_fs", True),
        (("--annotation=a/b=c",), "annotations", (("a/b", "c"),)),
        (("--user-annotation=B=1", "--user-annotation=A=2"), "user_annotations", (("A", "2"), ("B", "1"))),
        (("--user-label=l=v",), "user_labels", (("l", "v"),)),
        (("--memory=128M",), "isolators", (Memory(128_000_000),)),
        (("--cpu-shares=300",), "isolators", (CpuShares(300),)),
        (("--oom-score-adj=5",), "isolators", (OomScoreAdj(5),)),
        (("--pids-limit=5",), "isolators", (Pids(5),)),
        (("--image-isolators=narrow",), "image_isolators", "narrow"),
        (("--oom-score-adjust=5",), "isolators", (OomScoreAdj(5),)),
        (("--cap-retain=CAP_KILL",), "isolators", (Capabilities("retain", ("CAP_KILL",)),)),
        (("--caps-remove=CAP_KILL",), "isolators", (Capabilities("remove", ("CAP_KILL",)),)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else None,
)
def test_a_flag_of_an_image(words: tuple[str, ...], field: str, value: object) -> None:
    assert app_of(*words) == AppSpec(parse_reference("example.com/a")).replace(**{field: value})


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--net=host",), "networks", (NetworkRequest("host"),)),
        (("--net",), "networks", (NetworkRequest("default"),)),
        (
            ("--net=a:IP=1.2.3.4", "--net=b"),
            "networks",
            (NetworkRequest("a", (("IP", "1.2.3.4"),)), NetworkRequest("b")),
        ),
        (("--hostname=h",), "hostname", "h"),
        (("--dns=1.1.1.1",), "dns", Dns("custom", ("1.1.1.1",))),
        (("--hosts-entry=host",), "hosts", HostsFile("host")),
        (("--ipc=parent",), "ipc", "parent"),
        (("--ipc=",), "ipc", "auto"),
        (("--no-overlay",), "overlay", False),
        (("--pod-name=web",), "name", "web"),
        (("--insecure-options=all-run",), "insecure", ("capabilities", "paths", "seccomp")),
        (("--insecure-options=paths,image",), "insecure", ("paths",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) and value and isinstance(value[0], str) else None,
)
def test_a_flag_of_the_pod(words: tuple[str, ...], field: str, value: object) -> None:
    assert spec_of(*words, "example.com/a").run == RunSpec().replace(**{field: value})


@pytest.mark.behaviour("C7", "A10")
def test_each_source_of_variables_has_its_place() -> None:
    spec = spec_of(
        "--inherit-env", "--set-env=S=1", "--set-env-file=/env", "example.com/a", "--environment=E=1"
    )
    assert (spec.inherited, spec.env_file, spec.set_env) == (
        (("CALLER", "x"),),
        (("FILE", "1"),),
        (("S", "1"),),
    )
    assert spec.apps[0].environment == (("E", "1"),)


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ((), FetchPolicy("new")),
        (("--pull-policy=update",), FetchPolicy("update")),
        (("--store-only",), FetchPolicy("never")),
        (("--no-store",), FetchPolicy("update")),
        (("--insecure-options=image,TLS,seccomp",), FetchPolicy("new", ("image", "tls"))),
        (("--insecure-options=image", "--insecure-options=http"), FetchPolicy("new", ("http",))),
    ],
)
def test_how_images_are_fetched(words: tuple[str, ...], policy: FetchPolicy) -> None:
    assert spec_of(*words, "example.com/a").policy == policy


@pytest.mark.behaviour("A13", "A14")
def test_a_mount_is_for_one_app_or_for_all() -> None:
    spec = spec_of(
        "--volume=v,kind=empty",
        "--mount=volume=v,target=/all",
        "example.com/a",
        "--mount=volume=v,target=/one",
    )
    assert spec.mounts == (Mount(ACName("v"), "/all"),)
    assert spec.apps[0].mounts == (Mount(ACName("v"), "/one"),)


@pytest.mark.behaviour("A10", "A14", "A19", "A20", "A21", "E1")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param((), "must provide at least one image or specify the pod manifest", id="no image"),
        pytest.param(
            ("--store-only", "--no-store", "a"),
            "both --store-only and --no-store specified",
            id="store flags",
        ),
        pytest.param(
            ("--net=none", "--port=p:80", "a"),
            "--port flag does not work with 'none' networking",
            id="port and none",
        ),
        pytest.param(
            ("--net=host", "--port=p:80", "a"),
            "--port flag does not work with 'host' networking",
            id="port and host",
        ),
        pytest.param(
            ("--net=none", "--mds-register", "a"),
            "--mds-register flag does not work with --net=none. Please use 'host', 'default' or an equivalent network",
            id="mds and none",
        ),
        pytest.param(
            ("--pod-manifest=f", "a"),
            "conflicting flags set with --pod-manifest (see --help)",
            id="manifest and image",
        ),
        pytest.param(
            ("--pod-manifest=f", "--inherit-env"),
            "conflicting flags set with --pod-manifest (see --help)",
            id="manifest and environment",
        ),
        pytest.param(
            ("--interactive", "a", "b"),
            "interactive option only supports one image",
            id="interactive and two",
        ),
        pytest.param(
            ("--mount=volume=v,target=/m", "a"),
            'dangling mount point "/m": volume "v" not found',
            id="dangling, all apps",
        ),
        pytest.param(
            ("a", "--mount=volume=v,target=/m"),
            'dangling mount point "/m": volume "v" not found',
            id="dangling, one app",
        ),
        pytest.param(
            ("--volume=v,kind=empty", "--volume=v,kind=empty", "a"),
            'duplicate volume name "v"',
            id="volume twice",
        ),
        pytest.param(("--set-env=A=1", "--set-env=A=2", "a"), 'key "A" already set', id="variable twice"),
        pytest.param(
            ("--set-env-file=/twice", "a"),
            'invalid environment file /twice: key "A" already set',
            id="file twice",
        ),
        pytest.param(
            ("a", "--caps-retain=CAP_KILL", "--caps-remove=CAP_KILL"),
            "error: cannot use both --caps-retain and --caps-remove on the same image",
            id="capabilities both ways",
        ),
        pytest.param(
            ("--insecure-options=imge", "a"),
            'invalid argument "imge" for "--insecure-options" flag: unknown option "imge"',
            id="unknown insecure option",
        ),
        pytest.param(
            ("--insecure-options=tls,TLS", "a"),
            'invalid argument "tls,TLS" for "--insecure-options" flag: duplicated option "tls"',
            id="insecure option twice",
        ),
        pytest.param(
            ("--stage1-path=/a", "--stage1-path=/b", "x"), "--stage1-path already used", id="stage1 twice"
        ),
        pytest.param(
            ("--stage1-path=/a", "--stage1-hash=b", "x"),
            "flags --stage1-path and --stage1-hash are mutually exclusive",
            id="two stage1",
        ),
        pytest.param(
            ("a", "--port=x"),
            'error parsing app image arguments: invalid argument "x" for "--port" flag: '
            '"x" is not in name:[ip:]port format',
            id="bad value behind an image",
        ),
        pytest.param(
            ("--net=a,a", "x"),
            'invalid argument "a,a" for "--net" flag: found duplicate netname "a"',
            id="net twice",
        ),
    ],
)
def test_what_excludes_each_other(words: tuple[str, ...], message: str) -> None:
    assert refusal(*words) == message


@pytest.mark.behaviour("A24")
@pytest.mark.parametrize(
    "flag", ["net", "dns", "hosts-entry", "hostname", "ipc", "mds-register", "interactive", "uuid-file-save"]
)
def test_prepare_lacks_the_flags_of_running(flag: str) -> None:
    assert flag not in [known.name for known in PREPARE]
    assert flag in [known.name for known in RUN]


@pytest.mark.behaviour("A25")
def test_run_prepared_changes_only_what_is_said() -> None:
    prepared = RunSpec(name="web", hostname="h", networks=(NetworkRequest("none"),))
    flags = FlagSet((*GLOBAL, *RUN_PREPARED))
    assert run_spec(flags.parse(("--debug", "U")).options, prepared) == prepared
    assert run_spec(flags.parse(("U", "--net=host")).options, prepared) == prepared.replace(
        networks=(NetworkRequest("host"),)
    )


def test_yaml_and_argv_describe_the_same_pod() -> None:
    options: dict[str, object] = {
        "name": "reduce",
        "apps": [
            {
                "image": "example.com/reduce-worker:1.0.0",
                "name": "worker",
                "exec": "/bin/worker",
                "args": ["--interval", "30s"],
                "memory": "128M",
                "cpu": "750m",
                "pids_limit": 50,
                "image_isolators": "accept",
                "user": "worker",
                "supplementary_gids": [7, 8],
                "environment": {"LEVEL": "debug"},
                "mounts": [{"volume": "work", "target": "/work"}],
                "caps_retain": ["CAP_KILL"],
                "seccomp": {"mode": "remove", "syscalls": ["mount"], "errno": "EPERM"},
                "user_labels": {"team": "a"},
            }
        ],
        "volumes": [{"name": "work", "kind": "host", "source": "/srv", "read_only": True}],
        "ports": [{"name": "http", "host_port": 8080, "host_ip": "127.0.0.1"}],
        "networks": ["front:IP=10.1.1.1"],
        "hostname": "h",
        "dns": ["1.1.1.1"],
        "dns_search": ["a.org"],
        "hosts_entries": [{"ip": "2.2.2.2", "names": ["b"]}],
        "ipc": "parent",
        "no_overlay": True,
        "pull": "update",
        "insecure_options": ["image", "seccomp"],
        "environment": {"ALL": "1"},
        "pids_limit": -1,
        "image_isolators": "narrow",
    }
    argv = (
        "--pod-name=reduce --volume=work,kind=host,source=/srv,readOnly=true --port=http:127.0.0.1:8080 "
        "--net=front:IP=10.1.1.1 --hostname=h --dns=1.1.1.1 --dns-search=a.org --hosts-entry=2.2.2.2=b --ipc=parent "
        "--pids-limit=-1 --image-isolators=narrow --no-overlay --pull-policy=update --set-env=ALL=1 "
        "--insecure-options=image,seccomp "
        "example.com/reduce-worker:1.0.0 --name=worker --exec=/bin/worker --memory=128M --cpu=750m --user=worker "
        "--pids-limit=50 --image-isolators=accept "
        "--supplementary-gids=7,8 --environment=LEVEL=debug --mount=volume=work,target=/work --caps-retain=CAP_KILL "
        "--seccomp=mode=remove,errno=EPERM,mount --user-label=team=a -- --interval 30s"
    )
    assert spec_of(*argv.split(" ")) == reading.pod_spec(Fields(options, ""))
