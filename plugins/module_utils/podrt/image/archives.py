# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that docker, podman, buildah or skopeo saved: docker-archive:FILE, oci-archive:FILE and oci:DIRECTORY.

A docker archive has manifest.json, a list of images by paths of their configurations and layers, which their diff IDs
prove. An OCI archive has index.json and blobs by digest. Docker 25 and later writes both into one archive; then
manifest.json counts, since its first releases wrote OCI manifests without layers.
Source: OCI image specification, image-layout.md; measured on archives of docker, podman and skopeo.
"""

from __future__ import annotations

import hashlib
import posixpath

from ..appc.names import acname_from
from ..contexts import contextmanager, suppress
from ..errors import Corrupt, InvalidSpec, NotFound, PodError, Untrusted, first_of
from ..fields import Fields, canonical_json, parse_json
from ..host.machine import ARCHITECTURES
from ..store import stream
from ..value import Value
from . import archive_files, manifests
from .archive_files import DirectoryFiles, TarFiles
from .manifests import DockerImage, LayerBlob
from .reference import INDEX, DockerReference, parse_docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from ..store.partial import Kept
    from .archive_files import ArchiveFiles
    from .reference import SavedImage

    class Catalogue(Protocol):
        """The images of an archive, in one of the formats."""

        def candidates(self) -> tuple[Candidate, ...]:
            """The images that the archive has. Raises NotFound, Corrupt."""

        def content(self, chosen: Sequence[Candidate], arch: str) -> DockerImage:
            """One image of candidates that differ by platform alone."""


# The list of images in docker's format.
LIST = "manifest.json"
_LARGEST_DOCUMENT = 4 << 20
_MOST_LAYERS = 1000
_MOSTINDEXES = 3
_MOST_SHOWN = 20
_BLOBS, _SHA256 = "blobs/sha256/", "sha256:"
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
# Of images without a name, as podman calls them.
_REGISTRY = "localhost"


class Candidate(Value):
    """An image of an archive. key: the same for the same content. platform: "" if the archive does not state it."""

    place: int
    names: tuple[str, ...]
    key: str
    platform: str = ""

    def __str__(self) -> str:
        return " ".join((f"@{self.place}", *self.names)) if self.names else f"@{self.place} (without a name)"


@contextmanager
def opened(reference: SavedImage) -> Iterator[SavedArchive]:
    """The archive of a reference, as long as the context lasts.

    Raises NotFound, Corrupt, Unsupported, HostFailure.
    """
    what = f"{reference.form}:{reference.path}"
    files: ArchiveFiles = (
        DirectoryFiles(reference.path, what) if reference.is_directory else TarFiles(reference.path, what)
    )
    try:
        yield SavedArchive(files, reference)
    finally:
        files.close()


class SavedArchive:
    """An open archive, from which layers are read as from a registry. Threads may share it."""

    verb = "Reading"

    def __init__(self, files: ArchiveFiles, reference: SavedImage) -> None:
        self._files = files
        self._reference = reference
        self._layers: dict[str, str] = {}

    @property
    def registry(self) -> str:
        """What stands for the registry of its layers."""
        return self._files.what

    def candidates(self) -> tuple[Candidate, ...]:
        """The images that it has. Raises NotFound, Corrupt."""
        return self._catalogue().candidates()

    def image(self, arch: str) -> DockerImage:
        """The image of the reference for a platform; arch in appc's spelling.

        Raises NotFound, InvalidSpec if the reference leaves several images to choose from, Untrusted for a wrong
        digest, Corrupt, Unsupported.
        """
        catalogue = self._catalogue()
        chosen = choose(catalogue.candidates(), self._reference)
        return catalogue.content(chosen, arch)

    def places(self) -> tuple[tuple[str, int, int], ...]:
        """Where the layers of all images are in an archive: diff ID, begin and end, in the order of the begins.

        Images that cannot be read have none. Raises NotFound, Corrupt.
        """
        catalogue = self._catalogue()
        found: dict[int, tuple[str, int, int]] = {}
        for candidate in catalogue.candidates():
            for arch in ARCHITECTURES:
                with suppress(PodError):
                    for layer in catalogue.content((candidate,), arch.name).layers:
                        with self._files.opened(self._path_of(layer)) as extent:
                            place = (layer.diff_id, extent.begin, extent.begin + extent.size)
                        found.setdefault(extent.begin, place)
        return tuple(found[begin] for begin in sorted(found))

    def forked(self) -> None:
        """Do nothing: what is open is read by place."""

    def layer(
        self, layer: LayerBlob, pulse: Callable[[], None] = lambda: None, _kept: Kept | None = None
    ) -> Iterator[bytes]:
        """Stream a layer as it is in the archive; the caller checks its digest. Raises NotFound, Corrupt."""
        return archive_files.chunks(self._files, self._path_of(layer), pulse)

    def _path_of(self, layer: LayerBlob) -> str:
        return self._layers.get(layer.digest, _blob(layer.digest))

    def _catalogue(self) -> Catalogue:
        if not self._reference.is_directory and self._files.has(LIST):
            return _DockerCatalogue(self._files, self._reference, self._layers)
        if self._reference.form != "docker-archive":
            return _OciCatalogue(self._files, self._reference)
        hint = f"write oci-archive:{self._reference.path}" if self._files.has(INDEX) else "check the path"
        raise NotFound(f"{self._files.what} is not a docker archive: it has no {LIST}", hint)


def choose(candidates: Sequence[Candidate], reference: SavedImage) -> tuple[Candidate, ...]:
    """The candidates that a reference means: one, or several that differ by platform alone. Pure.

    Raises NotFound, InvalidSpec.
    """
    what, choice = f"{reference.form}:{reference.path}", reference.choice
    listed = first_of([str(candidate) for candidate in candidates], _MOST_SHOWN)
    distinct = tuple(
        {candidate.key: candidate for candidate in reversed(_meant(candidates, choice))}.values()
    )
    if not candidates:
        raise NotFound(f"{what} has no image", "save it again")
    if not distinct:
        raise NotFound(f'{what} has no image "{choice}": it has {listed}', "choose one of these")
    platforms = {candidate.platform for candidate in distinct}
    if len(distinct) == 1 or ("" not in platforms and len(platforms) == len(distinct)):
        return distinct
    raise InvalidSpec(
        f"{what} has several images{f' {chr(34)}{choice}{chr(34)}' if choice else ''}: {listed}",
        f"choose one by its name or its place, such as {what}:@{distinct[-1].place}",
    )


def _meant(candidates: Sequence[Candidate], choice: str) -> list[Candidate]:
    """The candidates of a place or a name, or else of a tag."""
    if not choice:
        return list(candidates)
    if choice.startswith("@"):
        return [candidate for candidate in candidates if candidate.place == int(choice[1:])]
    by_name = [one for one in candidates if any(_is_same(name, choice) for name in one.names)]
    return by_name or [one for one in candidates if choice in map(_tag_of, one.names)]


def _is_same(name: str, choice: str) -> bool:
    """Whether two names mean the same image, with docker's defaults."""
    if name == choice:
        return True
    if "/" not in name and ":" not in name:
        return False  # a tag
    try:
        return parse_docker(name) == parse_docker(choice)
    except InvalidSpec:
        return False


def _tag_of(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[2]


def _named(names: Sequence[str], reference: SavedImage, digest: str) -> DockerReference:
    """The name of an image: the chosen one, else the first that is valid, else after the archive's, by digest."""
    own = posixpath.basename(reference.path).partition(".")[0]
    try:
        repository = str(acname_from(own))
    except InvalidSpec:
        repository = "image"
    for name in sorted(names, key=lambda name: not _is_same(name, reference.choice)):
        is_tag = "/" not in name and ":" not in name
        with suppress(InvalidSpec):
            return DockerReference(_REGISTRY, repository, name) if is_tag else parse_docker(name)
    return DockerReference(_REGISTRY, repository, digest=digest)


def _blob(digest: str) -> str:
    """The path of a blob."""
    return _BLOBS + digest[len(_SHA256) :]


def _digest_of(data: bytes) -> str:
    return _SHA256 + hashlib.sha256(data).hexdigest()


class _DockerCatalogue:
    """The images of manifest.json. layers: filled with the paths of layers by digest."""

    def __init__(self, files: ArchiveFiles, reference: SavedImage, layers: dict[str, str]) -> None:
        self._files = files
        self._reference = reference
        self._layers = layers
        self._digests: dict[str, str] = {}
        data = archive_files.read(files, LIST, _LARGEST_DOCUMENT)
        with manifests.as_sent(f"{LIST} of {files.what}"):
            self._entries = tuple(Fields({"": parse_json(data, "it")}, "").each(""))

    def candidates(self) -> tuple[Candidate, ...]:
        """The images that the archive has."""
        with manifests.as_sent(f"{LIST} of {self._files.what}"):
            return tuple(
                Candidate(place, entry.strings("RepoTags"), _key(entry))
                for place, entry in enumerate(self._entries)
            )

    def content(self, chosen: Sequence[Candidate], arch: str) -> DockerImage:
        """The image of a candidate: docker's format does not state platforms."""
        what, entry = self._files.what, self._entries[chosen[0].place]
        with manifests.as_sent(f"{LIST} of {what}"):
            config_path, paths = entry.text("Config"), entry.strings("Layers")
        data = archive_files.read(self._files, config_path, _LARGEST_DOCUMENT)
        config_digest = _digest_of(data)
        named = _digest_in(config_path)
        if named and named != config_digest:
            raise Untrusted(f"the configuration {named} of {what} has another digest: {config_digest}")
        config = manifests.read_config(data, what)
        if len(paths) > _MOST_LAYERS:
            raise Corrupt(f"{what} has {len(paths)} layers, and {_MOST_LAYERS} is the most that is read")
        if len(paths) != len(config.diff_ids):
            raise Corrupt(
                f"{what} has {len(paths)} layers, but its configuration names {len(config.diff_ids)}"
            )
        layers = tuple(map(self._layer, paths, map(manifests.checkable, config.diff_ids)))
        reference = _named(chosen[0].names, self._reference, config_digest)
        return DockerImage(reference, config_digest, "", config_digest, config, layers)

    def _layer(self, path: str, diff_id: str) -> LayerBlob:
        """A layer: the digest of a plain one is its diff ID, that of a compressed one in its name, or else computed."""
        head = archive_files.head_of(self._files, path)
        if not stream.compression(head):
            digest = diff_id
        elif path.startswith(_BLOBS):
            digest = _digest_in(path) or self._computed(path)
        else:
            digest = self._computed(path)
        self._layers[digest] = path
        return LayerBlob(digest, archive_files.size_of(self._files, path), diff_id)

    def _computed(self, path: str) -> str:
        if path not in self._digests:
            digest = hashlib.sha256()
            for chunk in archive_files.chunks(self._files, path):
                digest.update(chunk)
            self._digests[path] = _SHA256 + digest.hexdigest()
        return self._digests[path]


def _key(entry: Fields) -> str:
    """What makes an image of manifest.json the same as another."""
    return canonical_json({"Config": entry.text("Config"), "Layers": list(entry.strings("Layers"))}).decode()


def _digest_in(path: str) -> str:
    """The digest that the name of a file is, "" if it is not one."""
    name = posixpath.basename(path)
    digest = _SHA256 + (name[: -len(".json")] if name.endswith(".json") else name)
    return digest if manifests.DIGEST.fullmatch(digest) else ""


class _OciCatalogue:
    """The images of index.json."""

    def __init__(self, files: ArchiveFiles, reference: SavedImage) -> None:
        self._files = files
        self._reference = reference
        if not files.has(INDEX):
            raise NotFound(f"{files.what} is not an OCI layout: it has no {INDEX}", "check the path")
        data = archive_files.read(files, INDEX, _LARGEST_DOCUMENT)
        self._index = manifests.read_manifest(data, files.what)

    def candidates(self) -> tuple[Candidate, ...]:
        """The images that the archive has; odd entries are no reason to refuse the others."""
        found = []
        with manifests.as_sent(f"{INDEX} of {self._files.what}"):
            for place, (value, where) in enumerate(self._index.items("manifests")):
                with suppress(InvalidSpec):
                    entry = Fields(value, where)
                    if manifests.may_be_image(entry):
                        found.append(_candidate(place, entry))
        return tuple(found)

    def content(self, chosen: Sequence[Candidate], arch: str) -> DockerImage:
        """The image of candidates that differ by platform alone."""
        what, asked_digest, certain = self._files.what, chosen[0].key, True
        if len(chosen) > 1:
            entries = [value for value, _where in self._index.items("manifests")]
            offered = self._index.replaced(manifests=[entries[one.place] for one in chosen])
            asked_digest, certain = manifests.choose(offered, arch, what)
        digest = asked_digest
        fields = self._manifest(digest)
        for _depth in range(_MOSTINDEXES):
            if not fields.has("manifests"):
                break
            digest, certain = manifests.choose(fields, arch, what)
            fields = self._manifest(digest)
        manifests.check_kind(fields, what)
        config_digest = manifests.config_digest(fields, what)
        config = manifests.read_config(self._document("configuration", config_digest), what)
        if not certain:
            manifests.check_platform(config, arch, what)
        layers = manifests.layers_of(fields, config, what)
        for layer in layers:
            self._check_size(layer)
        names = next(one.names for one in chosen if len(chosen) == 1 or one.key == asked_digest)
        reference = _named(names, self._reference, digest)
        return DockerImage(reference, asked_digest, digest, config_digest, config, layers)

    def _manifest(self, digest: str) -> Fields:
        return manifests.read_manifest(self._document("manifest", digest), self._files.what)

    def _document(self, kind: str, digest: str) -> bytes:
        """A blob. Raises Untrusted unless it has its digest."""
        manifests.checkable(digest)
        data = archive_files.read(self._files, _blob(digest), _LARGEST_DOCUMENT)
        actual = _digest_of(data)
        if actual != digest:
            raise Untrusted(f"the {kind} {digest} of {self._files.what} has another digest: {actual}")
        return data

    def _check_size(self, layer: LayerBlob) -> None:
        """Raise Corrupt unless a layer is there as a whole: better before the others are unpacked than after."""
        size = archive_files.size_of(self._files, _blob(layer.digest))
        if size != layer.size:
            raise Corrupt(
                f"the layer {layer.digest} of {self._files.what} has {size} bytes, not {layer.size}",
                "save the image again",
            )


def _candidate(place: int, entry: Fields) -> Candidate:
    """An entry of index.json. Raises InvalidSpec."""
    annotations = dict(entry.pairs("annotations"))
    names = tuple(dict.fromkeys(annotations[key] for key in _NAMES if annotations.get(key)))
    platform = Fields(entry.raw("platform") or {}, entry.where_of("platform"))
    parts = (platform.text(key, "") for key in ("os", "architecture", "variant"))
    return Candidate(place, names, entry.text("digest"), "/".join(filter(None, parts)))
