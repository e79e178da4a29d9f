# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a task to specs, and the options that are refused, each with its place and a hint."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.doc_fragments import _pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import NoNewPrivileges
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    LONGEST_NAME,
    ACIdentifier,
    ACName,
    ImageID,
    acname_from,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import MountPoint
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import (
    Fields,
    canonical_json,
    parse_json,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.parsers import (
    variables_of_files,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import (
    pod_spec,
    read_conduct,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import PodSpec

LONE = "\ud800"
CALLS = {"mode": "retain", "syscalls": ["read"]}
SLAVE = {"name": "d", "source": "/d", "propagation": "rslave"}


def options(**changes: Any) -> dict[str, Any]:
    """The options of a pod of one app; app={...} changes the app."""
    app = {"image": "example.com/web", **changes.pop("app", {})}
    return {"name": "web", "apps": [app], **changes}


def spec_of(**changes: Any) -> PodSpec:
    return pod_spec(Fields(options(**changes), ""))


def refusal(**changes: Any) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(**changes)
    return caught.value


@pytest.mark.finding("use-N9")
@pytest.mark.parametrize("keeps", [True, False])
def test_no_new_privileges_keeps_programs_from_gaining_privileges_when_it_is_true(keeps: bool) -> None:
    app = yaml.safe_load(_pod.ModuleDocFragment.DOCUMENTATION)["options"]["apps"]["suboptions"]
    assert app["no_new_privileges"]["description"][0].startswith(
        "Whether to keep programs of the app from gaining"
    )
    (found,) = spec_of(app={"no_new_privileges": keeps}).apps[0].isolators
    assert found == NoNewPrivileges(keeps)


# The values that YAML makes of 010, true, 1.10, 0644: their spelling is lost.
@pytest.mark.parametrize(
    ("changes", "where", "cure"),
    [
        ({"app": {"args": ["-p", 8]}}, "apps[0].args[1]", '- "..."'),
        ({"app": {"args": [True]}}, "apps[0].args[0]", '- "..."'),
        ({"app": {"pre_start": ["/bin/init", 1.1]}}, "apps[0].pre_start[1]", '- "..."'),
        ({"app": {"post_stop": ["/bin/end", 8]}}, "apps[0].post_stop[1]", '- "..."'),
        ({"app": {"environment": {"PORT": 80}}}, "apps[0].environment.PORT", 'PORT: "..."'),
        ({"app": {"user_labels": {"tier": 1}}}, "apps[0].user_labels.tier", 'tier: "..."'),
        ({"app": {"user_annotations": {"on": True}}}, "apps[0].user_annotations.on", 'on: "..."'),
        ({"environment": {"ON": True}}, "environment.ON", 'ON: "..."'),
        ({"labels": {"release": 1.1}}, "labels.release", 'release: "..."'),
        ({"volumes": [{"name": "d", "mode": 420}]}, "volumes[0].mode", 'mode: "..."'),
    ],
)
def test_a_number_that_should_be_text_is_refused_with_what_to_write(
    changes: dict[str, Any], where: str, cure: str
) -> None:
    found = refusal(**changes)
    assert found.where == where
    assert found.hint.startswith(f"quote the value: {cure}")


def test_a_wrong_value_of_a_variable_is_not_shown() -> None:
    assert "7712" not in str(refusal(environment={"PIN": 7712}))
    assert "7712" not in str(refusal(environment={"PIN": ["7712"]}))


@pytest.mark.parametrize("mode", ["0755", "755", "1777", "000"])
def test_modes_are_three_or_four_octal_digits(mode: str) -> None:
    (volume,) = spec_of(volumes=[{"name": "d", "mode": mode}]).volumes
    assert volume.to_json()["mode"] == f"{int(mode, 8):04o}"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "mode", ["0o755", "7_5_5", " +755 ", "", "7", "75", "07555", "0758", "\u0667\u0665\u0665", "755\n"]
)
def test_other_spellings_of_a_mode_are_refused(mode: str) -> None:
    found = refusal(volumes=[{"name": "d", "mode": mode}])
    assert (found.where, found.hint) == ("volumes[0].mode", 'write it as "0755"')


def test_one_number_is_both_limits_and_their_order_means_nothing() -> None:
    one = spec_of(app={"ulimits": {"nproc": -1, "nofile": 1024}})
    assert one == spec_of(app={"ulimits": {"nofile": {"soft": 1024, "hard": 1024}, "nproc": -1}})
    assert survives(one)


@pytest.mark.parametrize("nothing", [{}, {"nofile": None}])
def test_no_limits_are_none_at_all(nothing: dict[str, Any]) -> None:
    assert spec_of(app={"ulimits": nothing}) == spec_of()


@pytest.mark.parametrize("text", ["SIGQUIT", "quit", " Quit"])
def test_a_signal_is_the_same_in_any_spelling(text: str) -> None:
    assert spec_of(app={"stop_signal": text}) == spec_of(app={"stop_signal": "QUIT"})


NAME = "a" * (LONGEST_NAME + 1)
SENSELESS: list[tuple[dict[str, Any], str]] = [
    ({"name": NAME}, "name"),
    ({"app": {"name": NAME}}, "apps[0].name"),
    ({"volumes": [{"name": NAME}]}, "volumes[0].name"),
    ({"app": {"supplementary_gids": [0, 2**40]}}, "apps[0].supplementary_gids[1]"),
    ({"app": {"supplementary_gids": [-1]}}, "apps[0].supplementary_gids[0]"),
    ({"app": {"supplementary_gids": [2**32 - 1]}}, "apps[0].supplementary_gids[0]"),
    ({"app": {"args": ["a\0b"]}}, "apps[0].args[0]"),
    ({"app": {"exec": "/bin/\0"}}, "apps[0].exec"),
    ({"app": {"working_dir": "/\0"}}, "apps[0].working_dir"),
    ({"app": {"working_dir": "srv"}}, "apps[0].working_dir"),
    ({"app": {"user": "a\0"}}, "apps[0].user"),
    ({"app": {"environment": {"A": "\0"}}}, "apps[0].environment.A"),
    ({"app": {"user_labels": {"a\0": "x"}}}, "apps[0].user_labels"),
    ({"app": {"pre_start": ["/bin/a", "\0"]}}, "apps[0].pre_start[1]"),
    ({"labels": {"a": "\0"}}, "labels.a"),
    ({"app": {"image": f"example.com/{LONE}"}}, "apps[0].image"),
    ({"app": {"args": [LONE]}}, "apps[0].args[0]"),
    ({"app": {"environment": {"A": LONE}}}, "apps[0].environment.A"),
    ({"environment": {LONE: "x"}}, "environment"),
    ({"labels": {LONE: "x"}}, "labels"),
    ({"labels": {"a": LONE}}, "labels.a"),
    ({"hostname": LONE}, "hostname"),
    ({"name": LONE}, "name"),
    ({"app": {"caps_retain": ["CAP_KILL", "CAP_FLY"]}}, "apps[0].caps_retain[1]"),
    ({"app": {"caps_remove": ["CAP_FLY"]}}, "apps[0].caps_remove[0]"),
    ({"app": {"stop_signal": "SIGSTOP"}}, "apps[0].stop_signal"),
    ({"app": {"stop_signal": "now"}}, "apps[0].stop_signal"),
    ({"app": {"memory": str(2**63)}}, "apps[0].memory"),
    ({"app": {"memory": "512m"}}, "apps[0].memory"),
    ({"app": {"ulimits": {"files": 1}}}, "apps[0].ulimits.files"),
    ({"app": {"ulimits": {"nofile": "1"}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": True}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": -2}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": 2**63}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": {"soft": 2, "hard": 1}}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": {"soft": -1, "hard": 1}}}}, "apps[0].ulimits.nofile"),
    ({"app": {"ulimits": {"nofile": {"soft": 1}}}}, "apps[0].ulimits.nofile.hard"),
    ({"app": {"ulimits": {"nofile": {"soft": 1, "hard": 2, "most": 3}}}}, "apps[0].ulimits.nofile.most"),
    ({"app": {"mounts": [{"target": "/d"}]}}, "apps[0].mounts[0].volume"),
    ({"app": {"pids_limit": 0}}, "apps[0].pids_limit"),
    ({"app": {"pids_limit": -2}}, "apps[0].pids_limit"),
    ({"pids_limit": (1 << 22) + 1}, "pids_limit"),
    ({"image_isolators": "maybe"}, "image_isolators"),
    ({"app": {"image_isolators": "maybe"}}, "apps[0].image_isolators"),
    ({"app": {"memory": "9" * 5000}}, "apps[0].memory"),
    ({"app": {"memory": "1e" + "9" * 5000}}, "apps[0].memory"),
    ({"app": {"cpu": "100000000"}}, "apps[0].cpu"),
    ({"app": {"mounts": [{"volume": "d", "target": ""}]}, "volumes": [{"name": "d"}]}, "apps[0].mounts[0].target"),
    ({"mounts": [{"volume": "d", "target": ""}], "volumes": [{"name": "d"}]}, "mounts[0].target"),
    ({"hostname": "a" * 65}, "hostname"),
    ({"hostname": "a b"}, "hostname"),
    ({"hostname": "a\n"}, "hostname"),
    ({"hostname": "-a"}, "hostname"),
    ({"dns": ["10.0.0.1\n"]}, "dns[0]"),
    ({"dns": [""]}, "dns[0]"),
    ({"dns_search": ["example.com", "a\nb"]}, "dns_search[1]"),
    ({"dns_search": [""]}, "dns_search[0]"),
    ({"dns_options": ["ndots:5 debug"]}, "dns_options[0]"),
    ({"dns_domain": "a\nnameserver 10.0.0.1"}, "dns_domain"),
    ({"hosts_entries": [{"ip": "10.0.0.1", "names": ["db", "a\n10.0.0.2 b"]}]}, "hosts_entries[0].names[1]"),
    ({"hosts_entries": [{"ip": "10.0.0.1", "names": [""]}]}, "hosts_entries[0].names[0]"),
    ({"hosts_entries": [{"ip": "10.0.0.1", "names": []}]}, "hosts_entries[0].names"),
    ({"aliases": ["db", "a b"]}, "aliases[1]"),
    ({"aliases": ["a" * 81]}, "aliases[0]"),
    ({"aliases": ["LocalHost"]}, "aliases[0]"),
    ({"aliases": ["10.0.0.1"]}, "aliases[0]"),
    ({"aliases": ["db\n10.0.0.1 b"]}, "aliases[0]"),
    ({"aliases": ["-db"]}, "aliases[0]"),
    ({"aliases": [""]}, "aliases[0]"),
    ({"log": {"max_files": 0}}, "log.max_files"),
    ({"log": {"max_size": "0"}}, "log.max_size"),
    ({"log": {"max_size": "10E"}}, "log.max_size"),
    ({"log": {"max_size": "9999p"}}, "log.max_size"),
    ({"wait_timeout": -1}, "wait_timeout"),
    ({"wait_timeout": 2**70}, "wait_timeout"),
    ({"stop_timeout": -1}, "stop_timeout"),
    ({"stop_timeout": 2**70}, "stop_timeout"),
    ({"tail": -1}, "tail"),
    ({"networks": ["default:IP=1;IP=2"]}, "networks"),
    ({"uts": "pod"}, "uts"),
    ({"uts": "host", "hostname": "web"}, "uts"),
    ({"uts": "host", "sysctls": {"kernel.domainname": "x"}}, "sysctls.kernel.domainname"),
    ({"app": {"timezone": "../UTC"}}, "apps[0].timezone"),
    ({"app": {"timezone": "/etc/localtime"}}, "apps[0].timezone"),
    ({"app": {"timezone": "Europe/"}}, "apps[0].timezone"),
    ({"app": {"apparmor": "two words"}}, "apps[0].apparmor"),
    ({"app": {"apparmor": ""}}, "apps[0].apparmor"),
    ({"app": {"selinux": "container_t"}}, "apps[0].selinux"),
    ({"app": {"selinux": 7}}, "apps[0].selinux"),
    ({"app": {"selinux": {"type": "a b"}}}, "apps[0].selinux.type"),
    ({"app": {"selinux": "u:r::s0"}}, "apps[0].selinux"),
    ({"app": {"seccomp_profile": "profile.json"}}, "apps[0].seccomp_profile"),
    ({"app": {"privileged": True, "caps_retain": ["CAP_KILL"]}}, "apps[0].privileged"),
    ({"app": {"seccomp_profile": "/p", "seccomp": CALLS}}, "apps[0].seccomp_profile"),
    ({"volumes": [{"name": "d", "owner": "www", "uid": 7}]}, "volumes[0].owner"),
    ({"volumes": [{"name": "d", "group": "www", "gid": 7}]}, "volumes[0].group"),
    ({"volumes": [{"name": "d", "source": "/d", "owner": "www"}]}, "volumes[0].owner"),
    ({"volumes": [{"name": "d", "source": "/d", "copy": False}]}, "volumes[0].copy"),
    ({"volumes": [{"name": "d", "kind": "image"}]}, "volumes[0].image"),
    ({"volumes": [{"name": "d", "image": "docker://a", "read_only": False}]}, "volumes[0].read_only"),
    ({"volumes": [{"name": "d", "image": "docker://a", "mode": "0700"}]}, "volumes[0].mode"),
    ({"volumes": [{"name": "d", "source": "/d", "propagation": "rshared"}]}, "volumes[0].propagation"),
    ({"volumes": [{**SLAVE, "read_only": True}]}, "volumes[0].propagation"),
    ({"volumes": [{**SLAVE, "recursive": False}]}, "volumes[0].propagation"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "where"), SENSELESS, ids=[f"{where}-{n}" for n, (_c, where) in enumerate(SENSELESS)]
)
def test_what_makes_no_sense_is_refused_with_its_place_and_a_cure(
    changes: dict[str, Any], where: str
) -> None:
    found = refusal(**changes)
    assert found.where == where
    assert found.hint
    str(found).encode()  # it is shown to users


@pytest.mark.parametrize(
    "changes",
    [
        {"app": {"args": ["a\nb", ""], "environment": {"A": "two\nlines", "B": ""}}},
        {"app": {"supplementary_gids": [0, 2**32 - 2], "memory": str(2**63 - 1), "caps_retain": []}},
        {"name": "a" * LONGEST_NAME, "hostname": "a" * 64, "wait_timeout": 0, "stop_timeout": 0},
        {"hostname": "my_host.example.com", "dns_search": ["example.com"], "dns_options": ["ndots:5"]},
        {"log": {"max_files": 1, "max_size": "1"}, "labels": {"a.b/c": "\u00e9\n"}},
    ],
)
def test_what_is_at_the_edge_and_makes_sense_is_taken(changes: dict[str, Any]) -> None:
    assert survives(spec_of(**changes))


def test_a_name_that_is_derived_is_cut_and_stays_one_of_its_kind() -> None:
    one, two = acname_from("/a" * 300), acname_from("/a" * 299 + "/b")
    assert len(one) <= LONGEST_NAME
    assert one != two
    assert (one[:100], acname_from("Short_One")) == (two[:100], "short-one")


# --- documents: an accepted spec can be written, and is read back as the same ---

BASE = App(
    exec=("/bin/web",),
    user="0",
    group="0",
    mount_points=(MountPoint(ACName("data"), "/data"),),
    ports=(Port(ACName("http"), "tcp", 80),),
)
SOURCE = Image(
    ImageID("sha512-" + "ab" * 32),
    ImageManifest(ACIdentifier("example.com/web"), Labels.of(os="linux", arch="amd64"), BASE),
)


def survives(spec: PodSpec) -> bool:
    """Whether both documents of the pod are the same after a round trip over the disk."""
    run = parse_json(canonical_json(spec.run.to_json()), "runspec")
    built = build_manifest(
        spec, (SOURCE,) * len(spec.apps), "/volumes/{}/data".format, lambda _image: "refuse"
    ).manifest
    pod = parse_json(canonical_json(built.to_json()), "pod")
    return (RunSpec.from_json(run), PodManifest.from_json(pod)) == (spec.run, built)


def test_arguments_of_a_network_are_the_same_in_any_order() -> None:
    one, two = (spec_of(networks=[f"default:{args}"]) for args in ("IP=10.0.0.1;A=2", "A=2;IP=10.0.0.1"))
    assert one == two
    assert survives(one)


TEXT = st.text(max_size=8)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
ODD = st.sampled_from(
    ["", "B", "a" * 300, "x/../y", "host", "9" * 5000, "-1", "9E", "https://[/a.aci", "cimd:docker:v=0:%"]
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Usual values, and now and then any value."""
    return st.integers(0, 49).flatmap(lambda number: usual if number else ODD | JUNK)


def mapping(required: tuple[str, ...] = (), **members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    given_always = {name: mostly(members[name]) for name in required}
    others = {name: mostly(member) for name, member in members.items() if name not in required}
    return st.fixed_dictionaries(given_always, optional=others)


def some(element: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(mostly(element), min_size=least, max_size=2)


IDS = st.integers(0, 2**32 - 2)
NAMES = st.sampled_from(["a", "b-2", "data", "http", "tmp"])
PATHS = st.sampled_from(["/", "/data", "/srv/x", "/a/../b"])
ADDRESSES = st.sampled_from(["10.0.0.1", "::1", "fd00::2"])
SIZES = st.sampled_from(["64Mi", "1.5G", "20000", "1e5"])
WORDS = st.sampled_from(["example.com", "ndots:5", "db"])
PAIRS = st.dictionaries(
    st.sampled_from(["A", "b.c", "_d-e"]), mostly(TEXT.filter(lambda text: "\0" not in text)), max_size=3
)
ARGS = some(TEXT.filter(lambda text: "\0" not in text))
VOLUMES = st.just([{"name": "a"}, {"name": "data", "source": "/srv"}, {"name": "b-2", "volume": "b"}]) | some(
    mapping(
        ("name",),
        name=NAMES,
        mode=st.sampled_from(["0755", "1777"]),
        uid=IDS,
        gid=IDS,
        read_only=st.booleans(),
    )
)
MOUNTS = some(mapping(("volume", "target"), volume=st.sampled_from(["a", "data", "b-2"]), target=PATHS))
APPS = mapping(
    ("image",),
    image=st.sampled_from(["example.com/web", "docker://busybox", "/x.aci"]),
    name=NAMES,
    exec=PATHS,
    args=ARGS,
    working_dir=PATHS,
    user=st.sampled_from(["", "0", "www"]),
    supplementary_gids=some(IDS),
    environment=PAIRS,
    mounts=MOUNTS,
    memory=SIZES,
    cpu=st.sampled_from(["2", "750m", "0.1"]),
    cpu_shares=st.integers(2, 262144),
    oom_score_adj=st.integers(-1000, 1000),
    pids_limit=st.sampled_from([-1, 1, 2048, 1 << 22]),
    caps_retain=some(st.sampled_from(["CAP_KILL", "CAP_SYS_ADMIN"])),
    seccomp=st.fixed_dictionaries(
        {"mode": st.sampled_from(["retain", "remove"]), "syscalls": some(WORDS, 1)},
        optional={"errno": mostly(st.sampled_from(["EPERM", "ENOSYS"]))},
    ),
    no_new_privileges=st.booleans(),
    ports=some(mapping(("name", "port"), name=NAMES, port=st.integers(1, 65000), count=st.integers(1, 500))),
    pre_start=ARGS,
    post_stop=ARGS,
    user_labels=PAIRS,
    user_annotations=PAIRS,
)
PODS = mapping(
    ("name", "apps", "volumes"),
    name=NAMES,
    apps=st.lists(mostly(APPS), min_size=1, max_size=2),
    volumes=VOLUMES,
    mounts=MOUNTS,
    ports=some(
        mapping(
            ("name", "host_port"), name=st.just("http"), host_port=st.integers(1, 65535), host_ip=ADDRESSES
        )
    ),
    environment=PAIRS,
    networks=some(st.sampled_from(["default", "default:B=1;A=2", "blue"])),
    hostname=st.sampled_from(["web", "a.b"]),
    dns=some(ADDRESSES),
    dns_search=some(WORDS),
    dns_options=some(WORDS),
    dns_domain=WORDS,
    hosts_entries=some(mapping(("ip", "names"), ip=ADDRESSES, names=some(WORDS, 1))),
    hosts_from_host=st.just(False),
    ipc=st.sampled_from(["auto", "parent"]),
    no_overlay=st.booleans(),
    stop_timeout=st.integers(0, 1000),
    wait_timeout=st.integers(0, 1000),
    log=mapping(max_size=SIZES, max_files=st.integers(1, 9)),
    labels=PAIRS,
    pull=st.sampled_from(["new", "never"]),
    insecure_options=some(st.sampled_from(["image", "paths"])),
)


@given(PODS)
@example(options(app={"image": "http://[::1/x.aci"}))
@example(options(networks=["a:b=" + LONE]))
@example({"name": "a", "apps": None})
def test_any_options_are_a_spec_that_survives_or_an_error_with_a_sentence(found: Any) -> None:
    try:
        spec = pod_spec(Fields(found, ""))
        assert survives(spec)
    except PodError as err:
        assert err.message


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({}, 2.0), ({"update": None}, 2.0), ({"update": {}}, 2.0), ({"update": {"min_uptime": None}}, 2.0)]
    + [({"update": {"min_uptime": value}}, float(value)) for value in (0, 0.5, 30, 3600)],
)
def test_how_long_a_new_pod_must_stay_up(given: dict[str, Any], seconds: float) -> None:
    assert read_conduct(Fields(options(**given), "")).min_uptime == seconds
    assert spec_of(**given) == spec_of()


@pytest.mark.parametrize("value", [-1, 3601, float("nan"), float("inf"), "2", True, [2]])
def test_how_long_a_new_pod_cannot_have_to_stay_up(value: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_conduct(Fields(options(update={"min_uptime": value}), ""))
    assert caught.value.where == "update.min_uptime"


def test_a_file_of_variables_has_comments_and_blank_lines() -> None:
    text = "# c\n; d\n\n  A=1  \nB=2=x # no comment\n"
    assert variables_of_files([("/a", text), ("/b", "C=")]) == (
        ("A", "1"),
        ("B", "2=x # no comment"),
        ("C", ""),
    )


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("A=1\nA=canary", 'invalid environment file /f: key "A" already set', ""),
        ("\ncanary", "invalid environment file /f: must be specified as key=value", "it is line 2"),
        ("=canary", "invalid environment file /f: must be specified as key=value", "it is line 1"),
        ("1A=canary", 'invalid environment file /f: "1A" is not a valid name of a variable', "it is line 1"),
        ("A=canary\0", "invalid environment file /f: must not hold a NUL character", "it is line 1"),
    ],
)
def test_what_is_no_file_of_variables_is_refused_by_its_line_without_what_is_there(
    text: str, reason: str, hint: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        variables_of_files([("/f", text)], "env_file")
    assert (caught.value.reason, caught.value.where) == (reason, "env_file")
    assert hint in caught.value.hint
    assert "canary" not in caught.value.hint


def test_a_label_is_the_same_in_both_forms() -> None:
    text = spec_of(app={"selinux": "system_u:system_r:container_t:s0"})
    assert spec_of(app={"selinux": {"type": "container_t"}}) == text
    whole = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    assert spec_of(app={"selinux": whole}) == text
