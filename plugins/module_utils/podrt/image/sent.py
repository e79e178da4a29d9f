# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files that the controller sends: what it says of one before its content has come."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right

from ..contexts import contextmanager
from ..errors import InvalidSpec, NotFound, PodError
from ..store import layers, staging
from ..store.staging import PIECE
from .reference import (
    INDEX,
    SAVED_FORMS,
    AppcName,
    DockerReference,
    SavedImage,
    SentFile,
    as_docker,
    parse_reference,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..fields import Fields
    from ..host.host import Host
    from .archive_files import Extent
    from .archives import Candidate

ACI = "aci"
# What stands for the path of a file that is not here.
SRC = "/src"
_HEX = "0123456789abcdef"
_DIGITS, _SHA256 = 64, "sha256:"
# The largest file that may be sent, far beyond what a host would unpack.
_LARGEST = 1 << 44
_MOST_LAYERS = 10_000
_DOCUMENTS = {"docker-archive": "manifest.json", "oci-archive": INDEX}


def read_sent(path: str, name: str | None, told: Fields) -> SentFile:
    """The reference of a file. path: on the controller. name: what it stands for. Raises InvalidSpec."""
    import base64

    digest = told.text("digest")
    size = told.integer("size")
    form = told.text("form")
    if not _is_hex(digest):
        raise InvalidSpec("it is not a digest", where=told.where_of("digest"))
    if not 0 < size <= _LARGEST:
        raise InvalidSpec("it is not the size of an image file", where=told.where_of("size"))
    if form not in (ACI, *_DOCUMENTS):
        raise InvalidSpec(f'"{form}" is not a form of images', where=told.where_of("form"))
    try:
        signature = base64.b64decode(told.text("signature", ""), validate=True)
    except ValueError:
        raise InvalidSpec("it is not base64", where=told.where_of("signature")) from None
    return SentFile(
        digest,
        path,
        _wanted(name, form) if name else None,
        form,
        size,
        told.text("name", ""),
        told.text("document", ""),
        signature,
        told.text("signature_path", ""),
        _cuts(told, size),
        tuple(_layers(told, size)),
    )


def _cuts(told: Fields, size: int) -> tuple[int, ...]:
    """Where pieces begin, and the end; an earlier controller says nothing, and means even ones."""
    cuts = told.integers("cuts") or (*range(0, size, PIECE), size)
    steps = [after - before for before, after in zip(cuts, cuts[1:])]
    if (cuts[0], cuts[-1]) != (0, size) or not all(0 < step <= PIECE for step in steps):
        raise InvalidSpec("they are not the pieces of the file", where=told.where_of("cuts"))
    return cuts


def _layers(told: Fields, size: int) -> Iterator[tuple[str, int, int]]:
    for count, layer in enumerate(told.each("layers")):
        layer_id, begin, end = layer.text("id"), layer.integer("begin"), layer.integer("end")
        if (
            count >= _MOST_LAYERS
            or not 0 <= begin <= end <= size
            or not (layer_id.startswith(_SHA256) and _is_hex(layer_id[len(_SHA256) :]))
        ):
            raise InvalidSpec("it is not a layer of the file", where=layer.where_of("id"))
        yield layer_id, begin, end


def _is_hex(text: str) -> bool:
    return len(text) == _DIGITS and all(digit in _HEX for digit in text)


def needed(host: Host, reference: SentFile) -> tuple[int, ...]:
    """The numbers of the pieces that the host lacks: they have not come, and are not of layers that the store has.

    Of an archive of several images first those without layers, and then the layers of the wanted image alone. Raises as
    saved_image and SavedArchive.image do.
    """
    missing = staging.missing(host.paths, reference.digest, reference.cuts)
    owners = {
        number: layer_id
        for layer_id, begin, end in reference.layers
        for number in range(bisect_left(reference.cuts, begin), bisect_right(reference.cuts, end) - 1)
    }
    rest = tuple(number for number in missing if number not in owners)
    if not missing or not owners or (rest and not _has_one_image(reference)):
        return rest
    wanted = {layer_id for layer_id in owners.values() if not layers.has_layer(host.paths, layer_id)}
    if not rest:
        wanted &= _layers_of_image(host, reference)
    return tuple(number for number in missing if number not in owners or owners[number] in wanted)


def _layers_of_image(host: Host, reference: SentFile) -> set[str]:
    """The diff IDs of the image in a file of which all but layers has come."""
    from .archives import opened

    staging.fill(host.paths, reference.digest, reference.size)
    content = host.paths.staged_content(reference.digest)
    with naming(content, reference.path), opened(saved_image(reference, content)) as archive:
        return set(archive.image(host.arch).layer_ids)


def _has_one_image(reference: SentFile) -> bool:
    """Whether the list of images, as far as it is here, has one alone."""
    return bool(reference.document) and len(_listed(reference)) == 1


def _wanted(name: str, form: str) -> AppcName | DockerReference:
    """What a file shall stand for: a name of the kind that its form has."""
    reference = parse_reference(name, "name", relative=False)
    if form == ACI and not isinstance(reference, AppcName):
        raise InvalidSpec(
            f'src is an ACI, which cannot stand for "{reference}"',
            "leave name out, or write the name in the manifest of the image",
            where="name",
        )
    if form in SAVED_FORMS and not isinstance(reference, DockerReference):
        written = as_docker(name) or "docker://REGISTRY/REPOSITORY:TAG"
        raise InvalidSpec(
            f'src is a saved image, which cannot stand for "{reference}"',
            f"leave name out, or write {written}",
            where="name",
        )
    if isinstance(reference, (AppcName, DockerReference)):
        return reference
    raise InvalidSpec(f'src cannot stand for "{reference}"', where="name")


def saved_image(reference: SentFile, path: str) -> SavedImage:
    """The image of a saved file that is at a path of this host. Raises NotFound, InvalidSpec, Corrupt."""
    from .archives import choose, opened

    whole = SavedImage(reference.form, path)
    with opened(whole) as archive:
        candidates = archive.candidates()
    choice = _choice(reference, candidates)
    choose(candidates, whole.replace(choice=choice))
    return whole.replace(choice=choice)


def check_choice(reference: SentFile) -> None:
    """Raise what saved_image would raise, by the list of images alone, before anything is sent."""
    from .archives import choose

    if reference.document:
        candidates = _listed(reference)
        choose(candidates, SavedImage(reference.form, SRC, _choice(reference, candidates)))


def _listed(reference: SentFile) -> tuple[Candidate, ...]:
    """The images in the list that the controller has told."""
    from .archives import SavedArchive

    form = reference.form
    files = _Listing(_DOCUMENTS[form], reference.document.encode(), f"{form}:{SRC}")
    try:
        return SavedArchive(files, SavedImage(form, SRC)).candidates()
    finally:
        files.close()


@contextmanager
def naming(place: str, path: str) -> Iterator[None]:
    """Have errors name a file as its sender does: the place where it is read means nothing to people."""
    try:
        yield
    except PodError as err:
        err.message, err.hint = err.message.replace(place, path), err.hint.replace(place, path)
        raise


def _choice(reference: SentFile, candidates: tuple[Candidate, ...]) -> str:
    """How an archive calls the wanted image: by name, or by its place where an OCI archive knows no whole names.

    docker's format always has whole names, so one that lacks the name is another image.
    """
    wanted = reference.wanted
    if not isinstance(wanted, DockerReference):
        return ""
    if reference.form == "docker-archive":
        return wanted.name
    if wanted.digest:
        places = [f"@{one.place}" for one in candidates if one.key == wanted.digest]
        return places[0] if places else wanted.name
    names = [name for one in candidates for name in one.names]
    if not names and len(candidates) == 1:
        return ""
    return wanted.tag if wanted.tag in names else wanted.name


class _Listing:
    """The files of an archive of which only the list of its images is here."""

    def __init__(self, name: str, data: bytes, what: str) -> None:
        self.what = what
        self._name, self._size = name, len(data)
        self._fd = os.memfd_create("listing", os.MFD_CLOEXEC)
        os.pwrite(self._fd, data, 0)

    def has(self, name: str) -> bool:
        """Whether it is the list."""
        return name == self._name

    @contextmanager
    def opened(self, name: str) -> Iterator[Extent]:
        """The place of its content. Raises NotFound."""
        from .archive_files import Extent

        if name != self._name:
            raise NotFound(f"{self.what} lacks the file {name}", "save the image again")
        yield Extent(self._fd, 0, self._size)

    def close(self) -> None:
        """Give back what is open."""
        os.close(self._fd)
