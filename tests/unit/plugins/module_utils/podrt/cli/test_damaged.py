# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Each document, damaged in each way: only its own pod or image is affected, and every command goes on."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError, Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod, open_pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import blobs, index
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import PodLab, write
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import load

pytestmark = pytest.mark.usefixtures("as_root")

Damage = Callable[[pathlib.Path], None]


def _text(text: str) -> Damage:
    return lambda path: write(str(path), text)


def _cut(path: pathlib.Path) -> None:
    data = path.read_bytes() if path.exists() else b"12"
    path.write_bytes(data[: len(data) // 2])


def _sparse(path: pathlib.Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


DAMAGES: dict[str, Damage] = {
    "NUL": _text("\0"),
    "empty": _text(""),
    "a list": _text("[[[]]]"),
    "an object": _text("{}"),
    "a string": _text('"x"'),
    "5000 digits": _text("9" * 5000),
    "cut": _cut,
    "1 GB": _sparse,
    "a directory": lambda path: (path / "inner").mkdir(parents=True),
    "a named pipe": os.mkfifo,
    "a loop": lambda path: path.symlink_to(path.name),
    "a link to a secret": lambda path: path.symlink_to("/proc/version"),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
}
POD_DOCUMENTS = (
    "pod",
    "runspec",
    "pid",
    "net-info.json",
    "runtime",
    "cgroups",
    "subcgroup",
    "overlay-disabled",
    "appsinfo/web/treeStoreID",
    "appsinfo/web/lower",
    "appsinfo/web/manifest",
    "stage1/rootfs/rkt/status/web",
    "stage1/rootfs/rkt/env/web",
    "stage1/rootfs/rkt/supervisor-status",
    "logs/web.log",
    "logs/web.log.1",
    "net/50-default.conf",
)


FEW = ("NUL", "an object", "a directory", "a named pipe", "a link to a secret")
SETS = [
    pytest.param([DAMAGES[name] for name in FEW], id="few"),
    pytest.param(
        [DAMAGES[name] for name in DAMAGES if name not in FEW], id="all others", marks=pytest.mark.slow
    ),
]
# Each by itself; the ones that are not among the few are for the full run.
EACH = [
    pytest.param(how, id=name, marks=() if name in FEW else pytest.mark.slow) for name, how in DAMAGES.items()
]


def aci(name: str) -> bytes:
    """An image with an empty root."""
    return blobs.archive_of(ImageManifest(ACIdentifier(name)))


def damage(path: pathlib.Path, how: Damage) -> None:
    """Replace a document by something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if how is not _cut and path.exists():
        path.unlink()
    how(path)


def where(paths: Paths) -> dict[str, object]:
    """The options of a task on these directories."""
    return {"data_dir": paths.data, "config_dir": paths.local_config}


@pytest.mark.timeout(60)
@pytest.mark.finding("attack-F3")
@pytest.mark.finding("attack-F17")
@pytest.mark.finding("review-B10")
@pytest.mark.behaviour("A38")
@pytest.mark.parametrize("damages", SETS)
@pytest.mark.parametrize("document", POD_DOCUMENTS)
def test_a_damaged_document_concerns_its_own_pod_alone(
    lab: PodLab, document: str, damages: list[Damage]
) -> None:
    for how in damages:
        other = lab.make("run", name="other")
        hurt = lab.make("run", name="hurt")
        damage(pathlib.Path(hurt.dir.path) / document, how)
        listed = lab.podctl("list", "--full")
        assert listed.status == 0
        assert other.uuid in listed.out and hurt.uuid in listed.out
        for line in listed.err.splitlines()[1:]:
            assert line.startswith(f"{hurt.uuid}: ")
        assert len(json.loads(lab.podctl("list", "--format=json").out)) == 2
        assert lab.podctl("status", "hurt").status == 0
        assert lab.podctl("status", other.uuid).err == ""
        assert lab.podctl("logs", "other").status == 0
        for words in (("logs", "hurt"), ("cat-manifest", "hurt"), ("logs", "--tail=3", "hurt")):
            answer = lab.podctl(*words)
            assert answer.status in (0, 254) and "Linux version" not in answer.out + answer.err
        assert lab.podctl("gc", "--mark-only").status == 0
        info = run_task("pod_info", {**where(lab.paths), "gather": ["pods"], "tail": 5}, check=False)
        pods = info["pods"]
        assert isinstance(pods, list)
        assert {pod["uuid"]: pod["name"] for pod in pods} == {other.uuid: "other", hurt.uuid: "hurt"}
        assert [pod["problem"] for pod in pods if pod["uuid"] == other.uuid] == [""]
        shutil.rmtree(lab.paths.data)


@pytest.mark.parametrize("how", ["empty", "a named pipe", "a loop", "a link to a secret"])
def test_what_is_in_the_place_of_the_logs_is_told_and_hides_no_other_pod(lab: PodLab, how: str) -> None:
    other = lab.make("run", name="other")
    hurt = lab.make("run", name="hurt")
    shutil.rmtree(hurt.dir.logs, ignore_errors=True)
    damage(pathlib.Path(hurt.dir.logs), DAMAGES[how])
    for words in (("logs", "hurt"), ("logs", "--tail=3", "hurt")):
        answer = lab.podctl(*words)
        assert (answer.status, answer.out) == (254, "")
        assert f"cannot read {hurt.dir.logs}: it is " in answer.err
        assert "not a directory" in answer.err
    info = run_task("pod_info", {**where(lab.paths), "gather": ["pods"], "tail": 5}, check=False)
    problems = {pod["uuid"]: pod["problem"] for pod in info["pods"]}  # type: ignore[attr-defined]
    assert problems[other.uuid] == ""
    assert problems[hurt.uuid].count(f"cannot read {hurt.dir.logs}: it is ") == 1


@pytest.mark.timeout(60)
@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("damages", SETS)
@pytest.mark.parametrize("document", [name for name in POD_DOCUMENTS if name != "subcgroup"])
def test_a_pod_with_a_damaged_document_can_be_removed_and_gives_its_name_back(
    lab: PodLab, document: str, damages: list[Damage]
) -> None:
    for how in damages:
        hurt = lab.make("prepared", name="hurt")
        expired = lab.make("prepared")
        for pod in (hurt, expired):
            damage(pathlib.Path(pod.dir.path) / document, how)
        answer = lab.podctl("rm", "hurt")
        assert (answer.status, answer.err) == (0, "")
        assert lookup.uuid_of_name(lab.paths, "hurt") is None
        assert lab.podctl("gc", "--expire-prepared=0s", "--grace-period=0s").status == 0
        assert not any(os.listdir(lab.paths.state(state)) for state in ("prepared", "garbage", "run"))


@pytest.mark.timeout(60)
@pytest.mark.finding("attack-F17")
@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(
    "document", ["pid", "net-info.json", "runtime", "cgroups", "subcgroup", "net/50-default.conf"]
)
def test_gc_removes_a_pod_that_has_run_whatever_is_damaged(lab: PodLab, document: str) -> None:
    for how in ("a directory", "a named pipe", "a link to /dev/zero", "NUL"):
        hurt = lab.make("run")
        damage(pathlib.Path(hurt.dir.path) / document, DAMAGES[how])
        answer = lab.podctl("gc", "--grace-period=0s")
        assert (answer.status, os.listdir(lab.paths.state("exited-garbage"))) == (0, []), answer.err


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("how", EACH)
def test_a_damaged_name_or_volume_hides_no_other(lab: PodLab, how: Damage) -> None:
    pod = lab.make("run", name="web")
    damage(pathlib.Path(lab.paths.name("bad")), how)
    damage(pathlib.Path(lab.paths.volume("bad")) / "volume.json", how)
    os.mkdir(f"{lab.paths.volume('bad')}/data")
    os.makedirs(f"{lab.paths.volume('good')}/data")
    write(f"{lab.paths.volume('good')}/volume.json", '{"format":1,"labels":{}}')
    assert lab.podctl("status", "web").status == 0
    assert lab.podctl("status", "bad").status == 254
    assert lab.podctl("list").status == 0
    info = run_task("pod_info", {**where(lab.paths), "gather": ["pods", "volumes"]}, check=False)
    volumes = info["volumes"]
    assert isinstance(volumes, list)
    problems = {volume["name"]: volume["problem"] for volume in volumes}
    assert problems["good"] == ""
    assert problems["bad"] or how is DAMAGES["an object"]
    assert lab.podctl("rm", pod.uuid[:9]).status == 0 or os.geteuid() != 0


@pytest.mark.timeout(60)
@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("how", EACH)
@pytest.mark.parametrize("place", ["index", "imageManifest", "remote"])
def test_a_damaged_document_of_an_image_hides_no_other_and_fetching_heals_it(
    lab: PodLab, place: str, how: Damage, tmp_path: pathlib.Path
) -> None:
    for name in ("good", "bad"):
        (tmp_path / f"{name}.aci").write_bytes(aci(f"example.com/{name}"))
        assert lab.podctl("fetch", "--insecure-options=image", f"{tmp_path}/{name}.aci").status == 0
    bad = index.find_by_name(lab.paths, "example.com/bad", Labels())
    assert bad is not None
    path = {
        "index": f"{lab.paths.cas}/index/{bad.id}",
        "imageManifest": lab.paths.image_manifest(bad.id),
        "remote": next(
            str(file) for file in pathlib.Path(lab.paths.cas, "remote").iterdir() if "bad" in file.name
        ),
    }[place]
    damage(pathlib.Path(path), how)
    listed = lab.podctl("image", "list")
    assert listed.status == 0 and "example.com/good" in listed.out
    assert lab.podctl("image", "cat-manifest", "example.com/good").status == 0
    assert lab.podctl("image", "cat-manifest", "example.com/bad").status in (0, 254)
    info = run_task("pod_info", {**where(lab.paths), "gather": ["images"]}, check=False)
    assert any(image["name"] == "example.com/good" for image in info["images"])  # type: ignore[attr-defined]
    healed = lab.podctl("fetch", "--insecure-options=image", f"{tmp_path}/bad.aci")
    assert healed.status == 0, healed.err
    assert index.get_image(lab.paths, bad.id).manifest == bad.manifest
    assert lab.podctl("image", "list").err == ""
    damage(pathlib.Path(path), how)
    assert lab.podctl("image", "gc", "--grace-period=0s").status == 0
    assert index.list_ids(lab.paths) == ()


def newer(pod: Pod) -> None:
    """Give the pod's run spec a future format."""
    held = json.loads(pathlib.Path(pod.dir.runspec).read_text())
    held.update(format=7, dns="something else", stopTimeout=3)
    pathlib.Path(pod.dir.runspec).write_text(json.dumps(held))


@pytest.mark.finding("review-B8")
def test_a_pod_of_a_newer_release_is_shown_as_such_and_can_be_removed(lab: PodLab) -> None:
    pod = lab.make("prepared", name="web")
    newer(pod)
    answer = lab.podctl("list")
    assert "format 7" in answer.err and "newer release" in answer.err
    info = run_task("pod_info", {**where(lab.paths), "gather": ["pods"], "name": "web"}, check=False)
    (shown,) = info["pods"]  # type: ignore[misc]
    assert (shown["name"], "newer release" in shown["problem"]) == ("web", True)
    with open_pod(lab.paths, pod.uuid) as held, pytest.raises(Unsupported) as caught:
        documents.read_runspec(held.dir)
    assert caught.value.hint.endswith("this one can stop, replace and remove the pod")
    assert documents.read_outline(pod.dir) == documents.Outline("web", 3, "native")
    assert lab.podctl("rm", "web").status == 0
    assert lookup.uuid_of_name(lab.paths, "web") is None


@pytest.mark.finding("review-B8")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "[]",
        "7",
        '{"name":7,"stopTimeout":true}',
        '{"name":"../x","stopTimeout":-1}',
        '{"name":"a/b"}',
    ],
)
def test_what_the_end_of_a_pod_needs_is_read_of_whatever_is_there(lab: PodLab, text: str) -> None:
    pod = lab.make("prepared")
    write(pod.dir.runspec, text)
    assert documents.read_outline(pod.dir) == documents.Outline()
    with pytest.raises(PodError):
        documents.read_runspec(pod.dir)


@pytest.mark.finding("review-B8")
def test_documents_of_the_store_and_of_volumes_tell_a_newer_format(lab: PodLab) -> None:
    image = load(lab.paths, aci("example.com/a"))
    path = pathlib.Path(lab.paths.cas, "index", image.id)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(PodError, match="format 2"):
        index.get_image(lab.paths, image.id)
    os.makedirs(f"{lab.paths.volume('v')}/data")
    write(f"{lab.paths.volume('v')}/volume.json", '{"format":2,"labels":{}}')
    info = run_task("pod_info", {**where(lab.paths), "gather": ["volumes"]}, check=False)
    assert "format 2" in info["volumes"][0]["problem"]  # type: ignore[index]
    pod = lab.make("run")
    write(pod.dir.net_info, '{"format":2}')
    assert "format 2" in lab.podctl("list").err
