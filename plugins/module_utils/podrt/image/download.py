# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Get the layers of an image, several at a time: read, check, decompress and unpack each in one pass.

Workers unpack layers in a workspace of the parent, which syncs all that are ready at once and puts them in place.
"""

from __future__ import annotations

import os

from ..errors import Corrupt, Untrusted
from ..host import files
from ..host.workers import Message, Workers, WorkQueue, at_once
from ..store import inflate, layers, stream
from ..store.allowance import Allowance
from ..store.partial import Kept, Partial
from ..store.workspace import Workspace
from .progress import Observer
from .relay import Relay, Relayed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from ..host.turns import Turn
    from ..host.workers import Tell
    from ..store.workspace import Workplace
    from .job import FetchJob
    from .manifests import LayerBlob

    class Origin(Protocol):
        """Where layers come from. verb: what is done to get one, for a line of progress."""

        verb: str

        @property
        def registry(self) -> str:
            """Whose bytes they are."""

        def layer(
            self, layer: LayerBlob, pulse: Callable[[], None], kept: Kept | None = None
        ) -> Iterator[bytes]:
            """Stream a layer as it is sent. kept: what is there of it, for an origin that needs the network."""

        def forked(self) -> None:
            """Use nothing of the parent's that two processes cannot share."""


_LARGE = 1 << 20
_DIGITS = 12


def ensure_layers(job: FetchJob, origin: Origin, wanted: Sequence[LayerBlob]) -> None:
    """Put every layer into the store; each is downloaded once, however many processes want it at the same time.

    The caller has claimed them. Raises the first error; layers that were complete by then stay for the next try.
    """
    paths = job.host.paths
    unique = {layer.diff_id: layer for layer in wanted if not layers.has_layer(paths, layer.diff_id)}
    if not unique:
        return
    # The last one to end decides how long it takes, so the largest go first.
    waiting = sorted(unique.values(), key=lambda layer: layer.size, reverse=True)
    count = at_once(len(waiting))
    if waiting[0].size >= _LARGE:
        inflate.choose()
    with (
        Workspace(paths) as workspace,
        WorkQueue(range(len(waiting))) as queue,
        Relayed(job.progress) as relayed,
    ):
        work = _Work(job, origin, waiting, workspace, relayed, Allowance.configured(paths, count))
        if count == 1:
            work.unpack_alone(queue)
            return
        with Workers("a layer", lambda tell: work.unpack_all(queue, tell)) as workers:
            for number in range(count):
                work.allowance.share(number)
                workers.start()
            for batch in workers.messages():
                work.take(batch)


def _short(digest: str) -> str:
    """A digest in a few digits, for people."""
    return digest.partition(":")[2][:_DIGITS]


class _Work:
    """What the parent and its workers share, as it was when they were forked. waiting: the layers.

    A worker goes on with its next layer while the parent syncs unpacked ones, many by one syncfs. It hands over the
    turn for a layer with it. The parent waits for no turn, and a worker for one only while it has none, so two
    processes cannot block each other. A turn is for the bytes of one registry: a layer that another one announces under
    the same diff ID is no reason to wait.
    """

    def __init__(
        self,
        job: FetchJob,
        origin: Origin,
        waiting: Sequence[LayerBlob],
        workspace: Workspace,
        relayed: Relayed,
        allowance: Allowance,
    ) -> None:
        self._job = job
        self._origin = origin
        self._waiting = waiting
        self._workspace = workspace
        self._relayed = relayed
        self.allowance = allowance

    def unpack_alone(self, queue: WorkQueue) -> None:
        """Take all layers without a worker, by the connection that is there: a fork would cost a small one more."""
        self._unpack_all(
            queue, lambda document, fds: self.take([Message(document, [os.dup(fd) for fd in fds])])
        )

    # --- in a worker

    def unpack_all(self, queue: WorkQueue, tell: Tell) -> None:
        """Take layers until all are taken."""
        self._origin.forked()
        self._unpack_all(queue, tell)

    def _unpack_all(self, queue: WorkQueue, tell: Tell) -> None:
        for number in queue:
            layer = self._waiting[number]
            relay = Observer(Relay(tell, number), self._job.host.clock.monotonic)
            job = self._job.replace(progress=relay)
            with job.turn(f"blob {self._origin.registry} {layer.digest}", f"layer {layer.digest}") as turn:
                if layers.find_layer(job.host.paths, layer.diff_id):
                    continue
                relay.announce(f"{self._origin.verb} layer {layer.digest}: {layer.size / 1e6:.1f} MB")
                self._download(job, layer, self._place(number), turn)
                tell({"unpacked": number}, (turn.fd,))

    def _download(self, job: FetchJob, layer: LayerBlob, place: Workplace, turn: Turn) -> None:
        """Get and unpack a layer; once more if what an earlier download has left of it is not the beginning of it."""
        download = job.progress.transfer(_short(layer.digest))
        keeper = Partial(
            job.host.paths,
            f"blob {self._origin.registry} {layer.digest}",
            job.progress,
            download,
            checked=True,
            clock=job.host.clock.monotonic,
        )
        try:
            with keeper as kept:
                self._unpack(layer, place, turn, kept)
        except (Corrupt, Untrusted):
            if not keeper.was_used:
                raise
            job.progress(f"the part of layer {layer.digest} that was kept is damaged; starting again")
            files.remove_tree(place.path)
            self._unpack(layer, place, turn, Kept(download))
        download.ends()

    def _unpack(self, layer: LayerBlob, place: Workplace, turn: Turn, kept: Kept) -> None:
        chunks = self._origin.layer(layer, turn.pulse, kept)
        sent = stream.verified_chunks(chunks, layer.digest, layer.size)
        plain = stream.metered(
            sent, self.allowance, inflate.PROGRAM if layer.size >= _LARGE else inflate.ZLIB
        )
        extraction = layers.unpack_layer(place, layer.diff_id, plain, self.allowance)
        turn.pulse()
        layers.seal(place, extraction, layer.diff_id)

    # --- in the parent

    def take(self, batch: Sequence[Message]) -> None:
        """Do what workers have told: put what is unpacked in place."""
        try:
            for message in batch:
                self._relayed.hear(message.document)
            numbers = [message.document["unpacked"] for message in batch if "unpacked" in message.document]
            self._put([number for number in numbers if isinstance(number, int)])
        finally:
            for message in batch:
                for turn in message.fds:
                    os.close(turn)

    def _put(self, numbers: Sequence[int]) -> None:
        if numbers:
            self._workspace.sync()
        for number in numbers:
            layers.place_first(self._job.host.paths, self._place(number), self._waiting[number].diff_id)

    def _place(self, number: int) -> Workplace:
        return self._workspace.part(str(number))
