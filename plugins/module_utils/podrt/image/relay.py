# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of work in another process: a view there, which tells its parent what a view here then shows."""

from __future__ import annotations

from ..fields import Fields
from .progress import Observer, Showing, Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.workers import Tell

_EVERY = 0.1


class Relay(Showing):
    """In a worker: everything is told to its parent. number: of what it downloads."""

    every = _EVERY

    def __init__(self, tell: Tell, number: int) -> None:
        self._tell = tell
        self._number = number

    def line(self, text: str) -> None:
        """Tell it."""
        self._tell({"line": text}, ())

    def announced(self, text: str) -> None:
        """Tell it."""
        self._tell({"announced": text}, ())

    def moved(self, transfer: Transfer) -> None:
        """Tell how far it is."""
        self._tell(
            {
                "far": self._number,
                "label": transfer.label,
                "whole": transfer.whole,
                "done": transfer.done,
                "had": transfer.had,
                "fresh": transfer.fresh,
                "milliseconds": int(transfer.seconds * 1000),
            },
            (),
        )

    def ended(self, transfer: Transfer) -> None:
        """Tell how far it has come."""
        self.moved(transfer)
        self._tell({"ended": self._number}, ())


class Relayed:
    """In the parent: what workers have told; a context manager that ends what killed ones have left."""

    def __init__(self, progress: Observer) -> None:
        self._progress = progress
        self._transfers: dict[int, Transfer] = {}

    def __enter__(self) -> Relayed:
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        for transfer in self._transfers.values():
            transfer.ends()

    def hear(self, told: dict[str, object]) -> None:
        """Pass on one message, which may be about something else."""
        fields = Fields(told, "")
        if fields.has("line"):
            self._progress(fields.text("line"))
        elif fields.has("announced"):
            self._progress.announce(fields.text("announced"))
        elif fields.has("far"):
            self._hear_far(fields.integer("far"), fields)
        elif fields.has("ended"):
            self._transfers.pop(fields.integer("ended")).ends()

    def _hear_far(self, number: int, fields: Fields) -> None:
        if number not in self._transfers:
            self._transfers[number] = self._progress.transfer(fields.text("label"))
        self._transfers[number].is_at(
            fields.optional_integer("whole"),
            fields.integer("done"),
            fields.integer("had"),
            fields.integer("fresh"),
            fields.integer("milliseconds") / 1000,
        )
