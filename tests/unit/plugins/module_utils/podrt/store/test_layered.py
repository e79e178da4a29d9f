# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers read as the kernel shows them."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import stat
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.execution import program_path
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.roots import MountedRoot
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.layered import (
    Covered,
    LayeredRoot,
)

NAMES = ("a", "b", "c")
TARGETS = ("a", "../b", "/c/a", "/", ".", "../../../../etc", "b/../c", "/nowhere")


def path_of(chance: random.Random, depth: int = 4) -> str:
    return "/" + "/".join(chance.choice((*NAMES, "..", ".")) for _part in range(chance.randint(1, depth)))


def grow(chance: random.Random, layer: pathlib.Path, depth: int = 0) -> None:
    """Fill a layer with anything that a layer can have."""
    for name in NAMES:
        place, kind = (
            layer / name,
            chance.choice(("dir", "dir", "file", "link", "whiteout", "opaque", "none")),
        )
        if kind in ("dir", "opaque") and depth < 3:
            place.mkdir()
            if kind == "opaque":
                os.setxattr(place, "trusted.overlay.opaque", b"y")
            grow(chance, place, depth + 1)
        elif kind == "file":
            place.write_text(f"{layer}/{name}")
        elif kind == "link":
            place.symlink_to(chance.choice(TARGETS))
        elif kind == "whiteout":
            os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))


def told(look: object, path: str) -> object:
    """The result of a lookup: the kind of a file with its size, or the number of the error."""
    try:
        found = look(path)  # type: ignore[operator]
    except OSError as err:
        return err.errno
    size = found.st_size if not stat.S_ISDIR(found.st_mode) else 0
    return found.st_mode, found.st_uid, size


@pytest.mark.root
@pytest.mark.finding("use-N7")
@pytest.mark.parametrize("seed", range(12))
def test_every_path_leads_where_the_kernel_says(tmp_path: pathlib.Path, seed: int) -> None:
    chance = random.Random(seed)
    layers = [tmp_path / f"layer{number}" for number in range(3)]
    for layer in layers:
        layer.mkdir()
        grow(chance, layer)
    merged = tmp_path / "merged"
    merged.mkdir()
    syscalls.mount("overlay", str(merged), "overlay", 0, f"lowerdir={':'.join(map(str, layers))}")
    fd = os.open(merged, os.O_PATH)
    try:
        ours, kernels = LayeredRoot([str(layer) for layer in layers]), MountedRoot(fd)
        for path in [path_of(chance) for _path in range(300)]:
            assert told(ours.look, path) == told(kernels.look, path), path
            assert told(ours.state, path) == told(kernels.state, path), path
    finally:
        os.close(fd)
        syscalls.umount(str(merged), syscalls.MNT_DETACH)


@pytest.mark.parametrize("path", ["/data", "/data/x", "/link/x", "/etc/../data", "/up"])
def test_what_is_mounted_over_is_not_the_images(tmp_path: pathlib.Path, path: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "up").symlink_to("/data/y")
    root = LayeredRoot([str(tmp_path)], ["/data"])
    with pytest.raises(Covered):
        root.look(path)
    assert stat.S_ISDIR(root.look("/etc").st_mode)


def test_a_file_is_read_through_links_and_a_pipe_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("of the image")
    (tmp_path / "users").symlink_to("/../etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    root = LayeredRoot([str(tmp_path)])
    assert root.read("/users") == b"of the image"
    with pytest.raises(OSError, match="not a regular file"):
        root.read("/pipe")
    with pytest.raises(OSError) as caught:
        root.read("/users/x")
    assert caught.value.errno == errno.ENOTDIR


@pytest.mark.finding("http-F2")
@pytest.mark.parametrize("kind", ["layers", "root"])
def test_what_is_no_file_is_not_even_opened(tmp_path: pathlib.Path, kind: str) -> None:
    """Opening a device of an image, which is one of the host's, may have effects; here a pipe's writer detects it."""
    os.mkfifo(tmp_path / "passwd")
    fd = os.open(tmp_path, os.O_PATH)
    root = LayeredRoot([str(tmp_path)]) if kind == "layers" else MountedRoot(fd)
    opened = threading.Event()

    def write() -> None:
        os.close(os.open(tmp_path / "passwd", os.O_WRONLY))
        opened.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for look in (root.read, root.open):
            with pytest.raises(OSError, match="it is not a regular file"):
                look("/passwd")
        assert not opened.wait(0.2)
    finally:
        os.close(os.open(tmp_path / "passwd", os.O_RDONLY | os.O_NONBLOCK))
        writer.join()
        os.close(fd)


def chained(image: pathlib.Path, links: int, length: int) -> None:
    """Make links l0, l1 ... that each lead to the next one by a long path, the last to nothing."""
    (image / "a").mkdir(parents=True)
    for number in range(links):
        after = f"l{number + 1}" if number + 1 < links else "none"
        (image / f"l{number}").symlink_to("/" + "a/../" * (length // 5) + after)


@pytest.mark.finding("a4-F4")
def test_long_links_of_many_directories_cost_no_time(tmp_path: pathlib.Path) -> None:
    """Even if each directory of PATH is another link to the same chain of links."""
    chained(tmp_path, 39, 4000)
    for number in range(400):
        (tmp_path / f"p{number}").symlink_to("l0")
    root = LayeredRoot([str(tmp_path)])
    began = time.process_time()
    for search in (":".join(["/l0"] * 400), ":".join(f"/p{number}" for number in range(400))):
        with pytest.raises(NotFound, match='error looking up "prog"'):
            program_path(root, "prog", search, "/")
    assert time.process_time() - began < 2


@pytest.mark.finding("a4-F4")
@pytest.mark.parametrize(("links", "length"), [(3, 4000), (38, 250)])
def test_links_that_say_too_much_are_not_followed(tmp_path: pathlib.Path, links: int, length: int) -> None:
    chained(tmp_path, links, length)
    with pytest.raises(OSError, match="the symbolic links on the way are too long") as caught:
        LayeredRoot([str(tmp_path)]).look("/l0")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.finding("a4-F4")
def test_links_of_all_lookups_count_together_and_short_ones_are_followed_on(tmp_path: pathlib.Path) -> None:
    (tmp_path / "far").symlink_to("/" + "./" * 2000)
    (tmp_path / "near").symlink_to("/")
    root = LayeredRoot([str(tmp_path)])
    for _time in range(60):
        root.look("/far")
    with pytest.raises(OSError, match="the symbolic links on the way are too long"):
        for _time in range(10):
            root.look("/far")
    plain = LayeredRoot([str(tmp_path)])
    for _time in range(1000):
        plain.look("/near")


@pytest.mark.finding("a4-F4")
def test_of_a_long_path_the_first_directories_are_searched(tmp_path: pathlib.Path) -> None:
    """Each counts once, however often it is repeated."""
    for number in (127, 128):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / f"prog{number}").touch(mode=0o755)
    search = ":".join(f"/d{number}:/d0" for number in range(129))
    root = LayeredRoot([str(tmp_path)])
    assert program_path(root, "prog127", search, "/") == "/d127/prog127"
    with pytest.raises(NotFound) as caught:
        program_path(root, "prog128", search, "/")
    assert "only the first 128 of the 129 directories of PATH are searched" in caught.value.hint
