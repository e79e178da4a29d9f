# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials in docker's config.json and podman's auth.json, which a document of the configuration names.

Only what is in the files counts: no credential helper is run, and no identity token is exchanged. A file that does not
exist has nothing, since podman's is below /run. Source: containers-auth.json(5), docker login.
"""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec
from ..fields import Fields, parse_json
from .reading import check_kept, read_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Login = tuple[str, str]


def logins_in(files: Iterable[str], check: Callable[[str], None]) -> tuple[tuple[str, Login], ...]:
    """Pairs of a registry, or a registry with the beginning of a repository, and user and password; the first counts.

    check: raises InvalidSpec for a file whose secrets others can read. Raises InvalidSpec naming the file, HostFailure.
    """
    found: dict[str, Login] = {}
    for path in files:
        try:
            check(path)
            check_kept(path)
            data = read_trusted(path)
        except FileNotFoundError:
            continue
        except OSError as err:
            raise HostFailure.of(f"cannot read the credentials in {path}", err) from err
        for name, login in _logins(data, path):
            found.setdefault(name, login)
    return tuple(sorted(found.items()))


def _logins(data: bytes, path: str) -> list[tuple[str, Login]]:
    """What is in a file. Nothing of it is shown."""
    try:
        fields = Fields(parse_json(data or b"{}", "it"), "")
        entries = fields.raw("auths")
    except InvalidSpec:
        raise _odd(path) from None
    if entries is None:
        return []
    if not isinstance(entries, dict):
        raise _odd(path)
    pairs = ((_registry(str(name)), _decoded(entry)) for name, entry in entries.items())
    return [(name, login) for name, login in pairs if name and login]


def _decoded(entry: object) -> Login | None:
    """User and password of an entry, None where a helper has them, or a token."""
    import base64
    import binascii

    auth = entry.get("auth") if isinstance(entry, dict) else None
    if not isinstance(auth, str):
        return None
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    password = password.rstrip("\0")
    return (user, password) if colon and user and password else None


def _registry(name: str) -> str:
    """Docker's key without scheme and version: https://index.docker.io/v1/ is index.docker.io."""
    rest = name.partition("://")[2] or name
    host, slash, path = rest.rstrip("/").partition("/")
    return host if path in ("", "v1", "v2") else f"{host}{slash}{path}"


def _odd(path: str) -> InvalidSpec:
    return InvalidSpec(
        f"cannot read the credentials in {path}: they are not in the form of docker's config.json",
        "check the file, or take it out of the document of the kind dockerAuthFiles",
    )
