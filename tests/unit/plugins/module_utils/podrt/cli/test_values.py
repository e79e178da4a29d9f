# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The meaning of the values of flags, and the words for those that are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Capabilities,
    Cpu,
    Memory,
    Seccomp,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import ExposedPort
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    EmptyVolume,
    HostVolume,
    Mount,
    NamedVolume,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import values
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.flags import FlagSet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.grammar import (
    CallerInputs,
    pod_spec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.podflags import RUN
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import Dns, HostsFile, RunSpec

DATA = ACName("data")
FLAGS = {flag.name: flag for flag in RUN}


def judged(flag: str, text: str) -> object:
    """The parsed value of a flag; of a list the element."""
    parse = FLAGS[flag].parse
    assert parse
    found = parse(text)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


def run_of(*words: str) -> RunSpec:
    return pod_spec(FlagSet(RUN).parse_images((*words, "example.com/a")), CallerInputs((), str)).run


def message_of(parse: Callable[..., object], *texts: object) -> str:
    with pytest.raises(InvalidSpec) as caught:
        parse(*texts)
    return caught.value.reason


@pytest.mark.behaviour("A16", "A19")
@pytest.mark.parametrize(
    ("text", "volume"),
    [
        pytest.param("data,kind=host,source=/srv", HostVolume(DATA, "/srv"), id="host"),
        pytest.param(
            "data,kind=host,source=/a%2Cb,readOnly=true,recursive=0",
            HostVolume(DATA, "/a%2Cb", True, False),
            id="nothing is decoded",
        ),
        pytest.param("data,kind=empty", EmptyVolume(DATA), id="empty"),
        pytest.param(
            "data,kind=empty,mode=0123,uid=9991,gid=9992,readOnly=1",
            EmptyVolume(DATA, True, 0o123, 9991, 9992),
            id="empty with owner",
        ),
        pytest.param("data,kind=named,volume=work", NamedVolume(DATA, ACName("work")), id="ours: named"),
    ],
)
def test_volumes(text: str, volume: object) -> None:
    assert judged("volume", text) == volume


@pytest.mark.behaviour("A16", "A19")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data,readOnly", 'malformed string "readOnly": not a key=value pair'),
        ("data,kind=empty,kind=host", "label kind with multiple values"),
        ("data,kind=host,size=3", 'unknown volume parameter "size"'),
        ("data,kind=host", "source for host volume cannot be empty"),
        ("data,kind=host,source=srv", "source for host volume must be absolute path"),
        ("data,kind=host,source=/s,mode=0755", "mode for host volume must be empty"),
        ("data,kind=empty,source=/s", "source for empty volume must be empty"),
        ("data,kind=empty,uid=x", '"x" is not a whole number'),
        ("data,kind=tape", 'unrecognized volume type: should be one of "empty", "host", "image", "named"'),
        ("Data,kind=empty", '"Data" is not a valid name'),
    ],
)
def test_volumes_that_are_refused(text: str, reason: str) -> None:
    assert message_of(judged, "volume", text) == f'invalid value in --volume flag "{text}": {reason}'


@pytest.mark.behaviour("A16", "A17")
@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("volume=data,target=/mnt", "/mnt"),
        ("target=mnt,volume=data", "mnt"),
        ("volume=data,target=/a%2Cb+c", "/a,b c"),
    ],
)
def test_mounts_are_decoded(text: str, path: str) -> None:
    assert judged("mount", text) == Mount(DATA, path)


@pytest.mark.behaviour("A16", "A17")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("volume=data,path=/x", 'unknown mount parameter "path"'),
        ("volume=data,target=/x,target=/y", "label target with multiple values"),
        ("volume=data", "path must be set"),
        ("volume=data,target=/%zz", 'invalid URL escape in "/%zz"'),
        ("volume=data,target=/%ff", 'invalid URL escape in "/%ff"'),
    ],
)
def test_mounts_that_are_refused(text: str, reason: str) -> None:
    assert message_of(judged, "mount", text) == reason


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("http:8080", ExposedPort(ACName("http"), 8080)),
        ("http:127.0.0.1:8080", ExposedPort(ACName("http"), 8080, "127.0.0.1")),
        ("http:[::1]:8080", ExposedPort(ACName("http"), 8080, "::1")),
    ],
)
def test_ports(text: str, port: ExposedPort) -> None:
    assert judged("port", text) == port


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http", '"http" is not in name:[ip:]port format'),
        ("HTTP:80", '"HTTP" is not a valid port name'),
        ("http:65536", '"65536" is not a valid port number'),
        ("http:x", '"x" is not a valid port number'),
        ("http:1.2.3:80", '"1.2.3" is not an IP address'),
    ],
)
def test_ports_that_are_refused(text: str, reason: str) -> None:
    assert message_of(judged, "port", text) == reason


@pytest.mark.parametrize("text", ["http:65536", "http:x"])
def test_what_a_host_port_may_be_is_told(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        judged("port", text)
    assert caught.value.hint == "use 1 to 65535, or auto for one that the host chooses"


@pytest.mark.behaviour("A18")
def test_a_seccomp_filter_has_a_mode_an_errno_and_calls() -> None:
    assert judged("seccomp", "mode=retain,errno=EPERM,write,@docker/default-whitelist") == Seccomp(
        "retain", ("@docker/default-whitelist", "write"), "EPERM"
    )
    for text in ("mode=both,write", "write"):
        assert message_of(judged, "seccomp", text) == "invalid seccomp mode command-line override"
    assert message_of(judged, "seccomp", "mode=retain,x=y") == "invalid seccomp command-line override"


def test_isolators() -> None:
    assert judged("memory", "16M") == Memory(16_000_000)
    assert judged("cpu", "500m") == Cpu(500)
    assert judged("caps-retain", "CAP_KILL,CAP_CHOWN") == Capabilities("retain", ("CAP_CHOWN", "CAP_KILL"))


@pytest.mark.parametrize(
    ("flag", "text", "reason"),
    [
        (
            "memory",
            "4k",
            "memory limit of 4000 bytes too low. Try a reasonable value, such as --memory=16M",
        ),
        ("supplementary-gids", "1,x", "--supplementary-gids must be integers"),
        ("supplementary-gids", "\u00b2", "--supplementary-gids must be integers"),
        ("supplementary-gids", "9" * 5000, "--supplementary-gids must be integers"),
        ("supplementary-gids", "9" * 18, f"{'9' * 18} is not the number of a group"),
        ("memory", "9" * 5000, f'"{"9" * 5000}" is not a quantity'),
        ("oom-score-adj", "9" * 5000, f'"{"9" * 5000}" is not a whole number'),
        ("readonly-rootfs", "maybe", "--readonly-rootfs must be set with a boolean"),
        ("annotation", "A=b", "invalid format of --annotation flag"),
        ("annotation", "a", "invalid format of --annotation flag"),
        ("cpu-shares", "1", "1 is not between 2 and 262144"),
        ("oom-score-adj", "1001", "1001 is not between -1000 and 1000"),
        ("user-label", "k", "must be specified as key=value"),
        ("working-dir", "x", '"x" is not an absolute path'),
        ("pull-policy", "always", 'invalid pull policy "always"'),
        ("caps-retain", "CAP_FLY", 'unknown capability "CAP_FLY"'),
    ],
)
def test_values_that_are_refused(flag: str, text: str, reason: str) -> None:
    assert message_of(judged, flag, text) == reason


def test_what_is_no_variable_is_not_inherited() -> None:
    assert values.valid_variables((("A", "1"), ("BASH_FUNC_x%%", "() { :; }"))) == (("A", "1"),)


def test_variables_that_are_no_text_are_told_apart() -> None:
    assert values.not_text((("A", "1"), ("B", "\udcff"), ("C\udcff", "1"))) == ("B", "C\udcff")


@pytest.mark.behaviour("C39")
@pytest.mark.parametrize(
    ("servers", "search", "options", "domain", "dns"),
    [
        pytest.param((), (), (), "", Dns(), id="nothing"),
        pytest.param(("host",), (), (), "", Dns("host"), id="host"),
        pytest.param(("none",), (), (), "", Dns("none"), id="none"),
        pytest.param(
            ("8.8.8.8,::1", "1.1.1.1"), ("a.org",), ("debug",), "d.org",
            Dns("custom", ("8.8.8.8", "::1", "1.1.1.1"), ("a.org",), ("debug",), "d.org"),
            id="all",
        ),
        pytest.param((), ("a.org",), (), "", Dns("custom", (), ("a.org",)), id="search alone"),
    ],
)  # fmt: skip
def test_dns(
    servers: tuple[str, ...], search: tuple[str, ...], options: tuple[str, ...], domain: str, dns: Dns
) -> None:
    words = [f"--dns={text}" for text in servers] + [f"--dns-search={text}" for text in search]
    words += [f"--dns-opt={text}" for text in options] + ([f"--dns-domain={domain}"] if domain else [])
    assert run_of(*words).dns == dns


@pytest.mark.behaviour("C39")
@pytest.mark.parametrize(
    ("servers", "search", "reason"),
    [
        (("host", "1.1.1.1"), (), "no other --dns options allowed when --dns=host is passed"),
        (("none",), ("a",), "Cannot call --dns-opt, --dns-search, or --dns-domain with --dns=none"),
        (("one",), (), "Invalid IP passed to --dns: one"),
    ],
)
def test_dns_that_is_refused(servers: tuple[str, ...], search: tuple[str, ...], reason: str) -> None:
    words = [f"--dns={text}" for text in servers] + [f"--dns-search={text}" for text in search]
    assert message_of(run_of, *words) == reason


@pytest.mark.behaviour("C38")
def test_hosts_entries() -> None:
    assert run_of("--hosts-entry=1.1.1.1=a,2.2.2.2=b", "--hosts-entry=1.1.1.1=c").hosts == HostsFile(
        "custom", (("1.1.1.1", ("a", "c")), ("2.2.2.2", ("b",)))
    )
    assert run_of("--hosts-entry=host", "--hosts-entry=host").hosts == HostsFile("host")
    assert run_of("--hosts-entry=").hosts == HostsFile()


@pytest.mark.behaviour("C38")
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("host", "1.1.1.1=a"), "cannot pass --hosts-entry=host with multiple hosts-entries"),
        (("a",), "Did not understand --hosts-entry"),
        (("x=a",), "Invalid IP passed to --hosts-entry: x"),
    ],
)
def test_hosts_entries_that_are_refused(texts: tuple[str, ...], reason: str) -> None:
    assert message_of(run_of, *(f"--hosts-entry={text}" for text in texts)) == reason


def test_an_ipc_mode_that_there_is_not() -> None:
    assert message_of(run_of, "--ipc=shared") == "unknown value for --ipc parameter: shared"
