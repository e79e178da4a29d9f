# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""References to images: by name, docker reference, URL, file, key or archive. Source: behaviours B1 to B7, B38."""

from __future__ import annotations

import os

from ..appc.alphabet import ALNUM, DIGITS, HEX, LETTERS, LOWER_ALNUM, is_joined, is_made_of, is_word
from ..appc.labels import Labels
from ..appc.names import KEY_PREFIX, ACIdentifier
from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    ImageReference = Union[
        "AppcName", "DockerReference", "ArchiveURL", "LocalFile", "SavedImage", "SentFile", "ImageKey"
    ]

DOCKER_HUB = "registry-1.docker.io"
# Other names of that registry.
_HUB_ALIASES = ("docker.io", "index.docker.io")
# The document of an OCI layout that changes with its images.
INDEX = "index.json"
SAVED_FORMS = ("docker-archive", "oci-archive", "oci")
_MOST_PLACE_DIGITS = 4
_SCHEME = ALNUM + "+.-"
_LONGEST_TAG = 128
_DIGEST, _DIGEST_DIGITS = "sha256:", 64
_HOST = ALNUM + "._-"
_IPV6 = DIGITS + "abcdefABCDEF:."


class AppcName(Value):
    """An image by name and labels. No version label means the latest."""

    name: ACIdentifier
    labels: Labels = Labels()

    def __str__(self) -> str:
        version = self.labels.get("version")
        others = [f",{name}={value}" for name, value in self.labels.pairs if name != "version"]
        return "".join((self.name, f":{version}" if version is not None else "", *others))

    @property
    def source(self) -> str:
        """The name of its record in the store; the order of labels does not matter."""
        labels = "&".join(f"{escape(name)}={escape(value)}" for name, value in self.labels.pairs)
        return f"cimd:appc:v=0:{self.name}" + (f"?{labels}" if labels else "")

    def check(self) -> None:
        """Raise InvalidSpec for labels that its text could not express."""
        for name, value in self.labels.pairs:
            if "," in value or (name == "version" and ":" in value):
                raise InvalidSpec(f'"{value}" is not a valid value of label {name}', where="image")


class DockerReference(Value):
    """An image in a docker registry, by tag or by digest ("sha256:" and 64 digits); exactly one is given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def check(self) -> None:
        """Raise InvalidSpec for a part that is not valid, and unless there is either a tag or a digest."""
        for part, is_valid, what in (
            (self.registry, _is_registry(self.registry), "registry"),
            (self.repository, _is_repository(self.repository), "repository"),
            (self.tag, not self.tag or _is_tag(self.tag), "tag"),
            (self.digest, not self.digest or _is_digest(self.digest), "digest"),
        ):
            if not is_valid:
                raise InvalidSpec(f'"{part}" is not a valid {what} of a docker reference', where="image")
        if bool(self.tag) == bool(self.digest):
            raise InvalidSpec("a docker reference has a tag or a digest", where="image")

    def __str__(self) -> str:
        return f"docker://{self.name}"

    @property
    def name(self) -> str:
        """The reference without a scheme, with every default written out."""
        return f"{self.registry}/{self.repository}" + (f"@{self.digest}" if self.digest else f":{self.tag}")

    @property
    def source(self) -> str:
        """The name of its record in the store."""
        return f"cimd:docker:v=0:{self.name}"


class ArchiveURL(Value):
    """An ACI at an http:// or https:// URL. str is for messages: it omits the query, which may hold a secret."""

    url: str

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def domain(self) -> str:
        """Its host, with the port where it has one."""
        return _before(self.url.partition("://")[2], "/?#")

    def check(self) -> None:
        """Raise InvalidSpec for a backslash, a user or a password: URLs are shown and recorded in many places."""
        if "\\" in self.url:
            raise InvalidSpec(
                f"the URL {shown(self.url)} holds a backslash",
                "write it as %5C, or as a slash",
                where="image",
            )
        if "@" in self.domain:
            raise InvalidSpec(
                f"the URL {shown(self.url)} holds a user or a password",
                "take it out; credentials belong in auth.d",
                where="image",
            )

    @property
    def source(self) -> str:
        """The name of its record in the store; with only a digest of the query, which may hold a secret."""
        path, mark, query = self.url.partition("?")
        if not mark:
            return f"cimd:aci-archive:v=0:{escape(path)}"
        import hashlib

        return f"cimd:aci-archive:v=0:{escape(path)}?sha256={hashlib.sha256(query.encode()).hexdigest()}"


class LocalFile(Value):
    """An ACI in a file of this host; the path is absolute."""

    path: str

    def __str__(self) -> str:
        return self.path

    @property
    def source(self) -> str:
        """The name of its record in the store."""
        return f"cimd:aci-archive:v=0:{escape(f'file://{self.path}')}"


class SavedImage(Value):
    """An image that docker, podman, buildah or skopeo saved to a file or a directory of this host.

    form: one of SAVED_FORMS. path: absolute. choice: which one of several images, a name in the archive or "@" and its
    place, which begins at 0; "" for the only one. wanted: what it is loaded as, None where it is named by its path.
    """

    form: str
    path: str
    choice: str = ""
    wanted: DockerReference | None = None

    def check(self) -> None:
        """Raise InvalidSpec for a form, a path or a choice that its text could not express."""
        if self.form not in SAVED_FORMS:
            raise InvalidSpec(f'"{self.form}" is not a form of a saved image', where="image")
        is_ambiguous = not self.choice and bool(_place_at_end(self.path))
        if not os.path.isabs(self.path) or ":" in self.path or is_ambiguous:
            raise InvalidSpec(
                f'"{self.path}" cannot be the path of a saved image',
                "give an absolute path without a colon; after one that ends in @ and digits, write :@0",
                where="image",
            )
        if self.choice.startswith("@") and not _place_at_end(self.choice):
            raise InvalidSpec(
                f'"{self.choice}" is not the place of an image',
                "write @0 for the first one, @1 for the second",
                where="image",
            )

    def __str__(self) -> str:
        return str(self.wanted or f"{self.form}:{self.path}" + (f":{self.choice}" if self.choice else ""))

    @property
    def is_directory(self) -> bool:
        """Whether the path is one of a directory."""
        return self.form == "oci"

    @property
    def source(self) -> str:
        """The name of its record in the store."""
        choice = f"?{escape(self.choice)}" if self.choice else ""
        return self.wanted.source if self.wanted else f"cimd:{self.form}:v=0:{escape(self.path)}{choice}"


class SentFile(Value):
    """An image in a file that the controller sends. wanted: what it stands for, None for what it calls itself.

    digest: of the file, SHA-256. path: on the controller. form: "aci" or one of SAVED_FORMS. The rest is what only the
    content proves: name is that of an ACI, document the list of images of another, signature the one at signature_path.
    cuts: where its pieces begin, and its end. layers: diff ID, begin and end of those that need not come again.
    """

    digest: str
    path: str
    wanted: AppcName | DockerReference | None
    form: str
    size: int
    name: str = ""
    document: str = ""
    signature: bytes = b""
    signature_path: str = ""
    cuts: tuple[int, ...] = ()
    layers: tuple[tuple[str, int, int], ...] = ()

    def __str__(self) -> str:
        return str(self.wanted or self.path)

    @property
    def source(self) -> str:
        """The name of its record in the store."""
        wanted = f"?{escape(str(self.wanted))}" if self.wanted else ""
        return f"cimd:sent:v=0:sha256-{self.digest}{wanted}"


class ImageKey(Value):
    """An image in the store by the beginning of its ID."""

    prefix: str

    def __str__(self) -> str:
        return self.prefix

    @property
    def source(self) -> str:
        """The name of its record in the store."""
        return self.prefix


def parse_reference(
    text: str, where: str = "", *, keys: bool = True, relative: bool = True
) -> ImageReference:
    """Read a reference such as docker://busybox or example.com/app:1.0. Raises InvalidSpec naming where.

    keys: whether a text that begins with sha512- is a key, as everywhere but in fetch (B1). relative: whether a file
    may be named by a relative path; then the file system is searched for it (B2). Callers without a working directory
    of the user, such as a task, pass False, so that a name means the same everywhere.
    """
    try:
        return _parse(text, keys, relative)
    except InvalidSpec as err:
        if err.where == where:
            raise
        raise InvalidSpec(err.reason, err.hint, where=where) from err


def parse_appc_name(text: str) -> AppcName:
    """Read NAME[:VERSION][,label=value]... (B5). Raises InvalidSpec."""
    head, *pairs = text.split(",")
    name, colon, version = head.partition(":")
    labels: dict[str, str] = {"version": version} if colon else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidSpec(f'"{pair}" is not a label', "write label=value")
        if key in labels:
            raise InvalidSpec(f'label "{key}" is given twice')
        labels[ACIdentifier(key)] = value
    if ":" in version or "@" in version or (colon and not version):
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "write NAME:VERSION,label=value")
    return AppcName(ACIdentifier(name), Labels(tuple(sorted(labels.items()))))


def parse_docker(text: str) -> DockerReference:
    """Read [REGISTRY/]NAME[:TAG][@sha256:DIGEST] (B38). Raises InvalidSpec."""
    rest, _at, digest = text.partition("@")
    first, slash, path = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first, path
    else:
        registry = DOCKER_HUB
    registry = DOCKER_HUB if registry in _HUB_ALIASES else registry
    repository, colon, tag = rest.rpartition(":")
    if not colon:
        repository, tag = rest, "latest"
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if _at and not digest.startswith(_DIGEST):
        # The text before it may be a password, and is not shown.
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "write NAME@sha256:DIGEST")
    return DockerReference(registry, repository, "" if digest else tag, digest)


def parse_saved(text: str, *, relative: bool = False) -> SavedImage:
    """Read FORM:PATH[:NAME], FORM:PATH:@PLACE or FORM:PATH@PLACE. Raises InvalidSpec.

    NAME may be REPOSITORY:TAG. relative: as in parse_reference, except that no file is searched for.
    """
    form, _colon, rest = text.partition(":")
    path, colon, choice = rest.partition(":")
    if not colon:
        choice = _place_at_end(path)
        path = path[: len(path) - len(choice)]
    if not path or (colon and not choice):
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', f"write {form}:PATH or {form}:PATH:NAME")
    if not relative and not os.path.isabs(path):
        raise InvalidSpec(
            f'invalid image string "{_quoted(text)}"', "give the absolute path of a file of the host"
        )
    return SavedImage(form, os.path.abspath("/" + path.lstrip("/") if path[0] == "/" else path), choice)


def names_of_registry(registry: str) -> tuple[str, ...]:
    """What a registry may be called: docker.io means that of Docker Hub, as everywhere."""
    names = (DOCKER_HUB, *_HUB_ALIASES)
    return names if registry in names else (registry,)


def is_discoverable(name: str) -> bool:
    """Whether the first part of an image name is a host that discovery can ask; Docker Hub is a registry."""
    host = name.partition("/")[0]
    return "." in host and host not in names_of_registry(DOCKER_HUB)


def as_docker(text: str) -> str:
    """The docker:// form of a text such as docker.io/library/nginx:1.27, "" when it is not a docker reference."""
    try:
        parse_docker(text)
    except InvalidSpec:
        return ""
    return f"docker://{text}"


def _parse(text: str, keys: bool, relative: bool) -> ImageReference:
    if not text or text != text.strip() or "\0" in text:
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "name an image")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "it is not UTF-8") from None
    if keys and text.startswith(KEY_PREFIX):
        return ImageKey(text)
    if os.path.isabs(text):
        return LocalFile(os.path.normpath(text))
    scheme, colon, rest = text.partition(":")
    if not colon or not is_word(scheme, _SCHEME, LETTERS):
        return _named_or_file(text, relative)
    scheme = scheme.lower()
    if scheme in ("http", "https", "file"):
        return _archive(text, scheme)
    if scheme == "docker":
        return parse_docker(rest[2:] if rest.startswith("//") else rest)
    if scheme in SAVED_FORMS:
        return parse_saved(text, relative=relative)
    if scheme == "cimd":
        return _parse_cimd(text)
    return _named_or_file(text, relative)


def _place_at_end(text: str) -> str:
    """The "@" and the digits at the end of a text, "" without them."""
    digits = text.rpartition("@")[2]
    is_place = digits != text and is_made_of(digits, DIGITS) and len(digits) <= _MOST_PLACE_DIGITS
    return f"@{digits}" if is_place else ""


def _is_registry(text: str) -> bool:
    """Whether this is a name or, in brackets, an IPv6 address; a port may follow."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        is_host = bool(bracket) and is_made_of(host, _IPV6)
    else:
        host = text.split(":", 1)[0]
        port, is_host = text[len(host) :], is_made_of(host, _HOST)
    return is_host and (not port or (port[0] == ":" and is_made_of(port[1:], DIGITS)))


def _is_repository(text: str) -> bool:
    return all(map(_is_component, text.split("/")))


def _is_component(text: str) -> bool:
    """Whether this is letters and digits, joined by a dot, by one or two underscores, or by dashes."""
    joints = "".join(" " if letter in LOWER_ALNUM else letter for letter in text).split(" ")
    return is_joined(text, LOWER_ALNUM, "._-") and all(
        joint in ("", ".", "_", "__") or is_made_of(joint, "-") for joint in joints
    )


def _is_tag(text: str) -> bool:
    return is_word(text, ALNUM + "_.-", ALNUM + "_") and len(text) <= _LONGEST_TAG


def _is_digest(text: str) -> bool:
    kind, digits = text[: len(_DIGEST)], text[len(_DIGEST) :]
    return kind == _DIGEST and len(digits) == _DIGEST_DIGITS and is_made_of(digits, HEX)


def _named_or_file(text: str, relative: bool) -> ImageReference:
    """Read a name or a path in rkt's order: an existing file, a colon for a name, then a text like a path (B2)."""
    if relative and os.path.isfile(text):
        return LocalFile(os.path.abspath(text))
    if ":" in text or ("./" not in text and not text.endswith(".aci")):
        try:
            return parse_appc_name(text)
        except InvalidSpec as err:
            written = as_docker(text)
            hint = f"for an image of a docker registry write {written}" if written else err.hint
            raise InvalidSpec(err.reason, hint) from err
    if not relative:
        raise InvalidSpec(
            f'invalid image string "{_quoted(text)}"', "give the absolute path of a file of the host"
        )
    return LocalFile(os.path.abspath(text))


def _archive(text: str, scheme: str) -> ImageReference:
    """Read a URL whose path ends in .aci; a file:// URL gives a LocalFile."""
    path = text.split("#", 1)[0].split("?", 1)[0]
    authority, slash, _path = path.partition("://")[2].partition("/")
    if not path.endswith(".aci") or not slash or (scheme != "file" and not authority):
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "the path of the URL must end in .aci")
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "write file:///PATH")
        return LocalFile(os.path.normpath(unescape(path.partition("://")[2][len(authority) :])))
    return ArchiveURL(f"{scheme}{text[len(scheme) :]}")


def _parse_cimd(text: str) -> ImageReference:
    """Read cimd:TYPE:v=0:REST (B4)."""
    parts = text.split(":", 3)
    if len(parts) < 4 or parts[2] != "v=0":
        raise InvalidSpec(f'invalid image string "{_quoted(text)}"', "write cimd:TYPE:v=0:REST")
    kind, rest = parts[1], parts[3]
    if kind == "docker":
        return parse_docker(rest)
    if kind == "aci-archive":
        url = unescape(rest)
        return _archive(url, url.partition(":")[0].lower())
    if kind == "appc":
        name, _mark, query = rest.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        labels = {ACIdentifier(unescape(key)): unescape(value) for key, _equals, value in pairs}
        return AppcName(ACIdentifier(name), Labels(tuple(sorted(labels.items()))))
    if kind in SAVED_FORMS:
        path, _mark, choice = rest.partition("?")
        return SavedImage(kind, unescape(path), unescape(choice))
    raise InvalidSpec(
        f'invalid image string "{_quoted(text)}"', "use cimd:docker, cimd:appc or cimd:aci-archive"
    )


def shown(url: str) -> str:
    """A URL that is safe to show: without a query, which may hold a signature, and without a password."""
    scheme, separator, rest = _before(url, "?#").partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def without_secrets(text: str) -> str:
    """A text without the users, passwords and queries of the URLs in it."""
    import re  # for errors alone

    return re.sub(r"[?#]\S*", "", re.sub(r"[^\s/]*@", "", text))


def _quoted(text: str) -> str:
    """The text of a reference that is safe to show in an error: a template may have put a password there."""
    if "://" in text:
        return shown(text)
    return f"...@{text.rpartition('@')[2]}" if "@" in text else text


def _before(text: str, ends: str) -> str:
    """A text up to the first of these characters."""
    for end in ends:
        text = text.partition(end)[0]
    return text


def escape(text: str) -> str:
    """A text, percent-encoded as in the query of a URL. Importing urllib would cost each start 5 ms."""
    kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in text.encode())


def unescape(text: str) -> str:
    """A text without its percent-encoding. Raises InvalidSpec for a % without two hex digits, or if not UTF-8."""
    if "%" not in text:
        return text
    import re  # as urllib does
    from urllib.parse import unquote

    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise InvalidSpec(f'invalid URL escape in "{text}"', "write %25 for a percent sign")
    try:
        plain = unquote(text, errors="strict")
        plain.encode()  # fails for half of a surrogate pair
    except UnicodeError:
        raise InvalidSpec(f'invalid URL escape in "{text}"', "it must be UTF-8") from None
    return plain
