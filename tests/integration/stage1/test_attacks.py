# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What an app tries against its host, from inside: as root and as a user, with the host's users and with its own.

Every attack is a command that succeeds where the app has won. All of a kind of app are tried in one pod; the host then
looks for the traces of each.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.conftest import HOSTS_USERS, OWN_USERS
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import NO_NET, StageLab, python

# {victim}: a process of the host; {other}: a file of another pod; {disk}: the device of the host's root.
ATTACKS = {
    "signals a process of the host": "kill -9 {victim}",
    "signals every process": "kill -0 -1 && kill -0 {victim}",
    "sees a process of the host": "ls -d /proc/{victim}",
    "mounts a file system": "mount -t tmpfs tmpfs /mnt",
    "mounts its root again": "mount --bind / /mnt",
    "mounts /proc again": "mount -t proc proc /mnt",
    "makes /sys writable": "mount -o remount,rw /sys",
    "makes /proc/sys writable": "mount -o remount,rw,bind /proc/sys",
    "uncovers what is masked": "umount /proc/kcore || umount /sys/firmware",
    "unmounts a volume": "umount /proc/sys",
    "makes a mount namespace": "unshare -m true",
    "makes a user namespace": "unshare -U true",
    "makes a user namespace with mounts (CVE-2022-0492)": "unshare -U -r -m -C true",
    "changes its root by pivot_root": "mkdir -p /mnt/old && pivot_root /mnt /mnt/old",
    "joins the namespaces of PID 1": "nsenter -t 1 -m true",
    # The kernel looks at what root of the host gives it, and then refuses that.
    "loads a module": "insmod /attack.ko 2>&1 | grep -v 'not permitted'",
    "finds a device of the host": "mknod /attack.disk b {disk} && dd if=/attack.disk of=/dev/null bs=512 count=1",
    "reads the memory of the host": "mknod /attack.mem c 1 1 && dd if=/attack.mem of=/dev/null bs=1 count=1",
    "makes a node of its terminal": "mknod /attack.console c 5 1 && echo x > /attack.console",
    "reads the memory of the kernel": "test $(head -c 8 /proc/kcore | wc -c) -gt 0",
    "reads the symbols of the kernel": "test $(head -c 8 /proc/kallsyms | wc -c) -gt 0",
    "reads keys": "test $(cat /proc/keys | wc -c) -gt 0",
    "reads timers": "test $(head -c 8 /proc/timer_list | wc -c) -gt 0",
    "sets what a crash starts": "echo '|/attack' > /proc/sys/kernel/core_pattern",
    "sets what loads modules": "echo /attack > /proc/sys/kernel/modprobe",
    "lets a lack of memory stop the host": "echo 1 > /proc/sys/vm/panic_on_oom",
    "sets how memory is given": "echo 1 > /proc/sys/vm/overcommit_memory",
    "registers a format of programs": "echo ':a:M::x::/attack:' > /proc/sys/fs/binfmt_misc/register",
    "presses SysRq": "echo h > /proc/sysrq-trigger",
    "sets a helper of uevents": "echo /attack > /sys/kernel/uevent_helper",
    "turns a processor off": "echo 0 > /sys/devices/system/cpu/cpu1/online",
    "sets an agent of control groups (CVE-2022-0492)": (
        "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do echo /attack > $group/release_agent && exit 0; done; false"
    ),
    "asks for that agent": (
        "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do echo 1 > $group/notify_on_release && exit 0; done; false"
    ),
    "mounts control groups": "mkdir -p /mnt/c && mount -t cgroup -o memory cgroup /mnt/c",
    "mounts control groups v2": "mkdir -p /mnt/c && mount -t cgroup2 cgroup /mnt/c",
    "leaves its group": (
        "for file in $(find /sys/fs/cgroup -name cgroup.procs); do echo $$ > $file && exit 0; done; false"
    ),
    "lifts its limit": "for file in $(find /sys/fs/cgroup -name pids.max); do echo max > $file && exit 0; done; false",
    "makes a group": "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $group/attack && exit 0; done; false",
    "reads the host by the root of PID 1": "ls /proc/1/root{other}",
    "reads the host by the directory of PID 1": "ls /proc/1/cwd{other} || ls /proc/1/cwd/../../..{other}",
    "reads the host above its root": "ls /../../../..{other}",
    "reads the host by a descriptor": (
        "for fd in /proc/self/fd/* /proc/1/fd/*; do ls $fd/../../../../../..{other} && exit 0; done; false"
    ),
    "writes to the memory of PID 1": "dd if=/dev/zero of=/proc/1/mem bs=1 count=1 seek=4096",
    "overwrites the supervisor (CVE-2019-5736)": "echo x >> /proc/1/exe",
    "overwrites its interpreter by a descriptor": "for fd in /proc/1/fd/*; do echo x >> $fd && exit 0; done; false",
    "reads the environment of PID 1": "test $(cat /proc/1/environ | wc -c) -gt 40",
    "sets the clock": "date -s 2001-01-01; test $(date +%Y) = 2001",
    "sets the host name": "hostname attack",
    "boots the host": "reboot -f -n && false",
    "swaps": "swapon /attack.swap 2>&1 | grep -v 'not permitted'",
    "raises a limit beyond that of PID 1": "ulimit -n 1048577",
    "takes a terminal of the host": "ls /dev/pts/0 /dev/tty1",
}
ROOT, USER = {}, {"user": "7", "group": "8"}
# What does no harm when it wins, where nothing is restricted.
HARMLESS = (
    *("makes a user namespace", "mounts a file system", "mounts its root again", "mounts /proc again"),
    *(
        "makes a mount namespace",
        "loads a module",
        "makes a node of its terminal",
        "sets the host name",
        "swaps",
    ),
)
SCRIPT = """
attack() { (eval "$2") > /dev/null 2>&1 && echo "won: $1"; }
%s
echo end
"""


@pytest.fixture
def victim() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    lives = process.poll() is None
    process.kill()
    process.wait()
    assert lives, "an app has ended a process of the host"


def script(victim: int, other: pathlib.Path, names: Iterable[str] = tuple(ATTACKS)) -> str:
    disk = os.stat("/").st_dev
    values = {"victim": victim, "other": other, "disk": f"{os.major(disk)} {os.minor(disk)}"}
    lines = []
    for name in names:
        text = ATTACKS[name]
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", str(value))
        lines.append(f"attack {name!r} {quoted(text)}")
    return SCRIPT % "\n".join(lines)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.kernel
@pytest.mark.behaviour("C34", "C35", "C47", "C57")
@pytest.mark.parametrize("who", [ROOT, USER], ids=["root", "a user"])
@pytest.mark.parametrize("users", [HOSTS_USERS, OWN_USERS])
def test_no_attack_wins(stage: StageLab, victim: int, who: dict[str, str], users: str) -> None:
    (stage.tree / "mnt").mkdir()
    (stage.tree / "attack.ko").write_bytes(b"\x7fELF")
    (stage.tree / "attack.swap").write_bytes(bytes(64 << 10))
    other = stage.pod({"other": {"exec": ["/bin/sh", "-c", "true"]}}, NO_NET)
    before = settings()
    done = stage.run(script(victim, pathlib.Path(other.dir.manifest)), NO_NET, **who)
    assert done.lines == ["end"], (users, done.err)
    assert settings() == before


def test_attacks_win_where_nothing_is_restricted(stage: StageLab, victim: int) -> None:
    (stage.tree / "mnt").mkdir()
    (stage.tree / "attack.ko").write_bytes(b"\x7fELF")
    (stage.tree / "attack.swap").write_bytes(bytes(64 << 10))
    insecure = NO_NET.replace(insecure=("capabilities", "paths", "seccomp"))
    done = stage.run(script(victim, pathlib.Path("/nowhere"), HARMLESS), insecure)
    assert done.lines == [*(f"won: {name}" for name in HARMLESS), "end"], done.err


LEAVE_GROUPS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def read():
    try:
        open("/files/denied").close()
    except PermissionError:
        return "denied"
    return "read"
def make_namespace():
    if libc.unshare(0x10000000):  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    os.setgroups([])
print("begin", read(), flush=True)
for leave in (lambda: os.setgroups([]), lambda: os.setresgid(8, 8, 8), make_namespace):
    if os.fork():
        os.wait()
        continue
    try:
        leave()
        print("left", read(), flush=True)
    except OSError as err:
        print("refused", read(), flush=True)
    os._exit(0)
"""


@pytest.mark.finding("CVE-2014-8989")
@pytest.mark.parametrize("users", [HOSTS_USERS, OWN_USERS])
@pytest.mark.parametrize(
    ("groups", "said"), [([9], ["begin denied", *["refused denied"] * 3]), ([], ["begin read"])], ids=str
)
def test_no_app_leaves_a_group_that_a_file_is_closed_to(
    stage: StageLab, tmp_path: pathlib.Path, groups: list[int], said: list[str], users: str
) -> None:
    """The mode of a file may give its group less than all others."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "denied").touch()
    (tmp_path / "files" / "denied").chmod(0o604)
    os.chown(tmp_path / "files" / "denied", 0, 9)
    stage.link_libraries()
    app = python(LEAVE_GROUPS)
    files = {"name": "files", "kind": "host", "source": str(tmp_path / "files")}
    app["volumes"] = [*app["volumes"], files]  # type: ignore[misc]
    app["mounts"] = [*app["mounts"], {"volume": "files", "path": "/files"}]  # type: ignore[misc]
    done = stage.run("", NO_NET, user="7", group="7", supplementaryGIDs=groups, **app)
    assert done.lines[: len(said)] == said, (users, done.err)


# What the attacks would change on the host.
TOUCHED = (
    *("kernel/core_pattern", "kernel/modprobe", "vm/panic_on_oom", "vm/overcommit_memory", "kernel/hostname"),
)


def settings() -> list[str]:
    files = [pathlib.Path("/proc/sys", name) for name in TOUCHED]
    return [file.read_text() for file in files if file.exists()]  # a kernel without modules has no modprobe


SWAP = """
import ctypes, os
libc = ctypes.CDLL(None)
os.chdir("/shared")
while True:
    # renameat2(2) with RENAME_EXCHANGE: either the directory or the link has the name, and never none.
    libc.syscall(316, -100, b"place", -100, b"link", 2)
"""


@pytest.mark.finding("CVE-2021-30465")
@pytest.mark.parametrize("users", [HOSTS_USERS, OWN_USERS])
@pytest.mark.parametrize("target", ["/", "/../../../..{host}", "{host}"])
def test_no_race_of_links_leads_a_mount_out_of_the_root(
    stage: StageLab, tmp_path: pathlib.Path, target: str, users: str
) -> None:
    """One pod swaps a directory in a volume for a link; others have another volume mounted there meanwhile."""
    host = tmp_path / "of-the-host"
    (host / "inner").mkdir(parents=True)
    shared = tmp_path / "shared"
    (shared / "place" / "inner").mkdir(parents=True)
    (shared / "link").symlink_to(target.format(host=host))
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAP.replace('"/shared"', repr(str(shared)))], stdout=subprocess.DEVNULL
    )
    try:
        volumes = [
            {"name": "shared", "kind": "host", "source": str(shared), "recursive": False},
            {"name": "data", "kind": "empty"},
        ]
        mounts = [
            {"volume": "shared", "path": "/shared"},
            {"volume": "data", "path": "/shared/place/inner"},
        ]
        script = "touch /shared/place/inner/mark /shared/link/inner/mark; true"
        results = set()
        for _try in range(6):
            done = stage.run(script, NO_NET, volumes=volumes, mounts=mounts)
            results.add(done.status)
            assert not os.path.ismount(host / "inner")
            assert list((host / "inner").iterdir()) == []
            assert not os.path.exists("/inner")
        assert results <= {0, 254}
        assert swapper.poll() is None
    finally:
        swapper.kill()
        swapper.wait()
