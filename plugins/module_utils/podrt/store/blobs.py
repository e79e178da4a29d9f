# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives on their way into the store: read once, hashed, kept and unpacked in the same pass.

What has been received counts once store.commit has put it into the index.

Source: appc spec "App Container Image"; behaviours B8, B11.
"""

from __future__ import annotations

import hashlib
import os

from ..appc.image import LAYERS_ANNOTATION, ImageManifest
from ..appc.names import ImageID
from ..contexts import contextmanager
from ..errors import Corrupt, HostFailure, InvalidSpec, NotFound
from ..fields import parse_json
from ..host import files
from ..host.locks import FileLock
from ..value import Value
from . import extract, index, layers, stream, tar
from .allowance import Allowance
from .workspace import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths

_MAX_MANIFEST = 4 << 20


class Incoming(Value):
    """An image in a workspace, whole and synced, of which the index of the store does not know.

    id: of what it holds. layers: topmost first; that of an ACI is in the workspace, those of a docker image are in
    place. sent: the digests of what was sent, "sha256:" and 64 digits each: the file of an ACI, the manifests of a
    docker image. workspace: its blob is the archive; with keep_sent the file is there, too. latest: see StoredImage.
    """

    id: ImageID
    manifest: ImageManifest
    layers: tuple[str, ...]
    sent: tuple[str, ...]
    workspace: Workspace
    latest: bool = False

    @property
    def has_own_layer(self) -> bool:
        """Whether its layer is in the workspace, and not in place."""
        return self.layers == (self.id,)


def receive_archive(
    paths: Paths, workspace: Workspace, chunks: Iterator[bytes], what: str, *, keep_sent: bool = False
) -> Incoming:
    """Unpack an ACI in a workspace. chunks: as it is stored or sent. what: its name in errors.

    Raises Corrupt, HostFailure and the errors of the stream.
    """
    sent, digest = hashlib.sha256(), hashlib.sha512()
    allowance = Allowance.configured(paths)
    as_sent = stream.hashed(_kept(chunks, workspace.sent) if keep_sent else chunks, sent)
    plain = stream.hashed(stream.read_ahead(stream.metered(as_sent, allowance)), digest)
    root = workspace.make_root()
    manifest, extraction = _unpack(_kept(plain, workspace.blob), root, what, allowance)
    if manifest.annotations.get(LAYERS_ANNOTATION) is not None:
        # It has the ID of that image, and none of its files.
        raise Corrupt(
            f"{what} is the record of a docker image, and not an image",
            "fetch the image by its docker reference",
        )
    image_id = ImageID.of_digest(digest.hexdigest())
    layers.seal(workspace, extraction, image_id)
    workspace.sync()
    return Incoming(image_id, manifest, (image_id,), (f"sha256:{sent.hexdigest()}",), workspace)


def receive_manifest(
    workspace: Workspace,
    manifest: ImageManifest,
    layer_ids: tuple[str, ...],
    sent: tuple[str, ...],
    *,
    latest: bool,
) -> Incoming:
    """Make the archive of an image whose layers are in place, topmost first.

    It holds the manifest and an empty root; it is byte for byte the same on every host, and so is its ID. Raises
    Corrupt for a manifest that could not be read back.
    """
    data = archive_of(manifest)
    files.write_new(workspace.blob, data, synced=True)
    image_id = ImageID.of_digest(hashlib.sha512(data).hexdigest())
    return Incoming(image_id, manifest, layer_ids, sent, workspace, latest)


def archive_of(manifest: ImageManifest) -> bytes:
    """The smallest ACI with this manifest: no times, no owners, an empty root. Raises Corrupt."""
    data = index.manifest_document(manifest)
    file = tar.header_of(tar.TarEntry("manifest", tar.FILE, 0o644, len(data))) + tar.padded(data)
    return file + tar.header_of(tar.TarEntry("rootfs/", tar.DIRECTORY, 0o755)) + bytes(2 * tar.BLOCK)


def manifest_as_sent(paths: Paths, image_id: ImageID) -> object:
    """The manifest as it is in the archive, in its order and spelling; the store's copy is rewritten.

    Raises NotFound when the archive is not in the store, Corrupt, HostFailure.
    """
    path, what = paths.blob(image_id), f"the manifest of image {image_id}"
    try:
        data = _manifest_document(stream.stored_chunks(path, Allowance.configured(paths)), what)
        if data is not None:
            return parse_json(data, what)
    except FileNotFoundError:
        raise NotFound(
            f"the archive of image {image_id} is not in the store", "fetch the image again"
        ) from None
    except OSError as err:
        raise HostFailure.of(f"cannot read the archive of image {image_id}", err) from err
    except InvalidSpec as err:
        raise Corrupt(
            f"the stored archive of image {image_id} is damaged: {err}", "fetch the image again"
        ) from err
    raise Corrupt(f"the stored archive of image {image_id} is damaged", "remove the image and fetch it again")


def manifest_in(paths: Paths, path: str) -> ImageManifest | None:
    """The manifest of an ACI in a file, None without one; reads no further. Raises OSError, Corrupt."""
    chunks = stream.metered(stream.file_chunks(path), Allowance.configured(paths))
    data = _manifest_document(chunks, f"the manifest of {path}")
    return None if data is None else _manifest(data, path)


def _manifest_document(chunks: Iterator[bytes], what: str) -> bytes | None:
    reader = tar.TarReader(chunks, sparse=True)
    for entry in reader:
        if entry.kind == tar.FILE and extract.clean(entry.name) == "manifest":
            return reader.content(_MAX_MANIFEST, what)
    return None


def archive_chunks(paths: Paths, image_id: ImageID, allowance: Allowance) -> Iterator[bytes]:
    """The stored archive of an image. Raises FileNotFoundError, OSError; at its end Corrupt unless it has the ID."""
    digest = hashlib.sha512()
    yield from stream.hashed(stream.stored_chunks(paths.blob(image_id), allowance), digest)
    if ImageID.of_digest(digest.hexdigest()) != image_id:
        raise Corrupt(
            f"the stored archive of image {image_id} is damaged", "remove the image and fetch it again"
        )


def restore_layer(paths: Paths, image_id: ImageID) -> None:
    """Unpack the stored archive of an ACI again. Raises Corrupt when it does not match its ID, or NotFound."""
    if not os.path.exists(paths.blob(image_id)):
        raise NotFound(f"the archive of image {image_id} is not in the store", "fetch the image again")
    with layers.lock_layer(paths, image_id), Workspace(paths) as workspace:
        if layers.has_layer(paths, image_id):
            return
        allowance = Allowance.configured(paths)
        chunks = archive_chunks(paths, image_id, allowance)
        _manifest_again, extraction = _unpack(chunks, workspace.make_root(), f"image {image_id}", allowance)
        for _rest in chunks:
            pass  # the digest is of all
        layers.commit(paths, workspace, extraction, image_id)


def lock_image(paths: Paths, image_id: ImageID) -> FileLock:
    """The lock for putting an image into the index, and for using one that another process may take back."""
    return FileLock(paths.image_lock(image_id), timeout=layers.LOCK_SECONDS)


def _unpack(
    chunks: Iterator[bytes], root: str, what: str, allowance: Allowance
) -> tuple[ImageManifest, extract.Extraction]:
    """Unpack the rootfs of an ACI; its manifest may be anywhere in the archive."""
    manifest: ImageManifest | None = None
    has_root = False
    reader = tar.TarReader(chunks, sparse=True)
    with extract.Extraction(root, allowance) as extraction:
        for entry in reader:
            path = extract.clean(entry.name)
            if path == "manifest" and entry.kind == tar.FILE and manifest is None:
                manifest = _manifest(reader.content(_MAX_MANIFEST, f"the manifest of {what}"), what)
            elif path == "rootfs" or path.startswith("rootfs/"):
                has_root = True
                _add(extraction, entry, path, reader)
            elif path:
                raise Corrupt(
                    f'{what} is not an image: unexpected "{entry.name}" beside its manifest and its rootfs'
                )
    if not reader.marked:
        raise Corrupt(
            f"{what} is cut: the blocks of zeros at the end of a tar archive are missing",
            "get or make the archive again",
        )
    if manifest is None or not has_root:
        raise Corrupt(f"{what} is not an image: it has no {'rootfs' if manifest else 'manifest'}")
    return manifest, extraction


def _add(extraction: extract.Extraction, entry: tar.TarEntry, path: str, reader: tar.TarReader) -> None:
    if entry.kind == tar.LINK:
        target = extract.clean(entry.link)
        if not target.startswith("rootfs/"):
            raise Corrupt(f'"{path}" is a hard link to "{target}", which is outside the root')
        entry.link = target[len("rootfs/") :]
    extraction.add(entry, path[len("rootfs/") :], reader)


def _manifest(data: bytes, what: str) -> ImageManifest:
    try:
        manifest = ImageManifest.from_json(parse_json(data, "it"))
    except InvalidSpec as err:
        raise Corrupt(f"the manifest of {what} is not valid: {err}") from err
    index.manifest_document(manifest)
    return manifest


def _kept(chunks: Iterator[bytes], path: str) -> Iterator[bytes]:
    """The same stream, also written to a file."""
    with open(path, "wb", buffering=0) as file:
        for chunk in chunks:
            with _writing():
                files.write_all(file.fileno(), chunk)
            yield chunk
        with _writing():
            files.sync(file.fileno())


@contextmanager
def _writing() -> Iterator[None]:
    """Blame errors on the store, such as a full disk, and not on the file that is read meanwhile."""
    try:
        yield
    except OSError as err:
        raise HostFailure.of("cannot keep the archive of the image", err, extract.hint_of(err)) from err


def put_blob(paths: Paths, image_id: ImageID, source: str) -> int:
    """Move the archive of an image into its place; return its size. The caller holds lock_image."""
    size = os.stat(source).st_size
    place = paths.blob(image_id)
    files.make_dirs(os.path.dirname(place))
    os.chmod(source, files.PRIVATE_FILE)
    files.take_over(source, place)
    return size
