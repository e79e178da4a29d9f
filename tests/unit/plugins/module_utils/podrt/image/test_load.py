# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the images of an archive are loaded as."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import load
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.savedimages import (
    LAYERS,
    config_of,
    digest_of,
    docker_members,
    tar_of,
)

FILES = tuple((f"{number}.tar", data) for number, data in enumerate(LAYERS))
ONE, TWO = config_of(LAYERS[0]), config_of(LAYERS[1])


def names_in(tmp_path: pathlib.Path, *images: tuple[list[str] | None, bytes, list[str]]) -> list[str]:
    path = tmp_path / "all.tar"
    path.write_bytes(tar_of(*docker_members(*images, files=FILES)))
    return [str(reference.wanted) for reference in load.images_in(str(path), "amd64")]


def test_every_name_of_every_image_counts(tmp_path: pathlib.Path) -> None:
    found = names_in(
        tmp_path,
        (["busybox:1", "docker.io/library/busybox:latest"], ONE, ["0.tar"]),
        (["example.com:5000/a/b:2"], TWO, ["1.tar"]),
    )
    assert found == [
        "docker://registry-1.docker.io/library/busybox:1",
        "docker://registry-1.docker.io/library/busybox:latest",
        "docker://example.com:5000/a/b:2",
    ]


@pytest.mark.parametrize("names", [None, [], ["Not A Name:1"]])
def test_one_without_a_valid_name_gets_one_after_the_file(
    tmp_path: pathlib.Path, names: list[str] | None
) -> None:
    assert names_in(tmp_path, (names, ONE, ["0.tar"])) == [f"docker://localhost/all@{digest_of(ONE)}"]


def test_a_name_of_two_images_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidSpec, match=r'has several images "example.com/a:1"'):
        names_in(tmp_path, (["example.com/a:1"], ONE, ["0.tar"]), (["example.com/a:1"], TWO, ["1.tar"]))


def test_nothing_is_loaded_unless_all_are_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFound, match=r"lacks the file none.tar"):
        names_in(tmp_path, (["example.com/a:1"], ONE, ["0.tar"]), (["example.com/a:2"], TWO, ["none.tar"]))


def test_an_empty_list_is_not_an_image(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFound, match="has no image"):
        names_in(tmp_path)
