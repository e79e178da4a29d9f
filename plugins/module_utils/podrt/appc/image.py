# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of an image. Source: appc schema/image.go."""

from __future__ import annotations

import os

from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .app import App
from .labels import Labels
from .names import AC_VERSION, LONGEST_PATH, ACIdentifier, ImageHash, SemVer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .names import ImageID

# The Entrypoint of a Docker image, in JSON.
ENTRYPOINT = "appc.io/docker/entrypoint"
# The stop signal of one, in the image's spelling.
STOP_SIGNAL = "appc.io/docker/stopsignal"
# The health check of a Docker image, in JSON with docker's members. It is kept, and nothing runs it yet.
HEALTH_CHECK = "appc.io/docker/healthcheck"
# The layers of a converted Docker image, whose archive has no files: it is a record, and only made here.
LAYERS_ANNOTATION = "stagecraft.pods/docker/diffids"
# The most entries of the lists of an app section: more than images in use have, and few enough to process.
# In Docker images a range of ports is one entry for each port.
_MOST = {
    "mountPoints": 1000,
    "ports": 65_536,
    "environment": 2000,
    "isolators": 1000,
    "userAnnotations": 1000,
    "userLabels": 1000,
}
# Each is looked up and stacked; a mount accepts some eighty layers.
_MOST_DEPENDENCIES = 128
_LONGEST_SHOWN = 512
# Of pathWhitelist: components that take some ten megabytes.
_MOST_COMPONENTS = 100_000


class Dependency(Value):
    """An image that this one depends on. image_id may be None."""

    image_name: ACIdentifier
    image_id: ImageHash | None = None
    labels: Labels = Labels()

    @classmethod
    def from_json(cls, value: object, where: str) -> Dependency:
        """Read an appc dependency. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        image_id = fields.optional_text("imageID")
        return cls(
            ACIdentifier(fields.text("imageName"), fields.where_of("imageName")),
            ImageHash(image_id, fields.where_of("imageID")) if image_id else None,
            Labels.from_json(fields, "labels"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object."""
        members: dict[str, object] = {"imageName": str(self.image_name)}
        if self.image_id:
            members["imageID"] = str(self.image_id)
        if self.labels.pairs:
            members["labels"] = self.labels.to_json()
        return members


class ImageManifest(Value):
    """The manifest of an image, with the app that it runs."""

    name: ACIdentifier
    labels: Labels = Labels()
    app: App | None = None
    dependencies: tuple[Dependency, ...] = ()
    path_whitelist: tuple[str, ...] = ()
    annotations: Labels = Labels()

    @classmethod
    def from_json(cls, value: object, where: str = "") -> ImageManifest:
        """Read an appc image manifest. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        fields.expect_kind("ImageManifest")
        SemVer(fields.text("acVersion"), fields.where_of("acVersion"))
        whitelist = fields.strings("pathWhitelist")
        _check_whitelist(whitelist, fields.where_of("pathWhitelist"))
        name, labels = fields.text("name"), Labels.from_json(fields, "labels")
        _check_shown((name, *(value for _name, value in labels.pairs)), where or "image manifest")
        return cls(
            name=ACIdentifier(name, fields.where_of("name")),
            labels=labels,
            app=_app(fields),
            dependencies=_dependencies(fields),
            path_whitelist=whitelist,
            annotations=Labels.from_json(fields, "annotations"),
        )

    def to_json(self) -> dict[str, object]:
        """The appc object, without empty members."""
        members: dict[str, object] = {
            "labels": self.labels.to_json(),
            "app": self.app.to_json() if self.app else None,
            "dependencies": [dependency.to_json() for dependency in self.dependencies],
            "pathWhitelist": list(self.path_whitelist),
            "annotations": self.annotations.to_json(),
        }
        head = {"acKind": "ImageManifest", "acVersion": str(AC_VERSION), "name": str(self.name)}
        return {**head, **{name: value for name, value in members.items() if value}}

    @property
    def version(self) -> str | None:
        """The version label."""
        return self.labels.get("version")

    @property
    def full_name(self) -> str:
        """The name, or name:version, for lists."""
        return f"{self.name}:{self.version}" if self.version else str(self.name)

    @property
    def of_docker_origin(self) -> bool:
        """Whether the image was converted from a Docker image. Source: behaviours B44."""
        return self.annotations.get("appc.io/docker/repository") is not None


class Image(Value):
    """An image: its ID, and what it says of itself."""

    id: ImageID
    manifest: ImageManifest


def _app(fields: Fields) -> App | None:
    """The app section. Raises InvalidSpec for a list that is too long, before any list is read."""
    if not fields.has("app"):
        return None
    section = Fields(fields.raw("app"), fields.where_of("app"))
    for name, most in _MOST.items():
        listed = section.raw(name)
        if isinstance(listed, (list, dict)) and len(listed) > most:
            raise InvalidSpec(
                f"{len(listed)} entries are more than the {most} that an image may have",
                "build the image with fewer",
                where=section.where_of(name),
            )
    return App.from_json(fields.raw("app"), section.where)


def _dependencies(fields: Fields) -> tuple[Dependency, ...]:
    """The dependencies. Raises InvalidSpec if there are too many, before any is read."""
    items = tuple(fields.items("dependencies"))
    if len(items) > _MOST_DEPENDENCIES:
        raise InvalidSpec(
            f"{len(items)} dependencies are more than the {_MOST_DEPENDENCIES} that an image may have",
            "build the image upon fewer others",
            where=fields.where_of("dependencies"),
        )
    return tuple(Dependency.from_json(*item) for item in items)


def _check_shown(texts: Iterable[str], where: str) -> None:
    """Raise InvalidSpec for a text that is too long for the lists of images and pods."""
    for text in texts:
        if len(text) > _LONGEST_SHOWN:
            raise InvalidSpec(
                f'"{text[:60]}..." has {len(text)} characters, a name or label at most {_LONGEST_SHOWN}',
                where=where,
            )


def _check_whitelist(paths: tuple[str, ...], where: str) -> None:
    """Raise InvalidSpec unless all are absolute paths of ordinary length, which fit into memory for a tree."""
    components = 0
    for path in paths:
        if not os.path.isabs(path) or len(os.fsencode(path)) > LONGEST_PATH:
            raise InvalidSpec(
                f'"{path[:60]}" is not an absolute path of at most {LONGEST_PATH} bytes', where=where
            )
        components += path.count("/")
    if components > _MOST_COMPONENTS:
        raise InvalidSpec(f"more than {_MOST_COMPONENTS} components of paths are listed", where=where)
