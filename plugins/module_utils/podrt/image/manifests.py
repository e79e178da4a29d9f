# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a registry: indexes, manifests and the layers that they name. Pure.

They are the registry's, so any error in them is Corrupt and names the image. Source: OCI image specification.
"""

from __future__ import annotations

import re

from ..contexts import contextmanager, suppress
from ..errors import Corrupt, InvalidSpec, NotFound, Unsupported
from ..fields import Fields, parse_json
from ..host.machine import named
from ..value import Value
from .convert import DockerConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reference import DockerReference

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_LAYER = 1 << 50
# How many manifests an index may name, and how many layers a manifest.
_MOST_ENTRIES = 1000
# Types without this prefix are not refused: old tools called a configuration application/octet-stream, or nothing.
_VENDOR = "application/vnd."
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")


class LayerBlob(Value):
    """A layer in the registry. digest, size: of the bytes that are sent. diff_id: of the uncompressed archive."""

    digest: str
    size: int
    diff_id: str


class DockerImage(Value):
    """An image of one platform, of a registry or saved. reference: the name that it gets.

    asked_digest: of what the reference names, a manifest or an index; else of the configuration. digest: of its
    manifest, "" for one without. layers: bottom layer first.
    """

    reference: DockerReference
    asked_digest: str
    digest: str
    config_digest: str
    config: DockerConfig
    layers: tuple[LayerBlob, ...]

    @property
    def layer_ids(self) -> tuple[str, ...]:
        """The diff IDs, topmost first."""
        return tuple(layer.diff_id for layer in reversed(self.layers))

    @property
    def sent(self) -> tuple[str, ...]:
        """The digests of what describes it: of the asked index or manifest, and of the chosen one."""
        return tuple(dict.fromkeys(filter(None, (self.asked_digest, self.digest))))


def read_manifest(data: bytes, what: str) -> Fields:
    """Read a manifest or an index. what: the image, for errors. Raises Corrupt."""
    with as_sent(f"the manifest of {what}"):
        return Fields(parse_json(data, "it"), "manifest")


def read_config(data: bytes, what: str) -> DockerConfig:
    """Read a configuration. what: the image, for errors. Raises Corrupt."""
    with as_sent(f"the configuration of {what}"):
        return DockerConfig.from_json(parse_json(data, "it"))


def choose(index: Fields, arch: str, what: str) -> tuple[str, bool]:
    """The digest of the entry of an index that fits a platform best, and whether the index states its platform.

    The entry may be another index. If only one entry has no platform, its configuration is left to decide.
    Raises Corrupt, NotFound.
    """
    with as_sent(f"the manifest of {what}"):
        entries = [
            Fields(value, where)
            for value, where in _entries(index, "manifests", what)
            if isinstance(value, dict)
        ]
        offered = _offered(entries)
        unstated = [entry for entry in entries if may_be_image(entry) and not entry.has("platform")]
        for wanted in _platforms(arch):
            if wanted in offered:
                return _digest(offered[wanted]), True
        if len(unstated) == 1:
            return _digest(unstated[0]), False
    raise _not_made_for(arch, what, ["/".join(filter(None, key)) for key in offered])


def check_kind(manifest: Fields, what: str) -> None:
    """Raise Unsupported unless a manifest is that of a container image, by the types that it names."""
    config = manifest.raw("config")
    named = config.get("mediaType") if isinstance(config, dict) else None
    if isinstance(named, str) and named.startswith(_VENDOR) and named not in _CONFIGS:
        kind = manifest.raw("artifactType")
        raise _no_image(what, kind if isinstance(kind, str) and kind else named)
    if manifest.has("layers") and manifest.has("config"):
        return
    if manifest.has("fsLayers"):
        raise Unsupported(
            f"cannot read {what}: its manifest is of docker's schema 1, which registries no longer take",
            "push it again with a docker, podman or skopeo of today",
        )
    if manifest.has("manifests"):
        raise Unsupported(f"cannot read {what}: too many indexes name each other", "push it again")
    if manifest.has("artifactType"):
        raise _no_image(what, str(manifest.raw("artifactType")))
    kind = manifest.raw("mediaType")
    raise Unsupported(
        f"cannot read {what}: its manifest is of an unknown kind{f': {kind}' if kind else ''}",
        "push it again as a container image",
    )


def check_platform(config: DockerConfig, arch: str, what: str) -> None:
    """Raise NotFound unless a configuration is for a platform."""
    if config.os != "linux":
        raise _not_made_for(arch, what, [])
    if config.architecture not in [architecture for architecture, _variant in _platforms(arch)]:
        raise _not_made_for(arch, what, [config.architecture or "an unnamed architecture"])


def config_digest(manifest: Fields, what: str) -> str:
    """The digest of the configuration that a manifest names. Raises Corrupt."""
    with as_sent(f"the manifest of {what}"):
        return _digest(Fields(manifest.raw("config"), manifest.where_of("config")))


def layers_of(manifest: Fields, config: DockerConfig, what: str) -> tuple[LayerBlob, ...]:
    """The layers of an image, bottom layer first. Raises Corrupt, Unsupported."""
    with as_sent(f"the manifest of {what}"):
        blobs = [Fields(value, where) for value, where in _entries(manifest, "layers", what)]
        for number, fields in enumerate(blobs, start=1):
            _check_layer_type(fields, number, what)
        if len(blobs) != len(config.diff_ids):
            raise Corrupt(
                f"{what} has {len(blobs)} layers, but its configuration names {len(config.diff_ids)}"
            )
        return tuple(_layer(fields, diff_id) for fields, diff_id in zip(blobs, config.diff_ids))


def may_be_image(fields: Fields) -> bool:
    """Whether an entry of an index can be an image, not an attestation, a signature or another artifact."""
    annotations = fields.raw("annotations")
    attests = isinstance(annotations, dict) and "vnd.docker.reference.type" in annotations
    return not attests and not fields.has("artifactType")


def checkable(digest: str) -> str:
    """The digest, if content can be checked by it. Raises Corrupt."""
    if not DIGEST.fullmatch(digest):
        raise Corrupt(
            f'"{digest[:80]}" is not a digest that can be checked', "push the image with sha256 digests"
        )
    return digest


@contextmanager
def as_sent(what: str) -> Iterator[None]:
    """Raise Corrupt for an InvalidSpec about a document of an image. what: the document."""
    try:
        yield
    except InvalidSpec as err:
        raise Corrupt(f"{what} is not valid: {err}", "push the image again") from err


def _entries(fields: Fields, name: str, what: str) -> list[tuple[object, str]]:
    listed = fields.raw(name)
    if isinstance(listed, list) and len(listed) > _MOST_ENTRIES:
        raise Unsupported(
            f"cannot read {what}: it names {len(listed)} {name}, and {_MOST_ENTRIES} is the most that is read",
            "name a smaller image, or one of its manifests by digest",
        )
    return list(fields.items(name))


def _no_image(what: str, kind: str) -> Unsupported:
    return Unsupported(f"{what} is not a container image, but of the type {kind}", "name a container image")


def _check_layer_type(fields: Fields, number: int, what: str) -> None:
    kind = fields.text("mediaType", "")
    if kind.endswith("+encrypted"):
        raise Unsupported(
            f"layer {number} of {what} is encrypted: {kind}",
            "push it without encryption; it cannot be decrypted here",
        )
    if kind.startswith(_VENDOR) and not kind.startswith(_LAYERS):
        raise Unsupported(
            f"layer {number} of {what} is not a layer of a container image, but of the type {kind}",
            "name a container image",
        )


def _layer(fields: Fields, diff_id: str) -> LayerBlob:
    size = fields.integer("size")
    if not 0 <= size <= _LARGEST_LAYER:
        raise InvalidSpec("a layer cannot be of that size", where=fields.where_of("size"))
    return LayerBlob(_digest(fields), size, checkable(diff_id))


def _offered(entries: list[Fields]) -> dict[tuple[str, str], Fields]:
    """The entries for linux by (architecture, variant); the first of a kind counts.

    One whose platform cannot be read is skipped, and no reason to refuse the others.
    """
    offered: dict[tuple[str, str], Fields] = {}
    for fields in entries:
        with suppress(InvalidSpec):
            platform = Fields(fields.raw("platform") or {}, fields.where_of("platform"))
            if platform.text("os", "") == "linux":
                offered.setdefault((platform.text("architecture", ""), platform.text("variant", "")), fields)
    return offered


def _platforms(arch: str) -> tuple[tuple[str, str], ...]:
    known = named(arch)
    return known.docker if known else ((arch, ""),)


def _not_made_for(arch: str, what: str, offered: list[str]) -> NotFound:
    names = ", ".join(sorted(offered)) or "no linux at all"
    return NotFound(
        f"{what} is not made for {arch}: it offers {names}", "build it for this platform", arch=arch
    )


def _digest(fields: Fields) -> str:
    return checkable(fields.text("digest"))
