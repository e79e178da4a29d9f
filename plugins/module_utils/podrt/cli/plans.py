# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as commands carry them out: applied or, with --dry-run, printed. Source: behaviours B17 for the lines."""

from __future__ import annotations

from ..errors import known
from ..stage0 import images
from ..stage0.change import Applied, walk
from .call import Call, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.progress import Showing
    from ..image.reference import ImageReference
    from ..stage0.change import Change, Difference, Outcome, Plan
    from ..store.index import StoredImage

    T = TypeVar("T")
    Worded = Mapping[type[Change], type[Change]]

_PREFIX = "image"
# How lines begin that say that little had to be done, or what another line says already.
_FOR_DEBUG = ("using image from ", "image for ", "fetching image from ")


def carry_out(call: Call, plan: Plan[T]) -> tuple[Outcome, T]:
    """Apply a plan; with --dry-run print the changes that it would make instead, and raise what would stop it."""
    outcome, result = walk(call.host, plan, apply=not call.dry_run)
    if call.dry_run:
        # Apps of one image have it fetched once.
        for line in dict.fromkeys(map(_line, outcome.differences)):
            call.tell(line)
        for err in outcome.obstacles:
            raise err
    return outcome, result


def _line(difference: Difference) -> str:
    sides = (difference.before, difference.after)
    before, after = ("absent" if side is None else side for side in sides)
    return f"{difference.path}: {before} -> {after}"


def in_words(plan: Plan[T], worded: Worded) -> Plan[T]:
    """The same plan with changes that do the same and report it. worded: by the classes that they replace."""
    try:
        change = next(plan)
        while True:
            kind: Callable[..., Change] | None = worded.get(type(change))
            change = plan.send((yield kind(*change.row()) if kind else change))
    except StopIteration as stop:
        value: T = stop.value
        return value


class ToldFetch(images.FetchImage):
    """Get an image into the store, with a line for each step."""

    def apply(self, host: Host) -> Applied:
        """Fetch the image; its notes have been printed as lines already."""
        return super().apply(host).replace(notes=())

    def view(self, _host: Host, hear: Callable[[str], None]) -> Showing:
        """Bars on a terminal, else lines."""
        from ..image.progress import Lines
        from . import bars

        return bars.Bars(hear) if bars.can_draw() else Lines(hear)

    def tell(self, line: str) -> None:
        """Print a line on standard error, unless it is about little work."""
        if not line.startswith(_FOR_DEBUG):
            say(_PREFIX, line)


class ToldFetchInFull(ToldFetch):
    """The same with every line, for --debug."""

    def tell(self, line: str) -> None:
        """A line on standard error."""
        say(_PREFIX, line)


class ToldImport(images.NoteImport):
    """Note that an image was fetched again, and tell whether its name meant another one."""

    def apply(self, host: Host) -> Applied:
        """Record it. Raises HostFailure, Conflict, Corrupt."""
        applied = super().apply(host)
        for note in applied.notes:
            say(_PREFIX, note)
        return applied.replace(notes=())


class ToldRemoval(images.RemoveImage):
    """Remove an image, and tell of it."""

    def foresee(self, host: Host) -> None:
        """Raises nothing; what depends on the image is told beforehand as well."""
        self._warn()

    def apply(self, host: Host) -> None:
        """With the warning of what depends on it."""
        self._warn()
        super().apply(host)
        Call.tell(f'successfully removed aci for image: "{self.image_id}"')

    def _warn(self) -> None:
        if self.warning:
            say("rm", f"warning: {self.warning}")


def ensure_image(
    call: Call, reference: ImageReference, policy: FetchPolicy, *, names: bool = False
) -> Plan[StoredImage | None]:
    """The plan of images.ensure_image, told in lines. Its parameters are those of that."""
    fetching = ToldFetchInFull if call.debug else ToldFetch
    worded = {images.FetchImage: fetching, images.NoteImport: ToldImport}
    plan = in_words(images.ensure_image(call.host, reference, policy, names=names), worded)
    fetched, subject = False, ""
    stored: StoredImage | None = None
    try:
        change = next(plan)
        while True:
            fetched, subject = fetched or isinstance(change, images.FetchImage), change.subject
            change = plan.send((yield change))
    except StopIteration as stop:
        stored = stop.value
    except OSError as err:
        raise known(f"cannot converge {subject}".rstrip(), err) from err
    if stored and call.debug and not fetched:
        from ..image.fetch import line_of_use

        say(_PREFIX, line_of_use(call.host, reference, policy, stored))
    return stored
