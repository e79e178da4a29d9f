# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The bounding sets of apps."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import (
    DEFAULT,
    EVERY,
    bounding_set,
    mask_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Capabilities
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec


@pytest.mark.behaviour("C47")
def test_the_default_is_rkts() -> None:
    assert bounding_set((), insecure=False) == 0xA80425FB
    assert len(DEFAULT) == 14


@pytest.mark.behaviour("C47")
@pytest.mark.parametrize(
    ("mode", "names", "mask"),
    [
        ("retain", ("CAP_NET_ADMIN", "CAP_SYS_PTRACE"), 1 << 12 | 1 << 19),
        ("retain", (), 0),
        ("remove", ("CAP_CHOWN",), 0xA80425FA),
        ("remove", ("CAP_SYS_ADMIN",), 0xA80425FB),
        ("remove", DEFAULT, 0),
    ],
)
def test_sets_are_kept_or_taken_away(mode: str, names: tuple[str, ...], mask: int) -> None:
    assert bounding_set((Capabilities(mode, names),), insecure=False) == mask
    assert bounding_set((Capabilities(mode, names),), insecure=True) == EVERY


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(InvalidSpec, match='unknown capability "CAP_MAGIC"'):
        mask_of(("CAP_MAGIC",))


def test_the_numbers_are_the_kernels() -> None:
    assert mask_of(("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE")) == 1 | 1 << 40
