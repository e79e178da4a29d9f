# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in files of this host, and whether a file is the one that was read before."""

from __future__ import annotations

import os
import stat

from ..errors import Corrupt, HostFailure, InvalidSpec, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..store.index import StoredImage


def fingerprint(path: str) -> str:
    """A text that changes when a file does. Raises NotFound, HostFailure."""
    try:
        info = os.stat(path)
    except FileNotFoundError as err:
        raise NotFound(f"cannot open the image file {path}: no such file", "check the path") from err
    except OSError as err:
        raise HostFailure.of(f"cannot open the image file {path}", err) from err
    if not stat.S_ISREG(info.st_mode):
        raise InvalidSpec(f"the image file {path} is not a file", "name a file that holds an ACI")
    return f"{info.st_dev}-{info.st_ino}-{info.st_size}-{info.st_mtime_ns}-{info.st_ctime_ns}"


def holds(host: Host, path: str, image: StoredImage) -> bool:
    """Whether a file of this host holds exactly this image: reads it to its end, up to the bounds of an image.

    Raises HostFailure.
    """
    import hashlib

    from ..appc.names import ImageID
    from ..store import stream
    from ..store.allowance import Allowance

    digest = hashlib.sha512()
    try:
        for chunk in stream.metered(stream.file_chunks(path), Allowance.configured(host.paths)):
            digest.update(chunk)
    except Corrupt:
        return False
    except OSError as err:
        raise HostFailure.of(f"cannot read the image file {path}", err) from err
    return ImageID.of_digest(digest.hexdigest()) == image.id
