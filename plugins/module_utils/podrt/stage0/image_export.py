# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an image in a file of the host."""

from __future__ import annotations

import os

from ..errors import HostFailure, InvalidSpec, NotFound
from ..store import exported
from .change import Change, Difference
from .images import UNKNOWN_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .change import Plan

_OTHER = "another file"


class ExportImage(Change):
    """Write an image into a file. image: None before it is fetched."""

    path: str
    image: StoredImage | None

    def foresee(self, _host: Host) -> None:
        """Raise NotFound for a missing directory."""
        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            raise NotFound(
                f"cannot write {self.path}: the directory {directory} does not exist", "make it first"
            )

    def apply(self, host: Host) -> None:
        """Write it. Raises NotFound, Corrupt, HostFailure, InvalidSpec."""
        self.foresee(host)
        if self.image:
            exported.write(host.paths, self.image, self.path)


def exporting(
    host: Host, reference: ImageReference, path: str, plan: Plan[StoredImage | None]
) -> Plan[StoredImage | None]:
    """Plan: what another plan says, and a file holds its image. Raises InvalidSpec for the path."""
    if not os.path.isabs(path):
        raise InvalidSpec(f'"{path}" is not an absolute path', "begin it with /", where="dest")
    exported.check_place(path)
    return _exporting(host, reference, path, plan)


def _exporting(
    host: Host, reference: ImageReference, path: str, plan: Plan[StoredImage | None]
) -> Plan[StoredImage | None]:
    image = yield from plan
    try:
        is_there = image is not None and exported.holds(host.paths, image, path)
        before = None if is_there else exported.held(path)
    except OSError as err:
        raise HostFailure.of(f"dest: cannot read {path}", err) from err
    if not is_there:
        after = str(image.id) if image else UNKNOWN_ID
        difference = Difference("dest", _OTHER if before == "" else before, after)
        yield ExportImage(f'image "{reference}"', (difference,), path, image)
    return image
