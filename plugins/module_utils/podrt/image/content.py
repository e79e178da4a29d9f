# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content as registries and layouts name it, by its digest. Pure. Source: OCI image specification, descriptor.md."""

from __future__ import annotations

import hashlib

from ..value import Value

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Blob(Value):
    """Something by its digest."""

    digest: str
    size: int


def blob_of(data: bytes) -> Blob:
    """A document as a blob."""
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
