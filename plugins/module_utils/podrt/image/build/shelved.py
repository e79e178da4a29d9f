# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker images of the store in one archive, an OCI layout and docker's format at once, as docker save writes it.

Layers are packed from their files, since the store keeps no archives of them, so their digests, and that of the image,
are not those of the registry. All depends on the images alone: the same ones give the same bytes.
Source: OCI image specification, image-layout.md and config.md; Docker image specification v1.2.
"""

from __future__ import annotations

import hashlib
import json
import re

from ...appc.image import HEALTH_CHECK, STOP_SIGNAL
from ...errors import Corrupt, HostFailure, Unsupported
from ...fields import canonical_json
from ...store import claims, layers, locks, tar, trees
from ...value import Value
from ..content import MANIFEST_TYPE, Blob, blob_of
from ..convert import ANNOTATION
from ..reference import INDEX, DockerReference
from ..simplesigning import full_name
from . import oci, repacked, tarball

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...appc.app import App
    from ...appc.image import ImageManifest
    from ...appc.ports import Port
    from ...host.paths import Paths
    from ...store.index import StoredImage

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
# Docker knows one name for these; that of others is in the table of machines.
_OLD_ARM = "armv6l"


class Shelved(Value):
    """The documents of an image. layers: bottom first. name: as other tools write it, "" without one."""

    config: bytes
    manifest: bytes
    platform: dict[str, str]
    layers: tuple[Blob, ...]
    name: str


def write_archive(paths: Paths, images: Sequence[StoredImage], write: Callable[[bytes], None]) -> None:
    """Write images as one archive, piece by piece. Layers are read twice, and never held.

    Raises Unsupported for an ACI, NotFound for missing layers, Corrupt for damaged ones, HostFailure.
    """
    for image in images:
        if image.layers == (image.id,):
            raise Unsupported(
                f"cannot save {image.manifest.full_name}: it is an ACI, and would lose what it is signed for",
                "podctl image export writes it as it is",
            )
    wanted = dict.fromkeys(layer_id for image in images for layer_id in reversed(image.layers))
    try:
        with claims.claimed(paths, wanted):
            with locks.adding(paths):
                for image in images:
                    trees.ensure_layers(paths, image)
            blobs = {layer_id: _measured(paths, layer_id) for layer_id in wanted}
            packed = {blob: _packer(paths, layer_id) for layer_id, blob in blobs.items()}
            for chunk in tarball.gathered(_archive([_shelved(image, blobs) for image in images], packed)):
                write(chunk)
    except BrokenPipeError:
        raise
    except OSError as err:
        raise HostFailure.of("cannot save the images", err) from err


def write_one(
    manifest: ImageManifest, packed: Callable[[], Iterator[bytes]], write: Callable[[bytes], None]
) -> None:
    """Write an image of one layer, without a name. packed: the archive of the layer, the same at every call.

    Raises Corrupt when it was not, and what packed and write raise.
    """
    blob = _measured_stream(packed())
    shelved = [_described(manifest, (blob,), "")]
    for chunk in tarball.gathered(_archive(shelved, {blob: packed})):
        write(chunk)


def name_of(manifest: ImageManifest) -> str:
    """What a docker image is called, "" for one that was fetched by digest: what is packed again has another."""
    said = [
        manifest.annotations.get(ANNOTATION + part) or "" for part in ("registryurl", "repository", "tag")
    ]
    return full_name(DockerReference(*said)) if all(said) else ""


def _measured(paths: Paths, layer_id: str) -> Blob:
    """The archive of a layer, whose files are as they came."""
    if not layers.is_as_made(paths, layer_id):
        raise Corrupt(
            f"the files of the layer {layer_id} are not what they were", "podctl image verify mends its image"
        )
    return _measured_stream(repacked.archive_of(paths, layer_id))


def _packer(paths: Paths, layer_id: str) -> Callable[[], Iterator[bytes]]:
    return lambda: repacked.archive_of(paths, layer_id)


def _measured_stream(chunks: Iterator[bytes]) -> Blob:
    """A stream by its digest."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return Blob(f"sha256:{digest.hexdigest()}", size)


def _shelved(image: StoredImage, blobs: dict[str, Blob]) -> Shelved:
    found = tuple(blobs[layer_id] for layer_id in reversed(image.layers))
    return _described(image.manifest, found, name_of(image.manifest))


def _described(image: ImageManifest, found: tuple[Blob, ...], name: str) -> Shelved:
    platform = _platform(image)
    config = _config(image, platform, found)
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": oci.descriptor(oci.CONFIG_TYPE, blob_of(config)),
            "layers": [oci.descriptor(oci.LAYER_TYPE, layer) for layer in found],
        }
    )
    return Shelved(config, manifest, platform, found, name)


def _archive(
    shelved: Sequence[Shelved], packed: dict[Blob, Callable[[], Iterator[bytes]]]
) -> Iterator[bytes]:
    """The lists of images first, so that readers of a stream know what comes. Layers of one digest are one."""
    documents = {oci.path_of(blob_of(data)): data for one in shelved for data in (one.config, one.manifest)}
    lists = {oci.LAYOUT_FILE[0]: oci.LAYOUT_FILE[1], INDEX: _index(shelved), "manifest.json": _list(shelved)}
    for name, data in {**lists, **documents}.items():
        yield tarball.file_of(name, data)
    for blob, chunks in packed.items():
        yield from _layer(blob, chunks())
    yield tarball.END


def _layer(blob: Blob, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield tarball.headers_of(tar.TarEntry(oci.path_of(blob), tar.FILE, tarball.OPEN_FILE, blob.size))
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if f"sha256:{digest.hexdigest()}" != blob.digest:
        raise Corrupt(f"the layer {blob.digest} has changed while it was saved", "save it again")
    yield bytes(-blob.size % tar.BLOCK)


def _index(shelved: Sequence[Shelved]) -> bytes:
    entries = []
    for one in shelved:
        entry = {**oci.descriptor(MANIFEST_TYPE, blob_of(one.manifest)), "platform": one.platform}
        entries.append({**entry, "annotations": dict.fromkeys(oci.NAMES, one.name)} if one.name else entry)
    return canonical_json({"schemaVersion": 2, "mediaType": oci.INDEX_TYPE, "manifests": entries})


def _list(shelved: Sequence[Shelved]) -> bytes:
    """The list of docker's format."""
    entries = [
        canonical_json(
            {
                "Config": oci.path_of(blob_of(one.config)),
                "RepoTags": [one.name] if one.name else [],
                "Layers": list(map(oci.path_of, one.layers)),
            }
        )
        for one in shelved
    ]
    return b"[%s]" % b",".join(entries)


def _platform(manifest: ImageManifest) -> dict[str, str]:
    labels = dict(manifest.labels.pairs)
    arch = labels.get("arch", "")
    architecture, variant = ("arm", "v6") if arch == _OLD_ARM else oci.platform_of(arch)
    found = {"architecture": architecture, "os": labels.get("os", "linux")}
    return {**found, "variant": variant} if variant else found


def _config(manifest: ImageManifest, platform: dict[str, str], found: Sequence[Blob]) -> bytes:
    document: dict[str, object] = {
        **platform,
        "config": _app(manifest),
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in found]},
    }
    author, created = (manifest.annotations.get(name) or "" for name in ("author", "created"))
    if author:
        document["author"] = author
    if _TIME.fullmatch(created):
        document["created"] = created
    return canonical_json(document)


def _app(manifest: ImageManifest) -> dict[str, object]:
    """What the image runs, in the words of docker."""
    app, annotations = manifest.app, manifest.annotations
    check = annotations.get(HEALTH_CHECK)
    members: dict[str, object] = {
        "StopSignal": annotations.get(STOP_SIGNAL),
        "Healthcheck": json.loads(check) if check else None,
    }
    if app:
        members.update(_command(manifest, app))
        members.update(
            Env=[f"{name}={value}" for name, value in app.environment],
            User=_user(app),
            WorkingDir=app.working_directory,
            Volumes={point.path: {} for point in app.mount_points},
            ExposedPorts={_port(port): {} for port in app.ports},
        )
    return {name: value for name, value in members.items() if value}


def _command(manifest: ImageManifest, app: App) -> dict[str, object]:
    """Entrypoint and command apart, where the image has them so."""
    entrypoint, cmd = (_words(manifest, part) for part in ("entrypoint", "cmd"))
    if (*entrypoint, *cmd) == tuple(app.exec):
        return {"Entrypoint": entrypoint, "Cmd": cmd}
    return {"Entrypoint": list(app.exec)}


def _words(manifest: ImageManifest, part: str) -> list[str]:
    found: list[str] = json.loads(manifest.annotations.get(ANNOTATION + part) or "[]")
    return found


def _user(app: App) -> str:
    if (app.user, app.group) == ("0", "0"):
        return ""
    # Without a group the user's own counts, and the manifest repeats the user.
    return app.user if app.user == app.group else f"{app.user}:{app.group}"


def _port(port: Port) -> str:
    last = port.port + port.count - 1
    return f"{port.port}-{last}/{port.protocol}" if port.count > 1 else f"{port.port}/{port.protocol}"
