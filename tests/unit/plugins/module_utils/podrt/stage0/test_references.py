# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The trees and images that pods need, also while they move and where their documents are damaged."""

from __future__ import annotations

import os
import pathlib
import threading

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import STATES, Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import open_pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.references import in_use
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import add_pod

IMAGE, OTHER = (ImageID("sha512-" + digit * 64) for digit in "ab")
TREE = "deps-sha512-" + "1" * 64


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    return Host(
        Paths(data=str(tmp_path), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")),
        "amd64",
        "",
        "",
    )


def put_tree(host: Host, tree: str, image: str) -> None:
    """Write as much of a tree and its image as is needed here."""
    write(f"{host.paths.tree(tree).path}/image", image)
    write(f"{host.paths.cas}/index/{image}", "{}")


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pathlib.Path(path).write_text(text)


@pytest.mark.behaviour("A56")
@pytest.mark.parametrize("state", [state for state in STATES if state != "embryo"])
def test_every_pod_that_exists_keeps_its_tree_and_its_image(host: Host, state: str) -> None:
    put_tree(host, TREE, IMAGE)
    uuid = add_pod(host.paths, state, OTHER, TREE)
    assert in_use(host) == ({TREE}, {IMAGE, OTHER})
    assert in_use(host, {uuid}) == (frozenset(), frozenset())


def test_a_pod_that_moves_meanwhile_keeps_its_tree(host: Host) -> None:
    """Each pod goes through its states while another thread asks: its tree must be in use at every moment."""
    put_tree(host, TREE, IMAGE)
    for _number in range(40):
        uuid = add_pod(host.paths, "prepare", IMAGE, TREE)
        begun = threading.Event()

        def move(uuid: str = uuid, begun: threading.Event = begun) -> None:
            with open_pod(host.paths, uuid) as pod:
                begun.set()
                for state in ("prepared", "run", "exited-garbage"):
                    pod.move(state)

        mover = threading.Thread(target=move)
        mover.start()
        begun.wait()
        seen = [in_use(host)]
        while mover.is_alive():
            seen.append(in_use(host))
        mover.join()
        assert set(seen) == {(frozenset({TREE}), frozenset({IMAGE}))}
        os.rename(host.paths.pod("exited-garbage", uuid).path, f"{host.paths.data}/{uuid}")


@pytest.mark.parametrize("text", ["{", "", "[]", None])
def test_a_pod_whose_manifest_is_damaged_keeps_its_tree_and_the_image_of_that(
    host: Host, text: str | None
) -> None:
    put_tree(host, TREE, IMAGE)
    pod = host.paths.pod("run", add_pod(host.paths, "run", OTHER, TREE))
    if text is None:
        os.unlink(pod.manifest)
    else:
        pathlib.Path(pod.manifest).write_text(text)
    assert in_use(host) == ({TREE}, {IMAGE})


@pytest.mark.parametrize("text", ["", "something else"])
def test_everything_is_kept_where_a_pod_does_not_say_what_it_needs(host: Host, text: str) -> None:
    """As after a power cut: the file exists without its content."""
    put_tree(host, TREE, OTHER)
    pod = host.paths.pod("run", add_pod(host.paths, "run", IMAGE, TREE))
    pathlib.Path(pod.app_tree_id("web")).write_text(text)
    assert in_use(host) == ({TREE}, {OTHER})


def test_a_pod_that_is_not_prepared_yet_needs_nothing(host: Host) -> None:
    pod = host.paths.pod("prepare", add_pod(host.paths, "prepare", IMAGE, TREE))
    os.unlink(pod.manifest)
    os.unlink(pod.app_tree_id("web"))
    assert in_use(host) == (frozenset(), frozenset())
