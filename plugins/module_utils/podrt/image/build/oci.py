# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of an OCI image that is built, and the archive of one. All depends on the arguments alone.

Source: OCI image specification, config.md, manifest.md, image-index.md and image-layout.md.
"""

from __future__ import annotations

from ...appc.ports import Port
from ...errors import InvalidSpec
from ...fields import canonical_json
from ...host.machine import named
from ..content import MANIFEST_TYPE, Blob, blob_of
from ..reference import INDEX, DockerReference, parse_docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.app import App
    from ...appc.image import ImageManifest
    from .recipe import Recipe

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
# The file that makes an archive or a directory an OCI layout.
LAYOUT_FILE = ("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}))
_PLATFORM = ("os", "arch", "version")
_MOST_PORTS = 1000


def reference_of(manifest: ImageManifest) -> DockerReference:
    """What an image is called in registries. Raises InvalidSpec."""
    try:
        return parse_docker(manifest.full_name)
    except InvalidSpec as err:
        raise InvalidSpec(err.message, "an OCI image is called as in a registry", where="name") from err


def check(recipe: Recipe) -> None:
    """Raise InvalidSpec for what an OCI image cannot say."""
    manifest, app = recipe.manifest, recipe.manifest.app
    reference_of(manifest)
    said: list[tuple[str, bool]] = [
        ("dependencies", bool(manifest.dependencies)),
        ("path_whitelist", bool(manifest.path_whitelist)),
    ]
    if app:
        said += [
            ("app.isolators", bool(app.isolators)),
            ("app.pre_start", app.handler("pre-start") is not None),
            ("app.post_stop", app.handler("post-stop") is not None),
            ("app.supplementary_gids", bool(app.supplementary_gids)),
            ("app.user_annotations", bool(app.user_annotations)),
            ("app.mount_points", any(point.read_only for point in app.mount_points)),
            ("app.ports", any(port.socket_activated or port.count > _MOST_PORTS for port in app.ports)),
        ]
    for where, is_said in said:
        if is_said:
            raise InvalidSpec(
                "an OCI image cannot say this", "leave it out, or build an ACI: format: aci", where=where
            )


def config_of(recipe: Recipe, diff_id: str) -> bytes:
    """The configuration. diff_id: of the one layer."""
    labels = dict(recipe.manifest.labels.pairs)
    architecture, variant = platform_of(labels.get("arch", ""))
    document: dict[str, object] = {
        "architecture": architecture,
        "os": labels.get("os", "linux"),
        "config": _config(recipe),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    if variant:
        document["variant"] = variant
    return canonical_json(document)


def manifest_of(recipe: Recipe, config: bytes, layer: Blob) -> bytes:
    """The manifest."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, blob_of(config)),
        "layers": [descriptor(LAYER_TYPE + ("+gzip" if recipe.compress else ""), layer)],
    }
    annotations = recipe.manifest.annotations.pairs
    if annotations:
        document["annotations"] = dict(annotations)
    return canonical_json(document)


def index_of(recipe: Recipe, manifest: bytes) -> bytes:
    """The index of an archive with this image alone."""
    labels = dict(recipe.manifest.labels.pairs)
    architecture, variant = platform_of(labels.get("arch", ""))
    platform = {"architecture": architecture, "os": labels.get("os", "linux")}
    if variant:
        platform["variant"] = variant
    entry = {
        **descriptor(MANIFEST_TYPE, blob_of(manifest)),
        "platform": platform,
        "annotations": dict.fromkeys(NAMES, reference_of(recipe.manifest).name),
    }
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]})


def layout_of(recipe: Recipe, config: bytes, layer: Blob) -> tuple[tuple[str, bytes], ...]:
    """The files of an archive but for the layer: pairs of name and content."""
    manifest = manifest_of(recipe, config, layer)
    return (
        (path_of(blob_of(config)), config),
        (path_of(blob_of(manifest)), manifest),
        (INDEX, index_of(recipe, manifest)),
        LAYOUT_FILE,
    )


def path_of(blob: Blob) -> str:
    """The name of a blob in an archive."""
    return f"blobs/{blob.digest.replace(':', '/')}"


def descriptor(media_type: str, blob: Blob) -> dict[str, object]:
    """What names a blob in another document."""
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _config(recipe: Recipe) -> dict[str, object]:
    app = recipe.manifest.app
    own = {name: value for name, value in recipe.manifest.labels.pairs if name not in _PLATFORM}
    labels = {**dict(app.user_labels if app else ()), **own}
    members: dict[str, object] = {"Labels": labels, "StopSignal": recipe.stop_signal}
    if app:
        members.update(
            Entrypoint=list(app.exec),
            Env=[f"{name}={value}" for name, value in app.environment],
            User=_user(app),
            WorkingDir=app.working_directory,
            Volumes={point.path: {} for point in app.mount_points},
            ExposedPorts={text: {} for port in app.ports for text in _ports(port)},
        )
    return {name: value for name, value in members.items() if value}


def _user(app: App) -> str:
    """USER or USER:GROUP; nothing for root, as in images of other tools."""
    if (app.user, app.group) == ("0", "0"):
        return ""
    return f"{app.user}:{app.group}"


def _ports(port: Port) -> list[str]:
    return [f"{number}/{port.protocol}" for number in range(port.port, port.port + port.count)]


def platform_of(arch: str) -> tuple[str, str]:
    """Docker's architecture and variant of appc's."""
    known = named(arch)
    return known.docker[0] if known else (arch, "")
