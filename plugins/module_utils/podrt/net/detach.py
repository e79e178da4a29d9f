# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a pod out of its networks: undo all that attach did or began, if anything, in reverse.

Source: behaviours E25.
"""

from __future__ import annotations

from ..contexts import contextmanager, suppress
from ..errors import InvalidSpec, PodError, Unsupported, known
from ..host.files import entries
from .addresses import Address
from .conf import load_confs
from .conntrack import forget_addresses
from .drivers.builtin import BuiltInDriver
from .firewall import remove_rules
from .links import leave_bridge, our_bridges, remove_links
from .record import forget_copies, members_of, read_copies, read_infos
from .reservations import lease_dir, leases_of, release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .drivers.driver import Driver
    from .member import JoiningPod, NetMember
    from .plugin import Plugin
    from .record import Copies
    from .result import NetResult


def detach(pod: JoiningPod, *, links: bool = True) -> None:
    """Take a pod out of its networks.

    Where the record is damaged, everything is searched for the UUID. The file net-info.json stays: it describes the
    networks until the pod's directory is removed. links: False removes only ports of bridges and leaves the other links
    to the kernel, which removes them some time after the pod's last process has ended. Everything is tried; then the
    first error is raised. Raises PodError.
    """
    copies = read_copies(pod)
    members = members_of(pod, copies)
    directories = _lease_dirs(pod, copies)
    failed: list[PodError] = []
    with _collected(failed), suppress(Unsupported):
        remove_rules(pod.paths, pod.uuid)
    with _collected(failed):
        forget_addresses(_addresses(pod, directories))
    with _collected(failed):
        remove_links(pod.uuid, ports_only=not links)
    for member, result in reversed(members):
        for plugin in reversed(member.conf.plugins):
            with _collected(failed):
                _remove(member, plugin, result)
    if not copies.whole:
        for bridge in our_bridges():
            with _collected(failed):
                leave_bridge(pod.paths, bridge)
        for directory in directories:
            with _collected(failed):
                release(directory, pod.uuid)
    if failed:
        raise failed[0]
    forget_copies(pod.conf_dir)


def _remove(member: NetMember, plugin: Plugin, result: NetResult) -> None:
    drivers: list[Driver] = [BuiltInDriver()] if plugin.is_built_in else []
    if plugin.program or plugin.ipam_program:
        from .drivers.external import ProgramDriver  # most pods execute none

        drivers.insert(0, ProgramDriver())
    for driver in drivers:
        driver.remove(member, plugin, result)


@contextmanager
def _collected(failed: list[PodError]) -> Iterator[None]:
    try:
        yield
    except (PodError, OSError) as err:
        failed.append(known("networking: cannot take the pod out of its networks", err))


def _lease_dirs(pod: JoiningPod, copies: Copies) -> tuple[str, ...]:
    """The directories that may hold leases of the pod: of the copied configurations, or all if a copy is missing."""
    directories = {lease_dir(pod.paths, conf): None for conf in copies.confs}
    if not copies.whole:
        directories.update({f"{pod.paths.leases}/{name}": None for name in entries(pod.paths.leases)})
        with suppress(PodError, OSError):
            known = load_confs(pod.paths.config_dirs)
            directories.update({lease_dir(pod.paths, conf): None for conf in known if conf.plugins})
    return tuple(directories)


def _addresses(pod: JoiningPod, directories: Sequence[str]) -> set[Address]:
    """The pod's addresses, from its leases and its record."""
    texts = [text for directory in directories for text in leases_of(directory, pod.uuid)]
    addresses = {each.address for info in read_infos(pod) for each in info.result.addresses}
    for text in texts:
        with suppress(InvalidSpec):
            addresses.add(Address.parse(text))
    return addresses
