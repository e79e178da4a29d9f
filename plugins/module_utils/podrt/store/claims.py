# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fetches in progress count on: layers that no image names yet, and that no collection may take.

A claim is the file `layers` in a workspace, so that it goes with the process that made it. It is written while the
store is locked for adding: a collection has either ended before its layers are looked for, or sees it.
"""

from __future__ import annotations

from contextlib import contextmanager

from ..host import files
from ..host.reading import DOCUMENT, read_text_or
from . import layers, locks, workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..host.paths import Paths


@contextmanager
def claimed(paths: Paths, layer_ids: Iterable[str]) -> Iterator[None]:
    """Keep layers, those that are there and those that come, from collections. Raises OSError, Conflict."""
    names = sorted({layers.layer_name(layer_id) for layer_id in layer_ids})
    with workspace.Workspace(paths) as place:
        with locks.adding(paths):
            files.write_new(place.claim, "\n".join(names).encode())
        yield


def claimed_names(paths: Paths) -> set[str]:
    """The names of the layers' directories that living processes claim."""
    places = workspace.in_use(paths.workspaces)
    return {
        name for place in places for name in read_text_or(workspace.claim_in(place), "", DOCUMENT).split()
    }
