# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a stage1 image finds when its entry run begins, and gives to the apps."""

from __future__ import annotations

import os

from ...host.files import make_dirs_beneath, path_beneath, write_new
from ...net.resolv import hosts_file, resolv_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...pod.runspec import RunSpec

_DIR, _FILE = 0o755, 0o644


def write_given(pod: PodDir, runspec: RunSpec, uuid: str) -> None:
    """Write resolv.conf and hosts where the pod has its own, and the directories of rkt/. Raises OSError, Corrupt."""
    for directory in (pod.statuses, pod.environments, pod.logs):
        make_dirs_beneath(directory, pod.path, _DIR)
    dns, (resolv, hosts) = runspec.dns, pod.stage1_given
    texts = {}
    if dns.mode == "custom":
        texts[resolv] = resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain)
    if runspec.hosts.mode == "custom":
        texts[hosts] = hosts_file(runspec.hostname or f"rkt-{uuid}", runspec.hosts.entries)
    for path, text in texts.items():
        make_dirs_beneath(os.path.dirname(path), pod.path, _DIR)
        with path_beneath(path, pod.path) as safe:
            write_new(safe, text.encode(), _FILE)
