# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sha256 and sha512 of short texts in a start: hashlib would load OpenSSL, which costs a start 2.5 ms.

hashlib itself falls back on these modules. An interpreter that was built without them has hashlib.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256, sha512
else:
    try:
        # The search for a missing module takes longer than loading one.
        if sys.version_info >= (3, 12):
            from _sha2 import sha256, sha512
        else:
            from _sha256 import sha256
            from _sha512 import sha512
    except ImportError:
        from hashlib import sha256, sha512

__all__ = ("sha256", "sha512")
