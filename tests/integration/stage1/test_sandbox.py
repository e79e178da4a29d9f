# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The view and the rights of an app."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    Dns,
    HostsFile,
    RunSpec,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    NO_NET,
    StageLab,
    eventually,
    python,
    until,
)

HOST = HOST_NET.networks
NAMESPACES = ("mnt", "uts", "ipc", "pid", "net", "cgroup")


def isolator(name: str, value: object) -> dict[str, object]:
    return {"name": f"os/linux/{name}", "value": value}


def status_of(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


@pytest.mark.behaviour("C30", "C57", "C37", "C41")
def test_the_pod_has_namespaces_of_its_own(stage: StageLab) -> None:
    script = "for n in mnt uts ipc pid net cgroup; do readlink /proc/self/ns/$n; done; hostname; echo $$"
    pod = stage.sh(script, NO_NET)
    done = pod.call()
    own = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    assert set(own).isdisjoint(done.lines[:6])
    assert done.lines[6] == f"rkt-{pod.uuid}"
    assert int(done.lines[7]) > 1


@pytest.mark.behaviour("C41")
def test_network_and_ipc_can_be_those_of_the_host(stage: StageLab) -> None:
    done = stage.run(
        "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc", RunSpec(networks=HOST, ipc="parent")
    )
    assert done.lines == [os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/ipc")]


@pytest.mark.behaviour("C37", "C38")
def test_the_host_name_can_be_that_of_the_host(stage: StageLab) -> None:
    name = os.uname().nodename
    script = "readlink /proc/self/ns/uts; hostname; cat /etc/hostname; grep -c 127.0.0.1 /etc/hosts; hostname x 2>&1"
    done = stage.run(script, HOST_NET.replace(uts="host"))
    assert done.lines[:4] == [os.readlink("/proc/self/ns/uts"), name, name, "1"], done.err
    assert "Operation not permitted" in done.lines[4]
    assert os.uname().nodename == name
    assert f" {name}" in stage.run("cat /etc/hosts", HOST_NET.replace(uts="host")).text


def test_a_pod_without_network_has_a_loopback_that_is_up(stage: StageLab) -> None:
    done = stage.run("ip -o link; ping -c1 -W1 127.0.0.1 >/dev/null && echo reached", NO_NET)
    assert len(done.lines) == 2
    assert "LOOPBACK,UP" in done.lines[0]
    assert done.lines[1] == "reached"


@pytest.mark.behaviour("C30")
def test_each_app_has_a_root_of_its_own_and_shares_the_rest(stage: StageLab) -> None:
    first = "readlink /proc/self/ns/mnt; touch /mine /dev/shm/here"
    look = "readlink /proc/self/ns/mnt; ls /dev/shm; ls /mine 2>&1; readlink /proc/self/ns/pid"
    second = f"{until('test -e /dev/shm/here')}; {look}"
    done = stage.pod(
        {name: {"exec": ["sh", "-c", script]} for name, script in (("one", first), ("two", second))}
    ).call()
    one = [text for app, text in done.said if app == "one"]
    two = [text for app, text in done.said if app == "two"]
    assert one[0] != two[0]
    assert two[1] == "here"
    assert "No such file" in two[2]


@pytest.mark.behaviour("C8", "C9", "C10")
def test_the_environment_is_that_of_the_manifest_and_the_defaults(stage: StageLab) -> None:
    environment = [{"name": "TEXT", "value": "two\nlines"}, {"name": "HOME", "value": "/tmp"}]
    pod = stage.sh("env -0 | tr '\\0\\n' '\\n_'", environment=environment)
    done = pod.call()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    wanted = {"TEXT=two_lines", "HOME=/tmp", "AC_APP_NAME=main", f"PATH={path}", "USER=root", "LOGNAME=root"}
    assert wanted | {"SHELL=/bin/sh"} == {
        line for line in done.lines if not line.startswith(("PWD=", "SHLVL=", "OLDPWD"))
    }
    saved = pathlib.Path(pod.dir.app_env("main"))
    assert b"TEXT=two\nlines\0" in saved.read_bytes()
    assert saved.stat().st_mode & 0o777 == 0o644


@pytest.mark.behaviour("C15", "C16")
@pytest.mark.parametrize(
    ("user", "group", "gids", "said"),
    [
        ("root", "root", [], "0 0 0"),
        ("worker", "workers", [], "100 200 200"),
        ("7", "8", [9, 10], "7 8 8 9 10"),
        ("/data", "/data", [], "11 12 12"),
        ("worker", "0", [5], "100 0 0 5"),
    ],
)
def test_users_and_groups_are_looked_up_in_the_image(
    stage: StageLab, user: str, group: str, gids: list[int], said: str
) -> None:
    done = stage.run("echo $(id -u) $(id -g) $(id -G)", user=user, group=group, supplementaryGIDs=gids)
    assert done.lines == [said]


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize("docker", [False, True], ids=["appc", "docker"])
def test_a_docker_user_without_a_group_is_its_own_group(stage: StageLab, docker: bool) -> None:
    done = stage.run("id -g", user="worker", group="worker", docker=docker)
    assert (done.lines, done.status) == (["100"], 0) if docker else ([], 254)


@pytest.mark.behaviour("C12", "C14", "C17")
@pytest.mark.parametrize(
    ("program", "name"),
    [("/bin/sh", "/bin/sh"), ("sh", "/bin/sh"), ("./bin/sh", "/data/./bin/sh")],
    ids=["absolute", "bare", "relative"],
)
def test_programs_are_found_as_appc_says(stage: StageLab, program: str, name: str) -> None:
    (stage.tree / "data" / "bin").symlink_to("/bin")
    app = {"exec": [program, "-c", "echo $0; pwd"], "workingDirectory": "/data"}
    assert stage.pod({"main": app}).call().lines == [name, "/data"]


@pytest.mark.behaviour("C12", "C14")
@pytest.mark.parametrize(
    ("path", "found"),
    [("/data/own:/bin", "/data/own/prog"), ("/none:/bin", "/bin/prog"), (None, "/data/prog")],
    ids=["of the manifest", "in its order", "none: the working directory first"],
)
def test_a_bare_name_is_searched_in_the_path_of_the_app(
    stage: StageLab, path: str | None, found: str
) -> None:
    (stage.tree / "data" / "own").mkdir()
    (stage.tree / "data" / "linked").write_text("#!/bin/sh\necho $0\n")
    (stage.tree / "data" / "linked").chmod(0o755)
    for place in ("data/own", "data", "bin"):
        (stage.tree / place / "prog").symlink_to("/data/linked")
    environment = [{"name": "PATH", "value": path}] if path else []
    app = {"exec": ["prog"], "workingDirectory": "/data", "environment": environment}
    done = stage.pod({"main": app}).call()
    assert done.lines == [found], done.err


@pytest.mark.behaviour("C57")
def test_the_process_starts_clean(stage: StageLab) -> None:
    done = stage.run(
        "umask; ls /proc/self/fd; cat /proc/self/status; cut -d' ' -f1,6 /proc/self/stat; readlink /proc/self/fd/0"
    )
    assert done.lines[0] == "0022"
    assert done.lines[1:5] == ["0", "1", "2", "3"]
    status = status_of(done.text)
    assert int(status["SigIgn"], 16) == 1 << 12
    assert int(status["SigBlk"], 16) == 0
    assert done.lines[-1] == "/dev/null"


@pytest.mark.behaviour("C47")
@pytest.mark.parametrize(
    ("isolators", "user", "bounding", "effective"),
    [
        ([], "root", 0xA80425FB, 0xA80425FB),
        ([], "worker", 0xA80425FB, 0),
        ([isolator("capabilities-retain-set", {"set": ["CAP_NET_ADMIN"]})], "root", 1 << 12, 1 << 12),
        (
            [isolator("capabilities-remove-set", {"set": ["CAP_CHOWN", "CAP_SYS_ADMIN"]})],
            "root",
            0xA80425FA,
            0xA80425FA,
        ),
        ([isolator("capabilities-retain-set", {"set": []})], "root", 0, 0),
    ],
    ids=["default", "not root", "retain", "remove", "none"],
)
def test_capabilities_are_bounded(
    stage: StageLab, isolators: list[object], user: str, bounding: int, effective: int
) -> None:
    status = status_of(stage.run("cat /proc/self/status", user=user, group="0", isolators=isolators).text)
    assert (int(status["CapBnd"], 16), int(status["CapEff"], 16)) == (bounding, effective)
    assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0)


@pytest.mark.behaviour("C47")
def test_capabilities_can_be_left_alone(stage: StageLab) -> None:
    done = stage.run("cat /proc/self/status", RunSpec(networks=HOST, insecure=("capabilities",)))
    own = status_of(pathlib.Path("/proc/self/status").read_text())
    assert status_of(done.text)["CapBnd"] == own["CapBnd"]


@pytest.mark.behaviour("C49", "C50", "C53")
def test_every_app_is_under_a_filter_and_only_others_than_root_under_no_new_privileges(
    stage: StageLab,
) -> None:
    root = status_of(stage.run("cat /proc/self/status").text)
    other = status_of(stage.run("cat /proc/self/status", user="worker", group="workers").text)
    insecure = status_of(
        stage.run("cat /proc/self/status", RunSpec(networks=HOST, insecure=("seccomp",))).text
    )
    assert [found["Seccomp"].strip() for found in (root, other, insecure)] == ["2", "2", "0"]
    assert [found["NoNewPrivs"].strip() for found in (root, other, insecure)] == ["0", "1", "0"]


@pytest.mark.behaviour("C53")
def test_no_new_privileges_can_be_asked_for(stage: StageLab) -> None:
    wanted = [isolator("no-new-privileges", True)]
    assert status_of(stage.run("cat /proc/self/status", isolators=wanted).text)["NoNewPrivs"].strip() == "1"


@pytest.mark.behaviour("C53")
@pytest.mark.parametrize(("wanted", "effective"), [(True, "100"), (False, "0")])
def test_a_program_of_root_gives_its_rights_only_without_it(
    stage: StageLab, wanted: bool, effective: str
) -> None:
    """Of an app of a user; without a filter, which implies it."""
    stage.link_libraries()
    own = stage.tree / "bin" / "of-root"
    own.write_bytes(pathlib.Path("/usr/bin/id").read_bytes())
    own.chmod(0o4755)
    more = {**python(""), "exec": ["/bin/of-root", "-u"], "user": "worker", "group": "workers"}
    no_filter = isolator("seccomp-retain-set", {"set": ["@appc.io/all"]})
    volumes = more.pop("volumes")
    app = {**more, "isolators": [isolator("no-new-privileges", wanted), no_filter]}
    done = stage.pod({"main": app}, volumes=volumes).call()  # type: ignore[arg-type]
    assert done.lines == [effective], done.err


@pytest.mark.behaviour("C50")
@pytest.mark.parametrize(
    ("more", "status", "said"), [({}, 31, []), ({"errno": "ENOSPC"}, 1, ["No space"])], ids=["kill", "errno"]
)
def test_a_filtered_call_kills_or_fails(
    stage: StageLab, more: dict[str, str], status: int, said: list[str]
) -> None:
    wanted = [isolator("seccomp-remove-set", {"set": ["mkdir", "mkdirat"], **more})]
    done = stage.pod({"main": {"exec": ["mkdir", "/x"], "isolators": wanted}}).call()
    assert done.status == status
    assert all(words in done.text for words in said)


@pytest.mark.behaviour("C32", "C35")
def test_dev_has_what_apps_expect(stage: StageLab) -> None:
    script = """cd /dev; for n in null zero full random urandom tty ptmx; do stat -L -c '%n %t:%T %a %u:%g' $n; done
    for n in fd stdin stdout stderr log; do readlink $n; done
    echo through > /dev/stdout; echo x > /dev/null; ls /dev/pts"""
    done = stage.run(script, user="worker", group="workers")
    nodes = ["null 1:3", "zero 1:5", "full 1:7", "random 1:8", "urandom 1:9", "tty 5:0", "ptmx 5:2"]
    assert done.lines[:7] == [f"{node} 666 0:0" for node in nodes]
    assert done.lines[7:12] == [
        *(f"/proc/self/fd{end}" for end in ("", "/0", "/1", "/2")),
        "/run/systemd/journal/dev-log",
    ]
    assert done.lines[12:] == ["through", "ptmx"]


@pytest.mark.behaviour("C35")
def test_only_harmless_devices_can_be_made_and_used(stage: StageLab) -> None:
    script = """mknod /zero c 1 5 && dd if=/zero bs=1 count=1 2>/dev/null | wc -c
    mknod /loop c 10 237 || echo refused; mknod /mem c 1 1 || echo refused; mknod /disk b 254 0 || echo refused"""
    done = stage.run(script)
    assert [line for line in done.lines if "mknod" not in line] == ["1", "refused", "refused", "refused"]


@pytest.mark.behaviour("C34")
def test_sensitive_paths_are_hidden_or_read_only(stage: StageLab) -> None:
    script = """ls -ld /proc/kallsyms /sys/firmware /sys/module /sys/power 2>/dev/null | cut -c1-10
    for f in /proc/sys/kernel/core_pattern /proc/sys/vm/panic_on_oom /sys/kernel/profiling; do echo 0 > $f; done 2>&1
    ls /sys/fs; cat /proc/kallsyms | wc -c"""
    done = stage.run(script)
    modes = done.lines[:4]
    assert modes == ["----------", "d---------", "d---------", "d---------"]
    assert [line.endswith("Read-only file system") for line in done.lines[4:7]] == [True] * 3
    assert done.lines[7:] == ["cgroup", "0"]


# Source: behaviours C34.
READ_ONLY = (
    *("/proc/bus", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/panic_on_oom"),
    *(
        "/proc/sysrq-trigger",
        "/sys/block",
        "/sys/bus",
        "/sys/class",
        "/sys/dev",
        "/sys/devices",
        "/sys/kernel",
    ),
)
HIDDEN = (
    *("/sys/firmware", "/sys/hypervisor", "/sys/module", "/sys/power", "/proc/config.gz", "/proc/kallsyms"),
    *("/proc/sched_debug", "/proc/kcore", "/proc/kmem", "/proc/mem"),
)


@pytest.mark.behaviour("C34")
def test_every_path_that_rkt_protected_is_protected(stage: StageLab) -> None:
    """Of those that the kernel has."""
    each = f"for path in {' '.join((*READ_ONLY, *HIDDEN))}; do test -e $path || continue; echo $path"
    script = f"""{each} $(stat -c '%A %s' $path) $(ls -A $path 2>/dev/null | wc -l)
    chmod 0777 $path 2>&1 | sed 's/.*: /said: /'; done"""
    done = stage.run(script)
    found = dict(zip(*(iter(done.lines),) * 2))
    paths = {line.split()[0]: (line.split()[1:], said) for line, said in found.items()}
    there = [path for path in (*READ_ONLY, *HIDDEN) if os.path.exists(path)]
    assert sorted(paths) == sorted(there)
    for path, (shown, said) in paths.items():
        assert said == "said: Read-only file system", path
        if path in HIDDEN and os.path.isdir(path):
            assert (shown[0], shown[2]) == ("d---------", "0"), path
        elif path in HIDDEN:
            assert shown[:2] == ["----------", "0"], path


@pytest.mark.finding("attack-F16")
@pytest.mark.behaviour("C34")
def test_what_tells_of_the_host_is_hidden_where_the_kernel_has_it(stage: StageLab) -> None:
    memory = ["kcore", "kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo", "vmallocinfo"]
    others = ["interrupts", "key-users", "keys", "latency_stats", "sched_debug", "timer_list", "timer_stats"]
    files = [*memory, *others, "kallsyms", "config.gz"]
    folders = ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware"]
    script = f"""cd /proc; for f in {" ".join(files)}
    do test -e $f && ls -l $f | cut -c1-10 && head -c1 $f | wc -c; done
    cd /; for d in {" ".join(folders)} sys/devices/system/cpu/cpu*/thermal_throttle
    do test -d $d && ls -ld $d | cut -c1-10 && ls $d | grep -c .; done; echo done"""
    done = stage.run(script)
    hidden = [name for name in files if os.path.exists(f"/proc/{name}")]
    hidden_folders = [path for path in folders if os.path.isdir(f"/{path}")]
    assert {"keys", "key-users", "interrupts", "timer_list", "vmallocinfo"} <= set(hidden)
    assert done.lines[: 2 * len(hidden)] == ["----------", "0"] * len(hidden)
    assert done.lines[2 * len(hidden) :] == [*["d---------", "0"] * len(hidden_folders), "done"]
    open_to_all = RunSpec(networks=HOST, insecure=("paths",))
    assert stage.run("head -c1 /proc/keys | wc -c", open_to_all).lines == ["1"]


@pytest.mark.behaviour("C34")
def test_paths_can_be_left_alone(stage: StageLab) -> None:
    done = stage.run(
        "ls /sys/module | grep -c .; head -c1 /proc/kallsyms | wc -c",
        RunSpec(networks=HOST, insecure=("paths",)),
    )
    assert int(done.lines[0]) > 5
    assert done.lines[1] == "1"


@pytest.mark.behaviour("C44")
def test_an_app_sees_its_own_control_groups_read_only(stage: StageLab) -> None:
    memory = [{"name": "resource/memory", "value": {"limit": "32M"}}]
    script = """cut -d: -f3 /proc/self/cgroup | sort -u; mkdir /sys/fs/cgroup/memory/x 2>&1 || echo refused
    cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"""
    done = stage.run(script, isolators=memory)
    assert done.lines[0] == "/"
    assert "refused" in done.lines
    assert done.lines[-1] in ("32000000", "31997952")


@pytest.mark.behaviour("C27")
def test_a_read_only_root_keeps_its_other_mounts_writable(stage: StageLab) -> None:
    volume = {"name": "v", "kind": "empty"}
    script = "touch /x 2>&1; touch /vol/x /dev/shm/x && echo written"
    done = stage.run(script, readOnlyRootFS=True, volumes=[volume], mounts=[{"volume": "v", "path": "/vol"}])
    assert done.lines == ["touch: /x: Read-only file system", "written"]


@pytest.mark.behaviour("C31", "C33")
def test_missing_directories_and_names_are_made(stage: StageLab) -> None:
    script = """stat -c '%a' /tmp /run /run/systemd; readlink /etc/mtab
    cat /etc/hostname; ls -l /etc/hostname | cut -c1-10"""
    pod = stage.sh(script)
    assert pod.call().lines == ["1777", "755", "755", "../proc/self/mounts", f"rkt-{pod.uuid}", "-rw-r--r--"]


@pytest.mark.behaviour("C38")
def test_a_hosts_file_is_made_where_the_image_has_none(stage: StageLab) -> None:
    named = RunSpec(networks=HOST, hostname="named")
    assert any(
        line.startswith("127.0.0.1 ") and line.endswith(" named")
        for line in stage.run("cat /etc/hosts", named).lines
    )
    (stage.tree / "etc" / "hosts").write_text("10.0.0.1 shipped\n")
    assert stage.run("cat /etc/hosts", named).lines == ["10.0.0.1 shipped"]
    custom = named.replace(hosts=HostsFile("custom", (("10.0.0.2", ("one", "two")),)))
    assert stage.run("cat /etc/hosts", custom).lines[-1] == "10.0.0.2 one two"
    host = named.replace(hosts=HostsFile("host"))
    assert stage.run("cat /etc/hosts", host).lines == pathlib.Path("/etc/hosts").read_text().splitlines()


@pytest.mark.behaviour("C39", "C40")
def test_resolv_conf_is_what_was_asked_for(stage: StageLab) -> None:
    assert "No such file" in stage.run("cat /etc/resolv.conf").text
    custom = RunSpec(networks=HOST, dns=Dns("custom", ("9.9.9.9",), ("lan",), (), ""))
    assert (
        stage.run("cat /etc/resolv.conf", custom).lines[1:] == ["", "search lan", "nameserver 9.9.9.9"][0:3]
    )
    host = RunSpec(networks=HOST, dns=Dns("host"))
    wanted = pathlib.Path("/etc/resolv.conf").read_text().splitlines()
    assert stage.run("cat /etc/resolv.conf", host).lines == wanted


def test_sysctls_of_the_pod_are_set_and_those_of_the_host_refused(stage: StageLab) -> None:
    own = [{"name": "os/unix/sysctl", "value": {"net.ipv4.ip_default_ttl": "42", "kernel.shmmni": "99"}}]
    done = stage.run("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni", NO_NET, isolators=own)
    assert done.lines == ["42", "99"]
    alien = [{"name": "os/unix/sysctl", "value": {"vm.swappiness": "1"}}]
    assert "belongs to the host" in stage.run("true", NO_NET, isolators=alien).err


@pytest.mark.behaviour("C45")
def test_the_oom_score_is_set(stage: StageLab) -> None:
    done = stage.run("cat /proc/self/oom_score_adj", isolators=[isolator("oom-score-adj", 500)])
    assert done.lines == ["500"]


def test_without_overlay_the_root_is_the_copy(stage: StageLab) -> None:
    pod = stage.sh("touch /written; cat /data/shipped", RunSpec(networks=HOST, overlay=False))
    assert pod.call().lines == ["from the image"]
    assert os.path.exists(f"{pod.dir.app_root('main')}/written")
    assert not (stage.tree / "written").exists()


def test_the_host_is_out_of_reach_of_pid_1s_directory_entries(stage: StageLab) -> None:
    done = stage.run("ls /proc/1/root/ /proc/1/cwd/; cat /proc/1/fd/3 /proc/1/exe")
    assert len(done.lines) == 4
    assert all("Permission denied" in line for line in done.lines), done.lines


def test_pid_1_cannot_write_to_the_host(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    pod.call(detach=True)
    mounts = [line.split() for line in pathlib.Path(f"/proc/{pod.pid()}/mountinfo").read_text().splitlines()]
    root = pod.dir.app_root("main")
    writable = [
        fields[4] for fields in mounts if fields[5].split(",")[0] == "rw" and not fields[4].startswith(root)
    ]
    assert writable == []
    assert not [fields for fields in mounts if "shared:" in " ".join(fields) and fields[4].startswith(root)]


@pytest.mark.behaviour("C11", "C32")
def test_an_app_that_notifies_has_started_when_it_says_so(
    stage: StageLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    script = "test -S $NOTIFY_SOCKET && echo $NOTIFY_SOCKET; sleep 60"
    pod = stage.pod({"main": {"exec": ["sh", "-c", script], "annotations": annotations}})
    process = pod.start(detach=True)
    eventually(lambda: os.path.exists(pod.dir.app_log("main")) and "/run/systemd/notify" in pod.log())
    assert process.poll() is None
    monkeypatch.chdir(f"{pod.dir.stage1_root}/rkt/notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"STATUS=up\nREADY=1", "main")
    assert process.wait(10) == 0
