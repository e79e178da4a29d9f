# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What an image runs with another Cmd."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.docker_command import with_command

PREFIX = "appc.io/docker/"


def image(*exec_vector: str, **annotations: str) -> ImageManifest:
    return ImageManifest(
        ACIdentifier("example.com/web"),
        app=App(exec_vector, "0", "0") if exec_vector else None,
        annotations=Labels(tuple((f"{PREFIX}{name}", text) for name, text in annotations.items())),
    )


@pytest.mark.behaviour("B44")
@pytest.mark.parametrize(
    ("manifest", "runs"),
    [
        (image("/e", "-x", "cmd", entrypoint='["/e", "-x"]', cmd='["cmd"]'), ("/e", "-x", "mine", "too")),
        (image("/e", entrypoint='["/e"]'), ("/e", "mine", "too")),
        (image("cmd", cmd='["cmd"]'), ("mine", "too")),
        (image("/aci", "word"), ("mine", "too")),
        (image(), ("mine", "too")),
    ],
    ids=["both", "Entrypoint", "Cmd", "ACI", "no app"],
)
def test_the_entrypoint_stays(manifest: ImageManifest, runs: tuple[str, ...]) -> None:
    assert with_command(manifest, ("mine", "too"), "apps[0].command") == runs


@pytest.mark.parametrize(
    "entrypoint",
    ['["/e"]', '["/other", "x"]', "no JSON", '{"a": 1}', "[1]", "null", "[" * 100_000],
    ids=["another", "longer", "text", "dictionary", "number", "nothing", "deep"],
)
def test_an_image_that_runs_something_else_is_refused(entrypoint: str) -> None:
    with pytest.raises(InvalidSpec, match="does not run the Entrypoint of its annotation") as caught:
        with_command(image("/other", entrypoint=entrypoint), ("mine",), "apps[0].command")
    assert (caught.value.where, caught.value.hint) == (
        "apps[0].command",
        "say with exec and args what to run",
    )
