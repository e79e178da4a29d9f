# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Recipes, and the archives that are made by them."""

from __future__ import annotations

import io
import pathlib
import tarfile
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.built import archive_of, build
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.recipe import (
    ACI,
    Part,
    Recipe,
)

MANIFEST = ImageManifest(ACIdentifier("example.com/web"), Labels.of(os="linux", arch="amd64", version="1"))


def part(target: str = "", **options: Any) -> Part:
    return Part("files[0]", target, **options)


def source(path: pathlib.Path, target: str = "", **options: Any) -> Part:
    return part(target, source=str(path), **options)


def recipe(*parts: Part, kind: str = ACI, **options: Any) -> Recipe:
    return Recipe(kind, MANIFEST, parts, **options)


def archive(wanted: Recipe) -> bytes:
    return b"".join(archive_of(build(wanted)))


def entries(wanted: Recipe) -> dict[str, tarfile.TarInfo]:
    """The entries of an image as Python's own reader sees them, below its root."""
    with tarfile.open(fileobj=io.BytesIO(archive(wanted))) as found:
        members = found.getmembers()
    return {member.name.partition("/")[2]: member for member in members if member.name != "manifest"}
