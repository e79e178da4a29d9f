# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The capability that protects the first process of a pod from its apps."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import (
    DEFAULT,
    EVERY,
    NAMES,
    guard_of,
    mask_of,
)

APP = mask_of(DEFAULT)


@pytest.mark.finding("attack4-F8")
@pytest.mark.parametrize("missing", [(), *((name,) for name in NAMES)])
def test_whatever_podctl_lacks_or_an_app_has_another_capability_is_the_guard(
    missing: tuple[str, ...],
) -> None:
    lacked = mask_of(missing)
    for boundings, permitted in (((APP,), EVERY & ~lacked), ((APP, lacked), EVERY)):
        guard = guard_of(boundings, permitted)
        assert guard
        assert guard & (guard - 1) == 0
        assert permitted & guard == guard
        assert not any(bounding & guard for bounding in boundings)


@pytest.mark.finding("attack4-F8")
def test_there_is_none_where_apps_have_all_that_podctl_has() -> None:
    assert guard_of((EVERY,), EVERY) == 0
    assert guard_of((APP, mask_of(("CAP_SYS_ADMIN",))), APP) == 0
    assert guard_of((), EVERY) == mask_of(("CAP_WAKE_ALARM",))


@pytest.mark.finding("attack4-F8")
def test_no_guard_is_a_capability_by_which_more_can_be_had() -> None:
    """If apps have all harmless ones, PID 1 has no guard rather than one of these."""
    mighty = ("CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_MKNOD")
    assert guard_of((APP,), APP | mask_of(mighty)) == 0
