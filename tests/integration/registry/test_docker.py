# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker images from a real registry."""

from __future__ import annotations

import itertools
import os
import pathlib
import stat
import subprocess
import sys
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    NotFound,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, layers, trees
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import layer
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_as_made,
)

pytestmark = pytest.mark.root
NEW = FetchPolicy("new", ("image",))
UPDATE = FetchPolicy("update", ("image",))
NEVER = FetchPolicy("never", ("image",))
RUNTIME = pathlib.Path(__file__).parents[3] / "plugins/module_utils"
_numbers = itertools.count()


def fetch(host, reference, policy=NEW):
    return fetching.fetch(host, parse_reference(reference), policy, lambda _line: None)


@pytest.fixture(name="push")
def _push(registry, layout):
    """Push an image under its own name; return its reference."""

    def push(*archives, name="", top=None, **options):
        name = name or f"test{next(_numbers)}/image"
        layout.push(top or layout.image(*archives, **options), f"{registry.address}/{name}:latest")
        return f"docker://{registry.address}/{name}:latest"

    return push


def root_of(host, image):
    target = pathlib.Path(host.paths.data) / f"copy-{os.urandom(4).hex()}"
    target.mkdir()
    trees.copy_tree(host.paths, trees.tree_of(host.paths, image.id), str(target))
    return target


def is_empty_of_leftovers(host):
    return os.listdir(f"{host.paths.cas}/tmp") == []


@pytest.mark.behaviour("B39", "B40", "B41", "B42", "B43", "B44")
def test_an_image_is_converted_and_its_tree_rendered(host, push, registry):
    reference = push(
        layer(("bin", None), ("bin/sh", b"x")),
        Entrypoint=["/bin/sh"],
        Cmd=["-c", "true"],
        Env=["A=1", "NOTHING", "B=x=y"],
        User="app:staff",
        WorkingDir="/srv",
        ExposedPorts={"80/tcp": {}, "53/udp": {}},
        Volumes={"/var/tmp": {}},
    )
    image = fetch(host, reference)
    manifest, app = image.manifest, image.manifest.app
    assert manifest.name == reference[len("docker://") : -len(":latest")].replace(":", "_")
    assert manifest.labels.pairs == (("arch", "amd64"), ("os", "linux"), ("version", "latest"))
    assert (app.exec, app.user, app.group) == (("/bin/sh", "-c", "true"), "app", "staff")
    assert app.environment == (("A", "1"), ("B", "x=y"))
    assert [(port.name, port.protocol, port.port) for port in app.ports] == [
        ("53-udp", "udp", 53),
        ("80-tcp", "tcp", 80),
    ]
    assert [(point.name, point.path) for point in app.mount_points] == [("volume-var-tmp", "/var/tmp")]
    assert manifest.of_docker_origin
    assert image.latest
    assert (root_of(host, image) / "bin/sh").read_bytes() == b"x"


def test_the_same_image_has_the_same_id_on_every_host(host, push, tmp_path):
    reference = push(layer(("f", b"x")))
    other = Host.here(Paths(data=str(tmp_path / "other")))
    assert fetch(host, reference).id == fetch(other, reference).id


@pytest.mark.parametrize("pack", ["gzip", "zstd", ""], ids=["gzip", "zstd", "plain"])
def test_layers_of_every_compression_are_read(host, push, pack):
    image = fetch(host, push(layer(("f", b"x" * 100_000)), layer(("g", b"y")), pack=pack))
    assert sorted(path.name for path in root_of(host, image).iterdir()) == ["f", "g"]


def test_an_overlay_and_a_copy_show_what_the_layers_mean(host, push, tmp_path):
    base = layer(
        ("d", None),
        ("d/gone", b"1"),
        ("d/kept", b"1"),
        ("o", None),
        ("o/old", b"1"),
        ("r", None),
        ("r/x", b"1"),
    )
    middle = layer(
        ("d", None),
        ("d/.wh.gone", b""),
        ("o", None),
        ("o/.wh..wh..opq", b""),
        ("o/new", b"2"),
        (".wh.r", b""),
    )
    top = layer(("d/back", b"3"), ("r/y", b"3"))
    image = fetch(host, push(base, middle, top))
    copy = root_of(host, image)
    wanted = ["d", "d/back", "d/kept", "o", "o/new", "r", "r/y"]
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == wanted
    lower = trees.lower_dirs(host.paths, trees.tree_of(host.paths, image.id))
    (tmp_path / "mnt").mkdir()
    mounted = tmp_path / "mnt"
    command = (
        f'mount -t overlay none -o "lowerdir={":".join(lower)}" {mounted} && cd {mounted} && find . | sort'
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", command],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode().split() == [".", *(f"./{name}" for name in wanted)]


@pytest.mark.behaviour("B39")
@pytest.mark.parametrize(
    ("arch", "wanted"),
    [("amd64", b"amd64"), ("aarch64", b"arm64"), ("armv7l", b"armv7"), ("armv6l", b"armv6")],
)
def test_an_index_gives_the_image_of_this_platform(host, push, layout, arch, wanted):
    index_of_all = layout.index(
        layout.image(layer(("arch", b"armv6")), arch="arm", variant="v6"),
        layout.image(layer(("arch", b"armv7")), arch="arm", variant="v7"),
        layout.image(layer(("arch", b"arm64")), arch="arm64", variant="v8"),
        layout.image(layer(("arch", b"amd64")), arch="amd64"),
    )
    host = host.replace(arch=arch)
    image = fetch(host, push(top=index_of_all))
    assert (root_of(host, image) / "arch").read_bytes() == wanted
    assert image.manifest.labels.get("arch") == arch


def test_an_index_without_this_platform_says_what_it_offers(host, push, layout):
    only = layout.index(layout.image(layer(("f", b"")), arch="s390x"))
    with pytest.raises(NotFound, match="offers s390x"):
        fetch(host, push(top=only))


def test_a_reference_by_digest_is_that_image(host, push, layout, registry):
    top = layout.image(layer(("f", b"by digest")))
    reference = push(top=top).rpartition(":")[0] + f"@{top['digest']}"
    image = fetch(host, reference)
    assert image.manifest.version is None
    assert registry.during(lambda: fetch(host, reference, UPDATE)) == []


# Pull policies, by what the registry saw.


@pytest.mark.behaviour("B38", "B40")
def test_new_asks_nothing_when_the_image_is_there(host, push, registry):
    reference = push(layer(("f", b"1")))
    fetch(host, reference)
    assert registry.during(lambda: fetch(host, reference)) == []


def test_update_of_an_unchanged_image_is_one_head(host, push, registry):
    reference = push(layer(("f", b"2")))
    image = fetch(host, reference)
    assert registry.during(lambda: fetch(host, reference, UPDATE)) == ["HEAD manifests/latest"]
    parsed = parse_reference(reference)
    assert registry.during(lambda: fetching.is_current(host, parsed, UPDATE, image)) == [
        "HEAD manifests/latest"
    ]


def test_update_of_a_changed_image_sends_the_new_layer_alone(host, push, registry):
    base = layer(("base", b"b" * 1000))
    first = fetch(host, push(base, layer(("f", b"old")), name="changing/image"))
    reference = push(base, layer(("f", b"new")), name="changing/image")
    assert not fetching.is_current(host, parse_reference(reference), UPDATE, first)
    assert fetch(host, reference).id == first.id
    asked = registry.during(lambda: fetch(host, reference, UPDATE))
    assert [line.split()[0] for line in asked] == ["HEAD", "GET", "GET", "GET"]
    assert sum("blobs/" in line for line in asked) == 2, "the configuration and one layer"
    found = find.lookup(host, parse_reference(reference))
    assert found.id != first.id
    assert (root_of(host, found) / "f").read_bytes() == b"new"


@pytest.mark.behaviour("B16")
def test_never_asks_nothing_and_says_so(host, push, registry):
    reference = push(layer(("f", b"3")))

    def never():
        with pytest.raises(NotFound, match="unable to fetch docker image from URL") as caught:
            fetch(host, reference, NEVER)
        assert "either image was not found in the store" in str(caught.value)

    assert registry.during(never) == []
    fetch(host, reference)
    assert registry.during(lambda: fetch(host, reference, NEVER)) == []


@pytest.mark.behaviour("B27")
def test_a_docker_image_needs_insecure_image(host, push, registry):
    reference = push(layer(("f", b"4")))
    with pytest.raises(Untrusted, match=r"not supported \(try --insecure-options=image\)"):
        fetch(host, reference, FetchPolicy())


def test_layers_are_shared_between_images(host, push, registry):
    base = layer(("base", b"shared" * 1000))
    fetch(host, push(base, layer(("one", b""))))
    second = push(base, layer(("two", b"")))
    assert sum("blobs/" in line for line in registry.during(lambda: fetch(host, second))) == 2


def test_what_gc_took_is_fetched_again(host, push):
    reference = push(layer(("f", b"5")))
    image = fetch(host, reference)
    layers.remove_layer(host.paths, layers.layer_name(image.layers[0]))
    assert find.lookup(host, parse_reference(reference)) is None
    assert fetch(host, reference).id == image.id
    gc.collect(host.paths, lambda: ((), ()), 10**12)
    assert find.lookup(host, parse_reference(reference)) is None
    assert fetch(host, reference).id == image.id


# Many at once, killed fetches, and registries that lie.

CHILD = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.image.fetch import fetch
from podrt.image.policy import FetchPolicy
from podrt.image.reference import parse_reference
print(fetch(Host.here(Paths(data=sys.argv[2])), parse_reference(sys.argv[3]), FetchPolicy("new", ("image",)), len).id)
"""


def spawn(host, reference):
    argv = [sys.executable, "-c", CHILD, str(RUNTIME), host.paths.data, reference]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_sixteen_processes_cause_one_download(host, push, registry):
    archives = [layer((f"f{number}", os.urandom(300_000))) for number in range(4)]
    one, other = push(*archives), push(*reversed(archives))

    def all_at_once():
        children = [spawn(host, reference) for reference in (one, other) for _other in range(8)]
        ends = [child.communicate() for child in children]
        assert [child.returncode for child in children] == [0] * 16, ends
        assert len({out for out, _other in ends}) == 2

    asked = registry.during(all_at_once)
    sent = [line for line in asked if line.startswith("GET blobs/")]
    assert len(sent) == len(set(sent)) == 4 + 2, "each layer and each configuration once"
    assert len([line for line in asked if "manifests/" in line]) == 2
    assert is_empty_of_leftovers(host)
    for image in index.list_images(host.paths):
        assert is_as_made(host.paths, trees.tree_of(host.paths, image.id))


@pytest.mark.parametrize("delay", [0.15, 0.25, 0.35, 0.5])
def test_a_fetch_that_is_killed_leaves_nothing_in_the_way(host, push, delay):
    reference = push(*(layer((f"f{n}", os.urandom(6_000_000))) for n in range(4)))
    child = spawn(host, reference)
    time.sleep(delay)
    child.kill()
    child.communicate()
    image = fetch(host, reference)
    assert is_as_made(host.paths, trees.tree_of(host.paths, image.id))
    assert is_empty_of_leftovers(host)


@pytest.mark.parametrize("lie", ["other", "short", "not gzip"])
def test_a_layer_that_is_not_what_its_digest_says_is_refused(host, push, layout, registry, lie):
    top = layout.image(layer(("secret", os.urandom(50_000))), layer(("fine", b"x")))
    reference = push(top=top)
    manifest = (layout.path / "blobs/sha256" / top["digest"].partition(":")[2]).read_text()
    digest = manifest.partition('"layers": [')[2].partition('"digest": "')[2].partition('"')[0]
    blob = registry.blob_path(digest)
    good = blob.read_bytes()
    bad = {"other": good[:-9] + b"123456789", "short": good[:-100], "not gzip": b"x" * len(good)}[lie]
    blob.write_bytes(bad)
    try:
        with pytest.raises((Untrusted, Corrupt, Unreachable)):
            fetch(host, reference)
    finally:
        blob.write_bytes(good)
    assert is_empty_of_leftovers(host)
    assert index.list_images(host.paths) == ()
    assert fetch(host, reference)


def test_a_hostile_layer_writes_nothing_outside(host, push, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = layer(("evil", str(outside)), ("evil/pwned", b"x"))
    with pytest.raises(Corrupt, match="evil"):
        fetch(host, push(evil))
    assert list(outside.iterdir()) == []
    assert is_empty_of_leftovers(host)


def test_setuid_devices_and_owners_come_through(host, push):
    image = fetch(
        host,
        push(
            layer(
                ("su", {"mode": 0o4755, "uid": 0}),
                ("null", {"type": b"3", "devmajor": 1, "devminor": 3, "mode": 0o666}),
                ("owned", {"uid": 1000, "gid": 1001}),
            )
        ),
    )
    root = root_of(host, image)
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o4755
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert ((root / "owned").stat().st_uid, (root / "owned").stat().st_gid) == (1000, 1001)


@pytest.mark.parametrize("where", ["nothing", "nothing:missing"])
def test_an_image_that_does_not_exist_is_not_found(host, registry, where):
    with pytest.raises(NotFound, match="404"):
        fetch(host, f"docker://{registry.address}/{where}")


def test_a_registry_that_does_not_answer_is_unreachable(host):
    with pytest.raises(Unreachable, match="refused"):
        fetch(host, "docker://127.0.0.1:9/x")


@pytest.mark.behaviour("A58", "B50")
def test_a_damaged_layer_is_taken_out_and_the_next_fetch_heals_the_image(push, tmp_path):
    reference = push(layer(("f", b"right")), layer(("g", b"other")))
    pods = PodHost(tmp_path / "pods", "")
    try:
        key = pods.ok("fetch", "--full", reference)
        (damaged,) = (path for path in pods.data.glob("tree/layers/*/rootfs/f") if path.is_file())
        status = damaged.stat()
        damaged.write_bytes(b"wrong")
        os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
        done = pods.podctl("image", "verify", key)
        assert done.status == 254 and " differs from what was unpacked" in done.err
        assert not damaged.exists()
        assert pods.ok("fetch", "--full", "--pull-policy=new", reference) == key
        assert damaged.read_bytes() == b"right"
        done = pods.podctl("image", "verify", key)
        assert (done.status, done.err) == (0, "")
    finally:
        pods.close()
