# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the appc specification asks of an executor, as apps of a pod see it: two apps, their handlers and a volume.

Each check is a condition that an app tests itself; it tells those that do not hold. Those that take the metadata
service are in podctl/test_metadata_executor. Source: appc spec/ace.md, spec/aci.md, spec/OS-SPEC.md.
"""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.conftest import HOSTS_USERS, OWN_USERS
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import NO_NET, StageLab, until

CHECK = 'given="$*"\ncheck() { eval "$2" > /dev/null 2>&1 || echo "does not hold: $1"; }\n'
FIRST = {
    "the handler comes before the app": "test ! -e /main",
    "the handler comes before the end": "test ! -e /poststop",
    "a handler is root": "test $(id -u):$(id -g) = 0:0",
    "a handler has the variables of the app": 'test "$IN_ACE" = correct',
    "a handler knows the app": "test $AC_APP_NAME = main",
}
MAIN = {
    "the handler before it has ended": "test -e /prestart",
    "the handler after it has not begun": "test ! -e /poststop",
    "the directory is the requested one": "test $PWD = /opt/ace",
    "the user is the requested one": "test $(id -u) = 7",
    "the group is the requested one": "test $(id -g) = 8",
    "the groups are the requested ones": 'test "$(id -G)" = "8 9 10"',
    "the requested variable is set": 'test "$IN_ACE" = correct',
    "the name of the app is set": "test $AC_APP_NAME = main",
    "there is a search path": "test $PATH = /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "there is a home": 'test "$HOME:$USER:$LOGNAME:$SHELL" = /root:root:root:/bin/sh',
    "no other variable is set": (
        "test \"$(env | cut -d= -f1 | sort | tr '\\n' ' ')\" = "
        '"AC_APP_NAME HOME IN_ACE LOGNAME OLDPWD PATH PWD SHELL SHLVL USER "'
        " || test \"$(env | cut -d= -f1 | sort | tr '\\n' ' ')\" = "
        '"AC_APP_NAME HOME IN_ACE LOGNAME PATH PWD SHELL SHLVL USER "'
    ),
    "the arguments are as they are written": 'test "$given" = "a b \\$HOME %n"',
    # The last is that of the directory itself.
    "no descriptor but the standard files is open": "test \"$(ls /proc/self/fd | tr '\\n' ' ')\" = '0 1 2 3 '",
    "the mask of modes is 0022": "test $(umask) = 0022",
    "it leads its session": "test $(cut -d' ' -f6 /proc/$$/stat) = $$",
    "no signal is blocked": "grep -q '^SigBlk:.0*$' /proc/self/status",
    "/proc is that of the pod": "test -d /proc/1 && test $(ls -d /proc/[0-9]* | wc -l) -lt 20",
    "/sys is there": "grep -q ' /sys sysfs ' /proc/mounts",
    "/dev is in memory": "grep -q ' /dev tmpfs ' /proc/mounts",
    "/dev/shm is in memory and writable": "grep -q ' /dev/shm tmpfs ' /proc/mounts && touch /dev/shm/x",
    "/dev/pts is there": "grep -q ' /dev/pts devpts ' /proc/mounts",
    "/dev/null takes and gives nothing": "echo x > /dev/null && test $(wc -c < /dev/null) = 0",
    "/dev/zero gives zeros": "test $(head -c 5 /dev/zero | tr -d '\\0' | wc -c) = 0",
    "/dev/full is full": "! echo x > /dev/full",
    "/dev/random is a device": "test -c /dev/random",
    "/dev/urandom gives bytes": "test $(head -c 9 /dev/urandom | wc -c) = 9",
    "/dev/tty is a device": "test -c /dev/tty",
    "/dev/ptmx opens a terminal": "test -c /dev/ptmx && (exec 3<> /dev/ptmx)",
    "the standard files have names": "for name in fd stdin stdout stderr; do test -L /dev/$name || exit; done",
    "/etc/hosts names the host": "grep -q 127.0.0.1 /etc/hosts",
    "/etc/hostname is that of the pod": "test $(cat /etc/hostname) = named && test $(hostname) = named",
    "/etc/mtab is there": "test -e /etc/mtab",
    "/tmp is for all": "test $(stat -c %a /tmp) = 1777",
    # It may be about to begin, and ends some time after the next of these.
    "the other app is in the same PID namespace": (
        "for turn in $(seq 50); do ps | grep -q '[s]leep 4321' && break; sleep 0.1; done; test $turn -lt 50"
    ),
    "the volume is writable": "echo main > /db/main",
    "the mount that is read-only is": "test $(cat /ro/given) = given && ! touch /ro/new",
    "the root of the other app is another": "test ! -e /sidekick",
    "capabilities are restricted": "test $(grep CapBnd /proc/self/status | cut -f2) = 0000000000000020",
    "system calls are filtered": "grep -q 'Seccomp:.2' /proc/self/status",
    "memory is limited": (
        "grep -q '^67108864$' /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    ),
    "time of processors is limited": (
        "grep -q '^150000' /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max"
    ),
    "no privileges can be gained, since an app of a user is filtered": (
        "grep -q 'NoNewPrivs:.1' /proc/self/status"
    ),
    "no place of metadata is given": 'test -z "$AC_METADATA_URL"',
    "processes are limited": "test $(cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max) = 77",
}
SIDEKICK = {
    "the name of the app is set": "test $AC_APP_NAME = sidekick",
    "the variable of the other app is not": 'test -z "$IN_ACE"',
    "the volume is shared": "test $(cat /data/main) = main",
    "the directory is the default": "test $PWD = /",
    "the host name is shared": "test $(hostname) = named",
}
LAST = {
    "the app has ended": "test -e /main",
    "the handler before it has run": "test -e /prestart",
    "a handler is root": "test $(id -u):$(id -g) = 0:0",
    "a handler knows the app": "test $AC_APP_NAME = main",
}


def checks(of: dict[str, str]) -> str:
    quoted = {name: condition.replace("'", "'\\''") for name, condition in of.items()}
    return CHECK + "\n".join(f"check '{name}' '{condition}'" for name, condition in quoted.items())


@pytest.mark.kernel
@pytest.mark.behaviour(
    "C8", "C9", "C13", "C16", "C17", "C18", "C31", "C32", "C33", "C43", "C44", "C45", "C56", "C57"
)
@pytest.mark.parametrize("users", [HOSTS_USERS, OWN_USERS])
def test_an_app_finds_what_the_specification_asks_for(stage: StageLab, shared: pathlib.Path) -> None:
    (stage.tree / "opt" / "ace").mkdir(parents=True)
    stage.tree.chmod(0o777)  # so that the app, a user, leaves its mark in its root
    (shared / "given").mkdir()
    (shared / "given" / "given").write_text("given")
    handler = "for name in {0}; do :; done\n{1}\ntouch /{0}\n"
    handlers = [
        {"name": name, "exec": ["/bin/sh", "-c", handler.format(mark, checks(of))]}
        for name, mark, of in (("pre-start", "prestart", FIRST), ("post-stop", "poststop", LAST))
    ]
    main = {
        "exec": [
            "/bin/sh",
            "-c",
            f"{checks(MAIN)}\n{until('test -e /db/sidekick')}\ntouch /main",
            "main",
            "a b",
            "$HOME",
            "%n",
        ],
        "user": "7",
        "group": "8",
        "supplementaryGIDs": [9, 10],
        "workingDirectory": "/opt/ace",
        "environment": [{"name": "IN_ACE", "value": "correct"}],
        "eventHandlers": handlers,
        "isolators": [
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
            {"name": "resource/pids", "value": {"limit": 77}},
            {"name": "resource/memory", "value": {"limit": "64Mi"}},
            {"name": "resource/cpu", "value": {"limit": "1500m"}},
        ],
        "mounts": [{"volume": "db", "path": "/db"}, {"volume": "given", "path": "/ro"}],
    }
    sidekick = {
        "exec": [
            "/bin/sh",
            "-c",
            f"sleep 4321 & {until('test -e /data/main')}\n{checks(SIDEKICK)}\ntouch /data/sidekick /sidekick",
        ],
        "mounts": [{"volume": "db", "path": "/data"}],
    }
    volumes = [
        {"name": "db", "kind": "empty", "mode": "1777"},
        {"name": "given", "kind": "host", "source": str(shared / "given"), "readOnly": True},
    ]
    pod = stage.pod({"main": main, "sidekick": sidekick}, NO_NET.replace(hostname="named"), volumes=volumes)
    done = pod.call()
    assert done.said == [], done.err
    assert done.status == 0
    (last,) = pathlib.Path(pod.dir.overlays).rglob("upper/main/poststop")
    assert last.exists()
