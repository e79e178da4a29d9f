# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that is built: known by its content before anything is written, and written as often as it is needed.

The archive is made twice, once for its digest and once to be written, and never kept: what is unchanged costs one
reading of its files. What changes in between is noticed, since the second archive must have the digest of the first.
"""

from __future__ import annotations

import hashlib
import os

from ...appc.names import ImageID
from ...host.files import write_all
from ...store import index, tar
from ...value import Value
from ..content import Blob, blob_of
from ..convert import DockerConfig
from ..manifests import DockerImage, LayerBlob, read_config
from . import oci, tarball
from .members import has_changed
from .recipe import ACI
from .tree import members_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .members import Member
    from .recipe import Recipe

_ACI_PREFIX, _LAYER_PREFIX = "rootfs/", "./"


class Built(Value):
    """An image as it would be written. digest: of its archive, hexadecimal, SHA-512 for an ACI, else SHA-256.

    size: of that archive. config: the configuration of an OCI image.
    """

    recipe: Recipe
    members: tuple[Member, ...]
    digest: str
    size: int
    config: bytes = b""

    @property
    def is_aci(self) -> bool:
        """Whether it is an ACI, and not an OCI image."""
        return self.recipe.format == ACI

    @property
    def diff_id(self) -> str:
        """The digest of the layer of an OCI image, uncompressed."""
        return f"sha256:{self.digest}"

    @property
    def identity(self) -> str:
        """What names its content: the ID of an ACI, the digest of the configuration of an OCI image."""
        return str(ImageID.of_digest(self.digest)) if self.is_aci else blob_of(self.config).digest

    @property
    def docker_image(self) -> DockerImage:
        """An OCI image as one of a registry, with a layer that is not compressed."""
        reference = oci.reference_of(self.recipe.manifest)
        digest = blob_of(self.config).digest
        layer = LayerBlob(self.diff_id, self.size, self.diff_id)
        return DockerImage(reference, digest, "", digest, self._config, (layer,))

    @property
    def _config(self) -> DockerConfig:
        return read_config(self.config, self.recipe.manifest.full_name)


def build(recipe: Recipe) -> Built:
    """Read all files of an image. Raises InvalidSpec, NotFound, HostFailure, and Conflict if they change meanwhile."""
    if recipe.format != ACI:
        oci.check(recipe)
    members = members_of(recipe)
    digest, size = _hasher(recipe), 0
    for chunk in _archive(recipe, members):
        digest.update(chunk)
        size += len(chunk)
    _check_unchanged(members, members_of(recipe))
    built = Built(recipe, members, digest.hexdigest(), size)
    return built if built.is_aci else built.replace(config=oci.config_of(recipe, built.diff_id))


def archive_of(built: Built) -> Iterator[bytes]:
    """The archive: an ACI, or the layer of an OCI image. Raises Conflict if its files are not those of before."""
    digest = _hasher(built.recipe)
    for chunk in _archive(built.recipe, built.members):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != built.digest:
        raise has_changed(f"the content of {built.recipe.manifest.full_name}")


def write(built: Built, target: int) -> None:
    """Write an image into an open file: an ACI, or an OCI archive. Raises Conflict, HostFailure, OSError."""
    if built.is_aci:
        for chunk in tarball.gathered(_packed(built)):
            write_all(target, chunk)
        return
    # The name and the size of the layer are known once it is written: its header is filled in then.
    write_all(target, bytes(tar.BLOCK))
    layer = write_layer(built, target)
    rest = [bytes(-layer.size % tar.BLOCK)]
    rest += [tarball.file_of(*file) for file in oci.layout_of(built.recipe, built.config, layer)]
    write_all(target, b"".join((*rest, tarball.END)))
    header = tar.header_of(tar.TarEntry(oci.path_of(layer), tar.FILE, tarball.OPEN_FILE, layer.size))
    os.pwrite(target, header, 0)


def write_layer(built: Built, target: int) -> Blob:
    """Write the layer of an OCI image into an open file. Raises Conflict, HostFailure, OSError."""
    digest, size = hashlib.sha256(), 0
    for chunk in tarball.gathered(_packed(built)):
        digest.update(chunk)
        size += len(chunk)
        write_all(target, chunk)
    return Blob(f"sha256:{digest.hexdigest()}", size)


def _packed(built: Built) -> Iterator[bytes]:
    chunks = archive_of(built)
    return tarball.gzipped(chunks) if built.recipe.compress else chunks


def _archive(recipe: Recipe, members: tuple[Member, ...]) -> Iterator[bytes]:
    if recipe.format == ACI:
        yield tarball.file_of("manifest", index.manifest_document(recipe.manifest))
    yield from tarball.gathered(
        tarball.archive_of(members, _ACI_PREFIX if recipe.format == ACI else _LAYER_PREFIX)
    )
    yield tarball.END


def _hasher(recipe: Recipe) -> hashlib._Hash:
    return hashlib.sha512() if recipe.format == ACI else hashlib.sha256()


def _check_unchanged(before: tuple[Member, ...], after: tuple[Member, ...]) -> None:
    """Raise Conflict naming a path that is not what it was."""
    if before == after:
        return
    old, new = ({member.path: member for member in found} for found in (before, after))
    path = next(path for path in sorted({**old, **new}) if old.get(path) != new.get(path))
    raise has_changed(f"the source of /{path}")
