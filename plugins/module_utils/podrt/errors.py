# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors, in eight families, and the failure of an app.

A message says what was attempted, on what, and why it failed; a hint says what to do. Two places translate errors for
people: _glue.module (fail_json) and cli.main (stderr). Any exception but PodError is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_MESSAGE = 8000
# Hints for errors that do not depend on the attempt.
_CURES = {
    errno.EMFILE: "this process may not open more files: raise its limit, as with ulimit -n",
    errno.ENFILE: "the host has too many files open: see sysctl fs.file-max",
    errno.EFBIG: "this process may not write larger files: raise its limit, as with ulimit -f",
    errno.ENOMEM: "the host, or the control group of this process, is short of memory",
    errno.ENOSPC: "make room on that file system",
    errno.EDQUOT: "the quota of that file system is used up",
    errno.EROFS: "that file system is read-only: remount it, or choose another directory",
}


def printable(text: str, keep: str = "") -> str:
    """A text that is safe to show: characters that are not printable are escaped as in Python.

    Otherwise text of an image, a registry, an archive or an app could move the cursor, reverse the direction of a line
    or forge a row of a table. keep: characters that stay. Called where text reaches people, and harmless when repeated.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character in keep or character.isprintable()
        else ascii(character)[1:-1]  # no codec, which could not be imported in the root of an app
        for character in text
    )


def few(sentences: Sequence[str], most: int = 10) -> list[str]:
    """The first of many sentences about an image or an archive, and the number of the others."""
    rest = len(sentences) - most
    return [*sentences[:most], f"and {rest} more of this kind"] if rest > 0 else list(sentences)


def first_of(texts: Sequence[str], most: int) -> str:
    """The first of some texts, separated by commas, and the number of the others."""
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest} more" if rest > 0 else "")


def shortened(text: str) -> str:
    """A text cut to the length of a message: a text from elsewhere can have megabytes."""
    if len(text) <= _LONGEST_MESSAGE:
        return text
    half = _LONGEST_MESSAGE // 2
    return f"{text[:half]} [...] {text[-half:]}"


def reason_of(err: OSError | PodError) -> str:
    """The message of an error, or the kernel's reason in rkt's spelling: no such file or directory."""
    if isinstance(err, PodError):
        return err.message
    text = err.strerror or str(err)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def hint_for_errno(err: OSError) -> str:
    """The hint for a reason of the kernel, "" if it depends on the attempt."""
    cure = _CURES.get(err.errno or 0, "")
    if err.errno == errno.ENOSPC and isinstance(err.filename, str) and _is_of_data(err.filename):
        return f"{cure}: podctl image gc removes what no pod uses"
    return cure


def _is_of_data(path: str) -> bool:
    """Whether a path is in a data directory, wherever that is: one above it has the store and the pods."""
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        if os.path.isdir(f"{path}/cas") and os.path.isdir(f"{path}/pods"):
            return True
    return False


class PodError(Exception):
    """An error that a user can act on.

    message: what was attempted, on what, and why it failed. hint: what to do. facts: JSON values for machines.
    """

    kind = "error"
    exit_code = 254

    def __init__(self, message: str, hint: str = "", **facts: object) -> None:
        message = shortened(message)
        super().__init__(message)
        self.message = message
        self.hint = shortened(hint)
        self.facts = facts

    def __str__(self) -> str:
        return self.message

    def move(self, where: str) -> None:
        """Blame another field than the one of facts["where"], in the message too."""
        before = str(self.facts.get("where", ""))
        if before and self.message.startswith(f"{before}: "):
            self.message = where + self.message[len(before) :]
        self.facts["where"] = where


class InvalidSpec(PodError):
    """The request is not valid. facts["where"] names the field, such as apps[0].mounts[1].path.

    on_argv: the message on a command line, "" for the same; mostly the words of rkt.
    """

    kind = "invalid-spec"

    def __init__(
        self, message: str, hint: str = "", *, where: str = "", on_argv: str = "", **facts: object
    ) -> None:
        super().__init__(f"{where}: {message}" if where else message, hint, where=where, **facts)
        self.reason = shortened(message)
        self.where = where
        self.on_argv = on_argv

    def move(self, where: str) -> None:
        """As of every error."""
        super().move(where)
        self.where = where

    def at(self, where: str) -> InvalidSpec:
        """The same error of another field."""
        return InvalidSpec(self.reason, self.hint, where=where, on_argv=self.on_argv)


class NotFound(PodError):
    """A named thing does not exist."""

    kind = "not-found"


class Conflict(PodError):
    """Another process or pod holds a resource, or the state changed between the plan and its execution."""

    kind = "conflict"


class Untrusted(PodError):
    """A signature, a digest or a policy refuses this content."""

    kind = "untrusted"


class Unreachable(PodError):
    """A remote host did not deliver what was requested."""

    kind = "unreachable"


class Unsupported(PodError):
    """This machine lacks something: a kernel feature, a library, a program, a privilege."""

    kind = "unsupported"


class Corrupt(PodError):
    """Something on disk or in an archive is damaged or not valid."""

    kind = "corrupt"


class HostFailure(PodError):
    """The operating system refused. facts has path and errno."""

    kind = "host-failure"

    @classmethod
    def of(cls, doing: str, err: OSError, hint: str = "") -> HostFailure:
        """Wrap an OSError; doing is the attempt, such as "cannot write the pod manifest"."""
        path = err.filename if isinstance(err.filename, str) else ""
        reason = reason_of(err)
        text = f"{doing}: {path}: {reason}" if path and path not in doing else f"{doing}: {reason}"
        return cls(
            text,
            hint or hint_for_errno(err),
            path=path,
            errno=err.errno or 0,
            error=os.strerror(err.errno) if err.errno else "",
        )


class AppFailed(PodError):
    """An app of a pod failed. facts: app, and exit_code or signal, oom, last_lines as far as known."""

    kind = "app-failed"


class Bug(PodError):
    """An exception that no code expects. Its cause has the traceback."""

    kind = "bug"


FAMILIES = {
    family.kind: family
    for family in (
        InvalidSpec,
        NotFound,
        Conflict,
        Untrusted,
        Unreachable,
        Unsupported,
        Corrupt,
        HostFailure,
        AppFailed,
    )
}


def of_kind(kind: str, message: str, hint: str = "", **facts: object) -> PodError:
    """An error of a family with a complete message, such as one from another process."""
    err = PodError.__new__(FAMILIES.get(kind, HostFailure))
    PodError.__init__(err, message, hint, **facts)
    if isinstance(err, InvalidSpec):
        err.reason, err.where, err.on_argv = message, str(facts.get("where", "")), ""
    return err


def known(doing: str, err: Exception) -> PodError:
    """Any exception as an error of a family; doing is the attempt, such as "cannot replace the pod".

    Its cause is set: raise it `from failure.__cause__`, since an error must not be its own cause.
    """
    if isinstance(err, PodError):
        return err
    failure: PodError
    if isinstance(err, OSError):
        failure = HostFailure.of(doing, err)
    else:
        failure = Bug(
            f"{doing}: {type(err).__name__}", "this is a bug of stagecraft.pods; report it with its traceback"
        )
    failure.__cause__ = err
    return failure
