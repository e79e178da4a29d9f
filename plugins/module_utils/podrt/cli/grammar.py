# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of `run` and `prepare` to what is wanted. Pure: files and variables are handed in.

Source: behaviours A11 to A21.
"""

from __future__ import annotations

from ..appc.names import ACName
from ..errors import InvalidSpec, Unsupported
from ..image.policy import FetchPolicy, parse_insecure
from ..image.reference import parse_reference
from ..net.conf import parse_requests
from ..pod.names import PodName
from ..pod.runspec import INSECURE, NetworkRequest, RunSpec
from ..stage0.spec import AppSpec, PodSpec
from ..value import Value
from . import values
from .podflags import STAGE1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.isolators import Isolator
    from ..stage0.manifest import BeyondDefaults
    from ..stage0.spec import Pairs
    from .flags import AppWords, Options, Words


class Surroundings(Value):
    """What a command line means depends on: the caller's variables, and what is in the files that it names."""

    environ: Pairs
    read_file: Callable[[str], str]


def pod_spec(words: Words, around: Surroundings) -> PodSpec:
    """The pod that a command line describes. Raises InvalidSpec with rkt's words, Unsupported."""
    options = words.options
    check_flags(words)
    try:
        return PodSpec(
            apps=tuple(_app_spec(app) for app in words.apps),
            volumes=tuple(values.parse_volume(text) for text in options.all("volume")),
            mounts=tuple(values.parse_mount(text) for text in options.all("mount")),
            ports=tuple(values.parse_port(text) for text in options.all("port")),
            inherited=values.valid_variables(around.environ) if options.on("inherit-env") else (),
            env_file=_environment_files(options, around),
            set_env=values.unique_variables(options.all("set-env")),
            run=run_spec(options, RunSpec()),
            policy=fetch_policy(options),
            image_isolators=options.text("image-isolators"),
            isolators=_pids_limit(options),
        )
    except InvalidSpec as err:
        raise in_flags(err) from err


def in_flags(err: InvalidSpec) -> InvalidSpec:
    """The error without the field of the specification that it was found in: flags have no such fields."""
    return InvalidSpec(err.reason, err.hint)


def in_words_of_flags(err: BeyondDefaults) -> BeyondDefaults:
    """The error with flags as the ways to consent."""
    err.hint = (
        "--image-isolators=accept if you trust the image with it, --image-isolators=narrow to run it without, "
        "or a flag of the app, such as --caps-retain or --seccomp"
    )
    return err


def check_flags(words: Words) -> None:
    """Raise for flags that exclude each other, in rkt's order. Source: behaviours A20, A21."""
    options = words.options
    if options.on("store-only") and options.on("no-store"):
        raise InvalidSpec("both --store-only and --no-store specified")
    check_signatures(words)
    _check_stage1(options)
    _check_private_users(options)
    _check_networks(options)
    if options.has("pod-manifest") and _conflicts_with_manifest(words):
        raise InvalidSpec("conflicting flags set with --pod-manifest (see --help)")
    if options.on("interactive") and len(words.apps) > 1:
        raise InvalidSpec("interactive option only supports one image")
    if not words.apps and not options.has("pod-manifest"):
        raise InvalidSpec("must provide at least one image or specify the pod manifest")


def check_signatures(words: Words) -> None:
    """Raise Unsupported for a signature: it would be trusted that it has been looked at."""
    if any(app.options.has("signature") for app in words.apps):
        raise Unsupported(
            "--signature: detached signatures are not supported yet", "see --insecure-options=image"
        )


def _check_stage1(options: Options) -> None:
    used = [name for name in STAGE1 if options.has(name)]
    for name in used:
        if len(options.all(name)) > 1:
            raise InvalidSpec(f"--{name} already used")
    if len(used) > 1:
        raise InvalidSpec(f"flags --{used[0]} and --{used[1]} are mutually exclusive")
    if used:
        raise Unsupported(f"--{used[0]}: pods are run by the runtime's own stage1 only")


def _check_private_users(options: Options) -> None:
    if not options.on("private-users"):
        return
    if not options.on("no-overlay"):
        raise InvalidSpec(
            "cannot use both overlay and user namespace: not implemented yet. (Try --no-overlay)"
        )
    raise Unsupported("--private-users: user namespaces are not supported yet")


def _check_networks(options: Options) -> None:
    names = {request.name for request in _networks(options)} if options.has("net") else set()
    for special in ("none", "host"):
        if options.has("port") and special in names:
            raise InvalidSpec(f"--port flag does not work with '{special}' networking")
    if not options.on("mds-register"):
        return
    if "none" in names:
        raise InvalidSpec(
            "--mds-register flag does not work with --net=none. Please use 'host', 'default' or an equivalent network"
        )
    raise Unsupported("--mds-register: there is no metadata service yet")


def _conflicts_with_manifest(words: Words) -> bool:
    options = words.options
    flags = ("volume", "mount", "port", "inherit-env", "set-env", "set-env-file", "store-only", "no-store")
    return (
        bool(words.apps)
        or any(options.has(flag) for flag in flags)
        or options.text("pull-policy", "new") != "new"
    )


def fetch_policy(options: Options, default: str = "new") -> FetchPolicy:
    """How images are found. Raises InvalidSpec."""
    pull = options.text("pull-policy", default)
    if options.on("store-only"):
        pull = "never"
    if options.on("no-store"):
        pull = "update"
    insecure = insecure_options(options)
    return FetchPolicy(pull=pull, insecure=tuple(option for option in insecure if option not in INSECURE))


def insecure_options(options: Options) -> tuple[str, ...]:
    """What is let through unchecked."""
    return parse_insecure(options.text("insecure-options"))


def run_spec(options: Options, given: RunSpec) -> RunSpec:
    """given, with what the flags say in place of what it said. Raises InvalidSpec with rkt's words."""
    changes: dict[str, object] = {}
    if options.has("net"):
        changes["networks"] = _networks(options)
    if any(options.has(flag) for flag in ("dns", "dns-search", "dns-opt", "dns-domain")):
        changes["dns"] = values.parse_dns(
            options.all("dns"), options.all("dns-search"), options.all("dns-opt"), options.text("dns-domain")
        )
    if options.has("hosts-entry"):
        changes["hosts"] = values.parse_hosts_entries(options.all("hosts-entry"))
    if options.has("ipc"):
        changes["ipc"] = values.parse_ipc(options.text("ipc"))
    if options.has("insecure-options"):
        changes["insecure"] = tuple(option for option in insecure_options(options) if option in INSECURE)
    if options.has("hostname"):
        changes["hostname"] = options.text("hostname")
    if options.on("no-overlay"):
        changes["overlay"] = False
    if options.has("pod-name"):
        changes["name"] = PodName(options.text("pod-name"))
    return given.replace(**changes)


def _networks(options: Options) -> tuple[NetworkRequest, ...]:
    joined = ",".join(text or "default" for text in options.all("net"))
    return tuple(NetworkRequest(name, args) for name, args in parse_requests(joined))


def _environment_files(options: Options, around: Surroundings) -> Pairs:
    lines: list[str] = []
    for path in options.all("set-env-file"):
        lines += values.environment_file(around.read_file(path))
    try:
        return values.unique_variables(lines)
    except InvalidSpec as err:
        raise InvalidSpec(
            f"invalid environment file {options.text('set-env-file')}: {err.reason}", err.hint
        ) from err


def _app_spec(words: AppWords) -> AppSpec:
    options = words.options
    gids = tuple(gid for text in options.all("supplementary-gids") for gid in values.parse_gids(text))
    return AppSpec(
        image=parse_reference(words.image, "image"),
        name=ACName(options.text("name")) if options.has("name") else None,
        exec=options.all("exec"),
        args=words.args,
        working_directory=options.text("working-dir"),
        user=options.text("user"),
        group=options.text("group"),
        supplementary_gids=gids if options.has("supplementary-gids") else None,
        environment=tuple(dict(map(values.parse_variable, options.all("environment"))).items()),
        mounts=tuple(values.parse_mount(text) for text in options.all("mount")),
        isolators=_isolators(options),
        read_only_root_fs=options.on("readonly-rootfs"),
        annotations=tuple(dict(map(values.parse_annotation, options.all("annotation"))).items()),
        user_annotations=_user_pairs(options, "user-annotation"),
        user_labels=_user_pairs(options, "user-label"),
        image_isolators=options.text("image-isolators"),
    )


def _user_pairs(options: Options, name: str) -> Pairs | None:
    if not options.has(name):
        return None
    return tuple(sorted(dict(map(values.parse_pair, options.all(name))).items()))


def _isolators(options: Options) -> tuple[Isolator, ...]:
    if options.has("caps-retain") and options.has("caps-remove"):
        raise InvalidSpec("error: cannot use both --caps-retain and --caps-remove on the same image")
    found: list[Isolator] = []
    if options.has("memory"):
        found.append(values.parse_memory(options.text("memory")))
    if options.has("cpu"):
        found.append(values.parse_cpu(options.text("cpu")))
    if options.has("cpu-shares"):
        found.append(values.parse_cpu_shares(options.text("cpu-shares")))
    if options.has("oom-score-adj"):
        found.append(values.parse_oom_score_adj(options.text("oom-score-adj")))
    found += _pids_limit(options)
    for mode in ("retain", "remove"):
        if options.has(f"caps-{mode}"):
            found.append(values.parse_capabilities(mode, options.text(f"caps-{mode}")))
    if options.has("seccomp"):
        found.append(values.parse_seccomp(options.text("seccomp")))
    return tuple(found)


def _pids_limit(options: Options) -> tuple[Isolator, ...]:
    return (values.parse_pids_limit(options.text("pids-limit")),) if options.has("pids-limit") else ()
