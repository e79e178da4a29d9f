# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Light systemd hosts for integration and fleet tests, without a container engine and without KVM.

A host is systemd as PID 1 of its own pid, mount, net, uts, ipc and cgroup namespaces, with its starter's
capabilities. Its root is an overlay over one shared root file system; /var and /tmp are plain folders, so that
overlay mounts work there. Hosts are on a bridge in a "lab" network namespace; only ssh reaches them from outside,
through a ProxyCommand.

  testhost.py build [DIR]                   make the shared root file system [default: STATE/rootfs]
  testhost.py start [--cgroup=v2] NAME...   boot new or stopped hosts, wait until systemd is up
  testhost.py exec NAME -- CMD...           run a command in a host; what it starts outlives the call
  testhost.py lab -- CMD...                 run a command of this machine in the lab's network (a registry)
  testhost.py ssh-config                    for `ssh -F FILE` and Ansible's ssh_common_args
  testhost.py list                          name, state, address, PID 1 as this machine sees it
  testhost.py stop [--kill] NAME...         power off, or pull the plug; the host keeps its disk
  testhost.py destroy [NAME...]             delete hosts; without names all and the lab, but not the root

STATE is $TESTHOST_DIR or ${TMPDIR:-/tmp}/testhosts; $TESTHOST_ROOTFS is a root file system built elsewhere.
Needs root, Python 3.9, util-linux, iproute2, an ssh client, and for build mmdebstrap or debootstrap.
"""

from __future__ import annotations

import fcntl
import glob
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from functools import partial
from typing import Any

import lab
from cgroups import drop_groups, groups, join_groups, make_groups
from lab import CLONE_NEWPID, GATEWAY, PATH, PRIVATELY, ROOTFS, STATE, call, get, holder, put, wait_for

SUITE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,python3,nftables,iproute2,iputils-ping,procps,kmod,"
    "libseccomp2,gnupg,ca-certificates,busybox-static"
)
# Units that reach for the machine's devices, want a real console, or only make noise on a test host.
MASKED = (
    "console-getty.service getty.target systemd-udev* sys-* dev-hugepages.mount systemd-modules-load.service "
    "apt-daily*.timer dpkg-db-backup.timer e2scrub* fstrim.timer"
)
FOLDERS = {"upper/root": 0o700, "upper/root/.ssh": 0o700, "work": 0o700, "root": 0o755, "tmp": 0o1777}
ENOUGH_INOTIFY = 1024  # a host takes 7 instances, and 3 for a login
POWER_OFF = signal.SIGRTMIN + 4

LIGHT = lab.Kind("hosts")
home = LIGHT.home


def build(target: str = ROOTFS) -> None:
    """Make the root file system that all hosts share; it exists only when it is complete."""
    new = target + ".new"
    subprocess.run(["rm", "-rf", new], check=True)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    tool = ["mmdebstrap", "--mode=root"] if shutil.which("mmdebstrap") else ["debootstrap"]
    argv = [*PRIVATELY, *tool, "--variant=minbase", "--include=" + PACKAGES, SUITE, new]
    subprocess.run(argv, check=True)
    for unit in (path for word in MASKED.split() for path in glob.glob(f"{new}/lib/systemd/system/{word}")):
        if not os.path.isdir(unit):
            os.symlink("/dev/null", f"{new}/etc/systemd/system/{os.path.basename(unit)}")
    put(
        new + "/etc/systemd/journald.conf.d/testhost.conf",
        "[Journal]\nSystemMaxUse=32M\nRuntimeMaxUse=8M\n",
    )
    for folder in ("var/cache/apt", "var/lib/apt/lists"):  # each host copies /var
        shutil.rmtree(f"{new}/{folder}")
    os.rename(new, target)


def create(name: str, cgroup: str) -> None:
    """Give a new host its disk, its identity and its address."""
    taken = {host["INDEX"] for host in LIGHT.known().values()}
    index = next(number for number in range(2, 200) if str(number) not in taken)
    address = f"{lab.SUBNET}.{index}"
    for folder, mode in FOLDERS.items():
        os.makedirs(home(name, folder))
        os.chmod(home(name, folder), mode)
    subprocess.run(["cp", "-a", ROOTFS + "/var", home(name)], check=True)
    put(home(name, "upper/etc/hostname"), name + "\n")
    put(
        home(name, "upper/etc/hosts"),
        f"127.0.0.1 localhost\n::1 localhost\n{GATEWAY} lab\n{address} {name}\n",
    )
    put(home(name, "upper/etc/machine-id"), uuid.uuid4().hex + "\n")
    put(home(name, "upper/root/.ssh/authorized_keys"), get(lab.KEY + ".pub"))
    # The link address is fixed like the address: neighbours remember it over a reboot.
    mac = f"02:00:00:00:00:{index:02x}"
    LIGHT.describe(name, {"INDEX": str(index), "IP": address, "MAC": mac, "CGROUP": cgroup})


def start(*names: str, cgroup: str = "auto") -> None:
    """Boot hosts, new ones and stopped ones, and wait until systemd has started all units."""
    if not os.path.exists(ROOTFS + "/sbin/init"):
        build()
    lab.make_key()
    if int(get("/proc/sys/fs/inotify/max_user_instances")) < ENOUGH_INOTIFY:
        put("/proc/sys/fs/inotify/max_user_instances", str(ENOUGH_INOTIFY))
    begin = time.monotonic()
    with open(STATE + "/lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        lab.lab()
        for name in names:
            if not os.path.exists(home(name, "host")):
                create(name, cgroup)
            if holder(home(name, "host")) is None:
                lab.daemon(home(name, "host"), *lab.program(__file__, "run-host", name))
    for name in names:
        state = _state(name)
        print(f"{name} {LIGHT.known()[name]['IP']} {state} {time.monotonic() - begin:.1f}s", flush=True)


def _state(name: str) -> str:
    """The state of systemd once it is up: "running", or "degraded" with a failed unit."""
    wait_for(lambda: init_of(name), 30, f"{name}: no PID 1, see {home(name, 'host.log')}")
    ask = ["systemctl", "is-system-running", "--wait"]

    def answer() -> str:
        done = enter(name, ask, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.stdout.strip().replace("offline", "")

    return wait_for(answer, 60, f"{name}: systemd is not up")


def run_host(name: str) -> None:
    """Boot the host, again when it reboots, until it powers off."""
    put(home(name, "host.pid"), str(os.getpid()))
    here = os.open("/proc/self/ns/pid", os.O_RDONLY)
    os.chdir(home(name))
    again = True
    while again:
        make_groups(name)
        master, slave = pty.openpty()
        pid = _boot(name, os.ttyname(slave))
        call("setns", here, CLONE_NEWPID)
        put(home(name, "init"), str(pid))
        _copy_console(master, pid)
        again = (
            os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGHUP
        )  # the effect of reboot(2) in a pid namespace
        os.close(master)
        os.close(slave)
    drop_groups(name)


def _boot(name: str, console: str) -> int:
    """Fork the host's PID 1. Returns its pid on this machine."""
    host = LIGHT.known()[name]
    trees = " ".join(groups()) if host["CGROUP"] == "auto" else ""
    env = {
        **{
            "NAME": name,
            "ROOTFS": ROOTFS,
            "LAB": f"/proc/{lab.lab()}/ns/net",
            "GATEWAY": GATEWAY,
            "PATH": PATH,
        },
        **{"CONSOLE": console, "TREES": trees},
        **host,
    }
    script = get(str(lab.HERE / "light_boot.sh"))
    call("unshare", CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        # die with the supervisor, and the whole host with us
        call("prctl", lab.PR_SET_PDEATHSIG, signal.SIGKILL)
        join_groups(name)
        spaces = ["--mount", "--net", "--uts", "--ipc", "--cgroup", "--propagation", "private"]
        os.execvpe("unshare", ["unshare", *spaces, "sh", "-euc", script], env)
    return pid


def _copy_console(master: int, pid: int) -> None:
    """Print the host's console, until its PID 1 has ended."""
    ended = os.pidfd_open(pid)
    while ended not in (ready := select.select([master, ended], [], [])[0]) or master in ready:
        os.write(1, os.read(master, 4096))
    os.close(ended)


def init_of(name: str) -> int:
    """The pid of the host's PID 1 on this machine; 0 when it does not run or has not become systemd yet."""
    if not holder(home(name, "host")) or not os.path.exists(home(name, "init")):
        return 0
    pid = get(home(name, "init"))
    try:
        return int(pid) if pid and os.readlink(f"/proc/{pid}/exe").endswith("/systemd") else 0
    except FileNotFoundError:
        return 0


def enter(name: str, argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of the host in all its namespaces and groups."""
    pid = init_of(name)
    if not pid:
        lab.fail(f"{name} is not running, see {home(name, 'host.log')}")
    spaces = [
        os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("cgroup", "ipc", "uts", "net", "mnt")
    ]

    def inside() -> None:  # in the child, which fork() has put into the host's pid namespace
        join_groups(name, "init.scope")
        for fd in spaces:
            call("setns", fd, 0)
        os.chdir("/")

    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    call("setns", os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY), CLONE_NEWPID)
    env = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb")}
    try:
        return subprocess.run(argv, preexec_fn=inside, env=env, check=False, **options)
    finally:
        call("setns", own, CLONE_NEWPID)
        for fd in (own, *spaces):
            os.close(fd)


def execute(name: str, *command: str) -> int:
    """Run a command in its own scope, like a login."""
    return enter(name, ["systemd-run", "--scope", "--quiet", "--collect", "--", *command]).returncode


def show() -> None:
    """Print every host."""
    for name, host in LIGHT.known().items():
        pid = init_of(name)
        print(name, "running" if pid else "stopped", host["IP"], pid or "-")


def stop(*names: str, kill: bool = False) -> None:
    """Power hosts off, or pull the plug."""
    for name in names:
        if pid := init_of(name):
            os.kill(pid, signal.SIGKILL if kill else POWER_OFF)
    for name in names:
        wait_for(partial(_is_off, name), 30, f"{name} does not power off; try stop --kill")
        drop_groups(name)


def _is_off(name: str) -> bool:
    return holder(home(name, "host")) is None


def destroy(*names: str) -> None:
    """Delete hosts; without names all of them, and the lab."""
    going = names or tuple(LIGHT.known())
    stop(*going, kill=True)
    for name in going:
        shutil.rmtree(home(name))
    if not names:
        lab.end_lab()
        drop_groups()


def main() -> None:
    """Do what the arguments ask for."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    verb, *words = sys.argv[1:at] or ["help"]
    command = sys.argv[at + 1 :]
    names = [word for word in words if not word.startswith("--")]
    if os.geteuid():
        lab.fail("needs root")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.makedirs(LIGHT.folder, exist_ok=True)
    if verb == "lab":
        os.execvp("nsenter", ["nsenter", f"--net=/proc/{lab.lab()}/ns/net", "--", *command])
    verbs = {
        "build": lambda: build(*names),
        "start": lambda: start(*names, cgroup="v2" if "--cgroup=v2" in words else "auto"),
        "exec": lambda: execute(*names, *command),
        "list": show,
        "ssh-config": lambda: print(LIGHT.ssh_config(), end=""),
        "connect": lambda: lab.connect(*names),
        "stop": lambda: stop(*names, kill="--kill" in words),
        "destroy": lambda: destroy(*names),
        "run-host": lambda: run_host(*names),
    }
    sys.exit(verbs[verb]() if verb in verbs else __doc__)


if __name__ == "__main__":
    main()
