# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Attacks of an image on its host, each as in the report."""

from __future__ import annotations

import os
import pathlib
import pty
import shutil
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import execution
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import Dns, RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    NO_NET,
    PYTHON,
    RUNTIME,
    LabPod,
    StageLab,
    eventually,
    finish,
)

WHO = ({}, {"user": "7", "group": "8"})
FDS = range(3, 24)
UP = "/.." * 16
TRACER = [
    {
        "name": "os/linux/capabilities-retain-set",
        "value": {"set": ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"]},
    }
]


def handler(event: str, argv: list[str]) -> dict[str, object]:
    return {"name": event, "exec": argv}


@pytest.fixture
def secret(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file of the host, in a separate file system."""
    place = tmp_path / "host-only"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "lab", place], check=True, timeout=10)
    (place / "secret").write_text("of the host\n")
    yield place / "secret"
    subprocess.run(["umount", "-l", place], check=True, timeout=10)


@pytest.mark.finding("CVE-2024-21626")
@pytest.mark.behaviour("C17")
@pytest.mark.parametrize("who", WHO, ids=["root", "a user"])
def test_no_descriptor_of_the_host_can_be_the_working_directory(
    stage: StageLab, secret: pathlib.Path, who: dict[str, str]
) -> None:
    script = f"cat ../../../../../../../../../../../..{secret}"
    for number in FDS[::5] if who else FDS:
        done = stage.run(script, workingDirectory=f"/proc/self/fd/{number}", **who)
        assert done.status == execution.CHDIR_FAILED, (number, done.text)


@pytest.mark.finding("CVE-2024-21626")
@pytest.mark.parametrize(
    "path", ["/proc/self/fd/7", "/proc/self/fd/9/made", "/proc/1/cwd/made", "/proc/made"]
)
def test_no_working_directory_of_a_docker_image_is_made_outside_of_its_root(
    stage: StageLab, path: str
) -> None:
    """A missing one is made by a process that has the directories of the host."""
    done = stage.run("echo ran", workingDirectory=path, docker=True)
    assert (done.status, "ran" in done.lines) == (execution.CHDIR_FAILED, False), done.text
    assert not any(os.path.lexists(f"{place}/made") for place in ("", os.getcwd(), stage.tree))


@pytest.mark.behaviour("C17")
@pytest.mark.parametrize("who", WHO, ids=["root", "a user"])
@pytest.mark.parametrize("link", ["/proc/1/root", "/proc/1/cwd"])
def test_the_root_of_pid_1_cannot_be_the_working_directory(
    stage: StageLab, link: str, who: dict[str, str]
) -> None:
    assert stage.run("ls", workingDirectory=link, **who).status == execution.CHDIR_FAILED


@pytest.mark.behaviour("C12", "C18")
@pytest.mark.parametrize("as_handler", [False, True], ids=["app", "pre-start"])
def test_no_program_of_the_host_can_be_named_by_a_descriptor(stage: StageLab, as_handler: bool) -> None:
    apps = {}
    for number in FDS:
        argv = [f"/proc/self/fd/{number}{UP}/bin/busybox", "echo", "ran"]
        more = {"exec": ["/bin/true"], "eventHandlers": [handler("pre-start", argv)]}
        apps[f"a{number}"] = more if as_handler else {"exec": argv}
    for name, app in apps.items():
        done = stage.pod({name: app}).call()
        assert done.status != 0
        assert "ran" not in done.lines


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_system_directory_of_the_image_may_not_be_a_link(stage: StageLab, name: str) -> None:
    if (stage.tree / name).exists():
        (stage.tree / name).rmdir()
    (stage.tree / name).symlink_to("data")
    done = stage.run("echo ran")
    assert (done.status, done.lines) == (254, [])
    assert f"/{name}" in done.err


@pytest.mark.behaviour("C33")
def test_the_host_name_is_not_looked_up_where_an_image_leads(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("of the host\n")
    (stage.tree / "proc").symlink_to("../rootfs/evil")
    (stage.tree / "rootfs" / "evil").mkdir(parents=True)
    (stage.tree / "evil" / "sys" / "kernel").mkdir(parents=True)
    (stage.tree / "evil" / "sys" / "kernel" / "hostname").symlink_to("/")
    found = f"/etc/hostname{tmp_path}/secret"
    done = stage.run(f"cat {found}; echo changed > {found}")
    assert "of the host" not in done.lines
    assert (tmp_path / "secret").read_text() == "of the host\n"


@pytest.mark.behaviour("C32")
def test_what_apps_share_is_not_looked_up_where_an_image_leads(stage: StageLab) -> None:
    (stage.tree / "q" / "r").mkdir(parents=True)
    (stage.tree / "q" / "dev").mkdir()
    (stage.tree / "var").symlink_to("/q/r")
    (stage.tree / "dev").symlink_to("/var/../dev")
    pathlib.Path("/dev/shm/of-the-host").touch()
    try:
        apps = {"one": {"exec": ["/bin/sleep", "1"]}, "two": {"exec": ["/bin/ls", "/dev/shm"]}}
        assert ("two", "of-the-host") not in stage.pod(apps).call().said
    finally:
        pathlib.Path("/dev/shm/of-the-host").unlink()


@pytest.mark.hosts_users
def test_a_tracer_of_pid_1_finds_nothing_of_the_host(stage: StageLab, secret: pathlib.Path) -> None:
    script = f"""cat /proc/1/root{secret} /proc/1/cwd{secret}
    for f in /proc/1/fd/*; do test -d $f/ && echo dir && cat $f{UP}{secret} && echo changed > $f{UP}{secret}; done
    for d in /proc/1/root /proc/1/root/usr /proc/1/root{PYTHON}; do touch $d && echo written; done"""
    done = stage.run(script, isolators=TRACER)
    assert "dir" in done.lines, done.text  # the lock of the pod, at the least
    assert "of the host" not in done.lines
    assert "written" not in done.lines
    assert secret.read_text() == "of the host\n"


@pytest.mark.behaviour("D4")
@pytest.mark.hosts_users
def test_a_tracer_cannot_write_into_the_directory_of_the_pod(stage: StageLab) -> None:
    script = "for f in /proc/1/fd/*; do test -e $f/pod && echo seen && touch $f/pod $f/new; done"
    pod = stage.sh(script, isolators=TRACER)
    done = pod.call()
    assert done.lines[0] == "seen"
    assert not os.path.exists(f"{pod.dir.path}/new")


@pytest.mark.finding("attack-F3")
@pytest.mark.hosts_users
def test_a_tracer_makes_removes_and_renames_nothing_where_logs_and_statuses_are(
    stage: StageLab, secret: pathlib.Path
) -> None:
    script = f"""for d in /proc/1/fd/* /proc/1/cwd /proc/1/root; do test -d $d/ || continue
    for at in $d $d/logs $d/stage1/rootfs/rkt $d/stage1/rootfs/rkt/status; do
    ln -s {secret} $at/new; mknod $at/pipe p; mkdir $at/dir; touch $at/touched
    ln -sf /dev/zero $at/main; rm -f $at/main $at/main.log; mv $at/main.log $at/moved; done; done 2>/dev/null
    for f in /proc/1/fd/*; do test -f $f && echo file && rm -f $f; done; exit 4"""
    caps = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_MKNOD"]
    pod = stage.sh(script, isolators=[{"name": "os/linux/capabilities-retain-set", "value": {"set": caps}}])
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    pod.wait_ended()
    assert sorted(os.listdir(pod.dir.logs)) == ["main.log", "main.log.1", "main.log.2"]
    assert sorted(os.listdir(pod.dir.statuses)) == ["main", "main.end"]
    found = [f"{pod.dir.logs}/{name}" for name in os.listdir(pod.dir.logs)]
    assert all(stat.S_ISREG(os.lstat(path).st_mode) for path in (*found, pod.dir.app_status("main")))
    assert "stdout file" in pod.log()
    assert pod.statuses() == {"main": 4}


def test_pid_1_has_no_more_privileges_than_its_work_takes(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    pod.call(detach=True)
    status = pathlib.Path(f"/proc/{pod.pid()}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in status)
    kill, wake_alarm = 1 << 5, 1 << 35
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(found[name], 16) & ~(kill | wake_alarm) == 0


def test_the_mounts_of_the_host_cannot_be_read_from_pid_1(stage: StageLab, secret: pathlib.Path) -> None:
    done = stage.run("cat /proc/1/mountinfo")
    assert len(done.lines) > 10
    assert str(secret.parent) not in done.text


def trap(stage: StageLab) -> tuple[list[str], dict[str, object]]:
    """A program whose interpreter is that of the process that executes it, and the volumes that it needs.

    It sets the mode of that file to the present one; only a read-only mount refuses it.
    """
    mode = os.stat(PYTHON).st_mode & 0o7777
    script = f"#!/proc/self/exe\nimport os\nos.chmod('/proc/self/exe', {mode})\nprint('changed')\n"
    (stage.tree / "trap").write_text(script)
    (stage.tree / "trap").chmod(0o755)
    for name in ("lib", "lib64"):
        if not (stage.tree / name).exists():
            (stage.tree / name).symlink_to(f"usr/{name}")
    found = {"usr": "/usr", "prefix": os.path.dirname(os.path.dirname(PYTHON))}
    volumes = [
        {"name": name, "kind": "host", "source": source, "readOnly": True} for name, source in found.items()
    ]
    mounts = [{"volume": name, "path": source} for name, source in found.items()]
    return ["/trap"], {"volumes": volumes, "mounts": mounts}


@pytest.mark.finding("CVE-2019-5736")
@pytest.mark.parametrize("who", WHO, ids=["root", "a user"])
@pytest.mark.parametrize("event", ["", "pre-start", "post-stop"], ids=["app", "pre-start", "post-stop"])
def test_the_interpreter_of_the_host_cannot_be_changed_by_what_it_executes(
    stage: StageLab, event: str, who: dict[str, str]
) -> None:
    argv, more = trap(stage)
    volumes = more.pop("volumes")
    app = {"exec": ["/bin/true"], "eventHandlers": [handler(event, argv)]} if event else {"exec": argv}
    done = stage.pod({"main": {**app, **more, **who}}, volumes=volumes).call()  # type: ignore[arg-type]
    assert "Read-only file system: '/proc/self/exe'" in done.text


@pytest.mark.behaviour("A46")
def test_the_interpreter_of_the_host_cannot_be_changed_by_what_enters(stage: StageLab) -> None:
    argv, more = trap(stage)
    done = running(stage, **more).call("enter", app="main", argv=argv)
    assert "Read-only file system: '/proc/self/exe'" in done.err, done.out


def running(stage: StageLab, **app: object) -> LabPod:
    pod = stage.sh("sleep 60", **app)
    pod.call(detach=True)
    return pod


@pytest.mark.behaviour("A46")
@pytest.mark.hosts_users
def test_what_enters_an_app_has_no_other_root_to_break_out_to(stage: StageLab, secret: pathlib.Path) -> None:
    # A process that joins a mount namespace is at its root, wherever it was before.
    out = ["nsenter", "--mount=/proc/self/ns/mnt", "/bin/busybox", "cat", "/data/shipped", str(secret)]
    assert running(stage).call("enter", app="main", argv=out).out == ""
    done = running(stage).call("enter", app="main", argv=out, privileged=True)
    assert done.out == "from the image\n", done.err


@pytest.mark.behaviour("A45")
def test_what_enters_an_app_has_a_terminal_of_its_own(stage: StageLab) -> None:
    pod = running(stage)
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    name = os.ttyname(slave)
    script = "read word; test -t 0 && readlink /proc/self/fd/0; cut -d' ' -f7 /proc/self/stat; echo got $word; exit 5"
    child = pod.start("enter", terminal=slave, app="main", argv=["sh", "-c", script])
    device = os.fstat(slave).st_rdev
    os.close(slave)
    os.write(master, b"hello\r")
    said = b""
    while b"got hello" not in said:
        said += os.read(master, 1024)
    assert child.wait(10) == 5
    lines = said.decode().split()
    assert name not in lines
    assert str(device) not in lines
    os.close(master)


@pytest.mark.behaviour("C34")
def test_the_settings_of_the_kernel_cannot_be_changed(stage: StageLab) -> None:
    script = """cd /proc/sys
    for f in kernel/panic kernel/core_pattern vm/swappiness fs/file-max ../sysrq-trigger ../irq/*/smp_affinity
    do (: >> $f) 2>/dev/null && echo writable $f; done; echo done"""
    assert stage.run(script).lines == ["done"]


@pytest.mark.behaviour("C34")
@pytest.mark.parametrize(
    ("runspec", "said"), [(NO_NET, ["7"]), (HOST_NET, ["refused"])], ids=["own network", "the host's"]
)
@pytest.mark.hosts_users
def test_network_settings_are_the_pods_where_the_network_is(
    stage: StageLab, runspec: RunSpec, said: list[str]
) -> None:
    script = """cd /proc/sys/net/ipv4; (echo 7 > ip_default_ttl) 2>/dev/null && cat ip_default_ttl || echo refused"""
    assert stage.run(script, runspec).lines == said


@pytest.mark.finding("attack4-F7")
@pytest.mark.parametrize("runspec", [NO_NET, HOST_NET], ids=["own network", "the host's"])
def test_switches_of_netfilter_are_read_only_and_can_be_asked_for(stage: StageLab, runspec: RunSpec) -> None:
    # Opened for appending and not written: one of them is the host's, and cannot be taken back.
    script = """cd /proc/sys/net/netfilter && for f in * nf_log/*
    do [ -f $f ] && (: >> $f) 2>/dev/null && echo writable $f; done; echo done"""
    assert stage.run(script, runspec).lines == ["done"]


@pytest.mark.finding("attack4-F7")
def test_a_switch_of_netfilter_that_is_asked_for_is_set(stage: StageLab) -> None:
    name = "net.netfilter.nf_conntrack_udp_timeout"
    own = [{"name": "os/unix/sysctl", "value": {name: "17"}}]
    path = f"/proc/sys/{name.replace('.', '/')}"
    assert os.path.exists(path), "this kernel has no connection tracking"
    assert stage.run(f"cat {path}", NO_NET, isolators=own).lines == ["17"]


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize("kind", ["fifo", "endless"])
def test_a_table_of_users_cannot_hold_up_the_start(stage: StageLab, kind: str) -> None:
    table = stage.tree / "etc" / "passwd"
    table.unlink()
    if kind == "fifo":
        os.mkfifo(table)
    else:
        with open(table, "wb") as file:
            file.truncate(1 << 40)
    done = stage.run("echo ran", user="worker")
    assert (done.status, done.lines) == (254, [])
    assert "/etc/passwd" in done.err


@pytest.mark.behaviour("C23")
def test_a_volume_is_not_filled_from_what_is_no_directory(stage: StageLab) -> None:
    os.mkfifo(stage.tree / "pipe")
    volume = {"name": "v", "kind": "empty"}
    done = stage.run("true", volumes=[volume], mounts=[{"volume": "v", "path": "/pipe"}], prefill=["v"])
    assert done.status == 254  # a directory cannot be mounted there, and the error comes at once


@pytest.mark.behaviour("C15")
@pytest.mark.parametrize(
    "who",
    [{"user": "4294967295"}, {"group": "4294967295"}, {"user": "99999999999"}],
    ids=["user", "group", "beyond"],
)
def test_a_number_that_means_no_change_is_nobody(stage: StageLab, who: dict[str, object]) -> None:
    done = stage.run("id -u", **who)
    assert (done.status, done.lines) == (254, [])
    assert "out of range" in done.err


ALLOWS_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)


@pytest.mark.finding("attack-F10")
@pytest.mark.behaviour("C49")
@pytest.mark.parametrize(
    "content", [None, b"", b"cut", ALLOWS_ALL], ids=["absent", "empty", "cut", "allows all"]
)
def test_a_filter_that_is_lost_or_damaged_is_an_error(stage: StageLab, content: bytes | None) -> None:
    pod = stage.sh("echo ran")
    path = pathlib.Path(pod.dir.app_filter("main"))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = pod.call()
    assert (done.status, done.lines) == (254, [])
    assert done.err.startswith('corrupt: the system call filter of app "main" is ')


def test_a_detached_pod_has_nothing_to_do_with_the_terminal_of_its_starter(stage: StageLab) -> None:
    pod = running(stage)
    assert os.getsid(pod.pid()) == pod.pid()
    terminal = pathlib.Path(f"/proc/{pod.pid()}/stat").read_text().rsplit(")", 1)[1].split()[4]
    assert terminal == "0"


def test_an_app_that_cannot_start_says_so_also_when_nobody_can_hear_it(stage: StageLab) -> None:
    pod = stage.pod({"main": {"exec": ["/nosuch"]}})
    deaf = ["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh"]
    assert pod.call(prefix=deaf, interactive=True).status == execution.EXEC_FAILED
    assert not os.path.islink(pod.dir.supervisor_status)


@pytest.mark.finding("attack-F18")
@pytest.mark.parametrize("kind", ["host", "empty"])
@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/1", "/shared/proc"])
@pytest.mark.hosts_users
def test_no_link_leads_a_volume_into_proc(
    stage: StageLab, tmp_path: pathlib.Path, kind: str, target: str
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "proc").symlink_to("../proc/sys")
    (stage.tree / "led").symlink_to(target)
    source = {"source": str(tmp_path)} if kind == "host" else {}
    volumes = [
        {"name": "shared", "kind": "host", "source": str(tmp_path / "shared")},
        {"name": "data", "kind": kind, **source},
    ]
    mounts = [{"volume": "shared", "path": "/shared"}, {"volume": "data", "path": "/led/."}]
    done = stage.run("echo ran", volumes=volumes, mounts=mounts)
    assert (done.status, done.lines) == (254, [])
    assert "a link leads into /proc, where nothing is mounted" in done.err


@pytest.mark.finding("attack-F18")
def test_no_pipe_in_place_of_the_score_holds_up_the_start(stage: StageLab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "vol" / "self").mkdir(parents=True)
    os.mkfifo(tmp_path / "vol" / "self" / "oom_score_adj")
    (stage.tree / "led").symlink_to("/proc")
    volumes = [{"name": "data", "kind": "host", "source": str(tmp_path / "vol")}]
    isolators = [{"name": "os/linux/oom-score-adj", "value": 100}]
    mounts = [{"volume": "data", "path": "/led"}]
    done = stage.run("echo ran", volumes=volumes, mounts=mounts, isolators=isolators)
    assert (done.status, done.lines) == (254, [])


@pytest.mark.finding("attack-F18")
@pytest.mark.parametrize("link", ["etc/resolv.conf", "inner"], ids=["a file", "a mount point"])
@pytest.mark.hosts_users
def test_no_file_appears_in_a_volume_because_of_a_link(
    stage: StageLab, tmp_path: pathlib.Path, link: str
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "there").touch()
    (stage.tree / link).symlink_to("/vol/new")
    sources = {"vol": str(tmp_path / "shared"), "inner": str(tmp_path)}
    volumes = [{"name": name, "kind": "host", "source": source} for name, source in sources.items()]
    mounts = [{"volume": "vol", "path": "/vol"}, {"volume": "inner", "path": "/inner"}]
    runspec = RunSpec(networks=HOST_NET.networks, dns=Dns("host"))
    done = stage.run("echo ran", runspec, volumes=volumes, mounts=mounts)
    assert (done.status, done.lines) == (254, [])
    assert "leads into a volume" in done.err
    assert os.listdir(tmp_path / "shared") == ["there"]


OPENER = """while :; do for pid in /proc/[0-9]*; do
if [ -f $pid/fd/0 ]; then (echo overwritten > $pid/fd/0) 2>&1; chmod 666 $pid/fd/0 2>&1; fi
done; done"""


@pytest.mark.finding("attack-F2")
def test_a_file_that_a_command_reads_cannot_be_written_by_the_app(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    """The offset of the file is kept as well."""
    precious = tmp_path / "precious"
    precious.write_text("skip:of the operator\n")
    precious.chmod(0o400)
    pod = running(stage, **{"exec": ["/bin/sh", "-c", OPENER]})
    script = 'read -r line; echo "$line"; sleep 1; (echo overwritten > /proc/self/fd/0) || echo refused'
    with precious.open("r") as given:
        os.lseek(given.fileno(), 5, os.SEEK_SET)
        process = pod.start("enter", stdin=given.fileno(), app="main", argv=["/bin/sh", "-c", script])
        assert finish(process).out.splitlines() == ["of the operator", "refused"]
    assert pod.log().count("Read-only file system") >= 2
    assert precious.read_text() == "skip:of the operator\n"
    assert stat.S_IMODE(precious.stat().st_mode) == 0o400


@pytest.mark.finding("attack-F2")
def test_a_file_that_an_interactive_app_reads_cannot_be_written(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("of the operator\n")
    pod = stage.sh("cat; (echo overwritten > /proc/self/fd/0) 2>/dev/null || echo refused")
    with precious.open("r+") as given:
        done = finish(pod.start(stdin=given.fileno(), interactive=True))
    assert done.out.splitlines() == ["of the operator", "refused"], done.err
    assert precious.read_text() == "of the operator\n"


@pytest.mark.finding("attack-F2")
def test_no_directory_is_handed_to_a_command(stage: StageLab, secret: pathlib.Path) -> None:
    given = ["/bin/sh", "-c", f'exec 3<{secret.parent}; LISTEN_FDS=1 exec "$@"', "sh"]
    done = running(stage).call("enter", prefix=given, app="main", argv=["ls", "/proc/self/fd/3/"])
    assert (done.status, done.out) == (254, "")
    assert "descriptor 3 is a directory" in done.err


@pytest.mark.finding("attack-F2")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_directory_is_a_standard_file_of_podctl(number: int) -> None:
    """Python itself would end with a traceback."""
    podctl = pathlib.Path(__file__).resolve().parents[3] / "bin" / "podctl"
    script = f'exec {number}</etc; exec "$0" list'
    done = subprocess.run(
        ["/bin/sh", "-c", script, podctl], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (254, "")
    assert done.stderr in ("podctl: a standard file is a directory\n", "")


@pytest.fixture
def failing(stage: StageLab, tmp_path: pathlib.Path) -> pathlib.Path:
    """A runtime with a bug: it fails in the app's root, at a program of this name, with an unexpected exception.

    The image has files at the paths of the interpreter's library and of the runtime's sources.
    """
    runtime = tmp_path / "failing"
    shutil.copytree(RUNTIME / "podrt", runtime / "podrt", ignore=shutil.ignore_patterns("__pycache__"))
    source = runtime / "podrt/host/execution.py"
    text = source.read_text()
    head = "def complaint(path: str, root: AppRoot | None = None) -> str:\n"
    assert head in text
    source.write_text(text.replace(head, f'{head}    if path == "/bin/buggy": int("9" * 5000, 7)\n'))
    planted = "import posix\nposix.write(2, b'PLANTED\\n')\n"
    for folder in {*filter(None, sys.path), os.path.dirname(os.__file__)}:
        if folder.endswith((".zip", "site-packages")) or not folder.startswith("/"):
            continue
        for name in ("encodings/planted.py", "traceback.py", "linecache.py", "warnings.py"):
            plant(stage.tree, f"{folder}/{name}", planted)
    for path in (runtime / "podrt").rglob("*.py"):
        plant(stage.tree, str(path), "# -*- coding: planted -*-\n" + "x\n" * 600)
    return runtime


def plant(tree: pathlib.Path, path: str, content: str) -> None:
    place = tree / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)


@pytest.mark.finding("pods-F1")
@pytest.mark.parametrize("place", ["app", "pre-start", "post-stop"])
def test_a_bug_in_the_apps_root_runs_nothing_of_the_image(
    stage: StageLab, failing: pathlib.Path, place: str
) -> None:
    app: dict[str, object] = {"exec": ["/bin/buggy"]}
    if place != "app":
        app = {"exec": ["/bin/true"], "eventHandlers": [handler(place, ["/bin/buggy"])]}
    (stage.tree / "bin/buggy").symlink_to("busybox")
    pod = stage.pod({"main": app})
    done = pod.call(runtime=failing)
    seen = done.out + done.err + pod.log()
    assert "PLANTED" not in seen
    assert "execution.py" not in seen
    assert "Error: ValueError: " in seen


@pytest.mark.finding("pods-F2")
def test_a_bug_in_enter_runs_nothing_of_the_app(stage: StageLab, failing: pathlib.Path) -> None:
    (stage.tree / "bin/buggy").symlink_to("busybox")
    pod = stage.sh("sleep 60")
    pod.start(detach=True)
    pod.wait_ready()
    done = pod.call("enter", runtime=failing, app="main", argv=["/bin/buggy"])
    assert "PLANTED" not in done.out + done.err
    assert done.status == execution.EXEC_FAILED
    assert done.err.startswith('enter: cannot enter app "main": ValueError: ')
    assert len(done.err.splitlines()) == 1


@pytest.mark.finding("pods-F2")
@pytest.mark.parametrize("who", [{"user": "evil"}, {"group": "evil"}, {"user": "9" * 5000}])
def test_numbers_of_an_apps_passwd_are_of_ordinary_length(stage: StageLab, who: dict[str, str]) -> None:
    digits = "9" * 5000
    script = f"echo evil:x:{digits}:0:x:/:/bin/sh > /etc/passwd; echo evil:x:{digits}: > /etc/group; sleep 60"
    pod = stage.sh(script)
    pod.start(detach=True)
    pod.wait_ready()
    eventually(lambda: pod.call("enter", app="main", argv=["grep", "-q", "evil", "/etc/group"]).status == 0)
    done = pod.call("enter", app="main", argv=["true"], **who)
    assert (done.status, done.out) == (execution.EXEC_FAILED, "")
    assert "not found" in done.err and len(done.err) < 6000
    assert len(done.err.splitlines()) == 1


WHERE_IT_IS = """
exec 2>&1
read -r pid comm state parent group session rest < /proc/self/stat
echo session $session group $group
(: < /dev/tty) 2>/dev/null && echo has a terminal
kill -USR1 0
true
"""


@pytest.mark.finding("pods-F3")
@pytest.mark.parametrize("place", ["app", "pre-start", "post-stop"])
@pytest.mark.parametrize("detach", [False, True])
def test_nothing_of_an_image_has_the_callers_terminal_or_process_group(
    stage: StageLab, place: str, detach: bool
) -> None:
    argv = ["/bin/sh", "-c", WHERE_IT_IS]
    app: dict[str, object] = {"exec": argv}
    if place != "app":
        app = {"exec": ["/bin/true"], "eventHandlers": [handler(place, argv)]}
    pod = stage.pod({"main": app})
    master, slave = pty.openpty()
    try:
        # A session with this terminal, and with a process beside the pod that a signal to the group would end.
        script = "sleep 60 & trap 'echo SIGNALLED' USR1; \"$@\"; kill -0 $! && echo neighbour lives; kill $!"
        prefix = ("setsid", "--ctty", "--wait", "sh", "-c", script, "sh")
        process = pod.start(terminal=slave, prefix=prefix, detach=detach)
        process.wait(timeout=30)
        pod.wait_ended()
        seen = os.read(master, 65536).decode() + pod.log()
    finally:
        os.close(slave)
        os.close(master)
    assert "neighbour lives" in seen
    assert "SIGNALLED" not in seen
    assert "session" in seen
    assert "has a terminal" not in seen
