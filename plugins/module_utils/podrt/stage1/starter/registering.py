# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registration of a pod with the metadata service, and what its apps get by it. Source: behaviours C8, D18, F5."""

from __future__ import annotations

import os

from ...errors import Corrupt, HostFailure, InvalidSpec, PodError, reason_of
from ...mds.register import Registrant, register, register_again, unregister
from ...mds.registration import LOOPBACK, VARIABLE, recorded
from ...net.info import host_side
from ...pod.documents import read_manifest
from ..telling import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...appc.pod import PodManifest
    from ...host.dirs import PodDir
    from ...host.paths import Paths
    from ...net.info import NetInfo

    Variables = tuple[tuple[str, str], ...]


def register_pod(paths: Paths, uuid: str, pod: PodDir, infos: Sequence[NetInfo] | None) -> Variables:
    """Register a pod that starts. Returns the variables of its apps.

    infos: its interfaces; None if it has the network of the host. Raises InvalidSpec, Unreachable, HostFailure.
    """
    address = LOOPBACK if infos is None else host_side(infos)
    if not address:
        raise InvalidSpec(
            "no network of the pod leads to an address of the host, where the metadata service is",
            "let the pod join the network default or default-restricted as well",
            where="mds_register",
        )
    sources = [LOOPBACK]
    if infos is not None:
        sources = [str(each.address) for info in infos for each in info.result.addresses]
    return _registered(paths, Registrant(uuid, pod, read_manifest(pod), address, tuple(sources)))


def register_by_stage1(paths: Paths, uuid: str, pod: PodDir, manifest: PodManifest) -> str:
    """Register a pod whose stage1 image makes its networks and its variables. Returns the token for it."""
    _registered(paths, Registrant(uuid, pod, manifest, LOOPBACK, ()))
    found = recorded(pod)
    return found.token if found else ""


def _registered(paths: Paths, pod: Registrant) -> Variables:
    try:
        return ((VARIABLE, register(paths, pod)),)
    except OSError as err:
        raise HostFailure.of("cannot register the pod with the metadata service", err) from err


def variables_of(pod: PodDir) -> Variables:
    """The variables of an app of a pod that is registered; none of another one. Raises HostFailure."""
    if not os.path.lexists(pod.mds_registered):
        return ()
    try:
        found = recorded(pod)
    except (OSError, Corrupt) as err:
        raise HostFailure(
            f"cannot read the registration with the metadata service: {reason_of(err)}"
        ) from err
    return ((VARIABLE, found.url),) if found else ()


def register_apps(paths: Paths, uuid: str, pod: PodDir, manifest: PodManifest) -> None:
    """Tell the service which apps a running pod has now. That it cannot be told is a warning: the apps run."""
    try:
        register_again(paths, uuid, pod, manifest)
    except PodError as err:
        warn(err.message)
    except OSError as err:
        warn(f"cannot register the pod with the metadata service: {reason_of(err)}")


def unregister_pod(paths: Paths, uuid: str, pod: PodDir) -> None:
    """Remove the registration of a pod that has ended, if it has one. A failure is a warning."""
    if not os.path.lexists(pod.mds_registered):
        return
    try:
        unregister(paths, uuid, pod)
    except PodError as err:
        warn(f"cannot remove the registration of the pod: {err.message}")
    except OSError as err:
        warn(f"cannot remove the registration of the pod: {reason_of(err)}")
