# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on their way out of the store: as ACIs, and as directories. Source: behaviours A57."""

from __future__ import annotations

import io
import os
import tarfile

from ..appc.image import LAYERS_ANNOTATION
from ..errors import HostFailure
from ..host import files
from . import index, layers, trees, verification
from .locks import adding
from .workspace import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths
    from .index import StoredImage

_ROOT = "rootfs"
_XATTR = "SCHILY.xattr."


def write_archive(paths: Paths, image: StoredImage, target: int) -> None:
    """Write an image as an uncompressed ACI into an open file.

    An ACI comes out as it was sent, byte for byte; a docker image as one root with all its layers. Raises Corrupt for
    a damaged one, of which something may have been written, NotFound, HostFailure.
    """
    try:
        if image.layers == (image.id,):
            for chunk in verification.checked_archive(paths, image.id):
                files.write_all(target, chunk)
            return
        with Workspace(paths) as workspace:
            root = workspace.make_root()
            _copy_own(paths, image, root)
            _write_root(image, root, target)
    except OSError as err:
        raise HostFailure.of(f"cannot export image {image.id}", err) from err


def extract(paths: Paths, image: StoredImage, target: str) -> None:
    """Copy the image's own files, without those of its dependencies, into an existing directory.

    Raises NotFound, Corrupt, HostFailure.
    """
    try:
        _copy_own(paths, image, target)
    except OSError as err:
        raise HostFailure.of(f"cannot extract image {image.id}", err) from err


def manifest_of(image: StoredImage) -> bytes:
    """The manifest of an image whose layers have become one root. Raises Corrupt."""
    kept = tuple(pair for pair in image.manifest.annotations.pairs if pair[0] != LAYERS_ANNOTATION)
    annotations = image.manifest.annotations.replace(pairs=kept)
    return index.manifest_document(image.manifest.replace(annotations=annotations))


def _copy_own(paths: Paths, image: StoredImage, target: str) -> None:
    from .overlay import Layering

    with adding(paths), Layering(target) as layering:
        trees.ensure_layers(paths, image)
        for layer_id in reversed(image.layers):
            layering.lay(f"{paths.trees}/{layers.layer_root(layer_id)}")


def _write_root(image: StoredImage, root: str, target: int) -> None:
    """Write the archive of a manifest and a directory: names, numbers and times alone, so that it is reproducible."""
    document = manifest_of(image)
    with (
        open(target, "wb", closefd=False) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive,
    ):
        entry = tarfile.TarInfo("manifest")
        entry.size, entry.mode = len(document), 0o644
        archive.addfile(entry, io.BytesIO(document))
        archive.add(root, _ROOT, filter=lambda member: _with_attributes(member, root))


def _with_attributes(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo:
    member.uname = member.gname = ""
    found = {}
    if member.isreg() or member.isdir():
        path = root + member.name[len(_ROOT) :]
        for name in os.listxattr(path, follow_symlinks=False):
            if name == "security.capability" or name.startswith("user."):
                value = os.getxattr(path, name, follow_symlinks=False)
                found[_XATTR + name] = value.decode("utf-8", "surrogateescape")
    member.pax_headers = found
    return member
