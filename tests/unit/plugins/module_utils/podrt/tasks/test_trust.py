# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The task pod_trust: where its key comes from, the fingerprint that it must have, and its result."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    PodError,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import grouped
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.blobs import archive_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import serving
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys

TEAM = "example.com/team"


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="good", scope="module")
def _good(gpg: Gpg) -> str:
    return gpg.make("Team <team@example.com>")


@pytest.fixture(name="host")
def _host(tmp_path: pathlib.Path) -> Host:
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    return Host(paths, "amd64", "", "")


def task(host: Host, check: bool = False, **options: object) -> dict[str, Any]:
    return run.TASKS["pod_trust"](host, Fields({"insecure_options": [], **options}, ""), check)


def where_of(host: Host, **options: object) -> str:
    with pytest.raises(InvalidSpec) as caught:
        task(host, **options)
    return caught.value.where


def test_text_and_file_say_the_same(host: Host, gpg: Gpg, good: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "team.asc"
    path.write_bytes(gpg.export(good))
    text = path.read_text()
    change = {
        "path": f"trust.{TEAM}.{good}", "before": None, "after": "trusted", "reason": "playbook", "impact": "none"
    }  # fmt: skip
    checked = task(host, check=True, prefix=TEAM, key=text)
    assert (checked["changes"], checked["trust"], checked["fingerprints"]) == ([change], None, [])
    made = task(host, prefix=TEAM, key=text)
    assert made["changes"] == [change] == checked["changes"]
    assert made["diff"] == {"before": "", "after": f"trust.{TEAM}.{good}: trusted\n"} == checked["diff"]
    assert made["trust"] == {
        "prefix": TEAM,
        "root": False,
        "fingerprint": good,
        "subkeys": [],
        "identities": ["Team <team@example.com>"],
        "path": f"{host.paths.local_config}/trustedkeys/prefix.d/{TEAM}/{good}",
    }
    assert made["fingerprints"] == [good]
    for more in ({"src": str(path)}, {"key": text}, {"key": text, "fingerprint": grouped(good)}):
        again = task(host, prefix=TEAM, **more)
        assert (again["changed"], again["trust"]) == (False, made["trust"])
    gone = task(host, prefix=TEAM, state="absent", src=str(path))
    assert (gone["changed"], gone["trust"], gone["fingerprints"]) == (True, None, [])
    assert not task(host, prefix=TEAM, state="absent", fingerprint=good.upper())["changed"]


def test_a_root_key_counts_for_each_prefix(host: Host, gpg: Gpg, good: str) -> None:
    other = gpg.make("another")
    made = task(host, root=True, key=gpg.export(good).decode())
    assert (made["trust"]["root"], made["trust"]["prefix"], made["fingerprints"]) == (True, "", [good])
    assert task(host, prefix=TEAM, key=gpg.export(other).decode())["fingerprints"] == sorted((good, other))
    assert task(host, root=True, state="absent", fingerprint=good)["fingerprints"] == []


def test_the_fingerprint_is_enforced(host: Host, gpg: Gpg, good: str, tmp_path: pathlib.Path) -> None:
    other = gpg.make("an impostor")
    for check in (True, False):
        with pytest.raises(Untrusted, match=f"its fingerprint is {other}, not {good}") as caught:
            task(host, check=check, prefix=TEAM, key=gpg.export(other).decode(), fingerprint=good)
        assert caught.value.facts == {"where": "fingerprint", "fingerprint": other}
    with pytest.raises(Untrusted, match="it has that key as number 2"):
        task(host, prefix=TEAM, key=gpg.export(other, good).decode(), fingerprint=good)
    assert not (tmp_path / "etc").exists()


def test_a_url_needs_a_fingerprint_or_a_word_and_is_asked_once(host: Host, gpg: Gpg, good: str) -> None:
    other = gpg.make("at the url")
    with serving() as web:
        web.answer = lambda *_other: (200, {}, gpg.export(good))
        options: dict[str, object] = {"prefix": TEAM, "url": f"{web.url}/key"}
        assert where_of(host, **options) == "fingerprint"
        assert web.asked == []
        with pytest.raises(Untrusted, match="not the expected one"):
            task(host, **options, fingerprint=other)
        assert len(web.asked) == 1
        assert task(host, check=True, **options, fingerprint=good)["changed"]
        assert task(host, **options, fingerprint=good)["changed"]
        count = len(web.asked)
        assert not task(host, **options, fingerprint=good)["changed"]
        assert len(web.asked) == count
        assert not task(host, **options, skip_fingerprint_review=True)["changed"]
        assert task(host, **{**options, "prefix": "example.org"}, skip_fingerprint_review=True)["changed"]
        # Removing one does not need the server.
        count = len(web.asked)
        assert task(host, **options, state="absent", fingerprint=good)["changed"]
        assert len(web.asked) == count
    remote = {**options, "url": "http://192.0.2.1/key", "fingerprint": good}
    with pytest.raises(InvalidSpec, match="over plain http"):
        task(host, **remote)


def test_options_that_do_not_fit_are_named(host: Host, gpg: Gpg, good: str) -> None:
    text = gpg.export(good).decode()
    assert where_of(host, key=text) == "prefix"
    assert where_of(host, key=text, prefix=TEAM, root=True) == "prefix"
    assert where_of(host, key=text, prefix="a/../b") == "prefix"
    assert where_of(host, key=text, prefix="https://example.com") == "prefix"
    assert where_of(host, key=text, src="/x", prefix=TEAM) == "src"
    assert where_of(host, prefix=TEAM) == "key"
    assert where_of(host, prefix=TEAM, src="x") == "src"
    assert where_of(host, prefix=TEAM, url="/x", fingerprint=good) == "url"
    assert where_of(host, prefix=TEAM, key=text, fingerprint=good[-16:]) == "fingerprint"
    assert where_of(host, prefix=TEAM, state="absent") == "fingerprint"


def test_a_secret_key_is_refused_without_being_shown(host: Host, gpg: Gpg, good: str) -> None:
    secret = gpg("--armor", "--export-secret-keys", good).decode()
    with pytest.raises(PodError, match="holds a secret key") as caught:
        task(host, prefix=TEAM, key=secret)
    assert secret.splitlines()[5] not in str(run.failure(caught.value))


def test_a_damaged_file_beside_it_is_told_with_what_was_done(host: Host, gpg: Gpg, good: str) -> None:
    odd = pathlib.Path(host.paths.trusted_keys(host.paths.system_config, ""), "README")
    odd.parent.mkdir(parents=True)
    odd.write_text("x")
    with pytest.raises(PodError, match="cannot use the trusted key") as caught:
        task(host, prefix=TEAM, key=gpg.export(good).decode())
    assert [change["after"] for change in run.failure(caught.value)["changes"]] == ["trusted"]  # type: ignore[attr-defined]


@pytest.mark.root
@pytest.mark.behaviour("B24", "B27")
def test_a_task_fetches_what_a_trusted_key_has_signed(
    host: Host, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    task(host, prefix=TEAM, key=gpg.export(good).decode())
    said = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"{TEAM}/web"}
    archive = archive_of(ImageManifest.from_json(said))
    image, signature = tmp_path / "web.aci", tmp_path / "elsewhere.asc"
    image.write_bytes(archive)
    signature.write_bytes(gpg.sign(good, b"another"))
    options = Fields({"name": str(image), "signature": str(signature), "insecure_options": []}, "")
    for check in (True, False):
        with pytest.raises(Untrusted, match="it does not belong to this file"):
            run.TASKS["pod_image"](host, options, check)
    assert not pathlib.Path(host.paths.index).exists()
    signature.write_bytes(gpg.sign(good, archive))
    results: list[Any] = [run.TASKS["pod_image"](host, options, check) for check in (True, False, False)]
    assert [result["changed"] for result in results] == [True, True, False]
    with pytest.raises(InvalidSpec, match="not an absolute path") as caught:
        run.TASKS["pod_image"](host, options.replaced(signature="web.asc"), False)
    assert caught.value.where == "signature"
