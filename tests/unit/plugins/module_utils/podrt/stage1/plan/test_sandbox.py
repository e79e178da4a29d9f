# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The plan of a sandbox, made of documents alone."""

from __future__ import annotations

import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import (
    HostVolume,
    NamedVolume,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    Dns,
    HostsFile,
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.mounts import (
    BindStep,
    CopiedRoot,
    FileStep,
    FsStep,
    MaskStep,
    OverlayStep,
    ReadOnlyStep,
    SealStep,
    SharedProcStep,
    Step,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.sandbox import (
    AppInput,
    AppPlan,
    SandboxPlan,
    SeenHost,
    addition_plan,
    environment_of,
    sandbox_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.volumes import (
    HostVolumeStep,
    NewVolume,
    VolumesStep,
)

POD = PodDir("/pods/run/0a0a")
INPUT = AppInput("main", "tree", ("/trees/top", "/trees/base"))
PRIVATE = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET


def manifest(*apps: dict[str, object], **more: object) -> PodManifest:
    given = apps or ({},)
    return PodManifest.from_json(
        {
            "acKind": "PodManifest",
            "acVersion": "0.8.11",
            "apps": [
                {
                    "name": app.pop("name", "main"),
                    "image": {"id": "sha512-" + "0" * 64},
                    "mounts": app.pop("mounts", []),
                    "readOnlyRootFS": app.pop("sealed", False),
                    "app": {"exec": ["/run"], "user": "u", "group": "g", **app},
                }
                for app in given
            ],
            **more,
        }
    )


def plan(
    found: PodManifest | None = None,
    runspec: RunSpec | None = None,
    inputs: tuple[AppInput, ...] = (INPUT,),
    machine: SeenHost | None = None,
) -> SandboxPlan:
    return sandbox_plan(POD, found or manifest(), runspec or RunSpec(), inputs, machine or SeenHost())


def only(
    found: PodManifest | None = None, runspec: RunSpec | None = None, given: AppInput = INPUT
) -> AppPlan:
    return plan(found, runspec, (given,)).apps[0]


def targets(steps: tuple[Step, ...], kind: type[Step]) -> list[str]:
    return [
        str(getattr(step, "target", getattr(step, "path", ""))) for step in steps if isinstance(step, kind)
    ]


@pytest.mark.behaviour("C37", "C41")
@pytest.mark.parametrize(
    ("runspec", "lacks"),
    [
        (RunSpec(), 0),
        (RunSpec(networks=(NetworkRequest("host"),)), CLONE_NEWNET),
        (RunSpec(networks=(NetworkRequest("none"),)), 0),
        (RunSpec(ipc="parent"), CLONE_NEWIPC),
        (RunSpec(ipc="private"), 0),
    ],
    ids=["default", "host network", "no network", "host ipc", "private ipc"],
)
def test_the_namespaces_follow_the_run_spec(runspec: RunSpec, lacks: int) -> None:
    assert plan(runspec=runspec).namespaces == PRIVATE & ~lacks


@pytest.mark.behaviour("C37")
def test_the_host_name_is_the_uuid_or_what_was_asked_for() -> None:
    assert plan().hostname == "rkt-0a0a"
    assert plan(runspec=RunSpec(hostname="named")).hostname == "named"


def test_the_root_is_an_overlay_or_the_copy() -> None:
    overlay = OverlayStep(
        INPUT.lower,
        "/pods/run/0a0a/overlay/tree/upper/main",
        "/pods/run/0a0a/overlay/tree/work/main",
        POD.app_root("main"),
    )
    assert only().root == overlay
    assert only(given=AppInput("main", "tree")).root == CopiedRoot(POD.app_root("main"))


@pytest.mark.behaviour("C32")
def test_all_apps_share_what_the_pod_has_mounted_where_no_image_has_a_say() -> None:
    found = manifest({"name": "one"}, {"name": "two"})
    made = plan(found, inputs=(AppInput("one"), AppInput("two")))
    shared = f"{POD.stage1_root}/rkt/shared"
    assert [(mount.fs_type, mount.target) for mount in made.shared] == [
        ("tmpfs", f"{shared}/shm"),
        ("devpts", f"{shared}/pts"),
        ("proc", f"{shared}/procfs"),
    ]
    for app in made.apps:
        assert {
            BindStep(f"{shared}/shm", "/dev/shm"),
            BindStep(f"{shared}/pts", "/dev/pts"),
        } <= set(app.steps)


def test_no_source_of_a_mount_is_beneath_the_root_of_an_app() -> None:
    found = manifest({"name": "one"}, {"name": "two"})
    for app in plan(found, inputs=(AppInput("one"), AppInput("two"))).apps:
        sources = [step.source for step in (*app.steps, *app.last_steps) if isinstance(step, BindStep)]
        assert not [source for source in sources if "/opt/stage2/" in source]


@pytest.mark.behaviour("C34")
@pytest.mark.parametrize(
    ("runspec", "but"),
    [(RunSpec(), "/proc/sys/net"), (RunSpec(networks=(NetworkRequest("host"),)), "")],
    ids=["own network", "the host's"],
)
def test_the_settings_of_the_kernel_are_read_only_but_for_those_of_the_pods_network(
    runspec: RunSpec, but: str
) -> None:
    steps = [step for step in only(runspec=runspec).steps if isinstance(step, ReadOnlyStep)]
    expected = [ReadOnlyStep("/proc/sys", but), *([ReadOnlyStep(f"{but}/netfilter")] if but else [])]
    assert [
        step for step in steps if step.path.startswith("/proc/sys/") or step.path == "/proc/sys"
    ] == expected


@pytest.mark.behaviour("C34")
def test_insecure_paths_hide_nothing() -> None:
    assert "/proc/kallsyms" in targets(only().steps, MaskStep)
    insecure = only(runspec=RunSpec(insecure=("paths",)))
    assert targets(insecure.steps, MaskStep) == []
    assert insecure.device_rules == ()


@pytest.mark.behaviour("C26")
@pytest.mark.parametrize(
    ("path", "there"),
    [("/sys", False), ("//sys/", False), ("/sys/class", False), ("/system", True), ("/x/sys", True)],
)
def test_sys_gives_way_to_a_mount_in_it(path: str, there: bool) -> None:
    found = manifest({"mounts": [{"volume": "v", "path": path}]}, volumes=[{"name": "v", "kind": "empty"}])
    assert ("/sys" in targets(only(found).steps, FsStep)) is there


@pytest.mark.behaviour("C20", "C22", "C23", "C24")
def test_volumes_come_after_what_is_built_in_and_parents_first() -> None:
    volumes = [
        {"name": "deep", "kind": "host", "source": "/srv/deep", "recursive": False},
        {"name": "top", "kind": "empty", "mode": "0700", "uid": 1, "gid": 2},
    ]
    mounts = [{"volume": "deep", "path": "/a/b"}, {"volume": "top", "path": "a"}]
    steps = only(manifest({"mounts": mounts}, volumes=volumes), given=INPUT.replace(prefill=("top",))).steps
    assert steps[-3:] == (
        VolumesStep(INPUT.name, (NewVolume(POD.volume("top"), 0o700, 1, 2, "a"),)),
        BindStep(POD.volume("top"), "a"),
        HostVolumeStep(
            HostVolume(ACName("deep"), "/srv/deep", recursive=False), "/a/b", False, recursive=False
        ),
    )


def test_a_named_volume_is_told_by_its_name_to_the_end() -> None:
    volumes = [
        {"name": "v", "kind": "host", "source": "/volumes/work/data", "recursive": False, "volume": "work"}
    ]
    step = only(manifest({"mounts": [{"volume": "v", "path": "/v"}]}, volumes=volumes)).steps[-1]
    volume = NamedVolume(ACName("v"), ACName("work"), source="/volumes/work/data")
    assert step == HostVolumeStep(volume, "/v", False, recursive=False)
    assert str(step) == "bind /volumes/work/data /v (volume work)"


def test_a_mount_of_an_unknown_volume_is_an_error() -> None:
    with pytest.raises(InvalidSpec, match='could not find volume "v"'):
        plan(manifest({"mounts": [{"volume": "v", "path": "/v"}]}))


@pytest.mark.behaviour("C38", "C39", "C40")
@pytest.mark.parametrize(
    ("runspec", "sources"),
    [
        (RunSpec(), [f"{POD.stage1_root}/rkt/etc/resolv.conf"]),
        (RunSpec(dns=Dns("none")), []),
        (RunSpec(dns=Dns("host")), ["/etc/resolv.conf"]),
        (
            RunSpec(dns=Dns("none"), hosts=HostsFile("custom", (("10.0.0.1", ("a",)),))),
            [f"{POD.stage1_root}/rkt/etc/hosts"],
        ),
        (RunSpec(dns=Dns("none"), hosts=HostsFile("host")), ["/etc/hosts"]),
    ],
    ids=["as networks say", "no dns", "host dns", "own hosts", "host's hosts"],
)
def test_names_come_from_where_the_run_spec_says(runspec: RunSpec, sources: list[str]) -> None:
    app = only(runspec=runspec)
    found = [
        step.source
        for step in (*app.steps, *app.last_steps)
        if isinstance(step, BindStep) and step.target in ("/etc/hosts", "/etc/resolv.conf")
    ]
    assert found == sources


@pytest.mark.parametrize(
    ("runspec", "mounted", "sources"),
    [
        (RunSpec(names=True), "", ["main.hosts", "servers", "resolv.conf"]),
        (RunSpec(names=True, hosts=HostsFile("custom")), "", ["main.hosts", "servers", "resolv.conf"]),
        (RunSpec(names=True, hosts=HostsFile("host")), "", ["hosts", "servers", "resolv.conf"]),
        (RunSpec(names=True, dns=Dns("custom")), "", ["main.hosts", "resolv.conf"]),
        (RunSpec(names=True, dns=Dns("none")), "", ["main.hosts"]),
        (RunSpec(names=True, networks=(NetworkRequest("none"),)), "", ["main.hosts", "resolv.conf"]),
        (
            RunSpec(names=True, networks=(NetworkRequest("host"),)),
            "",
            ["main.hosts", "servers", "resolv.conf"],
        ),
        (RunSpec(names=True), "/etc/hosts", ["servers", "resolv.conf"]),
        (RunSpec(names=True), "/etc//resolv.conf", ["main.hosts", "resolv.conf"]),
    ],
    ids=[
        "play",
        "entries",
        "host's",
        "own dns",
        "no dns",
        "no network",
        "host network",
        "hosts",
        "resolv.conf",
    ],
)
def test_pods_of_plays_have_names_of_others_and_servers_of_the_host(
    runspec: RunSpec, mounted: str, sources: list[str]
) -> None:
    mounts = [{"volume": "v", "path": mounted}] if mounted else []
    volumes = [{"name": "v", "kind": "host", "source": "/srv/v"}]
    app = only(manifest({"mounts": mounts}, volumes=volumes), runspec=runspec)
    found = [
        os.path.basename(step.source)
        for step in (*app.steps, *app.last_steps)
        if isinstance(step, BindStep) and os.path.basename(step.target) in ("hosts", "resolv.conf")
    ]
    assert found == sources
    assert not any(isinstance(step, FileStep) and step.path == "/etc/hosts" for step in app.steps)


@pytest.mark.behaviour("C27")
def test_a_read_only_root_is_sealed_last() -> None:
    assert only(manifest({"sealed": True})).last_steps[-1] == SealStep("/")
    assert SealStep("/") not in only().last_steps


@pytest.mark.behaviour("C8", "C9", "C11")
def test_the_environment_keeps_what_was_said() -> None:
    app = (
        manifest({"environment": [{"name": "PATH", "value": "/x"}, {"name": "AC_APP_NAME", "value": "no"}]})
        .apps[0]
        .app
    )
    assert app
    found = dict(environment_of(app, "main", notify=True))
    assert (found["PATH"], found["AC_APP_NAME"], found["HOME"]) == ("/x", "main", "/root")
    assert found["NOTIFY_SOCKET"] == "/run/systemd/notify"
    assert only().launch.search is None


@pytest.mark.parametrize(
    ("name", "runspec", "fine"),
    [
        ("net.ipv4.ip_forward", RunSpec(), True),
        ("net.ipv4.ip_forward", RunSpec(networks=(NetworkRequest("host"),)), False),
        ("kernel.shmmax", RunSpec(), True),
        ("kernel.shmmax", RunSpec(ipc="parent"), False),
        ("kernel.domainname", RunSpec(), True),
        ("vm.swappiness", RunSpec(), False),
        ("net../../vm/swappiness", RunSpec(), False),
        ("net.netfilter.nf_hooks_lwtunnel", RunSpec(), False),
    ],
)
def test_only_sysctls_of_the_pod_can_be_set(name: str, runspec: RunSpec, fine: bool) -> None:
    found = manifest({"isolators": [{"name": "os/unix/sysctl", "value": {name: "1"}}]})
    if fine:
        assert plan(found, runspec).sysctls == ((name, "1"),)
    else:
        with pytest.raises(InvalidSpec, match=r"belongs to the host|namespace the pod shares"):
            plan(found, runspec)


def test_the_log_of_a_start_is_the_plan() -> None:
    text = plan().log()
    assert "overlay /pods/run/0a0a/stage1/rootfs/opt/stage2/main/rootfs over /trees/top:/trees/base" in text
    assert "mount -t proc /proc" in text


def added(found: PodManifest, name: str, *, traced: bool = False) -> SandboxPlan:
    documents = found, RunSpec()
    given = INPUT.replace(name=name)
    return addition_plan(POD, documents, given, SeenHost(), None, traced=traced)


def test_an_app_that_is_added_is_planned_as_at_the_start_of_its_pod() -> None:
    mounts = [{"volume": "data", "path": "/data"}]
    volumes = [{"name": "data", "kind": "empty", "mode": "0755", "uid": 0, "gid": 0}]
    found = manifest({"name": "web"}, {"name": "late", "mounts": mounts}, volumes=volumes)
    whole = plan(found, inputs=(INPUT.replace(name="web"), INPUT.replace(name="late")))
    alone = added(found, "late")
    (app,) = alone.apps

    def without_proc(steps: tuple[Step, ...]) -> list[Step]:
        own = (FsStep, SharedProcStep)
        return [step for step in steps if not (isinstance(step, own) and step.target.endswith("/proc"))]

    assert app.replace(steps=()) == whole.apps[1].replace(steps=())
    assert without_proc(app.steps) == without_proc(whole.apps[1].steps)
    assert alone.shared == whole.shared


def test_an_app_that_is_added_gets_the_proc_of_the_pod_and_no_sysctls() -> None:
    sysctl = {"name": "os/unix/sysctl", "value": {"net.core.somaxconn": "9"}}
    alone = added(manifest({"name": "web"}, {"name": "late", "isolators": [sysctl]}), "late")
    steps = alone.apps[0].steps
    assert [step for step in steps if isinstance(step, SharedProcStep)]
    assert not [step for step in steps if isinstance(step, FsStep) and step.fs_type == "proc"]
    assert alone.sysctls == ()


def test_an_app_that_is_added_to_a_pod_with_a_tracer_is_prepared_for_it() -> None:
    found = manifest({"name": "web"}, {"name": "late"})
    assert added(found, "late", traced=True) != added(found, "late")
