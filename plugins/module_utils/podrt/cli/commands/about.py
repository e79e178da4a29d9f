# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl version, config and completion. Source: behaviours A49 to A51."""

from __future__ import annotations

import sys

from ...appc.names import AC_VERSION
from ...host.limits import MEMBERS, Limits
from ..flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...host.config import Config, Credentials
    from ..call import Call

# The version in galaxy.yml; a test compares them.
VERSION = "0.12.0"


def version(call: Call) -> int:
    """Print versions."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    call.tell(f"podctl Version: {VERSION}")
    call.tell(f"appc Version: {AC_VERSION}")
    call.tell(f"Python Version: {python}")
    call.tell(f"OS/Arch: linux/{call.host.arch}")
    call.tell("Features: +NATIVE -FLY +MDS")
    return 0


def config(call: Call) -> int:
    """Print the merged configuration."""
    found = call.host.config
    shown = _as_it_is if call.options.on("show-secrets") or not sys.stdout.isatty() else _hidden
    of_us = (_paths(found), _stage1(found), *_policy(found), *_limits(found), *_mirrors(found))
    documents = [*_auth(found, shown), *_docker(found, shown), *of_us]
    how = "json-pretty" if call.options.on("pretty-print", default=True) else "json"
    call.tell_json({"stage0": documents}, how)
    return 0


def completion(call: Call) -> int:
    """Print the completion script of a shell."""
    from ..completion import bash

    if call.words.arguments != ("bash",):
        raise UsageError("completion takes the name of a shell: bash")
    sys.stdout.write(bash())
    return 0


def _document(kind: str, **members: object) -> dict[str, object]:
    return {"rktVersion": "v1", "rktKind": kind, **members}


def _as_it_is(secret: str) -> str:
    return secret


def _hidden(_secret: str) -> str:
    return "hidden: --show-secrets shows it"


def _auth(found: Config, shown: Callable[[str], str]) -> list[dict[str, object]]:
    return [
        _document("auth", domains=[domain], type=held.type, **_secrets(held, shown))
        for domain, held in found.auth
    ]


def _secrets(held: Credentials, shown: Callable[[str], str]) -> dict[str, object]:
    if held.type == "basic":
        return {"credentials": {"user": held.user, "password": shown(held.password)}}
    if held.type == "oauth":
        return {"credentials": {"token": shown(held.token)}}
    secrets = {"accessKeyID": held.access_key, "secretAccessKey": shown(held.secret_key)}
    return {"credentials": secrets, "awsRegion": held.region}


def _docker(found: Config, shown: Callable[[str], str]) -> list[dict[str, object]]:
    return [
        _document(
            "dockerAuth", registries=[registry], credentials={"user": user, "password": shown(password)}
        )
        for registry, (user, password) in found.docker
    ]


def _paths(found: Config) -> dict[str, object]:
    """The paths in the documents, without --dir; "" where not set. Source: rkt rkt.go getConfig."""
    ours = {"leases": found.leases} if found.leases else {}
    return _document("paths", data=found.data_dir, **{"stage1-images": found.stage1_images}, **ours)


def _limits(found: Config) -> list[dict[str, object]]:
    """The limits that are not the defaults, if there are any."""
    said = {
        member: getattr(found.limits, field)
        for field, member in MEMBERS.items()
        if getattr(found.limits, field) != getattr(Limits(), field)
    }
    return [_document("limits", **said)] if said else []


def _stage1(found: Config) -> dict[str, object]:
    return _document(
        "stage1", name=found.stage1_name, version=found.stage1_version, location=found.stage1_location
    )


def _policy(found: Config) -> list[dict[str, object]]:
    """The policy, which rkt did not have, is shown only where it is set."""
    said: dict[str, object] = {"imageIsolators": found.image_isolators} if found.image_isolators else {}
    if found.private_users is not None:
        said["privateUsers"] = found.private_users
    return [_document("policy", **said)] if said else []


def _mirrors(found: Config) -> list[dict[str, object]]:
    """The mirrors, which rkt did not have."""
    return [
        _document("registryMirrors", registry=registry, mirrors=list(mirrors))
        for registry, mirrors in found.mirrors
    ]


ENTRIES: dict[str, Callable[[Call], int]] = {"version": version, "config": config, "completion": completion}
