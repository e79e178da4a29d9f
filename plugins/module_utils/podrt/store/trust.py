# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an image may count, as the index keeps it."""

from __future__ import annotations

from ..value import Value


class Trust(Value):
    """The signer and the policy of a StoredImage."""

    signer: str = ""
    policy: str = ""


NO_TRUST = Trust()
