# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is made of: its manifest, and parts that become its files."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.image import ImageManifest

# The other format is oci.
ACI = "aci"


class Part(Value):
    """Files of an image. where: the option, for errors. target: a clean path in the image, "" for its root.

    source: a path on this host, "" for none. packed: whether it is in the archive of the controller's files instead.
    text: the content of a file. link: where a symbolic link leads. Without any of these it is a directory.

    names_file: whether target is the path of a file, not of the directory that a file is put into. mode,
    directory_mode: None for those of the source. uid, gid: None for root, or with owners kept those of the source.
    """

    where: str
    target: str
    source: str = ""
    packed: bool = False
    text: bytes | None = None
    link: str = ""
    names_file: bool = True
    mode: int | None = None
    directory_mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    exclude: tuple[str, ...] = ()


class Recipe(Value):
    """An image that is wanted. archive: of the controller's files, "" for none. keeps: what
    is kept of files beside their modes, of owner, mtime and xattrs.

    mtime: of all files, in seconds, unless it is kept. compress: whether what is written is compressed. stop_signal: in
    the image's spelling, "" for none.
    """

    format: str
    manifest: ImageManifest
    parts: tuple[Part, ...]
    archive: str = ""
    keeps: tuple[str, ...] = ()
    mtime: int = 0
    compress: bool = True
    stop_signal: str = ""

    def check(self) -> None:
        """Raise InvalidSpec for a time before 1970."""
        if self.mtime < 0:
            raise InvalidSpec(f"{self.mtime} is before 1970", "give seconds since then", where="mtime")
