# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start needs of contextlib, without its imports: they bring functools and collections, which cost it 4 ms."""

from __future__ import annotations

__all__ = ("contextmanager", "nullcontext", "suppress")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import contextmanager, nullcontext, suppress
else:

    class suppress:
        """Nothing happens of what raises one of these."""

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, _err, _trace):
            return kind is not None and issubclass(kind, self._kinds)

    class nullcontext:
        """Nothing before, nothing after."""

        def __enter__(self):
            return None

        def __exit__(self, *_raised):
            return None

    class _Scope:
        """What a generator does before its yield and behind it. Source: contextlib._GeneratorContextManager."""

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
        """A function that makes contexts of one that makes generators with one yield."""

        def scope(*args, **kwargs):
            return _Scope(steps_of(*args, **kwargs))

        return scope
