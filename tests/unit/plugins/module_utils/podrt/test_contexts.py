# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Contexts of the runtime do what contextlib's do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt import contexts


def passing(said: list[str]) -> Iterator[int]:
    said.append("before")
    try:
        yield 7
    finally:
        said.append("after")


def swallowing(said: list[str]) -> Iterator[int]:
    try:
        yield 7
    except KeyError:
        said.append("swallowed")


def translating(_said: list[str]) -> Iterator[int]:
    try:
        yield 7
    except KeyError as err:
        raise ValueError("translated") from err


def yielding_twice(_said: list[str]) -> Iterator[int]:
    yield 7
    yield 8


def yielding_after_an_error(_said: list[str]) -> Iterator[int]:
    try:
        yield 7
    except KeyError:
        yield 8


def outcome(
    contextmanager: Any, steps: Callable[[list[str]], Iterator[int]], raised: type[BaseException] | None
) -> object:
    """What is seen of a context, with what of it is raised within."""
    said: list[str] = []
    err = raised("within") if raised else None
    try:
        with contextmanager(steps)(said) as value:
            said.append(f"given {value}")
            if err:
                raise err
    except BaseException as seen:
        return said, type(seen), seen is err, type(seen.__cause__)
    return said


@pytest.mark.parametrize("raised", [None, KeyError, OSError, StopIteration, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize(
    "steps",
    [passing, swallowing, translating, yielding_twice, yielding_after_an_error],
    ids=lambda steps: steps.__name__,
)
def test_a_context_of_a_generator(
    steps: Callable[[list[str]], Iterator[int]], raised: type[BaseException] | None
) -> None:
    expected = outcome(contextlib.contextmanager, steps, raised)
    assert outcome(contexts.contextmanager, steps, raised) == expected


@pytest.mark.parametrize("raised", [None, FileNotFoundError, KeyError])
def test_suppressing(raised: type[Exception] | None) -> None:
    def seen(suppress: Any) -> object:
        try:
            with suppress(OSError, ValueError):
                if raised:
                    raise raised
        except KeyError as err:
            return type(err)
        return None

    assert seen(contexts.suppress) == seen(contextlib.suppress)


def test_nothing_before_and_nothing_after() -> None:
    with pytest.raises(KeyError), contexts.nullcontext() as value:
        assert value is None
        raise KeyError
