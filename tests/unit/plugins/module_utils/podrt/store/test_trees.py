# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the store, their trees, and the removal of those that are no longer needed."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import resource
import stat
import tarfile
import tempfile
import time
import zlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    claims,
    index,
    layers,
    locks,
    trees,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_as_made,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    flat,
    load,
    names,
)

pytestmark = pytest.mark.root
FUTURE = time.time() + 10**6


@pytest.fixture(name="open_paths")
def _open_paths():
    """A data directory in a place that every user can walk to, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        os.chmod(base, 0o755)
        yield Paths(data=f"{base}/data", local_config=f"{base}/etc", system_config=f"{base}/lib")


def may_open(path: str) -> bool:
    """Whether a user without any privilege can open a file."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            os.close(os.open(path, os.O_PATH))
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("umask", [0o022, 0o000])
@pytest.mark.parametrize("kind", ["layer", "flat copy"])
def test_a_file_with_set_user_id_in_an_image_is_out_of_reach_for_users(
    open_paths, make_aci, entry, kind, umask
):
    manifest = {"name": "a", **({"pathWhitelist": ["/su"]} if kind == "flat copy" else {})}
    before = os.umask(umask)
    try:
        with locks.adding(open_paths):
            image = load(open_paths, make_aci(manifest, entry("su", b"#!/bin/sh", mode=0o4755)))
            (root,) = trees.lower_dirs(open_paths, trees.render(open_paths, image).tree)
        os.mkdir(open_paths.runtimes, 0o755)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(f"{root}/su").st_mode) == 0o4755
    assert stat.S_IMODE(os.stat(root).st_mode) == 0o755
    assert may_open(open_paths.runtimes)
    for path in (f"{root}/su", open_paths.trees + "/layers", open_paths.blob(image.id)):
        assert not may_open(path)


def test_what_older_versions_left_open_is_closed(open_paths, make_aci, entry):
    with locks.adding(open_paths):
        image = load(open_paths, make_aci({"name": "a"}, entry("su", b"", mode=0o4755)))
    (root,) = trees.lower_dirs(open_paths, trees.render(open_paths, image).tree)
    for path in (open_paths.cas, open_paths.trees, f"{open_paths.trees}/layers", os.path.dirname(root)):
        os.chmod(path, 0o755)
    assert may_open(f"{root}/su")
    with locks.adding(open_paths):
        assert not may_open(f"{root}/su")


def leftovers(paths: Paths) -> list[str]:
    return os.listdir(f"{paths.cas}/tmp")


@pytest.mark.behaviour("B8")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_id_is_the_hash_of_the_uncompressed_archive(paths, make_aci, entry, pack):
    data = make_aci({"name": "example.com/a"}, entry("f", b"x"))
    image = load(paths, pack(data))
    assert image.id == f"sha512-{hashlib.sha512(data).hexdigest()[:64]}"
    assert pathlib.Path(paths.blob(image.id)).read_bytes() == data


@pytest.mark.behaviour("B11", "B47")
def test_the_same_content_again_only_refreshes_what_is_known_of_it(paths, make_aci):
    data = make_aci({"name": "example.com/a"})
    first = load(paths, data)
    again = load(paths, gzip.compress(data), latest=True)
    assert (again.id, again.latest, len(index.list_images(paths))) == (first.id, True, 1)


@pytest.mark.behaviour("B11")
@pytest.mark.parametrize(
    "manifest",
    [
        {"acKind": "PodManifest", "name": "a"},
        {"name": "Not Valid"},
        {"acVersion": "one", "name": "a"},
        {},
    ],
)
def test_a_manifest_that_is_not_valid_is_refused_and_nothing_is_left(paths, make_aci, manifest):
    with pytest.raises(Corrupt, match="manifest"):
        load(paths, make_aci(manifest))
    assert leftovers(paths) == []
    assert index.list_images(paths) == ()


@pytest.mark.parametrize(
    "case", ["no manifest", "no rootfs", "something else", "truncated", "not an archive"]
)
def test_what_is_no_image_is_refused_and_nothing_is_left(paths, make_aci, make_tar, entry, case):
    data = {
        "no manifest": make_tar(entry("rootfs")),
        "no rootfs": make_tar(
            entry("manifest", b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a"}')
        ),
        "something else": make_tar(entry("rootfs"), entry("elsewhere", b"x")),
        "truncated": gzip.compress(make_aci({"name": "a"}, entry("f", os.urandom(100_000))))[:-50_000],
        "not an archive": b"hello" * 1000,
    }[case]
    with pytest.raises(Corrupt):
        load(paths, data)
    assert leftovers(paths) == []
    assert layers.list_layers(paths) == ()


def test_an_archive_that_was_cut_between_two_entries_is_not_taken_for_a_whole_one(paths, make_aci, entry):
    """The compressed data has not ended, though the entries could have."""
    data = make_aci({"name": "a"}, entry("f", b"x" * 512), entry("g", b"y" * 512))
    packer = zlib.compressobj(wbits=31)
    cut = packer.compress(data[: data.index(b"rootfs/g")]) + packer.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(Corrupt, match="truncated"):
        load(paths, cut)
    assert index.list_ids(paths) == ()


@pytest.mark.behaviour("B49")
def test_the_name_of_a_tree_is_the_hash_of_its_images():
    ids = [ImageID("sha512-" + "a" * 64), ImageID("sha512-" + "b" * 64)]
    expected = hashlib.sha512(",".join(ids).encode()).hexdigest()[:64]
    assert trees.tree_id(ids) == f"deps-sha512-{expected}"


@pytest.mark.behaviour("B49")
def test_a_tree_is_rendered_once_and_has_its_files(paths, make_aci, entry, tmp_path):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("bin"), entry("bin/sh", b"x", mode=0o755)))
    tree = trees.render(paths, image).tree
    assert (tree, trees.tree_of(paths, image.id)) == (trees.render(paths, image).tree, tree)
    assert os.path.samefile(paths.tree(tree).manifest, paths.image_manifest(image.id))
    assert trees.is_rendered(paths, tree)
    assert sorted(os.listdir(paths.tree(tree).path)) == [
        "hash",
        "image",
        "layers",
        "manifest",
        "rendered",
        "stack",
    ]
    assert all(lower.startswith(f"{paths.trees}/") for lower in trees.lower_dirs(paths, tree))
    assert names(flat(paths, tree, tmp_path)) == ["bin", "bin/sh"]


@pytest.mark.behaviour("B51")
def test_dependents_override_dependencies_and_later_ones_earlier_ones(paths, make_aci, entry, tmp_path):
    for name in ("one", "two"):
        load(
            paths,
            make_aci({"name": name}, entry("f", name.encode()), entry(name, b""), entry("g", name.encode())),
        )
    depends = [{"imageName": "one"}, {"imageName": "two"}]
    top = load(paths, make_aci({"name": "top", "dependencies": depends}, entry("g", b"top")))
    root = flat(paths, trees.render(paths, top).tree, tmp_path)
    assert names(root) == ["f", "g", "one", "two"]
    assert ((root / "f").read_text(), (root / "g").read_text()) == ("two", "top")


@pytest.mark.behaviour("B51")
def test_a_file_hides_a_directory_below_it(paths, make_aci, entry, tmp_path):
    load(paths, make_aci({"name": "base"}, entry("x"), entry("x/y", b"")))
    top = load(paths, make_aci({"name": "top", "dependencies": [{"imageName": "base"}]}, entry("x", b"file")))
    root = flat(paths, trees.render(paths, top).tree, tmp_path)
    assert names(root) == ["x"]


@pytest.mark.behaviour("B51")
def test_a_white_list_removes_all_else_from_an_image_and_from_what_is_below(paths, make_aci, entry, tmp_path):
    load(
        paths,
        make_aci({"name": "base"}, entry("etc", mode=0o700), entry("etc/a", b"a"), entry("etc/b", b"b")),
    )
    top = make_aci(
        {"name": "top", "dependencies": [{"imageName": "base"}], "pathWhitelist": ["/etc/a", "/own"]},
        entry("own", b"x"),
        entry("other", b"y"),
    )
    tree = trees.render(paths, load(paths, top)).tree
    root = flat(paths, tree, tmp_path)
    assert names(root) == ["etc", "etc/a", "own"]
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o700
    assert trees.lower_dirs(paths, tree) == (f"{paths.tree(tree).path}/rootfs",)
    assert is_as_made(paths, tree)


@pytest.mark.behaviour("B51")
@pytest.mark.parametrize("listed", ["/etc//a", "/etc/./a", "/etc/b/../a", "/etc/a/", "//etc/a"])
def test_spellings_of_a_path_on_a_white_list_are_one(paths, make_aci, entry, tmp_path, listed):
    data = make_aci({"name": "top", "pathWhitelist": [listed]}, entry("etc/a", b"a"), entry("etc/b", b"b"))
    assert names(flat(paths, trees.render(paths, load(paths, data)).tree, tmp_path)) == ["etc", "etc/a"]


@pytest.mark.finding("http-F10")
@pytest.mark.parametrize(
    "stack", ["", "\n", "layers", "../cas", "layers/../../rootfs", "/rootfs", "layers//rootfs"]
)
def test_no_damaged_stack_shows_more_than_a_tree(paths, make_aci, entry, stack):
    tree = trees.render(paths, load(paths, make_aci({"name": "a"}, entry("f", b"x")))).tree
    pathlib.Path(f"{paths.tree(tree).path}/stack").write_text(stack)
    with pytest.raises(Corrupt, match="names something that is not the root of a tree or layer"):
        trees.lower_dirs(paths, tree)


@pytest.mark.finding("http-F3")
def test_a_white_list_takes_memory_by_its_length(paths, make_aci, entry, tmp_path):
    """All directories above a path as texts would be 180 MB here."""
    deep = "/" + "/".join("a" * 2000)
    listed = [f"/{number}{deep}"[:4000] for number in range(45)]
    data = make_aci({"name": "a", "pathWhitelist": [*listed, "/f"]}, entry("f", b"x"), entry("g", b"x"))
    image = load(paths, data)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(_size() + (100 << 20)), limit[1]))
    try:
        tree = trees.render(paths, image).tree
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert names(flat(paths, tree, tmp_path)) == ["f"]


def _size() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_an_image_without_layers_is_an_empty_root(paths, tmp_path):
    tree = trees.render(paths, add_docker(paths)).tree
    assert trees.lower_dirs(paths, tree) == (f"{paths.tree(tree).path}/rootfs",)
    assert names(flat(paths, tree, tmp_path)) == []


def test_docker_layers_are_stacked_and_shared(paths, make_tar, entry, tmp_path):
    base = make_tar(entry("d"), entry("d/a", b"a"), entry("d/b", b"b"), entry("e"), entry("e/f", b""))
    upper = make_tar(
        entry("d"), entry("d/.wh.a", b""), entry("e"), entry("e/.wh..wh..opq", b""), entry("e/g", b"")
    )
    one = add_docker(paths, base)
    two = add_docker(paths, base, upper, name="example.com/other")
    root = flat(paths, trees.render(paths, two).tree, tmp_path)
    assert names(root) == ["d", "d/b", "e", "e/g"]
    assert names(flat(paths, trees.render(paths, one).tree, tmp_path)) == ["d", "d/a", "d/b", "e", "e/f"]
    assert len(layers.list_layers(paths)) == 2


def test_a_layer_may_hide_all_that_is_below_its_root(paths, make_tar, entry, tmp_path):
    """overlayfs does not check the root of a layer for that, so the layers below must not be in the stack."""
    lower = make_tar(entry("gone", b"x"), entry("d"), entry("d/gone", b"x"))
    upper = make_tar(entry(".wh..wh..opq", b""), entry("d"), entry("d/kept", b"x"))
    image = add_docker(paths, lower, upper, make_tar(entry("top", b"x")))
    tree = trees.render(paths, image).tree
    assert len(trees.lower_dirs(paths, tree)) == 2
    assert names(flat(paths, tree, tmp_path)) == ["d", "d/kept", "top"]
    assert is_as_made(paths, tree)


def test_names_that_are_not_utf8_are_names_all_the_same(paths, make_tar, entry, tmp_path):
    name = os.fsdecode(b"\xe9t\xe9")
    base = make_tar(entry(name, mode=0o711), entry(f"{name}/x", b""), format=tarfile.GNU_FORMAT)
    above = make_tar(entry(f"{name}/y", b""), format=tarfile.GNU_FORMAT)
    tree = trees.render(paths, add_docker(paths, base, above)).tree
    root = flat(paths, tree, tmp_path)
    assert names(root) == [name, f"{name}/x", f"{name}/y"]
    assert stat.S_IMODE((root / name).stat().st_mode) == 0o711


def test_a_directory_that_a_layer_only_implies_keeps_what_it_was(paths, make_tar, entry, tmp_path):
    base = make_tar(entry("var", mode=0o711), entry("var/app", mode=0o700, uid=42), entry("var/app/x", b""))
    image = add_docker(paths, base, make_tar(entry("var/app/y", b"")))
    tree = trees.render(paths, image).tree
    root = flat(paths, tree, tmp_path)
    assert [stat.S_IMODE((root / name).stat().st_mode) for name in ("var", "var/app")] == [0o711, 0o700]
    assert (root / "var/app").stat().st_uid == 42
    assert names(root) == ["var", "var/app", "var/app/x", "var/app/y"]
    assert is_as_made(paths, tree)


def test_a_directory_that_a_layer_removed_below_does_not_come_back(paths, make_tar, entry, tmp_path):
    base = make_tar(entry("var", mode=0o700), entry("var/x", b""))
    image = add_docker(paths, base, make_tar(entry(".wh.var", b"")), make_tar(entry("var/y", b"")))
    root = flat(paths, trees.render(paths, image).tree, tmp_path)
    assert names(root) == ["var", "var/y"]
    assert stat.S_IMODE((root / "var").stat().st_mode) == 0o755


def test_lists_of_layers_are_read_whatever_their_number(paths):
    """2000 layers, 144 kB of IDs: more than the bound on files of a few bytes."""
    ids = tuple(f"sha256:{number:064x}" for number in range(2000))
    wanted = {f"{number:024d}" for number in range(2000)}
    tree = trees.tree_id([ImageID("sha512-" + "ab" * 32)])
    os.makedirs(paths.tree(tree).path)
    written = {
        "layers": "\n".join(ids),
        "stack": "\n".join(f"layers/{name}/rootfs" for name in sorted(wanted)),
        "rendered": "",
    }
    for name, text in written.items():
        pathlib.Path(f"{paths.tree(tree).path}/{name}").write_text(text)
    assert set(trees.layer_names(paths, tree)) == wanted
    assert len(trees.lower_dirs(paths, tree)) == 2000
    assert is_as_made(paths, tree) is False  # after reading them all: no layer exists
    claimed = [f"sha256:{name}" + "0" * 40 for name in wanted]
    with claims.claimed(paths, claimed):
        assert claims.claimed_names(paths) == wanted


def test_more_layers_than_mount_takes_names_of_are_laid_into_one(paths, make_tar, entry, tmp_path):
    archives = [make_tar(entry(f"f{number}", b"x")) for number in range(100)]
    tree = trees.render(paths, add_docker(paths, *archives)).tree
    assert len(trees.lower_dirs(paths, tree)) == 1
    assert len(names(flat(paths, tree, tmp_path))) == 100


def test_a_copy_keeps_links_owners_times_and_attributes(paths, make_tar, entry, tmp_path):
    headers = {"SCHILY.xattr.user.colour": "blue"}
    base = make_tar(
        entry("d", mode=0o750, mtime=1000),
        entry("d/f", b"x", uid=5, gid=6, mode=0o4711, mtime=2000, pax_headers=headers),
        entry("d/hard", b"", type=b"1", linkname="d/f"),
        entry("d/soft", b"", type=b"2", linkname="f"),
        entry("d/null", b"", type=b"3", devmajor=1, devminor=3),
    )
    root = flat(paths, trees.render(paths, add_docker(paths, base)).tree, tmp_path)
    info = (root / "d/f").stat()
    assert (info.st_uid, info.st_gid, info.st_mtime, stat.S_IMODE(info.st_mode)) == (5, 6, 2000, 0o4711)
    assert (root / "d/hard").stat().st_ino == info.st_ino
    assert os.readlink(root / "d/soft") == "f"
    assert (root / "d/null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(root / "d/f", "user.colour") == b"blue"
    assert (root / "d").stat().st_mtime == 1000


@pytest.mark.behaviour("B50")
@pytest.mark.parametrize("change", ["content", "mode", "time", "new", "gone", "owner", "attribute", "link"])
def test_verify_finds_every_change(paths, make_aci, entry, change):
    image = load(
        paths,
        make_aci(
            {"name": "example.com/a"},
            entry("d"),
            entry("d/f", b"content"),
            entry("d/hard", b"", type=b"1", linkname="d/f"),
            entry("d/x", b"x", pax_headers={"SCHILY.xattr.user.a": "b"}),
            entry("l", b"", type=b"2", linkname="d"),
        ),
    )
    tree = trees.render(paths, image).tree
    assert is_as_made(paths, tree)
    file = pathlib.Path(trees.lower_dirs(paths, tree)[0]) / "d/f"
    before = file.stat()

    def rewrite() -> None:
        file.write_bytes(b"CONTENT")
        os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))

    {
        "content": rewrite,
        "mode": lambda: file.chmod(0o600),
        "time": lambda: os.utime(file, (1, 1)),
        "new": (file.parent / "new").touch,
        "gone": file.unlink,
        "owner": lambda: os.chown(file, 1, 1),
        "attribute": lambda: os.setxattr(file, "user.x", b"y"),
        "link": lambda: ((file.parent.parent / "l").unlink(), os.symlink("x", file.parent.parent / "l")),
    }[change]()
    assert not is_as_made(paths, tree)


def test_the_layer_of_an_aci_is_made_again_from_its_archive(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("f", b"x")))
    tree = trees.render(paths, image).tree
    layers.remove_layer(paths, layers.layer_name(image.id))
    assert not trees.is_rendered(paths, tree)
    trees.render(paths, image)
    assert is_as_made(paths, tree)


def test_a_damaged_archive_is_not_unpacked_again(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("f", b"content")))
    layers.remove_layer(paths, layers.layer_name(image.id))
    blob = pathlib.Path(paths.blob(image.id))
    blob.write_bytes(blob.read_bytes().replace(b"content", b"CONTENT"))
    with pytest.raises(Corrupt, match="damaged"):
        trees.render(paths, image)
    assert layers.list_layers(paths) == ()


def test_a_docker_layer_that_is_gone_is_said_to_be(paths, make_tar, entry):
    image = add_docker(paths, make_tar(entry("f", b"x")))
    layers.remove_layer(paths, layers.layer_name(image.layers[0]))
    with pytest.raises(NotFound, match=image.layers[0]):
        trees.render(paths, image)


def test_a_layer_with_another_diff_id_is_untrusted_and_nothing_is_left(paths, make_tar, entry):
    with pytest.raises(Untrusted), Workspace(paths) as workspace:
        layers.unpack_layer(workspace, "sha256:" + "0" * 64, iter([make_tar(entry("f", b"x"))]))
    assert leftovers(paths) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(paths):
    with Workspace(paths) as mine:
        pathlib.Path(f"{paths.cas}/tmp/dead").mkdir()
        with Workspace(paths):
            assert not os.path.exists(f"{paths.cas}/tmp/dead")
            assert os.path.isdir(mine.path)


def test_a_half_made_tree_is_made_again(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("f", b"x")))
    tree = trees.tree_of(paths, image.id)
    os.makedirs(f"{paths.tree(tree).path}/rootfs")
    assert not trees.is_rendered(paths, tree)
    trees.render(paths, image)
    assert trees.is_rendered(paths, tree)


@pytest.mark.slow
def test_the_same_docker_source_has_the_same_id_whenever_and_wherever(paths, tmp_path, make_tar, entry):
    data = make_tar(entry("f", b"x"))
    first = add_docker(paths, data)
    time.sleep(1.1)
    assert add_docker(Paths(data=str(tmp_path / "elsewhere")), data).id == first.id
