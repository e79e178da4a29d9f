# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ACIs in files of this host. Source: behaviours B.4, B17."""

from __future__ import annotations

import os
import stat

from ...contexts import contextmanager
from ...errors import Corrupt, HostFailure, InvalidSpec, NotFound
from ..reference import LocalFile
from .source import SIGNATURE_SUFFIX, Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...appc.image import ImageManifest
    from ...store.blobs import Incoming
    from ...store.index import StoredImage
    from ...store.workspace import Workspace
    from ..job import FetchJob


class FileSource(Source):
    """A file. Its record has a fingerprint for an ETag, so that an unchanged file is known without reading it."""

    reference: LocalFile

    is_at_hand = True
    is_signable = True

    def has_changed(self) -> bool:
        """Whether it is not the file that was read last."""
        now = fingerprint(self.reference.path)
        remote = self.remote
        return remote is None or remote.etag != now

    def gives(self, image: StoredImage) -> bool:
        """Whether it holds this image: reads it to its end, up to the bounds of an image. Raises HostFailure."""
        import hashlib

        from ...appc.names import ImageID
        from ...store import stream
        from ...store.allowance import Allowance

        digest, path = hashlib.sha512(), self.reference.path
        try:
            for chunk in stream.metered(stream.file_chunks(path), Allowance.configured(self.host.paths)):
                digest.update(chunk)
        except Corrupt:
            return False
        except OSError as err:
            raise HostFailure.of(f"cannot read the image file {path}", err) from err
        return ImageID.of_digest(digest.hexdigest()) == image.id

    def foresee(self) -> None:
        """Raise NotFound, HostFailure or InvalidSpec for a file that cannot be read."""
        fingerprint(self.reference.path)

    def check_dependencies(self) -> None:
        """Those that its manifest names."""
        from ...store import dependencies

        manifest = self._manifest()
        if manifest is not None and manifest.dependencies:
            dependencies.check(self.host.paths, manifest)

    def signature_place(self) -> str:
        """The file beside it."""
        return f"{self.reference.path}{SIGNATURE_SUFFIX}"

    def archive_at_hand(self) -> str:
        """The file."""
        return self.reference.path

    def known_name(self) -> str:
        """The name in its manifest."""
        manifest = self._manifest()
        return "" if manifest is None else str(manifest.name)

    def _manifest(self) -> ImageManifest | None:
        """Its manifest, None for a file that a fetch will refuse."""
        from ...store import blobs

        try:
            return blobs.manifest_in(self.host.paths, self.reference.path)
        except (OSError, Corrupt):
            return None

    @contextmanager
    def receive(
        self, job: FetchJob, _stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read it, every time (B.4)."""
        from ...store.workspace import Workspace
        from .arrival import received

        before = fingerprint(self.reference.path)
        job.progress(f"using image from file {self.reference.path}")
        verifier.announced(job, self, ())
        with Workspace(self.host.paths) as workspace:
            yield received(self.reference, self._read(workspace, verifier), etag=before)

    def _read(self, workspace: Workspace, verifier: Verifier) -> Incoming:
        from ...store import blobs, stream

        path = self.reference.path
        try:
            return blobs.receive_archive(
                self.host.paths,
                workspace,
                stream.file_chunks(path),
                path,
                keep_sent=verifier.keeps_sent,
            )
        except FileNotFoundError as err:
            raise NotFound(f"cannot open the image file {path}: no such file", "check the path") from err
        except OSError as err:
            raise HostFailure.of(f"cannot read the image file {path}", err) from err

    def using(self, _image: StoredImage) -> str:
        """The line for a file, whether it is read again or not."""
        return f"using image from file {self.reference}"


def fingerprint(path: str) -> str:
    """A text that changes when a file does. Raises NotFound, HostFailure."""
    try:
        info = os.stat(path)
    except FileNotFoundError as err:
        raise NotFound(f"cannot open the image file {path}: no such file", "check the path") from err
    except OSError as err:
        raise HostFailure.of(f"cannot open the image file {path}", err) from err
    if not stat.S_ISREG(info.st_mode):
        raise InvalidSpec(f"the image file {path} is not a file", "name a file that holds an ACI")
    return f"{info.st_dev}-{info.st_ino}-{info.st_size}-{info.st_mtime_ns}-{info.st_ctime_ns}"
