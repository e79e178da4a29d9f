# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images saved by other tools, in the forms that they write."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, trees
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import layer

pytestmark = pytest.mark.root
TRUSTING = FetchPolicy("new", ("image",))
LAYERS = (
    layer(("bin", None), ("bin/sh", b"low"), ("gone", b"")),
    layer((".wh.gone", b""), ("bin/sh", b"high")),
)


def fetch(host, reference, policy=TRUSTING):
    return fetching.fetch(host, parse_reference(reference), policy, lambda _line: None)


def skopeo(source, target, *flags):
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", *flags, source, target],
        check=True,
        capture_output=True,
    )


def content(host, image):
    """The files of an image's tree, merged."""
    target = pathlib.Path(host.paths.data) / f"copy-{os.urandom(4).hex()}"
    target.mkdir()
    trees.copy_tree(host.paths, image.tree, str(target))
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


@pytest.fixture(name="pushed")
def _pushed(registry, layout):
    """An image in the registry, by its reference without docker://."""
    name = f"{registry.address}/saved{os.urandom(4).hex()}/app:1.0"
    layout.push(layout.image(*LAYERS, Cmd=["/bin/sh"]), name)
    return name


FORMS = {
    "docker-archive": "docker-archive:{path}.tar:example.com/app:1.0",
    "docker-archive without a name": "docker-archive:{path}.tar",
    "oci-archive": "oci-archive:{path}.tar:1.0",
    "oci-archive without a name": "oci-archive:{path}.tar",
    "oci": "oci:{path}:1.0",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_skopeo_saves_has_the_files_and_the_program_of_the_image(host, pushed, tmp_path, form):
    text = FORMS[form].format(path=tmp_path / "saved")
    skopeo(f"docker://{pushed}", text, "--src-tls-verify=false")
    image = fetch(host, text)
    assert content(host, image) == {"bin/sh": b"high"}
    assert image.manifest.app.exec == ("/bin/sh",)
    direct = fetch(host, f"docker://{pushed}")
    assert image.layers == direct.layers
    # It is stored, and reading its documents alone shows that it is the same.
    assert find.lookup(host, parse_reference(text)).id == image.id
    os.utime(tmp_path / ("saved/index.json" if form == "oci" else "saved.tar"))
    assert find.lookup(host, parse_reference(text)) is None
    assert find.source_of(host, parse_reference(text)).gives(image)
    assert not find.source_of(host, parse_reference(text)).gives(direct)  # which has another name


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_podman_saves_is_read(host, pushed, tmp_path, form):
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    runroot = tempfile.mkdtemp(prefix="podman")  # a path of more than 50 characters is refused
    podman = ["podman", "--root", f"{tmp_path}/root", "--runroot", runroot, "--storage-driver", "vfs"]
    out = tmp_path / "saved.tar"
    for words in (
        ["pull", "--quiet", "--tls-verify=false", pushed],
        ["tag", pushed, "example.com/app:1.0", "example.com/app:stable"],
        ["save", "--quiet", f"--format={form}", "-o", str(out), "example.com/app:1.0"],
    ):
        done = subprocess.run([*podman, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    try:
        image = fetch(host, f"{form}:{out}")
        assert content(host, image) == {"bin/sh": b"high"}
        assert str(image.manifest.name) == "example.com/app"
        assert dict(image.manifest.labels.pairs)["version"] == "1.0"
    finally:
        subprocess.run([*podman, "rmi", "--all", "--force"], check=True, capture_output=True)
        shutil.rmtree(runroot)


def test_one_of_several_images_is_chosen_by_name_or_by_place(host, layout, tmp_path):
    path = tmp_path / "both"
    for number in (1, 2):
        image = layout.image(layer((f"file{number}", b"")), Cmd=[f"/{number}"])
        layout.write_index(image)
        skopeo(f"oci:{layout.path}", f"oci:{path}:v{number}")
    with pytest.raises(InvalidSpec, match=r"has several images: @0 v1, @1 v2") as caught:
        fetch(host, f"oci:{path}")
    assert caught.value.hint == f"choose one by its name or its place, such as oci:{path}:@0"
    assert list(content(host, fetch(host, f"oci:{path}:v1"))) == ["file1"]
    assert list(content(host, fetch(host, f"oci:{path}:@1"))) == ["file2"]
    with pytest.raises(NotFound, match='has no image "v3": it has @0 v1, @1 v2'):
        fetch(host, f"oci:{path}:v3")


def test_nothing_of_a_damaged_one_counts(host, layout, tmp_path):
    layout.write_index(layout.image(*LAYERS))
    skopeo(f"oci:{layout.path}", f"oci:{tmp_path}/saved:1.0")
    for blob in (tmp_path / "saved/blobs/sha256").iterdir():
        data = bytearray(blob.read_bytes())
        if data.startswith(b"\x1f\x8b"):  # a layer
            data[-5] ^= 1
            blob.write_bytes(data)
    with pytest.raises((Untrusted, Corrupt)):
        fetch(host, f"oci:{tmp_path}/saved:1.0")
    assert index.list_ids(host.paths) == ()
    assert os.listdir(f"{host.paths.cas}/tmp") == []


def test_an_archive_is_not_trusted_by_its_form(host, layout):
    layout.write_index(layout.image(*LAYERS))
    with pytest.raises(Untrusted, match="it has no signature that is trusted"):
        fetch(host, f"oci:{layout.path}", FetchPolicy("new"))


def test_a_task_with_a_saved_image_changes_once(layout, tmp_path):
    layout.write_index(layout.image(*LAYERS, Cmd=["/bin/sh"]))
    skopeo(f"oci:{layout.path}", f"docker-archive:{tmp_path}/app.tar:example.com/app:1.0")
    options = {
        "data_dir": f"{tmp_path}/data",
        "config_dir": f"{tmp_path}/etc",
        "name": f"docker-archive:{tmp_path}/app.tar",
        "insecure_options": ["image"],
    }
    results = [run_task("pod_image", options, check=check)["changed"] for check in (True, False, False, True)]
    assert results == [True, True, False, False]
    os.utime(tmp_path / "app.tar")
    assert [run_task("pod_image", options, check=check)["changed"] for check in (True, False)] == [False] * 2


def test_a_kill_at_any_moment_leaves_nothing_that_counts_in_part(host, layout, tmp_path):
    layout.write_index(layout.image(*LAYERS))
    script = (
        "import os, sys, signal, threading\n"
        "threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "from podrt.host.host import Host; from podrt.host.paths import Paths\n"
        "from podrt.image import fetch; from podrt.image.policy import FetchPolicy\n"
        "from podrt.image.reference import parse_reference\n"
        "fetch.fetch(Host.here(Paths(data=sys.argv[2])), parse_reference(sys.argv[3]), "
        "FetchPolicy('new', ('image',)), print)\n"
        "os._exit(0)\n"
    )
    runtime = pathlib.Path(__file__).parents[3] / "plugins/module_utils"
    for tenth in range(1, 9):
        subprocess.run(
            [sys.executable, "-c", script, str(tenth / 50), host.paths.data, f"oci:{layout.path}"],
            env={**os.environ, "PYTHONPATH": str(runtime)},
            check=False,
            capture_output=True,
        )
        for image_id in index.list_ids(host.paths):
            image = index.get_image(host.paths, image_id)
            assert find.is_whole(host, image)
    assert content(host, fetch(host, f"oci:{layout.path}")) == {"bin/sh": b"high"}
