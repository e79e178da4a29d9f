# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of podctl app add and podctl app sandbox. Source: behaviours A8, A17; rkt, app_add.go, app_sandbox.go."""

from __future__ import annotations

from ..stage0.options.pod import POD
from ..stage0.options.texts import pair
from .flags import IMAGE, Flag
from .flags import POD as ANY
from .podflags import DETACH, PER_IMAGE, STAGE1, UUID_FILE_SAVE, flags
from .values import parse_sandbox_port

MNT_VOLUME = "mnt-volume"
_PORT = "NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT"
_OF_SANDBOXES = (
    *("net", "no-overlay", "dns", "dns-search", "dns-opt", "dns-domain", "hostname", "hosts-entry"),
    *("private-users", "ipc", "stop-timeout", "shm-size", "mds-register"),
    *STAGE1,
)

ADD = (
    *PER_IMAGE,
    Flag(MNT_VOLUME, "name=NAME,kind=KIND,...,target=PATH", "a volume, mounted in this app", scope=IMAGE),
)
_ROWS = tuple(row for row in POD if row.flag and row.flag.name in _OF_SANDBOXES)
SANDBOX = (
    *flags(_ROWS, ANY),
    *flags(_ROWS, ANY, running=True),
    Flag("port", _PORT, "a host port to forward to a port of the pod", parse=parse_sandbox_port),
    Flag("user-annotation", "KEY=VALUE", "a user annotation of the pod", parse=pair),
    Flag("user-label", "KEY=VALUE", "a user label of the pod", parse=pair),
    UUID_FILE_SAVE,
    DETACH,
)
