# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of ctypes that system calls need, on its module in C: each interpreter of a start is spared 0.8 ms.

Names and meanings are those of ctypes, to which the tests hold them. Source: Python's Lib/ctypes/__init__.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        CDLL,
        Structure,
        addressof,
        byref,
        c_char_p,
        c_int,
        c_int64,
        c_long,
        c_size_t,
        c_uint,
        c_uint32,
        c_uint64,
        c_ulong,
        c_ushort,
        c_void_p,
        create_string_buffer,
        get_errno,
        sizeof,
    )

    def libc() -> CDLL:
        """See below."""

    def python() -> CDLL:
        """See below."""

else:
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_PYTHONAPI,
        FUNCFLAG_USE_ERRNO,
        CFuncPtr,
        Structure,
        _SimpleCData,
        addressof,
        byref,
        dlopen,
        get_errno,
        sizeof,
    )

    def _simple(code):
        return type(_SimpleCData)(f"c_{code}", (_SimpleCData,), {"_type_": code})

    c_char, c_char_p, c_void_p = map(_simple, "czP")
    c_ushort, c_int, c_uint, c_long, c_ulong, c_int64, c_uint64 = map(_simple, "HiIlLqQ")
    c_uint32, c_size_t = c_uint, c_ulong

    class _Library:
        def __init__(self, flags):
            self._handle = dlopen(None, 0)
            members = {"_flags_": FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | flags, "_restype_": c_int}
            self._kind = type("_Function", (CFuncPtr,), members)

        def __getattr__(self, name):
            function = self[name]
            setattr(self, name, function)
            return function

        def __getitem__(self, name):
            return self._kind((name, self))

    def libc():
        """The functions of the C library, as CDLL(None, use_errno=True)."""
        return _Library(0)

    def python():
        """The same and those of the interpreter, with its lock held over each call, as PyDLL(None, use_errno=True)."""
        return _Library(FUNCFLAG_PYTHONAPI)

    def create_string_buffer(content):
        """Memory of so many bytes, or with these bytes and a NUL byte."""
        if isinstance(content, int):
            return (c_char * content)()
        held = (c_char * (len(content) + 1))()
        held.value = content
        return held


__all__ = (
    "Structure",
    "addressof",
    "byref",
    "c_char_p",
    "c_int",
    "c_int64",
    "c_long",
    "c_size_t",
    "c_uint",
    "c_uint32",
    "c_uint64",
    "c_ulong",
    "c_ushort",
    "c_void_p",
    "create_string_buffer",
    "get_errno",
    "libc",
    "python",
    "sizeof",
)
