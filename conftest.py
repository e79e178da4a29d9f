# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Let the tests import the checkout by its collection name, with no ansible installed, and skip those that need root.

`.cache/collections/ansible_collections/stagecraft/pods` is a link to the checkout. The folders above it are
namespace packages, so `ansible_collections.stagecraft.pods.plugins...` imports on any Python.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent
COLLECTIONS = CHECKOUT / ".cache" / "collections"


def link_checkout() -> None:
    """Make the link; a parallel pytest worker may have been first."""
    link = COLLECTIONS / "ansible_collections" / "stagecraft" / "pods"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        try:
            link.symlink_to(CHECKOUT, target_is_directory=True)
        except FileExistsError:
            if not link.exists():
                link.unlink()  # left from a checkout that has been moved
                link.symlink_to(CHECKOUT, target_is_directory=True)


_LONGEST_IN_NAME = 1000

link_checkout()
sys.path.insert(0, str(COLLECTIONS))
# ansible-core does not install on Python 3.9, but its module_utils run there: `make venv` links those of .venv.
if importlib.util.find_spec("ansible") is None:
    sys.path.append(str(CHECKOUT / ".cache" / "module_utils"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their length: the name of a test is in the environment of every program that it starts.

    A variable of more than 128 KiB would make execve(2) fail, of whichever test begins a fixture.
    """
    if isinstance(val, (bytes, str)) and len(val) > _LONGEST_IN_NAME:
        return f"{argname} of {len(val)}"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there is nothing to test where owners are kept, devices made or namespaces entered."""
    for item in items:
        if os.geteuid() and item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))
