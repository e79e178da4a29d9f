# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image files of a controller: what they may stand for, who is trusted, and what is known of them before they come."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    InvalidSpec,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import (
    find,
    keystore,
    openpgp,
    policies,
    publickeys,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    index,
    layers,
    pins,
    staging,
)
from ansible_collections.stagecraft.pods.plugins.plugin_utils import sending
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.savedimages import (
    LAYERS,
    Blobs,
    config_of,
    digest_of,
    docker_members,
    tar_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.sentlab import Controller

pytestmark = pytest.mark.root
WANTED = "docker://registry.example.com/app:1"
FILES = (("a.tar", LAYERS[0]), ("b.tar", LAYERS[1]))
CONFIG, OTHER = config_of(*LAYERS), config_of(*LAYERS, author="another")
PATHS = ["a.tar", "b.tar"]


@pytest.fixture(name="controller")
def _controller(tmp_path):
    return Controller(tmp_path)


def docker_archive(*images):
    """A docker archive of images, each its names and its configuration."""
    return tar_of(*docker_members(*((names, config, PATHS) for names, config in images), files=FILES))


def oci_archive(name=""):
    """An OCI archive, and the digest of its manifest."""
    blobs = Blobs()
    entry = blobs.image(*LAYERS, name=name)
    return tar_of(*blobs.members(entry)), str(entry["digest"])


def stored(controller, reference):
    return find.lookup(controller.host, parse_reference(reference))


def nothing_came(controller):
    paths = controller.host.paths
    return index.list_ids(paths) == () and not os.path.isdir(paths.stagings)


# --- what a file stands for ---


def test_without_a_name_the_image_is_what_it_calls_itself(controller):
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    done = controller.task("app.tar")
    assert done["image"]["name"] == "registry.example.com/app:1"
    assert stored(controller, "registry.example.com/app:1").id == done["image"]["id"]
    assert stored(controller, WANTED) is None


@pytest.mark.parametrize("tag", ["registry.example.com/app:1", "1", ""], ids=["name", "tag", "nothing"])
def test_an_oci_archive_stands_for_a_reference_with_the_digest_of_its_manifest(controller, tag):
    data, digest = oci_archive(tag)
    controller.write("app.tar", data)
    done = controller.task("app.tar", name=WANTED)
    assert stored(controller, WANTED).id == done["image"]["id"]
    assert done["image"]["name"] == "registry.example.com/app:1"
    record = index.find_remote(controller.host.paths, parse_reference(WANTED).source)
    assert record.manifest_digest == digest
    by_digest = f"docker://registry.example.com/app@{digest}"
    assert controller.task("app.tar", name=by_digest)["changed"]
    assert stored(controller, by_digest) is not None


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("policy", ["accept", "reject", "signed"])
def test_the_policy_for_the_name_that_a_file_stands_for_decides(controller, policy, check):
    """Signatures of docker images are in registries, which are not asked here."""
    paths = controller.host.paths
    keys = (
        policies.Keys(cosign=publickeys.read_pem(openssl_key(), "it"))
        if policy == "signed"
        else policies.Keys()
    )
    policies.store(paths, policies.ImagePolicy("registry.example.com", policy, keys))
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    trusting = policy == "reject"
    if policy == "accept":
        assert controller.task("app.tar", name=WANTED, trusting=trusting, check=check)["changed"]
        assert (stored(controller, WANTED) is None) == check
        return
    with pytest.raises(Untrusted):
        controller.task("app.tar", name=WANTED, trusting=trusting, check=check)
    assert index.list_ids(paths) == ()


def openssl_key():
    """A public key of cosign's kind."""
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True
    ).stdout
    return subprocess.run(["openssl", "pkey", "-pubout"], input=made, check=True, capture_output=True).stdout


def test_of_a_docker_archive_no_registry_has_a_digest(controller):
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    controller.task("app.tar", name=WANTED)
    assert index.find_remote(controller.host.paths, parse_reference(WANTED).source).manifest_digest == ""


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("names", "listed"),
    [(["registry.example.com/app:2"], "@0 registry.example.com/app:2"), (None, "@0 (without a name)")],
)
def test_a_docker_archive_without_the_name_is_refused_before_it_is_sent(controller, names, listed, check):
    controller.write("app.tar", docker_archive((names, CONFIG)))
    with pytest.raises(NotFound) as caught:
        controller.task("app.tar", name=WANTED, check=check)
    assert caught.value.message == (
        f'docker-archive:app.tar has no image "registry.example.com/app:1": it has {listed}'
    )
    assert nothing_came(controller)


def test_the_tag_of_an_oci_archive_must_not_be_another(controller):
    controller.write("app.tar", oci_archive("2")[0])
    with pytest.raises(
        NotFound, match=r'oci-archive:app.tar has no image "registry.example.com/app:1": it has @0 2'
    ):
        controller.task("app.tar", name=WANTED)
    assert nothing_came(controller)


def test_several_images_need_a_name(controller):
    both = docker_archive((["registry.example.com/app:1"], CONFIG), (["example.com/b:2"], OTHER))
    controller.write("app.tar", both)
    with pytest.raises(InvalidSpec, match=r"docker-archive:app.tar has several images"):
        controller.task("app.tar", check=True)
    assert nothing_came(controller)
    one = controller.task("app.tar", name=WANTED)["image"]
    other = controller.task("app.tar", name="docker://example.com/b:2")["image"]
    assert (one["name"], other["name"]) == ("registry.example.com/app:1", "example.com/b:2")


def test_a_list_that_is_too_long_to_be_told_is_read_once_it_has_come(controller):
    many = [f"registry.example.com/app:{number}" for number in range(2, 6000)]
    controller.write("app.tar", docker_archive((many, CONFIG)))
    assert controller.task("app.tar", name=WANTED, check=True)["warnings"] == []
    with pytest.raises(NotFound, match=r'docker-archive:app.tar has no image "registry.example.com/app:1"'):
        controller.task("app.tar", name=WANTED)
    assert index.list_ids(controller.host.paths) == ()


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        ("app.aci", WANTED, f'name: src is an ACI, which cannot stand for "{WANTED}"'),
        (
            "app.tar",
            "example.com/app",
            'name: src is a saved image, which cannot stand for "example.com/app"',
        ),
        ("app.tar", "/srv/a.aci", 'name: src is a saved image, which cannot stand for "/srv/a.aci"'),
    ],
)
def test_a_name_is_one_that_the_form_can_have(controller, aci, file, name, message):
    controller.write("app.aci", aci())
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    with pytest.raises(InvalidSpec) as caught:
        controller.task(file, name=name)
    assert caught.value.message == message


def test_an_aci_has_the_name_and_the_labels_that_are_wanted(controller, aci):
    labels = [{"name": "version", "value": "1"}]
    controller.write("app.aci", aci("example.com/app", labels=labels))
    with pytest.raises(
        Untrusted, match=r'the image of app.aci is not example.com/b: "example.com/b" expected'
    ):
        controller.task("app.aci", name="example.com/b", check=True)
    with pytest.raises(Untrusted, match=r"the image of app.aci is not example.com/app:2: .* differs"):
        controller.task("app.aci", name="example.com/app:2")
    assert index.list_ids(controller.host.paths) == ()
    assert controller.task("app.aci", name="example.com/app:1")["changed"]


# --- once, and again ---


def test_it_is_sent_once_and_check_mode_sends_nothing(controller, aci):
    path = controller.write("app.aci", aci())
    predicted = controller.task("app.aci", check=True)
    assert (predicted["changed"], predicted["sent_bytes"], predicted["image"]) == (True, 0, None)
    assert nothing_came(controller)
    done = controller.task("app.aci")
    assert (done["changed"], done["sent_bytes"]) == (True, path.stat().st_size)
    assert os.listdir(controller.host.paths.stagings) == []
    assert [change["path"] for change in done["changes"]] == ["images.app.aci"]
    for check in (False, True):
        again = controller.task("app.aci", check=check)
        assert (again["changed"], again["sent_bytes"], again["image"]) == (False, 0, done["image"])


def test_a_new_content_of_the_file_is_another_image(controller, aci):
    controller.write("app.aci", aci())
    first = controller.task("app.aci")["image"]["id"]
    controller.write("app.aci", aci(content=b"another"))
    again = controller.task("app.aci")
    assert again["changed"] and again["image"]["id"] != first


def test_a_reference_that_means_another_image_by_now_is_set_again_without_sending(controller):
    data, _digest = oci_archive("1")
    controller.write("app.tar", data)
    controller.write("other.tar", docker_archive((["registry.example.com/app:1"], OTHER)))
    one = controller.task("app.tar", name=WANTED)["image"]["id"]
    other = controller.task("other.tar", name=WANTED)["image"]["id"]
    assert stored(controller, WANTED).id == other != one
    predicted, back = (controller.task("app.tar", name=WANTED, check=check) for check in (True, False))
    for result in (predicted, back):
        assert [(each["before"], each["after"]) for each in result["changes"]] == [(other, one)]
        assert result["sent_bytes"] == 0
    assert stored(controller, WANTED).id == one
    assert not controller.task("app.tar", name=WANTED)["changed"]


def test_a_damaged_image_heals(controller):
    data, _digest = oci_archive("1")
    controller.write("app.tar", data)
    controller.task("app.tar", name=WANTED)
    paths = controller.host.paths
    [image_id] = index.list_ids(paths)
    os.rename(paths.layers, f"{paths.data}/away")
    healed = controller.task("app.tar", name=WANTED)
    assert healed["changed"] and healed["sent_bytes"]
    assert [change["reason"] for change in healed["changes"]] == ["drift"]
    assert find.is_whole(controller.host, index.get_image(paths, image_id))


def test_content_that_was_damaged_on_the_host_is_sent_again(controller, aci):
    data = aci(content=b"y" * 5000)
    path = controller.write("app.aci", data)
    whole = staging.digest_of(str(path))
    paths = controller.host.paths
    os.makedirs(paths.staging(whole))
    for place, content in (
        (paths.staged_content(whole), data.replace(b"y", b"z")),
        (paths.staged_piece(whole, 0), b""),
    ):
        with open(place, "wb") as file:
            file.write(content)
    with pytest.raises(Conflict, match=r"cannot read app.aci: what has been sent is damaged"):
        controller.task("app.aci")
    assert index.list_ids(paths) == ()
    assert controller.task("app.aci")["sent_bytes"] == len(data)


def test_a_pin_is_that_of_what_the_file_stands_for(controller):
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    for check in (True, False):
        done = controller.task("app.tar", name=WANTED, pinned=True, check=check)
        assert f"images.{WANTED}.pinned" in [change["path"] for change in done["changes"]]
    assert list(pins.pinned(controller.host.paths)) == [parse_reference(WANTED).source]
    assert not controller.task("app.tar", name=WANTED, pinned=True)["changed"]


# --- trust ---


def test_a_saved_image_is_not_trusted_by_its_way(controller):
    controller.write("app.tar", docker_archive((["registry.example.com/app:1"], CONFIG)))
    for check in (True, False):
        with pytest.raises(Untrusted, match="it has no signature that is trusted"):
            controller.task("app.tar", trusting=False, check=check)
    assert nothing_came(controller)


def test_a_trusted_key_must_have_signed_an_aci(controller, aci, gpg, good):
    data = aci("example.com/team/app")
    controller.write("app.aci", data)
    keystore.store(
        controller.host.paths, "example.com/team", openpgp.read_keys(gpg.export(good), "a test")[0]
    )
    stranger = gpg.make("Stranger <s@example.com>")
    for signature, reason in (
        (None, "error opening signature file app.aci.asc: no such file or directory"),
        (gpg.sign(stranger, data), "openpgp: signature made by unknown entity"),
    ):
        if signature:
            controller.write("app.aci.asc", signature)
        for check in (True, False):
            with pytest.raises(Untrusted, match=reason):
                controller.task("app.aci", trusting=False, check=check)
        assert nothing_came(controller)
    controller.write("app.aci.asc", gpg.sign(good, data + b"of another file"))
    with pytest.raises(Untrusted):
        controller.task("app.aci", trusting=False)
    assert index.list_ids(controller.host.paths) == ()
    controller.write("app.aci.asc", gpg.sign(good, data))
    assert controller.task("app.aci", trusting=False, check=True)["changed"]
    done = controller.task("app.aci", trusting=False)
    # What was refused has come, and a better signature needs no second transfer.
    assert (done["image"]["signer"], done["sent_bytes"]) == (good, 0)


def test_a_digest_in_the_archive_is_checked(controller):
    blobs = Blobs()
    entry = blobs.image(*LAYERS)
    blobs.held[digest_of(LAYERS[0])] = tar_of(("a", b"2"))
    controller.write("app.tar", tar_of(*blobs.members(entry)))
    with pytest.raises(Untrusted, match="has another digest"):
        controller.task("app.tar")
    assert index.list_ids(controller.host.paths) == ()


# --- what the module refuses ---


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"digest": "../../etc"}, "src_file.digest"),
        ({"size": 0}, "src_file.size"),
        ({"form": "oci"}, "src_file.form"),
        ({"signature": "%"}, "src_file.signature"),
        (
            {"directory": "/tmp", "pieces": [{"name": "a", "number": 1, "digest": "0"}]},
            "src_file.pieces[0].number",
        ),
        *(({"cuts": cuts}, "src_file.cuts") for cuts in ([0], [0, 9], [1, 10], [0, 5, 5, 10], [0, 11, 10])),
        ({"size": 1 << 30, "cuts": [0, 1 << 30]}, "src_file.cuts"),
        *(
            ({"layers": [{"id": name, "begin": begin, "end": end}]}, "src_file.layers[0].id")
            for name, begin, end in (
                ("sha256:../x", 0, 1),
                ("sha256:" + "0" * 64, 2, 1),
                ("sha256:" + "0" * 64, 0, 11),
            )
        ),
    ],
)
def test_what_no_controller_says_is_refused(controller, told, where):
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run

    about = {"digest": "0" * 64, "size": 10, "form": "aci", **told}
    given = {"src": "a", "insecure_options": ["image"], "src_file": json.loads(json.dumps(about))}
    with pytest.raises(InvalidSpec) as caught:
        run.TASKS["pod_image"](controller.host, Fields(given, ""), False)
    assert caught.value.where == where
    assert nothing_came(controller)


def large_layer(name, size=3 << 20):
    """A layer that is worth a question, with content that does not repeat."""
    return tar_of((name, os.urandom(size)))


BASE = large_layer("base")


def archive_of(*layers, form, name="registry.example.com/app:1"):
    if form == "oci-archive":
        blobs = Blobs()
        return tar_of(*blobs.members(blobs.image(*layers, name=name)))
    files = tuple((f"{number}.tar", data) for number, data in enumerate(layers))
    image = ([name], config_of(*layers), [path for path, _data in files])
    return tar_of(*docker_members(image, files=files))


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_a_layer_that_the_host_has_is_not_sent_again(controller, form):
    controller.write("one.tar", archive_of(BASE, large_layer("one"), form=form))
    controller.task("one.tar", name=WANTED)
    whole = archive_of(BASE, large_layer("two"), form=form)
    controller.write("two.tar", whole)
    done = controller.task("two.tar", name=WANTED)
    assert 3 << 20 < done["sent_bytes"] < len(whole) - (3 << 20)
    image = index.get_image(controller.host.paths, find.stored_id(controller.host, parse_reference(WANTED)))
    assert done["image"]["id"] == str(image.id) and image.layers[1] == digest_of(BASE)
    assert os.listdir(controller.host.paths.stagings) == []
    again = controller.task("two.tar", name=WANTED)
    assert (again["changed"], again["sent_bytes"]) == (False, 0)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_of_several_images_only_the_layers_of_the_wanted_one_are_sent(controller, form):
    """Each layer once, whatever the number of tasks."""
    own = [large_layer(f"own{number}") for number in (1, 2)]
    if form == "oci-archive":
        blobs = Blobs()
        members = blobs.members(*(blobs.image(BASE, data, name=f"{tag}") for tag, data in enumerate(own, 1)))
    else:
        files = (("0.tar", BASE), ("1.tar", own[0]), ("2.tar", own[1]))
        images = (
            ([f"registry.example.com/app:{tag}"], config_of(BASE, data), ["0.tar", f"{tag}.tar"])
            for tag, data in enumerate(own, 1)
        )
        members = docker_members(*images, files=files)
    whole = tar_of(*members)
    controller.write("both.tar", whole)
    first, second = (
        controller.task("both.tar", name=f"docker://registry.example.com/app:{tag}")["sent_bytes"]
        for tag in (1, 2)
    )
    assert len(whole) - len(own[1]) <= first < len(whole) - len(own[1]) + (1 << 20)
    assert len(own[1]) <= second < len(own[1]) + (1 << 20)
    assert os.listdir(controller.host.paths.stagings) == []


def test_a_layer_that_goes_before_its_image_has_come_is_sent(controller):
    """Its claim is for the time of the reading: what goes before is noticed, and asked for."""
    controller.write("one.tar", archive_of(BASE, form="docker-archive"))
    controller.task("one.tar", name=WANTED)
    whole = archive_of(BASE, large_layer("two"), form="docker-archive")
    controller.write("two.tar", whole)
    paths = controller.host.paths
    controller.before_module = lambda: layers.remove_layer(paths, layers.layer_name(digest_of(BASE)))
    done = controller.task("two.tar", name=WANTED)
    assert done["changed"] and done["sent_bytes"] == len(whole)


def test_a_layer_of_another_content_than_told_is_refused(controller):
    """What is left out is what the archive says that it has: the rest is checked as ever."""
    layer = large_layer("one")
    other = bytearray(layer)
    other[1 << 20] ^= 1
    files = (("0.tar", BASE), ("1.tar", bytes(other)))
    image = (["registry.example.com/app:1"], config_of(BASE, layer), ["0.tar", "1.tar"])
    controller.write("base.tar", archive_of(BASE, form="docker-archive", name="example.com/base:1"))
    controller.task("base.tar")
    before = index.list_ids(controller.host.paths)
    controller.write("bad.tar", tar_of(*docker_members(image, files=files)))
    with pytest.raises(Untrusted, match="has another d"):
        controller.task("bad.tar", name=WANTED)
    assert index.list_ids(controller.host.paths) == before


def test_a_layout_in_a_directory_is_sent_without_what_its_index_does_not_lead_to(controller):
    blobs, top = Blobs(), "layout"
    entry = blobs.image(*LAYERS, name="1")
    for name, data in (*blobs.members(entry), ("blobs/sha256/" + "0" * 64, b"x" * (9 << 20))):
        controller.write(f"{top}/{name}", data)
    done = controller.task(top, name=WANTED)
    assert done["changed"] and done["sent_bytes"] < 1 << 20
    remote = index.find_remote(controller.host.paths, parse_reference(WANTED).source)
    assert remote.manifest_digest == entry["digest"]
    again = controller.task(top, name=WANTED)
    assert (again["changed"], again["sent_bytes"]) == (False, 0)
    controller.forget_run()
    again = controller.task(top, name=WANTED)
    assert (again["changed"], again["sent_bytes"]) == (False, 0)


def test_no_link_of_a_layout_leads_out_of_it(controller, tmp_path):
    blobs = Blobs()
    entry = blobs.image(*LAYERS, name="1")
    for name, data in blobs.members(entry):
        controller.write(f"layout/{name}", data)
    (tmp_path / "secret").write_bytes(b"secret")
    blob = tmp_path / "files/layout/blobs/sha256" / digest_of(LAYERS[0])[7:]
    assert blob.exists()
    blob.unlink()
    blob.symlink_to(tmp_path / "secret")
    with pytest.raises(sending.Unsendable, match="src: "):
        controller.task("layout", name=WANTED)
    assert nothing_came(controller)
