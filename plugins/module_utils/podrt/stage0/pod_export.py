# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of an app as an image: the image that it was, with what the app has written, and without what it removed.

Source: behaviours A48; rkt export.
"""

from __future__ import annotations

from ..appc.image import LAYERS_ANNOTATION
from ..image.build import tarball
from ..store import index
from .copies.packed import Packing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..appc.image import ImageManifest
    from ..pod.subids import IdRange

    Write = Callable[[bytes], None]

_MANIFEST, _ROOT = "manifest", "rootfs"


class ExportedApp:
    """The image of an app. manifest: of the image that it was prepared from. root: a descriptor of its root.

    users: the pod's own, whose IDs become those of the image again. note: as of Packing.
    """

    def __init__(
        self, manifest: ImageManifest, root: int, users: IdRange | None, note: Callable[[str], None]
    ) -> None:
        self._manifest = _alone(manifest)
        self._root = root
        self._users = users
        self._note = note

    def write_aci(self, write: Write) -> None:
        """Write it as a compressed ACI. Raises InvalidSpec, OSError."""
        for chunk in tarball.gzipped(tarball.gathered(self._aci())):
            write(chunk)

    def write_oci(self, write: Write) -> None:
        """Write it as an archive of one layer, an OCI layout and docker's format at once. Raises as write_aci."""
        from ..image.build import shelved  # hashes, which an ACI does not need

        told: set[str] = set()
        shelved.write_one(self._manifest, lambda: self._layer(told), write)

    def _aci(self) -> Iterator[bytes]:
        yield tarball.file_of(_MANIFEST, index.manifest_document(self._manifest))
        yield from Packing(self._users, self._note).members(self._root, ".", _ROOT)
        yield tarball.END

    def _layer(self, told: set[str]) -> Iterator[bytes]:
        """The layer, which is packed twice. told: what was noted, to note it once."""

        def note(text: str) -> None:
            if text not in told:
                told.add(text)
                self._note(text)

        yield from tarball.gathered(Packing(self._users, note).members(self._root, ".", "."))
        yield tarball.END


def _alone(manifest: ImageManifest) -> ImageManifest:
    """The manifest of an image whose root has the files of its layers and of its dependencies."""
    kept = tuple(pair for pair in manifest.annotations.pairs if pair[0] != LAYERS_ANNOTATION)
    annotations = manifest.annotations.replace(pairs=kept)
    return manifest.replace(annotations=annotations, dependencies=(), path_whitelist=())
