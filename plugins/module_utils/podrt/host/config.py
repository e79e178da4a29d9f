# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: documents of rkt's kinds in DIR/auth.d, DIR/paths.d and DIR/stage1.d, merged to one value.

DIR/limits.d, DIR/policy.d, DIR/registries.d and DIR/trust.d have the same form, but are not rkt's. Those of trust.d are
not merged here, see image.policies.

Only regular files that end in .json and lie directly in these directories count. In one DIR nothing may be set twice;
between DIRs the later one wins, entry by entry. Files that users other than root and the caller can write are refused.
Source: behaviours B33 to B37, B56 to B59.
"""

from __future__ import annotations

import os
import stat

from ..contexts import contextmanager
from ..errors import HostFailure, InvalidSpec
from ..fields import Fields, checked_text, parse_json
from ..value import Value
from .files import entries
from .limits import MEMBERS, Limits, limits_of_fields
from .paths import PATHS_D, TRUST_D
from .policy import USERS_MEMBER, policy_of_fields
from .reading import check_kept, read_trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from .paths import Paths

    T = TypeVar("T")

VERSION = "v1"
_SECRET = "auth.d"
_WRITABLE_BY_OTHERS = 0o022
_OPEN_TO_OTHERS = _WRITABLE_BY_OTHERS | 0o004
# The kinds of documents in each directory.
_KINDS = {
    "auth.d": ("auth", "dockerAuth", "dockerAuthFiles"),
    PATHS_D: ("paths",),
    "stage1.d": ("stage1",),
    "limits.d": ("limits",),
    "policy.d": ("policy",),
    "registries.d": ("registryMirrors",),
    TRUST_D: ("imagePolicy",),
}
_MERGED = tuple(directory for directory in _KINDS if directory != TRUST_D)


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
    """The merged configuration. Mappings are pairs, sorted by name; "": not set.

    docker_files: docker's and podman's own files of credentials, the first one wins. of_files: what is in them, see
    authfiles; it counts for registries that docker does not have. helpers: programs that know logins, by registry, the
    same. mirrors: of registries, in the order of trials.
    """

    auth: tuple[tuple[str, Credentials], ...] = ()
    docker: tuple[tuple[str, tuple[str, str]], ...] = ()
    docker_files: tuple[str, ...] = ()
    of_files: tuple[tuple[str, tuple[str, str]], ...] = ()
    helpers: tuple[tuple[str, str], ...] = ()
    data_dir: str = ""
    leases: str = ""
    stage1_images: str = ""
    stage1_name: str = ""
    stage1_version: str = ""
    stage1_location: str = ""
    limits: Limits = Limits()
    image_isolators: str = ""
    private_users: bool | None = None
    mirrors: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def docker_credentials(self, *names: str) -> tuple[str, str] | None:
        """User and password for a docker registry by any of its names, None if not configured."""
        known = dict(self.docker)
        return next((known[name] for name in names if name in known), None)

    def login_for(self, names: tuple[str, ...], repository: str) -> tuple[str, str] | None:
        """User and password for a repository of a registry by any of its names, None if not configured.

        Files of docker and podman may have some for the beginning of a repository; the longest one counts.
        """
        own = self.docker_credentials(*names)
        if own or not self.of_files:
            return own
        known, parts = dict(self.of_files), repository.split("/") if repository else []
        keys = ("/".join((name, *parts[:count])) for count in range(len(parts), -1, -1) for name in names)
        return next((known[key] for key in keys if key in known), None)

    def helper_for(self, *names: str) -> str:
        """The credential helper for a registry by any of its names, "" if none is configured."""
        known = dict(self.helpers)
        return next((known[name] for name in names if name in known), "")

    def domain_credentials(self, *names: str) -> Credentials | None:
        """The credentials for a host by any of its names, None if not configured."""
        known = dict(self.auth)
        return next((known[name] for name in names if name in known), None)


class Document(Value):
    """One file of the configuration. where: its path, for errors."""

    where: str
    kind: str
    fields: Fields


def read_config(paths: Paths) -> Config:
    """The whole configuration of all directories. Raises InvalidSpec naming the file, HostFailure."""
    config = Config()
    for config_dir in paths.config_dirs:
        documents = [found for directory in _MERGED for found in read_documents(config_dir, directory)]
        config = merged(config, documents)
    if config.docker_files:
        from .authfiles import logins_in

        of_files, helpers = logins_in(config.docker_files, _check_mode)
        config = config.replace(of_files=of_files, helpers=helpers)
    return config


def configured_paths(paths: Paths) -> Config:
    """The configured paths; nothing else is read for them."""
    return _of_one_kind(paths, PATHS_D)


def configured_stage1(paths: Paths) -> Config:
    """The configured default stage1, and the directory of stage1 images; nothing else is read for it."""
    found = _of_one_kind(paths, "stage1.d")
    return found.replace(stage1_images=configured_paths(paths).stage1_images)


def configured_limits(paths: Paths) -> Limits:
    """The configured limits; nothing else is read for them."""
    return _of_one_kind(paths, "limits.d").limits


def configured_isolators(paths: Paths) -> str:
    """The configured policy for isolators of images beyond the defaults, "" for none; nothing else is read for it."""
    return _of_one_kind(paths, "policy.d").image_isolators


def configured_private_users(paths: Paths) -> bool:
    """Whether pods have their own users where nothing else is asked for; nothing else is read for it."""
    return bool(_of_one_kind(paths, "policy.d").private_users)


def configured_mirrors(paths: Paths) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The configured mirrors of registries; nothing else is read for them."""
    return _of_one_kind(paths, "registries.d").mirrors


def _of_one_kind(paths: Paths, directory: str) -> Config:
    config = Config()
    for config_dir in paths.config_dirs:
        config = merged(config, read_documents(config_dir, directory))
    return config


def merged(config: Config, documents: list[Document]) -> Config:
    """A configuration, overridden by the documents of one directory. Pure. Raises InvalidSpec naming the file."""
    said = _Said()
    for document in documents:
        with of_file(document.where):
            _READERS[document.kind](document.fields, said)
    return config.replace(
        auth=tuple(sorted({**dict(config.auth), **said.auth}.items(), key=_name)),
        docker=tuple(sorted({**dict(config.docker), **said.docker}.items(), key=_name)),
        docker_files=(*said.files, *(path for path in config.docker_files if path not in said.files)),
        limits=config.limits.replace(**said.limits),
        mirrors=tuple(sorted({**dict(config.mirrors), **said.mirrors}.items(), key=_name)),
        **said.single,
    )


class _Said:
    """The settings of the documents of one directory; none may be set twice."""

    def __init__(self) -> None:
        self.auth: dict[str, Credentials] = {}
        self.docker: dict[str, tuple[str, str]] = {}
        self.files: list[str] = []
        self.single: dict[str, str | bool] = {}
        self.limits: dict[str, int] = {}
        self.mirrors: dict[str, tuple[str, ...]] = {}

    def say(self, field: str, value: str | bool, what: str) -> None:
        """Set one of the single fields of Config."""
        _put(self.single, field, value, what)


def _put(held: dict[str, T], key: str, value: T, what: str) -> None:
    if key in held:
        raise InvalidSpec(f"{what} is already specified")
    held[key] = value


def _name(pair: tuple[str, T]) -> str:
    return pair[0]


@contextmanager
def of_file(path: str, doing: str = "") -> Iterator[None]:
    """Let what is wrong in a file name it: in the message, since podctl leaves out where, which means an option."""
    try:
        yield
    except InvalidSpec as err:
        raise InvalidSpec(f"{doing}{path}: {err.message}", err.hint) from err


def parse_document(data: bytes, directory: str, where: str) -> Document:
    """A file of the configuration, checked for its kind and version. Raises InvalidSpec naming the file. Pure."""
    with of_file(where, "cannot read configuration "):
        fields = Fields(parse_json(data, "it"), "")
        kind, version = fields.text("rktKind", ""), fields.text("rktVersion", "")
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
    return Document(where, kind, fields)


def read_documents(config_dir: str, directory: str) -> list[Document]:
    """The documents of a directory, by their names. Raises InvalidSpec naming the file, HostFailure."""
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


def _read_auth(fields: Fields, said: _Said) -> None:
    credentials = _credentials(fields, _secret(fields, "type"))
    for domain in _names(fields, "domains"):
        _put(said.auth, domain, credentials, f'auth for domain "{domain}"')


def _credentials(fields: Fields, kind: str) -> Credentials:
    given = _login(fields)
    if kind == "basic":
        return Credentials(kind, user=_secret(given, "user"), password=_secret(given, "password"))
    if kind == "oauth":
        return Credentials(kind, token=_for_a_header(given, "token"))
    if kind == "aws":
        return Credentials(
            kind,
            access_key=_for_a_header(given, "accessKeyID"),
            secret_key=_secret(given, "secretAccessKey"),
            region=fields.text("awsRegion", ""),
        )
    raise InvalidSpec(f'unknown auth type "{kind}"', "use basic, oauth or aws", where="type")


def _for_a_header(fields: Fields, name: str) -> str:
    """A secret that a header has as it is: the HTTP library would show one that is no header."""
    text = _secret(fields, name)
    if not (text.isascii() and text.isprintable()):
        raise InvalidSpec(
            "it has a character that no token has, such as a line break", where=fields.where_of(name)
        )
    return text


def _read_docker_auth(fields: Fields, said: _Said) -> None:
    given = _login(fields)
    pair = _secret(given, "user"), _secret(given, "password")
    for registry in _names(fields, "registries"):
        _put(said.docker, registry, pair, f'auth for docker registry "{registry}"')


def _read_docker_auth_files(fields: Fields, said: _Said) -> None:
    for path in _names(fields, "files"):
        if not os.path.isabs(path):
            raise InvalidSpec(f'"{path}" is not an absolute path', where="files")
        if path not in said.files:
            said.files.append(path)


def _read_paths(fields: Fields, said: _Said) -> None:
    for member, field, what in (
        ("data", "data_dir", "data directory"),
        ("leases", "leases", "directory of leases"),
        ("stage1-images", "stage1_images", "stage1 images directory"),
    ):
        path = fields.text(member, "")
        if path and not os.path.isabs(path):
            raise InvalidSpec(f"the {what} must be an absolute path", where=member)
        if path:
            said.say(field, path, what)


def _read_stage1(fields: Fields, said: _Said) -> None:
    name, version, location = (fields.text(member, "") for member in ("name", "version", "location"))
    if bool(name) != bool(version):
        raise InvalidSpec("default stage1 name and version must be given together")
    if name:
        said.say("stage1_name", name, "default stage1 name")
        said.say("stage1_version", version, "default stage1 version")
    if location:
        scheme = location.split(":", 1)[0]
        if not os.path.isabs(location) and scheme not in ("file", "docker", "http", "https"):
            raise InvalidSpec(
                "default stage1 image location is either a relative path or a URL without scheme"
            )
        said.say("stage1_location", location, "default stage1 location")


def _read_limits(fields: Fields, said: _Said) -> None:
    for field, bound in limits_of_fields(fields).items():
        _put(said.limits, field, bound, f'"{MEMBERS[field]}"')


def _read_policy(fields: Fields, said: _Said) -> None:
    policy = policy_of_fields(fields)
    if policy:
        said.say("image_isolators", policy, "policy for isolators of images")
    own_users = fields.optional_boolean(USERS_MEMBER)
    if own_users is not None:
        said.say("private_users", own_users, "policy for the users of pods")


def _read_mirrors(fields: Fields, said: _Said) -> None:
    registry = fields.text("registry")
    _put(said.mirrors, registry, fields.strings("mirrors"), f'mirrors of the registry "{registry}"')


_READERS: dict[str, Callable[[Fields, _Said], None]] = {
    "auth": _read_auth,
    "dockerAuth": _read_docker_auth,
    "dockerAuthFiles": _read_docker_auth_files,
    "paths": _read_paths,
    "stage1": _read_stage1,
    "limits": _read_limits,
    "policy": _read_policy,
    "registryMirrors": _read_mirrors,
}


def _login(fields: Fields) -> Fields:
    """The object of credentials. What is there instead is not shown: it may be a secret."""
    if not isinstance(fields.raw("credentials"), dict):
        raise InvalidSpec("no credentials are given", "write them as an object", where="credentials")
    return fields.within("credentials")


def _secret(fields: Fields, name: str) -> str:
    """A text that says something. What is there instead is not shown: it may be a secret."""
    value = fields.raw(name)
    if value is None or value == "":
        raise InvalidSpec("missing or empty", f"add {name}", where=fields.where_of(name))
    return checked_text(value, fields.where_of(name), f'"{name}":', secret=True)


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    found = fields.strings(name)
    if not found or not all(found):
        raise InvalidSpec("must be a list of names", where=fields.where_of(name))
    return found
