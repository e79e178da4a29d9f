# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of a start as bytes, between the starter, PID 1 and the children of the apps.

A frame is its fields with a zero byte between them. The first is the kind; each of the others begins with its type: s
and text in UTF-8, or i and a number in decimal. Any bytes are a message or a BadFrame, and parsing has no effects: an
app that may trace can write in the name of PID 1. Part of the supervisor, and so without imports; the other two sides
use this module as well.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Message = tuple[Union[str, int], ...]

# The longest text, in bytes, and the most fields, so that every message fits into a frame.
LONGEST_TEXT = 4096
MOST_FIELDS = 15
LONGEST_FRAME = MOST_FIELDS * (LONGEST_TEXT + 2)
_DIGITS = 18
# A text that is cut keeps its last bytes, which say why something failed.
_TAIL = 1024
_GAP = b" [...] "

# From PID 1: its namespaces are made; every app runs; the start failed, and why.
NAMESPACES, STARTED, FAILED = "namespaces", "started", "failed"
# From PID 1: an app has not come up, with its name, the reason, its status and the field of the spec to blame.
APP_FAILED = "app-failed"
# From the child of an app: it cannot be executed, with the reason and the field.
NOT_EXECUTED = "not-executed"
# From the waiting process of an app, with the number of the start: the PID of the app's process, 0 if it could not be
# forked; that it was executed, or has ended before.
FORKED, EXECUTED = "forked", "executed"
# Orders of the host to a running pod, and their answers, see control.
ADD, KEEP, STOP, FORGET, HOLD = "add", "keep", "stop", "forget", "hold"
DONE, REFUSED = "done", "refused"
# Reasons of REFUSED that a reader tells apart.
UNKNOWN_APP, HAS_NOT_ENDED = "the pod has no such app", "the app has not ended"
BUSY = "another command is at work on the app"
# From PID 1 in a rehearsal: the pod could start.
REHEARSED = "rehearsed"
# From the starter: the pod has joined its networks, and the files that depend on them are written, with the variables
# that every app gets for it, each a name and a value; the apps may start.
NETWORKS, GO = "networks", "go"
# From the starter, before that: a lease of a DHCP server, with the interface, the address, the server, the messages
# that keep it and give it back in hexadecimal digits, and the seconds until it is renewed, rebound and over.
LEASE = "lease"

# The types of the fields after a kind. After those of FAILED come names of facts, each with a value of either type, and
# so do variables after NETWORKS.
_TYPES = {
    **dict.fromkeys((NAMESPACES, STARTED, REHEARSED, NETWORKS, GO, DONE), ""),
    FAILED: "sssi",
    LEASE: "sssssiii",
    APP_FAILED: "ssis",
    NOT_EXECUTED: "ss",
    FORKED: "ii",
    EXECUTED: "i",
    # Name, PID, whether it has a pre-start handler, its stop signal, the names of its descriptors, its restart policy.
    ADD: "siiiss",
    KEEP: "s",
    FORGET: "s",
    STOP: "si",
    HOLD: "i",
    REFUSED: "s",
}

_WITH_MORE = (FAILED, NETWORKS)


class BadFrame(ValueError):
    """Bytes that are not a message."""


class Refused(Exception):
    """An order that the pod does not carry out, with the reason for people."""


def frame_of(kind: str, *facts: str | int) -> bytes:
    """A message as bytes. Texts that are too long are cut, and surplus facts are left out."""
    return b"\0".join([kind.encode(), *map(_field, facts[: MOST_FIELDS - 1])])


def message_of(frame: bytes) -> Message:
    """The message of a frame. Raises BadFrame for other bytes."""
    if len(frame) > LONGEST_FRAME:
        raise BadFrame("it is too long")
    kind, *fields = frame.split(b"\0", MOST_FIELDS)
    if len(fields) >= MOST_FIELDS:
        raise BadFrame("it has too many fields")
    name = kind.decode("ascii", "backslashreplace")
    if name not in _TYPES:
        raise BadFrame("its kind is unknown")
    if not _fit(_TYPES[name], [field[:1] for field in fields], more=name in _WITH_MORE):
        raise BadFrame("its fields are not those of its kind")
    return (name, *map(_value, fields))


def bounded(text: str) -> bytes:
    """A text in UTF-8, without its middle where it is too long.

    The reader escapes a character that is cut, as all bytes that are not UTF-8.
    """
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= LONGEST_TEXT:
        return data
    return data[: LONGEST_TEXT - _TAIL - len(_GAP)] + _GAP + data[-_TAIL:]


def _fit(types: str, actual: list[bytes], *, more: bool) -> bool:
    """Whether the types of fields are right. more: whether names with values may follow."""
    expected = [letter.encode() for letter in types]
    rest = actual[len(expected) :]
    if actual[: len(expected)] != expected or (rest and not more):
        return False
    return len(rest) % 2 == 0 and all(name == b"s" for name in rest[::2]) and {*rest} <= {b"s", b"i"}


def _field(fact: str | int) -> bytes:
    return b"i%d" % fact if isinstance(fact, int) else b"s" + bounded(fact).replace(b"\0", b"?")


def _value(field: bytes) -> str | int:
    content = field[1:]
    if field[:1] == b"s":
        if len(content) > LONGEST_TEXT:
            raise BadFrame("a text is too long")
        return content.decode("utf-8", "backslashreplace")
    digits = content[1:] if content[:1] == b"-" else content
    if not digits.isdigit() or len(digits) > _DIGITS:
        raise BadFrame("a number is not valid")
    return int(content)
