# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl trust on a terminal: it shows a key, asks, and does as it is told."""

from __future__ import annotations

import os
import pathlib
import select
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import signature
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.openpgp import grouped
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, Done, PodHost
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    serving,
    speak_tls,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg, keys

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
QUESTION = "Are you sure you want to trust this key (yes/no)?"
SECONDS = 60


@pytest.fixture(name="tls")
def _tls(tmp_path: pathlib.Path) -> Iterator[Web]:
    """A server that speaks TLS; its certificate is certificate.pem."""
    with serving() as web:
        speak_tls(web, tmp_path)
        yield web


@pytest.fixture(name="gpg", scope="module")
def _gpg() -> Iterator[Gpg]:
    with keys() as gpg:
        yield gpg


def on_a_terminal(argv: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a program on a terminal and answer its questions; its status, and what the terminal shows."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, end = "", time.monotonic() + SECONDS
    waiting = list(answers)
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                shown += os.read(ours, 65536).decode()
            except OSError:  # the program has ended
                break
            asked = shown.count(QUESTION)
            while waiting and asked > len(answers) - len(waiting):
                os.write(ours, waiting.pop(0).encode())
        return process.wait(SECONDS), shown.replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.behaviour("A61")
@pytest.mark.parametrize(
    ("answers", "trusted"),
    [
        (["yes\n"], True),
        (["no\n"], False),
        (["y\n", "\n", "yes\n"], True),
        (["YES\n", "no\n"], False),
        (["\x04"], None),
    ],
)
def test_only_yes_trusts_a_key(
    gpg: Gpg, tmp_path: pathlib.Path, answers: list[str], trusted: bool | None
) -> None:
    made = gpg.make(f"Team {answers}")
    key, prefix = tmp_path / "key.asc", "example.com/team"
    key.write_bytes(gpg.export(made))
    paths = Paths(data=f"{tmp_path}/data", local_config=f"{tmp_path}/etc", system_config=f"{tmp_path}/lib")
    where = [
        f"--dir={paths.data}",
        f"--local-config={paths.local_config}",
        f"--system-config={paths.system_config}",
    ]
    status, shown = on_a_terminal([PODCTL, *where, "trust", f"--prefix={prefix}", str(key)], answers)
    path = f"{paths.local_config}/trustedkeys/prefix.d/{prefix}/{made}"
    assert f"gpg key fingerprint is: {grouped(made)}\n" in shown
    assert "Team [" in shown
    assert shown.count("Please enter 'yes' or 'no'") == len(answers) - 1
    assert (status, os.path.exists(path)) == (254 if trusted is None else 0, trusted is True)
    if trusted is None:
        assert "trust: error reviewing key: error reading input: EOF" in shown
    elif trusted:
        assert f'Trusting "{key}" for prefix "{prefix}" after fingerprint review.\n' in shown
        assert f'Added key for prefix "{prefix}" at "{path}"\n' in shown
        archive = tmp_path / "app.aci"
        archive.write_bytes(b"an archive")
        found = signature.verify(paths, f"{prefix}/app", str(archive), gpg.sign(made, b"an archive"))
        assert found.fingerprint == made
    else:
        assert f'trust: not trusting "{key}"\n' in shown


@pytest.mark.behaviour("B29")
def test_on_a_terminal_a_fetch_looks_for_keys(tmp_path: pathlib.Path) -> None:
    """Elsewhere it is refused before anything is asked for; here the host of the name is asked, which is away."""
    paths = Paths(data=f"{tmp_path}/data", local_config=f"{tmp_path}/etc", system_config=f"{tmp_path}/lib")
    argv = [
        PODCTL,
        f"--dir={paths.data}",
        f"--local-config={paths.local_config}",
        f"--system-config={paths.system_config}",
        "fetch",
        "127.0.0.254/team/app",
    ]
    elsewhere = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (elsewhere.returncode, "no key is trusted for it" in elsewhere.stderr) == (254, True)
    status, shown = on_a_terminal(argv, [])
    assert status == 254
    assert "no page of its host can be read" in shown and "no key is trusted for it" not in shown


@pytest.mark.behaviour("B24", "B27")
def test_a_signed_image_runs_once_its_key_is_trusted(pods: PodHost, gpg: Gpg) -> None:
    fingerprint = gpg.make("Team <team@example.com>")
    pods.base.mkdir(exist_ok=True)
    key = pods.base / "team.asc"
    key.write_bytes(gpg.export(fingerprint))
    image = pathlib.Path(shutil.copy(pods.image, pods.base / "signed.aci"))  # the other one is shared
    pathlib.Path(f"{image}.asc").write_bytes(gpg.sign(fingerprint, image.read_bytes()))
    strict = "--insecure-options=none"
    done = pods.podctl(strict, "run", "--net=none", str(image), "--exec=/bin/true")
    assert done.status == 254 and "no key is trusted on this host" in done.err
    pods.ok(strict, "trust", "--prefix=example.com", "--skip-fingerprint-review", str(key))
    done = pods.podctl(strict, "fetch", str(image))
    assert done.status == 0
    assert "image: signature verified:\nimage:   Team <team@example.com>\n" in done.err
    assert pods.podctl(strict, "run", "--net=none", str(image), "--exec=/bin/true").status == 0


@pytest.mark.behaviour("A60")
def test_trust_has_a_bound_and_is_not_unlimited_by_mistake(pods: PodHost, gpg: Gpg) -> None:
    key = pods.base / "bound.asc"
    key.write_bytes(gpg.export(gpg.make("Bound")))
    strict = ("--insecure-options=none", "trust")
    for words, said in (
        ((str(key),), "aborting due to implicit unbounded trust (root domain)"),
        ((), "Usage:\n  podctl trust"),
        (("--root", "--prefix=example.com", str(key)), "--root and --prefix usage mutually exclusive"),
        (("--prefix=https://example.com",), "--prefix must not contain a URL scheme, omit https://"),
        (("--prefix=127.1.2.3/team",), 'discovery failed for "127.1.2.3/team"'),
    ):
        done = pods.podctl(*strict, *words)
        assert (done.status, said in done.err) == (254, True), done.err
    done = pods.podctl("--insecure-options=image", "trust", "--root", str(key))
    assert (done.status, "could not get the keystore" in done.err) == (254, True), done.err
    assert not (pods.base / "etc" / "trustedkeys").exists()
    done = pods.podctl(*strict, "--root", "--skip-fingerprint-review", str(key))
    (added,) = (pods.base / "etc" / "trustedkeys" / "root.d").iterdir()
    assert f'Added root key at "{added}"' in done.out


@pytest.mark.behaviour("A62")
def test_keys_of_servers_need_consent_or_https(pods: PodHost, gpg: Gpg) -> None:
    first, second = gpg.make("First"), gpg.make("Second")
    strict = ("--insecure-options=none", "trust", "--prefix=example.com", "--skip-fingerprint-review")
    with serving() as web:
        web.answer = lambda *_other: (200, {}, gpg.export(first, second))
        done = pods.podctl(*strict, f"{web.url}/key")
        assert (done.status, "--insecure-allow-http required for http URLs" in done.err) == (254, True)
        assert web.asked == []
        done = pods.podctl("--trust-keys-from-https", *strict[:-1], "--insecure-allow-http", f"{web.url}/key")
        assert (done.status, "lack of tty" in done.err) == (254, True)
        done = pods.podctl(*strict, "--insecure-allow-http", f"{web.url}/key")
    assert done.status == 0, done.err
    stored = [path.name for path in (pods.base / "etc/trustedkeys/prefix.d/example.com").iterdir()]
    assert stored in ([first], [second])
    assert "only the first of these keys is trusted" in done.err
    done = pods.podctl(*strict, "ftp://example.com/key")
    assert (done.status, "only local files and http or https URLs are supported" in done.err) == (254, True)


@pytest.mark.behaviour("A62")
def test_a_key_over_https_needs_no_question_where_that_is_wanted(pods: PodHost, gpg: Gpg, tls: Web) -> None:
    tls.answer = lambda *_other: (200, {}, gpg.export(gpg.make("Team of https")))
    words = ("trust", "--prefix=example.com", f"{tls.url}/key")
    # The host trusts the server where its bundle of authorities has the certificate.
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", script, "sh", f"{pods.base}/certificate.pem", BUNDLE]

    def trusting(*flags: str, known: bool = True) -> Done:
        argv = [*(inside if known else ()), PODCTL, *pods.where[:-1], *flags, *words]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        return Done(done.returncode, done.stdout, done.stderr)

    done = trusting()
    assert (done.status, "lack of tty" in done.err) == (254, True), done.err
    done = trusting("--trust-keys-from-https", known=False)
    assert (done.status, "certificate" in done.err) == (254, True), done.err
    done = trusting("--trust-keys-from-https", "--insecure-options=tls", known=False)
    assert (done.status, "lack of tty" in done.err) == (254, True), done.err
    done = trusting("--trust-keys-from-https")
    assert done.status == 0, done.err
    assert 'for prefix "example.com" without fingerprint review.' in done.out
