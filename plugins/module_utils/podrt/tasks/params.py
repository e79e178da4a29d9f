# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a task to specs. Where an option is wrong, the error names it as the user wrote it."""

from __future__ import annotations

from ..appc.app import EventHandler, check_environment, check_gids
from ..appc.fields import Fields, checked_text
from ..appc.isolators import Capabilities, Cpu, CpuShares, Memory, NoNewPrivileges, OomScoreAdj, Pids, Seccomp
from ..appc.names import ACName
from ..appc.ports import ExposedPort, Port, is_address
from ..appc.quantity import parse_bytes, parse_millis, parse_size
from ..appc.volumes import EmptyVolume, HostVolume, parse_mode
from ..errors import InvalidSpec
from ..host.policy import check_policy
from ..image.fetch import FetchPolicy
from ..image.reference import parse_reference
from ..net.conf import parse_requests
from ..pod.names import PodName
from ..pod.runspec import (
    INSECURE,
    LONGEST_WAIT,
    STOP_TIMEOUT,
    Dns,
    HostsFile,
    LogPolicy,
    NetworkRequest,
    RunSpec,
    check_range,
)
from ..stage0.spec import AppSpec, NamedVolume, PodSpec, SpecMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.isolators import Isolator
    from ..stage0.spec import Pairs, SpecVolume


def pod_spec(options: Fields) -> PodSpec:
    """A pod from the options of pod_run. Raises InvalidSpec with the option's place."""
    check_range(options.integer("wait_timeout", 300), 0, LONGEST_WAIT, "wait_timeout")
    check_range(options.integer("tail", 20), 0, LONGEST_WAIT, "tail")
    apps = tuple(_app(Fields(*item)) for item in options.items("apps"))
    if not apps:
        raise InvalidSpec("a pod needs at least one app", 'write apps: [{image: "..."}]', where="apps")
    return PodSpec(
        apps=apps,
        volumes=tuple(_volume(Fields(*item)) for item in options.items("volumes")),
        mounts=_mounts(options),
        ports=tuple(_exposed_port(Fields(*item)) for item in options.items("ports")),
        set_env=environment(options, "environment"),
        run=_run_spec(options),
        policy=fetch_policy(options),
        user_labels=options.pairs("labels"),
        image_isolators=_image_isolators(options),
        isolators=_pids_limit(options),
    )


def fetch_policy(options: Fields) -> FetchPolicy:
    """What may be fetched, and what is let through unchecked."""
    insecure = tuple(option for option in options.strings("insecure_options") if option not in INSECURE)
    return FetchPolicy(pull=options.text("pull", "new"), insecure=insecure)


def environment(options: Fields, name: str) -> Pairs:
    """Variables. Raises InvalidSpec for a value that YAML has made a number or a boolean of: nothing is guessed."""
    value = options.raw(name)
    if value is None:
        return ()
    where = options.where_of(name)
    if not isinstance(value, dict):
        raise InvalidSpec("expected a dictionary of names and strings", 'write {NAME: "..."}', where=where)
    pairs = []
    for key, content in value.items():
        name = checked_text(key, where, "a name as")
        pairs.append((name, checked_text(content, f"{where}.{name}", f"{name}:", secret=True)))
    check_environment(tuple(pairs), where)
    return tuple(pairs)


def _app(options: Fields) -> AppSpec:
    name, exec_path = options.optional_text("name"), options.optional_text("exec")
    return AppSpec(
        image=parse_reference(options.text("image"), options.where_of("image"), relative=False),
        name=ACName(name, options.where_of("name")) if name else None,
        exec=(exec_path,) if exec_path else (),
        args=options.strings("args"),
        working_directory=_absolute(options, "working_dir"),
        user=options.text("user", ""),
        group=options.text("group", ""),
        supplementary_gids=_gids(options),
        environment=environment(options, "environment"),
        mounts=_mounts(options),
        isolators=_isolators(options),
        ports=tuple(_port(Fields(*item)) for item in options.items("ports")),
        event_handlers=_event_handlers(options),
        read_only_root_fs=options.boolean("readonly_rootfs", False),
        user_annotations=options.pairs("user_annotations") if options.has("user_annotations") else None,
        user_labels=options.pairs("user_labels") if options.has("user_labels") else None,
        image_isolators=_image_isolators(options),
    )


def _image_isolators(options: Fields) -> str:
    policy = options.text("image_isolators", "")
    return check_policy(policy, options.where_of("image_isolators")) if policy else ""


def _absolute(options: Fields, name: str) -> str:
    path = options.text(name, "")
    if path and not path.startswith("/"):
        raise InvalidSpec(
            f'"{path}" is not an absolute path', "begin it with /", where=options.where_of(name)
        )
    return path


def _gids(options: Fields) -> tuple[int, ...] | None:
    if not options.has("supplementary_gids"):
        return None
    gids = options.integers("supplementary_gids")
    check_gids(gids, options.where_of("supplementary_gids"))
    return gids


def _event_handlers(options: Fields) -> tuple[EventHandler, ...]:
    found = (("pre-start", options.strings("pre_start")), ("post-stop", options.strings("post_stop")))
    return tuple(EventHandler(event, argv) for event, argv in found if argv)


def _mounts(options: Fields) -> tuple[SpecMount, ...]:
    found = []
    for item in options.items("mounts"):
        mount = Fields(*item)
        target = mount.text("target")
        if not target:
            raise InvalidSpec("must not be empty", "name a path of the app", where=mount.where_of("target"))
        found.append(SpecMount(ACName(mount.text("volume"), mount.where_of("volume")), target))
    return tuple(found)


def _isolators(options: Fields) -> tuple[Isolator, ...]:
    found: list[Isolator] = []
    place = options.where_of
    try:
        if options.has("memory"):
            found.append(Memory(parse_bytes(options.text("memory"), "memory")))
        if options.has("cpu"):
            found.append(Cpu(parse_millis(options.text("cpu"), "cpu")))
        if options.has("cpu_shares"):
            found.append(CpuShares(options.integer("cpu_shares")))
        if options.has("oom_score_adj"):
            found.append(OomScoreAdj(options.integer("oom_score_adj")))
        found += _pids_limit(options)
        if options.has("no_new_privileges"):
            found.append(NoNewPrivileges(options.boolean("no_new_privileges")))
        found += _capabilities(options) + _seccomp(options)
    except InvalidSpec as err:
        if err.where.startswith(options.where):
            raise
        raise InvalidSpec(err.reason, err.hint, where=place(err.where)) from err
    return tuple(found)


def _pids_limit(options: Fields) -> tuple[Isolator, ...]:
    return (Pids(options.integer("pids_limit")),) if options.has("pids_limit") else ()


def _capabilities(options: Fields) -> list[Isolator]:
    if options.has("caps_retain") and options.has("caps_remove"):
        raise InvalidSpec(
            "cannot use both caps_retain and caps_remove on the same app",
            "name the whole set with caps_retain, or what to take from the default with caps_remove",
            where="caps_retain",
        )
    found: list[Isolator] = []
    for mode in ("retain", "remove"):
        if options.has(f"caps_{mode}"):
            names = options.strings(f"caps_{mode}")
            found.append(Capabilities(mode, tuple(sorted(set(names)))))
            _check_capabilities(names, options.where_of(f"caps_{mode}"))
    return found


def _check_capabilities(names: tuple[str, ...], where: str) -> None:
    """The first process of a pod refuses a name that no kernel has; here the option can be named."""
    from ..appc.capabilities import mask_of

    for index, name in enumerate(names):
        try:
            mask_of((name,))
        except InvalidSpec as err:
            raise InvalidSpec(err.reason, err.hint, where=f"{where}[{index}]") from err


def _seccomp(options: Fields) -> list[Isolator]:
    if not options.has("seccomp"):
        return []
    filters = Fields(options.raw("seccomp"), options.where_of("seccomp"))
    names = tuple(sorted(set(filters.strings("syscalls"))))
    return [Seccomp(filters.text("mode"), names, filters.text("errno", ""))]


def _port(options: Fields) -> Port:
    name = ACName(options.text("name"), options.where_of("name"))
    try:
        return Port(
            name, options.text("protocol", "tcp"), options.integer("port"), options.integer("count", 1)
        )
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where=options.where) from err


def _exposed_port(options: Fields) -> ExposedPort:
    name = ACName(options.text("name"), options.where_of("name"))
    try:
        return ExposedPort(name, options.integer("host_port"), options.optional_text("host_ip"))
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where=options.where) from err


def _volume(options: Fields) -> SpecVolume:
    name = ACName(options.text("name"), options.where_of("name"))
    kind = options.optional_text("kind") or _kind_of(options)
    read_only = options.optional_boolean("read_only")
    _refuse_aliens(options, kind)
    if kind == "named":
        return NamedVolume(name, ACName(options.text("volume"), options.where_of("volume")), read_only)
    if kind == "host":
        source = _absolute(options, "source")
        if not source:
            raise InvalidSpec(
                "a host volume needs a source", "name a path of the host", where=options.where_of("source")
            )
        return HostVolume(name, source, read_only, options.optional_boolean("recursive"))
    mode = parse_mode(options.text("mode", "0755"), options.where_of("mode"))
    try:
        return EmptyVolume(name, read_only, mode, options.integer("uid", 0), options.integer("gid", 0))
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where=options.where) from err


def _kind_of(options: Fields) -> str:
    if options.has("volume"):
        return "named"
    return "host" if options.has("source") else "empty"


# What docs of the option say. An app that cannot find its configuration or its database ends within it.
_MIN_UPTIME = 2.0
_LONGEST_UPTIME = 3600

_BELONGS = {
    "source": "host",
    "recursive": "host",
    "volume": "named",
    "mode": "empty",
    "uid": "empty",
    "gid": "empty",
}


def _refuse_aliens(options: Fields, kind: str) -> None:
    for option, owner in _BELONGS.items():
        if options.has(option) and owner != kind:
            raise InvalidSpec(
                f'only volumes of kind "{owner}" have it, and this one is "{kind}"',
                f"take it out, or set kind: {owner}",
                where=options.where_of(option),
            )


def min_uptime(options: Fields) -> float:
    """How many seconds a pod that replaces a running one must stay up. It is no part of the pod. Raises InvalidSpec."""
    update = Fields(options.raw("update") or {}, options.where_of("update"))
    value = update.raw("min_uptime")
    if value is None:
        return _MIN_UPTIME
    where = update.where_of("min_uptime")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidSpec("expected a number of seconds", where=where)
    if not 0 <= value <= _LONGEST_UPTIME:
        raise InvalidSpec(
            f"{value:g} is out of range", f"use 0, which asks for nothing, to {_LONGEST_UPTIME}", where=where
        )
    return float(value)


def _run_spec(options: Fields) -> RunSpec:
    log = Fields(options.raw("log") or {}, options.where_of("log"))
    default = LogPolicy()
    size = log.optional_text("max_size")
    return RunSpec(
        name=PodName(options.text("name"), "name"),
        networks=_networks(options),
        hostname=options.text("hostname", ""),
        dns=_dns(options),
        hosts=_hosts(options),
        ipc=options.text("ipc", "auto"),
        insecure=tuple(
            sorted(option for option in options.strings("insecure_options") if option in INSECURE)
        ),
        overlay=not options.boolean("no_overlay", False),
        stop_timeout=options.integer("stop_timeout", STOP_TIMEOUT),
        log=LogPolicy(
            parse_size(size, log.where_of("max_size")) if size else default.max_bytes,
            log.integer("max_files", default.max_files),
        ),
    )


def _networks(options: Fields) -> tuple[NetworkRequest, ...]:
    words = options.strings("networks")
    if not words:
        return (NetworkRequest("default"),)
    try:
        return tuple(_network(name, args) for name, args in parse_requests(",".join(words)))
    except InvalidSpec as err:
        raise InvalidSpec(err.reason, err.hint, where=options.where_of("networks")) from err


def _network(name: str, args: Pairs) -> NetworkRequest:
    """A network with its arguments in one order, since theirs means nothing and a document keeps none."""
    if len(dict(args)) < len(args):
        raise InvalidSpec(f'network "{name}" has an argument twice', "write arguments as K=V;K2=V2")
    return NetworkRequest(name, tuple(sorted(args)))


def _dns(options: Fields) -> Dns:
    servers = options.strings("dns")
    more = (options.strings("dns_search"), options.strings("dns_options"), options.text("dns_domain", ""))
    if len(servers) == 1 and servers[0] in ("host", "none"):
        if any(more):
            raise InvalidSpec(
                f"dns: [{servers[0]}] leaves no place for dns_search, dns_options and dns_domain",
                "take one or the other out",
                where="dns",
            )
        return Dns(servers[0])
    for index, server in enumerate(servers):
        if not is_address(server):
            raise InvalidSpec(
                f'"{server}" is not an IP address',
                'name servers are addresses; "host" or "none" stand alone',
                where=f"dns[{index}]",
            )
    if not servers and not any(more):
        return Dns()
    return Dns("custom", servers, *more)


def _hosts(options: Fields) -> HostsFile:
    found = []
    for item in options.items("hosts_entries"):
        entry = Fields(*item)
        if not is_address(entry.text("ip")):
            raise InvalidSpec(
                f'"{entry.text("ip")}" is not an IP address',
                "write it as 10.0.0.1 or fd00::1",
                where=entry.where_of("ip"),
            )
        found.append((entry.text("ip"), entry.strings("names")))
    if options.boolean("hosts_from_host", False):
        if found:
            raise InvalidSpec(
                "cannot be used together with hosts_from_host",
                "take one or the other out",
                where="hosts_entries",
            )
        return HostsFile("host")
    return HostsFile("custom", tuple(found)) if found else HostsFile()
