# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The bytes of netlink messages. tests/integration/net/test_rtmsg.py proves that they do the same as pyroute2's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import attribute, attributes


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=64)), max_size=8))
def test_attributes_read_back_and_are_aligned(wanted: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, content) for kind, content in wanted)
    assert len(data) % 4 == 0
    assert list(attributes(data)) == wanted


@given(st.binary(max_size=64))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert sum(len(content) + 4 for _other, content in attributes(data)) >= 0
