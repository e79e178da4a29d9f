# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the values of flags say: text in, appc's types out. Pure. Source: behaviours A10 to A19, C38, C39."""

from __future__ import annotations

import os
import re

from ..appc.app import check_environment, check_gids
from ..appc.isolators import Capabilities, CpuShares, Memory, OomScoreAdj, Pids, Seccomp
from ..appc.isolators import Cpu as CpuLimit
from ..appc.names import ACIdentifier, ACName
from ..appc.ports import ExposedPort, is_address
from ..appc.quantity import parse_bytes, parse_millis
from ..appc.volumes import EmptyVolume, HostVolume, parse_mode
from ..errors import InvalidSpec
from ..image.reference import unescape
from ..pod.runspec import IPC_MODES, Dns, HostsFile
from ..stage0.spec import NamedVolume, SpecMount
from .flags import is_text, parse_bool, parse_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..stage0.spec import Pairs, SpecVolume

_VOLUME_KEYS = {
    "host": ("name", "kind", "source", "readOnly", "recursive"),
    "empty": ("name", "kind", "readOnly", "mode", "uid", "gid"),
    "named": ("name", "kind", "readOnly", "volume"),
}


def parse_volume(text: str) -> SpecVolume:
    """--volume NAME,kind=host|empty|named,KEY=VALUE... Raises InvalidSpec with rkt's words."""
    try:
        return _volume(_pairs(f"name={text}".split(",")))
    except InvalidSpec as err:
        raise InvalidSpec(f'invalid value in --volume flag "{text}": {err.reason}', err.hint) from err


def _volume(found: dict[str, str]) -> SpecVolume:
    for key in found:
        if not any(key in keys for keys in _VOLUME_KEYS.values()):
            raise InvalidSpec(f'unknown volume parameter "{key}"')
    name, kind = ACName(found["name"]), found.get("kind", "")
    if kind not in _VOLUME_KEYS:
        raise InvalidSpec(
            'unrecognized volume type: should be one of "empty", "host", "named"',
            "add kind=host or kind=empty",
        )
    for key in found:
        if key not in _VOLUME_KEYS[kind]:
            raise InvalidSpec(f"{key} for {kind} volume must be empty")
    read_only = parse_bool(found["readOnly"]) if "readOnly" in found else None
    if kind == "named":
        return NamedVolume(name, ACName(found.get("volume", "")), read_only)
    if kind == "empty":
        uid, gid = (parse_whole(found.get(key, "0")) for key in ("uid", "gid"))
        return EmptyVolume(name, read_only, parse_mode(found.get("mode", "0755")), uid, gid)
    if not found.get("source"):
        raise InvalidSpec("source for host volume cannot be empty")
    if not os.path.isabs(found["source"]):
        raise InvalidSpec("source for host volume must be absolute path")
    recursive = parse_bool(found["recursive"]) if "recursive" in found else None
    return HostVolume(name, found["source"], read_only, recursive)


def parse_mount(text: str) -> SpecMount:
    """--mount volume=NAME,target=PATH; values may hold URL escapes. Raises InvalidSpec with rkt's words."""
    found = {
        unescape(key.replace("+", " ")): unescape(value.replace("+", " "))
        for key, value in _pairs(text.split(","), loose=True).items()
    }
    for key in found:
        if key not in ("volume", "target"):
            raise InvalidSpec(f'unknown mount parameter "{key}"')
    if not found.get("target"):
        raise InvalidSpec("path must be set", "write volume=NAME,target=PATH")
    return SpecMount(ACName(found.get("volume", "")), found["target"])


def _pairs(items: Iterable[str], *, loose: bool = False) -> dict[str, str]:
    """Items KEY=VALUE as a dict. loose: one without "=" has an empty value, as in the query of a URL."""
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals and not loose:
            raise InvalidSpec(f'malformed string "{item}": not a key=value pair')
        if key in found:
            raise InvalidSpec(f"label {key} with multiple values")
        if key or value:
            found[key] = value
    return found


def parse_port(text: str) -> ExposedPort:
    """--port NAME:[HOSTIP:]HOSTPORT; an IPv6 address may stand in brackets. Raises InvalidSpec with rkt's words."""
    name, colon, rest = text.partition(":")
    address, _colon, number = rest.rpartition(":")
    if not colon:
        raise InvalidSpec(f'"{text}" is not in name:[ip:]port format')
    try:
        port_name = ACName(name)
    except InvalidSpec as err:
        raise InvalidSpec(f'"{name}" is not a valid port name', err.hint) from err
    if not re.fullmatch(r"[0-9]{1,5}", number) or not 1 <= int(number) <= 65535:
        raise InvalidSpec(f'"{number}" is not a valid port number')
    return ExposedPort(port_name, int(number), address.strip("[]") or None)


def parse_variable(text: str) -> tuple[str, str]:
    """KEY=VALUE of an environment. Raises InvalidSpec."""
    pair = parse_pair(text)
    check_environment((pair,), "")
    return pair


def parse_pair(text: str) -> tuple[str, str]:
    """KEY=VALUE. Raises InvalidSpec."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidSpec("must be specified as key=value")
    return key, value


def unique_variables(texts: Sequence[str]) -> Pairs:
    """Pairs of an environment in which every name comes once. Raises InvalidSpec."""
    found: dict[str, str] = {}
    for text in texts:
        key, value = parse_variable(text)
        if key in found:
            raise InvalidSpec(f'key "{key}" already set')
        found[key] = value
    return tuple(found.items())


def environment_file(text: str) -> list[str]:
    """The KEY=VALUE lines of a file of --set-env-file: blank lines and comments with # or ; are left out."""
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and line[0] not in "#;"]


def valid_variables(variables: Iterable[tuple[str, str]]) -> Pairs:
    """Those variables of a process that appc knows how to write: a shell's exported functions are none."""
    found = []
    for pair in variables:
        try:
            check_environment((pair,), "")
        except InvalidSpec:
            continue
        found.append(pair)
    return tuple(found)


def not_text(variables: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The names of those variables that are not UTF-8."""
    return tuple(name for name, value in variables if not is_text(name + value))


def parse_annotation(text: str) -> tuple[str, str]:
    """--annotation KEY=VALUE. Raises InvalidSpec with rkt's words."""
    try:
        key, value = parse_pair(text)
        return ACIdentifier(key), value
    except InvalidSpec as err:
        raise InvalidSpec("invalid format of --annotation flag", "write an identifier, = and a text") from err


def parse_gids(text: str) -> tuple[int, ...]:
    """--supplementary-gids 1,2. Raises InvalidSpec with rkt's words."""
    try:
        found = tuple(parse_whole(word) for word in text.split(","))
    except InvalidSpec as err:
        raise InvalidSpec("--supplementary-gids must be integers") from err
    check_gids(found, "")
    return found


def parse_memory(text: str) -> Memory:
    """--memory 128M. Raises InvalidSpec with rkt's words."""
    limit = parse_bytes(text)
    try:
        return Memory(limit)
    except InvalidSpec as err:
        if "too low" not in err.reason:
            raise
        raise InvalidSpec(f"{err.reason}. Try a reasonable value, such as --memory=16M") from err


def parse_cpu(text: str) -> CpuLimit:
    """--cpu 500m. Raises InvalidSpec."""
    return CpuLimit(parse_millis(text))


def parse_cpu_shares(text: str) -> CpuShares:
    """--cpu-shares 512. Raises InvalidSpec."""
    return CpuShares(parse_whole(text))


def parse_oom_score_adj(text: str) -> OomScoreAdj:
    """--oom-score-adj -500. Raises InvalidSpec."""
    return OomScoreAdj(parse_whole(text))


def parse_pids_limit(text: str) -> Pids:
    """--pids-limit 512. Raises InvalidSpec."""
    return Pids(parse_whole(text))


def parse_capabilities(mode: str, text: str) -> Capabilities:
    """--caps-retain and --caps-remove CAP_X,CAP_Y. Raises InvalidSpec."""
    return Capabilities(mode, tuple(sorted({word.strip() for word in text.split(",") if word.strip()})))


def parse_seccomp(text: str) -> Seccomp:
    """--seccomp mode=retain|remove[,errno=E],CALL... Raises InvalidSpec with rkt's words."""
    mode, errno, names = "", "", []
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if not equals:
            names.append(word)
        elif key == "mode":
            mode = value
        elif key == "errno":
            errno = value
        else:
            raise InvalidSpec("invalid seccomp command-line override", "its keys are mode and errno")
    if mode not in ("retain", "remove"):
        raise InvalidSpec("invalid seccomp mode command-line override", "add mode=retain or mode=remove")
    return Seccomp(mode, tuple(sorted(set(names))), errno)


def parse_working_dir(text: str) -> str:
    """--working-dir PATH. Raises InvalidSpec."""
    if not os.path.isabs(text):
        raise InvalidSpec(f'"{text}" is not an absolute path')
    return text


def parse_readonly_rootfs(text: str) -> bool:
    """--readonly-rootfs BOOL. Raises InvalidSpec with rkt's words."""
    try:
        return parse_bool(text)
    except InvalidSpec as err:
        raise InvalidSpec("--readonly-rootfs must be set with a boolean") from err


def parse_ipc(text: str) -> str:
    """--ipc auto|private|parent; an empty one is auto. Raises InvalidSpec with rkt's words."""
    if text and text not in IPC_MODES:
        raise InvalidSpec(f"unknown value for --ipc parameter: {text}", f"use one of {', '.join(IPC_MODES)}")
    return text or "auto"


def parse_dns(servers: Sequence[str], search: Sequence[str], options: Sequence[str], domain: str) -> Dns:
    """All flags of --dns together; each text may hold several values, joined by commas. Raises InvalidSpec."""
    addresses, more = _split(servers), (_split(search), _split(options), domain)
    for special in ("host", "none"):
        if special not in addresses:
            continue
        if len(addresses) > 1:
            raise InvalidSpec(f"no other --dns options allowed when --dns={special} is passed")
        if any(more):
            raise InvalidSpec(f"Cannot call --dns-opt, --dns-search, or --dns-domain with --dns={special}")
        return Dns(special)
    for address in addresses:
        if not is_address(address):
            raise InvalidSpec(f"Invalid IP passed to --dns: {address}")
    return Dns("custom", addresses, *more) if addresses or any(more) else Dns()


def parse_hosts_entries(texts: Sequence[str]) -> HostsFile:
    """All flags of --hosts-entry together. Raises InvalidSpec with rkt's words."""
    found: dict[str, tuple[str, ...]] = {}
    from_host = False
    for item in _split(texts):
        if item == "host":
            from_host = True
            continue
        address, equals, name = item.partition("=")
        if not equals or not name:
            raise InvalidSpec("Did not understand --hosts-entry", "write IP=NAME, or host")
        if not is_address(address):
            raise InvalidSpec(f"Invalid IP passed to --hosts-entry: {address}")
        found[address] = (*found.get(address, ()), name)
    if from_host and found:
        raise InvalidSpec("cannot pass --hosts-entry=host with multiple hosts-entries")
    if from_host:
        return HostsFile("host")
    return HostsFile("custom", tuple(found.items())) if found else HostsFile()


def _split(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.split(",") if word)
