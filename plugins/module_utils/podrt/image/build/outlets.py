# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image that is built goes beside the store: a file, its signature, a registry; and what is there already."""

from __future__ import annotations

import hashlib
import os

from ...appc.names import ImageID
from ...errors import Corrupt, HostFailure, InvalidSpec, NotFound, PodError
from ...host import files
from ...host.limits import Limits
from ...store import stream
from ...store.allowance import Allowance
from ..content import Blob, blob_of
from . import oci
from .built import write, write_layer
from .tarball import OPEN_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.host import Host
    from ..policy import FetchPolicy
    from ..push import PushedImage
    from ..reference import DockerReference
    from .built import Built

# What is in a place that has another image, or something else.
OTHER = "other content"
_LARGEST_DOCUMENT = 4 << 20


def check_place(path: str) -> None:
    """Raise NotFound, InvalidSpec for a path that no file can be written to."""
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        raise InvalidSpec(f"{path} is a directory", "name a file", where="dest")
    if not os.path.isdir(directory):
        raise NotFound(f"cannot write {path}: the directory {directory} does not exist", "make it first")


def write_file(built: Built, path: str, mode: int) -> None:
    """Write an image so that a crash leaves the old file or the new one. Raises Conflict, HostFailure."""
    try:
        with files.replacing(path, mode) as fd:
            write(built, fd)
    except OSError as err:
        raise HostFailure.of(f"cannot write {path}", err) from err


def identity_of(built: Built, path: str) -> str | None:
    """The identity of the image in a file, None for no file, OTHER for what is not as it would be written,
    such as a link, whose target others may choose.

    Reads it to its end. Raises HostFailure.
    """
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        return OTHER
    try:
        return _aci_of(built, path) if built.is_aci else _archive_of(built, path)
    except (Corrupt, NotFound):
        return OTHER
    except PodError as err:
        if err.kind in ("unsupported", "untrusted", "invalid-spec"):
            return OTHER
        raise
    except OSError as err:
        raise HostFailure.of(f"cannot read {path}", err) from err


def _aci_of(built: Built, path: str) -> str:
    digest = hashlib.sha512()
    head = next(stream.file_chunks(path), b"")
    if bool(stream.compression(head)) != built.recipe.compress:
        return OTHER
    for chunk in stream.metered(stream.file_chunks(path), _allowance(built)):
        digest.update(chunk)
    return str(ImageID.of_digest(digest.hexdigest()))


def _archive_of(built: Built, path: str) -> str:
    """The identity of an OCI archive, if all of it is as it would be written but for how the layer is compressed."""
    from ..archive_files import TarFiles, chunks, read
    from ..manifests import read_manifest
    from ..reference import INDEX

    archive = TarFiles(path, path)
    try:
        index = read_manifest(read(archive, INDEX, _LARGEST_DOCUMENT), path)
        entry = next(iter(index.each("manifests")))
        found = read(archive, oci.path_of(Blob(entry.text("digest"), 0)), _LARGEST_DOCUMENT)
        layer = next(iter(read_manifest(found, path).each("layers")))
        blob = Blob(layer.text("digest"), layer.integer("size"))
        for name, data in oci.layout_of(built.recipe, built.config, blob):
            if read(archive, name, _LARGEST_DOCUMENT) != data:
                return OTHER
        sent = stream.verified_chunks(chunks(archive, oci.path_of(blob)), blob.digest, blob.size)
        digest = hashlib.sha256()
        for chunk in stream.metered(sent, _allowance(built)):
            digest.update(chunk)
        return built.identity if digest.hexdigest() == built.digest else OTHER
    except StopIteration:
        return OTHER
    finally:
        archive.close()


def _allowance(built: Built) -> Allowance:
    """As much as the image has, however well it is compressed."""
    return Allowance(Limits(unpacked_bytes=built.size, unpacked_ratio=built.size))


def signature_of(path: str) -> str:
    """The file with the signature of another."""
    from ..sources.source import SIGNATURE_SUFFIX

    return f"{path}{SIGNATURE_SUFFIX}"


def pushed_image(host: Host, reference: DockerReference, policy: FetchPolicy) -> PushedImage | None:
    """What a tag means, None without such a tag. Raises Unreachable, Untrusted, InvalidSpec, HostFailure."""
    from ..push import repository_of

    return repository_of(host, reference, policy).image()


def is_pushed(built: Built, found: PushedImage) -> bool:
    """Whether what a tag means is this image, however its layer is compressed."""
    return (
        found.layer is not None and oci.manifest_of(built.recipe, built.config, found.layer) == found.manifest
    )


def push(host: Host, built: Built, reference: DockerReference, policy: FetchPolicy) -> str:
    """Send an image, only what the registry lacks, and have a tag mean it. Returns the digest of its manifest.

    Raises Unreachable, Untrusted, Conflict, HostFailure.
    """
    from ...store.workspace import Workspace
    from ..push import repository_of

    repository = repository_of(host, reference, policy)
    try:
        with Workspace(host.paths) as workspace:
            fd = os.open(workspace.sent, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OPEN_FILE)
            try:
                layer = write_layer(built, fd)
            finally:
                os.close(fd)
            repository.put(layer, lambda: stream.file_chunks(workspace.sent))
    except OSError as err:
        raise HostFailure.of(f"cannot push {reference}", err) from err
    repository.put(blob_of(built.config), lambda: iter((built.config,)))
    return repository.tag(oci.manifest_of(built.recipe, built.config, layer))
