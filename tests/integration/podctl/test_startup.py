# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The imports of podctl on its hot paths: its start-up is most of the cost of starting a pod."""

from __future__ import annotations

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, imported

HEAVY = {
    "argparse", "asyncio", "dataclasses", "datetime", "email", "gnupg", "hashlib", "http", "http.client", "inspect",
    "importlib.metadata", "logging", "multiprocessing", "pathlib", "pyroute2", "pyseccomp", "random", "requests",
    "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tarfile", "tempfile", "threading", "typing",
    "urllib", "urllib.parse", "urllib.request", "urllib3", "uuid", "zipfile",
}  # fmt: skip

# What these bring along costs a start another 10 ms: contexts, jsontext and the alphabets of names do without.
LIGHTER = {"collections", "contextlib", "enum", "functools", "json", "re"}


def test_listing_imports_little(pods: PodHost) -> None:
    pods.ok("prepare", pods.image)
    status, modules = imported(*pods.where, "list")
    assert (status, modules & (HEAVY | {"_ctypes"})) == (0, set())


def test_a_status_imports_little(pods: PodHost) -> None:
    uuid = pods.ok("prepare", pods.image)
    status, modules = imported(*pods.where, "status", uuid)
    assert (status, modules & (HEAVY | {"_ctypes"})) == (0, set())


def test_running_imports_little(pods: PodHost) -> None:
    key = pods.ok("fetch", pods.image)
    pods.sh("true")  # filters and the like are made only once
    for network in ("none", "default"):
        status, modules = imported(*pods.where, "run", f"--net={network}", key, "--exec=/bin/true")
        assert (status, modules & (HEAVY | LIGHTER)) == (0, set())


def test_run_prepared_imports_little(pods: PodHost) -> None:
    pods.sh("true")
    uuid = pods.ok("prepare", pods.image, "--exec=/bin/true")
    status, modules = imported(*pods.where, "run-prepared", "--net=none", uuid)
    assert (status, modules & (HEAVY | LIGHTER)) == (0, set())
    # The flags are those of run, whose grammar needs references, but neither fetches nor the store.
    light = {"podrt.image", "podrt.image.policy", "podrt.image.reference"}
    assert not {module for module in modules if module.startswith(("podrt.image", "podrt.store"))} - light
