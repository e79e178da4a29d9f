# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images by their content: the same for the same files, whatever made them, and another for others."""

from __future__ import annotations

import hashlib
import os
import pathlib
import time
import zlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.archives import opened
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import tarball
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.built import (
    archive_of,
    build,
    write,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.outlets import (
    OTHER,
    identity_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import SavedImage
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.build.buildlab import (
    part,
    recipe,
    source,
)


def fill(top: pathlib.Path, names: list[str]) -> pathlib.Path:
    top.mkdir()
    for name in names:
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(name)
        (top / name).chmod(0o644)
    return top


@pytest.mark.parametrize("kind", ["aci", "oci"])
def test_neither_order_nor_time_nor_umask_nor_place_matters(tmp_path: pathlib.Path, kind: str) -> None:
    names = [f"d{number % 7}/f{number}" for number in range(50)]
    first = build(recipe(source(fill(tmp_path / "one", names)), kind=kind))
    before = os.umask(0o077)
    try:
        time.sleep(0.01)
        other = fill(tmp_path / "other", names[::-1])
    finally:
        os.umask(before)
    for place in other.iterdir():
        place.chmod(0o755)
    second = build(recipe(source(other), kind=kind))
    assert (first.identity, first.digest, first.config) == (second.identity, second.digest, second.config)
    (other / "d0/f0").chmod(0o600)
    assert build(recipe(source(other), kind=kind)).identity != first.identity


def test_the_digest_is_that_of_the_archive_and_stays() -> None:
    image = build(recipe(part("etc/motd", text=b"hello\n")))
    assert image.digest == hashlib.sha512(b"".join(archive_of(image))).hexdigest()
    # A change of this ID is a change of every image that users have built.
    assert image.identity == "sha512-bbbd43f1441559b055fd2048463f7246294302c8ad89a407087de57e06087580"


def test_how_it_is_compressed_is_no_part_of_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("aci", "oci"):
        image = build(recipe(part("f", text=b"text " * 1000), kind=kind))
        path = tmp_path / kind
        monkeypatch.setattr(tarball, "_LEVEL", zlib.Z_BEST_SPEED)
        with path.open("w+b") as file:
            write(image, file.fileno())
        monkeypatch.undo()
        assert identity_of(image, str(path)) == image.identity
        other = build(recipe(part("f", text=b"text"), kind=kind))
        assert identity_of(other, str(path)) != other.identity


def test_an_oci_archive_has_the_one_image(tmp_path: pathlib.Path) -> None:
    image = build(recipe(part("f", text=b"x"), kind="oci"))
    path = tmp_path / "image.tar"
    with path.open("w+b") as file:
        write(image, file.fileno())
    with opened(SavedImage("oci-archive", str(path))) as archive:
        found = archive.image("amd64")
        sent = b"".join(archive.layer(found.layers[0]))
    assert (found.config_digest, found.layers[0].diff_id) == (image.identity, image.diff_id)
    assert f"sha256:{hashlib.sha256(sent).hexdigest()}" == found.layers[0].digest
    assert str(found.reference) == "docker://example.com/web:1"
    # Something behind it, or another name in it, is another archive.
    named = image.recipe.manifest.replace(name=image.recipe.manifest.name.replace("web", "wob"))
    assert identity_of(image.replace(recipe=image.recipe.replace(manifest=named)), str(path)) == OTHER
