# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.value import Value


class Point(Value):
    x: int
    y: int = 0


class Named(Point):
    name: str = "here"


def test_fields_come_by_place_by_name_and_by_default() -> None:
    assert Point(1) == Point(x=1, y=0) == Point(1, 0)
    assert Named(1, 2, "there").name == "there"


def test_values_of_another_kind_are_never_equal() -> None:
    assert Point(1, 0) != Named(1, 0)
    assert Point(1) != (1, 0)


def test_equal_values_have_equal_hashes() -> None:
    assert hash(Point(1)) == hash(Point(1, 0))
    assert {Point(1), Point(1, 0)} == {Point(1)}


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)], ids=["too few", "too many"])
def test_a_wrong_number_of_fields_is_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError):
        Point(*arguments)


def test_a_row_is_in_the_order_of_the_fields_however_it_was_made() -> None:
    swapped = Named(name="there", y=2, x=1)
    assert swapped.row() == (1, 2, "there")
    assert Named(*swapped.row()) == swapped


def test_an_unknown_or_repeated_field_is_refused() -> None:
    with pytest.raises(TypeError):
        Point(1, z=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, x=3)  # type: ignore[misc]


def test_a_value_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    assert point.replace(x=2) == Point(2)
    assert point == Point(1)
