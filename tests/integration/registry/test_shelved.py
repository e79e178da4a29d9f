# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl image save and load: from one store to another, to and from other tools."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    Unsupported,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import load
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import shelved
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, layers, trees
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import layer

pytestmark = pytest.mark.root
TRUSTING = FetchPolicy("new", ("image",))
NEVER = FetchPolicy("never", ("image",))
PODCTL = pathlib.Path(__file__).resolve().parents[3] / "bin/podctl"
LINK, DEVICE, PIPE, LONG = tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, "long" * 40
LAYERS = (
    layer(
        ("etc", {"type": tarfile.DIRTYPE, "mode": 0o1711, "uid": 7, "gid": 3_000_000}),
        ("etc/low", b"low"),
        ("etc/same", {"type": LINK, "linkname": "etc/low"}),
        ("gone", b"gone"),
        ("full", None),
        ("full/below", b""),
    ),
    layer(
        (".wh.gone", b""),
        ("full/.wh..wh..opq", b""),
        ("full/above", {"mtime": 1_500_000_000.25, "mode": 0o4755, "uid": 5}),
        # No entry describes etc in this layer.
        ("etc/high", "low"),
        (f"d\u00e9j\u00e0/{LONG}", b"x" * 700),
        ("null", {"type": DEVICE, "devmajor": 1, "devminor": 300, "mode": 0o666}),
        ("pipe", {"type": PIPE}),
    ),
)
CONFIG = {
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["true"],
    "Env": ["A=1", "B=x=y"],
    "User": "nobody",
    "WorkingDir": "/etc",
    "ExposedPorts": {"80/tcp": {}, "90-92/udp": {}},
    "Volumes": {"/data": {}},
    "StopSignal": "SIGINT",
    "Healthcheck": {"Test": ["CMD-SHELL", "true || \u00e9"], "Interval": 5 * 10**9, "Retries": 3},
}


def fetch(host, reference, policy=TRUSTING):
    return fetching.fetch(host, parse_reference(reference), policy, lambda _line: None)


def save(host, place, *images):
    with place.open("wb") as file:
        shelved.write_archive(
            host.paths, [index.get_image(host.paths, image.id) for image in images], file.write
        )


def loaded(host, place, policy=TRUSTING):
    return [
        fetching.fetch(host, reference, policy, lambda _line: None)
        for reference in load.images_in(str(place), host.arch)
    ]


def podctl(data, *words, status=0, **given):
    argv = [PODCTL, f"--dir={data}", "--local-config=/nonexistent", *words]
    done = subprocess.run(argv, capture_output=True, check=False, **given)
    assert done.returncode == status, done.stderr.decode()
    return done


def skopeo(*words):
    done = subprocess.run(["skopeo", "--insecure-policy", *words], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(name="pushed")
def _pushed(registry, layout):
    """An image in the registry, by its reference without docker://."""
    name = f"{registry.address}/shelf{os.urandom(4).hex()}/my_app:1.0"
    layout.push(layout.image(*LAYERS, **CONFIG), name)
    return name


@pytest.fixture(name="other")
def _other(tmp_path):
    """Another host."""
    return Host.here(Paths(data=str(tmp_path / "other")))


def files_of(host, image):
    """The tree of an image: all that an app could see of each file."""
    target = f"{host.paths.data}/copy-{os.urandom(4).hex()}"
    os.mkdir(target)
    trees.copy_tree(host.paths, image.tree, target)
    found = {}
    for path in sorted(pathlib.Path(target).rglob("*")):
        info = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(target))] = (
            *(info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_rdev),
            *(what, info.st_nlink if path.is_file() else 0),
        )
    return found


def test_what_is_saved_and_loaded_is_the_same_image_under_its_name_without_a_registry(
    host, other, pushed, tmp_path
):
    image = fetch(host, f"docker://{pushed}")
    save(host, tmp_path / "saved.tar", image)
    (again,) = loaded(other, tmp_path / "saved.tar")
    assert files_of(other, again) == files_of(host, image)
    assert {"etc/same", "etc/high", "full/above", "null", "pipe"} <= set(files_of(other, again))
    assert not {"gone", "full/below"} & set(files_of(other, again))
    assert again.manifest.app == image.manifest.app
    assert again.manifest.labels == image.manifest.labels and again.manifest.name == image.manifest.name
    kept = [
        pair
        for pair in image.manifest.annotations.pairs
        if pair[0].endswith(("stopsignal", "healthcheck", "cmd", "tag"))
    ]
    assert len(kept) == 4 and set(kept) <= set(again.manifest.annotations.pairs)
    # A pod that names the registry finds it, and asks none.
    assert fetch(other, f"docker://{pushed}", NEVER).id == again.id
    # What was loaded is saved byte for byte as it came.
    save(other, tmp_path / "again.tar", again)
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "saved.tar").read_bytes()


def test_layers_that_images_share_are_in_the_archive_once(host, other, registry, layout, tmp_path):
    names = [f"{registry.address}/shelf{os.urandom(4).hex()}/app:{tag}" for tag in ("one", "two")]
    for number, name in enumerate(names):
        layout.push(layout.image(LAYERS[0], layer((f"file{number}", b"x" * 40)), Cmd=["/x"]), name)
    save(host, tmp_path / "both.tar", *(fetch(host, f"docker://{name}") for name in names))
    with tarfile.open(tmp_path / "both.tar") as archive:
        found = archive.getnames()
        entries = json.load(archive.extractfile("manifest.json"))
    assert len(found) == len(set(found)) == 3 + 4 + 3  # lists, documents, layers
    assert [entry["RepoTags"] for entry in entries] == [[name] for name in names]
    assert entries[0]["Layers"][0] == entries[1]["Layers"][0]
    assert [sorted(files_of(other, image))[-1] for image in loaded(other, tmp_path / "both.tar")] == [
        "gone",
        "gone",
    ]
    for name in names:
        assert fetch(other, f"docker://{name}", NEVER)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_skopeo_reads_it_in_both_forms(host, pushed, tmp_path, form):
    save(host, tmp_path / "saved.tar", fetch(host, f"docker://{pushed}"))
    text = f"{form}:{tmp_path}/saved.tar:{pushed}"
    config = json.loads(skopeo("inspect", "--config", "--raw", text))
    assert config["config"] == CONFIG
    skopeo("copy", "--quiet", text, f"oci:{tmp_path}/copied:it")
    assert fetch(host, f"oci:{tmp_path}/copied:it")


def test_podman_loads_it_and_what_podman_saves_is_loaded(host, other, pushed, tmp_path):
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    image = fetch(host, f"docker://{pushed}")
    save(host, tmp_path / "saved.tar", image)
    runroot = tempfile.mkdtemp(prefix="podman")  # a path of more than 50 characters is refused
    podman = ["podman", "--root", f"{tmp_path}/root", "--runroot", runroot, "--storage-driver", "vfs"]
    try:
        for words in (
            ["load", "--quiet", "-i", f"{tmp_path}/saved.tar"],
            ["save", "--quiet", "--format=oci-archive", "-o", f"{tmp_path}/podmans.tar", pushed],
        ):
            done = subprocess.run([*podman, *words], check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        (again,) = loaded(other, tmp_path / "podmans.tar")
        assert files_of(other, again) == files_of(host, image)
        assert fetch(other, f"docker://{pushed}", NEVER).id == again.id
    finally:
        subprocess.run([*podman, "rmi", "--all", "--force"], check=True, capture_output=True)
        shutil.rmtree(runroot)


def test_nothing_is_loaded_that_no_policy_accepts(host, other, pushed, tmp_path):
    save(host, tmp_path / "saved.tar", fetch(host, f"docker://{pushed}"))
    with pytest.raises(Untrusted, match=r"cannot verify docker://.*my_app:1.0: it has no signature"):
        loaded(other, tmp_path / "saved.tar", FetchPolicy("new"))
    assert index.list_ids(other.paths) == ()
    registry = pushed.partition("/")[0]
    policies = pathlib.Path(other.paths.data) / "trust.d"
    local = Host.here(Paths(data=other.paths.data, local_config=str(policies.parent)))
    policies.mkdir(parents=True)
    for policy in ("reject", "accept"):
        document = {"rktKind": "imagePolicy", "rktVersion": "v1", "prefix": registry, "policy": policy}
        (policies / "it.json").write_text(json.dumps(document))
        if policy == "reject":
            with pytest.raises(Untrusted, match="rejects it"):
                loaded(local, tmp_path / "saved.tar")
    (image,) = loaded(local, tmp_path / "saved.tar", FetchPolicy("new"))
    assert index.get_image(local.paths, image.id).policy == f"accept {registry}"


def test_a_layer_that_is_damaged_on_disk_is_not_saved(host, pushed, tmp_path):
    image = fetch(host, f"docker://{pushed}")
    name = layers.layer_name(image.layers[-1])
    (pathlib.Path(host.paths.layer(name).root) / "etc/low").write_bytes(b"LOW")
    with pytest.raises(Corrupt, match="are not what they were"):
        save(host, tmp_path / "saved.tar", image)


def test_one_that_was_fetched_by_digest_is_loaded_under_a_new_one(host, other, pushed, tmp_path):
    digest = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{pushed}"))["Digest"]
    image = fetch(host, f"docker://{pushed.rpartition(':')[0]}@{digest}")
    save(host, tmp_path / "saved.tar", image)
    (reference,) = load.images_in(str(tmp_path / "saved.tar"), other.arch)
    assert str(reference).startswith("docker://localhost/saved@sha256:") and digest not in str(reference)
    assert fetching.fetch(other, reference, TRUSTING, lambda _line: None).layers
    assert fetch(other, str(reference), NEVER)


def test_memory_is_flat(host, registry, layout, tmp_path):
    name = f"{registry.address}/shelf{os.urandom(4).hex()}/large:1"
    layout.push(layout.image(layer(("large", bytes(64 << 20)))), name)
    image = fetch(host, f"docker://{name}")
    tracemalloc.start()
    try:
        save(host, tmp_path / "saved.tar", image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "saved.tar").stat().st_size > 64 << 20
    assert peak < 8 << 20


def test_podctl_saves_through_a_pipe_and_loads_from_one(host, other, pushed, tmp_path):
    key = str(fetch(host, f"docker://{pushed}").id)
    data = podctl(host.paths.data, "image", "save", f"docker://{pushed}", key[:40]).stdout
    done = podctl(other.paths.data, "--insecure-options=image", "image", "load", "--dry-run", "-", input=data)
    assert done.stdout.decode() == f"images.docker://{pushed}: absent -> present\n"
    assert index.list_ids(other.paths) == ()
    done = podctl(other.paths.data, "--insecure-options=image", "image", "load", "-", input=data)
    (image_id,) = index.list_ids(other.paths)
    assert done.stdout.decode() == f"{image_id[:39]} docker://{pushed}\n"
    assert os.listdir(other.paths.workspaces) == []
    out = tmp_path / "out.tar"
    podctl(host.paths.data, "image", "save", "--output", str(out), key)
    assert out.read_bytes() == data
    done = podctl(host.paths.data, "image", "save", f"--output={out}", key, status=254)
    assert b"save: output archive exists (try --overwrite)" in done.stderr
    podctl(host.paths.data, "image", "save", f"--output={out}", "--overwrite", key)
    done = podctl(other.paths.data, "image", "load", "-", input=data[: 1 << 12], status=254)
    assert b"load: standard input is truncated" in done.stderr
    done = podctl(other.paths.data, "image", "load", str(tmp_path / "none"), status=254)
    assert b"no such file" in done.stderr


def test_an_aci_is_exported_and_not_saved(host, tmp_path):
    path = tmp_path / "own.aci"
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/own"}
    path.write_bytes(layer(("manifest", json.dumps(manifest).encode()), ("rootfs", None)))
    image = fetch(host, str(path))
    with pytest.raises(Unsupported, match=r"cannot save example.com/own: it is an ACI") as caught:
        save(host, tmp_path / "saved.tar", image)
    assert "podctl image export" in caught.value.hint
    with pytest.raises(NotFound, match=r"has neither manifest.json nor index.json"):
        load.images_in(str(path), host.arch)
