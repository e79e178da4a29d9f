# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run a program of the runtime and write down where a value goes from room to room.

usage: followed.py OUT WANTED PROGRAM ARGUMENTS...

WANTED is JSON: "marks", texts of which every shape of the value has one; "ends", functions as ROOM:NAME that the value
ends at, each with what a text among its arguments ends with then. Processes that it forks are followed as well.
A line of OUT is a JSON object. "back": a call across rooms has returned the value; "end": the value has come to an end,
with the calls across rooms that it was passed down by to get there. "at" tells which call was first.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from types import FrameType, GeneratorType
from typing import Any

DEEPEST = 9
MOST = 400
# What holds everything, so that it says nothing of where the value is.
ALL_HOLDING = {"Host", "Paths", "PodDir", "Pod", "Module"}


def room_of(path: str) -> str:
    """The package of a file; "" for the ground floor, the tests and what is not ours."""
    _before, ours, below = path.partition("/module_utils/")
    parts = below.split("/")[:-1] if ours else []
    if parts[:1] == ["_glue"]:
        return "_glue"
    parts = parts[1:] if parts[:1] == ["podrt"] else []
    return ".".join(parts[:2] if parts[:1] == ["stage1"] else parts[:1])


class Follower:
    """Sees every call and return. begun: which call across rooms a frame is."""

    def __init__(self, out: int, wanted: dict[str, Any]) -> None:
        self.out = out
        self.marks: list[str] = wanted["marks"]
        self.raw = [mark.encode() for mark in self.marks]
        self.ends: dict[str, str] = wanted["ends"]
        self.rooms: dict[str, str] = {}
        self.begun: dict[int, int] = {}
        self.calls = 0

    def see(self, frame: FrameType, event: str, arg: object) -> None:
        """The hook of sys.setprofile."""
        if event not in ("call", "return"):
            return
        room = self.room(frame)
        caller = room and self.caller(frame)
        if not caller or self.room(caller) == room:
            return
        name = f"{room}:{frame.f_code.co_name}"
        if event == "return":
            shapes = self.shapes(arg)
            if shapes:
                self.tell(kind="back", **self.step(caller, frame, shapes))
            return
        self.calls += 1
        self.begun[id(frame)] = self.calls
        if name in self.ends and self.is_end(frame, self.ends[name]):
            self.tell(kind="end", steps=list(self.steps(frame)))

    def step(self, caller: FrameType, frame: FrameType, shapes: list[str]) -> dict[str, object]:
        at = self.begun.get(id(frame), 0)
        return {"room": self.room(caller), "to": self.named(frame), "shapes": shapes, "at": at}

    def is_end(self, frame: FrameType, text: str) -> bool:
        return any(each.endswith(text) for each in arguments(frame) if isinstance(each, str))

    def steps(self, frame: FrameType | None) -> Iterator[dict[str, object]]:
        """The calls across rooms on the stack whose arguments have the value, the last first."""
        while frame:
            caller = self.caller(frame)
            if self.room(frame) and caller and self.room(frame) != self.room(caller):
                shapes = self.shapes(arguments(frame))
                if shapes:
                    yield self.step(caller, frame, shapes)
            frame = caller

    def room(self, frame: FrameType) -> str:
        path = frame.f_code.co_filename
        if path not in self.rooms:
            self.rooms[path] = room_of(path)
        return self.rooms[path]

    def named(self, frame: FrameType) -> list[str]:
        """Room, file and function."""
        path = frame.f_code.co_filename
        itself = frame.f_locals.get("self")
        name = f"{type(itself).__name__}." * (itself is not None) + frame.f_code.co_name
        return [self.room(frame), os.path.basename(path)[:-3], name]

    def caller(self, frame: FrameType) -> FrameType | None:
        """The next frame that is of a room."""
        found = frame.f_back
        while found and not self.room(found):
            found = found.f_back
        return found

    def shapes(self, value: object) -> list[str]:
        """The types that hold a mark themselves."""
        found: dict[str, None] = {}
        self.search(value, "", found, set(), DEEPEST)
        return sorted(found)

    def search(self, value: object, within: str, found: dict[str, None], seen: set[int], deep: int) -> None:
        if isinstance(value, (str, bytes)):
            marks: Any = self.marks if isinstance(value, str) else self.raw
            if any(mark in value for mark in marks):
                found[within or ("text" if isinstance(value, str) else "bytes")] = None
            return
        kind = type(value).__name__
        if deep == 0 or id(value) in seen or kind in ALL_HOLDING:
            return
        seen.add(id(value))
        inside, name = contents(value)
        for each in inside:
            self.search(each, name or within, found, seen, deep - 1)

    def tell(self, **record: object) -> None:
        try:
            os.write(self.out, json.dumps(record).encode() + b"\n")
        except OSError:
            sys.setprofile(None)  # a process that has closed everything


def contents(value: object) -> tuple[list[object], str]:
    """What a value holds, and what it is called where that is a shape of its own."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()][:MOST], "mapping"
    if isinstance(value, (tuple, list, set, frozenset)):
        return list(value)[:MOST], ""
    if isinstance(value, GeneratorType):
        frame = value.gi_frame
        return [*(frame.f_locals.values() if frame else ()), value.gi_yieldfrom], ""
    if hasattr(value, "_by_name"):  # options, or a document
        return [value._by_name], ""
    if hasattr(type(value), "_fields") and hasattr(value, "__dict__"):
        return list(value.__dict__.values()), type(value).__name__
    return [], ""


def arguments(frame: FrameType) -> list[object]:
    """What a call was given."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    held = frame.f_locals
    return [held[name] for name in code.co_varnames[:count] if name in held]


def main() -> None:
    out, wanted, program = sys.argv[1:4]
    sys.argv[:] = sys.argv[3:]
    follower = Follower(os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), json.loads(wanted))
    sys.path[0] = os.path.dirname(program)
    sys.setprofile(follower.see)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
