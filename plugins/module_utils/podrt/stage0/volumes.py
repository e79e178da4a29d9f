# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named volumes: directories that outlive pods.

volumes/NAME/data is the directory that apps mount, volumes/NAME/volume.json has the attributes asked for: where the
directory differs from these, something else has changed it.
"""

from __future__ import annotations

import os
import stat

from ..appc.names import ACName
from ..appc.volumes import HostVolume, NamedVolume, parse_mode
from ..errors import Conflict, HostFailure, InvalidSpec, PodError, reason_of
from ..fields import Fields, canonical_json, parse_json
from ..host import datadir
from ..host.files import disk_usage, entries, make_dirs, remove_tree, rename_synced, write_atomically
from ..host.locks import FileLock
from ..host.reading import read_bytes
from ..pod import documents
from ..pod.lifecycle import PodState, walk
from ..value import Value
from .change import Change, Difference
from .references import held_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from .change import Plan

DATA_MODE = 0o755
_FORMAT = 1
_LOST = "its directory data is missing"


class VolumeSpec(Value):
    """The wanted attributes of a volume. mode, uid and gid: of its directory; None leaves the present one."""

    name: ACName
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    labels: tuple[tuple[str, str], ...] = ()


class VolumeStatus(Value):
    """The state of a volume. bytes: the disk usage of its data, None when it was not counted.

    asked: the spec of its last change; None where that cannot be read, and problem then says why.
    """

    name: str
    path: str
    mode: int
    uid: int
    gid: int
    labels: tuple[tuple[str, str], ...]
    used_by: tuple[str, ...] = ()
    bytes: int | None = None
    asked: VolumeSpec | None = None
    problem: str = ""


def read_volume(host: Host, name: str) -> VolumeStatus | None:
    """The state of a volume, None if it does not exist. Raises HostFailure."""
    path = host.paths.volume_data(name)
    try:
        os.lstat(host.paths.volume(name))
        info = os.lstat(path)
    except FileNotFoundError as err:
        if err.filename != path:
            return None
        return VolumeStatus(name, path, 0, 0, 0, (), problem=_LOST)
    except OSError as err:
        raise HostFailure.of(f'cannot read volume "{name}"', err) from err
    found = VolumeStatus(name, path, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, ())
    try:
        asked = _read_document(host, name)
    except OSError as err:
        return found.replace(problem=f"cannot read its volume.json: {reason_of(err)}")
    except PodError as err:
        return found.replace(problem=err.message)
    return found.replace(labels=asked.labels, asked=asked)


def list_volumes(host: Host, *, count: bool = False) -> tuple[VolumeStatus, ...]:
    """Every volume, with the pods that mount it; count: also the bytes."""
    users = _users(host)
    found = []
    for name in entries(host.paths.volumes):
        status = None if name.startswith(".") else read_volume(host, name)
        if status:
            status = status.replace(used_by=users.of(name, status.path))
            found.append(_counted(status) if count else status)
    return tuple(found)


def _counted(status: VolumeStatus) -> VolumeStatus:
    """The same with its bytes, or why they cannot be counted: an app may move directories at the same time."""
    try:
        return status.replace(bytes=disk_usage(status.path))
    except OSError as err:
        said = f"cannot count its bytes: {reason_of(err)}"
        return status.replace(problem="; ".join(filter(None, (status.problem, said))))


def ensure_volume(host: Host, spec: VolumeSpec) -> Plan[None]:
    """Plan: the volume exists with these attributes. Data is never touched.

    Raises Conflict where the data is lost: an empty directory in its place would be taken for it.
    """
    found = read_volume(host, spec.name)
    subject, path = f'volume "{spec.name}"', f"volumes.{spec.name}"
    if found and found.problem == _LOST:
        raise Conflict(
            f'the data of volume "{spec.name}" is lost: {_LOST}',
            "mount or restore it, or remove the volume with state: absent to begin with an empty one",
            where="name",
            path=found.path,
        )
    if found is None:
        yield CreateVolume(subject, (Difference(path, None, "present"),), spec)
    elif found.problem:
        difference = Difference(path, f"unreadable: {found.problem}", "as described", "drift", "none")
        yield AdjustVolume(subject, (difference, *_drift(found, spec)), spec)
    elif spec != found.asked or _drift(found, spec):
        yield AdjustVolume(subject, _drift(found, spec), spec)


def _drift(found: VolumeStatus, spec: VolumeSpec) -> tuple[Difference, ...]:
    """The differences between a volume and the wanted one."""
    path = f"volumes.{spec.name}"
    differences = []
    asked = found.asked
    for field, before, after, earlier in (
        ("mode", found.mode, spec.mode, asked and asked.mode),
        ("uid", found.uid, spec.uid, asked and asked.uid),
        ("gid", found.gid, spec.gid, asked and asked.gid),
    ):
        if after is None or before == after:
            continue
        reason = "drift" if earlier == after else "playbook"
        differences.append(
            Difference(f"{path}.{field}", _shown(field, before), _shown(field, after), reason, "live")
        )
    if found.asked and spec.labels != found.labels:
        differences.append(
            Difference(f"{path}.labels", _pairs(found.labels), _pairs(spec.labels), "playbook", "none")
        )
    return tuple(differences)


def ensure_no_volume(host: Host, name: ACName, *, purge_data: bool) -> Plan[None]:
    """Plan: the volume is gone. Raises Conflict when a pod uses it, or when it holds data without purge_data."""
    found = read_volume(host, name)
    if found is None:
        return
    _check_unused(host, name, found.path)
    if not purge_data and _holds_data(found.path):
        raise Conflict(
            f'volume "{name}" holds data',
            "set purge_data: true to delete the volume with its data",
            where="purge_data",
            path=found.path,
        )
    yield RemoveVolume(f'volume "{name}"', (Difference(f"volumes.{name}", "present", None),), name)


class CreateVolume(Change):
    """Make a volume."""

    spec: VolumeSpec

    def apply(self, host: Host) -> None:
        """Make it aside and rename it into place, so that it is complete or absent."""
        spec = self.spec
        paths, aside = host.paths, _aside(spec.name)
        try:
            datadir.ensure(host.paths)
            with _at_work(host):
                make_dirs(paths.volume_data(aside))
                write_atomically(paths.volume_document(aside), _document(spec))
                mode = DATA_MODE if spec.mode is None else spec.mode
                _set_attributes(paths.volume_data(aside), spec.replace(mode=mode))
                rename_synced(paths.volume(aside), paths.volume(spec.name))
        except OSError as err:
            remove_tree(paths.volume(aside))
            if read_volume(host, spec.name) is None:
                raise HostFailure.of(f'cannot make volume "{spec.name}"', err) from err


class AdjustVolume(Change):
    """Set the attributes of a volume's directory."""

    spec: VolumeSpec

    def apply(self, host: Host) -> None:
        """Set the owner, then the mode, then write the document."""
        try:
            _set_attributes(host.paths.volume_data(self.spec.name), self.spec)
            write_atomically(host.paths.volume_document(self.spec.name), _document(self.spec))
        except OSError as err:
            raise HostFailure.of(f'cannot change volume "{self.spec.name}"', err) from err


class RemoveVolume(Change):
    """Delete a volume and its data."""

    name: ACName

    def apply(self, host: Host) -> None:
        """Rename it aside first, so that a crash leaves no half volume."""
        _check_unused(host, self.name, host.paths.volume_data(self.name))
        aside = host.paths.volume(_aside(self.name))
        try:
            with _at_work(host):
                rename_synced(host.paths.volume(self.name), aside)
                remove_tree(aside)
            failures = sweep(host, self.name)
        except FileNotFoundError:
            return
        except OSError as err:
            left = f"what is left of it is in {aside}, and gc tries again" if os.path.lexists(aside) else ""
            raise HostFailure.of(f'cannot remove volume "{self.name}"', err, left) from err
        if failures:
            raise failures[0]


def sweep(host: Host, name: str = "") -> list[PodError]:
    """Remove the leftovers of interrupted creations and removals of volumes, or of the named volume only.

    Returns the errors of what cannot be removed. Does nothing while another process makes or removes a volume.
    """
    failures: list[PodError] = []
    for path in _left(host, name):
        try:
            remove_tree(path)
        except FileNotFoundError:
            continue  # another process removes it as well
        except OSError as err:
            failures.append(HostFailure.of(f"cannot remove {path}, which is left of a volume", err))
    return failures


def _left(host: Host, name: str) -> list[str]:
    """The paths aside that no process works on, now or later: each takes its own name."""
    place = host.paths.volumes
    begin = f".{name}." if name else "."
    found = [entry for entry in entries(place) if entry.startswith(begin)]
    if not found:
        return []
    try:
        with FileLock(place, timeout=0.0):
            return [f"{place}/{entry}" for entry in found]
    except Conflict:
        return []


def volume_spec(
    name: ACName, mode: str | None, uid: int | None, gid: int | None, labels: dict[str, str]
) -> VolumeSpec:
    """A spec from options. Raises InvalidSpec naming the option."""
    for option, number in (("uid", uid), ("gid", gid)):
        if number is not None and not 0 <= number < 2**32 - 1:
            raise InvalidSpec(f"{number} is out of range", where=option)
    return VolumeSpec(
        name, None if mode is None else parse_mode(mode, "mode"), uid, gid, tuple(sorted(labels.items()))
    )


def _aside(name: str) -> str:
    """What a volume is called while it is made, or removed, out of sight."""
    return f".{name}.{os.urandom(6).hex()}"


def _at_work(host: Host) -> FileLock:
    """The lock of a process that has a volume aside: what is there is not a leftover. Raises OSError."""
    make_dirs(host.paths.volumes)  # else the lock would be a file in its place
    return FileLock(host.paths.volumes, shared=True)


def _set_attributes(path: str, spec: VolumeSpec) -> None:
    if spec.uid is not None or spec.gid is not None:
        os.chown(path, -1 if spec.uid is None else spec.uid, -1 if spec.gid is None else spec.gid)
    if spec.mode is not None:
        os.chmod(path, spec.mode)


def _document(spec: VolumeSpec) -> bytes:
    asked = {"mode": spec.mode, "uid": spec.uid, "gid": spec.gid}
    return canonical_json({"format": _FORMAT, "labels": dict(spec.labels), **asked})


def _read_document(host: Host, name: str) -> VolumeSpec:
    """The spec in volume.json. Raises OSError, InvalidSpec, Corrupt."""
    data = read_bytes(host.paths.volume_document(name), beneath=host.paths.volumes)
    fields = Fields(parse_json(data, "its volume.json"), "volume.json")
    fields.check_format(_FORMAT)
    return VolumeSpec(
        ACName(name),
        fields.optional_integer("mode"),
        fields.optional_integer("uid"),
        fields.optional_integer("gid"),
        fields.pairs("labels"),
    )


def _check_unused(host: Host, name: str, path: str) -> None:
    users = _users(host)
    if users.unread:
        raise Conflict(
            f'volume "{name}" may be in use: what pod {", ".join(users.unread)} mounts cannot be read',
            "stop the pod first",
            where="name",
        )
    found = users.of(name, path)
    if found:
        raise Conflict(
            f'volume "{name}" is in use by pod {", ".join(found)}', "remove the pod first", where="name"
        )


def _holds_data(path: str) -> bool:
    try:
        return bool(entries(path))
    except NotADirectoryError:
        return True  # something else was put there
    except OSError as err:
        raise HostFailure.of(f"cannot look whether {path} holds data", err) from err


class _Users(Value):
    """The pods that mount volumes, as pairs with a pod's name or UUID.

    named: by the names of volumes. placed: by the real paths of volumes of the host: pods of releases up to 0.2.0 have
    only the path of a named one, and any pod may mount a part of one. unread: running pods with unreadable manifests.
    """

    named: tuple[tuple[str, str], ...]
    placed: tuple[tuple[str, str], ...]
    unread: tuple[str, ...]

    def of(self, name: str, path: str) -> tuple[str, ...]:
        """The pods that mount a volume or anything in its directory."""
        place = os.path.realpath(path)
        found = [user for volume, user in self.named if volume == name]
        found += [user for at, user in self.placed if at == place or at.startswith(f"{place}/")]
        return tuple(dict.fromkeys(found))


def _users(host: Host) -> _Users:
    named: list[tuple[str, str]] = []
    placed: list[tuple[str, str]] = []
    unread: list[str] = []
    for pod in walk(
        host.paths, ("prepare", "prepared", "run")
    ):  # in the order of its life, so that none is missed
        try:
            manifest, name = (
                documents.read_manifest(held_directory(pod)),
                documents.read_runspec(held_directory(pod)).name,
            )
        except (OSError, PodError):
            if pod.state() is PodState.RUNNING:
                unread.append(pod.uuid)
            continue
        for volume in manifest.volumes:
            if isinstance(volume, NamedVolume):
                named.append((volume.volume, name or pod.uuid))
            elif isinstance(volume, HostVolume):
                placed.append((os.path.realpath(volume.source), name or pod.uuid))
    return _Users(tuple(named), tuple(placed), tuple(unread))


def _shown(field: str, value: int) -> str:
    return f"{value:04o}" if field == "mode" else str(value)


def _pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{name}={value}" for name, value in pairs)
