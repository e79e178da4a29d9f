# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An image that asks for the whole host: what it gets with and without the operator's consent."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, write_image
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import keys

CAPS, FILTER = "os/linux/capabilities-retain-set", "os/linux/seccomp-retain-set"
DEFAULT = "00000000a80425fb"
# Only CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH and CAP_DAC_OVERRIDE.
ASKED = f"{1 << 21 | 1 << 2 | 1 << 1:016x}"
LOOK = "grep -E '^(CapBnd|CapEff|Seccomp):' /proc/self/status"
ISOLATORS = [
    {"name": CAPS, "value": {"set": ["CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE"]}},
    {"name": FILTER, "value": {"set": ["@appc.io/all"]}},
]


@pytest.fixture
def evil(tmp_path: pathlib.Path) -> str:
    """The image of attack-F1, which asks for the host for its app and its handlers."""
    look = ["/bin/sh", "-c", LOOK]
    app = {
        "exec": look,
        "user": "0",
        "group": "0",
        "isolators": ISOLATORS,
        "eventHandlers": [{"name": name, "exec": look} for name in ("pre-start", "post-stop")],
    }
    return str(write_image(tmp_path / "evil.aci", "example.com/evil", app))


def confinement(effective: str, seccomp: str, times: int = 3) -> list[str]:
    return [f"CapEff:\t{effective}", f"CapBnd:\t{effective}", f"Seccomp:\t{seccomp}"] * times


@pytest.mark.finding("attack-F1")
@pytest.mark.parametrize("command", ["run", "prepare"])
def test_an_image_that_asks_for_the_host_is_refused(pods: PodHost, evil: str, command: str) -> None:
    done = pods.podctl(command, evil)
    assert (done.status, done.out) == (254, "")
    for word in ('app "evil"', CAPS, "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", FILTER, "@appc.io/all"):
        assert word in done.err
    assert "CAP_DAC_OVERRIDE" not in done.err
    for way in ("--image-isolators=accept", "--image-isolators=narrow", "--caps-retain", "--seccomp"):
        assert way in done.err
    assert pods.podctl(command, "--dry-run", evil).status == 254
    assert pods.uuids() == []


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C2", "C18", "C47")
def test_narrowed_the_app_and_its_handlers_have_what_lies_within(pods: PodHost, evil: str) -> None:
    done = pods.podctl("run", "--net=none", "--image-isolators=narrow", evil)
    assert (done.status, done.texts) == (0, confinement(f"{1 << 1:016x}", "2"))
    assert "CAP_SYS_ADMIN" in done.err and "@appc.io/all" in done.err


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C2", "C18", "C47", "C49")
@pytest.mark.parametrize("where", ["pod", "app"])
def test_accepted_the_image_gets_what_it_asks_for(pods: PodHost, evil: str, where: str) -> None:
    flag = "--image-isolators=accept"
    words = (flag, evil) if where == "pod" else ("--image-isolators=refuse", evil, flag)
    done = pods.podctl("run", "--net=none", *words)
    assert (done.status, done.texts) == (0, confinement(ASKED, "0"))
    assert "CAP_SYS_ADMIN" not in done.err


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C2", "C18")
def test_flags_of_the_app_are_consent_and_bind_its_handlers(pods: PodHost, evil: str) -> None:
    done = pods.podctl("run", "--net=none", evil, "--caps-retain=CAP_KILL")
    assert done.status == 254
    assert FILTER in done.err and CAPS not in done.err
    flags = ("--caps-retain=CAP_KILL", "--seccomp=mode=remove,errno=EPERM,reboot")
    done = pods.podctl("run", "--net=none", evil, *flags)
    assert (done.status, done.texts) == (0, confinement(f"{1 << 5:016x}", "2"))


@pytest.mark.finding("attack-F1")
def test_a_host_can_have_rkts_meaning(pods: PodHost, evil: str) -> None:
    policy = pods.base / "etc" / "policy.d" / "rkt.json"
    policy.parent.mkdir(parents=True)
    document = {"rktKind": "policy", "rktVersion": "v1", "imageIsolators": "accept"}
    policy.write_text(json.dumps(document))
    assert pods.podctl("run", "--net=none", evil).texts == confinement(ASKED, "0")
    assert document in json.loads(pods.ok("config"))["stage0"]
    assert pods.podctl("run", "--net=none", "--image-isolators=refuse", evil).status == 254
    policy.write_text(json.dumps({**document, "imageIsolators": "maybe"}))
    done = pods.podctl("run", "--net=none", evil)
    assert done.status == 254
    assert f'{policy}: "imageIsolators" must be one of refuse, narrow, accept' in done.err


@pytest.mark.behaviour("C2", "B27")
def test_the_signature_of_a_trusted_key_is_consent(pods: PodHost, evil: str) -> None:
    """As long as the key is trusted, and unless the operator says otherwise."""
    with keys() as gpg:
        fingerprint = gpg.make("Team <team@example.com>")
        key = pods.base / "team.asc"
        pods.base.mkdir(exist_ok=True)
        key.write_bytes(gpg.export(fingerprint))
        pathlib.Path(f"{evil}.asc").write_bytes(gpg.sign(fingerprint, pathlib.Path(evil).read_bytes()))
    pods.ok(
        "--insecure-options=none", "trust", "--prefix=example.com/evil", "--skip-fingerprint-review", str(key)
    )
    image = pods.ok("--insecure-options=none", "fetch", "--full", evil).strip()
    assert pods.podctl("run", "--net=none", image).texts == confinement(ASKED, "0")
    assert pods.podctl("run", "--net=none", "--image-isolators=refuse", image).status == 254
    policy = pods.base / "etc" / "policy.d" / "strict.json"
    policy.parent.mkdir(parents=True)
    policy.write_text(json.dumps({"rktKind": "policy", "rktVersion": "v1", "imageIsolators": "refuse"}))
    assert pods.podctl("run", "--net=none", image).status == 254
    policy.unlink()
    for trusted in (pods.base / "etc" / "trustedkeys").rglob(fingerprint):
        trusted.unlink()
    assert pods.podctl("run", "--net=none", image).status == 254


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("C5")
def test_a_pod_manifest_is_the_operators_word_but_not_where_the_image_speaks(
    pods: PodHost, evil: str, tmp_path: pathlib.Path
) -> None:
    key = pods.ok("fetch", "--full", evil)
    app = json.loads(pods.ok("image", "cat-manifest", key))["app"]
    path = tmp_path / "pod.json"

    def described(**app_section: object) -> list[str]:
        apps = [{"name": "evil", "image": {"id": key}, **app_section}]
        path.write_text(json.dumps({"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps}))
        return ["run", "--net=none", f"--pod-manifest={path}"]

    assert pods.podctl(*described(app=app)).texts == confinement(ASKED, "0")
    done = pods.podctl(*described())
    assert (done.status, "CAP_SYS_ADMIN" in done.err) == (254, True)
    done = pods.podctl("run", "--net=none", f"--pod-manifest={path}", "--image-isolators=narrow")
    assert done.texts == confinement(f"{1 << 1:016x}", "2")


@pytest.mark.finding("attack-F1")
@pytest.mark.behaviour("D25")
def test_an_insecure_option_lent_to_prepare_is_no_consent_for_a_run_without_it(
    pods: PodHost, evil: str
) -> None:
    uuid = pods.ok("prepare", "--insecure-options=image,capabilities,seccomp", evil)
    done = pods.podctl("run-prepared", "--net=none", "--insecure-options=image", uuid)
    assert done.texts == confinement(f"{1 << 1:016x}", "2")


@pytest.fixture
def two(pods: PodHost, tmp_path: pathlib.Path) -> dict[str, str]:
    """Two images by name: one that mounts keys and has its own data, and one with mount points of both names."""
    found = {}
    points = {"holder": {"data": "/data"}, "thief": {"keys": "/steal", "holder-data": "/steal2"}}
    scripts = {
        "holder": "echo private > /data/x; cat /keys/key; sleep 1",
        "thief": "exec 2> /dev/null; sleep 0.5; cat /steal/key; cat /steal2/x; echo overwritten > /steal/key",
    }
    for name, places in points.items():
        app = {"exec": ["/bin/sh", "-c", scripts[name]], "user": "0", "group": "0"}
        app["mountPoints"] = [{"name": point, "path": path} for point, path in places.items()]
        path = write_image(tmp_path / f"{name}.aci", f"example.com/{name}", app)
        found[name] = pods.ok("fetch", "--full", str(path))
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("the key\n")
    return {**found, "secret": str(secret)}


@pytest.mark.finding("http-F4")
@pytest.mark.behaviour("C20")
def test_an_image_does_not_name_its_way_into_the_volumes_of_another_app(
    pods: PodHost, two: dict[str, str]
) -> None:
    volume, key = f"--volume=keys,kind=host,source={two['secret']}", pathlib.Path(two["secret"], "key")
    words = ("run", "--net=none", volume, two["holder"], "--mount=volume=keys,target=/keys", two["thief"])
    done = pods.podctl(*words)
    assert done.said == [("holder", "the key")]
    assert 'mount point "keys" of app "thief" does not get the volume of that name' in done.err
    assert key.read_text() == "the key\n"
    done = pods.podctl(*words, "--mount=volume=keys,target=keys")
    assert ("thief", "the key") in done.said and "does not get" not in done.err
    assert key.read_text() == "overwritten\n"


@pytest.mark.finding("http-F4")
@pytest.mark.behaviour("C5", "C20")
def test_mount_points_that_a_pod_manifest_names_are_the_operators(
    pods: PodHost, two: dict[str, str], tmp_path: pathlib.Path
) -> None:
    apps: list[dict[str, object]] = [
        {
            "name": "holder",
            "image": {"id": two["holder"]},
            "mounts": [{"volume": "keys", "path": "/keys"}],
        },
        {"name": "thief", "image": {"id": two["thief"]}},
    ]
    volumes = [{"name": "keys", "kind": "host", "source": two["secret"]}]
    path = tmp_path / "pod.json"

    def ran() -> list[tuple[str, str]]:
        document = {"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps, "volumes": volumes}
        path.write_text(json.dumps(document))
        return pods.podctl("run", "--net=none", f"--pod-manifest={path}").said

    assert ran() == [("holder", "the key")]
    apps[1]["app"] = json.loads(pods.ok("image", "cat-manifest", two["thief"]))["app"]
    assert sorted(ran()) == [("holder", "the key"), ("thief", "the key")]
