# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which connections stay where there are too many."""

from __future__ import annotations

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.visits import (
    Visit,
    VisitBounds,
    Visits,
)


class Ended:
    """A connection that remembers its end."""

    ended = False

    def abort(self) -> None:
        self.ended = True


def visit(source: str, since: float) -> tuple[Visit, Ended]:
    connection = Ended()
    return Visit(source, connection, since), connection


def test_the_oldest_of_a_source_goes_for_a_new_one() -> None:
    visits = Visits(VisitBounds(2, 10))
    (first, of_first), (second, of_second), (third, _of_third) = (visit("a", time) for time in (0, 0.5, 5))
    assert visits.admit(first)
    assert visits.admit(second)
    assert visits.admit(third)
    assert (of_first.ended, of_second.ended, len(visits)) == (True, False, 2)


def test_none_goes_within_its_first_second() -> None:
    visits = Visits(VisitBounds(1, 10))
    (first, of_first), (second, _of_second) = visit("a", 0), visit("a", 0.9)
    assert visits.admit(first)
    assert not visits.admit(second)
    assert not of_first.ended


def test_one_source_does_not_take_the_place_of_others() -> None:
    visits = Visits(VisitBounds(2, 3))
    (old, of_old), *_rest = [visit("a", 0) for _number in range(2)]
    assert visits.admit(old)
    assert visits.admit(visit("b", 1)[0])
    assert visits.admit(visit("b", 1)[0])
    assert visits.admit(visit("c", 5)[0])
    assert (of_old.ended, len(visits)) == (True, 3)


def test_what_has_ended_counts_no_more() -> None:
    visits = Visits(VisitBounds(1, 1))
    first, _connection = visit("a", 0)
    assert visits.admit(first)
    visits.leave(first)
    visits.leave(first)
    assert len(visits) == 0
    assert visits.admit(visit("a", 0)[0])
