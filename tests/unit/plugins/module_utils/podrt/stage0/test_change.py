# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Whatever fails in the middle of a plan, the changes made before are reported."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Generator
from functools import partial

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    FAMILIES,
    Bug,
    PodError,
    of_kind,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import (
    Change,
    Difference,
    converge,
    naming_changes,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import failure

HOST = Host(Paths(), "amd64", "", "")
DONE = Difference("volumes.a", None, "made")
RAISED: dict[str, Callable[[], Exception]] = {
    **{kind: partial(of_kind, kind, "why", "what to do", where="apps[0].exec") for kind in FAMILIES},
    "OSError": partial(OSError, errno.ENOSPC, "No space left on device", "/x"),
    "TypeError": partial(TypeError, "secret"),
    "KeyError": partial(KeyError, "secret"),
}
KINDS = {
    **{kind: kind for kind in FAMILIES},
    "OSError": "host-failure",
    "TypeError": "bug",
    "KeyError": "bug",
}


class Works(Change):
    """A change that succeeds."""

    def apply(self, host: Host) -> None:
        """Do nothing."""


class Fails(Change):
    """A change that fails."""

    error: Exception

    def apply(self, host: Host) -> None:
        """Raise it."""
        raise self.error


def plan(error: Exception) -> Generator[Change, bool, None]:
    yield Works("a", (DONE,))
    yield Fails('pod "web"', (), error)


def plan_that_fails_itself(error: Exception) -> Generator[Change, bool, None]:
    yield Works("a", (DONE,))
    raise error


@pytest.mark.finding("review-B2")
@pytest.mark.parametrize("makes", [plan, plan_that_fails_itself])
@pytest.mark.parametrize("raised", RAISED)
def test_whatever_is_raised_carries_the_changes_that_were_made(
    raised: str, makes: Callable[[Exception], Generator[Change, bool, None]]
) -> None:
    error = RAISED[raised]()
    with pytest.raises(PodError) as caught:
        converge(HOST, makes(error), apply=True)
    result = failure(caught.value)
    assert (result["changed"], result["changes"]) == (True, [DONE.to_json()])
    assert result["error"] == KINDS[raised]
    if isinstance(error, PodError):
        assert (caught.value, result["hint"]) == (error, "what to do")
    json.dumps(result)


@pytest.mark.finding("review-B2")
def test_what_fails_after_the_changes_carries_them_too() -> None:
    with (
        pytest.raises(PodError, match="cannot look at it: no space") as caught,
        naming_changes([DONE.to_json()], "cannot look at it"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert failure(caught.value)["changes"] == [DONE.to_json()]


def test_the_changes_of_what_failed_come_after_those_before_it() -> None:
    own = Difference("pods.web.uuid", "a", "b").to_json()
    with pytest.raises(PodError) as caught:
        converge(HOST, plan(PodError("why", changes=[own])), apply=True)
    assert failure(caught.value)["changes"] == [DONE.to_json(), own]


def test_a_bug_keeps_its_traceback_and_its_text_stays_out_of_the_message() -> None:
    with pytest.raises(Bug) as caught:
        converge(HOST, plan(TypeError("secret")), apply=True)
    result = failure(caught.value)
    assert result["msg"].startswith('cannot converge pod "web": TypeError (this is a bug')  # type: ignore[union-attr]
    assert "TypeError: secret" in str(result["exception"])
