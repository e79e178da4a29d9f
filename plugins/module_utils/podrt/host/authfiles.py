# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials in docker's config.json and podman's auth.json, which a document of the configuration names.

They have passwords, or name helpers that know some, see credhelpers; no identity token is exchanged. A file that does
not exist has nothing, since podman's is below /run. Source: containers-auth.json(5), docker login.
"""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec
from ..fields import Fields, parse_json
from .reading import check_kept, read_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Login = tuple[str, str]


# The key of the helper for all registries that have none of their own.
STORE = ""
_LONGEST_HELPER = 64


def logins_in(
    files: Iterable[str], check: Callable[[str], None]
) -> tuple[tuple[tuple[str, Login], ...], tuple[tuple[str, str], ...]]:
    """Two kinds of pairs, of which the first for a name counts, in the order of names.

    A registry, or a registry with the beginning of a repository, and user and password; a registry, or STORE, and the
    name of a helper. check: raises InvalidSpec for a file whose secrets others can read. Raises InvalidSpec naming the
    file, HostFailure.
    """
    found: dict[str, Login] = {}
    helpers: dict[str, str] = {}
    for path in files:
        try:
            check(path)
            check_kept(path)
            data = read_trusted(path)
        except FileNotFoundError:
            continue
        except OSError as err:
            raise HostFailure.of(f"cannot read the credentials in {path}", err) from err
        fields = _read(data, path)
        for name, login in _logins(fields, path):
            found.setdefault(name, login)
        for name, helper in _helpers(fields, path):
            helpers.setdefault(name, helper)
    return tuple(sorted(found.items())), tuple(sorted(helpers.items()))


def _read(data: bytes, path: str) -> Fields:
    try:
        return Fields(parse_json(data or b"{}", "it"), "")
    except InvalidSpec:
        raise _odd(path) from None


def _helpers(fields: Fields, path: str) -> list[tuple[str, str]]:
    """Which helper knows the login for which registry. Raises InvalidSpec for what is not the name of one."""
    listed = fields.raw("credHelpers")
    if listed is not None and not isinstance(listed, dict):
        raise _odd(path)
    pairs = [(_registry(str(name)), helper) for name, helper in (listed or {}).items()]
    pairs += [(STORE, fields.raw("credsStore"))]
    found = []
    for name, helper in pairs:
        if helper is None or helper == "":
            continue
        if not isinstance(helper, str) or not _is_plain(helper):
            raise _odd_helper(path)
        found.append((name, helper))
    return found


def _is_plain(helper: str) -> bool:
    """Whether a text is a part of the name of a program, and neither a path nor a flag."""
    letters = helper.translate(dict.fromkeys(map(ord, "_.-")))
    return len(helper) <= _LONGEST_HELPER and helper.isascii() and letters.isalnum() and helper[0].isalnum()


def _logins(fields: Fields, path: str) -> list[tuple[str, Login]]:
    """What is in a file. Nothing of it is shown."""
    entries = fields.raw("auths")
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


def _odd_helper(path: str) -> InvalidSpec:
    return InvalidSpec(
        f"cannot read the credentials in {path}: it names a credential helper that is not a plain word",
        "name the part of the program after docker-credential-",
    )
