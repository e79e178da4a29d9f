# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
from __future__ import annotations

import hashlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.digests import sha256, sha512


@pytest.mark.parametrize("data", [b"", b"a name", bytes(range(256)) * 100])
def test_digests_are_those_of_hashlib(data: bytes) -> None:
    assert sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()
    assert sha512(data).hexdigest() == hashlib.sha512(data).hexdigest()
