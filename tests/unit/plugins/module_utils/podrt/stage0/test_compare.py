# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The differences between two pods, and their reasons."""

from __future__ import annotations

import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Capabilities
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import ExposedPort, Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import EmptyVolume, Mount
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import ImageKey
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Difference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.compare import (
    differences,
    options_by_path,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import AppSpec, PodSpec

KEY = b"k" * 32
OLD, NEW = ImageID("sha512-" + "ab" * 32), ImageID("sha512-" + "cd" * 32)
WEB, A, B = ACName("web"), ACName("a"), ACName("b")
APP = App(
    ("/bin/web",), "0", "0", environment=(("LEVEL", "debug"),), ports=(Port(ACName("http"), "tcp", 80),)
)


def pod(
    app: App = APP,
    image: ImageID = OLD,
    version: str = "1",
    *,
    mounts: tuple[Mount, ...] = (),
    ports: tuple[ExposedPort, ...] = (),
    networks: tuple[str, ...] = ("default",),
    apps: tuple[ACName, ...] = (WEB,),
) -> tuple[PodManifest, RunSpec]:
    of_image = RuntimeImage(image, ACIdentifier("example.com/web"), Labels.of(version=version))
    manifest = PodManifest(
        tuple(RuntimeApp(name, of_image, app, mounts=mounts) for name in apps),
        volumes=tuple(EmptyVolume(mount.volume) for mount in mounts),
        ports=ports,
    )
    return manifest, RunSpec("web", networks=tuple(map(NetworkRequest, networks)))


def port(number: int, ip: str | None = None) -> ExposedPort:
    return ExposedPort(ACName("http"), number, ip)


def found(
    before: tuple[PodManifest, RunSpec],
    after: tuple[PodManifest, RunSpec],
    between: tuple[PodManifest, RunSpec] | None = None,
) -> dict[str, Difference]:
    app = AppSpec(ImageKey(OLD), environment=after[0].apps[0].app.environment if after[0].apps[0].app else ())
    spec = PodSpec(tuple(app for _app in after[0].apps), ports=after[0].ports)
    return {difference.path: difference for difference in differences(before, after, KEY, spec, between)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(pod(), pod(), id="nothing"),
        pytest.param(
            pod(APP.replace(supplementary_gids=(1, 2))),
            pod(APP.replace(supplementary_gids=(2, 1))),
            id="groups",
        ),
        pytest.param(
            pod(mounts=(Mount(A, "/a"), Mount(B, "/b"))),
            pod(mounts=(Mount(B, "/b"), Mount(A, "/a"))),
            id="mounts",
        ),
        pytest.param(pod(ports=(port(80), port(81))), pod(ports=(port(81), port(80))), id="ports"),
        pytest.param(pod(networks=("x", "y")), pod(networks=("y", "x")), id="networks"),
        pytest.param(pod(apps=(A, B)), pod(apps=(B, A)), id="apps"),
        pytest.param(
            pod(APP.replace(environment=(("A", "1"), ("B", "2")))),
            pod(APP.replace(environment=(("B", "2"), ("A", "1")))),
            id="variables",
        ),
        pytest.param(
            pod(APP.replace(isolators=(Capabilities("remove", ("CAP_KILL", "CAP_MKNOD")),))),
            pod(APP.replace(isolators=(Capabilities("remove", ("CAP_MKNOD", "CAP_KILL")),))),
            id="capabilities",
        ),
    ],
)
def test_an_order_that_means_nothing_is_no_difference(
    before: tuple[PodManifest, RunSpec], after: tuple[PodManifest, RunSpec]
) -> None:
    assert found(before, after) == {}


@pytest.mark.parametrize(
    ("before", "after", "path", "shown"),
    [
        pytest.param(
            pod(APP.replace(exec=("sh", "-c", "echo hi"))),
            pod(APP.replace(exec=("sh", "-c", "echo", "hi"))),
            "apps[0].args",
            ('["sh", "-c", "echo hi"]', '["sh", "-c", "echo", "hi"]'),
            id="blanks in arguments",
        ),
        pytest.param(
            pod(APP.replace(exec=("x", "a", "b"))),
            pod(APP.replace(exec=("x", "b", "a"))),
            "apps[0].args",
            ('["x", "a", "b"]', '["x", "b", "a"]'),
            id="order of arguments",
        ),
        pytest.param(
            pod(ports=(port(80), port(81))),
            pod(ports=(port(81),)),
            "ports.http",
            ("name=http, host_port=80", None),
            id="one port less",
        ),
        pytest.param(
            pod(ports=(port(80),)),
            pod(ports=(port(80, "10.0.0.1"),)),
            "ports[0].host_ip",
            (None, "10.0.0.1"),
            id="an address",
        ),
        pytest.param(
            pod(ports=(port(80),)), pod(), "ports.http", ("name=http, host_port=80", None), id="no port"
        ),
        pytest.param(
            pod(APP.replace(user="Web")),
            pod(APP.replace(user="web")),
            "apps[0].user",
            ("Web", "web"),
            id="case",
        ),
    ],
)
def test_what_differs_is_named_with_what_it_was_and_becomes(
    before: tuple[PodManifest, RunSpec],
    after: tuple[PodManifest, RunSpec],
    path: str,
    shown: tuple[str | None, str | None],
) -> None:
    (difference,) = found(before, after).values()
    assert (difference.path, (difference.before, difference.after)) == (path, shown)
    assert (difference.reason, difference.impact) == ("playbook", "recreate")


def test_values_of_variables_are_fingerprints() -> None:
    (difference,) = found(pod(), pod(APP.replace(environment=(("LEVEL", "DEBUG"),)))).values()
    assert difference.path == "apps[0].environment.LEVEL"
    assert str(difference.before).startswith("fingerprint:")
    assert difference.before != difference.after
    assert "debug" not in repr(difference).lower().replace("fingerprint", "")


def test_what_an_image_brings_is_its_and_what_is_described_the_playbooks() -> None:
    before = pod()
    between = pod(APP.replace(working_directory="/said"))
    after = pod(APP.replace(working_directory="/said", user="7"), NEW)
    reasons = {path: difference.reason for path, difference in found(before, after, between).items()}
    assert reasons == {
        "apps[0].working_dir": "playbook",
        "apps[0].user": "image",
        "apps[0].image": "image",
    }


def test_another_image_by_another_name_is_wanted_by_the_playbook() -> None:
    reasons = {
        path: difference.reason for path, difference in found(pod(), pod(APP, NEW, "2"), pod()).items()
    }
    assert reasons == {"apps[0].image": "playbook"}


@pytest.mark.finding("http-F7")
@pytest.mark.parametrize("same", [True, False], ids=["in another order", "all others"])
def test_very_many_ports_of_an_image_are_compared_in_linear_time(same: bool) -> None:
    def ports(names: str) -> tuple[Port, ...]:
        return tuple(Port(ACName(f"{names}{number}"), "tcp", number) for number in range(1, 10_000))

    after = ports("p")[::-1] if same else ports("q")
    began = time.process_time()
    spec = PodSpec((AppSpec(ImageKey(NEW), name=WEB),))
    found = differences(pod(APP.replace(ports=ports("p"))), pod(APP.replace(ports=after)), KEY, spec)
    assert len(found) == (0 if same else 2 * 9_999)
    assert time.process_time() - began < 5


def test_a_pod_is_shown_by_the_paths_of_options() -> None:
    shown = options_by_path(pod(mounts=(Mount(A, "/a"),), ports=(port(80), port(81))), KEY)
    assert shown["apps.web.user"] == APP.user
    assert shown["apps.web.exec"] == '["/bin/web"]'
    assert (shown["apps.web.mounts./a.volume"], shown["ports[1].host_port"]) == ("a", "81")
    assert shown["apps.web.environment.LEVEL"].startswith("fingerprint:")
    assert (shown["stop_timeout"], shown["networks.default"]) == ("10", "default")
