# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""AppArmor profiles and SELinux labels of apps. The kernel of the virtual machine has AppArmor, others may not."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.security import (
    why_no_label,
    why_no_profile,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab, eventually

ENABLED = pathlib.Path("/sys/module/apparmor/parameters/enabled")
PROFILE = """
profile pods-lab flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  unix,
  deny /tmp/denied w,
}
"""
BOTH = pytest.mark.parametrize("users", ["users of the host", "own users"])
CURRENT = """cat /proc/self/attr/current; touch /tmp/allowed && echo made
touch /tmp/denied 2>&1 | grep -o 'Permission denied'"""


def has_apparmor() -> bool:
    return ENABLED.exists() and ENABLED.read_text().strip() == "Y"


def under(profile: str) -> list[dict[str, object]]:
    return [{"name": "os/linux/apparmor-profile", "value": profile}]


@pytest.fixture
def profile(tmp_path: pathlib.Path) -> Iterator[str]:
    """A profile that is loaded, where the kernel can."""
    file = tmp_path / "profile"
    file.write_text(PROFILE)
    parser = ["apparmor_parser", "--skip-cache"]
    if has_apparmor():
        subprocess.run([*parser, "--replace", file], check=True, timeout=30)
    yield "pods-lab"
    if has_apparmor():
        subprocess.run([*parser, "--remove", file], check=True, timeout=30)


@BOTH
@pytest.mark.kernel
@pytest.mark.behaviour("C43")
@pytest.mark.parametrize("user", ["root", "worker"])
def test_an_app_is_under_its_profile_where_there_is_one(stage: StageLab, profile: str, user: str) -> None:
    done = stage.run(CURRENT, isolators=under(profile), user=user)
    if has_apparmor():
        assert done.lines == ["pods-lab (enforce)", "made", "Permission denied"], done.err
    else:
        assert (done.status, done.lines) == (254, []), done.err
        assert 'the host does not apply AppArmor "pods-lab"' in done.err


@pytest.mark.kernel
def test_handlers_and_commands_are_under_it_too(stage: StageLab, profile: str) -> None:
    show = ["/bin/sh", "-c", "cat /proc/self/attr/current"]
    handlers = [{"name": name, "exec": show} for name in ("pre-start", "post-stop")]
    pod = stage.sh("while test -e /tmp; do sleep 0.1; done", isolators=under(profile), eventHandlers=handlers)
    process = pod.start()
    if has_apparmor():
        pod.wait_ready()
        done = pod.call("enter", app="main", argv=show)
        assert done.out.strip() == "pods-lab (enforce)", done.err
        pod.call("stop", force=False)
        out = process.communicate(timeout=60)[0]
        assert out.count("pods-lab (enforce)") == 2, out
    else:
        assert process.wait(timeout=30) == 203


@pytest.mark.kernel
def test_a_restarted_app_is_under_it_again(stage: StageLab, profile: str) -> None:
    script = "cat /proc/self/attr/current; exit 3"
    policy = [{"name": "stagecraft.pods/restart", "value": "on-failure:1,backoff=10ms"}]
    done = stage.run(script, isolators=under(profile), annotations=policy)
    if has_apparmor():
        assert done.lines.count("pods-lab (enforce)") == 2, done.err
    else:
        assert done.lines == []


@pytest.mark.kernel
def test_unconfined_is_what_every_host_has(stage: StageLab) -> None:
    done = stage.run("echo ran", isolators=under("unconfined"))
    assert (done.status, done.lines) == (0, ["ran"]), done.err


@pytest.mark.kernel
def test_a_profile_that_is_not_loaded_is_found_before_the_start(stage: StageLab, profile: str) -> None:
    assert why_no_profile("no-such-profile").startswith(
        "the profile is not loaded" if has_apparmor() else "this host has no AppArmor"
    )
    assert (why_no_profile(profile) == "") is has_apparmor()
    done = stage.run("echo ran", isolators=under("no-such-profile"))
    assert (done.status, done.lines) == (254, [])
    assert 'the host does not apply AppArmor "no-such-profile"' in done.err


@pytest.mark.kernel
@pytest.mark.behaviour("C54")
def test_a_host_without_selinux_refuses_a_label(stage: StageLab) -> None:
    """None of the kernels that the tests have runs with SELinux; its label is asked for by the same file."""
    assert not pathlib.Path("/sys/fs/selinux/context").exists()
    assert why_no_label("system_u:system_r:container_t:s0") == "this host has no SELinux"
    context = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    done = stage.run("echo ran", isolators=[{"name": "os/linux/selinux-context", "value": context}])
    assert (done.status, done.lines) == (254, []), done.err
    assert 'the host does not apply SELinux "system_u:system_r:container_t:s0"' in done.err
    eventually(lambda: stage.pods[-1].state() == "exited")
