# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Privileged apps: what they may do, and what the others of the pod still may not."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import HOST_NET, NO_NET, StageLab

LOOK = """grep -E 'CapBnd|CapEff|Seccomp:|NoNewPrivs' /proc/self/status | tr '\\t' ' '
mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo mounted
(: >> /proc/sys/kernel/panic) 2>/dev/null && echo sysctl
test -d /sys/module/kernel && echo modules"""


def main_of(script: str, **more: object) -> dict[str, object]:
    return {"exec": ["/bin/sh", "-c", script], **more}


def everything() -> str:
    """The bounding set of this process: no app has more."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("CapBnd")).replace("\t", " ")


def test_nothing_is_kept_from_a_privileged_app(stage: StageLab) -> None:
    done = stage.run(LOOK, NO_NET, privileged=True)
    said = dict(line.split(": ") for line in done.lines[:4])
    assert (said["CapBnd"], said["Seccomp"], said["NoNewPrivs"]) == (everything().split()[1], "0", "0")
    assert done.lines[4:] == ["mounted", "sysctl", "modules"], done.err


def test_a_privileged_app_has_the_devices_of_the_host(stage: StageLab) -> None:
    """Among them one that no app has by default; links and the terminal of the host are left out."""
    names = {
        str(path.relative_to("/dev"))
        for path in pathlib.Path("/dev").iterdir()
        if path.name not in ("console", "ptmx") and (path.is_char_device() or path.is_block_device())
        if not path.is_symlink()
    }
    each = "test -L $name && continue; test -c $name -o -b $name && echo $name"
    script = f"cd /dev; for name in *; do {each}; done; test -e console || echo none"
    done = stage.run(script, privileged=True)
    assert set(done.lines) - {"none", "ptmx"} == names, done.err
    assert "none" in done.lines
    made = stage.run("mknod /tmp/loop b 7 250 && (: < /tmp/loop) 2>&1", privileged=True)
    assert "Operation not permitted" not in made.text


def test_its_neighbours_are_as_confined_as_ever(stage: StageLab) -> None:
    other = f"({LOOK}) 2>/dev/null; mknod /tmp/loop b 7 250 2>/dev/null && (: < /tmp/loop) 2>&1"
    apps = {"free": main_of("true", privileged=True), "bound": main_of(other)}
    said = [text for app, text in stage.pod(apps, HOST_NET).call().said if app == "bound"]
    assert "Seccomp: 2" in said
    assert "CapBnd: 00000000a80425fb" in said
    assert not {"mounted", "sysctl", "modules"} & set(said)


def test_a_privileged_app_may_have_a_filter_of_its_own(stage: StageLab) -> None:
    isolator = {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mkdir"], "errno": "EXDEV"}}
    done = stage.run("mkdir /x 2>&1; grep Seccomp: /proc/self/status", privileged=True, isolators=[isolator])
    assert done.lines[0].endswith("Invalid cross-device link")
    assert done.lines[1].split() == ["Seccomp:", "2"]


@pytest.mark.parametrize("users", ["own users"])
def test_with_own_users_it_is_root_of_these_only(stage: StageLab) -> None:
    done = stage.run(f"{LOOK}; ls /dev | grep -c . ; mknod /tmp/x b 7 250 2>&1", NO_NET, privileged=True)
    assert not {"mounted", "sysctl"} & set(done.lines), done.err
    assert any("Operation not permitted" in line for line in done.lines)
    assert "CapBnd: 0000000000000000" not in done.lines


def test_a_command_in_a_privileged_app_is_privileged_too(stage: StageLab) -> None:
    pod = stage.sh("touch /tmp/up; sleep 60", privileged=True)
    pod.start()
    pod.wait_ready()
    argv = ["/bin/sh", "-c", "grep -E 'CapBnd|Seccomp:' /proc/self/status"]
    done = pod.call("enter", app="main", argv=argv)
    assert done.out.split() == [*everything().split(), "Seccomp:", "0"], done.err
