# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Flags of podctl run that docker and podman have: image volumes, profiles, privileges, time zones, the host's name."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, write_image

NO_NET = ("--net=none",)


@pytest.fixture
def other(tmp_path: pathlib.Path) -> str:
    """Another image, with a file and no app."""
    found = write_image(
        tmp_path / "other.aci", "example.com/other", None, {"only/there": (0o644, b"other\n")}
    )
    return str(found)


@pytest.mark.parametrize(
    "roots", [(), ("--no-overlay",), ("--private-users",)], ids=["overlay", "copies", "users"]
)
def test_the_root_of_an_image_is_in_an_app_of_another(
    pods: PodHost, other: str, roots: tuple[str, ...]
) -> None:
    volume = f"--volume=o,kind=image,image={other}"
    script = "cat /other/only/there; touch /other/x 2>/dev/null || echo refused; tail -n1 /other/etc/group"
    done = pods.sh(script, "--mount=volume=o,target=/other", pod_flags=(*NO_NET, volume, *roots))
    assert (done.status, done.texts) == (0, ["other", "refused", "workers:x:200:"]), done.err


def test_the_image_of_a_volume_stays_as_long_as_the_pod(pods: PodHost, other: str) -> None:
    volume = f"--volume=o,kind=image,image={other}"
    flags = ("--mount=volume=o,target=/other", "--", "-c", "cat /other/only/there")
    uuid = pods.ok("prepare", "--quiet", volume, pods.image, "--exec=/bin/sh", *flags)
    manifest = json.loads(pods.ok("cat-manifest", uuid))
    (held,) = manifest["volumes"]
    assert (held["kind"], held["image"]) == ("image", other)
    pods.ok("image", "gc", "--grace-period=0s")
    assert held["id"][:19] in pods.ok("image", "list", "--full", "--no-legend")
    done = pods.podctl("run-prepared", *NO_NET, uuid)
    assert (done.status, done.texts) == (0, ["other"]), done.err
    pods.ok("rm", uuid)
    pods.ok("image", "gc", "--grace-period=0s")
    assert "example.com/other" not in pods.ok("image", "list", "--no-legend")


def test_an_image_that_cannot_be_had_is_an_error_before_a_pod_is_made(pods: PodHost) -> None:
    done = pods.sh("true", pod_flags=(*NO_NET, "--volume=o,kind=image,image=/nowhere/other.aci"))
    assert (done.status, pods.uuids()) == (254, [])
    assert "/nowhere/other.aci" in done.err


def test_only_the_native_stage1_has_images_as_volumes(pods: PodHost, other: str) -> None:
    volume = f"--volume=o,kind=image,image={other}"
    done = pods.sh("true", pod_flags=("--net=host", "--stage1-name=fly", volume))
    assert (done.status, "only the stage1 native mounts images as volumes" in done.err) == (254, True), (
        done.err
    )


def test_propagation_to_the_host_is_refused(pods: PodHost, tmp_path: pathlib.Path) -> None:
    volume = f"--volume=v,kind=host,source={tmp_path},propagation=rshared"
    done = pods.sh("true", pod_flags=(*NO_NET, volume))
    assert done.status == 254
    assert "what an app mounts never appears on the host" in done.err


@pytest.mark.behaviour("C43")
def test_a_profile_is_read_from_a_file(pods: PodHost, tmp_path: pathlib.Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = pods.sh("mkdir /x 2>&1", f"--seccomp-profile={profile}")
    assert [text.rpartition(": ")[2] for text in done.texts] == ["Invalid cross-device link"], done.err
    profile.write_text("{}")
    broken = pods.sh("true", f"--seccomp-profile={profile}")
    assert (broken.status, "cannot use the profile" in broken.err) == (254, True), broken.err
    missing = pods.sh("true", "--seccomp-profile=/nowhere.json")
    assert (missing.status, "cannot read the profile /nowhere.json" in missing.err) == (254, True), (
        missing.err
    )


def test_a_privileged_app_is_one_by_its_flag(pods: PodHost) -> None:
    done = pods.sh("grep Seccomp: /proc/self/status; test -d /sys/module/kernel && echo seen", "--privileged")
    assert [text.split() for text in done.texts] == [["Seccomp:", "0"], ["seen"]], done.err
    both = pods.sh("true", "--privileged", "--caps-retain=CAP_KILL")
    assert (both.status, "cannot use --privileged with" in both.err) == (254, True), both.err


@pytest.mark.parametrize(
    ("flags", "said"), [((), "0"), (("--no-new-privileges",), "1")], ids=["without", "with"]
)
def test_no_program_gains_rights_where_a_flag_says_so(
    pods: PodHost, flags: tuple[str, ...], said: str
) -> None:
    words = (
        "run",
        "--net=none",
        pods.image,
        "--seccomp=mode=retain,@appc.io/all",
        *flags,
        "--exec=/bin/grep",
    )
    done = pods.podctl(*words, "--", "NoNewPrivs", "/proc/self/status")
    assert (done.status, done.texts) == (0, [f"NoNewPrivs:\t{said}"]), done.err


def test_an_image_is_never_privileged_by_itself(pods: PodHost, tmp_path: pathlib.Path) -> None:
    app = {
        "exec": ["/bin/grep", "Seccomp:", "/proc/self/status"],
        "user": "0",
        "group": "0",
        "privileged": True,
    }
    sly = write_image(tmp_path / "sly.aci", "example.com/sly", app)
    done = pods.podctl("run", *NO_NET, str(sly))
    assert [text.split() for text in done.texts] == [["Seccomp:", "2"]], done.err


def test_a_time_zone_of_the_host(pods: PodHost) -> None:
    assert pods.sh("date +%Z -d @0", "--tz=Asia/Tokyo").texts == ["JST"]
    wrong = pods.sh("true", "--tz=Mars/Olympus")
    assert (wrong.status, 'this host has no time zone "Mars/Olympus"' in wrong.err) == (254, True), wrong.err
    out = pods.sh("true", "--tz=../../etc/shadow")
    assert (out.status, "is not a time zone" in out.err) == (254, True), out.err


def test_the_name_of_the_host(pods: PodHost) -> None:
    assert pods.sh("hostname", pod_flags=(*NO_NET, "--uts=host")).texts == [os.uname().nodename]
    wrong = pods.sh("true", pod_flags=(*NO_NET, "--uts=pod"))
    assert (wrong.status, "unknown value for --uts parameter: pod" in wrong.err) == (254, True), wrong.err
    both = pods.sh("true", pod_flags=(*NO_NET, "--uts=host", "--hostname=web"))
    assert (both.status, "cannot have a host name of its own" in both.err) == (254, True), both.err
    users = pods.sh("true", pod_flags=(*NO_NET, "--uts=host", "--private-users"))
    assert (users.status, "cannot have users of its own" in users.err) == (254, True), users.err


@pytest.mark.behaviour("C54")
def test_what_the_host_cannot_apply_is_refused_before_a_pod_is_made(pods: PodHost) -> None:
    for flag, said in (
        ("--apparmor=no-such-profile", 'the AppArmor profile "no-such-profile" cannot be applied'),
        ("--selinux=u:r:t:s0", 'the SELinux label "u:r:t:s0" cannot be applied'),
        ("--selinux=t", "is not in USER:ROLE:TYPE:LEVEL format"),
    ):
        for more in ((), ("--dry-run",)):
            done = pods.sh("true", flag, pod_flags=(*NO_NET, *more))
            assert (done.status, said in done.err, pods.uuids()) == (254, True, []), done.err


def test_an_owner_that_the_image_lacks_is_found_in_a_dry_run(pods: PodHost) -> None:
    mount = "--mount=volume=v,target=/v"
    flags = (*NO_NET, "--volume=v,kind=empty,owner=worker,group=workers")
    shown = pods.sh("cat /proc/self/mountinfo | grep -c ' /v '; echo x > /v/x", mount, pod_flags=flags)
    assert (shown.status, shown.texts) == (0, ["1"]), shown.err
    for owner, known in (("worker", True), ("www-data", False)):
        volume = f"--volume=v,kind=empty,owner={owner},group=workers"
        done = pods.sh("true", mount, pod_flags=(*NO_NET, volume, "--dry-run"))
        assert (done.status == 0) is known, done.err
        assert ('"www-data" user not found' in done.err) is not known


@pytest.mark.parametrize("roots", [(), ("--no-overlay",)], ids=["overlay", "copies"])
def test_a_pod_that_is_started_again_has_all_of_it(pods: PodHost, other: str, roots: tuple[str, ...]) -> None:
    volume = f"--volume=o,kind=image,image={other}"
    flags = (*NO_NET, volume, "--pod-name=web", *roots)
    script = "cat /other/only/there; date +%Z -d @0; grep Seccomp: /proc/self/status"
    first = pods.sh(
        script, "--mount=volume=o,target=/other", "--privileged", "--tz=Asia/Tokyo", pod_flags=flags
    )
    assert (first.status, [text.split()[-1] for text in first.texts]) == (0, ["other", "JST", "0"]), first.err
    again = pods.podctl("start", "web")
    assert again.status == 0, again.err
    pods.ok("status", "--wait=30s", "web")
    lines = pods.ok("logs", "web").splitlines()[-3:]
    assert [line.split()[-1] for line in lines] == ["other", "JST", "0"]
