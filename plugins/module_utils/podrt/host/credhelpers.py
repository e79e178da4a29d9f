# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credential helpers of docker: programs that know the login for a registry.

Only files that the configuration names say which one is run. It gets the registry on standard input, and nothing that
it prints is shown. Source: docker-credential-helpers, "Development".
"""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, Unsupported
from ..fields import Fields, parse_json
from . import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .authfiles import Login

_PREFIX = "docker-credential-"
_SECONDS = 30.0
_LARGEST = 64 << 10
# What helpers print, with a failure, for a registry of which they know nothing.
_NOT_FOUND = b"credentials not found"
# Docker's name for a login that is a token, which would have to be exchanged first.
_TOKEN = "<token>"


def login_of(helper: str, server: str) -> Login | None:
    """User and password that a helper has for a registry, None if it has none. server: as docker calls it.

    Raises Unsupported for a helper that is not installed, and for a token, HostFailure for one that fails.
    """
    name = _PREFIX + helper
    try:
        done = programs.run([name, "get"], stdin=server.encode(), env=_environment(), seconds=_SECONDS)
    except OSError as err:
        raise HostFailure.of(f"cannot run {name} for {server}", err) from err
    if done.status:
        if _NOT_FOUND in done.stdout[:_LARGEST]:
            return None
        raise HostFailure(
            f"{name} has no credentials for {server}: it has failed with the exit status {done.status}",
            f"run it as root to see why: echo {server} | {name} get",
            program=name,
        )
    try:
        if len(done.stdout) > _LARGEST:
            raise InvalidSpec("it is too long")
        fields = Fields(parse_json(done.stdout, "it"), "")
        user, secret = fields.text("Username", ""), fields.text("Secret", "")
    except InvalidSpec:  # whose text may be secret
        raise HostFailure(
            f"{name} has no credentials for {server}: what it prints is not that of a credential helper",
            "check the program, or take it out of the file that names it",
            program=name,
        ) from None
    if user == _TOKEN:
        raise Unsupported(
            f"{name} has an identity token for {server}, which is not exchanged here",
            "log in with a user and a password, or write a dockerAuth document",
            program=name,
        )
    return (user, secret) if user and secret else None


def _environment() -> dict[str, str]:
    """Helpers of clouds and password stores have their files in the home directory."""
    import os
    import pwd

    return {"PATH": programs.PATH, "LC_ALL": "C", "HOME": pwd.getpwuid(os.geteuid()).pw_dir}
