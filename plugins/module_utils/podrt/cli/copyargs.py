# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of podctl cp, and where what is copied lands. Pure. Source: docker-cp(1), with apps beside pods."""

from __future__ import annotations

import posixpath

from ..errors import InvalidSpec, NotFound
from ..value import Value

DIRECTORY, FILE, MISSING = "directory", "file", "missing"
PIPE = "-"


class CopyEnd(Value):
    """One end of a copy. pod: "" for a path of the host. app: "" for the only one of the pod."""

    path: str
    pod: str = ""
    app: str = ""

    @classmethod
    def parse(cls, word: str) -> CopyEnd:
        """Read PATH, POD:PATH or POD:APP:PATH. A path with a colon begins with / or . . Raises InvalidSpec."""
        pod, colon, rest = word.partition(":")
        if not word:
            raise InvalidSpec("a path to copy is empty")
        if not colon or word.startswith(("/", ".")) or "/" in pod:
            return cls(word)
        app, colon, path = rest.partition(":")
        if not colon or "/" in app:
            app, path = "", rest
        if not pod or not path:
            raise InvalidSpec(f'"{word}" is neither a path nor POD:PATH', "write POD:PATH or POD:APP:PATH")
        return cls(path, pod, app)

    @property
    def is_pipe(self) -> bool:
        """Whether it is an archive on standard input or output."""
        return not self.pod and self.path == PIPE

    @property
    def means_content(self) -> bool:
        """Whether a directory is meant by what is in it, not by its name."""
        return self.name in (".", "..", "")

    @property
    def must_be_directory(self) -> bool:
        """Whether it is written as a directory."""
        return self.path.endswith("/") or self.means_content

    @property
    def name(self) -> str:
        """The last component, as far as it is one."""
        return posixpath.basename(self.path.rstrip("/")) if posixpath.basename(self.path) != "." else "."


class Target(Value):
    """Where a copy lands: in a directory, under a name, "." for the content of a directory alone."""

    directory: str
    name: str


def target_of(source: CopyEnd, dest: CopyEnd, *, is_directory: bool, found: str) -> Target:
    """Where a source lands. is_directory: whether that is one. found: what is at the destination, as above.

    Raises InvalidSpec, NotFound.
    """
    if found == DIRECTORY:
        return Target(dest.path, "." if source.means_content else source.name)
    if found == FILE and is_directory:
        raise InvalidSpec(f'cannot copy a directory to "{dest.path}", which is a file', "name a directory")
    if dest.must_be_directory and not (found == MISSING and is_directory and not dest.means_content):
        raise NotFound(f'there is no directory "{dest.path}"', "make it, or leave the last slash out")
    return Target(posixpath.dirname(dest.path.rstrip("/")) or ("/" if dest.pod else "."), dest.name)
