# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of contextlib that a start needs, without its imports of functools and collections, which cost 4 ms."""

from __future__ import annotations

__all__ = ("contextmanager", "nullcontext", "suppress")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import contextmanager, nullcontext, suppress
else:

    class suppress:
        """Suppress exceptions of these classes."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, _err, _trace):
            return kind is not None and issubclass(kind, self._kinds)

    class nullcontext:
        """Do nothing on entry and on exit."""

        def __enter__(self):
            return None

        def __exit__(self, *_raised):
            return None

    class _Scope:
        """A generator as a context: the code around its yield. Source: contextlib._GeneratorContextManager."""

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            return next(self._steps)

        def __exit__(self, _kind, err, trace):
            if err is None:
                for _more in self._steps:
                    raise RuntimeError("a context yields more than once")
                return False
            try:
                self._steps.throw(err)
            except BaseException as raised:
                # A generator cannot pass on the end of another one, and wraps it.
                if raised is err or (isinstance(err, StopIteration) and raised.__cause__ is err):
                    err.__traceback__ = trace
                    return False
                if isinstance(raised, StopIteration):
                    return True
                raise
            raise RuntimeError("a context yields again after an error")

    def contextmanager(steps_of):
        """Turn a function that returns generators with one yield into one that returns contexts."""

        def scope(*args, **kwargs):
            return _Scope(steps_of(*args, **kwargs))

        return scope
