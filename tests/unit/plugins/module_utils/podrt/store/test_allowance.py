# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The bounds of an image count all its layers."""

from __future__ import annotations

import bz2

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import stream
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.allowance import Allowance

_LARGE = 60 * 10**6


def through(allowance: Allowance, sent: int, plain: int) -> None:
    """Pass an archive of one size that decompresses to another, in some pieces."""
    meter = allowance.of_stream()
    for _chunk in meter.sent(iter([bytes(sent)])):
        pass
    for _chunk in meter.plain(iter([bytes(plain // 10)] * 10)):
        pass


@pytest.mark.finding("attack-F9")
def test_many_layers_may_not_swell_further_than_one():
    """Each is of a size at which the ratio is not checked yet."""
    allowance = Allowance()
    through(allowance, 100, _LARGE)
    with pytest.raises(Corrupt, match="swells to more than 200 times what was sent"):
        through(allowance, 100, _LARGE)


@pytest.mark.finding("attack-F9")
def test_a_layer_that_swells_is_refused_beside_one_that_does_not():
    allowance = Allowance()
    through(allowance, _LARGE, _LARGE)
    with pytest.raises(Corrupt, match="swells to more than 200 times what was sent"):
        through(allowance, 100, 2 * _LARGE)


def test_a_layer_of_zeros_is_fine_in_an_image_that_is_not_all_zeros():
    allowance = Allowance()
    through(allowance, 10**6, _LARGE)
    through(allowance, 100, _LARGE)


@pytest.mark.finding("attack-F9")
def test_layers_of_compressed_zeros_count_together():
    packed = bz2.compress(bytes(_LARGE))
    allowance = Allowance()
    assert sum(map(len, stream.metered(iter([packed]), allowance))) == _LARGE
    with pytest.raises(Corrupt, match="swells to more than 200 times"):
        list(stream.metered(iter([packed]), allowance))
