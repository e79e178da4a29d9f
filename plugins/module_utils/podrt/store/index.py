# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images in the store, and the sources that they came from.

    cas/index/IMAGE-ID             one small document per image (_Entry); its mtime is when the image was last used
    cas/imageManifest/sha512/XX/IMAGE-ID
    cas/blob/sha512/XX/IMAGE-ID    the uncompressed archive that the ID is the hash of
    cas/remote/SOURCE              one document per source (Remote), with %2F for / in its name

No database: every document is replaced by rename, so readers need no lock, and an image is in the store once its index
document is. Source: behaviours B8 to B11, B18, B46, B47.
"""

from __future__ import annotations

import os
import time

from ..appc.image import Image, ImageManifest
from ..appc.labels import Labels
from ..appc.names import KEY_PREFIX, ImageID
from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, NotFound
from ..fields import Fields, canonical_json, parse_json
from ..host import files, reading
from ..value import Value
from .trust import NO_TRUST, Trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..host.paths import Paths

_FORMAT = 1  # not written to documents
_KEY_DIGITS = 64
_LONGEST_NAME = 200
_KINDS = ("index", "imageManifest", "blob")


class StoredImage(Image):
    """An image in the store.

    import_time, last_used: seconds since the epoch. latest: requested without a version. size: bytes of the stored
    archive and of the layers. layers: those of its own root, topmost first (layers.Layer.id). signer: the fingerprint
    of the key that has signed it, as a fetch has verified, "" for none. policy: of the host, by which a docker image
    was accepted or verified, "" without one.
    """

    import_time: float
    last_used: float
    latest: bool
    size: int
    layers: tuple[str, ...]
    signer: str
    policy: str


class Remote(Value):
    """The image that a source gave when it was last asked. source: that of its reference. Times are in seconds.

    etag: the source's validator of this content. manifest_digest: of a docker manifest.
    """

    source: str
    image_id: ImageID
    etag: str = ""
    max_age: int = 0
    download_time: float = 0.0
    manifest_digest: str = ""


class _Entry(Value):
    id: ImageID
    name: str
    labels: tuple[tuple[str, str], ...]
    import_time: float
    latest: bool
    size: int
    layers: tuple[str, ...]
    signer: str
    policy: str


def link_manifest(paths: Paths, image: Image, place: str) -> None:
    """Have the stored manifest of an image at a new place as well: the same file, which is replaced and never changed.

    Where it cannot be, as on another file system, there is one that says the same. Raises OSError.
    """
    try:
        os.link(paths.image_manifest(image.id), place)
    except FileExistsError:
        raise  # to write to it would be to write to the store
    except OSError:
        files.write_new(place, manifest_document(image.manifest))


def manifest_document(manifest: ImageManifest) -> bytes:
    """The stored form of a manifest. Raises Corrupt for one that could not be read back."""
    try:
        data = canonical_json(manifest.to_json())
        if ImageManifest.from_json(parse_json(data, "it")) == manifest:
            return data
    except InvalidSpec as err:
        raise Corrupt(f"the manifest of image {manifest.name} is not valid: {err}") from err
    raise Corrupt(f"the manifest of image {manifest.name} cannot be stored as it is")


def list_ids(paths: Paths) -> tuple[ImageID, ...]:
    """The IDs of all images, including those whose documents are damaged."""
    image_ids = []
    for name in files.entries(paths.index):
        with suppress(InvalidSpec):
            image_id = ImageID(name)
            if image_id == name:  # not a longer name that begins with an ID
                image_ids.append(image_id)
    return tuple(image_ids)


def list_images(paths: Paths) -> tuple[StoredImage, ...]:
    """Every image that can be read, the first imported first."""
    images = []
    for image_id in list_ids(paths):
        with suppress(NotFound, Corrupt):
            images.append(get_image(paths, image_id))
    return tuple(sorted(images, key=lambda image: (image.import_time, image.id)))


def get_image(paths: Paths, image_id: ImageID) -> StoredImage:
    """An image by its whole ID. Raises NotFound, Corrupt."""
    try:
        entry = _read_entry(paths, image_id)
        last_used = time_of_use(paths, image_id)
        data = reading.read_bytes(paths.image_manifest(image_id))
    except FileNotFoundError:
        raise NotFound("no image IDs found", f"{image_id} is not in the store: fetch it first") from None
    try:
        manifest = ImageManifest.from_json(parse_json(data, "it"))
    except InvalidSpec as err:
        raise Corrupt(
            f"the stored manifest of image {image_id} is damaged: {err}",
            "remove the image and fetch it again",
        ) from err
    return _stored(entry, manifest, last_used)


def _stored(entry: _Entry, manifest: ImageManifest, last_used: float) -> StoredImage:
    return StoredImage(
        entry.id,
        manifest,
        entry.import_time,
        last_used,
        entry.latest,
        entry.size,
        entry.layers,
        entry.signer,
        entry.policy,
    )


def has_image(paths: Paths, image_id: ImageID) -> bool:
    """Whether an image is in the store, damaged or not."""
    return os.path.lexists(paths.index_entry(image_id))


def layers_of(paths: Paths, image_id: ImageID) -> tuple[str, ...] | None:
    """The layers of an image by the index alone; () when it has gone, None when its document cannot be read.

    The document may be of a newer release, or damaged.
    """
    try:
        return _read_entry(paths, image_id).layers
    except FileNotFoundError:
        return ()
    except Corrupt:
        return None


def find_by_key(paths: Paths, prefix_text: str) -> StoredImage:
    """The image whose ID begins with a text such as sha512-19f1. Raises InvalidSpec, NotFound (B9) and Corrupt."""
    return get_image(paths, id_by_key(paths, prefix_text))


def id_by_key(paths: Paths, prefix_text: str) -> ImageID:
    """The ID that begins with a text, by the index alone, as for a removal. Raises InvalidSpec and NotFound."""
    return _of_key(list_ids(paths), prefix_text)


def _of_key(image_ids: tuple[ImageID, ...], prefix_text: str) -> ImageID:
    if not prefix_text.startswith(KEY_PREFIX):
        raise InvalidSpec("wrong key prefix", f"an image ID begins with {KEY_PREFIX}")
    prefix = prefix_text[: len(KEY_PREFIX) + _KEY_DIGITS]
    if len(prefix) < len(KEY_PREFIX) + 2:
        raise InvalidSpec("image ID too short", "give at least two digits")
    matches = [image_id for image_id in image_ids if image_id.startswith(prefix)]
    if not matches:
        raise NotFound("no image IDs found", f"no image in the store begins with {prefix}")
    if len(matches) > 1:
        raise InvalidSpec(
            f'ambiguous image ID: "{prefix_text}"', "give more digits: " + ", ".join(matches[:5])
        )
    return matches[0]


def find_by_name(paths: Paths, name: str, labels: Labels) -> StoredImage | None:
    """The image of a name that has all these labels; among several the newest import (B10).

    When no version is requested, one that was fetched as the latest precedes others. Damaged ones are skipped.
    """
    return View(paths).find_by_name(name, labels)


def ids_by_name(paths: Paths, name: str, labels: Labels) -> tuple[ImageID, ...]:
    """The images of a name that have all these labels, by the index alone, the best first."""
    return _best(_entries(paths), name, labels)


def meanings(paths: Paths) -> dict[str, ImageID]:
    """The image of each name that is in the store, as ids_by_name finds it without labels."""
    by_name: dict[str, list[_Entry]] = {}
    for entry in _entries(paths):
        by_name.setdefault(entry.name, []).append(entry)
    return {name: _best(entries, name, Labels())[0] for name, entries in by_name.items()}


def is_outranked(paths: Paths, image_id: ImageID) -> bool:
    """Whether note_import would make a name, with or without the labels of an image, mean it instead of another.

    Raises FileNotFoundError, Corrupt.
    """
    own = _read_entry(paths, image_id)
    others = [entry for entry in _entries(paths) if entry.name == own.name and entry.id != image_id]
    for labels in (Labels(), Labels(own.labels)):
        if _best((*others, own), own.name, labels)[0] == image_id:
            continue
        if _best((*others, own.replace(import_time=time.time() + 1)), own.name, labels)[0] == image_id:
            return True
    return False


class View:
    """The index as of the first query: it is read once, however many images are looked up."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._by_name: dict[str, list[_Entry]] | None = None
        self._ids: tuple[ImageID, ...] | None = None
        self._images: dict[ImageID, StoredImage] = {}

    def find_by_name(self, name: str, labels: Labels) -> StoredImage | None:
        """As find_by_name of this module."""
        if self._by_name is None:
            self._by_name = {}
            for entry in _entries(self._paths):
                self._by_name.setdefault(entry.name, []).append(entry)
        for image_id in _best(self._by_name.get(name, ()), name, labels):
            with suppress(NotFound, Corrupt):
                return self._get(image_id)
        return None

    def find_by_key(self, prefix_text: str) -> StoredImage:
        """As find_by_key of this module. Raises InvalidSpec, NotFound, Corrupt."""
        if self._ids is None:
            self._ids = list_ids(self._paths)
        return self._get(_of_key(self._ids, prefix_text))

    def _get(self, image_id: ImageID) -> StoredImage:
        if image_id not in self._images:
            self._images[image_id] = get_image(self._paths, image_id)
        return self._images[image_id]


def _best(entries: Iterable[_Entry], name: str, labels: Labels) -> tuple[ImageID, ...]:
    wanted = set(labels.pairs)
    any_version = labels.get("version") is None
    matches = [entry for entry in entries if entry.name == name and wanted <= set(entry.labels)]
    matches.sort(key=lambda entry: (any_version and entry.latest, entry.import_time), reverse=True)
    return tuple(entry.id for entry in matches)


def find_remote(paths: Paths, source: str) -> Remote | None:
    """The record of a source, None when it is missing or cannot be read."""
    try:
        remote = _read_remote(_remote_path(paths, source))
    except (FileNotFoundError, InvalidSpec, Corrupt):
        return None
    # Two sources can share the name of a record, since long names are cut.
    return remote if remote.source == source else None


def sources_of(paths: Paths, image_id: ImageID) -> tuple[str, ...]:
    """The sources that gave an image when they were last asked."""
    return tuple(remote.source for remote in list_remotes(paths) if remote.image_id == image_id)


def list_remotes(paths: Paths) -> tuple[Remote, ...]:
    """The records of all sources, as far as they can be read."""
    remotes = []
    for path in _remote_paths(paths):
        with suppress(FileNotFoundError, InvalidSpec, Corrupt):
            remotes.append(_read_remote(path))
    return tuple(remotes)


def _read_remote(path: str) -> Remote:
    fields = Fields(parse_json(reading.read_bytes(path), path), "remote")
    fields.check_format(_FORMAT)
    return Remote(
        source=fields.text("source"),
        image_id=ImageID(fields.text("imageID")),
        etag=fields.text("etag"),
        max_age=fields.integer("maxAge"),
        download_time=fields.integer("downloadTime") / 1000,
        manifest_digest=fields.text("manifestDigest"),
    )


def put_remote(paths: Paths, remote: Remote) -> None:
    """Record the image that a source gave, in place of an earlier one."""
    document: dict[str, object] = {
        "source": remote.source,
        "imageID": str(remote.image_id),
        "etag": remote.etag,
        "maxAge": remote.max_age,
        "downloadTime": int(remote.download_time * 1000),
        "manifestDigest": remote.manifest_digest,
    }
    path = _remote_path(paths, remote.source)
    files.make_dirs(os.path.dirname(path))
    files.write_atomically(path, canonical_json(document))


def put_image(
    paths: Paths,
    image: Image,
    layers: tuple[str, ...],
    size: int,
    *,
    latest: bool,
    trust: Trust = NO_TRUST,
) -> StoredImage:
    """Add an image whose archive and layers are in place to the index; or note that it was imported again (B11).

    trust: without a signer or a policy that of before stays, since the ID is that of the content that was signed.
    Raises Corrupt for a manifest that could not be read back; then nothing is written.
    """
    image_id, manifest = image.id, image.manifest
    data = manifest_document(manifest)
    path = paths.image_manifest(image_id)
    files.make_dirs(os.path.dirname(path))
    files.write_atomically(path, data)
    files.make_dirs(paths.index)
    labels = manifest.labels.pairs
    signer, policy = _trust(paths, image_id, trust)
    entry = _Entry(
        image_id, str(manifest.name), labels, _milliseconds(), latest, size, layers, signer, policy
    )
    _write_entry(paths, entry)
    return _stored(entry, manifest, time_of_use(paths, image_id))


def _trust(paths: Paths, image_id: ImageID, trust: Trust) -> tuple[str, str]:
    try:
        entry = _read_entry(paths, image_id)
    except (FileNotFoundError, Corrupt):
        return trust.signer, trust.policy
    return trust.signer or entry.signer, trust.policy or entry.policy


def note_import(paths: Paths, image_id: ImageID) -> None:
    """Note that a stored image was imported again now. The caller holds locks.adding.

    Raises FileNotFoundError, Corrupt.
    """
    _write_entry(paths, _read_entry(paths, image_id).replace(import_time=time.time()))


def _milliseconds() -> float:
    """Now, as a document can say it."""
    return int(time.time() * 1000) / 1000


def _write_entry(paths: Paths, entry: _Entry) -> None:
    document: dict[str, object] = {
        "name": entry.name,
        "labels": [list(pair) for pair in entry.labels],
        "importTime": int(entry.import_time * 1000),
        "latest": entry.latest,
        "size": entry.size,
        "layers": list(entry.layers),
        **({"signer": entry.signer} if entry.signer else {}),
        **({"policy": entry.policy} if entry.policy else {}),
    }
    files.write_atomically(paths.index_entry(entry.id), canonical_json(document))


def touch(paths: Paths, image_id: ImageID) -> None:
    """Note that an image is used now."""
    with suppress(FileNotFoundError):
        os.utime(paths.index_entry(image_id), follow_symlinks=False)


def time_of_use(paths: Paths, image_id: ImageID) -> float:
    """The time of the last use of an image. Raises FileNotFoundError."""
    return os.lstat(paths.index_entry(image_id)).st_mtime


def places_of(paths: Paths, image_id: ImageID) -> tuple[str, ...]:
    """The files that only this image has, in the order in which they are removed."""
    return (paths.index_entry(image_id), paths.image_manifest(image_id), paths.blob(image_id))


def remove_image(paths: Paths, image_id: ImageID) -> None:
    """Remove an image, damaged or not: its documents, its archive and the records of its sources.

    The caller holds the lock of the store (see gc.remove_image). Layers and the tree stay until gc, since a pod may use
    them (B47).
    """
    for path in places_of(paths, image_id):
        files.remove_tree(path)
    for path in _remote_paths(paths):
        with suppress(FileNotFoundError, InvalidSpec, Corrupt):
            if _read_remote(path).image_id == image_id:
                os.unlink(path)


def orphans(paths: Paths) -> tuple[str, ...]:
    """The files of the store that no image has: leftovers of killed processes, records of sources of no image."""
    known = set(list_ids(paths))
    held = [path for kind in _KINDS for path in files.files_below(paths.blobs(kind))]
    nameless = [path for path in held if os.path.basename(path) not in known]
    return (*nameless, *(path for path in _remote_paths(paths) if not _means(paths, path, known)))


def _means(paths: Paths, path: str, known: set[ImageID]) -> bool:
    """Whether the record of a source is in its final place, and names an image that is in the store."""
    try:
        remote = _read_remote(path)
        return remote.image_id in known and path == _remote_path(paths, remote.source)
    except (OSError, InvalidSpec, Corrupt):
        return False


def _remote_paths(paths: Paths) -> list[str]:
    return [paths.remote(name) for name in files.entries(paths.remotes)]


def _entries(paths: Paths) -> Iterator[_Entry]:
    for image_id in list_ids(paths):
        with suppress(FileNotFoundError, Corrupt):
            yield _read_entry(paths, image_id)


def _read_entry(paths: Paths, image_id: ImageID) -> _Entry:
    path = paths.index_entry(image_id)
    try:
        fields = Fields(parse_json(reading.read_bytes(path), path), path)
        fields.check_format(_FORMAT)
        pairs = tuple(_pair(value, where) for value, where in fields.items("labels"))
        return _Entry(
            id=image_id,
            name=fields.text("name"),
            labels=pairs,
            import_time=fields.integer("importTime") / 1000,
            latest=fields.boolean("latest"),
            size=fields.integer("size"),
            layers=fields.strings("layers"),
            signer=fields.text("signer", ""),
            policy=fields.text("policy", ""),
        )
    except InvalidSpec as err:
        raise Corrupt(
            f"the index of the store is damaged: {err}", f"remove {path} and fetch the image again"
        ) from err


def _pair(value: object, where: str) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(item, str) for item in value):
        raise InvalidSpec("expected a name and a text", where=where)
    return value[0], value[1]


def _remote_path(paths: Paths, source: str) -> str:
    return paths.remote(record_name(source))


def record_name(source: str) -> str:
    """The name of the file that has the record of a source."""
    name = source.replace("%", "%25").replace("/", "%2F")
    if len(name) > _LONGEST_NAME:
        import hashlib

        name = f"{name[:100]}%{hashlib.sha256(source.encode()).hexdigest()}"
    return name
