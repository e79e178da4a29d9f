# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The checks of a start before it has any effect."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.starter.inputs import check_kernel


@pytest.mark.parametrize("release", ["5.12.0", "5.12-rc1", "6.1.0-42-amd64", "6.18.5", "10.0", "strange"])
def test_a_kernel_that_has_what_is_needed(release: str) -> None:
    check_kernel(release)


@pytest.mark.parametrize("release", ["5.11.22", "5.4.0-216-generic", "4.18.0-553.el8_10.x86_64", "3.10.0"])
def test_a_kernel_that_is_too_old_is_named_with_what_is_needed(release: str) -> None:
    with pytest.raises(Unsupported, match=r"Linux 5\.12 or newer") as caught:
        check_kernel(release)
    assert release in caught.value.message
