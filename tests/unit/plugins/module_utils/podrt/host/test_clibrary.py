# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Our part of ctypes is that of ctypes."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import clibrary

TYPES = [name for name in clibrary.__all__ if name.startswith("c_")]
VALUES = (0, 1, -1, 2**15, 2**31, 2**63, -(2**63), 2**64 - 1)


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_as_long_and_holds_the_same(name: str) -> None:
    ours, theirs = getattr(clibrary, name), getattr(ctypes, name)
    assert clibrary.sizeof(ours) == ctypes.sizeof(theirs)
    if name == "c_char_p":
        assert (ours(b"text").value, ours(None).value) == (b"text", None)
        return
    for value in VALUES:
        assert ours(value).value == theirs(value).value
    assert (ours * 3)(1, 2, 3)[2] == 3


@pytest.mark.parametrize("content", [0, 7, b"", b"some text"])
def test_a_buffer_holds_what_it_is_given(content: int | bytes) -> None:
    ours, theirs = clibrary.create_string_buffer(content), ctypes.create_string_buffer(content)
    assert (ours.raw, len(ours)) == (theirs.raw, len(theirs))


def test_a_structure_is_laid_out_alike() -> None:
    names = ("c_ushort", "c_char_p", "c_uint32", "c_uint64")

    def fields(module: object) -> dict[str, object]:
        return {"_fields_": [(name, getattr(module, name)) for name in names]}

    ours = type("Ours", (clibrary.Structure,), fields(clibrary))
    theirs = type("Theirs", (ctypes.Structure,), fields(ctypes))
    assert [getattr(ours, name).offset for name in names] == [getattr(theirs, name).offset for name in names]
    assert clibrary.sizeof(ours) == ctypes.sizeof(theirs)  # type: ignore[arg-type]


def test_functions_report_errors_and_take_what_their_types_say() -> None:
    libc = clibrary.libc()
    assert libc.close(-1) == -1
    assert clibrary.get_errno() == errno.EBADF
    own = libc["strlen"]
    own.argtypes, own.restype = (clibrary.c_char_p,), clibrary.c_size_t
    assert own(b"twelve bytes") == 12
    with pytest.raises(ctypes.ArgumentError):
        own(12)
    assert libc.strlen is libc.strlen is not own
    with pytest.raises(AttributeError):
        libc.no_such_function()


def test_with_the_lock_of_the_interpreter_its_own_functions_can_be_called() -> None:
    held = clibrary.python()
    assert held.Py_IsInitialized() == 1
    assert held.getpid() == os.getpid()
