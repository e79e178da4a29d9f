# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of a pod and of those around it, and the name servers of the host: the files in which apps find them."""

from __future__ import annotations

import os

from ...contexts import suppress
from ...errors import Corrupt, HostFailure
from ...host.files import write_new_beneath
from ...host.reading import WORD, read_bytes
from ...net import names, servers, slots
from ...net.info import read_net_info
from ...net.resolv import own_hosts_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...appc.pod import PodManifest
    from ...host.dirs import PodDir
    from ...host.paths import Paths
    from ...net.info import NetInfo
    from ...net.names import NamedPod
    from ...pod.runspec import RunSpec
    from ...pod.subids import IdRange

_FILE = 0o644


def write_own_files(
    pod: PodDir, apps: Iterable[str], runspec: RunSpec, hostname: str, users: IdRange | None
) -> None:
    """Write the hosts files of apps, without other pods yet, and a resolv.conf with the servers of the host.

    hostname: that of the pod. Raises OSError, Corrupt.
    """
    write_own_hosts(pod, apps, runspec, hostname, users)
    if runspec.follows_servers:
        found = servers.host_servers(shares_network=runspec.host_network)
        if found.text:
            _write(pod, pod.servers, found.text.encode(), users)


def write_own_hosts(
    pod: PodDir, apps: Iterable[str], runspec: RunSpec, hostname: str, users: IdRange | None
) -> None:
    """The former of these alone."""
    if not runspec.own_hosts:
        return
    # Where the pod has an address, its host name means that, in a slot.
    local = "" if runspec.has_addresses and runspec.own_hostname(hostname) else hostname
    for app in apps:
        text = own_hosts_file(_shipped(pod, app), local, runspec.hosts.entries)
        _write(pod, pod.app_hosts(app), slots.new_file(text), users)


def enter_names(
    paths: Paths, pod: PodDir, manifest: PodManifest, runspec: RunSpec, infos: Sequence[NetInfo]
) -> None:
    """Let a pod that has joined its networks, and the pods there, find each other. Raises PodError."""
    named = _named(pod, manifest, runspec)
    if infos and (named.names or named.files):
        names.enter(paths, named, infos)


def mend_names(paths: Paths, pod: PodDir, manifest: PodManifest, runspec: RunSpec) -> None:
    """Do that again for a pod that runs, as far as something is missing, and for its name servers. Raises PodError."""
    infos = read_net_info(pod.net_info)
    named = _named(pod, manifest, runspec)
    if infos and named.files:
        names.mend(paths, named, infos)
    if runspec.follows_servers:
        _mend_servers(pod, runspec)


def _write(pod: PodDir, path: str, data: bytes, users: IdRange | None) -> None:
    write_new_beneath(path, pod.path, data, _FILE, users.first if users else None)


def _named(pod: PodDir, manifest: PodManifest, runspec: RunSpec) -> NamedPod:
    return names.named_pod(
        pod,
        manifest,
        names.names_of(runspec.name, runspec.aliases, manifest),
        runspec.own_hostname(f"rkt-{os.path.basename(pod.path)}"),
        lists=runspec.own_hosts,
    )


def _mend_servers(pod: PodDir, runspec: RunSpec) -> None:
    """Let a resolv.conf that has the servers of the host have those of now, unless an app has changed it."""
    text = servers.host_servers(shares_network=runspec.host_network).text
    held = servers.held(pod)
    if not text or held is None or held == text:
        return
    base = os.open(pod.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = slots.open_file(base, os.path.relpath(pod.servers, pod.path))
        try:
            servers.rewrite(fd, text)
        finally:
            os.close(fd)
    except OSError as err:
        raise HostFailure.of("cannot write the resolv.conf of the pod", err) from err
    finally:
        os.close(base)


def _shipped(pod: PodDir, app: str) -> bytes:
    """The hosts file of an app's image, empty without one."""
    with suppress(FileNotFoundError, Corrupt):
        return read_bytes(pod.app_shipped_hosts(app), WORD, beneath=pod.path)
    return b""
