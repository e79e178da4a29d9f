# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl export. Source: behaviours A48."""

from __future__ import annotations

import os

from ...contexts import suppress
from ...errors import Conflict, HostFailure, InvalidSpec
from ...host import files
from ...host.mountinfo import read_mounts
from ...pod import documents
from ...pod.lifecycle import PodState
from ...stage0.pod_export import ExportedApp
from ...stage1.opened import opened_root
from ..flags import UsageError
from ..outfiles import check_free, write_file
from ..podargs import chosen_app, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call

_ACI, _OCI = "aci", "oci"
_ENDINGS = {".aci": _ACI, ".oci": _OCI, ".tar": _OCI}
_EXISTS = "output ACI file exists (try --overwrite)"
_EXITED = (PodState.EXITED, PodState.EXITED_GARBAGE)


def export(call: Call) -> int:
    """Write the root of an app of a pod that has ended into a file, as an image."""
    if len(call.words.arguments) != 2:
        raise UsageError("export takes a UUID and the path of a file")
    text, place = call.words.arguments
    kind = _format(call, place)
    with resolve(call, text) as pod:
        if pod.state() not in _EXITED:
            raise Conflict("pod is not exited. Only exited pods can be exported", uuid=pod.uuid)
        app = chosen_app(call, pod)
        place = os.path.abspath(place)
        check_free(call, place, _EXISTS)
        _refuse_mounts(pod, app)
        _export(call, pod, app, (kind, place))
    return 0


def _export(call: Call, pod: Pod, app: str, wanted: tuple[str, str]) -> None:
    """wanted: the format, and the path of the file."""
    kind, place = wanted
    try:
        manifest = documents.read_app_manifest(pod.dir, app)
    except OSError as err:
        raise HostFailure.of(f'cannot read the image manifest of app "{app}"', err) from err
    with opened_root(pod, app) as root:
        image = ExportedApp(manifest, root.fd, root.users, call.say)
        write_image = image.write_aci if kind == _ACI else image.write_oci
        write_file(
            call, place, _EXISTS, lambda target: write_image(lambda chunk: files.write_all(target, chunk))
        )


def _format(call: Call, place: str) -> str:
    """What is written, by the flag or the ending of the file."""
    ending = os.path.splitext(place)[1]
    kind = call.options.text("format") or _ENDINGS.get(ending, _ACI)
    if kind not in (_ACI, _OCI):
        raise InvalidSpec(f"Invalid format option: {kind}", "use aci or oci")
    if kind == _ACI and ending != ".aci":
        raise InvalidSpec(
            f"extension must be .aci (given {place})", "or .oci or .tar, or --format=oci, for an OCI image"
        )
    return kind


def _refuse_mounts(pod: Pod, app: str) -> None:
    """Raise Conflict if the root of an app is a copy in which something of the host is mounted."""
    if os.path.exists(pod.dir.overlay_prepared):
        return
    top = os.path.realpath(pod.dir.app_root(app))
    with suppress(OSError):
        if not any(mount.target == top or mount.target.startswith(f"{top}/") for mount in read_mounts()):
            return
    raise Conflict(
        "pod has remaining mountpoints. Only pods using overlayfs or with no mountpoints can be exported",
        f"unmount what is mounted below {top}",
    )


ENTRIES: dict[str, Callable[[Call], int]] = {"export": export}
