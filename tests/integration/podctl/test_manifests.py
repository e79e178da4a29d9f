# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a pod's manifest says of ports, volumes and isolators, and what real pods become of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import Done, PodHost, write_image


def manifest_of(pods: PodHost, uuid: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(pods.ok("cat-manifest", uuid))
    return found


@pytest.mark.behaviour("C4", "C1")
@pytest.mark.parametrize(
    ("flags", "names", "message"),
    [
        (["--port=https:8080"], ["one"], 'port name "https" could not be found in any apps'),
        (["--port=http:8080"], ["one", "two"], 'port name "http" defined multiple apps'),
        (
            ["--port=http:8080", "--port=http:8080"],
            ["one"],
            "port tcp-0.0.0.0:8080 already mapped to pod port http",
        ),
        (["--port=http:127.0.0.1:8080", "--port=http:8080"], ["one"], "already mapped to pod port http"),
        (["--port=http:8080", "--port=http:127.0.0.1:8080"], ["one"], "already mapped to pod port http"),
        (["--port=http:127.0.0.1:8080", "--port=http:127.0.0.2:8080"], ["one"], ""),
    ],
)
def test_a_port_is_that_of_one_app_and_taken_once(
    pods: PodHost, flags: Sequence[str], names: Sequence[str], message: str
) -> None:
    images = [word for name in names for word in (pods.image, f"--name={name}")]
    done = pods.podctl("prepare", "--quiet", *flags, *images)
    if message:
        assert (done.status, message in done.err) == (254, True), done.err
        assert pods.uuids() == []
        return
    assert done.status == 0, done.err
    ports = manifest_of(pods, done.out.strip())["ports"]
    assert ports == [
        {"name": "http", "hostPort": 8080, "hostIP": "127.0.0.1"},
        {"name": "http", "hostPort": 8080, "hostIP": "127.0.0.2"},
    ]


@pytest.mark.parametrize(("address", "said"), [("[::1]", True), ("[fe80::1]", True), ("127.0.0.1", False)])
def test_a_port_on_an_address_that_ipv6_does_not_route_is_told(
    pods: PodHost, address: str, said: bool
) -> None:
    done = pods.podctl("prepare", f"--port=http:{address}:8080", pods.image)
    assert done.status == 0, done.err
    assert ("are out of reach: IPv6 routes no packet" in done.err) is said


def of_manifest(
    pods: PodHost, app: dict[str, object], mounts: Sequence[dict[str, str]] = (), **members: object
) -> Done:
    """Run a pod of a manifest with one app. mounts: of it."""
    image = pods.ok("fetch", "--full", pods.image)
    whole = {"user": "0", "group": "0", **app}
    document = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "one", "image": {"id": image}, "app": whole, "mounts": [*mounts]}],
        **members,
    }
    path = pods.base / "pod.json"
    path.write_text(json.dumps(document))
    return pods.podctl("run", "--net=none", f"--pod-manifest={path}")


@pytest.mark.behaviour("C6", "C5")
def test_volumes_that_no_app_uses_are_ignored(pods: PodHost) -> None:
    volumes = [{"name": "away", "kind": "empty"}]
    done = of_manifest(pods, {"exec": ["/bin/ls", "/"]}, volumes=volumes)
    assert (done.status, "away" in done.texts) == (0, False), done.err
    unused = ("--volume=away,kind=empty", pods.image, "--exec=/bin/true")
    assert pods.podctl("run", "--net=none", *unused).status == 0


@pytest.mark.behaviour("C6", "C43")
def test_isolators_of_the_pod_are_applied_and_unknown_ones_of_an_app_are_an_error(pods: PodHost) -> None:
    """Beyond rkt, which accepted those of the pod and did not apply them."""
    own = [{"name": "os/unix/sysctl", "value": {"kernel.msgmax": "9000"}}]
    done = of_manifest(pods, {"exec": ["/bin/cat", "/proc/sys/kernel/msgmax"]}, isolators=own)
    assert (done.status, done.texts) == (0, ["9000"]), done.err
    unknown = [{"name": "example.com/unknown", "value": {}}]
    done = of_manifest(pods, {"exec": ["/bin/true"], "isolators": unknown})
    assert (done.status, "example.com/unknown" in done.err) == (254, True), done.err


IMPLICIT = (
    'no volume specified for mount point "{}", implicitly creating an "empty" volume. '
    "This volume will be removed when the pod is garbage-collected."
)


@pytest.mark.behaviour("C20", "C22")
def test_a_mount_point_without_a_volume_gets_an_empty_one(pods: PodHost) -> None:
    points = [{"name": name, "path": f"/{name}"} for name in ("given", "work")]
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0", "mountPoints": points}
    image = str(write_image(pods.base / "points.aci", "example.com/points", app))
    source = pods.base / "source"
    source.mkdir()
    (source / "seen").touch()
    given = f"--volume=given,kind=host,source={source}"
    script = ("--exec=/bin/sh", "--", "-c", "ls /given; ls -A /work; stat -c '%a %u:%g' /work; touch /work/x")
    done = pods.podctl("run", "--net=none", given, image, *script)
    assert (done.status, done.texts) == (0, ["seen", "755 0:0"]), done.err
    assert IMPLICIT.format("work") in done.err
    assert IMPLICIT.format("given") not in done.err
    (uuid,) = pods.uuids()
    assert (pods.data / "pods/run" / uuid / "sharedVolumes/points-work/x").exists()


@pytest.mark.behaviour("C20")
def test_one_path_is_mounted_once_however_it_is_spelled(pods: PodHost) -> None:
    """The app's mounts go before those of all."""
    for name in ("first", "second"):
        (pods.base / name).mkdir()
        (pods.base / name / name).touch()
    volumes = [f"--volume={name},kind=host,source={pods.base}/{name}" for name in ("first", "second")]
    own, other = "--mount=volume=first,target=/mnt/", "--mount=volume=second,target=/mnt"
    list_it = ("--exec=/bin/ls", "--", "/mnt")
    done = pods.podctl("run", "--net=none", *volumes, other, pods.image, own, *list_it)
    assert (done.status, done.texts) == (0, ["first"]), done.err
    mounts = [{"volume": "nowhere", "path": "/mnt"}]
    done = of_manifest(pods, {"exec": ["/bin/true"]}, mounts)
    assert (done.status, "nowhere" in done.err) == (254, True), done.err


@pytest.mark.behaviour("A24")
def test_prepare_has_no_flags_of_what_run_prepared_decides(pods: PodHost) -> None:
    for flag in (
        *(
            "--net=none",
            "--dns=none",
            "--dns-search=x",
            "--dns-opt=x",
            "--dns-domain=x",
            "--hosts-entry=host",
        ),
        *("--hostname=x", "--ipc=parent", "--mds-register", "--interactive", "--uuid-file-save=/x"),
    ):
        done = pods.podctl("prepare", flag, pods.image)
        wanted = f"Error: unknown flag: {flag.partition('=')[0]}"
        assert (done.status, done.err.splitlines()[0].partition(";")[0]) == (254, wanted)
    assert pods.uuids() == []


@pytest.mark.behaviour("D10")
def test_a_prepared_pod_survives_the_removal_of_its_image(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/cat", "--", "/data/shipped")
    pods.ok("image", "rm", "example.com/busybox")
    pods.ok("image", "gc", "--grace-period=0s")
    done = pods.podctl("run-prepared", "--net=none", uuid)
    assert (done.status, done.texts) == (0, ["from the image"]), done.err


@pytest.mark.behaviour("C12")
def test_an_app_without_a_program_is_told_of(pods: PodHost) -> None:
    app = {"exec": [], "user": "0", "group": "0"}
    image = str(write_image(pods.base / "empty.aci", "example.com/empty", app))
    done = pods.podctl("run", "--net=none", image)
    assert (done.status, 'has an empty "exec" (try --exec=BINARY)' in done.err) == (254, True), done.err
