# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Capabilities,
    Cpu,
    Memory,
    Pids,
    Seccomp,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import RuntimeApp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import (
    ExposedPort,
    Port,
    numbered,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.resources import NetworkBandwidth
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    EmptyVolume,
    HostVolume,
    Mount,
    MountPoint,
    NamedVolume,
    app_path,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import NetworkRequest, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    Preparation,
    UndescribedApp,
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.spec import (
    AppSpec,
    PodSpec,
)

ID = ImageID("sha512-" + "ab" * 32)
REFERENCE = parse_reference("example.com/web")
BASE = App(
    exec=("/bin/web", "--fast"),
    user="www",
    group="www",
    environment=(("A", "image"), ("B", "image")),
    mount_points=(MountPoint(ACName("data"), "/data"),),
    ports=(Port(ACName("http"), "tcp", 80),),
    isolators=(Capabilities("remove", ("CAP_KILL",)), Memory(1 << 20)),
)


def image(app: App | None = BASE, *, docker: bool = False) -> Image:
    annotations = Labels((("appc.io/docker/repository", "web"),)) if docker else Labels()
    labels = Labels.of(os="linux", arch="amd64", version="1")
    return Image(ID, ImageManifest(ACIdentifier("example.com/web"), labels, app, annotations=annotations))


def built(spec: PodSpec, *images: Image) -> Preparation:
    return build_manifest(
        spec, images or (image(),), "/volumes/{}/data".format, lambda _image: "refuse", (7, 8)
    )


def app_of(spec: PodSpec, *images: Image) -> RuntimeApp:
    return built(spec, *images).manifest.apps[0]


def app_section(**changes: object) -> App:
    found = app_of(PodSpec((AppSpec(REFERENCE, **changes),))).app  # type: ignore[arg-type]
    if found is None:
        raise AssertionError
    return found


@pytest.mark.behaviour("C1")
def test_an_app_is_what_its_image_says() -> None:
    found = app_of(PodSpec((AppSpec(REFERENCE),)))
    assert (found.name, found.image.id, found.image.name) == ("web", ID, "example.com/web")
    assert found.app == BASE.replace(isolators=(Capabilities("remove", ("CAP_KILL",)), Memory(1 << 20)))


@pytest.mark.behaviour("C2")
def test_what_the_description_says_wins() -> None:
    found = app_section(
        exec=("/bin/sh",), args=("-c", "x"), user="0", working_directory="/srv", supplementary_gids=()
    )
    assert found.exec == ("/bin/sh", "-c", "x")
    assert (found.user, found.group, found.working_directory) == ("0", "www", "/srv")


@pytest.mark.behaviour("C2")
def test_arguments_alone_are_appended_to_the_images() -> None:
    assert app_section(args=("--slow",)).exec == ("/bin/web", "--fast", "--slow")


@pytest.mark.behaviour("C2")
def test_isolators_replace_their_family_and_leave_the_others() -> None:
    found = app_section(isolators=(Capabilities("retain", ("CAP_CHOWN",)), Cpu(500)))
    assert set(found.isolators) == {Capabilities("retain", ("CAP_CHOWN",)), Cpu(500), Memory(1 << 20)}
    assert Memory(2 << 20) in app_section(isolators=(Memory(2 << 20),)).isolators


@pytest.mark.behaviour("C7")
def test_variables_come_in_the_order_of_the_page() -> None:
    spec = PodSpec(
        (AppSpec(REFERENCE, environment=(("E", "app"),)),),
        inherited=tuple((name, "parent") for name in "ABCDEP"),
        env_file=(("C", "file"), ("D", "file"), ("E", "file")),
        set_env=(("D", "set"), ("E", "set")),
    )
    app = app_of(spec).app
    found = dict(app.environment) if app else {}
    assert found == {"A": "image", "B": "image", "C": "file", "D": "set", "E": "app", "P": "parent"}


@pytest.mark.behaviour("C3")
def test_an_image_without_an_app_needs_a_program() -> None:
    with pytest.raises(UndescribedApp) as caught:
        app_of(PodSpec((AppSpec(REFERENCE),)), image(None))
    assert (
        caught.value.reason == "image example.com/web has no app section and --exec argument is not provided"
    )
    found = app_of(PodSpec((AppSpec(REFERENCE, exec=("/bin/sh",)),)), image(None)).app
    assert found == App(("/bin/sh",), "7", "8")


@pytest.mark.behaviour("C12")
def test_an_empty_exec_is_refused() -> None:
    with pytest.raises(InvalidSpec) as caught:
        app_of(PodSpec((AppSpec(REFERENCE),)), image(BASE.replace(exec=())))
    assert caught.value.reason == 'image "example.com/web" has an empty "exec" (try --exec=BINARY)'


@pytest.mark.behaviour("A15", "C3")
def test_two_apps_of_one_image_need_names() -> None:
    twice = PodSpec((AppSpec(REFERENCE), AppSpec(REFERENCE)))
    with pytest.raises(UndescribedApp) as caught:
        built(twice, image(), image())
    assert str(caught.value) == "apps[1].name: multiple apps with name web"
    named = PodSpec((AppSpec(REFERENCE), AppSpec(REFERENCE, name=ACName("other"))))
    assert [app.name for app in built(named, image(), image()).manifest.apps] == ["web", "other"]


@pytest.mark.behaviour("C20")
def test_a_mount_point_without_a_volume_gets_an_empty_one_and_says_so() -> None:
    found = built(PodSpec((AppSpec(REFERENCE),)))
    assert found.manifest.volumes == (EmptyVolume(ACName("web-data")),)
    assert found.manifest.apps[0].mounts == (Mount(ACName("web-data"), "/data"),)
    assert found.warnings[0].startswith('no volume specified for mount point "data", implicitly creating')
    assert found.prefill == ()


@pytest.mark.behaviour("C23")
def test_only_implicit_volumes_of_docker_images_are_filled() -> None:
    assert built(PodSpec((AppSpec(REFERENCE),)), image(docker=True)).prefill == (("web", "web-data"),)
    given = PodSpec((AppSpec(REFERENCE),), volumes=(EmptyVolume(ACName("data")),))
    assert built(given, image(docker=True)).prefill == ()


@pytest.mark.behaviour("C20")
def test_a_mount_point_takes_the_volume_of_its_name() -> None:
    found = app_of(PodSpec((AppSpec(REFERENCE),), volumes=(HostVolume(ACName("data"), "/srv"),)))
    assert found.mounts == (Mount(ACName("data"), "/data"),)


@pytest.mark.behaviour("C20", "A13")
def test_explicit_mounts_come_first_and_each_path_counts_once() -> None:
    one, two = EmptyVolume(ACName("one")), EmptyVolume(ACName("two"))
    spec = PodSpec(
        (AppSpec(REFERENCE, mounts=(Mount(one.name, "/data/"), Mount(one.name, "/x"))),),
        volumes=(one, two),
        mounts=(Mount(two.name, "/x"), Mount(two.name, "/y")),
    )
    assert [(mount.volume, mount.path) for mount in app_of(spec).mounts] == [
        ("one", "/data/"),
        ("one", "/x"),
        ("two", "/y"),
    ]


def with_points(name: str, **points: str) -> Image:
    listed = tuple(MountPoint(ACName(point.replace("_", "-")), path) for point, path in points.items())
    found = image(BASE.replace(mount_points=listed))
    return found.replace(manifest=found.manifest.replace(name=ACIdentifier(f"example.com/{name}")))


KEYS = HostVolume(ACName("keys"), "/srv/keys")


@pytest.mark.finding("http-F4")
@pytest.mark.behaviour("C20")
@pytest.mark.parametrize("first", [0, 1], ids=["the other app first", "the other app last"])
def test_an_image_does_not_name_its_way_into_a_volume_that_another_app_mounts(first: int) -> None:
    holder = (AppSpec(REFERENCE, mounts=(Mount(KEYS.name, "/keys"),)), with_points("a"))
    thief = (AppSpec(REFERENCE), with_points("b", keys="/steal"))
    specs, images = zip(*((holder, thief) if first == 0 else (thief, holder)))
    found = built(PodSpec(specs, volumes=(KEYS,)), *images)
    by_name = {app.name: app.mounts for app in found.manifest.apps}
    assert by_name == {"a": (Mount(KEYS.name, "/keys"),), "b": (Mount(ACName("b-keys"), "/steal"),)}
    assert found.manifest.volumes == (KEYS, EmptyVolume(ACName("b-keys")))
    holder_name = "apps[0]" if first == 0 else "apps[1]"
    assert found.warnings[0] == (
        f'the mount point "keys" of app "b" does not get the volume of that name, which {holder_name} mounts and it '
        "does not. To share it, add {volume: keys, target: keys} to the app's mounts, "
        "--mount=volume=keys,target=keys after its image on the command line"
    )
    assert found.warnings[1].startswith('no volume specified for mount point "keys"')


@pytest.mark.finding("http-F4")
@pytest.mark.behaviour("C20")
@pytest.mark.parametrize(
    ("own", "shared"),
    [((Mount(KEYS.name, "/elsewhere"),), ()), ((), (Mount(KEYS.name, "/elsewhere"),))],
    ids=["its own mount", "a mount of all apps"],
)
def test_an_app_that_mounts_a_volume_too_gets_it_by_name_as_well(
    own: tuple[Mount, ...], shared: tuple[Mount, ...]
) -> None:
    apps = (AppSpec(REFERENCE, mounts=(Mount(KEYS.name, "/keys"),)), AppSpec(REFERENCE, mounts=own))
    found = built(
        PodSpec(apps, volumes=(KEYS,), mounts=shared), with_points("a"), with_points("b", keys="/k")
    )
    assert Mount(KEYS.name, "/k") in found.manifest.apps[1].mounts
    assert found.warnings == ()


@pytest.mark.finding("http-F4")
@pytest.mark.behaviour("C20")
def test_an_implicit_volume_is_its_apps_alone() -> None:
    images = with_points("a", data="/data"), with_points("b", a_data="/steal")
    found = built(PodSpec((AppSpec(REFERENCE), AppSpec(REFERENCE))), *images)
    assert [app.mounts for app in found.manifest.apps] == [
        (Mount(ACName("a-data"), "/data"),),
        (Mount(ACName("b-a-data"), "/steal"),),
    ]


@pytest.mark.finding("attack-F18")
@pytest.mark.parametrize("path", ["/proc", "/proc/", "//proc/1", "/x/../proc/sys", "/proc/./keys"])
def test_nothing_is_mounted_at_or_below_proc(path: str) -> None:
    volume = EmptyVolume(ACName("v"))
    fine, wrong = Mount(volume.name, "/process"), Mount(volume.name, path)
    for where, own, shared in (
        ("apps[0].mounts[1].target", (fine, wrong), ()),
        ("mounts[0].target", (fine,), (wrong,)),
    ):
        with pytest.raises(InvalidSpec, match="cannot be a mount point") as caught:
            app_of(PodSpec((AppSpec(REFERENCE, mounts=own),), volumes=(volume,), mounts=shared))
        assert caught.value.where == where
    assert app_of(PodSpec((AppSpec(REFERENCE, mounts=(fine,)),), volumes=(volume,)))


@pytest.mark.finding("attack-F18")
def test_no_image_has_a_mount_point_at_or_below_proc() -> None:
    app = BASE.replace(mount_points=(MountPoint(ACName("keys"), "//proc/keys"),))
    with pytest.raises(InvalidSpec, match=r'"/proc/keys" of app .* cannot be a mount point') as caught:
        built(PodSpec((AppSpec(REFERENCE),)), image(app))
    assert caught.value.where == "apps[0].image"


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize(
    ("path", "shown", "reason"),
    [
        ("/", "/", "it is the app's root"),
        ("//x/..", "/", "it is the app's root"),
        ("/" + "ä" * 128, "/" + "ä" * 99 + "...", "a name in a path has at most 255 bytes"),
        ("/x" * 2048, "/x" * 50 + "...", "a path has at most 4095 bytes"),
    ],
    ids=["root", "root by a way", "long name", "long path"],
)
def test_a_mount_point_that_nothing_can_be_mounted_at_says_why(path: str, shown: str, reason: str) -> None:
    said = f'"{shown}" of app "web" cannot be a mount point: {reason}'
    volume = EmptyVolume(ACName("v"))
    asked = PodSpec((AppSpec(REFERENCE, mounts=(Mount(volume.name, path),)),), volumes=(volume,))
    with pytest.raises(InvalidSpec) as caught:
        app_of(asked)
    assert (caught.value.reason, caught.value.where) == (said, "apps[0].mounts[0].target")
    shipped = BASE.replace(mount_points=(MountPoint(volume.name, path),))
    with pytest.raises(InvalidSpec) as caught:
        built(PodSpec((AppSpec(REFERENCE),)), image(shipped))
    assert (caught.value.reason, caught.value.where) == (said, "apps[0].image")
    fine = BASE.replace(mount_points=(MountPoint(volume.name, "/" + "ä" * 127),))
    assert built(PodSpec((AppSpec(REFERENCE),)), image(fine)).manifest.apps[0].mounts


@pytest.mark.finding("attack-F18")
@pytest.mark.parametrize("path", ["x", "/x", "//x", "///x", "/./x", "/y/../x/", "../x"])
def test_a_path_has_one_spelling_wherever_it_is_compared(path: str) -> None:
    volumes = (EmptyVolume(ACName("first")), EmptyVolume(ACName("second")))
    mounts = (Mount(volumes[0].name, "/x"), Mount(volumes[1].name, path))
    assert app_path(path) == "/x"
    for listed in (mounts, mounts[::-1]):
        found = app_of(PodSpec((AppSpec(REFERENCE, mounts=listed),), volumes=volumes)).mounts
        assert [mount for mount in found if app_path(mount.path) == "/x"] == [
            Mount(listed[0].volume, listed[0].path)
        ]


def test_a_mount_by_the_name_of_a_mount_point_goes_to_its_path() -> None:
    spec = PodSpec(
        (AppSpec(REFERENCE, mounts=(Mount(ACName("v"), "data"),)),), volumes=(EmptyVolume(ACName("v")),)
    )
    assert app_of(spec).mounts == (Mount(ACName("v"), "/data"),)


def test_a_named_volume_stays_one_and_has_its_directory() -> None:
    spec = PodSpec((AppSpec(REFERENCE),), volumes=(NamedVolume(ACName("data"), ACName("work"), True),))
    (volume,) = built(spec).manifest.volumes
    assert volume == NamedVolume(ACName("data"), ACName("work"), True, "/volumes/work/data")


@pytest.mark.behaviour("A14")
def test_a_mount_without_its_volume_dangles() -> None:
    with pytest.raises(InvalidSpec, match='dangling mount point "/x": volume "none" not found') as caught:
        PodSpec((AppSpec(REFERENCE, mounts=(Mount(ACName("none"), "/x"),)),))
    assert caught.value.where == "apps[0].mounts[0]"


@pytest.mark.behaviour("C4")
@pytest.mark.parametrize(
    ("ports", "complaint"),
    [
        ((ExposedPort(ACName("https"), 1),), 'port name "https" could not be found in any apps'),
        ((ExposedPort(ACName("http"), 1), ExposedPort(ACName("http"), 1)), "already mapped to pod port http"),
        (
            (ExposedPort(ACName("http"), 1, "10.0.0.1"), ExposedPort(ACName("http"), 1)),
            "already mapped to pod port http",
        ),
    ],
)
def test_ports_that_cannot_be_forwarded(ports: tuple[ExposedPort, ...], complaint: str) -> None:
    with pytest.raises(InvalidSpec, match=complaint):
        built(PodSpec((AppSpec(REFERENCE),), ports=ports))


@pytest.mark.behaviour("C4")
def test_a_host_port_may_be_taken_once_on_each_address() -> None:
    ports = (ExposedPort(ACName("http"), 1, "10.0.0.1"), ExposedPort(ACName("http"), 1, "10.0.0.2"))
    assert built(PodSpec((AppSpec(REFERENCE),), ports=ports)).manifest.ports == ports


def test_a_port_that_is_given_by_its_number_goes_by_the_name_that_one_app_has_for_it() -> None:
    """So that it is the same pod, however its task describes it."""
    given = ExposedPort(ACName("80-tcp"), 1, "10.0.0.1", port=80)
    spec = PodSpec((AppSpec(REFERENCE),), ports=(given,))
    assert built(spec).manifest.ports == (ExposedPort(ACName("http"), 1, "10.0.0.1"),)
    other = given.replace(protocol="udp")
    assert built(spec.replace(ports=(other,))).manifest.ports == (other,)
    two = PodSpec((AppSpec(REFERENCE), AppSpec(REFERENCE, name=ACName("other"))), ports=(given,))
    assert built(two, image(), image()).manifest.ports == (given,)


@pytest.mark.parametrize(
    ("ports", "complaint"),
    [
        (((81, 81, 3), (90, 83, 1)), "port tcp-0.0.0.0:83 already mapped to pod port 81-83-tcp"),
        (((81, 81, 3), (90, 84, 1)), ""),
        (((80, 81, 2), (80, 81, 1)), "already mapped"),
    ],
)
def test_no_port_of_a_range_is_taken_twice(ports: tuple[tuple[int, int, int], ...], complaint: str) -> None:
    given = tuple(
        ExposedPort(numbered(port, "tcp", count), host, port=port, count=count) for port, host, count in ports
    )
    spec = PodSpec((AppSpec(REFERENCE),), ports=given)
    if not complaint:
        assert built(spec).manifest.ports == given
        return
    with pytest.raises(InvalidSpec, match=complaint) as caught:
        built(spec)
    assert caught.value.where == "ports[1]"


@pytest.mark.behaviour("C4")
def test_a_port_name_of_two_apps_is_ambiguous() -> None:
    spec = PodSpec(
        (AppSpec(REFERENCE), AppSpec(REFERENCE, name=ACName("other"))),
        ports=(ExposedPort(ACName("http"), 1),),
    )
    with pytest.raises(InvalidSpec, match='port name "http" defined multiple apps'):
        built(spec, image(), image())


@pytest.mark.behaviour("A20")
def test_a_pod_needs_an_app() -> None:
    with pytest.raises(InvalidSpec, match="must provide at least one image"):
        built(PodSpec(()))


@pytest.mark.behaviour("C43")
def test_an_isolator_that_nothing_acts_on_is_said_so() -> None:
    limited = BASE.replace(isolators=(NetworkBandwidth(1),), mount_points=())
    pod = PodSpec((AppSpec(REFERENCE),))
    assert built(pod, image(limited)).warnings == ()
    found = built(pod.replace(run=RunSpec(networks=(NetworkRequest("host"),))), image(limited))
    assert found.warnings == (
        'app "web": the isolator resource/network-bandwidth is not applied: the pod has the network of the host',
    )


@pytest.mark.finding("attack4-F2")
@pytest.mark.parametrize(
    ("network", "given", "warned"),
    [
        ("default", Capabilities("retain", ("CAP_NET_ADMIN", "CAP_CHOWN")), True),
        ("default", Capabilities("retain", ("CAP_NET_RAW",)), False),
        ("default", Capabilities("remove", ("CAP_CHOWN",)), False),
        ("default", None, False),
        ("host", Capabilities("retain", ("CAP_NET_ADMIN",)), False),
        ("none", Capabilities("retain", ("CAP_NET_ADMIN",)), False),
    ],
)
def test_an_app_that_rules_over_the_networks_of_others_is_said_so(
    network: str, given: Capabilities | None, warned: bool
) -> None:
    run = RunSpec(networks=(NetworkRequest(network),))
    app = AppSpec(REFERENCE, isolators=(given,) if given else ())
    plain = image(BASE.replace(mount_points=()))
    found = built(PodSpec((app,), run=run), plain).warnings
    assert [warning.split(",")[0] for warning in found] == ['app "web" has CAP_NET_ADMIN'] * warned


@pytest.mark.finding("attack4-F2")
@pytest.mark.parametrize(("consent", "warned"), [("accept", True), ("narrow", False)])
def test_that_goes_for_what_an_image_is_given_as_it_asks(consent: str, warned: bool) -> None:
    asking = BASE.replace(isolators=(Capabilities("retain", ("CAP_NET_ADMIN",)),), mount_points=())
    found = built(PodSpec((AppSpec(REFERENCE),), image_isolators=consent), image(asking)).warnings
    assert any("rules over the links of this host" in warning for warning in found) is warned


@pytest.mark.behaviour("C49")
def test_a_system_call_that_nobody_knows_is_said_so() -> None:
    names = (
        "@docker/default-whitelist",
        "@systemd/mount",
        "openat2",
        "opennat",
        "@systemd/mounts",
        "@unknown/x",
    )
    filtered = BASE.replace(isolators=(Seccomp("retain", names),), mount_points=())
    # The image asks for the mount family, which is not refused here.
    trusting = PodSpec((AppSpec(REFERENCE),), image_isolators="accept")
    found = built(trusting, image(filtered)).warnings
    assert [warning.split('"')[3] for warning in found] == ["opennat", "@systemd/mounts", "@unknown/x"]
    everything = BASE.replace(isolators=(Seccomp("retain", ("@appc.io/all",)),), mount_points=())
    assert built(trusting, image(everything)).warnings == ()


@pytest.mark.behaviour("C49")
def test_a_call_of_no_set_that_libseccomp_knows_is_known() -> None:
    filtered = BASE.replace(
        isolators=(Seccomp("retain", ("read", "migrate_pages", "fsopen")),), mount_points=()
    )
    assert built(PodSpec((AppSpec(REFERENCE),), image_isolators="accept"), image(filtered)).warnings == ()


@pytest.mark.behaviour("C49")
@pytest.mark.parametrize("errno", ["", "EPERM"])
def test_a_filter_that_retains_nothing_that_exists_is_refused(errno: str) -> None:
    nothing = Seccomp("retain", ("opennat", "@systemd/mounts", "\u00e9"), errno)
    said = 'none of the system calls and sets that app "web" retains are known here: opennat, @systemd/mounts, \u00e9'
    plain, filtered = (
        image(BASE.replace(isolators=isolators, mount_points=())) for isolators in ((), (nothing,))
    )
    for spec, of, where in (
        (AppSpec(REFERENCE, isolators=(nothing,)), plain, "apps[0].seccomp.syscalls"),
        (AppSpec(REFERENCE), filtered, "apps[0].image"),
    ):
        with pytest.raises(InvalidSpec) as caught:
            built(PodSpec((spec,), image_isolators="accept"), of)
        assert (caught.value.reason, caught.value.where) == (said, where)
        assert "seccomp" in caught.value.hint or "@docker/default-whitelist" in caught.value.hint
        # Where no filter applies, none is wrong.
        unfiltered = RunSpec(insecure=("seccomp",))
        built(PodSpec((spec,), run=unfiltered, image_isolators="accept"), of)


@pytest.mark.behaviour("C49")
@pytest.mark.parametrize(
    "isolator",
    [
        Seccomp("retain", ("read", "opennat")),
        Seccomp("retain", ("fsopen",)),
        Seccomp("retain", ("@appc.io/all", "opennat")),
        Seccomp("remove", ("opennat",)),
    ],
)
def test_a_filter_with_a_known_name_or_that_removes_is_left(isolator: Seccomp) -> None:
    spec = PodSpec((AppSpec(REFERENCE, isolators=(isolator,)),))
    unknown = [name for name in isolator.names if name == "opennat"]
    warnings = built(spec, image(BASE.replace(mount_points=()))).warnings
    assert [warning.split('"')[3] for warning in warnings] == unknown


@pytest.mark.finding("attack-F7")
@pytest.mark.parametrize(
    ("image_says", "app_says", "pod_says", "app", "pod"),
    [
        ((), (), (), (), ()),
        ((), (Pids(2048),), (Pids(4096),), (), ()),
        ((Pids(50),), (), (), (Pids(50),), ()),
        ((Pids(50),), (Pids(2048),), (), (), ()),
        ((), (Pids(8000),), (Pids(8000),), (Pids(8000),), ()),
        ((), (Pids(-1),), (Pids(-1),), (Pids(-1),), ()),
        ((), (Pids(8000),), (Pids(4096),), (Pids(8000),), (Pids(4096),)),
    ],
)
def test_a_limit_of_processes_that_holds_anyway_leaves_no_trace(
    image_says: tuple[Pids, ...],
    app_says: tuple[Pids, ...],
    pod_says: tuple[Pids, ...],
    app: tuple[Pids, ...],
    pod: tuple[Pids, ...],
) -> None:
    """A pod of a release without the option is as its play describes it."""
    source = image(BASE.replace(isolators=image_says, mount_points=()))
    found = built(PodSpec((AppSpec(REFERENCE, isolators=app_says),), isolators=pod_says), source).manifest
    assert found.apps[0].app
    assert (found.apps[0].app.isolators, found.isolators) == (app, pod)
