# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: documents of rkt's kinds in DIR/auth.d, DIR/paths.d and DIR/stage1.d, merged to one value.

DIR/limits.d and DIR/policy.d have the same form, but are not rkt's.

Only regular files that end in .json and lie directly in these directories count. In one DIR nothing may be set twice;
between DIRs the later one wins, entry by entry. Files that users other than root and the caller can write are refused.
Source: behaviours B33 to B37, B56 to B59.
"""

from __future__ import annotations

import json
import os
import stat

from ..errors import HostFailure, InvalidSpec
from ..members import by_folded_name, fold
from ..value import Value
from .files import entries
from .limits import MEMBERS, Limits, limits_said
from .policy import REFUSE, policy_said
from .reading import check_kept, read_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .paths import Paths

VERSION = "v1"
_SECRET = "auth.d"
_WRITABLE_BY_OTHERS = 0o022
_OPEN_TO_OTHERS = _WRITABLE_BY_OTHERS | 0o004
# The kinds of documents in each directory.
_KINDS = {
    "auth.d": ("auth", "dockerAuth"),
    "paths.d": ("paths",),
    "stage1.d": ("stage1",),
    "limits.d": ("limits",),
    "policy.d": ("policy",),
}
_HUB = "registry-1.docker.io"
_HUB_ALIASES = ("docker.io", "index.docker.io")


class Credentials(Value):
    """The credentials for one domain. type: basic, oauth or aws; each uses its own fields."""

    type: str
    user: str = ""
    password: str = ""
    token: str = ""
    access_key: str = ""
    secret_key: str = ""
    region: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.type})"


class Config(Value):
    """The merged configuration. Mappings are pairs, sorted by name; "": not set."""

    auth: tuple[tuple[str, Credentials], ...] = ()
    docker: tuple[tuple[str, tuple[str, str]], ...] = ()
    data_dir: str = ""
    leases: str = ""
    stage1_images: str = ""
    stage1_name: str = ""
    stage1_version: str = ""
    stage1_location: str = ""
    limits: Limits = Limits()
    image_isolators: str = ""

    @property
    def unused_stage1(self) -> str:
        """A warning about a configured default stage1, else "": pods are run by the runtime's own."""
        wanted = f"{self.stage1_name}:{self.stage1_version}" if self.stage1_name else self.stage1_location
        if not wanted:
            return ""
        return (
            f'the stage1 "{wanted}" of stage1.d is not used: pods are run by the runtime\'s own stage1 only'
        )

    def docker_credentials(self, registry: str) -> tuple[str, str] | None:
        """User and password for a docker registry, None if not configured. docker.io means Docker Hub's registry."""
        known = dict(self.docker)
        names = (_HUB, *_HUB_ALIASES) if registry in (_HUB, *_HUB_ALIASES) else (registry,)
        return next((known[name] for name in names if name in known), None)


class Document(Value):
    """One file of the configuration. where names it in errors. members: by folded name."""

    where: str
    kind: str
    members: Mapping[str, object]


def read_config(paths: Paths) -> Config:
    """The whole configuration of all directories. Raises InvalidSpec naming the file, HostFailure."""
    config = Config()
    for config_dir in paths.config_dirs:
        documents = [found for directory in _KINDS for found in _read_documents(config_dir, directory)]
        config = merged(config, documents)
    return config


def configured_paths(paths: Paths) -> Config:
    """The configured paths; nothing else is read for them."""
    return _of_one_kind(paths, "paths.d")


def unused_stage1(paths: Paths) -> str:
    """A warning about a configured default stage1, else ""; nothing else is read for it."""
    return _of_one_kind(paths, "stage1.d").unused_stage1


def configured_limits(paths: Paths) -> Limits:
    """The configured limits; nothing else is read for them."""
    return _of_one_kind(paths, "limits.d").limits


def configured_isolators(paths: Paths) -> str:
    """The configured policy for isolators of images beyond the defaults; nothing else is read for it."""
    return _of_one_kind(paths, "policy.d").image_isolators or REFUSE


def _of_one_kind(paths: Paths, directory: str) -> Config:
    config = Config()
    for config_dir in paths.config_dirs:
        config = merged(config, _read_documents(config_dir, directory))
    return config


def merged(config: Config, documents: list[Document]) -> Config:
    """A configuration, overridden by the documents of one directory. Pure. Raises InvalidSpec."""
    said = _Said()
    for document in documents:
        _READERS[document.kind](document, said)
    changes: dict[str, object] = dict(said.single)
    changes["auth"] = tuple(sorted({**dict(config.auth), **said.auth}.items(), key=_name))
    changes["docker"] = tuple(sorted({**dict(config.docker), **said.docker}.items(), key=_name))
    changes["limits"] = config.limits.replace(**said.limits)
    return config.replace(**changes)


class _Said:
    """The settings of the documents of one directory; none may be set twice."""

    def __init__(self) -> None:
        self.auth: dict[str, Credentials] = {}
        self.docker: dict[str, tuple[str, str]] = {}
        self.single: dict[str, str] = {}
        self.limits: dict[str, int] = {}

    def say(self, field: str, value: str, what: str) -> None:
        """Set one of the single fields of Config."""
        if field in self.single:
            raise InvalidSpec(f"{what} is already specified")
        self.single[field] = value


def _name(pair: tuple[str, object]) -> str:
    return pair[0]


def parse_document(data: bytes, directory: str, where: str) -> Document:
    """A file of the configuration, checked for its kind and version. Raises InvalidSpec naming the file. Pure."""
    try:
        members = json.loads(data)
        json.dumps(members, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except (ValueError, RecursionError) as err:
        raise InvalidSpec(f"cannot read configuration {where}: {err}") from err
    if not isinstance(members, dict):
        raise InvalidSpec(f"cannot read configuration {where}: it is no JSON object")
    members = by_folded_name(members)
    kind, version = members.get(fold("rktKind")), members.get(fold("rktVersion"))
    if not kind:
        raise InvalidSpec(f'no rktKind specified in "{where}"')
    if not version:
        raise InvalidSpec(f'no rktVersion specified in "{where}"')
    if kind not in _KINDS[directory]:
        known = ", ".join(_KINDS[directory])
        raise InvalidSpec(
            f'the configuration directory "{directory}" expects to have configuration files of kind {known}, '
            f'but "{where}" has kind "{kind}"'
        )
    if version != VERSION:
        raise InvalidSpec(
            f'"{where}": configuration of kind "{kind}" has unsupported version "{version}"', f"use {VERSION}"
        )
    return Document(where, str(kind), members)


def _read_documents(config_dir: str, directory: str) -> list[Document]:
    place = f"{config_dir}/{directory}"
    try:
        names = [name for name in entries(place) if name.endswith(".json")]
        found = [f"{place}/{name}" for name in names]
        regular = [path for path in found if stat.S_ISREG(os.lstat(path).st_mode)]
        for path in regular if directory == _SECRET else ():
            _check_mode(path)
        for path in (config_dir, place, *regular) if regular else ():
            check_kept(path)
        return [parse_document(read_trusted(path), directory, path) for path in regular]
    except OSError as err:
        raise HostFailure.of(f"cannot read the configuration in {place}", err) from err


def _check_mode(path: str) -> None:
    """Raise InvalidSpec for a file of credentials that is group- or world-writable or world-readable; or OSError."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    if mode & _OPEN_TO_OTHERS:
        can = "change" if mode & _WRITABLE_BY_OTHERS else "read"
        raise InvalidSpec(
            f"the credentials in {path} are not used: others can {can} them (mode {mode:04o})",
            f"chmod 0640 {path}, or 0600",
        )


def _read_auth(document: Document, said: _Said) -> None:
    members = document.members
    credentials = _credentials(document, _text(document, members, "type"))
    for domain in _texts(document, "domains"):
        if domain in said.auth:
            raise InvalidSpec(f'auth for domain "{domain}" is already specified')
        said.auth[domain] = credentials


def _credentials(document: Document, kind: str) -> Credentials:
    given = _members(document, "credentials")
    if kind == "basic":
        return Credentials(
            kind, user=_text(document, given, "user"), password=_text(document, given, "password")
        )
    if kind == "oauth":
        return Credentials(kind, token=_text(document, given, "token"))
    if kind == "aws":
        region = document.members.get(fold("awsRegion"))
        access, secret = _text(document, given, "accessKeyID"), _text(document, given, "secretAccessKey")
        return Credentials(
            kind, access_key=access, secret_key=secret, region=region if isinstance(region, str) else ""
        )
    raise InvalidSpec(f'{document.where}: unknown auth type "{kind}"', "use basic, oauth or aws")


def _read_docker_auth(document: Document, said: _Said) -> None:
    given = _members(document, "credentials")
    pair = _text(document, given, "user"), _text(document, given, "password")
    for registry in _texts(document, "registries"):
        if registry in said.docker:
            raise InvalidSpec(f'auth for docker registry "{registry}" is already specified')
        said.docker[registry] = pair


def _read_paths(document: Document, said: _Said) -> None:
    for member, field, what in (
        ("data", "data_dir", "data directory"),
        ("leases", "leases", "directory of leases"),
        ("stage1-images", "stage1_images", "stage1 images directory"),
    ):
        path = document.members.get(fold(member))
        if not path:
            continue
        if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
            raise InvalidSpec(f"{document.where}: the {what} must be an absolute path")
        said.say(field, path, what)


def _read_stage1(document: Document, said: _Said) -> None:
    name, version, location = (
        document.members.get(fold(member)) or "" for member in ("name", "version", "location")
    )
    if bool(name) != bool(version):
        raise InvalidSpec(f"{document.where}: default stage1 name and version must be given together")
    if name:
        said.say("stage1_name", str(name), "default stage1 name")
        said.say("stage1_version", str(version), "default stage1 version")
    if location:
        text = str(location)
        if not os.path.isabs(text) and text.split(":", 1)[0] not in ("file", "docker", "http", "https"):
            raise InvalidSpec(
                f"{document.where}: default stage1 image location is either a relative path or a URL without scheme"
            )
        said.say("stage1_location", text, "default stage1 location")


def _read_limits(document: Document, said: _Said) -> None:
    found = limits_said(document.members, document.where)
    for field in found.keys() & said.limits.keys():
        raise InvalidSpec(f'"{MEMBERS[field]}" is already specified')
    said.limits.update(found)


def _read_policy(document: Document, said: _Said) -> None:
    policy = policy_said(document.members, document.where)
    if policy:
        said.say("image_isolators", policy, "policy for isolators of images")


_READERS: dict[str, Callable[[Document, _Said], None]] = {
    "auth": _read_auth,
    "dockerAuth": _read_docker_auth,
    "paths": _read_paths,
    "stage1": _read_stage1,
    "limits": _read_limits,
    "policy": _read_policy,
}


def _members(document: Document, name: str) -> Mapping[str, object]:
    value = document.members.get(fold(name))
    if not isinstance(value, dict):
        raise InvalidSpec(f"{document.where}: no {name} are given")
    return by_folded_name(value)


def _text(document: Document, members: Mapping[str, object], name: str) -> str:
    value = members.get(fold(name))
    if not isinstance(value, str) or not value:
        raise InvalidSpec(f'{document.where}: "{name}" is missing or empty')
    return value


def _texts(document: Document, name: str) -> tuple[str, ...]:
    value = document.members.get(fold(name))
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise InvalidSpec(f'{document.where}: "{name}" must be a list of names')
    return tuple(value)
