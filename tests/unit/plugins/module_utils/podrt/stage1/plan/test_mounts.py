# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that the kernel refuses leave no descriptor open: one of a detached mount would keep the mount."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside import enclosure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.mounts import (
    BindStep,
    BindWithinStep,
    MaskStep,
    ReadOnlyStep,
    SealStep,
)

pytestmark = pytest.mark.root

NO_ATTRIBUTE = 1 << 40  # which no kernel knows: it answers EINVAL


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[int]:
    for name in ("here", "there", "sys/net"):
        (tmp_path / name).mkdir(parents=True)
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.finding("review-B23")
@pytest.mark.parametrize("refused", ["attributes", "attachment"])
@pytest.mark.parametrize(
    "do",
    [
        lambda root: BindStep("/usr", "/here", read_only=True).apply(root),
        lambda root: BindStep("/usr", "/here", read_only=True, recursive=True).apply(root),
        lambda root: BindWithinStep("/there", "/here").apply(root),
        lambda root: MaskStep("/here", "/usr").apply(root),
        lambda root: ReadOnlyStep("/sys", "/sys/net").apply(root),
        lambda root: SealStep("/here").apply(root),
        lambda _root: enclosure.protect_interpreter(),
    ],
    ids=["bind", "bind all", "again", "hide", "read-only", "seal", "interpreter"],
)
@pytest.mark.usefixtures("no_descriptor_left")
def test_a_step_that_is_refused_leaves_no_mount_behind(
    root: int, monkeypatch: pytest.MonkeyPatch, do: Callable[[int], None], refused: str
) -> None:
    if refused == "attributes":
        monkeypatch.setattr(syscalls, "MOUNT_ATTR_RDONLY", NO_ATTRIBUTE)
        monkeypatch.setattr(enclosure, "_HARMLESS", NO_ATTRIBUTE)
    move = syscalls.move_mount
    # The kernel refuses to attach a mount to itself too, whatever the target.
    monkeypatch.setattr(syscalls, "move_mount", lambda tree, *_target: move(tree, tree))
    with pytest.raises(OSError, match=r"Invalid argument|Too many levels|Not a directory"):
        do(root)
