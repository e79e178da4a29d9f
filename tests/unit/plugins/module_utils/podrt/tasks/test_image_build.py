# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The task pod_image_build: the image that options make, where it goes, and when nothing is done."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, keystore
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import read_keys
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.signature import verify
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.image_build import SetMode
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, trees
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys

NAME = "example.com/web"
FILES: list[dict[str, object]] = [
    {"dest": "/bin/web", "content": "#!/bin/sh\n", "mode": "0755"},
    {"dest": "/tmp", "mode": "1777"},
]
PASSPHRASE = "correct horse"


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host.here(paths).replace(arch="amd64")


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


def task(host: Host, check: bool = False, **options: object) -> dict[str, Any]:
    given = {"name": NAME, "files": FILES, "files_from": "host", "insecure_options": [], **options}
    return run.TASKS["pod_image_build"](host, Fields(given, ""), check)


def refusal(host: Host, **options: object) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        task(host, check=True, **options)
    return caught.value


def files_below(path: pathlib.Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.lstat().st_ino, each.lstat().st_mtime_ns) for each in path.rglob("*")}


@pytest.mark.parametrize("form", ["aci", "oci"])
@pytest.mark.parametrize("compress", [True, False], ids=["gzip", "plain"])
def test_a_file_is_written_once_as_foretold(
    host: Host, tmp_path: pathlib.Path, form: str, compress: bool
) -> None:
    dest = tmp_path / "web.image"
    wanted: dict[str, object] = {"format": form, "dest": str(dest), "compress": compress, "version": "1.10"}
    before = files_below(tmp_path)
    checked = task(host, check=True, **wanted)
    assert files_below(tmp_path) == before
    made = task(host, **wanted)
    (change,) = made["changes"]
    assert change == {
        "path": f"files.{dest}",
        "before": None,
        "after": made["image"]["id"],
        "reason": "playbook",
        "impact": "none",
    }
    assert (made["changes"], made["diff"], made["image"]) == (
        checked["changes"],
        checked["diff"],
        checked["image"],
    )
    assert dest.stat().st_mode & 0o7777 == 0o644
    assert (dest.read_bytes()[:2] == b"\x1f\x8b") == (compress and form == "aci")
    before = files_below(tmp_path)
    again = task(host, **wanted)
    assert (again["changed"], again["image"]) == (False, made["image"])
    assert files_below(tmp_path) == before
    assert made["image"]["labels"] == {"arch": "amd64", "os": "linux", "version": "1.10"}


def test_the_id_is_that_of_the_archive(host: Host, tmp_path: pathlib.Path) -> None:
    made = task(host, dest=str(tmp_path / "a.aci"))
    plain = gzip.decompress((tmp_path / "a.aci").read_bytes())
    assert made["image"]["id"] == f"sha512-{hashlib.sha512(plain).hexdigest()[:64]}"
    assert made["image"]["size"] == len(plain)
    assert (made["image"]["files"], made["image"]["store_id"]) == (4, None)


@pytest.mark.parametrize("form", ["aci", "oci"])
@pytest.mark.parametrize("damage", ["other", "flipped", "cut", "text", "empty", "compression"])
def test_what_is_not_the_image_is_replaced(
    host: Host, tmp_path: pathlib.Path, form: str, damage: str
) -> None:
    dest = tmp_path / "web.image"
    wanted: dict[str, object] = {"format": form, "dest": str(dest)}
    made = task(host, **wanted)
    good = dest.read_bytes()
    if damage == "other":
        task(host, **wanted, app={"exec": ["/bin/other"]})
    elif damage == "compression":
        task(host, **wanted, compress=False)
    else:
        at = len(good) // 2 if form == "aci" else 600
        flipped = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        dest.write_bytes({"flipped": flipped, "cut": good[:at], "text": b"hello", "empty": b""}[damage])
    repaired = task(host, **wanted)
    (change,) = repaired["changes"]
    assert change["before"] not in (None, made["image"]["id"])
    assert change["after"] == made["image"]["id"]
    assert dest.read_bytes() == good


@pytest.mark.parametrize("form", ["aci", "oci"])
def test_an_image_of_zeros_is_known_again(host: Host, tmp_path: pathlib.Path, form: str) -> None:
    """It swells to more than what any image of others may."""
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(120 << 20)
    files = [{"src": str(tmp_path / "zeros"), "dest": "/zeros"}]
    dest = tmp_path / "to" / "image"
    dest.parent.mkdir()
    wanted: dict[str, object] = {"files": files, "dest": str(dest), "format": form}
    assert task(host, **wanted)["changed"]
    assert dest.stat().st_size < 1 << 20
    assert not task(host, **wanted)["changed"]


def test_a_mode_is_set_without_writing_again(host: Host, tmp_path: pathlib.Path) -> None:
    dest = tmp_path / "a.aci"
    task(host, dest=str(dest), mode="0600")
    inode = dest.stat().st_ino
    changed = task(host, dest=str(dest), mode="0640")
    assert [(each["path"], each["before"], each["after"]) for each in changed["changes"]] == [
        (f"files.{dest}.mode", "0600", "0640")
    ]
    assert (dest.stat().st_ino, dest.stat().st_mode & 0o7777) == (inode, 0o640)


def test_a_link_in_the_place_of_the_file_is_replaced_and_its_target_left_alone(
    host: Host, tmp_path: pathlib.Path
) -> None:
    target, dest = tmp_path / "target", tmp_path / "a.aci"
    task(host, dest=str(target), mode="0600")
    dest.symlink_to(target)
    with pytest.raises(Corrupt, match="symbolic link"):
        SetMode("file", (), str(dest), 0o644).apply(host)
    assert task(host, dest=str(dest), mode="0644")["changed"]
    assert not dest.is_symlink()
    assert [each.stat().st_mode & 0o7777 for each in (target, dest)] == [0o600, 0o644]


def test_the_manifest_says_what_the_options_say(host: Host, tmp_path: pathlib.Path) -> None:
    task(
        host,
        dest=str(tmp_path / "a.aci"),
        version="2",
        labels={"arch": "aarch64", "channel": "beta"},
        annotations={"authors": "us"},
        dependencies=[{"name": "example.com/base", "labels": {"version": "1"}, "id": "sha512-" + "a" * 64}],
        path_whitelist=["/bin/web"],
        app={
            "exec": ["/bin/web", "-v"],
            "user": "1000",
            "group": "web",
            "supplementary_gids": [5],
            "working_dir": "/tmp",
            "environment": {"B": "1", "A": "2"},
            "mount_points": [{"name": "data", "path": "/data", "read_only": True}],
            "ports": [{"name": "http", "port": 80, "protocol": "tcp", "count": 2, "socket_activated": True}],
            "isolators": [{"name": "resource/memory", "value": {"limit": "64Mi"}}],
            "pre_start": ["/bin/web", "prepare"],
            "stop_signal": "quit",
            "user_labels": {"team": "a"},
            "user_annotations": {"note": "b"},
        },
    )
    with tarfile.open(tmp_path / "a.aci") as archive:
        document = archive.extractfile("manifest")
        assert document is not None
        found = json.load(document)
    assert found == {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": NAME,
        "labels": [
            {"name": "arch", "value": "aarch64"},
            {"name": "channel", "value": "beta"},
            {"name": "os", "value": "linux"},
            {"name": "version", "value": "2"},
        ],
        "annotations": [
            {"name": "appc.io/docker/stopsignal", "value": "SIGQUIT"},
            {"name": "authors", "value": "us"},
        ],
        "dependencies": [
            {
                "imageName": "example.com/base",
                "imageID": "sha512-" + "a" * 64,
                "labels": [{"name": "version", "value": "1"}],
            }
        ],
        "pathWhitelist": ["/bin/web"],
        "app": {
            "exec": ["/bin/web", "-v"],
            "user": "1000",
            "group": "web",
            "supplementaryGIDs": [5],
            "workingDirectory": "/tmp",
            "environment": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}],
            "mountPoints": [{"name": "data", "path": "/data", "readOnly": True}],
            "ports": [{"name": "http", "port": 80, "protocol": "tcp", "count": 2, "socketActivated": True}],
            "isolators": found["app"]["isolators"],
            "eventHandlers": [{"name": "pre-start", "exec": ["/bin/web", "prepare"]}],
            "userLabels": {"team": "a"},
            "userAnnotations": {"note": "b"},
        },
    }
    assert [each["name"] for each in found["app"]["isolators"]] == ["resource/memory"]


@pytest.mark.root
@pytest.mark.parametrize("form", ["aci", "oci"])
def test_an_image_is_stored_once_and_named(host: Host, tmp_path: pathlib.Path, form: str) -> None:
    wanted: dict[str, object] = {"format": form, "version": "1", "app": {"exec": ["/bin/web"]}}
    checked = task(host, check=True, **wanted)
    assert not os.path.exists(host.paths.data)
    made = task(host, **wanted)
    assert made["changes"] == checked["changes"]
    assert made["changes"][0]["path"] == f"images.{NAME}:1"
    reference = parse_reference(f"{'docker://' if form == 'oci' else ''}{NAME}:1")
    stored = find.lookup(host, reference)
    assert stored and str(stored.id) == made["image"]["store_id"] == made["changes"][0]["after"]
    assert stored.manifest.app and stored.manifest.app.exec == ("/bin/web",)
    root = tmp_path / "copy"
    root.mkdir()
    trees.copy_tree(host.paths, trees.tree_of(host.paths, stored.id), str(root))
    assert (root / "bin/web").read_text() == "#!/bin/sh\n"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert os.listdir(host.paths.workspaces) == []
    assert not task(host, **wanted)["changed"]


@pytest.mark.root
def test_another_image_of_the_same_name_takes_its_place_and_back(host: Host) -> None:
    first = task(host, version="1")
    second = task(host, version="1", annotations={"build": "2"})
    assert [(each["before"], each["after"]) for each in second["changes"]] == [
        (first["image"]["id"], second["image"]["id"])
    ]
    # The store has it already: its name means it again, and nothing else is done.
    back = task(host, version="1")
    assert not back["changed"]
    meant = index.find_by_name(host.paths, NAME, index.Labels())
    assert meant and str(meant.id) == first["image"]["id"]


@pytest.mark.root
def test_an_image_that_has_lost_its_files_is_made_again(host: Host) -> None:
    made = task(host)
    image_id = index.ImageID(made["image"]["id"])
    os.unlink(host.paths.blob(image_id))
    for entry in pathlib.Path(host.paths.layers).iterdir():
        subprocess.run(["rm", "-rf", str(entry)], check=True)
    healed = task(host)
    assert [(each["before"], each["after"]) for each in healed["changes"]] == [("damaged", str(image_id))]
    assert not task(host)["changed"]


@pytest.mark.root
def test_a_dependency_must_be_in_the_store(host: Host) -> None:
    wanted: dict[str, object] = {"dependencies": [{"name": "example.com/base"}]}
    (warning,) = task(host, check=True, **wanted)["warnings"]
    assert "example.com/base" in warning
    with pytest.raises(NotFound, match=r"example\.com/base"):
        task(host, **wanted)
    assert index.list_ids(host.paths) == ()
    task(host, name="example.com/base")
    assert task(host, **wanted)["changed"]


# --- signatures ---


def make_key(gpg: Gpg, identity: str, passphrase: str = "") -> str:
    if not passphrase:
        return gpg.make(identity)
    before = set(gpg.fingerprints())
    words = ["gpg", "--homedir", str(gpg.home), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    words += ["--passphrase-fd", "0", "--quick-generate-key", identity, "ed25519", "sign", "never"]
    subprocess.run(words, input=passphrase.encode(), check=True, capture_output=True)
    (made,) = set(gpg.fingerprints()) - before
    # What the agent remembers would make the passphrase needless.
    subprocess.run(["gpgconf", "--homedir", str(gpg.home), "--reload", "gpg-agent"], check=True)
    return made


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE], ids=["bare", "passphrase"])
def test_a_signature_is_made_that_a_host_accepts(
    host: Host, gpg: Gpg, tmp_path: pathlib.Path, passphrase: str
) -> None:
    key = make_key(gpg, f"Signer {len(passphrase)} <signer@example.com>", passphrase)
    dest = tmp_path / "a.aci"
    wanted: dict[str, object] = {
        "dest": str(dest),
        "sign_key": key.upper(),
        "gnupg_home": str(gpg.home),
        "passphrase": passphrase or None,
    }
    checked = task(host, check=True, **wanted)
    assert not dest.exists()
    made = task(host, **wanted)
    assert made["changes"] == checked["changes"]
    assert made["changes"][1] == {
        "path": f"files.{dest}.signature",
        "before": None,
        "after": key,
        "reason": "playbook",
        "impact": "none",
    }
    assert made["image"]["signed_by"] == key
    signature = pathlib.Path(f"{dest}.asc")
    assert signature.read_text().startswith("-----BEGIN PGP SIGNATURE-----")
    (public,) = read_keys(gpg.export(key), "key")
    keystore.store(host.paths, NAME, public)
    assert verify(host.paths, NAME, str(dest), signature.read_bytes()).fingerprint == key
    before = files_below(tmp_path)
    assert not task(host, **wanted)["changed"]
    assert files_below(tmp_path) == before
    # A signature of something else is made again, and the image is left.
    signature.write_bytes(gpg.sign(gpg.make(f"Other {len(passphrase)}"), dest.read_bytes()))
    again = task(host, **wanted)
    assert [each["path"] for each in again["changes"]] == [f"files.{dest}.signature"]
    # Another image gets another signature.
    assert len(task(host, **wanted, annotations={"a": "b"})["changes"]) == 2
    assert verify(host.paths, NAME, str(dest), signature.read_bytes()).fingerprint == key


@pytest.mark.parametrize("given", [None, "wrong"])
def test_a_key_that_stays_locked_is_an_error_without_a_question(
    host: Host, gpg: Gpg, tmp_path: pathlib.Path, given: str | None
) -> None:
    key = make_key(gpg, f"Locked {given}", PASSPHRASE)
    with pytest.raises(HostFailure, match="cannot sign") as err:
        task(host, dest=str(tmp_path / "a.aci"), sign_key=key, gnupg_home=str(gpg.home), passphrase=given)
    assert "wrong" not in err.value.message
    assert not (tmp_path / "a.aci.asc").exists()


def test_the_key_must_be_there_and_be_one(host: Host, gpg: Gpg, tmp_path: pathlib.Path) -> None:
    wanted: dict[str, object] = {"dest": str(tmp_path / "a.aci"), "gnupg_home": str(gpg.home)}
    gpg.make("Twin one")
    gpg.make("Twin two")
    with pytest.raises(NotFound, match="has no secret key"):
        task(host, check=True, **wanted, sign_key="absent@example.com")
    with pytest.raises(NotFound, match="does not exist"):
        task(host, check=True, dest=str(tmp_path / "a"), gnupg_home=str(tmp_path / "none"), sign_key="x")
    assert refusal(host, **wanted, sign_key="Twin").where == "sign_key"


# --- what is refused ---


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("name", {"name": "Not Valid"}),
        ("version", {"version": 1.1}),
        ("labels.arch", {"labels": {"arch": 5}}),
        ("labels", {"labels": {"arch": "pdp11"}}),
        ("labels.version", {"version": "1", "labels": {"version": "2"}}),
        ("annotations", {"annotations": {"stagecraft.pods/docker/diffids": "x"}}),
        ("mtime", {"mtime": -1}),
        ("app.exec[1]", {"app": {"exec": ["/x", 1]}}),
        ("app.working_dir", {"app": {"exec": [], "working_dir": "x"}}),
        ("app.environment.A", {"app": {"exec": [], "environment": {"A": 1}}}),
        ("app.stop_signal", {"app": {"exec": [], "stop_signal": "SIGNOTHING"}}),
        ("app.mount_points[0].path", {"app": {"exec": [], "mount_points": [{"name": "d", "path": "d"}]}}),
        ("app.ports[0].port", {"app": {"exec": [], "ports": [{"name": "d", "port": 0, "protocol": "tcp"}]}}),
        ("app.isolators[0].name", {"app": {"exec": [], "isolators": [{"name": "odd", "value": 1}]}}),
        ("files[0].dest", {"files": [{"dest": "relative"}]}),
        ("files[0].dest", {"files": [{"dest": "/a/../../b"}]}),
        ("files[0].mode", {"files": [{"dest": "/a", "mode": 644}]}),
        ("files[0].mode", {"files": [{"dest": "/a", "mode": "9999"}]}),
        ("files[0].src", {"files": [{"dest": "/a", "src": "relative"}]}),
        ("files[0].src", {"files": [{"dest": "/a", "src": ""}]}),
        ("files[0].link", {"files": [{"dest": "/a", "link": ""}]}),
        ("files[0].uid", {"files": [{"dest": "/a", "uid": -1}]}),
        ("files[0]", {"files": [{"dest": "/a", "src": "/b", "content": ""}]}),
        ("files_from", {"files_from": "controller", "files": [{"dest": "/a", "src": "/b"}]}),
        ("store", {"store": False}),
        ("dest", {"dest": "relative"}),
        ("dest", {"dest": "/tmp"}),
        ("mode", {"dest": "/tmp/x", "mode": 644}),
        ("sign_key", {"sign_key": "x"}),
        ("sign_key", {"sign_key": "x", "dest": "/tmp/x", "format": "oci"}),
        ("push", {"push": "docker://example.com/x:1"}),
        ("push", {"push": "example.com/x:1", "format": "oci"}),
        ("push", {"push": "docker://example.com/x@sha256:" + "1" * 64, "format": "oci"}),
        ("app.isolators", {"format": "oci", "app": {"exec": [], "isolators": [
            {"name": "resource/memory", "value": {"limit": "64Mi"}}]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_option_that_is_wrong_is_named(host: Host, where: str, options: dict[str, object]) -> None:
    assert refusal(host, **options).where == where


def test_an_image_does_not_go_into_itself(host: Host, tmp_path: pathlib.Path) -> None:
    files = [{"src": str(tmp_path), "dest": "/"}]
    assert refusal(host, files=files, dest=str(tmp_path / "a.aci")).where == "dest"


def test_a_directory_to_write_to_must_be_there(host: Host, tmp_path: pathlib.Path) -> None:
    (warning,) = task(host, check=True, dest=str(tmp_path / "none/a.aci"))["warnings"]
    assert "does not exist" in warning
    with pytest.raises(PodError, match="does not exist"):
        task(host, dest=str(tmp_path / "none/a.aci"))
