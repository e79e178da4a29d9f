# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds on one image while it is unpacked: bytes, entries, and the ratio of decompression.

An archive of some megabytes can hold a full disk's worth of zeros or of empty files. Threads that unpack layers of
one image share an allowance.
"""

from __future__ import annotations

import threading

from ..errors import Corrupt
from ..host.config import configured_limits
from ..host.limits import Limits, setting_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths

# A ratio means something only for large content: a small file may well be all zeros.
_RATIO_COUNTS_FROM = 100 * 10**6


class Allowance:
    """The bounds of one image (host.limits.Limits) and how much of them is used up."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._bytes = 0
        self._entries = 0
        self._sent = 0
        self._counting = threading.Lock()

    @classmethod
    def configured(cls, paths: Paths) -> Allowance:
        """An allowance with the configured limits. Raises InvalidSpec naming the file, HostFailure."""
        return cls(configured_limits(paths))

    def take_entries(self, count: int) -> None:
        """Count files, directories and links that are about to be made. Raises Corrupt."""
        with self._counting:
            self._entries += count
            if self._entries > self._limits.unpacked_entries:
                raise _too_much(f"has more than {self._limits.unpacked_entries} entries", "unpacked_entries")

    def count_sent(self, count: int) -> None:
        """Count received bytes, before they are decompressed."""
        with self._counting:
            self._sent += count

    def take_bytes(self, count: int) -> None:
        """Count decompressed bytes, of all archives together. Raises Corrupt."""
        with self._counting:
            self._bytes += count
            if self._bytes > self._limits.unpacked_bytes:
                raise _too_much(
                    f"comes to more than {self._limits.unpacked_bytes} bytes unpacked", "unpacked_bytes"
                )
            self.check_ratio(self._sent, self._bytes)

    def check_ratio(self, sent: int, plain: int) -> None:
        """Raise Corrupt when the ratio of decompressed to received bytes, of an archive or an image, is too large."""
        if plain > _RATIO_COUNTS_FROM and plain > self._limits.unpacked_ratio * sent:
            raise _too_much(
                f"swells to more than {self._limits.unpacked_ratio} times what was sent", "unpacked_ratio"
            )

    def of_stream(self) -> Meter:
        """A meter for one archive of the image."""
        return Meter(self)


class Meter:
    """One archive on its way through a decompressor."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._sent = 0
        self._plain = 0

    def sent(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same stream, counted as received."""
        for chunk in chunks:
            self._sent += len(chunk)
            self._allowance.count_sent(len(chunk))
            yield chunk

    def plain(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same stream, counted as decompressed. Raises Corrupt."""
        for chunk in chunks:
            self._plain += len(chunk)
            self._allowance.take_bytes(len(chunk))
            self._allowance.check_ratio(self._sent, self._plain)
            yield chunk


def _too_much(what: str, field: str) -> Corrupt:
    return Corrupt(f"refusing to unpack the image: it {what}", f"if you trust it, raise {setting_of(field)}")
