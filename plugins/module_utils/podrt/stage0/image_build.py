# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an image that is built: where it is to be, it is with this content, and else it is put there.

Everything is compared by content: a file by what it holds uncompressed, a tag by the configuration that it leads to.
"""

from __future__ import annotations

import os
import stat

from ..errors import Corrupt, HostFailure, NotFound
from ..host.reading import open_regular
from ..image.build import outlets
from ..image.build.intake import commit_built, image_id_of, source_of
from ..store import index
from ..value import Value
from .change import Applied, Change, Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.names import ImageID
    from ..host.host import Host
    from ..image.build.built import Built
    from ..image.policy import FetchPolicy
    from ..image.reference import DockerReference
    from .change import Plan


class Outlets(Value):
    """Where an image is to be. stored: in the store. path: "" for no file; mode: of that.

    key: the fingerprint of the secret key that signs the file, "" for none; home: where it is; passphrase: of it.
    pushed: the tag that means it in a registry.
    """

    stored: bool
    path: str
    mode: int
    key: str
    home: str
    passphrase: str
    pushed: DockerReference | None
    policy: FetchPolicy

    def __repr__(self) -> str:
        return f"Outlets({self.path!r}, {self.pushed})"


class StoreBuilt(Change):
    """Put an image into the store and render it."""

    built: Built

    def foresee(self, host: Host) -> None:
        """Raise NotFound for a dependency that is not in the store."""
        if self.built.recipe.manifest.dependencies:
            from ..store import dependencies

            dependencies.check(host.paths, self.built.recipe.manifest)

    def apply(self, host: Host) -> Applied:
        """Raises NotFound, Conflict, Corrupt, HostFailure."""
        return Applied(image=commit_built(host, self.built))


class NoteBuilt(Change):
    """Record that an image in the store was built again, so that its name means it."""

    built: Built

    def apply(self, host: Host) -> Applied:
        """Raises HostFailure, NotFound, Corrupt."""
        from ..image import meaning

        name = self.built.recipe.manifest.full_name
        try:
            image = index.get_image(host.paths, image_id_of(self.built))
            moved = meaning.renew(host.paths, source_of(self.built), image)
        except OSError as err:
            raise HostFailure.of(f"cannot note that {name} was built again", err) from err
        return Applied((), (moved,) if moved else ())


class WriteFile(Change):
    """Write an image into a file, in the place of what is there."""

    built: Built
    path: str
    mode: int

    def foresee(self, host: Host) -> None:
        """Raises NotFound, InvalidSpec."""
        del host
        outlets.check_place(self.path)

    def apply(self, host: Host) -> None:
        """Raises NotFound, InvalidSpec, Conflict, HostFailure."""
        self.foresee(host)
        outlets.write_file(self.built, self.path, self.mode)


class SetMode(Change):
    """Set the mode of a file that has an image already."""

    path: str
    mode: int

    def apply(self, host: Host) -> None:
        """Raises HostFailure, and Corrupt for a link, which could lead to any file by now."""
        del host
        try:
            fd = open_regular(self.path)
            try:
                os.fchmod(fd, self.mode)
            finally:
                os.close(fd)
        except OSError as err:
            raise HostFailure.of(f"cannot set the mode of {self.path}", err) from err


class SignFile(Change):
    """Sign a file with an image."""

    path: str
    to: Outlets

    def apply(self, host: Host) -> None:
        """Raises HostFailure, InvalidSpec, Unsupported."""
        from ..image.signing import sign

        del host
        to = self.to
        sign(to.home, to.key, to.passphrase, self.path, outlets.signature_of(self.path))


class PushBuilt(Change):
    """Send an image to a registry, and have a tag mean it."""

    built: Built
    reference: DockerReference
    policy: FetchPolicy

    def apply(self, host: Host) -> None:
        """Raises Unreachable, Untrusted, Conflict, HostFailure."""
        outlets.push(host, self.built, self.reference, self.policy)


def ensure_built(host: Host, built: Built, to: Outlets) -> Plan[None]:
    """Plan: an image is where it is to be. Raises InvalidSpec, NotFound, Unreachable, Untrusted, HostFailure."""
    name = built.recipe.manifest.full_name
    if to.stored:
        yield from _ensure_stored(host, built, f'image "{name}"')
    if to.path:
        yield from _ensure_file(built, to)
    if to.pushed:
        yield from _ensure_pushed(host, built, to, to.pushed)


def _ensure_stored(host: Host, built: Built, subject: str) -> Plan[None]:
    image_id, manifest = image_id_of(built), built.recipe.manifest
    if not _is_stored(host, image_id):
        before = index.find_by_name(host.paths, manifest.name, manifest.labels)
        was = str(before.id) if before and before.id != image_id else None
        if index.has_image(host.paths, image_id):
            was = "damaged"
        difference = Difference(f"images.{manifest.full_name}", was, str(image_id))
        yield StoreBuilt(subject, (difference,), built)
    elif index.is_outranked(host.paths, image_id):
        yield NoteBuilt(subject, (), built)


def _is_stored(host: Host, image_id: ImageID) -> bool:
    from ..image import find

    if not index.has_image(host.paths, image_id):
        return False
    try:
        return find.is_whole(host, index.get_image(host.paths, image_id))
    except (Corrupt, NotFound):
        return False


def _ensure_pushed(host: Host, built: Built, to: Outlets, reference: DockerReference) -> Plan[None]:
    found = outlets.pushed_image(host, reference, to.policy)
    if found and outlets.is_pushed(built, found):
        return
    before = (found.config or found.digest) if found else None
    if before == built.identity:
        before = f"{before} with another manifest"
    difference = Difference(f"push.{reference.name}", before, built.identity)
    yield PushBuilt(f'image "{reference}"', (difference,), built, reference, to.policy)


def _ensure_file(built: Built, to: Outlets) -> Plan[None]:
    place, subject = f"files.{to.path}", f"file {to.path}"
    identity = outlets.identity_of(built, to.path)
    is_written = identity == built.identity
    if not is_written:
        yield WriteFile(subject, (Difference(place, identity, built.identity),), built, to.path, to.mode)
    elif (mode := stat.S_IMODE(os.lstat(to.path).st_mode)) != to.mode:
        difference = Difference(f"{place}.mode", f"{mode:04o}", f"{to.mode:04o}")
        yield SetMode(subject, (difference,), to.path, to.mode)
    if to.key:
        from ..image.signing import signer_of

        signer = signer_of(to.home, to.path, outlets.signature_of(to.path)) if is_written else ""
        if signer != to.key:
            difference = Difference(f"{place}.signature", signer or None, to.key)
            yield SignFile(subject, (difference,), to.path, to)
