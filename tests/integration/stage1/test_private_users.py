# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods with their own users, as their apps and the host see them. Source: behaviours C42, ruling 5."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import mask_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import subids
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.overlays import mount_overlay
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.shifting import (
    OPTIONS,
    ensure_layer,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    NO_NET,
    LabPod,
    StageLab,
    eventually,
)

OWN = NO_NET.replace(private_users=True)
OWN_ON_HOST_NET = HOST_NET.replace(private_users=True)
DATA = [{"volume": "data", "path": "/data"}]


def first_of(pod: LabPod) -> int:
    found = subids.range_of(pod.dir)
    assert found
    return found.first


def volume(source: pathlib.Path, **more: object) -> dict[str, object]:
    return {"volumes": [{"name": "data", "kind": "host", "source": str(source), **more}], "mounts": DATA}


@pytest.mark.behaviour("C42")
@pytest.mark.kernel
def test_an_app_is_root_to_itself_and_no_user_to_the_host(stage: StageLab) -> None:
    pod = stage.sh("id -u; id -g; touch /made; stat -c %u:%g / /etc /dev /dev/null /made; sleep 600", OWN)
    pod.start()
    pod.wait_ready()
    first = first_of(pod)
    eventually(lambda: len(pod.log().splitlines()) >= 7)
    assert [line.split()[-1] for line in pod.log().splitlines()] == ["0", "0", *["0:0"] * 5]
    of_app = children_of(pod.pid())
    assert of_app
    for pid in of_app:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        ids = [line.split()[1:] for line in lines if line.startswith(("Uid", "Gid"))]
        assert ids == [[str(first)] * 4] * 2
        assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(first), "65536"]
    uppers = pathlib.Path(pod.dir.overlays).rglob("made")
    assert [(made.stat().st_uid, made.stat().st_gid) for made in uppers] == [(first, first)]
    assert os.stat(pod.dir.app_env("main")).st_uid == first


def children_of(pid: int) -> list[int]:
    return [int(each) for each in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.behaviour("C42")
@pytest.mark.kernel
def test_its_first_process_has_no_capability(stage: StageLab) -> None:
    pod = stage.sh("sleep 600", OWN)
    pod.start()
    pod.wait_ready()
    lines = pathlib.Path(f"/proc/{pod.pid()}/status").read_text().splitlines()
    assert {line.split()[1] for line in lines if line.startswith("Cap")} == {"0" * 16}


@pytest.mark.behaviour("C42")
@pytest.mark.parametrize("net", [OWN, OWN_ON_HOST_NET], ids=["own network", "network of the host"])
def test_no_app_may_signal_or_trace_what_the_host_has(stage: StageLab, net: object) -> None:
    tracer = [{"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_PTRACE", "CAP_KILL"]}}]
    script = "kill -9 1 && echo killed; ls /proc/1/root/ && echo seen; head -c 1 /proc/1/mem && echo read; echo end"
    done = stage.run(script, net, isolators=tracer)  # type: ignore[arg-type]
    assert done.status == 0 and "end" in done.lines, done.err
    assert not {"killed", "seen", "read"} & set(done.lines)


@pytest.mark.behaviour("C15", "C16", "C42")
def test_users_groups_and_owners_are_the_images(stage: StageLab) -> None:
    own = stage.tree / "own"
    own.write_text("")
    os.chown(own, 100, 200)
    done = stage.run("id -u; id -g; stat -c %u:%g /own", OWN, user="/own", group="/own")
    assert (done.status, done.lines) == (0, ["100", "200", "100:200"]), done.err
    done = stage.run("id -u; id -G", OWN, user="7", group="8", supplementaryGIDs=[9])
    assert (done.status, done.lines) == (0, ["7", "8 9"]), done.err


@pytest.mark.behaviour("C42")
def test_a_user_that_the_pod_does_not_have_is_an_error(stage: StageLab) -> None:
    done = stage.run("true", OWN, user="70000", group="0")
    assert done.status == 254
    assert "user 70000 is out of range" in done.err


def test_a_user_has_no_capability_left(stage: StageLab) -> None:
    done = stage.run("grep Cap[EPI] /proc/self/status", OWN, user="7", group="7")
    assert {line.split()[1] for line in done.lines} == {"0" * 16}, done.err


@pytest.mark.behaviour("C18", "C42")
@pytest.mark.kernel
def test_handlers_are_root_of_the_pod(stage: StageLab) -> None:
    script = "cat /proc/self/uid_map > /tmp/{0}; id -u >> /tmp/{0}"
    handlers = [
        {"name": name, "exec": ["/bin/sh", "-c", script.format(name)]} for name in ("pre-start", "post-stop")
    ]
    pod = stage.sh("cat /tmp/pre-start", OWN, user="7", group="7", eventHandlers=handlers)
    done = pod.call()
    assert done.status == 0, done.err
    first = first_of(pod)
    (left,) = pathlib.Path(pod.dir.overlays).rglob("post-stop")
    for text in ("\n".join(done.lines), left.read_text()):
        assert text.split() == ["0", str(first), "65536", "0"]
    assert left.stat().st_uid == first


@pytest.mark.behaviour("A46", "C42")
@pytest.mark.kernel
def test_a_command_has_the_pods_users(stage: StageLab) -> None:
    pod = stage.sh("sleep 600", OWN)
    pod.start()
    pod.wait_ready()
    done = pod.call("enter", app="main", argv=["cat", "/proc/self/uid_map"])
    assert done.out.split() == ["0", str(first_of(pod)), "65536"], done.err
    done = pod.call("enter", app="main", argv=["id"], user="9", group="10", groups=[11])
    assert "uid=9 gid=10" in done.out
    assert "groups=10,11" in done.out or "groups=11" in done.out
    done = pod.call("enter", app="main", argv=["id"], user="70000", group="10")
    assert done.status == 203
    assert "user 70000 is out of range" in done.err


@pytest.mark.behaviour("C22", "C23", "C42")
@pytest.mark.kernel
def test_empty_volumes_belong_to_whom_they_name(stage: StageLab) -> None:
    (stage.tree / "shipped").mkdir()
    (stage.tree / "shipped" / "file").write_text("from the image")
    os.chown(stage.tree / "shipped" / "file", 5, 6)
    volumes = [
        {"name": "data", "kind": "empty", "mode": "0751", "uid": 9991, "gid": 9992},
        {"name": "main-shipped", "kind": "empty"},
    ]
    mounts = [*DATA, {"volume": "main-shipped", "path": "/shipped"}]
    script = (
        "stat -c %u:%g:%a /data; stat -c %u:%g /shipped/file; cat /shipped/file; echo; "
        "echo x > /shipped/file && echo ok"
    )
    pod = stage.sh(script, OWN, volumes=volumes, mounts=mounts, prefill=["main-shipped"], docker=True)
    done = pod.call()
    assert done.lines == ["9991:9992:751", "5:6", "from the image", "ok"], done.err
    assert os.stat(pod.dir.volume("data")).st_uid == first_of(pod) + 9991


@pytest.mark.behaviour("C42")
@pytest.mark.kernel
def test_no_program_of_root_is_planted_in_a_volume(stage: StageLab, shared: pathlib.Path) -> None:
    """The kernel refuses root of the pod a file that would be root's on the host."""
    (shared / "of-root").write_text("root's")
    (shared / "of-root").chmod(0o600)
    script = (
        "exec 2>&1; cp /bin/busybox /data/planted && chmod 4755 /data/planted && echo planted;"
        "chmod 4755 /data/of-root && echo changed; cat /data/of-root && echo read;"
        "stat -c %u /data/of-root; echo end"
    )
    done = stage.run(script, OWN, **volume(shared))
    assert done.lines[-2:] == ["65534", "end"], done.err
    assert not {"planted", "changed", "read"} & set(done.lines)
    assert [entry.name for entry in shared.iterdir()] == ["of-root"]
    assert stat.S_IMODE((shared / "of-root").stat().st_mode) == 0o600


@pytest.mark.behaviour("C42")
def test_other_users_of_a_volume_are_those_of_the_pod(stage: StageLab, shared: pathlib.Path) -> None:
    os.chown(shared, 1000, 1000)
    done = stage.run(
        "touch /data/new; stat -c %u:%g /data /data/new", OWN, user="1000", group="1000", **volume(shared)
    )
    assert done.lines == ["1000:1000"] * 2, done.err
    assert ((shared / "new").stat().st_uid, (shared / "new").stat().st_gid) == (1000, 1000)


@pytest.mark.behaviour("C42")
@pytest.mark.kernel
def test_a_map_makes_a_user_of_the_volume_root(stage: StageLab, shared: pathlib.Path) -> None:
    os.chown(shared, 1000, 1001)
    more = volume(shared, map=["0:1000:2"])
    done = stage.run("touch /data/new; stat -c %u:%g /data /data/new", OWN, **more)
    assert done.lines == ["0:1", "0:0"], done.err
    assert (shared / "new").stat().st_uid == 1000


@pytest.mark.behaviour("C42")
def test_no_map_gives_root_of_the_host_away(stage: StageLab, shared: pathlib.Path) -> None:
    done = stage.run("true", OWN, **volume(shared, map=["0:0:1"]))
    assert done.status == 254
    assert "ID 0 of the host's files cannot be given to a user of the pod" in done.err
    done = stage.run("stat -c %u /data", OWN, **volume(shared, map=["0:0:1"], readOnly=True))
    assert done.lines == ["0"], done.err


@pytest.mark.behaviour("C42")
def test_below_a_closed_directory_root_is_root(stage: StageLab, tmp_path: pathlib.Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    done = stage.run("touch /data/new && stat -c %u /data/new", OWN, **volume(inner))
    assert done.lines == ["0"], done.err
    assert (inner / "new").stat().st_uid == 0


@pytest.mark.behaviour("C42")
def test_without_a_map_owners_stay_as_they_are(stage: StageLab, shared: pathlib.Path) -> None:
    shared.chmod(0o777)
    done = stage.run(
        "stat -c %u /data; touch /data/new; stat -c %u /data/new", OWN, **volume(shared, map=["none"])
    )
    assert done.lines == ["65534", "0"], done.err
    assert (shared / "new").stat().st_uid >= 0x80000


@pytest.mark.behaviour("C26", "C42")
def test_what_the_kernel_shows_is_shown_as_it_is(stage: StageLab) -> None:
    volumes = [{"name": "data", "kind": "host", "source": "/sys/class", "readOnly": True, "recursive": False}]
    done = stage.run("test -d /data/net && echo there", OWN, volumes=volumes, mounts=DATA)
    assert done.lines == ["there"], done.err


def test_a_mount_without_maps_below_a_volume_is_an_error(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "top" / "proc").mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "proc", tmp_path / "top" / "proc"], check=True)
    done = stage.run("true", OWN, **volume(tmp_path / "top"))
    assert done.status == 254
    assert "has no maps of users; set recursive: false, or map: [none]" in done.err
    done = stage.run("ls /data", OWN, **volume(tmp_path / "top", recursive=False))
    assert (done.status, done.lines) == (0, ["proc"]), done.err


@pytest.mark.behaviour("C28", "C42")
@pytest.mark.parametrize("read_only", [True, False])
def test_devices_of_volumes_belong_to_the_pod(
    stage: StageLab, tmp_path: pathlib.Path, read_only: bool
) -> None:
    os.mknod(tmp_path / "node", stat.S_IFCHR | 0o600, os.makedev(10, 229))
    script = (
        "stat -c %u:%g:%a /node; (exec 3> /node) 2> /dev/null && echo written; (exec 3< /node) && echo read"
    )
    more = {**volume(tmp_path / "node", readOnly=read_only), "mounts": [{"volume": "data", "path": "/node"}]}
    done = stage.run(script, OWN, **more)
    expected = ["0:0:600", *([] if read_only else ["written"]), "read"]
    assert done.lines == expected, done.err


@pytest.mark.behaviour("C35", "C42")
@pytest.mark.kernel
def test_no_device_of_an_image_works(stage: StageLab) -> None:
    os.mknod(stage.tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    done = stage.run(
        "cat /null 2> /dev/null || echo refused; mknod /dev/new c 1 3 2> /dev/null || echo none made", OWN
    )
    assert done.lines == ["refused", "none made"], done.err


def capable(stage: StageLab, name: str, capabilities: tuple[str, ...], *, effective: bool) -> None:
    """Give the image a busybox with file capabilities. Source: linux/capability.h, struct vfs_cap_data."""
    program = stage.tree / name / "busybox"
    program.parent.mkdir()
    program.write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    program.chmod(0o755)
    head = (0x02000000 | effective).to_bytes(4, "little")
    mask = mask_of(capabilities).to_bytes(8, "little")
    os.setxattr(program, "security.capability", head + mask[:4] + bytes(4) + mask[4:] + bytes(4))


@pytest.mark.kernel
def test_file_capabilities_of_an_image_count_within_the_pods_users_alone(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    """They are as those of root there: within the bounding set, and over files of the pod's users."""
    capable(stage, "some", ("CAP_DAC_OVERRIDE",), effective=True)
    capable(stage, "more", ("CAP_DAC_OVERRIDE", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"), effective=False)
    capable(stage, "all", ("CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"), effective=True)
    (tmp_path / "files").mkdir(mode=0o755)
    for name, owner in (("inside", 0), ("outside", 70000)):
        (tmp_path / "files" / name).write_text(f"{name}\n")
        (tmp_path / "files" / name).chmod(0o600)
        os.chown(tmp_path / "files" / name, owner, owner)
    script = """
        cat /data/inside 2> /dev/null || echo denied
        /some/busybox cat /data/inside || echo denied
        /some/busybox cat /data/outside 2> /dev/null || echo denied
        /some/busybox grep CapEff /proc/self/status
        /more/busybox grep CapPrm /proc/self/status
        (/all/busybox true) 2> /dev/null || echo not executed
    """
    # With a filter a user of the image has no-new-privileges, and so none of them.
    without = OWN.replace(insecure=("seccomp",))
    done = stage.run(script, without, user="7", group="7", **volume(tmp_path / "files"))
    held = f"{mask_of(('CAP_DAC_OVERRIDE',)):016x}"
    expected = ["denied", "inside", "denied", f"CapEff:\t{held}", f"CapPrm:\t{held}", "not executed"]
    assert done.lines == expected, done.err
    filtered = stage.run("/some/busybox grep CapEff /proc/self/status", OWN, user="7", group="7")
    assert filtered.lines == [f"CapEff:\t{0:016x}"], filtered.err


@pytest.mark.behaviour("C43")
@pytest.mark.kernel
def test_sysctls_of_each_namespace_can_be_set(stage: StageLab) -> None:
    values = {"kernel.msgmax": "8191", "net.ipv4.ip_default_ttl": "77", "kernel.domainname": "example"}
    isolators = [{"name": "os/unix/sysctl", "value": values}]
    script = (
        "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/domainname; hostname"
    )
    done = stage.run(script, OWN.replace(hostname="named"), isolators=isolators)
    assert done.lines == ["8191", "77", "example", "named"], done.err


@pytest.mark.behaviour("C34", "C42")
@pytest.mark.parametrize(("capabilities", "said"), [([], "refused"), (["CAP_NET_ADMIN"], "set")])
def test_sysctls_of_the_network_take_its_capability(
    stage: StageLab, capabilities: list[str], said: str
) -> None:
    retained = {"name": "os/linux/capabilities-retain-set", "value": {"set": [*capabilities, "CAP_KILL"]}}
    script = "(echo 7 > /proc/sys/net/ipv4/ip_default_ttl) 2> /dev/null && echo set || echo refused"
    assert stage.run(script, OWN, isolators=[retained]).lines == [said]


@pytest.mark.kernel
def test_the_work_of_an_overlay_is_as_with_the_hosts_users(stage: StageLab) -> None:
    (stage.tree / "dir").mkdir()
    (stage.tree / "dir" / "old").write_text("old")
    os.chown(stage.tree / "dir" / "old", 3, 4)
    script = (
        "echo more >> /dir/old; stat -c %u:%g /dir/old; cat /dir/old; rm -r /dir; mkdir /dir; ls /dir; "
        "ln /bin/busybox /linked && echo linked; mkfifo /fifo && echo fifo"
    )
    done = stage.run(script, OWN)
    assert done.lines == ["3:4", "oldmore", "linked", "fifo"], done.err


@pytest.mark.kernel
def test_a_store_in_memory_has_a_layer_where_the_kernel_has_no_maps_for_it(tmp_path: pathlib.Path) -> None:
    """On Linux 6.1 a tmpfs has none; later ones have."""
    subprocess.run(["mount", "-t", "tmpfs", "store", tmp_path], check=True)
    lab = StageLab(tmp_path)
    try:
        (lab.tree / "dir").mkdir()
        (lab.tree / "dir" / "file").write_text("content")
        os.chown(lab.tree / "dir" / "file", 5, 6)
        script = (
            "stat -c %u:%g /dir/file / /bin/busybox; cat /dir/file; echo; echo more >> /dir/file; rm -r /dir"
        )
        pod = lab.sh(f"{script}; id -u", OWN)
        done = pod.call()
        assert done.lines == ["5:6", "0:0", "0:0", "content", "0"], done.err
        maps = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 3)
        assert bool(list(pathlib.Path(pod.dir.overlays).glob("*/shifted/main"))) != maps
    finally:
        lab.close()
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.kernel
def test_a_layer_has_the_owners_where_there_are_no_maps(
    stage: StageLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of it is tested on a kernel whose tmpfs has none."""
    monkeypatch.chdir("/")  # where what mounts leaves its process
    tree = stage.tree
    (tree / "dir").mkdir()
    (tree / "dir" / "file").write_text("content" * 100_000)
    os.chown(tree / "dir" / "file", 5, 70000)
    program = tree / "program"
    program.write_text("#!")
    program.chmod(0o4755)
    setcap = b"\x01\x00\x00\x02" + (1 << 12).to_bytes(4, "little") + bytes(12)
    os.setxattr(program, "security.capability", setcap)
    (tree / "link").symlink_to("/etc/shadow")
    root, layer = stage.paths.data + "/root", stage.paths.data + "/layer"
    for name in ("/root", "/upper", "/work"):
        os.mkdir(stage.paths.data + name)
    users = subids.IdRange(0x80000)
    for _again in range(2):
        ensure_layer((str(tree),), layer, root, users)
    upper = stage.paths.data + "/upper", stage.paths.data + "/work"
    mount_overlay(root, (layer, str(tree)), *upper, OPTIONS)
    try:
        seen = os.stat(f"{root}/dir/file")
        assert (seen.st_uid, seen.st_gid) == (0x80005, 0x80000 + 65534)
        assert pathlib.Path(root, "dir", "file").read_text() == "content" * 100_000
        assert stat.S_IMODE(os.stat(f"{root}/program").st_mode) == 0o4755
        assert os.getxattr(f"{root}/program", "security.capability") == setcap
        assert os.lstat(f"{root}/link").st_uid == 0x80000
        assert os.stat(f"{layer}/dir/file").st_blocks * 512 < 100_000, "the layer has none of the content"
        assert os.stat(layer).st_uid == 0x80000
    finally:
        subprocess.run(["umount", root], check=True)


def test_pods_have_ranges_of_their_own_and_give_them_back(stage: StageLab) -> None:
    pods = [stage.sh("true", OWN) for _each in range(3)]
    firsts = [first_of(pod) for pod in pods]
    assert len(set(firsts)) == 3
    assert all(first % 65536 == 0 for first in firsts)
    subids.free(stage.paths, pods[1].uuid)
    assert first_of(stage.sh("true", OWN)) not in firsts, (
        "a range that was given back is the last to be given"
    )


def test_a_terminal_belongs_to_the_user(stage: StageLab) -> None:
    terminal, slave = os.openpty()
    try:
        process = stage.sh("tty; stat -c %u /dev/console; test -w /dev/tty && echo mine", OWN).start(
            terminal=slave, interactive=True
        )
        assert process.wait(20) == 0
        text = os.read(terminal, 4096).decode()
    finally:
        os.close(terminal)
        os.close(slave)
    assert "mine" in text
