# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spec of a pod from the words of `run` and `prepare`. Pure: files and variables are passed in.

Source: behaviours A11 to A21.
"""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..image.policy import FetchPolicy
from ..image.reference import LocalFile, parse_reference
from ..net.requests import parse_requests
from ..pod.runspec import CONTINUE, MDS_WITHOUT_NETWORK
from ..stage0.options import parsers, reading, texts
from ..stage0.options.app import APP
from ..stage0.options.option import Options
from ..stage0.options.pod import FETCH, POD
from ..stage1.plan.stdio import NAMES as STDIO_NAMES
from ..stage1.plan.stdio import annotation_of
from ..value import Value
from . import values
from .call import can_ask
from .podflags import PULL, STAGE1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..image.openpgp import OfferedKeys
    from ..pod.runspec import RunSpec
    from ..stage0.manifest import BeyondDefaults
    from ..stage0.options.option import Option
    from ..stage0.spec import AppSpec, Pairs, PodSpec
    from .flags import AppWords, FlagValues, Words


_FILES = "set-env-file"


class CallerInputs(Value):
    """Inputs beside the command line: the caller's variables, and the contents of files that it names."""

    environ: Pairs
    read_file: Callable[[str], str]


def pod_spec(words: Words, around: CallerInputs) -> PodSpec:
    """The pod that a command line describes. Raises InvalidSpec with rkt's words, Unsupported."""
    options = words.options
    check_flags(words)
    rows = (*POD, *FETCH)
    said = {**_said(rows, options), **_pull(options), "apps": [_app(app) for app in words.apps]}
    if options.has("stage1-path"):
        said["stage1_path"] = os.path.abspath(options.text("stage1-path"))
    try:
        spec = reading.pod_spec(Options(said, "", rows))
        files = _environment_files(options, around)
    except InvalidSpec as err:
        raise in_flags(err) from err
    return spec.replace(
        apps=tuple(_annotated(app, given) for app, given in zip(spec.apps, words.apps)),
        inherited=values.valid_variables(around.environ) if options.on("inherit-env") else (),
        env_file=files,
    )


def sandbox_spec(options: FlagValues) -> PodSpec:
    """The pod without apps that a command line describes; its ports lead to numbers. Raises InvalidSpec."""
    _check_stage1(options)
    _check_networks(options)
    rows = tuple(row for row in (*POD, *FETCH) if row.name != "ports")
    try:
        spec = reading.pod_spec(Options(_said(rows, options), "", rows))
        return spec.replace(
            run=spec.run.replace(exit_policy=CONTINUE),
            ports=tuple(map(values.parse_sandbox_port, options.all("port"))),
        )
    except InvalidSpec as err:
        raise in_flags(err) from err


def _said(rows: Iterable[Option], options: FlagValues) -> dict[str, object]:
    """The flags as YAML would have them, except files, whose contents are passed in."""
    return {
        row.name: texts.of_flag(row, options.all(row.flag.name))
        for row in rows
        if row.flag and options.has(row.flag.name) and row.flag.name != _FILES
    }


def _app(words: AppWords) -> dict[str, object]:
    reference = parse_reference(words.image, "image")
    # Here a path may be relative, unlike in a task.
    image = reference.path if isinstance(reference, LocalFile) else words.image
    return {**_said(APP, words.options), "image": image, "args": list(words.args)}


def _annotated(app: AppSpec, words: AppWords) -> AppSpec:
    found = dict(map(values.parse_annotation, words.options.all("annotation")))
    for name in filter(words.options.has, STDIO_NAMES):
        found[annotation_of(name)] = words.options.text(name)
    return app.replace(annotations=(*app.annotations, *found.items())) if found else app


def _pull(options: FlagValues, default: str = "") -> dict[str, object]:
    if options.on("store-only"):
        return {PULL.name: "never"}
    if options.on("no-store"):
        return {PULL.name: "update"}
    return {PULL.name: default} if default and not options.has("pull-policy") else {}


def in_flags(err: InvalidSpec) -> InvalidSpec:
    """The error in rkt's words, without the field of the spec; with the flag where they would lack a subject."""
    said, option = err.on_argv or err.reason, err.where.rpartition(".")[2]
    flags = [row.flag.name for row in (*POD, *APP) if row.flag and row.name == option]
    lacks = said.startswith("it ") or said[:1].isdigit()
    return InvalidSpec(f"--{flags[0]}: {said}" if flags and lacks else said, err.hint)


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
    _check_stage1(options)
    _check_networks(options)
    if options.has("pod-manifest") and _conflicts_with_manifest(words):
        raise InvalidSpec("conflicting flags set with --pod-manifest (see --help)")
    if options.on("interactive") and len(words.apps) > 1:
        raise InvalidSpec("interactive option only supports one image")
    if options.on("interactive") and any(app.options.has(name) for app in words.apps for name in STDIO_NAMES):
        raise InvalidSpec(
            "interactive option does not work with --stdin, --stdout or --stderr",
            "attach to the app, or connect it to this terminal",
        )
    if not words.apps and not options.has("pod-manifest"):
        raise InvalidSpec("must provide at least one image or specify the pod manifest")


def policy_of_image(policy: FetchPolicy, options: FlagValues, words: AppWords) -> FetchPolicy:
    """The policy for the image of these words, which may be followed by its signature."""
    place = words.options.text("signature")
    return policy_of_stage1(policy, options).replace(
        signature=place if not place or "://" in place else os.path.abspath(place)
    )


def policy_of_stage1(policy: FetchPolicy, options: FlagValues) -> FetchPolicy:
    """The policy for an image that has no words of its own."""
    return policy.replace(
        finds_keys=options.on("trust-keys-from-https"),
        review=_review if can_ask() else None,
    )


def _review(prefix: str, source: OfferedKeys) -> bool:
    """Ask the user whether the keys of an image are trusted (B29)."""
    from .keyreview import review

    return review(prefix, source)


def _check_stage1(options: FlagValues) -> None:
    used = [name for name in STAGE1 if options.has(name)]
    for name in used:
        if len(options.all(name)) > 1:
            raise InvalidSpec(f"--{name} already used")
    if len(used) > 1:
        raise InvalidSpec(f"flags --{used[0]} and --{used[1]} are mutually exclusive")


def _check_networks(options: FlagValues) -> None:
    requests = parse_requests(",".join(text or "default" for text in options.all("net")))
    names = {name for name, _args in requests} if options.has("net") else set()
    for special in ("none", "host"):
        if options.has("port") and special in names:
            raise InvalidSpec(f"--port flag does not work with '{special}' networking")
    if options.on("mds-register") and "none" in names:
        raise InvalidSpec(MDS_WITHOUT_NETWORK)


def _conflicts_with_manifest(words: Words) -> bool:
    options = words.options
    flags = ("volume", "mount", "port", "inherit-env", "set-env", "set-env-file", "store-only", "no-store")
    return (
        bool(words.apps)
        or any(options.has(flag) for flag in flags)
        or options.text("pull-policy", "new") != "new"
    )


def fetch_policy(options: FlagValues, default: str = "") -> FetchPolicy:
    """The policy for fetches. Raises InvalidSpec."""
    return reading.fetch_policy(Options({**_said(FETCH, options), **_pull(options, default)}, "", FETCH))


def run_spec(options: FlagValues, given: RunSpec) -> RunSpec:
    """The run spec, overridden by the flags. Raises InvalidSpec with rkt's words."""
    rows = [row for row in (*POD, *FETCH) if row.flag and options.has(row.flag.name)]
    try:
        return reading.run_spec(Options(_said(rows, options), "", rows), rows, given)
    except InvalidSpec as err:
        raise in_flags(err) from err


def _environment_files(options: FlagValues, around: CallerInputs) -> Pairs:
    paths = options.all(_FILES)
    return parsers.variables_of_files((path, around.read_file(path)) for path in paths)
