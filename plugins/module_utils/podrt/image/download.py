# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Get the layers of a docker image, several at a time: read, check, decompress and unpack each in one pass."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import ExitStack

from ..store import layers, stream
from ..store.allowance import Allowance
from ..store.workspace import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol

    from ..host.turns import Turn
    from ..store.extract import Extraction
    from .job import FetchJob
    from .manifests import LayerBlob

    class Origin(Protocol):
        """Where layers come from. verb: what is done to get one, for a line of progress."""

        verb: str

        @property
        def registry(self) -> str:
            """Whose bytes they are."""

        def layer(self, layer: LayerBlob, pulse: Callable[[], None]) -> Iterator[bytes]:
            """Stream a layer as it is sent."""


_MOST_AT_ONCE = 4


def ensure_layers(job: FetchJob, origin: Origin, wanted: Sequence[LayerBlob]) -> None:
    """Put every layer into the store; each is downloaded once, however many processes want it at the same time.

    The caller has claimed them. Raises the first error; layers that were complete by then stay for the next try.
    """
    paths = job.host.paths
    unique = {layer.diff_id: layer for layer in wanted if not layers.has_layer(paths, layer.diff_id)}
    if not unique:
        return
    # The last one to end decides how long it takes, so the largest go first, from the end.
    waiting = sorted(unique.values(), key=lambda layer: layer.size)
    work = _Work(job, origin, waiting)
    writer = threading.Thread(target=work.write, daemon=True)
    readers = [
        threading.Thread(target=work.read, daemon=True) for _reader in range(min(_at_once(), len(waiting)))
    ]
    for thread in (writer, *readers):
        thread.start()
    try:
        for thread in readers:
            thread.join()
    except BaseException:
        work.stop.set()
        raise
    finally:
        work.unpacked.put(None)
        writer.join()
    if work.errors:
        raise work.errors[0]


def _at_once() -> int:
    """The number of readers: one for each processor, since decompressing takes the time; two to hide a slow network."""
    return max(2, min(os.cpu_count() or 1, _MOST_AT_ONCE))


class _Stopped(Exception):
    """Another layer has failed."""


class _Unpacked:
    """A layer on its way from a reader to the writer; close releases its turn and its workspace."""

    def __init__(
        self, layer_id: str, turn: Turn, workspace: Workspace, extraction: Extraction, held: ExitStack
    ) -> None:
        self.layer_id = layer_id
        self.pulse = turn.pulse
        self.workspace = workspace
        self.extraction = extraction
        self.close = held.close


class _Work:
    """The shared state of the threads. waiting: the last one is next. unpacked: ended by None.

    A reader goes on with its next layer while the writer syncs unpacked ones, many layers by one syncfs. The writer
    waits for no turn, so two processes cannot block each other. A turn is for the bytes of one registry: a layer that
    another one announces under the same diff ID is no reason to wait.
    """

    def __init__(self, job: FetchJob, origin: Origin, waiting: list[LayerBlob]) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.unpacked: queue.SimpleQueue[_Unpacked | None] = queue.SimpleQueue()
        saying = threading.Lock()

        def say(line: str) -> None:
            with saying:
                job.progress(line)

        self._job = job.replace(progress=say)
        self._paths = job.host.paths
        self._origin = origin
        self._waiting = waiting
        self._allowance = Allowance.configured(self._paths)

    def read(self) -> None:
        """Take layers until all are taken or one has failed."""
        try:
            while not self.stop.is_set():
                self._unpack(self._waiting.pop())
        except (IndexError, _Stopped):
            return
        except BaseException as err:
            self._fail(err)

    def write(self) -> None:
        """Put unpacked layers in place, all that are ready at once."""
        more = True
        while more:
            batch = [self.unpacked.get()]
            while not self.unpacked.empty():
                batch.append(self.unpacked.get())
            more = None not in batch
            self._put([layer for layer in batch if layer])

    def _unpack(self, layer: LayerBlob) -> None:
        with ExitStack() as held:
            key = f"blob {self._origin.registry} {layer.digest}"
            turn = held.enter_context(self._job.turn(key, f"layer {layer.digest}"))
            if layers.find_layer(self._paths, layer.diff_id):
                return
            self._job.progress(f"{self._origin.verb} layer {layer.digest}: {layer.size / 1e6:.1f} MB")
            workspace = held.enter_context(Workspace(self._paths))
            chunks = self._origin.layer(layer, self._pulse_of(turn))
            sent = stream.verified_chunks(chunks, layer.digest, layer.size)
            plain = stream.read_ahead(stream.metered(sent, self._allowance))
            extraction = layers.unpack_layer(workspace, layer.diff_id, plain, self._allowance)
            self.unpacked.put(_Unpacked(layer.diff_id, turn, workspace, extraction, held.pop_all()))

    def _put(self, batch: list[_Unpacked]) -> None:
        try:
            for layer in batch:
                layer.pulse()
                layers.seal(layer.workspace, layer.extraction, layer.layer_id)
            if batch:
                batch[0].workspace.sync()
            for layer in batch:
                layers.place_first(self._paths, layer.workspace, layer.layer_id)
        except BaseException as err:
            self._fail(err)
        finally:
            for layer in batch:
                layer.close()

    def _fail(self, err: BaseException) -> None:
        self.errors.append(err)
        self.stop.set()

    def _pulse_of(self, turn: Turn) -> Callable[[], None]:
        """The function to call whenever bytes arrive. It raises _Stopped when they are no longer wanted."""

        def pulse() -> None:
            if self.stop.is_set():
                raise _Stopped
            turn.pulse()

        return pulse
