# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A commit makes an image count, or takes back what it has brought itself, and nothing of other processes."""

from __future__ import annotations

import os
import time
import warnings

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    blobs,
    commit,
    index,
    trees,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import load

pytestmark = pytest.mark.root
SOURCE = "https://example.com/a.aci"


def committed(paths, data):
    with Workspace(paths) as workspace:
        incoming = blobs.receive_archive(paths, workspace, iter([data]), "the archive")
        return commit.commit(paths, incoming, (index.Remote(SOURCE, incoming.id),))


def test_an_image_counts_with_its_source_and_its_tree(paths, make_aci, entry):
    image = committed(paths, make_aci({"name": "a"}, entry("file", b"1")))
    assert index.get_image(paths, image.id).size == image.size > 0
    assert index.sources_of(paths, image.id) == (SOURCE,)
    assert trees.is_rendered(paths, image.tree)


def test_what_is_received_does_not_count(paths, make_aci):
    with Workspace(paths) as workspace:
        incoming = blobs.receive_archive(paths, workspace, iter([make_aci({"name": "a"})]), "the archive")
        assert (incoming.manifest.name, incoming.layers) == ("a", (incoming.id,))
        assert (index.list_ids(paths), index.orphans(paths)) == ((), ())
    assert os.listdir(paths.workspaces) == []


NEEDY = {"name": "a", "dependencies": [{"imageName": "missing"}]}


def test_one_that_cannot_be_rendered_is_taken_back(paths, make_aci):
    with pytest.raises(NotFound, match="a needs missing"):
        committed(paths, make_aci(NEEDY))
    assert (index.list_ids(paths), index.orphans(paths)) == ((), ())
    assert index.find_remote(paths, SOURCE) is None


def test_one_that_was_there_before_is_not(paths, make_aci):
    image = load(paths, make_aci(NEEDY))
    with pytest.raises(NotFound, match="a needs missing"):
        committed(paths, make_aci(NEEDY))
    assert index.list_ids(paths) == (image.id,)


def test_one_whose_source_cannot_be_recorded_is_taken_back(paths, make_aci, monkeypatch):
    def fail(*_given):
        raise OSError(28, "no space")

    monkeypatch.setattr(index, "put_remote", fail)
    with pytest.raises(OSError, match="no space"):
        committed(paths, make_aci({"name": "a"}))
    assert (index.list_ids(paths), index.orphans(paths)) == ((), ())


@pytest.mark.parametrize("how", ["commits", "uses"])
def test_who_commits_or_uses_it_meanwhile_keeps_it_or_finds_it_gone(paths, make_aci, monkeypatch, how):
    """Another process has brought it, and takes it back once this one has seen it in the index."""
    data = make_aci({"name": "a"})
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if not child:
        _fail_slowly(paths, data, writing)
    os.close(writing)
    os.read(reading, 1)  # the other one renders it
    os.close(reading)
    [image_id] = index.list_ids(paths)
    seen = index.get_image(paths, image_id)
    found = commit.use(paths, seen) if how == "uses" else committed(paths, data)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    if how == "uses":
        assert (found, index.list_ids(paths)) == (None, ())
        return
    assert trees.is_rendered(paths, found.tree)
    assert index.list_ids(paths) == (image_id,)
    assert index.sources_of(paths, image_id) == (SOURCE,)


def _fail_slowly(paths, data, writing):
    def fail(*_given):
        os.write(writing, b".")
        time.sleep(0.2)
        raise Corrupt("it cannot be rendered")

    commit.trees.render = fail
    try:
        committed(paths, data)
    except Corrupt:
        os._exit(7)
    finally:
        os._exit(1)
