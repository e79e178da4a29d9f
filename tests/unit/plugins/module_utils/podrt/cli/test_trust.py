# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl trust: its grammar, its review without a terminal, and its messages."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.machine import architecture
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import grouped
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.blobs import archive_of
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import (
    Answer,
    PodLab,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.test_dry_run import (
    snapshot,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import serving
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys

PREFIX, SKIP = "--prefix=example.com/team", "--skip-fingerprint-review"


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


@pytest.fixture(name="good", scope="module")
def _good(gpg: Gpg) -> str:
    made = gpg.make("Team <team@example.com>")
    gpg("--quick-add-key", made, "ed25519", "sign", "never")
    return made


@pytest.fixture(name="file")
def _file(gpg: Gpg, good: str, tmp_path: pathlib.Path) -> str:
    path = tmp_path / "team.asc"
    path.write_bytes(gpg.export(good))
    return str(path)


def stored(lab: PodLab) -> list[str]:
    base = pathlib.Path(lab.paths.local_config)
    return sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())


def error(answer: Answer) -> str:
    """The error of a command that has failed."""
    assert answer.status == 254
    return answer.err


@pytest.mark.behaviour("A60")
def test_the_bounds_of_trust_are_said(lab: PodLab, file: str) -> None:
    assert "aborting due to implicit unbounded trust (root domain)" in error(lab.podctl("trust", file))
    assert "Usage:\n  podctl trust [flags] [KEY ...]" in error(lab.podctl("trust"))
    assert "Usage:" in error(lab.podctl("trust", "--root"))
    both = lab.podctl("trust", "--root", PREFIX, file)
    assert "trust: --root and --prefix usage mutually exclusive\n" in error(both)
    scheme = lab.podctl("trust", "--prefix=https://example.com", file)
    assert "trust: --prefix must not contain a URL scheme, omit https://\n" in error(scheme)
    assert "is not a prefix of image names" in error(lab.podctl("trust", "--prefix=a/../b", SKIP, file))
    assert stored(lab) == []


@pytest.mark.behaviour("A60")
def test_without_signatures_there_is_no_keystore(lab: PodLab, file: str) -> None:
    for option in ("image", "all", "all-fetch"):
        answer = lab.podctl("trust", f"--insecure-options={option}", "--root", SKIP, file)
        assert "could not get the keystore" in error(answer)
    assert lab.podctl("trust", "--insecure-options=tls,pubkey", "--root", SKIP, file).status == 0


@pytest.mark.behaviour("A60", "B29")
def test_without_a_key_the_prefix_is_asked(lab: PodLab) -> None:
    answer = lab.podctl("trust", "--prefix=127.1.2.3/team")
    assert 'discovery failed for "127.1.2.3/team": no page of its host can be read' in error(answer)
    assert "https://127.1.2.3/team?ac-discovery=1" in answer.err


@pytest.mark.behaviour("A6", "A61", "B32", "G8")
@pytest.mark.parametrize("prefix", ["example.com/team", ""])
def test_a_key_is_shown_and_added(lab: PodLab, gpg: Gpg, good: str, file: str, prefix: str) -> None:
    flag = f"--prefix={prefix}" if prefix else "--root"
    place = f"prefix.d/{prefix}" if prefix else "root.d"
    path = f"{lab.paths.local_config}/trustedkeys/{place}/{good}"
    answer = lab.podctl("trust", flag, SKIP, file)
    _primary, subkey = gpg.parts(good)
    assert answer.out.splitlines() == [
        f"gpg key fingerprint is: {grouped(good)}",
        f"    Subkey fingerprint: {grouped(subkey)}",
        "\tTeam <team@example.com>",
        f'Trusting "{file}" for prefix "{prefix}" without fingerprint review.',
        f'Added key for prefix "{prefix}" at "{path}"' if prefix else f'Added root key at "{path}"',
    ]
    assert (answer.status, answer.err) == (0, f'pubkey: prefix: "{prefix}"\nkey: "{file}"\n')
    assert stored(lab) == [f"trustedkeys/{place}/{good}"]
    before = snapshot(lab.paths.local_config)
    assert lab.podctl("trust", flag, SKIP, file).out == answer.out
    assert snapshot(lab.paths.local_config) == before
    assert not os.path.exists(lab.paths.system_config)


@pytest.mark.behaviour("A61")
def test_without_a_terminal_nothing_is_trusted(lab: PodLab, file: str) -> None:
    answer = lab.podctl("trust", PREFIX, file)
    lines = error(answer).splitlines()[2:]
    assert lines[0] == 'trust: To trust the key for "example.com/team", do one of the following:'
    assert len([line for line in lines if line.startswith(("trust: To", "trust:  - "))]) == 3
    assert "trust: error reviewing key: unable to ask user to review fingerprint due to lack of tty" in lines
    assert stored(lab) == []


def test_a_dry_run_asks_nothing_and_says_what_would_change(lab: PodLab, good: str, file: str) -> None:
    line = f"trust.example.com/team.{good}: absent -> trusted"
    base = os.path.dirname(lab.paths.data)
    before = snapshot(base)
    answer = lab.podctl("trust", "--dry-run", PREFIX, file)
    assert (answer.status, answer.out.splitlines()[-1], snapshot(base)) == (0, line, before)
    lab.podctl("trust", PREFIX, SKIP, file)
    assert "trust.example" not in lab.podctl("trust", "--dry-run", PREFIX, file).out


@pytest.mark.behaviour("A62")
def test_keys_over_plain_http_need_consent(lab: PodLab, gpg: Gpg, good: str) -> None:
    with serving() as web:
        web.answer = lambda *_other: (200, {}, gpg.export(good))
        url = f"{web.url}/key"
        refused = lab.podctl("trust", PREFIX, SKIP, f"{url}?token=secret")
        assert f"error accessing the key {url}: --insecure-allow-http required for http URLs" in error(
            refused
        )
        assert "secret" not in refused.err
        assert web.asked == []
        answer = lab.podctl("trust", PREFIX, SKIP, "--insecure-allow-http", f"{url}?token=secret")
        assert (
            answer.status,
            f'Trusting "{url}" for' in answer.out,
            "secret" in answer.out + answer.err,
        ) == (
            0,
            True,
            False,
        )
        # Only https is vouched for.
        asked = lab.podctl("--trust-keys-from-https", "trust", PREFIX, "--insecure-allow-http", url)
        assert "lack of tty" in error(asked)
    ftp = lab.podctl("trust", PREFIX, SKIP, "ftp://example.com/key")
    assert "only local files and http or https URLs are supported" in error(ftp)
    assert "error accessing the key /nosuch" in error(lab.podctl("trust", PREFIX, SKIP, "/nosuch"))


@pytest.mark.behaviour("A62")
def test_of_a_file_with_several_keys_the_first_is_added(
    lab: PodLab, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    other = gpg.make("another <x@example.org>")
    path = tmp_path / "both.asc"
    path.write_bytes(gpg.export(other, good))
    answer = lab.podctl("trust", "--root", SKIP, str(path))
    assert [grouped(other) in answer.out, grouped(good) in answer.out] == [True, True]
    assert "only the first of these keys is trusted" in answer.err
    (name,) = stored(lab)
    assert name == f"trustedkeys/root.d/{other}"
    listed = gpg(
        "--show-keys", "--with-colons", stdin=pathlib.Path(lab.paths.local_config, name).read_bytes()
    )
    assert listed.decode().count("pub:") == 1


def test_a_secret_key_is_neither_stored_nor_shown(
    lab: PodLab, gpg: Gpg, good: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "secret.asc"
    path.write_bytes(gpg("--armor", "--export-secret-keys", good))
    answer = lab.podctl("trust", "--root", SKIP, str(path))
    assert "holds a secret key, which is not stored" in error(answer)
    assert path.read_text().splitlines()[5] not in answer.out + answer.err
    assert stored(lab) == []


def test_a_name_in_a_key_does_not_reach_the_terminal_raw(
    lab: PodLab, gpg: Gpg, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "odd.asc"
    made = gpg.make("odd \u202egnp.asc\u00a0")
    path.write_bytes(gpg.export(made))
    answer = lab.podctl("trust", "--root", SKIP, str(path))
    assert (answer.status, "\\u202e" in answer.out, "\u202e" in answer.out) == (0, True, False)


def test_one_key_that_is_refused_does_not_hide_the_others_that_came_before(
    lab: PodLab, gpg: Gpg, file: str, tmp_path: pathlib.Path
) -> None:
    weak = tmp_path / "weak.asc"
    weak.write_bytes(gpg.export(gpg.make("weak", "rsa1024")))
    answer = lab.podctl("trust", "--root", SKIP, file, str(weak))
    assert "is too weak: RSA of 1024 bits" in error(answer)
    assert len(stored(lab)) == 1


@pytest.mark.behaviour("A53", "B24", "B27")
def test_fetch_takes_a_signature_for_each_image(
    lab: PodLab, gpg: Gpg, good: str, file: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.podctl("trust", PREFIX, SKIP, file)
    for name in ("a", "b"):
        app = {"exec": ["/bin/true"], "user": "0", "group": "0"}
        said = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"example.com/team/{name}"}
        labels = [{"name": "os", "value": "linux"}, {"name": "arch", "value": architecture().name}]
        said.update(app=app, labels=labels)
        data = archive_of(ImageManifest.from_json(said))
        (tmp_path / f"{name}.aci").write_bytes(data)
        (tmp_path / f"{name}.sig").write_bytes(gpg.sign(good, data))
    first, second = f"{tmp_path}/a.aci", f"{tmp_path}/b.aci"
    unsigned = error(lab.podctl("fetch", first))
    assert f"error opening signature file {first}.asc: no such file" in unsigned
    assert f"for example.com/team/a are trusted {grouped(good)}" in unsigned
    monkeypatch.chdir(tmp_path)
    swapped = error(lab.podctl("fetch", "--dry-run", first, "--signature=b.sig", second, "--signature=a.sig"))
    assert "cannot verify example.com/team/a: the signature by the key" in swapped
    assert "does not belong to this file" in error(lab.podctl("prepare", first, "--signature=b.sig"))
    answer = lab.podctl("fetch", first, "--signature=a.sig", second, "--signature=b.sig")
    assert answer.status == 0 and len(answer.out.splitlines()) == 2
    assert answer.err.count("image: signature verified:\nimage:   Team <team@example.com>\n") == 2
    assert lab.podctl("prepare", first, "--signature=a.sig").status == 0
