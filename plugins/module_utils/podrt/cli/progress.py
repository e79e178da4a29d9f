# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches of images into the store, with lines of progress. Source: behaviours B17."""

from __future__ import annotations

from ..image import fetch
from ..image.reference import AppcName, ArchiveURL, ImageKey, LocalFile
from ..stage0 import images
from ..stage0.change import converge
from .call import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..stage0.change import Applied, Change, Plan
    from ..store.index import StoredImage
    from .call import Call

    T = TypeVar("T")

_PREFIX = "image"
# The beginnings of lines about little work, or about what another line reports already.
_FOR_DEBUG = ("using image from ", "image for ", "fetching image from ")


class ToldFetch(images.FetchImage):
    """Get an image into the store, with a line for each step; debug: also where there is little to do."""

    debug: bool = False

    def apply(self, host: Host) -> Applied:
        """Fetch the image; its notes have been printed as lines already."""
        return super().apply(host).replace(notes=())

    def tell(self, line: str) -> None:
        """Print a line on standard error, unless it is about little work."""
        if self.debug or not line.startswith(_FOR_DEBUG):
            say(_PREFIX, line)


def ensure_image(
    call: Call, reference: ImageReference, policy: FetchPolicy, *, names: bool = False
) -> StoredImage | None:
    """Get an image into the store, as new as the policy wants it. With --dry-run None where it would be fetched.

    names: as for images.ensure_image.
    """
    dry_run = call.options.on("dry-run")
    changes = _told(images.ensure_image(call.host, reference, policy, names=names), call.debug, dry_run)
    outcome, stored = converge(call.host, changes, apply=not dry_run)
    for note in outcome.notes:
        say(_PREFIX, note)
    if stored and call.debug and not any(isinstance(change, images.FetchImage) for change in outcome.changes):
        say(_PREFIX, _using(call, reference, policy, stored))
    return stored


def _told(changes: Plan[T], debug: bool, dry_run: bool) -> Plan[T]:
    """The same plan; fetches print their steps, and a dry run prints every change."""
    try:
        change = next(changes)
        while True:
            if dry_run:
                say(_PREFIX, f"would change {change.subject}")
            applied = yield _telling(change, debug)
            change = changes.send(applied)
    except StopIteration as stop:
        value: T = stop.value
        return value


def _telling(change: Change, debug: bool) -> Change:
    if isinstance(change, images.FetchImage):
        return ToldFetch(change.subject, change.differences, change.reference, change.policy, debug)
    return change


def _using(call: Call, reference: ImageReference, policy: FetchPolicy, stored: StoredImage) -> str:
    if isinstance(reference, ArchiveURL) and policy.pull == "update" and fetch.is_fresh(call.host, reference):
        return f"image for {reference} isn't expired, not fetching."
    if isinstance(reference, ImageKey):
        return f"using image from the store with hash {stored.id}"
    if isinstance(reference, LocalFile):
        return f"using image from file {reference}"
    kind = "image name" if isinstance(reference, AppcName) else "url"
    return f"using image from local store for {kind} {reference}"
