# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a pod. Source: appc schema/pod.go."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .app import App
from .isolators import Seccomp, check_memory, family, isolator_from_json, isolator_to_json
from .labels import Labels
from .names import AC_VERSION, ACIdentifier, ACName, ImageHash, SemVer, first_repeated
from .ports import ExposedPort
from .volumes import HostVolume, Mount, NamedVolume, Tmpfs, app_path, volume_of

NETWORK_BANDWIDTH = "resource/network-bandwidth"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .isolators import Isolator
    from .volumes import Volume


class RuntimeImage(Value):
    """The image of an app of a pod. id: complete in the pods of a host."""

    id: ImageHash
    name: ACIdentifier | None = None
    labels: Labels = Labels()

    @classmethod
    def from_json(cls, value: object, where: str) -> RuntimeImage:
        """Read the image of a runtime app. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        name = fields.optional_text("name")
        return cls(
            ImageHash(fields.text("id"), fields.where_of("id")),
            ACIdentifier(name, fields.where_of("name")) if name else None,
            Labels.from_json(fields, "labels"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        members: dict[str, object] = {"id": str(self.id)}
        if self.name:
            members["name"] = str(self.name)
        if self.labels.pairs:
            members["labels"] = self.labels.to_json()
        return members


class RuntimeApp(Value):
    """An app of a pod. app: None for that of the image. appc does not know the rest.

    tmpfs: file systems in memory. privileged: whether nothing keeps it from what root of the host can do.
    """

    name: ACName
    image: RuntimeImage
    app: App | None = None
    read_only_root_fs: bool = False
    mounts: tuple[Mount, ...] = ()
    annotations: Labels = Labels()
    tmpfs: tuple[Tmpfs, ...] = ()
    privileged: bool = False

    def waived(self, insecure: tuple[str, ...]) -> tuple[str, ...]:
        """The restrictions that do not apply to it. insecure: those of the pod that do not.

        A privileged app has all capabilities, sees everything and has no filter but its own.
        """
        if not self.privileged:
            return insecure
        filtered = any(family(each) == Seccomp.__name__ for each in (self.app.isolators if self.app else ()))
        return (*insecure, "capabilities", "paths", *(() if filtered else ("seccomp",)))

    def is_mounted_at(self, path: str) -> bool:
        """Whether it has a volume at exactly this path, which is in its one spelling."""
        return any(app_path(mount.path) == path for mount in self.mounts)

    @classmethod
    def from_json(cls, value: object, where: str) -> RuntimeApp:
        """Read an app of a pod manifest. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        return cls(
            name=ACName(fields.text("name"), fields.where_of("name")),
            image=RuntimeImage.from_json(fields.raw("image"), fields.where_of("image")),
            app=App.from_json(fields.raw("app"), fields.where_of("app")) if fields.has("app") else None,
            read_only_root_fs=fields.boolean("readOnlyRootFS", False),
            mounts=tuple(Mount.of(each) for each in fields.each("mounts")),
            annotations=Labels.from_json(fields, "annotations"),
            tmpfs=tuple(Tmpfs.of(each) for each in fields.each("tmpfs")),
            privileged=fields.boolean("privileged", False),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object, without empty members."""
        members: dict[str, object] = {"name": str(self.name), "image": self.image.to_json()}
        if self.app:
            members["app"] = self.app.to_json()
        if self.read_only_root_fs:
            members["readOnlyRootFS"] = True
        if self.mounts:
            members["mounts"] = [mount.to_json() for mount in self.mounts]
        if self.annotations.pairs:
            members["annotations"] = self.annotations.to_json()
        if self.tmpfs:
            members["tmpfs"] = [each.to_json() for each in self.tmpfs]
        if self.privileged:
            members["privileged"] = True
        return members


class Mounted(Value):
    """A mount of an app with its volume. read_only: by the volume, else by the mount point of the same name.

    recursive: of a volume of the host, by the same.
    """

    path: str
    name: ACName
    volume: Volume | None
    read_only: bool
    recursive: bool = True


class PodManifest(Value):
    """The manifest of a pod."""

    apps: tuple[RuntimeApp, ...]
    volumes: tuple[Volume, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    annotations: Labels = Labels()
    ports: tuple[ExposedPort, ...] = ()
    user_annotations: tuple[tuple[str, str], ...] = ()
    user_labels: tuple[tuple[str, str], ...] = ()

    def check(self) -> None:
        """Raise InvalidSpec unless the names of apps and volumes are unique."""
        _check_names([app.name for app in self.apps], "multiple apps with same name: {}", "apps")
        _check_names([volume.name for volume in self.volumes], 'duplicate volume name "{}"', "volumes")
        check_memory(self.isolators)

    @classmethod
    def from_json(cls, value: object, where: str = "") -> PodManifest:
        """Read an appc pod manifest. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        fields.expect_kind("PodManifest")
        SemVer(fields.text("acVersion"), fields.where_of("acVersion"))
        return cls(
            apps=tuple(RuntimeApp.from_json(*item) for item in fields.items("apps")),
            volumes=tuple(volume_of(each) for each in fields.each("volumes")),
            isolators=tuple(isolator_from_json(*item) for item in fields.items("isolators")),
            annotations=Labels.from_json(fields, "annotations"),
            ports=tuple(ExposedPort.of(each) for each in fields.each("ports")),
            user_annotations=fields.pairs("userAnnotations"),
            user_labels=fields.pairs("userLabels"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object, without empty members."""
        members: dict[str, object] = {
            "volumes": [volume.to_json() for volume in self.volumes],
            "isolators": [isolator_to_json(isolator) for isolator in self.isolators],
            "annotations": self.annotations.to_json(),
            "ports": [port.to_json() for port in self.ports],
            "userAnnotations": dict(self.user_annotations),
            "userLabels": dict(self.user_labels),
        }
        head = {
            "acKind": "PodManifest",
            "acVersion": str(AC_VERSION),
            "apps": [app.to_json() for app in self.apps],
        }
        return {**head, **{name: value for name, value in members.items() if value}}

    def app(self, name: str) -> RuntimeApp | None:
        """The app with a name, or None."""
        return next((app for app in self.apps if app.name == name), None)

    @property
    def network_limit(self) -> int:
        """The bytes a second that each interface may send, and receive; 0 for any. See net.rates."""
        isolators = (*self.isolators, *(each for app in self.apps if app.app for each in app.app.isolators))
        limits = (getattr(each, "limit", 0) for each in isolators if each.name == NETWORK_BANDWIDTH)
        return min(limits, default=0)

    def mounted(self, app: RuntimeApp) -> tuple[Mounted, ...]:
        """The mounts of an app in their order; without a volume of the pod, volume=None. Source: behaviours C21."""
        volumes = {volume.name: volume for volume in self.volumes}
        points = {point.name: point for point in app.app.mount_points} if app.app else {}
        mounted = []
        for mount in app.mounts:
            volume, point = volumes.get(mount.volume), points.get(mount.volume)
            read_only = volume.read_only if volume else None
            if read_only is None:
                read_only = point is not None and point.read_only
            recursive = volume.recursive if isinstance(volume, (HostVolume, NamedVolume)) else None
            if recursive is None:
                recursive = point is None or point.recursive is not False
            mounted.append(Mounted(mount.path, mount.volume, volume, mount.read_only or read_only, recursive))
        return tuple(mounted)


def _check_names(names: list[ACName], message: str, where: str) -> None:
    name = first_repeated(names)
    if name:
        raise InvalidSpec(message.format(name), where=where)
