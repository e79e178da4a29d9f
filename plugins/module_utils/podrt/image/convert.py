# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a docker image's configuration says, as an appc image manifest. Pure.

Source: docker2aci (behaviours B40 to B45), OCI image specification config.md. The links /dev/stdin, /dev/stdout,
/dev/stderr and /dev/fd of B45 are made by stage1 in each pod, so that layers stay as they came.
"""

from __future__ import annotations

import json
import re

from ..appc.app import App, check_environment
from ..appc.fields import Fields, checked_text
from ..appc.image import ImageManifest
from ..appc.labels import Labels
from ..appc.names import acidentifier_from, acname_from
from ..appc.ports import PROTOCOLS, Port
from ..appc.volumes import MountPoint
from ..errors import Corrupt, InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .reference import DockerReference

ANNOTATION = "appc.io/docker/"
LAYERS_ANNOTATION = "stagecraft.pods/docker/diffids"
_PORT = re.compile(r"([0-9]{1,5})(?:/([A-Za-z]+))?")
# docker's (architecture, variant) by appc's name, the variant that fits best first.
PLATFORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "amd64": (("amd64", ""), ("amd64", "v1")),
    "i386": (("386", ""),),
    "aarch64": (("arm64", "v8"), ("arm64", "")),
    "armv7l": (("arm", "v7"), ("arm", ""), ("arm", "v6"), ("arm", "v5")),
    "armv6l": (("arm", "v6"), ("arm", "v5")),
    "ppc64le": (("ppc64le", ""),),
    "s390x": (("s390x", ""),),
    "riscv64": (("riscv64", ""),),
}


class DockerConfig(Value):
    """The parts of an image configuration that mean something here. diff_ids: bottom layer first."""

    architecture: str
    variant: str
    os: str
    diff_ids: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    author: str = ""
    created: str = ""

    @classmethod
    def from_json(cls, value: object, where: str = "") -> DockerConfig:
        """Read an image configuration, of docker or OCI. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        config = Fields(fields.raw("config") or {}, fields.where_of("config"))
        rootfs = Fields(fields.raw("rootfs") or {}, fields.where_of("rootfs"))
        return cls(
            architecture=fields.text("architecture", ""),
            variant=fields.text("variant", ""),
            os=fields.text("os", "linux"),
            diff_ids=rootfs.strings("diff_ids"),
            entrypoint=config.strings("Entrypoint"),
            cmd=config.strings("Cmd"),
            env=config.strings("Env"),
            user=config.text("User", ""),
            working_dir=config.text("WorkingDir", ""),
            ports=_keys(config, "ExposedPorts"),
            volumes=_keys(config, "Volumes"),
            author=fields.text("author", ""),
            created=fields.text("created", ""),
        )


def image_manifest(
    reference: DockerReference, config: DockerConfig, manifest_digest: str, config_digest: str
) -> ImageManifest:
    """The manifest of a converted image, which reads back as it is. Depends on its arguments alone. Raises Corrupt."""
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


def left_out(config: DockerConfig) -> tuple[str, ...]:
    """What a docker configuration may say and a manifest cannot, as sentences for people."""
    ports = [
        f"the port {text} is left out: a pod knows tcp and udp" for text in config.ports if not _port(text)
    ]
    names = [entry.partition("=")[0] for entry in config.env if "=" in entry and not _is_variable(entry)]
    return (
        *ports,
        *(f'the variable "{name}" is left out: an app cannot be given that name' for name in names),
    )


def arch_label(architecture: str, variant: str) -> str:
    """The appc name of docker's architecture; what is not known stays as it is."""
    if architecture == "arm":
        return "armv6l" if variant in ("v5", "v6") else "armv7l"
    return {"386": "i386", "arm64": "aarch64"}.get(architecture, architecture)


def _app(config: DockerConfig) -> App:
    user, _colon, group = config.user.partition(":")
    return App(
        exec=(*config.entrypoint, *config.cmd),
        user=user or "0",
        group=group or user or "0",
        working_directory=f"/{config.working_dir.lstrip('/')}" if config.working_dir else "",
        environment=_environment(config.env),
        mount_points=_mount_points(config.volumes),
        ports=_ports(config.ports),
    )


def _environment(entries: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """In order; a name that comes twice keeps its place and takes its last value."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals and _is_variable(entry):
            found[name] = value
    return tuple(found.items())


def _is_variable(entry: str) -> bool:
    """Whether a manifest can hold it. docker takes any name; without one the image may still do."""
    try:
        check_environment(((entry.partition("=")[0], ""),), "")
    except InvalidSpec:
        return False
    return True


def _ports(exposed: tuple[str, ...]) -> tuple[Port, ...]:
    """80/tcp is the port 80-tcp; without a protocol it is TCP (B42)."""
    found = {port.name: port for port in map(_port, exposed) if port}
    return tuple(found[name] for name in sorted(found))


def _port(text: str) -> Port | None:
    """A port, None for one of a protocol that pods do not forward, such as sctp. Raises InvalidSpec."""
    match = _PORT.fullmatch(text)
    if not match:
        raise InvalidSpec(f'"{text}" is not a port', where="config.ExposedPorts")
    protocol = (match[2] or "tcp").lower()
    if protocol not in PROTOCOLS:
        return None
    return Port(acname_from(f"{match[1]}-{protocol}"), protocol, int(match[1]))


def _mount_points(volumes: tuple[str, ...]) -> tuple[MountPoint, ...]:
    """/var/tmp is the mount point volume-var-tmp; one whose name is taken gets a number (B43)."""
    found: dict[str, MountPoint] = {}
    for path in volumes:
        base = acname_from(f"volume/{path}")
        name, count = base, 0
        while name in found:
            count += 1
            name = acname_from(f"{base}-{count}")
        found[name] = MountPoint(name, path)
    return tuple(found.values())


def _annotations(
    reference: DockerReference, config: DockerConfig, manifest_digest: str, config_digest: str
) -> Labels:
    found = {
        "author": config.author,
        "created": config.created,
        f"{ANNOTATION}originalname": reference.name,
        f"{ANNOTATION}registryurl": reference.registry,
        f"{ANNOTATION}repository": reference.repository,
        f"{ANNOTATION}imageid": config_digest,
        f"{ANNOTATION}tag": reference.tag,
        f"{ANNOTATION}manifesthash": manifest_digest,
        f"{ANNOTATION}entrypoint": _json_list(config.entrypoint),
        f"{ANNOTATION}cmd": _json_list(config.cmd),
        LAYERS_ANNOTATION: ",".join(config.diff_ids),
    }
    return Labels(tuple(sorted((name, value) for name, value in found.items() if value)))


def _json_list(words: tuple[str, ...]) -> str:
    return json.dumps(list(words), ensure_ascii=False) if words else ""


def _keys(fields: Fields, name: str) -> tuple[str, ...]:
    """The sorted keys of an object, which is how docker writes sets."""
    value = fields.raw(name)
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InvalidSpec("expected an object", where=fields.where_of(name))
    return tuple(sorted(checked_text(key, fields.where_of(name), "a key as") for key in value))
