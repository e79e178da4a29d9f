# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds on one image while it is unpacked: bytes, entries, and the ratio of decompression.

An archive of some megabytes can hold a full disk's worth of zeros or of empty files. Processes that unpack layers of
one image share an allowance.
"""

from __future__ import annotations

from ..errors import Corrupt
from ..host.config import configured_limits
from ..host.limits import Limits, setting_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths

# A ratio means something only for large content: a small file may well be all zeros.
_RATIO_COUNTS_FROM = 100 * 10**6
_COUNTER = 8  # bytes


class Allowance:
    """The bounds of one image (host.limits.Limits) and how much of them is used up.

    shares: the processes that are to be forked and count with it, each by share. Each number has one writer and is
    written at once, so that no lock is needed; a reader sees what all have counted a moment ago.
    """

    def __init__(self, limits: Limits | None = None, shares: int = 1) -> None:
        self._limits = limits or Limits()
        self._bytes, self._entries, self._sent = (_counters(shares) for _kind in range(3))
        self._share = 0

    @classmethod
    def configured(cls, paths: Paths, shares: int = 1) -> Allowance:
        """An allowance with the configured limits. Raises InvalidSpec naming the file, HostFailure."""
        return cls(configured_limits(paths), shares)

    def share(self, number: int) -> None:
        """Count by one of the shares from now on, in a process of its own."""
        self._share = number

    def take_entries(self, count: int) -> None:
        """Count files, directories and links that are about to be made. Raises Corrupt."""
        self._entries[self._share] += count
        if sum(self._entries) > self._limits.unpacked_entries:
            raise _too_much(f"has more than {self._limits.unpacked_entries} entries", "unpacked_entries")

    def count_sent(self, count: int) -> None:
        """Count received bytes, before they are decompressed."""
        self._sent[self._share] += count

    def take_bytes(self, count: int) -> None:
        """Count decompressed bytes, of all archives together. Raises Corrupt."""
        self._bytes[self._share] += count
        plain = sum(self._bytes)
        if plain > self._limits.unpacked_bytes:
            raise _too_much(
                f"comes to more than {self._limits.unpacked_bytes} bytes unpacked", "unpacked_bytes"
            )
        self.check_ratio(sum(self._sent), plain)

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


def _counters(count: int) -> list[int] | memoryview:
    """Numbers from 0 on, shared with forked processes if there are several."""
    if count == 1:
        return [0]
    import mmap

    return memoryview(mmap.mmap(-1, count * _COUNTER)).cast("Q")


def _too_much(what: str, field: str) -> Corrupt:
    return Corrupt(f"refusing to unpack the image: it {what}", f"if you trust it, raise {setting_of(field)}")
