# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of an image: its sources, its signer, and whether anything of it is missing."""

from __future__ import annotations

import os
import pathlib
import shutil
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import blobs, commit, index
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.trust import Trust
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.image_info import gather_images
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import make_aci

pytestmark = pytest.mark.root
DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    base = str(tmp_path)
    return Host.here(Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib"))


def put(
    host: Host, name: str, *sources: tuple[str, float, str], signer: str = "", policy: str = ""
) -> ImageID:
    """Have the store know an image, as fetches from these sources at these times leave it."""
    with Workspace(host.paths) as workspace:
        incoming = blobs.receive_archive(host.paths, workspace, iter([make_aci(name)]), "it")
        remotes = tuple(
            index.Remote(
                parse_reference(text).source, incoming.id, download_time=time, manifest_digest=digest
            )
            for text, time, digest in sources
        )
        return commit.commit(host.paths, incoming, remotes, Trust(signer, policy)).id


def told(host: Host, **options: object) -> list[dict[str, Any]]:
    found: Any = gather_images(host, Fields(options, ""))["images"]
    return list(found)


def test_sources_are_told_the_latest_first_with_what_a_registry_called_them(host: Host) -> None:
    put(
        host,
        "example.com/a",
        ("docker://example.com/a:1", 7.0, DIGEST),
        ("https://example.com/a.aci?token=secret", 9.0, ""),
        ("oci:/srv/a:x", 8.0, ""),
        signer="ab" * 20,
        policy="signed example.com",
    )
    put(host, "example.com/b")
    (image,) = told(host, name=["docker://example.com/a:1"])
    assert image["sources"] == [
        {"name": "https://example.com/a.aci", "digest": None, "time": 9.0},
        {"name": "oci:/srv/a:x", "digest": None, "time": 8.0},
        {"name": "docker://example.com/a:1", "digest": DIGEST, "time": 7.0},
    ]
    assert image["policy"] == "signed example.com"
    assert (image["signer"], image["complete"], image["in_use"]) == ("ab" * 20, True, False)
    assert image["manifest"]["name"] == "example.com/a"


def test_without_names_all_are_told_with_one_that_names_the_same_image_once(host: Host) -> None:
    first = put(host, "example.com/a", ("oci:/srv/a", 1.0, ""))
    second = put(host, "example.com/b")
    assert {image["id"] for image in told(host)} == {first, second}
    names = ["example.com/a", str(first), "oci:/srv/a", "example.com/none"]
    assert [image["id"] for image in told(host, name=names)] == [first]
    assert told(host, name=[]) == []


def test_one_whose_content_is_gone_is_said_to_be_incomplete(host: Host) -> None:
    image_id = put(host, "example.com/a")
    os.unlink(host.paths.blob(image_id))
    shutil.rmtree(host.paths.layers)
    (image,) = told(host)
    assert image["complete"] is False


def test_a_wrong_name_is_told_with_its_place(host: Host) -> None:
    with pytest.raises(InvalidSpec) as caught:
        told(host, name=["example.com/a", "a b"])
    assert caught.value.facts["where"] == "name[1]"
