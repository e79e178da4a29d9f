# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims of fetches in progress: layers that no image names yet, and that garbage collection must keep.

A claim is the file `layers` in a workspace, so it ends with the process that made it. It is written while the store is
locked for adding: a collection either has ended before the layers are looked up, or sees the claim.
"""

from __future__ import annotations

from ..contexts import contextmanager
from ..host import files
from ..host.reading import DOCUMENT, read_text_or
from . import layers, locks, workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..host.paths import Paths


@contextmanager
def claimed(paths: Paths, layer_ids: Iterable[str]) -> Iterator[None]:
    """Keep layers, present or to come, from being collected. Raises OSError, Conflict."""
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
