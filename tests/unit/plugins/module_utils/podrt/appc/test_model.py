# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App, EventHandler
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.confinement import (
    AppArmor,
    SeccompProfile,
    SelinuxContext,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import (
    Dependency,
    ImageManifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Capabilities,
    Cpu,
    CpuShares,
    Memory,
    NoNewPrivileges,
    OomScoreAdj,
    Seccomp,
    Sysctl,
    isolator_from_json,
    isolator_to_json,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels, check_platform
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
    SemVer,
    acidentifier_from,
    app_name_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import ExposedPort, Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.quantity import (
    format_bytes,
    parse_bytes,
    parse_millis,
    parse_size,
    parse_units,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.resources import (
    DEVICE_RATES,
    BlkioWeight,
    Cpuset,
    DeviceRates,
    EveryDevice,
    MemoryReservation,
    MemorySwap,
    NetworkBandwidth,
    parse_numbers,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    EmptyVolume,
    HostVolume,
    Mount,
    MountPoint,
    NamedVolume,
    volume_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import (
    Fields,
    canonical_json,
    checked_text,
    parse_json,
)

ID = ImageID("sha512-" + "ab" * 32)
FULL_APP = App(
    exec=("/bin/web", "--port", "80"),
    user="www",
    group="www",
    supplementary_gids=(7, 8),
    event_handlers=(EventHandler("pre-start", ("/bin/init",)), EventHandler("post-stop", ("/bin/clean",))),
    working_directory="/srv",
    environment=(("LEVEL", "debug"), ("TWO", "a\nb")),
    mount_points=(MountPoint(ACName("data"), "/data", True),),
    ports=(Port(ACName("http"), "tcp", 80),),
    isolators=(
        Memory(1 << 27),
        Cpu(750),
        Capabilities("retain", ("CAP_KILL",)),
        Seccomp("remove", ("reboot",), "EPERM"),
    ),
    user_labels=(("team", "red"),),
)


@pytest.mark.behaviour("B7")
@pytest.mark.parametrize("text", ["a", "a-b", "redis2", "0", "a--b", "a---0"])
def test_names_that_are_valid(text: str) -> None:
    assert ACName(text) == text


@pytest.mark.behaviour("B7")
@pytest.mark.parametrize("text", ["", "A", "a_b", "-a", "a-", "--", "a.b", "a\n"])
def test_names_that_are_not_valid_are_named_with_their_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^apps\[0\].name: ") as caught:
        ACName(text, "apps[0].name")
    assert caught.value.facts["where"] == "apps[0].name"


@pytest.mark.behaviour("B7")
def test_identifiers_join_with_more_characters() -> None:
    assert ACIdentifier("example.com/reduce-worker_2~x") == "example.com/reduce-worker_2~x"
    with pytest.raises(InvalidSpec):
        ACIdentifier("example.com/")


@pytest.mark.finding("rkt-R3")
@pytest.mark.behaviour("B7")
@pytest.mark.parametrize("text", ["a--b", "a//b", "a._b", "a..b", "a-~-b", "example.com//x--1"])
def test_separators_in_a_row_are_accepted_as_by_appcs_own_code(text: str) -> None:
    assert ACIdentifier(text) == text


@pytest.mark.finding("rkt-R1")
@pytest.mark.behaviour("B54")
@pytest.mark.parametrize(
    ("count", "wanted"), [({"count": 0}, 1), ({"count": None}, 1), ({}, 1), ({"count": 2}, 2)], ids=str
)
def test_a_port_count_of_zero_is_one(count: dict[str, object], wanted: int) -> None:
    port = Port.of(Fields({"name": "http", "protocol": "tcp", "port": 8080, **count}, "ports[0]"))
    assert port.count == wanted
    with pytest.raises(InvalidSpec):
        Port.of(Fields({"name": "http", "protocol": "tcp", "port": 8080, "count": -1}, "ports[0]"))


@pytest.mark.finding("rkt-R4")
@pytest.mark.behaviour("B9", "C5")
@pytest.mark.parametrize("digits", [2, 32, 64])
def test_a_manifest_may_name_an_image_by_a_beginning_of_its_id(digits: int) -> None:
    text = ID[: len("sha512-") + digits]
    assert RuntimeImage.from_json({"id": text}, "image").id == text
    dependency = Dependency.from_json({"imageName": "example.com/a", "imageID": text}, "dependencies[0]")
    assert (dependency.image_id, dependency.to_json()["imageID"]) == (text, text)
    for wrong in ("sha512-a", "sha256-" + "ab" * 16, "sha512-xyz", "ab" * 20):
        with pytest.raises(InvalidSpec, match="is not an image ID"):
            RuntimeImage.from_json({"id": wrong}, "image")


@pytest.mark.behaviour("B7", "B40")
def test_default_names_come_from_the_last_component() -> None:
    assert app_name_of("example.com/My_App") == "my-app"
    assert acidentifier_from("127.0.0.1:5000/Team/Web") == "127.0.0.1_5000/team/web"


@pytest.mark.behaviour("B8", "B9")
def test_image_ids_are_cut_to_what_is_kept() -> None:
    assert ImageID("sha512-" + "ab" * 64) == ID
    with pytest.raises(InvalidSpec):
        ImageID("sha256-" + "ab" * 32)
    with pytest.raises(InvalidSpec):
        SemVer("1.2")


@pytest.mark.behaviour("C44", "C45")
@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("128M", 128_000_000),
        ("123Mi", 123 << 20),
        ("25Mi", 26214400),
        ("1.5Gi", 3 << 29),
        ("4096", 4096),
        ("1e3", 1000),
        ("1E", 10**18),
    ],
)
def test_quantities_of_bytes(text: str, count: int) -> None:
    assert parse_units(text) == count
    assert parse_units(format_bytes(count)) == count


@pytest.mark.behaviour("C45")
@pytest.mark.parametrize(("text", "millis"), [("750m", 750), ("2", 2000), ("0.5", 500), ("1.0001", 1001)])
def test_quantities_of_cores(text: str, millis: int) -> None:
    assert parse_millis(text) == millis


@pytest.mark.finding("case-15")
@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("512m", "write 512M or 512Mi"),
        ("1.5m", "write 1.5M or 1.5Mi"),
        ("2g", "write 2G or 2Gi"),
        ("2GB", "write 2G or 2Gi"),
        ("64kb", "write 64k or 64Ki"),
        ("64K", "write 64k or 64Ki"),
        ("1 MiB", "write 1M or 1Mi"),
        ("4096b", "write 4096"),
    ],
)
def test_a_size_as_docker_spells_it_is_refused_with_the_right_one(text: str, hint: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_bytes(text, "memory")
    assert (caught.value.where, caught.value.hint) == ("memory", hint)


@pytest.mark.finding("case-15")
@pytest.mark.parametrize("text", ["128M", "64Mi", "1G", "4096", "1k", "1e6", "1.5Gi"])
def test_a_size_in_units_of_appc_is_taken(text: str) -> None:
    assert parse_bytes(text) == parse_units(text)


@pytest.mark.finding("use-N3")
@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(
            (text, 10 << 20)
            for text in ("10m", "10M", "10mb", "10MB", "10MiB", "10Mi", "10 MB", "10.0m", "10485760")
        ),
        *(
            ("512k", 512 << 10),
            ("1g", 1 << 30),
            ("1.5G", 3 << 29),
            ("2t", 2 << 40),
            ("1b", 1),
            ("0", 0),
            ("0.3k", 308),
        ),
    ],
)
def test_a_size_that_rkt_had_not_is_read_as_docker_reads_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.finding("use-N3")
@pytest.mark.parametrize(
    "text", ["", "m", "-1", "10x", "1e6", "10mm", "10  m", "0x10", "1..2", "\u0661", "1" * 41]
)
def test_what_is_no_size_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^log\.max_size: .* is not a size"):
        parse_size(text, "log.max_size")


@pytest.mark.finding("case-16")
@pytest.mark.parametrize("secret", [True, False])
@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "null"), ({"a": "secret"}, "an object"), (["secret"], "a list"), (5, ""), (True, "")],
)
def test_a_value_that_is_no_text_is_named_and_a_secret_one_is_not_shown(
    value: object, found: str, secret: bool
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        checked_text(value, "environment.TOKEN", "TOKEN:", secret=secret)
    assert found in caught.value.message
    assert "secret" not in caught.value.message
    assert bool(caught.value.hint) == (not isinstance(value, (dict, list)))


@pytest.mark.parametrize("text", ["", "12X", "-1", "1 G", "Mi", "0x10", "1e99", "1..2"])
def test_what_is_no_quantity_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^apps\[0\].memory: "):
        parse_units(text, "apps[0].memory")


@pytest.mark.behaviour("C43")
@pytest.mark.parametrize(
    "isolator",
    [
        Memory(1 << 20),
        Cpu(750),
        CpuShares(1024),
        OomScoreAdj(-500),
        Capabilities("remove", ("CAP_MKNOD",)),
        Seccomp("retain", ("@docker/default-whitelist",), "EPERM"),
        NoNewPrivileges(True),
        Sysctl((("net.ipv4.ip_forward", "1"),)),
        SelinuxContext("system_u", "system_r", "spc_t", "s0:c1,c2"),
        AppArmor("docker-default"),
        SeccompProfile("/srv/profile.json", '{"defaultAction":"SCMP_ACT_ALLOW"}'),
        NetworkBandwidth(1_000_000),
        EveryDevice("bandwidth", 2_000_000),
        EveryDevice("iops", 70),
        Memory(1 << 20, 1 << 19),
        MemoryReservation(1 << 20),
        MemorySwap(1 << 30),
        MemorySwap(-1),
        Cpuset("cpus", "0-2,4"),
        Cpuset("mems", "0"),
        BlkioWeight(10),
        *(DeviceRates(of, (("/dev/sda", 1), ("/dev/sdb", 2))) for of in DEVICE_RATES),
    ],
    ids=lambda isolator: isolator.name,
)
def test_isolators_survive_json(isolator: Memory) -> None:
    assert isolator_from_json(isolator_to_json(isolator), "x") == isolator


@pytest.mark.behaviour("C44")
@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"request": "64M", "limit": "64M"}, Memory(64_000_000)),
        ({"limit": "64M"}, Memory(64_000_000)),
        ({"request": "64M"}, Memory(64_000_000)),
        ({"request": "32M", "limit": "64M"}, Memory(64_000_000, 32_000_000)),
        ({"request": "99M", "limit": "64M"}, Memory(64_000_000)),
    ],
    ids=str,
)
def test_a_request_below_the_limit_is_a_reservation(value: dict[str, str], wanted: Memory) -> None:
    assert isolator_from_json({"name": "resource/memory", "value": value}, "x") == wanted


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0", "0"),
        ("3,1,2", "1-3"),
        ("0-2,4", "0-2,4"),
        ("0-1,1-2", "0-2"),
        (" 0 , 7 ", "0,7"),
        ("8191", "8191"),
    ],
)
def test_lists_of_processors_have_one_spelling(text: str, numbers: str) -> None:
    assert parse_numbers(text) == numbers
    assert parse_numbers(numbers) == numbers


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "1-", "2-1", "0,", "8192", "0-99999999999", "1-2-3", "\u0664"]
)
def test_other_lists_of_processors_are_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="is no ") as caught:
        parse_numbers(text, "where")
    assert caught.value.where == "where"


@pytest.mark.parametrize(
    ("isolators", "where"),
    [
        ((MemorySwap(1 << 20),), "memory_swap"),
        ((Memory(1 << 20), MemorySwap(1 << 19)), "memory_swap"),
        ((Memory(1 << 20), MemoryReservation(1 << 21)), "memory_reservation"),
    ],
)
def test_memory_and_swap_go_together(isolators: tuple[Memory, ...], where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        App(("/x",), "0", "0", isolators=isolators)
    assert caught.value.where == where
    App(("/x",), "0", "0", isolators=(Memory(1 << 20), MemorySwap(-1), MemoryReservation(1 << 20)))


@pytest.mark.behaviour("C6", "B54")
def test_an_unknown_isolator_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidSpec, match=r'^apps\[0\].name: unknown isolator "os/linux/apparmor"'):
        isolator_from_json({"name": "os/linux/apparmor", "value": 1}, "apps[0]")


@pytest.mark.behaviour("C43")
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("resource/memory", {"limit": "1k"}, "memory limit of 1000 bytes too low"),
        ("os/linux/cpu-shares", 1, "not between 2 and 262144"),
        ("os/linux/oom-score-adj", 1001, "not between -1000 and 1000"),
        ("os/linux/seccomp-retain-set", {"set": []}, "must not be empty"),
        ("os/linux/seccomp-retain-set", {"set": ["read"], "errno": "nope"}, "not an errno"),
        ("os/linux/capabilities-retain-set", {"set": ["NET_ADMIN"]}, "not a capability"),
        ("os/linux/no-new-privileges", "yes", "expected true or false"),
    ],
)
def test_wrong_isolators_are_refused(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InvalidSpec, match=complaint):
        isolator_from_json({"name": name, "value": value}, "isolators[0]")


@pytest.mark.behaviour("B54")
def test_an_app_survives_json() -> None:
    assert App.from_json(FULL_APP.to_json(), "app") == FULL_APP


@pytest.mark.behaviour("B54")
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"user": ""}, "app.user"),
        ({"workingDirectory": "srv"}, "app.workingDirectory"),
        ({"environment": [{"name": "1A", "value": ""}]}, "app.environment"),
        ({"environment": [{"name": "A", "value": ""}, {"name": "A", "value": "2"}]}, "app.environment"),
        ({"eventHandlers": [{"name": "pre-stop", "exec": []}]}, "app.eventHandlers[0].name"),
        ({"ports": [{"name": "http", "protocol": "tcp", "port": 65536}]}, "app.ports[0].port"),
        ({"mountPoints": [{"name": "data", "path": ""}]}, "app.mountPoints[0].path"),
        ({"exec": "sh"}, "app.exec"),
        ({"supplementaryGIDs": [True]}, "app.supplementaryGIDs[0]"),
    ],
)
def test_a_wrong_app_is_refused_with_the_place(change: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        App.from_json({**FULL_APP.to_json(), **change}, "app")
    assert caught.value.where == where


def test_retain_and_remove_sets_exclude_each_other() -> None:
    both = (Capabilities("retain", ("CAP_KILL",)), Capabilities("remove", ("CAP_CHOWN",)))
    with pytest.raises(InvalidSpec, match="both as a retain set and as a remove set"):
        FULL_APP.replace(isolators=both)


@pytest.mark.behaviour("B11", "B51")
def test_an_image_manifest_survives_json() -> None:
    manifest = ImageManifest(
        ACIdentifier("example.com/web"),
        Labels.of(os="linux", arch="amd64", version="1.0.0"),
        FULL_APP,
        (Dependency(ACIdentifier("example.com/base"), ID, Labels.of(version="2")),),
        ("/bin/web",),
        Labels.of(created="today"),
    )
    text = canonical_json(manifest.to_json())
    assert ImageManifest.from_json(parse_json(text, "x")) == manifest
    assert manifest.full_name == "example.com/web:1.0.0"


@pytest.mark.behaviour("B11")
@pytest.mark.parametrize("key", ["acKind", "acVersion", "name"])
def test_an_image_manifest_lacks_nothing(key: str) -> None:
    document = ImageManifest(ACIdentifier("example.com/web")).to_json()
    del document[key]
    with pytest.raises(InvalidSpec, match=key):
        ImageManifest.from_json(document)


@pytest.mark.behaviour("B53")
@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ({"arch": "amd64"}, "missing os label in the image manifest"),
        ({"os": "linux"}, "missing arch label in the image manifest"),
        ({"os": "freebsd", "arch": "amd64"}, r'bad os "freebsd" \(must be one of: \[linux\]\)'),
        ({"os": "linux", "arch": "vax"}, r'bad arch "vax" for linux \(must be one of: \[amd64 i386 aarch64'),
    ],
)
def test_images_of_other_platforms_are_refused(labels: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidSpec, match=complaint):
        check_platform(Labels.of(**labels))


@pytest.mark.behaviour("A19", "B55")
@pytest.mark.parametrize(
    "volume",
    [
        HostVolume(ACName("data"), "/srv", True, False),
        HostVolume(ACName("data"), "/srv"),
        NamedVolume(ACName("data"), ACName("work"), True, "/volumes/work/data"),
        EmptyVolume(ACName("tmp"), None, 0o1777, 9991, 9992),
    ],
)
def test_volumes_survive_json(volume: HostVolume | NamedVolume | EmptyVolume) -> None:
    assert volume_of(Fields(volume.to_json(), "volumes[0]")) == volume


@pytest.mark.behaviour("A19", "B55")
@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"name": "a", "kind": "host"}, "volumes[0].source"),
        ({"name": "a", "kind": "host", "source": "rel"}, "volumes[0].source"),
        ({"name": "a", "kind": "host", "source": "/x", "mode": "0755"}, "volumes[0].mode"),
        ({"name": "a", "kind": "host", "volume": "b"}, "volumes[0].source"),
        ({"name": "a", "kind": "host", "source": "/x", "volume": "B"}, "volumes[0].volume"),
        ({"name": "a", "kind": "empty", "volume": "b"}, "volumes[0].volume"),
        ({"name": "a", "kind": "empty", "source": "/x"}, "volumes[0].source"),
        ({"name": "a", "kind": "empty", "mode": "9"}, "volumes[0].mode"),
        ({"name": "a", "kind": "nfs"}, "volumes[0].kind"),
        ({"name": "A", "kind": "empty"}, "volumes[0].name"),
    ],
)
def test_wrong_volumes_are_refused_with_the_place(value: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        volume_of(Fields(value, "volumes[0]"))
    assert caught.value.where == where


@pytest.mark.behaviour("C1")
def test_a_pod_manifest_survives_json() -> None:
    manifest = PodManifest(
        apps=(
            RuntimeApp(
                ACName("web"),
                RuntimeImage(ID, ACIdentifier("example.com/web"), Labels.of(version="1")),
                FULL_APP,
                True,
                (Mount(ACName("data"), "/data"),),
                Labels.of(note="x"),
            ),
        ),
        volumes=(EmptyVolume(ACName("data")),),
        isolators=(Memory(1 << 20),),
        ports=(ExposedPort(ACName("http"), 8080, "127.0.0.1"),),
        user_labels=(("team", "red"),),
    )
    assert PodManifest.from_json(parse_json(canonical_json(manifest.to_json()), "pod")) == manifest


@pytest.mark.behaviour("C1")
def test_a_host_port_may_bring_its_port_of_the_pod() -> None:
    port = {"name": "web", "protocol": "udp", "port": 8080, "count": 2}
    exposed = {"name": "web", "hostPort": 80, "hostIP": "127.0.0.1", "podPort": port}
    found = ExposedPort.of(Fields(exposed, "ports[0]"))
    assert found == ExposedPort(ACName("web"), 80, "127.0.0.1", 8080, "udp", 2)
    assert ExposedPort.of(Fields(found.to_json(), "ports[0]")) == found
    for wrong, where in (
        ({"port": 0}, "podPort.port"),
        ({"protocol": "x"}, "podPort.protocol"),
        ({"name": 1}, "podPort.name"),
    ):
        with pytest.raises(InvalidSpec) as caught:
            ExposedPort.of(Fields({**exposed, "podPort": {**port, **wrong}}, "ports[0]"))
        assert caught.value.where == f"ports[0].{where}"
    with pytest.raises(InvalidSpec) as caught:
        ExposedPort.of(Fields({**exposed, "podPort": 8080}, "ports[0]"))
    assert caught.value.where == "ports[0].podPort"


@pytest.mark.behaviour("A19", "C5")
def test_a_pod_names_apps_and_volumes_once() -> None:
    app = RuntimeApp(ACName("web"), RuntimeImage(ID))
    with pytest.raises(InvalidSpec, match="multiple apps with same name: web"):
        PodManifest((app, app))
    with pytest.raises(InvalidSpec, match='duplicate volume name "data"'):
        PodManifest((app,), (EmptyVolume(ACName("data")), HostVolume(ACName("data"), "/x")))


def test_errors_say_where_at_any_depth() -> None:
    document = PodManifest((RuntimeApp(ACName("web"), RuntimeImage(ID), FULL_APP),)).to_json()
    document["apps"][0]["app"]["mountPoints"][0]["path"] = 7  # type: ignore[index]
    with pytest.raises(
        InvalidSpec, match=r"^apps\[0\]\.app\.mountPoints\[0\]\.path: expected a string, found 7"
    ):
        PodManifest.from_json(document)


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000])
def test_broken_json_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(InvalidSpec, match="manifest is not valid JSON"):
        parse_json(data, "manifest")


@pytest.mark.finding("http-F3")
@pytest.mark.parametrize("listed", [["/" + "a" * 5000], [f"/{number}" + "/a" * 2000 for number in range(60)]])
def test_a_white_list_has_bounds(listed: list[str]) -> None:
    value = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a", "pathWhitelist": listed}
    with pytest.raises(InvalidSpec, match="pathWhitelist"):
        ImageManifest.from_json(value)


@pytest.mark.finding("http-F7")
@pytest.mark.timeout(30)
def test_what_apps_mount_is_found_in_linear_time() -> None:
    """It would take half an hour if each volume were searched for from the first one."""
    names = [ACName(f"v{number}") for number in range(60_000)]
    points = tuple(MountPoint(name, "/x", read_only=name == "v7") for name in names)
    app = RuntimeApp(
        ACName("a"),
        RuntimeImage(ImageID("sha512-" + "ab" * 32)),
        App((), "0", "0", mount_points=points),
        mounts=tuple(Mount(name, f"/{name}") for name in names),
    )
    volumes = tuple(HostVolume(name, "/srv", read_only=True if name == "v8" else None) for name in names)
    mounted = PodManifest((app,), volumes).mounted(app)
    assert [mount.volume for mount in mounted] == list(volumes)
    assert [mount.name for mount in mounted if mount.read_only] == ["v7", "v8"]
