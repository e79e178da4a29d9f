# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a docker image, converted to an appc image manifest. Pure.

Source: docker2aci (behaviours B40 to B45), OCI image specification config.md. The links /dev/stdin, /dev/stdout,
/dev/stderr and /dev/fd of B45 are made by stage1 in each pod, so that layers stay unchanged.
"""

from __future__ import annotations

import json

from ..appc.app import App
from ..appc.image import ENTRYPOINT, HEALTH_CHECK, LAYERS_ANNOTATION, STOP_SIGNAL, ImageManifest
from ..appc.labels import Labels
from ..appc.names import acidentifier_from, acname_from
from ..appc.ports import Port
from ..appc.volumes import MountPoint
from ..errors import Corrupt, InvalidSpec
from ..fields import Fields
from ..host.machine import ARCHITECTURES
from ..value import Value
from .oddities import Oddities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .policy import Note
    from .reference import DockerReference

ANNOTATION = "appc.io/docker/"


class DockerConfig(Value):
    """The parts of an image configuration that are used here. diff_ids: bottom layer first.

    health_check: in JSON, "" without one. notes: a sentence for each part that was left out.
    """

    architecture: str
    variant: str
    os: str
    diff_ids: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_dir: str = ""
    ports: tuple[Port, ...] = ()
    volumes: tuple[str, ...] = ()
    author: str = ""
    created: str = ""
    stop_signal: str = ""
    health_check: str = ""
    notes: tuple[Note, ...] = ()

    @classmethod
    def from_json(cls, value: object, where: str = "") -> DockerConfig:
        """Read an image configuration, of docker or OCI.

        Odd values are left out with a note, except those that safety depends on: the platform, the layers, and the
        user, since the default is root. Raises InvalidSpec with the place.
        """
        fields = Fields(value, where)
        config = Fields(fields.raw("config") or {}, fields.where_of("config"))
        rootfs = Fields(fields.raw("rootfs") or {}, fields.where_of("rootfs"))
        odd = Oddities()
        entrypoint, cmd = odd.command(config)
        return cls(
            architecture=fields.text("architecture", ""),
            variant=odd.text(fields, "variant"),
            os=fields.text("os", "linux"),
            diff_ids=rootfs.strings("diff_ids"),
            entrypoint=entrypoint,
            cmd=cmd,
            env=odd.environment(config),
            user=config.text("User", ""),
            working_dir=odd.directory(config, "WorkingDir"),
            ports=odd.ports(config),
            volumes=odd.volumes(config),
            author=odd.text(fields, "author"),
            created=odd.text(fields, "created"),
            stop_signal=odd.stop_signal(config),
            health_check=odd.health_check(config),
            notes=odd.notes(),
        )


def image_manifest(
    reference: DockerReference, config: DockerConfig, manifest_digest: str, config_digest: str
) -> ImageManifest:
    """The manifest of a converted image, checked by reading it back. Depends on its arguments alone. Raises Corrupt."""
    labels = {"os": config.os, "arch": arch_label(config.architecture, config.variant)}
    if reference.tag:
        labels["version"] = reference.tag
    try:
        manifest = ImageManifest(
            name=acidentifier_from(f"{reference.registry}/{reference.repository}"),
            labels=Labels(tuple(sorted(labels.items()))),
            app=_app(config),
            annotations=_annotations(reference, config, manifest_digest, config_digest),
        )
        return ImageManifest.from_json(manifest.to_json())
    except InvalidSpec as err:
        raise Corrupt(f"cannot convert {reference}: {err}") from err


def arch_label(architecture: str, variant: str) -> str:
    """The appc name of docker's architecture; an unknown one stays as it is."""
    if architecture == "arm":
        return "armv6l" if variant in ("v5", "v6") else "armv7l"
    known = (found.name for found in ARCHITECTURES if found.docker[0][0] == architecture)
    return next(known, architecture)


def _app(config: DockerConfig) -> App:
    user, _colon, group = config.user.partition(":")
    return App(
        exec=(*config.entrypoint, *config.cmd),
        user=user or "0",
        group=group or user or "0",
        working_directory=config.working_dir,
        environment=config.env,
        mount_points=_mount_points(config.volumes),
        ports=config.ports,
    )


def _mount_points(volumes: tuple[str, ...]) -> tuple[MountPoint, ...]:
    """The mount points of volumes: volume-var-tmp for /var/tmp, and with a number if the name is taken (B43)."""
    mount_points: dict[str, MountPoint] = {}
    counts: dict[str, int] = {}
    for path in volumes:
        base = acname_from(f"volume/{path}")
        name, count = base, counts.get(base, 0)
        while name in mount_points:
            count += 1
            name = acname_from(f"{base}-{count}")
        counts[base] = count
        mount_points[name] = MountPoint(name, path)
    return tuple(mount_points.values())


def _annotations(
    reference: DockerReference, config: DockerConfig, manifest_digest: str, config_digest: str
) -> Labels:
    annotations = {
        "author": config.author,
        "created": config.created,
        f"{ANNOTATION}originalname": reference.name,
        f"{ANNOTATION}registryurl": reference.registry,
        f"{ANNOTATION}repository": reference.repository,
        f"{ANNOTATION}imageid": config_digest,
        f"{ANNOTATION}tag": reference.tag,
        f"{ANNOTATION}manifesthash": manifest_digest,
        ENTRYPOINT: _json_list(config.entrypoint),
        f"{ANNOTATION}cmd": _json_list(config.cmd),
        STOP_SIGNAL: config.stop_signal,
        HEALTH_CHECK: config.health_check,
        LAYERS_ANNOTATION: ",".join(config.diff_ids),
    }
    return Labels(tuple(sorted((name, value) for name, value in annotations.items() if value)))


def _json_list(words: tuple[str, ...]) -> str:
    return json.dumps(list(words), ensure_ascii=False) if words else ""
