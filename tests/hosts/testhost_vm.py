# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Virtual machines in the lab of testhost.py: with their own kernel, and every controller of cgroup v2.

A machine has the root file system of `testhost.py build` on its own disk over a common base image, and an address that
all hosts of the lab reach. It is one QEMU process without KVM: ten seconds to boot, and slow.

  testhost_vm.py build                     make base image, kernel and initrd; needs Debian's package index
  testhost_vm.py start [OPTION...] NAME... boot new or stopped machines, wait until systemd is up; for this start:
      --mem MB, --cpus N, --timeout SECONDS [1024, 2, 180], --kernel-args 'ARG...' (added to the kernel's)
  testhost_vm.py exec NAME -- CMD...       run a command over ssh; its stdin, output and exit status pass
  testhost_vm.py ssh-config                as that of testhost.py; the two can be put into one file
  testhost_vm.py list                      name, state, address, pid of QEMU
  testhost_vm.py stop [--kill] NAME...     power off, or pull the plug; the machine keeps its disk
  testhost_vm.py destroy [NAME...]         delete machines, without names all; what build made and the lab stay

Destroy machines before `testhost.py destroy` takes the lab away. STATE and the environment are those of testhost.py.
Needs root, Python 3.9, iproute2, an ssh client, qemu-system-x86, qemu-utils; for build also e2fsprogs and kmod.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from typing import NoReturn

import lab
import testhost
from lab import GATEWAY, PRIVATELY, ROOTFS, STATE, get, holder, put

MACHINES = lab.Kind("vms")
home = MACHINES.home
BASE = STATE + "/vm-base"
CONFIG = MACHINES.folder + "/ssh.conf"
PACKAGE_OF = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
}
# The cloud kernel: a third of the plain one's size, quickly unpacked, ext4 built in, and it has all network types.
KERNEL, DISK = "linux-image-cloud-amd64", "4G"
TUNSETIFF, IFF_TAP_NO_PI_VNET_HDR = 0x400454CA, 0x5002


def fail(message: str, log: str = "") -> NoReturn:
    """Exit with an error and the last lines of a log."""
    lines = pathlib.Path(log).read_text(errors="replace").splitlines() if log else []
    tail = [line for line in lines if line.strip()][-5:]
    lab.fail("\n  ".join([message + (f"; {log} ends with" if log else ""), *tail]))


def qemu(name: str) -> int | None:
    """The pid of the machine's QEMU, None when it does not run."""
    while (pid := holder(home(name, "qemu"))) == 0:  # it starts
        time.sleep(0.02)
    return pid


def build() -> None:
    """Make the kernel, the initrd and the disk that every machine boots from."""
    if MACHINES.known():
        fail("the disks of existing machines lie over the base image: destroy them first")
    if not os.path.exists(ROOTFS + "/sbin/init"):
        testhost.build()
    lab.make_key()
    shutil.rmtree(BASE, ignore_errors=True)
    os.makedirs(BASE)
    init, script = (get(str(lab.HERE / file)) for file in ("vm_init.sh", "vm_build.sh"))
    settings = {"KERNEL": KERNEL, "DISK": DISK, "ROOTFS": ROOTFS, "KEY": lab.KEY + ".pub", "INIT": init}
    argv = [*PRIVATELY, "sh", "-euc", script]
    if subprocess.run(argv, cwd=BASE, env={**os.environ, **settings}, check=False).returncode:
        fail(f"build failed, what it has made is in {BASE}")


def create(name: str) -> dict[str, str]:
    """Give a new machine its disk and its address."""
    if not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
        fail(f"{name} is not a host name")
    if name in testhost.LIGHT.known():
        fail(f"{name} is a light host")
    taken = {host["INDEX"] for host in MACHINES.known().values()}
    index = next(number for number in range(200, 255) if str(number) not in taken)
    os.makedirs(home(name), exist_ok=True)
    over = ["-f", "qcow2", "-F", "raw", "-b", BASE + "/base.img"]
    subprocess.run(["qemu-img", "create", "-q", *over, home(name, "disk")], check=True)
    return {"INDEX": str(index), "IP": f"{lab.SUBNET}.{index}"}


def start(names: list[str], options: dict[str, str], timeout: float) -> None:
    """Boot machines, new ones and stopped ones, and wait until systemd has started all units."""
    begin = time.monotonic()
    if not os.path.exists(BASE + "/base.img"):
        build()
    with open(STATE + "/lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        lab.lab()
        for name in (name for name in names if not qemu(name)):
            MACHINES.describe(name, {**(MACHINES.known().get(name) or create(name)), **options})
            lab.daemon(home(name, "qemu"), *lab.program(__file__, "run-vm", name))
        put(CONFIG, MACHINES.ssh_config())
    for name in names:
        state = _state(name, begin + timeout)
        print(f"{name} {MACHINES.known()[name]['IP']} {state} {time.monotonic() - begin:.1f}s", flush=True)


def _state(name: str, end: float) -> str:
    """The state of systemd once it is up."""
    while True:
        now = ssh(name, "systemctl", "is-system-running", "--wait", ask=30).stdout
        if state := now.decode().strip().replace("stopping", ""):
            return state
        if not qemu(name):
            fail(f"{name}: QEMU has ended", home(name, "qemu.log"))
        if time.monotonic() > end:
            fail(f"{name} is not up in time", home(name, "serial.log"))
        time.sleep(0.2)


def run_vm(name: str) -> None:
    """Become QEMU: it keeps this pid and its lock, and the kernel removes its tap with it."""
    put(home(name, "qemu.pid"), str(os.getpid()))
    os.chdir(home(name))
    vm = MACHINES.known()[name]
    index = int(vm["INDEX"])
    lab.enter_network()
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap%d" % index, IFF_TAP_NO_PI_VNET_HDR))
    os.set_inheritable(tap, True)
    subprocess.run(["ip", "link", "set", f"tap{index}", "master", "br0", "up"], check=True)
    # cache=unsafe skips fsync on this side only: data that a machine has synced survives a kill of its QEMU.
    options = f"""-name {name} -nodefaults -no-user-config -display none
        -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max,la57=off -smp {vm["cpus"]} -m {vm["mem"]}
        -chardev file,id=serial,path=serial.log,append=on -serial chardev:serial
        -drive if=none,id=disk,file=disk,cache=unsafe,discard=unmap -device virtio-blk-pci,drive=disk
        -netdev tap,id=net,fd={tap} -device virtio-net-pci,netdev=net,romfile=,mac=02:00:00:00:00:{index:02x}"""
    # Not "quiet": the kernel's warnings and systemd's progress are what serial.log is for.
    words = (
        "console=ttyS0 loglevel=4 TERM=dumb mitigations=off nokaslr random.trust_cpu=on tsc=reliable "
        f"th.name={name} th.addr={vm['IP']} th.gw={GATEWAY} {vm['kernel_args']}"
    )
    boot = ["-kernel", BASE + "/vmlinuz", "-initrd", BASE + "/initrd.gz", "-append", words]
    os.execvp("qemu-system-x86_64", ["qemu-system-x86_64", *options.split(), *boot])


def ssh(name: str, *command: str, ask: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the machine; ask: for so many seconds, catch the output and leave stdin alone."""
    quietly = ["-n"] if ask else []
    argv = ["timeout", "--foreground", str(ask), "ssh", *quietly, "-F", CONFIG, name, shlex.join(command)]
    return subprocess.run(argv, capture_output=bool(ask), check=False)


def show() -> None:
    """Print every machine."""
    for name, vm in MACHINES.known().items():
        pid = qemu(name)
        print(name, "running" if pid else "stopped", vm["IP"], pid or "-")


def stop(names: list[str], kill: bool = False) -> None:
    """Power machines off, or pull the plug."""
    ends = {name: os.pidfd_open(pid) for name in names if (pid := qemu(name))}
    for name, end in ends.items():
        if kill:
            signal.pidfd_send_signal(end, signal.SIGKILL)
        else:
            ssh(name, "poweroff", ask=20)
    for name, end in ends.items():  # not the lock: QEMU releases it before its tap is gone
        if not select.select([end], [], [], 60)[0]:
            fail(f"{name} does not power off, try stop --kill", home(name, "serial.log"))


def destroy(names: list[str]) -> None:
    """Delete machines; without names all of them."""
    going = names or list(MACHINES.known())
    stop(going, kill=True)
    for name in going:
        shutil.rmtree(home(name))
    if not MACHINES.known():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(MACHINES.folder)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, usage=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--mem", default="1024")
    parser.add_argument("--cpus", default="2")
    parser.add_argument("--kernel-args", default="")
    parser.add_argument("--timeout", type=float, default=180)
    return parser.parse_intermixed_args(argv)


def _check(verb: str, names: list[str]) -> None:
    if os.geteuid():
        fail("needs root")
    missing = [package for program, package in PACKAGE_OF.items() if not shutil.which(program)]
    if verb in ("build", "start") and missing:
        fail("programs are missing: apt-get install --no-install-recommends " + " ".join(missing))
    unknown = [name for name in names if name not in MACHINES.known()]
    if verb in ("exec", "stop", "destroy") and unknown:
        fail("no machine " + ", ".join(unknown))


def main() -> None:
    """Do what the arguments ask for."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given = _arguments(sys.argv[1:at])
    verb, *names = given.words or ["help"]
    _check(verb, names)
    os.makedirs(MACHINES.folder, exist_ok=True)
    options = {"mem": given.mem, "cpus": given.cpus, "kernel_args": given.kernel_args}
    verbs = {
        "build": build,
        "start": lambda: start(names, options, given.timeout),
        "exec": lambda: ssh(names[0], *sys.argv[at + 1 :]).returncode,
        "list": show,
        "ssh-config": lambda: print(MACHINES.ssh_config(), end=""),
        "stop": lambda: stop(names, kill=given.kill),
        "destroy": lambda: destroy(names),
        "run-vm": lambda: run_vm(names[0]),
    }
    sys.exit(verbs[verb]() if verb in verbs else __doc__)


if __name__ == "__main__":
    main()
