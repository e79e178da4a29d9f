# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of a docker image, some at a time: read, checked, decompressed and unpacked in one pass each."""

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

    from ..host.paths import Paths
    from ..store.extract import Extraction
    from .docker import Repository
    from .manifests import LayerBlob

_MOST_AT_ONCE = 4


def ensure_layers(
    paths: Paths, repository: Repository, wanted: Sequence[LayerBlob], progress: Callable[[str], None]
) -> None:
    """Have every layer in the store, each downloaded once however many processes ask at the same time.

    Raises the first error; layers that were complete by then stay, for the next try.
    """
    unique = {layer.diff_id: layer for layer in wanted if not layers.has_layer(paths, layer.diff_id)}
    if not unique:
        return
    # The last to end decides how long it takes, so the largest begin.
    waiting = sorted(unique.values(), key=lambda layer: layer.size)
    work = _Work(paths, repository, waiting, progress)
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
    """As many as there are processors: decompressing is what takes the time. Two hide a slow network."""
    return max(2, min(os.cpu_count() or 1, _MOST_AT_ONCE))


class _Stopped(Exception):
    """Another layer has failed."""


class _Unpacked:
    """A layer on its way from a reader to the writer; close gives up its lock and its workspace."""

    def __init__(self, layer_id: str, workspace: Workspace, extraction: Extraction, held: ExitStack) -> None:
        self.layer_id = layer_id
        self.workspace = workspace
        self.extraction = extraction
        self.close = held.close


class _Work:
    """What the threads share. waiting: its last is the next. unpacked: ended by None.

    A reader goes on with its next layer while the writer syncs what is there, many layers by one syncfs. Nobody
    waits for a lock while the layers that it has unpacked wait for it, so two processes cannot block each other.
    """

    def __init__(
        self, paths: Paths, repository: Repository, waiting: list[LayerBlob], progress: Callable[[str], None]
    ) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.unpacked: queue.SimpleQueue[_Unpacked | None] = queue.SimpleQueue()
        self._paths = paths
        self._repository = repository
        self._waiting = waiting
        self._progress = progress
        self._allowance = Allowance.configured(paths)
        self._saying = threading.Lock()

    def read(self) -> None:
        """Take layers until there are none left or one has failed."""
        try:
            while not self.stop.is_set():
                self._unpack(self._waiting.pop())
        except (IndexError, _Stopped):
            return
        except BaseException as err:
            self._fail(err)

    def write(self) -> None:
        """Put unpacked layers in place, as many at once as there are."""
        more = True
        while more:
            batch = [self.unpacked.get()]
            while not self.unpacked.empty():
                batch.append(self.unpacked.get())
            more = None not in batch
            self._put([layer for layer in batch if layer])

    def _unpack(self, layer: LayerBlob) -> None:
        with ExitStack() as held:
            held.enter_context(layers.lock_layer(self._paths, layer.diff_id))
            if layers.find_layer(self._paths, layer.diff_id):
                return
            self._say(f"Downloading layer {layer.digest}: {layer.size / 1e6:.1f} MB")
            workspace = held.enter_context(Workspace(self._paths))
            sent = stream.exactly(self._stoppable(self._repository.layer(layer)), layer.digest, layer.size)
            plain = stream.read_ahead(stream.metered(sent, self._allowance))
            extraction = layers.unpack_layer(workspace, layer.diff_id, plain, self._allowance)
            self.unpacked.put(_Unpacked(layer.diff_id, workspace, extraction, held.pop_all()))

    def _put(self, batch: list[_Unpacked]) -> None:
        try:
            for layer in batch:
                layers.seal(layer.workspace, layer.extraction, layer.layer_id)
            if batch:
                batch[0].workspace.sync()
            for layer in batch:
                layers.place(self._paths, layer.workspace, layer.layer_id)
        except BaseException as err:
            self._fail(err)
        finally:
            for layer in batch:
                layer.close()

    def _say(self, line: str) -> None:
        with self._saying:
            self._progress(line)

    def _fail(self, err: BaseException) -> None:
        self.errors.append(err)
        self.stop.set()

    def _stoppable(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.stop.is_set():
                raise _Stopped
            yield chunk
