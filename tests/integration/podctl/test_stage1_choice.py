# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which stage1 a real pod gets, and whether its image needs a signature."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import Done, PodHost
from ansible_collections.stagecraft.pods.tests.integration.podctl.stage1lab import write_stage1

NEITHER = (
    "neither the location of the default stage1 image nor its filename are set, "
    "use --stage1-{path,url,name,hash,from-dir} option"
)


def word(pods: PodHost, text: str) -> str:
    """A stage1 image that only prints a word."""
    return write_stage1(pods.base, text, {"run": f"#!/bin/sh\necho {text}\n"})


def configure(pods: PodHost, **members: str) -> None:
    place = pods.base / "etc" / "stage1.d"
    place.mkdir(parents=True, exist_ok=True)
    document = {"rktKind": "stage1", "rktVersion": "v1", **members}
    (place / "default.json").write_text(json.dumps(document))


def ran(pods: PodHost, *flags: str) -> Done:
    return pods.podctl("run", "--net=host", *flags, pods.image, "--exec=/bin/true")


@pytest.mark.behaviour("D21", "D22", "D28", "D34")
def test_a_configured_default_is_used_where_nothing_is_asked(pods: PodHost) -> None:
    located, stored, asked = (word(pods, name) for name in ("located", "stored", "asked"))
    key = pods.ok("fetch", "--full", stored)
    configure(pods, location=located)
    assert ran(pods).out == "located\n"
    configure(pods, name="example.com/stored", version="1.0", location=located)
    assert ran(pods).out == "stored\n"
    configure(pods, name="example.com/other", version="1.0", location=located)
    assert ran(pods).out == "located\n"
    assert ran(pods, f"--stage1-path={asked}").out == "asked\n"
    assert ran(pods, f"--stage1-url=file://{asked}").out == "asked\n"
    assert ran(pods, f"--stage1-hash={key}").out == "stored\n"
    assert ran(pods, "--stage1-name=example.com/stored:1.0").out == "stored\n"
    assert ran(pods, "--stage1-name=native").out == ""
    assert "example.com/located:1.0" in pods.ok("image", "list")


@pytest.mark.behaviour("D21", "D22")
def test_a_default_that_is_nowhere_is_an_error_and_no_other_stage1(pods: PodHost) -> None:
    configure(pods, name="example.com/other", version="1.0")
    done = ran(pods)
    assert (done.status, NEITHER in done.err) == (254, True), done.err
    path = word(pods, "asked")
    done = ran(pods, f"--stage1-path={path}", f"--stage1-path={path}")
    assert (done.status, "--stage1-path already used" in done.err) == (254, True), done.err
    done = ran(pods, f"--stage1-path={path}", "--stage1-name=native")
    assert (done.status, "are mutually exclusive" in done.err) == (254, True), done.err


@pytest.mark.behaviour("D21", "D22", "D23")
def test_only_the_files_of_root_in_their_directory_need_no_signature(pods: PodHost) -> None:
    """With a directory of the test's own, as a document of paths names it."""
    images = pods.base / "images"
    images.mkdir(mode=0o755)
    document = {"rktKind": "paths", "rktVersion": "v1", "stage1-images": str(images)}
    leases = pods.base / "etc" / "paths.d" / "leases.json"
    leases.write_text(json.dumps({**json.loads(leases.read_text()), **document}))
    elsewhere = word(pods, "shipped")
    placed = pathlib.Path(shutil.copy(elsewhere, images / "shipped.aci"))
    placed.chmod(0o644)
    pods.ok("fetch", pods.image)
    strict = "--insecure-options=none"
    for flags in (("--stage1-from-dir=shipped.aci",), (f"--stage1-path={placed}",)):
        assert ran(pods, strict, *flags).out == "shipped\n", flags
    configure(pods, location=str(placed))
    assert ran(pods, strict).out == "shipped\n"
    other = word(pods, "other")
    for path, mode in ((other, 0o644), (images / "open.aci", 0o666)):
        if path != other:
            shutil.copy(other, path)
        os.chmod(path, mode)
        done = ran(pods, strict, f"--stage1-path={path}")
        assert (done.status, "signature" in done.err, done.out) == (254, True, ""), done.err
