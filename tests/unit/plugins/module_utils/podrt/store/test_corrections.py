# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that get the attributes that they have in a layer below."""

from __future__ import annotations

import os
import pathlib
import random
import stat

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import corrections
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.layers import Layer

NAMES = ("a", "b", "c")
IMPLIED = (0o755, 0, 0)


def grow(chance: random.Random, place: pathlib.Path, path: str = "", depth: int = 0) -> list[str]:
    """Fill a layer with anything that a layer can have; return the directories that no entry described."""
    implied = []
    for name in NAMES:
        kind = chance.choice(
            ("dir", "dir", "implied", "implied", "opaque", "file", "link", "whiteout", "none")
        )
        child, inner = place / name, f"{path}/{name}".lstrip("/")
        if kind in ("dir", "implied", "opaque") and depth < 3:
            child.mkdir(mode=0o755)
            if kind == "implied":
                implied.append(inner)
            else:
                os.chmod(child, chance.choice((0o755, 0o700)))
            if kind == "opaque":
                os.setxattr(child, "trusted.overlay.opaque", b"y")
            implied += grow(chance, child, inner, depth + 1)
        elif kind == "file":
            child.write_text("x")
        elif kind == "link":
            child.symlink_to(chance.choice(NAMES))
        elif kind == "whiteout":
            os.mknod(child, stat.S_IFCHR, os.makedev(0, 0))
    return implied


def look(root: str, path: str) -> tuple[bool, bool]:
    """Whether a layer has a directory, and whether it hides those below; component by component."""
    at, hides = root, corrections.is_opaque(root)
    for component in filter(None, path.split("/")):
        at = f"{at}/{component}"
        if not os.path.lexists(at):
            return False, hides
        if os.path.islink(at) or not os.path.isdir(at):
            return False, True
        hides = hides or corrections.is_opaque(at)
    return True, hides


def described(path: str, roots: tuple[str, ...], stack: tuple[Layer, ...]) -> str:
    """The topmost directory of a path that an entry described."""
    for root, layer in zip(roots, stack):
        is_dir, is_last = look(root, path)
        if is_dir and path not in layer.implied:
            return f"{root}/{path}" if path else root
        if is_last:
            return ""
    return ""


def expected(roots: tuple[str, ...], stack: tuple[Layer, ...]) -> dict[str, str]:
    """The definition, each path looked up on its own."""
    found = {}
    for path in {path for layer in stack for path in layer.implied}:
        origin = described(path, roots, stack)
        if not origin:
            continue
        info = os.lstat(origin)
        if (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == IMPLIED:
            continue
        parts = path.split("/") if path else []
        for length in range(len(parts) + 1):
            above = "/".join(parts[:length])
            if described(above, roots, stack):
                found[above] = described(above, roots, stack)
    return found


@pytest.mark.root
@pytest.mark.parametrize("seed", range(60))
def test_each_directory_is_that_of_the_topmost_entry(tmp_path: pathlib.Path, seed: int) -> None:
    """Walking all layers at once finds what looking up each path in each layer finds."""
    chance = random.Random(seed)
    stack, roots = [], []
    for number in range(chance.randint(1, 5)):
        root = tmp_path / str(number)
        root.mkdir(mode=0o755)
        os.chmod(root, chance.choice((0o755, 0o711)))
        names = grow(chance, root) + chance.choice(([""], []))
        stack.append(Layer(f"sha256:{number}", 0, "", tuple(names)))
        roots.append(str(root))
    found = corrections.find(tuple(roots), tuple(stack))
    clean = {path: place.rstrip("/") for path, place in found.items()}
    assert clean == expected(tuple(roots), tuple(stack))


@pytest.mark.timeout(30)
@pytest.mark.finding("a4-F5")
@pytest.mark.parametrize("layers", [41])
def test_cost_is_that_of_what_the_layers_hold(tmp_path: pathlib.Path, layers: int) -> None:
    """Neither depth nor the number of layers multiplies the directories of one layer."""
    deep = "/".join(["d"] * 100)
    above = tuple("/".join(["d"] * length) for length in range(101))
    roots, stack = [], []
    for number in range(layers):
        root = tmp_path / str(number)
        (root / deep).mkdir(parents=True, mode=0o755)
        roots.append(str(root))
        stack.append(Layer(f"sha256:{number}", 0, "", above))
    inner = tuple(f"{deep}/f{number}" for number in range(500))
    for path in inner:
        (tmp_path / "0" / path).mkdir(mode=0o755)
    stack[0] = Layer("sha256:0", 0, "", above + inner)
    assert corrections.find(tuple(roots), tuple(stack)) == {}


@pytest.mark.finding("a4-F5")
def test_directories_without_entries_have_a_bound() -> None:
    """All layers of an image together."""
    names = tuple(f"d{number}" for number in range(250_001))
    stack = (Layer("sha256:a", 0, "", names), Layer("sha256:b", 0, "", names))
    with pytest.raises(Corrupt, match="more than 500000 directories in all that no entry describes"):
        corrections.find((), stack)
