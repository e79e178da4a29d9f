# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""AppArmor profiles and SELinux labels of apps. Virtual machines have one or the other, other hosts may have none."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.security import (
    why_no_label,
    why_no_profile,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.cgroups import recorded
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.rights import rights_of
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    LabPod,
    StageLab,
    eventually,
    finish,
)

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
LABEL = "system_u:system_r:systemd_nspawn_t:s0:c1,c2"
BOTH = pytest.mark.parametrize("users", ["users of the host", "own users"])
CURRENT = """cat /proc/self/attr/current; touch /tmp/allowed && echo made
touch /tmp/denied 2>&1 | grep -o 'Permission denied'"""


def has_apparmor() -> bool:
    return ENABLED.exists() and ENABLED.read_text().strip() == "Y"


def under(profile: str) -> list[dict[str, object]]:
    return [{"name": "os/linux/apparmor-profile", "value": profile}]


def has_selinux() -> bool:
    return pathlib.Path("/sys/fs/selinux/context").exists()


def labelled(kind: str = "systemd_nspawn_t") -> list[dict[str, object]]:
    context = {"user": "system_u", "role": "system_r", "type": kind, "level": "s0:c1,c2"}
    return [{"name": "os/linux/selinux-context", "value": context}]


def read_back(pod: LabPod) -> tuple[str, str]:
    """The profile and the label that pod_info shows of the only app."""
    (found,) = rights_of(pod.pid(), [("main", f"{recorded(pod.dir)[0]}/main")])
    return found.apparmor, found.selinux


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
        assert read_back(pod) == ("pods-lab (enforce)", "")
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
def test_what_is_read_back_is_empty_where_a_kernel_has_no_such_module(stage: StageLab) -> None:
    pod = stage.sh("sleep 1000", isolators=under("unconfined"))
    process = pod.start()
    pod.wait_ready()
    apparmor, selinux = read_back(pod)
    assert (apparmor, bool(selinux)) == ("unconfined" if has_apparmor() else "", has_selinux())
    pod.call("stop", force=False)
    finish(process)


@pytest.mark.kernel
def test_a_profile_that_is_not_loaded_is_found_before_the_start(stage: StageLab, profile: str) -> None:
    assert why_no_profile("no-such-profile").startswith(
        "the profile is not loaded" if has_apparmor() else "this host has no AppArmor"
    )
    assert (why_no_profile(profile) == "") is has_apparmor()
    done = stage.run("echo ran", isolators=under("no-such-profile"))
    assert (done.status, done.lines) == (254, [])
    assert 'the host does not apply AppArmor "no-such-profile"' in done.err


@BOTH
@pytest.mark.kernel
@pytest.mark.behaviour("C54")
@pytest.mark.parametrize("user", ["root", "worker"])
def test_an_app_has_its_selinux_label_where_there_is_a_policy(stage: StageLab, user: str) -> None:
    done = stage.run("cat /proc/self/attr/current", isolators=labelled(), user=user)
    if has_selinux():
        assert [line.strip("\0") for line in done.lines] == [LABEL], done.err
    else:
        assert why_no_label(LABEL) == "this host has no SELinux"
        assert (done.status, done.lines) == (254, []), done.err
        assert f'the host does not apply SELinux "{LABEL}"' in done.err


@pytest.mark.kernel
def test_handlers_and_commands_have_the_selinux_label_too(stage: StageLab) -> None:
    show = ["/bin/sh", "-c", "cat /proc/self/attr/current; echo"]
    handlers = [{"name": name, "exec": show} for name in ("pre-start", "post-stop")]
    pod = stage.sh("while test -e /tmp; do sleep 0.1; done", isolators=labelled(), eventHandlers=handlers)
    process = pod.start()
    if has_selinux():
        pod.wait_ready()
        done = pod.call("enter", app="main", argv=show)
        assert done.out.strip("\0\n") == LABEL, done.err
        assert read_back(pod) == ("", LABEL)
        pod.call("stop", force=False)
        out = process.communicate(timeout=60)[0]
        assert out.count(LABEL) == 2, out
    else:
        assert process.wait(timeout=30) == 203


@pytest.mark.kernel
@pytest.mark.behaviour("C54")
def test_no_host_applies_a_selinux_label_that_its_policy_does_not_have(stage: StageLab) -> None:
    label = LABEL.replace("systemd_nspawn_t", "nonsense_t")
    done = stage.run("echo ran", isolators=labelled("nonsense_t"))
    assert (done.status, done.lines) == (254, []), done.err
    assert f'the host does not apply SELinux "{label}"' in done.err
    why = "the policy of this host does not know it" if has_selinux() else "this host has no SELinux"
    assert why_no_label(label).startswith(why)
    eventually(lambda: stage.pods[-1].state() == "exited")
